"""Videos beside an export, under the names that its lines use: whole clips, and events and captioned clips cut out.

    videos/NAME.mp4  events/NAME_E0.mp4  clips/NAME_E0C2.mp4          (HIVAU-70k; below the clip's own folders)

Each file appears whole or not at all, and before the annotations that name it. Cut files have no sound.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

from workbench.errors import ClipError, FormatError
from workbench.exports.cuts import cut_span, open_media
from workbench.exports.folders import inside
from workbench.exports.hivau_jsonl import media_name
from workbench.files import replacing
from workbench.records import CaptionedClip, ReviewedClip, ReviewedEvent
from workbench.video import Clip

Watch = Callable[[str, float], None]


def with_media(
    clips: Iterable[ReviewedClip], folder: Path, notes: list[str], watch: Watch | None = None
) -> Iterator[ReviewedClip]:
    """Pass clips on, each after its files were written below `folder`.

    Args:
        notes: takes a sentence for each file that could not be written: a clip without its video, a span without
            times or after the end.
        watch: told the name of the file being written and the share done of its clip; what it raises ends the writing.

    Raises:
        FormatError: a name leads out of the folder. ClipError: writing failed.
    """
    for reviewed in clips:
        write_media(reviewed, folder, notes, watch)
        yield reviewed


def write_media(reviewed: ReviewedClip, folder: Path, notes: list[str], watch: Watch | None = None) -> int:
    """Write the files of one clip, as `with_media`. → how many."""
    clip = reviewed.clip
    inside(media_name(clip), f"The origin of {clip.name}")
    try:
        video = open_media(clip)
    except (FormatError, ClipError) as error:
        notes.append(f"no files of {clip.name}: {error}")
        return 0
    with closing(video):
        copy_file(video.path, folder / media_name(clip))
        count, seen_s = 1, 0.0
        spans = list(_spans(reviewed))
        total_s = sum(length for *_, length in spans) or 1.0
        for name, what, start_s, end_s, length in spans:

            def progress(share: float, name: str = name, before: float = seen_s, length: float = length) -> None:
                if watch:
                    watch(name, (before + share * length) / total_s)

            reason = _cut(video, start_s, end_s, folder / name, progress)
            seen_s += length
            if reason is None:
                count += 1
            else:
                notes.append(f"no file of {what} of {clip.name}: {reason}")
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
    """Copy a file; `target` appears whole. Nothing is done where the two are one file."""
    if target.exists() and target.samefile(source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _cut(
    video: Clip, start_s: float | None, end_s: float | None, path: Path, progress: Callable[[float], None]
) -> str | None:
    """Write a span; → why it was not, None when it was."""
    if start_s is None or end_s is None:
        return "it has no times; set its start and end first."
    if start_s >= video.info.duration_s:
        return f"it begins at {start_s:g} s, after the end of the video ({video.info.duration_s:.2f} s)."
    path.parent.mkdir(parents=True, exist_ok=True)
    cut_span(video, start_s, end_s, path, progress=progress)
    return None
