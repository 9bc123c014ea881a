"""Videos beside an export, under the names that its lines use: whole clips, and events and captioned clips cut out.

    videos/NAME.mp4  events/NAME_E0.mp4  clips/NAME_E0C2.mp4          (HIVAU-70k; below the clip's own folders)

All files appear together or none does, and before the annotations that name them. A whole clip replaces no other file;
a cut one replaces that of an earlier export. Cut files have no sound.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from workbench.errors import ClipError, FormatError
from workbench.exports.cuts import END_SLACK_S, cut_span, open_media
from workbench.exports.folders import inside
from workbench.exports.hivau_jsonl import media_name
from workbench.files import replacing
from workbench.records import CaptionedClip, ReviewedClip, ReviewedEvent
from workbench.video import Clip

Watch = Callable[[str, float], None]


def with_media(
    clips: Iterable[ReviewedClip], folder: Path, notes: list[str], watch: Watch | None = None
) -> Generator[ReviewedClip, None, None]:
    """Pass clips on while their files are written; after the last one, the files take their places below `folder`.

    Args:
        notes: takes a sentence for each file that could not be written or ends too early: a clip without its video, a
            span without times, or one that begins or ends after the end.
        watch: told the name of the file being written and the share done of its clip; what it raises ends the writing.

    Raises:
        FormatError: a name leads out of the folder, or another file is there. ClipError: writing failed.
    """
    with TemporaryDirectory(dir=folder, prefix=".media-", suffix=".partial") as temporary:
        made = Path(temporary)
        for reviewed in clips:
            write_media(reviewed, made, notes, watch, folder=folder)
            yield reviewed
        for path in sorted(item for item in made.rglob("*") if item.is_file()):
            place = folder / path.relative_to(made)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, place)


def write_media(
    reviewed: ReviewedClip, made: Path, notes: list[str], watch: Watch | None = None, *, folder: Path | None = None
) -> int:
    """Write the files of one clip below `made`, as `with_media`; `folder` is where they will go. → how many."""
    clip = reviewed.clip
    inside(media_name(clip), f"The origin of {clip.name}")
    try:
        video = open_media(clip)
    except (FormatError, ClipError) as error:
        notes.append(f"no files of {clip.name}: {error}")
        return 0
    with closing(video):
        if not (folder and _is_there(video.path, folder / media_name(clip))):
            copy_file(video.path, made / media_name(clip))
        count, seen_s = 1, 0.0
        spans = list(_spans(reviewed))
        total_s = sum(length for *_, length in spans) or 1.0
        for name, what, start_s, end_s, length in spans:

            def progress(share: float, name: str = name, before: float = seen_s, length: float = length) -> None:
                if watch:
                    watch(name, (before + share * length) / total_s)

            reason = _cut(video, start_s, end_s, made / name, progress)
            seen_s += length
            if reason is not None:
                notes.append(f"no file of {what} of {clip.name}: {reason}")
                continue
            count += 1
            if end_s is not None and end_s > video.info.duration_s + END_SLACK_S:
                notes.append(
                    f"the file of {what} of {clip.name} ends with the video, at {video.info.duration_s:.2f} s, not at "
                    f"{end_s:g} s; correct its times."
                )
    return count


def _spans(reviewed: ReviewedClip) -> Iterator[tuple[str, str, float | None, float | None, float]]:
    """Name, what it is, start, end and length of each event and captioned clip; 0 where the times are not known."""
    clip = reviewed.clip
    for i, event in enumerate(reviewed.events):
        yield media_name(clip, i), f"event {i}", event.start_s, event.end_s, _length(event)
        for k, part in enumerate(event.clips):
            yield media_name(clip, i, k), f"clip {k} of event {i}", part.start_s, part.end_s, _length(part)


def _length(item: ReviewedEvent | CaptionedClip) -> float:
    return 0.0 if item.start_s is None or item.end_s is None else item.end_s - item.start_s


def copy_file(source: Path, target: Path) -> None:
    """Copy a file; `target` appears whole. Nothing is done where it is there. Raises FormatError: another file is."""
    if _is_there(source, target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _is_there(source: Path, target: Path) -> bool:
    if not target.exists():
        return False
    if target.is_file() and (target.samefile(source) or filecmp.cmp(source, target, shallow=False)):
        return True
    raise FormatError(
        f"{target} is there already and is not {source}; move it away, or name another folder with --out."
    )


def _cut(
    video: Clip, start_s: float | None, end_s: float | None, path: Path, progress: Callable[[float], None]
) -> str | None:
    """Write a span; → why it was not, None when it was."""
    if start_s is None or end_s is None:
        return "it has no times; set its start and end first."
    if start_s >= video.info.duration_s:
        return f"it begins at {start_s:g} s, after the end of the video ({video.info.duration_s:.2f} s)."
    path.parent.mkdir(parents=True, exist_ok=True)
    cut_span(video, start_s, min(end_s, video.info.duration_s), path, progress=progress)
    return None
