"""Events as WebVTT and SRT subtitles, a file a clip, so that any player shows them over the video.

What they cannot hold: anything but a span and a text. A cue says the category and what happens, in that order;
times are rounded to the millisecond, and an event shorter than one lasts one. Events without times are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path

from workbench.errors import FormatError
from workbench.exports.writing import FileNames, new_folder
from workbench.files import replacing
from workbench.records import ReviewedClip, ReviewedEvent


def write_vtt(clips: Iterable[ReviewedClip], out: Path) -> int:
    """Write WebVTT: to `out` if that ends in .vtt (one clip only), else to a file a clip in the folder `out`."""
    return _write(clips, out, ".vtt", to_vtt)


def write_srt(clips: Iterable[ReviewedClip], out: Path) -> int:
    """Write SRT, as `write_vtt` does."""
    return _write(clips, out, ".srt", to_srt)


def to_vtt(reviewed: ReviewedClip) -> str:
    """The subtitles of a clip as WebVTT; markup characters are escaped as it asks."""
    cues = [
        f"{_clock(start, '.')} --> {_clock(end, '.')}\n{escape(text, quote=False)}\n"
        for start, end, text in _cues(reviewed)
    ]
    return "\n".join(["WEBVTT\n", *cues])


def to_srt(reviewed: ReviewedClip) -> str:
    """The subtitles of a clip as SRT. It has no escapes, so an arrow in a text is written as `->`."""
    return "\n".join(
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text.replace('-->', '->')}\n"
        for number, (start, end, text) in enumerate(_cues(reviewed), start=1)
    )


def _write(clips: Iterable[ReviewedClip], out: Path, suffix: str, render: Callable[[ReviewedClip], str]) -> int:
    if out.suffix.lower() == suffix:
        return _write_one(clips, out, render)
    names, count = FileNames(), 0
    with new_folder(out) as folder:
        for count, reviewed in enumerate(clips, start=1):  # noqa: B007 - counts
            _put(folder / (names.give(reviewed.clip.name) + suffix), render(reviewed))
    return count


def _write_one(clips: Iterable[ReviewedClip], out: Path, render: Callable[[ReviewedClip], str]) -> int:
    text: str | None = None
    for reviewed in clips:
        if text is not None:
            raise FormatError(f"{out.name} can hold one clip only; name a folder, or one clip with --clip.")
        text = render(reviewed)
    if text is None:
        raise FormatError("There is no clip to write subtitles of; analyse or import one first.")
    _put(out, text)
    return 1


def _put(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _cues(reviewed: ReviewedClip) -> list[tuple[int, int, str]]:
    """Start and end in milliseconds, and one line of text, in the order of time."""
    cues = []
    for event in reviewed.events:
        if event.start_s is None or event.end_s is None:
            continue
        start = round(event.start_s * 1000)
        cues.append((start, max(start + 1, round(event.end_s * 1000)), _text(event)))
    return sorted(cues)


def _text(event: ReviewedEvent) -> str:
    words = [event.category, event.texts.description or event.texts.judgement or event.texts.summary]
    text = ": ".join(word for word in words if word) or "abnormal"
    return " ".join(text.split())


def _clock(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{rest:03d}"
