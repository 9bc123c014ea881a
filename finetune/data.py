"""Folders of clips, read into one record type, for training and evaluation.

Two layouts are understood, and a third where nothing need be known of a clip:

- **scenes**, as `python -m finetune scenes` writes them: `clips/NAME.mp4` beside `truth/NAME.json`;
- **classes**: one subfolder per class with videos in it, where `normal` is the negative class;
- **plain**: videos and no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune.scenes.truth import SceneTruth, read_truth
from workbench.errors import DataError
from workbench.probe import VIDEO_SUFFIXES

NORMAL = "normal"
_NO_CATEGORY = frozenset({"abnormal", "anomaly", "anomalous"})  # class folders that say "abnormal" and nothing more
_LAYOUTS = (
    "Understood are: a folder with `clips/NAME.mp4` and `truth/NAME.json` (what `python -m finetune scenes` writes), "
    "or one subfolder of videos per class with the negative class named `normal`."
)


@dataclass(frozen=True, slots=True)
class EvalClip:
    """One clip and what is known of it.

    Attributes:
        path: the video file.
        name: unique within the folder that was read, stable between machines.
        label: 1 abnormal, 0 normal, `None` not known.
        category: of the anomaly in lower case; `None` for a normal clip and when only "abnormal" is known.
        truth: everything that is true of a drawn scene, without its masks.
        truth_path: the file of that truth, where its masks can be read (`finetune.scenes.truth.read_truth_file`).
            They stay on disk because those of a thousand scenes do not fit memory.
        pixel_frames: frames whose masks are complete, where not all are.
    """

    path: Path
    name: str
    label: int | None
    category: str | None = None
    truth: SceneTruth | None = None
    truth_path: Path | None = None
    pixel_frames: frozenset[int] | None = None


def read_data(folder: str | Path, *, plain: bool = False) -> list[EvalClip]:
    """All clips of a folder in one of the layouts above, sorted by name.

    Args:
        plain: take videos of which nothing is known, too.

    Raises:
        DataError: the folder is missing or empty, its layout is not understood, or clips and truths do not pair up.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"The data folder {folder} does not exist or is not a folder; give an existing one.")
    if (folder / "truth").is_dir() and (folder / "clips").is_dir():
        return _read_scenes(folder)
    classes = {path.name: _videos(path) for path in sorted(folder.iterdir()) if path.is_dir()}
    classes = {name: videos for name, videos in classes.items() if videos}
    normal = [name for name in classes if name.lower() == NORMAL]
    if plain and not classes and _videos(folder):
        return [EvalClip(path, path.name, None) for path in _videos(folder)]
    if not normal or len(classes) < 2:
        raise DataError(f"The folder {folder} holds {_listing(folder)}. {_LAYOUTS}")
    return [
        EvalClip(path, f"{name}/{path.name}", int(name not in normal), _folder_category(name))
        for name, videos in classes.items()
        for path in videos
    ]


def take(clips: Sequence[EvalClip], limit: int | None) -> list[EvalClip]:
    """The first `limit` clips of a round through the categories, so that a small share still holds all of them.

    Deterministic. The result keeps the order of `clips`; `None` takes all.
    """
    if limit is None or limit >= len(clips):
        return list(clips)
    seen: Counter[tuple[int, str]] = Counter()
    order = []
    for index, clip in enumerate(clips):
        kind = (-1 if clip.label is None else clip.label, clip.category or "")
        order.append((seen[kind], kind, index))
        seen[kind] += 1
    # Normal and abnormal alternate first: with limit 2 both classes are there, as every ranking metric needs.
    by_label: dict[int, list[int]] = {}
    for _, (label, _category), index in sorted(order):
        by_label.setdefault(label, []).append(index)
    rounds = sorted((place, label, index) for label, indices in by_label.items() for place, index in enumerate(indices))
    return [clips[i] for i in sorted(index for _, _, index in rounds[:limit])]


def _read_scenes(folder: Path) -> list[EvalClip]:
    videos = {path.stem: path for path in _videos(folder / "clips")}
    truths = {path.stem: path for path in sorted((folder / "truth").glob("*.json"))}
    if not videos:
        raise DataError(f"The folder {folder / 'clips'} holds no videos. {_LAYOUTS}")
    for kind, missing in (("truth", videos.keys() - truths.keys()), ("clip", truths.keys() - videos.keys())):
        if missing:
            raise DataError(
                f"{len(missing)} of the scenes in {folder} lack a {kind}, the first is '{min(missing)}'; "
                "render the folder again with `python -m finetune scenes`."
            )
    clips = []
    for name, path in videos.items():
        truth = read_truth(truths[name])
        category = None if truth.category == NORMAL else truth.category
        clips.append(EvalClip(path, name, int(truth.label), category, truth, truths[name]))
    return clips


def _videos(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and not p.name.startswith("."))


def _folder_category(name: str) -> str | None:
    category = name.replace("_", " ").strip().lower()
    return None if category in _NO_CATEGORY or category == NORMAL else category


def _listing(folder: Path) -> str:
    """What a folder holds, in a few words, for a person who gave the wrong one."""
    entries = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    folders = [f"{p.name}/ ({len(_videos(p))} videos)" for p in entries if p.is_dir()]
    suffixes = Counter(p.suffix.lower() or "no suffix" for p in entries if not p.is_dir())
    files = [f"{count} file(s) with {suffix}" for suffix, count in sorted(suffixes.items())]
    names = [*folders[:6], *(["…"] if len(folders) > 6 else []), *files[:6]]
    return ", ".join(names) or "nothing"
