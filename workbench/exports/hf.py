"""A Hugging Face `datasets` folder: tables as JSON lines, a card that says what they are, and videos if wanted.

    README.md            the card; its head tells `load_dataset` the tables, their splits and the type of each column
    data/TABLE-SPLIT.jsonl
    media/NAME.mp4       the whole clips, with media/metadata.jsonl, so that `load_dataset("videofolder")` takes it too

    load_dataset(DIR, "clips")         a row a clip: probe, label, texts
    load_dataset(DIR, "events")        a row an event: span, category, texts, captioned clips
    load_dataset(DIR, "instances")     a row an instance: role, appearance, motion, boxes and masks frame by frame
    load_dataset(DIR, "instructions")  a row a question with its answer, as in HIVAU-70k

The split of a clip is `train`, `validation` or `test` where a folder of its `origin` is called so, else `train`.

What it cannot hold: the dialogue, who wrote what (only what kind: model, human or import, and the people whose changes
stand), thresholds, paths on this machine. It is for export only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path, PurePosixPath
from typing import IO, Any

from workbench.errors import ClipError, FormatError
from workbench.exports import hf_card, hivau_jsonl
from workbench.exports.cuts import open_media
from workbench.exports.media import copy_file
from workbench.exports.tracks import sightings
from workbench.exports.writing import FileNames, distinct, dumps, new_folder
from workbench.records import Provenance, ReviewedClip, Texts

MEDIA = "media"
_SPLITS = ("train", "validation", "test")
Row = dict[str, Any]


def write_hf(
    clips: Iterable[ReviewedClip], out: Path, *, notes: list[str] | None = None, repo: str | None = None
) -> int:
    """Write the folder `out`, whole or not at all. → how many clips.

    Args:
        notes: None leaves the videos out; else they are copied, and it takes a sentence for each that could not be.
        repo: OWNER/NAME where the folder goes on the Hub; its card tells how to load it from there.

    Raises:
        FormatError: there is something at `out` already, there is no clip, or two clips have one name.
    """
    with new_folder(out) as folder, ExitStack() as stack:
        writer = _Writer(folder, stack, notes)
        for reviewed in distinct(clips):
            writer.add(reviewed)
        if not writer.counts:
            raise FormatError("There is no clip to make a data set of; analyse or import one first.")
        card = hf_card.render(out.name, writer.counts, has_media=notes is not None, repo=repo)
        (folder / "README.md").write_text(card, encoding="utf-8", newline="\n")
        stack.close()  # before the folder is renamed, which some systems refuse while a file in it is open
        return sum(count for (table, _), count in writer.counts.items() if table == "clips")


def split_of(origin: str | None) -> str:
    """The split a clip is of, told by the folders it came from."""
    folders = PurePosixPath(origin or "").parts[:-1]
    return next((name for name in reversed(folders) if name in _SPLITS), "train")


class _Writer:
    """The files of all tables and splits, opened when their first row comes."""

    def __init__(self, folder: Path, stack: ExitStack, notes: list[str] | None) -> None:
        self.folder, self.notes = folder, notes
        self.counts: dict[tuple[str, str], int] = {}
        self._stack = stack
        self._files: dict[str, IO[str]] = {}
        self._names = FileNames()

    def add(self, reviewed: ReviewedClip) -> None:
        """Write all rows of a clip, its video first."""
        media = self._copy(reviewed)
        split = split_of(reviewed.clip.origin)
        row = _clip_row(reviewed, media)
        self._put("clips", split, row)
        for table, rows in (("events", _events), ("instances", _instances), ("instructions", _instructions)):
            for item in rows(reviewed):
                self._put(table, split, {"clip": reviewed.clip.name, "file_name": media, **item})
        if media is not None:
            words = {name: row[name] for name in ("name", "label", "judgement", "description", "analysis")}
            self._file(f"{MEDIA}/metadata.jsonl").write(dumps({"file_name": PurePosixPath(media).name, **words}) + "\n")

    def _put(self, table: str, split: str, row: Row) -> None:
        self._file(f"data/{table}-{split}.jsonl").write(dumps(row) + "\n")
        self.counts[table, split] = self.counts.get((table, split), 0) + 1

    def _file(self, name: str) -> IO[str]:
        if name not in self._files:
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            self._files[name] = self._stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))
        return self._files[name]

    def _copy(self, reviewed: ReviewedClip) -> str | None:
        """Path of the video inside the folder, None where it is left out or missing."""
        if self.notes is None:
            return None
        try:
            video = open_media(reviewed.clip)
        except (FormatError, ClipError) as error:
            self.notes.append(f"no video of {reviewed.clip.name}: {error}")
            return None
        with closing(video):
            name = f"{MEDIA}/{self._names.give(reviewed.clip.name)}{video.path.suffix.lower()}"
            copy_file(video.path, self.folder / name)
        return name


def _clip_row(reviewed: ReviewedClip, media: str | None) -> Row:
    clip = reviewed.clip
    return {
        "name": clip.name,
        "file_name": media,
        "origin": clip.origin,
        "sha256": clip.sha256,
        "n_frames": clip.n_frames,
        "fps": clip.fps,
        "duration_s": clip.duration_s,
        "width": clip.width,
        "height": clip.height,
        "label": None if reviewed.label is None else list(reviewed.label),
        "state": reviewed.state,
        **_texts(reviewed.texts),
        **_source(reviewed.provenance),
    }


def _events(reviewed: ReviewedClip) -> Iterator[Row]:
    for i, event in enumerate(reviewed.events):
        yield {
            "event": i,
            "start_s": event.start_s,
            "end_s": event.end_s,
            "peak_s": event.peak_s,
            "peak_score": event.peak_score,
            "category": event.category,
            **_texts(event.texts),
            "clips": [
                {"start_s": part.start_s, "end_s": part.end_s, "caption": part.caption or None} for part in event.clips
            ],
            **_source(event.provenance),
        }


def _instances(reviewed: ReviewedClip) -> Iterator[Row]:
    places = {event.id: i for i, event in enumerate(reviewed.events)}
    for item in reviewed.instances:
        instance = item.instance
        yield {
            "instance": instance.id,
            "event": places.get(item.event_id or ""),
            "role": instance.role,
            "category": instance.category,
            "appearance": instance.appearance,
            "motion": instance.motion,
            "track": [
                {
                    "frame": frame,
                    "box_xyxy": None if box is None else [float(side) for side in box],
                    "mask": None if mask is None else {"size": mask["size"], "counts": mask["counts"]},
                }
                for frame, box, mask in sightings(instance)
            ],
            **_source(item.provenance),
        }


def _instructions(reviewed: ReviewedClip) -> Iterator[Row]:
    for line in hivau_jsonl.lines_of(reviewed):
        yield {"type": line.level, "task": line.kind, "video": line.video, "prompt": line.prompt, "answer": line.answer}


def _texts(texts: Texts) -> Row:
    names = ("judgement", "description", "analysis", "summary")
    return {name: getattr(texts, name) for name in names}


def _source(source: Provenance) -> Row:
    return {"made_by": source.kind, "edited_by": list(source.edited_by)}
