"""HIVAU-70k raw annotations (Holmes-VAU): one JSON object, a video name to its events, clips, captions and texts.

    "Abuse028_x264": {"n_frames": 1412, "fps": 30.0, "label": ["Abuse"],
        "events": [[5.5, 8.0]], "clips": [[[5.5, 6.7]]], "clips_caption": [["…"]],
        "events_summary": ["…"], "video_summary": "…",
        "events_summary_split": [{"judgement": "…", "description": "…", "analysis": "…"}],
        "video_summary_split": {…}}

What it cannot hold: instances and masks, the dialogue, questions, peak times and scores, the category of each event
(only those of the whole video), who wrote what, review states, clips without times, path and content hash of the
video. A label nobody has given is written as the categories of the events, and as `["abnormal"]` where they have none;
none at all (`[]`) means normal.
A text that was never written is left out of the split texts; an empty caption stands for none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from workbench.corrections import documents
from workbench.errors import FormatError
from workbench.exports import drafts, moments
from workbench.files import replacing
from workbench.records import CaptionedClip, ClipRecord, Provenance, ReviewedClip, ReviewedEvent, Texts

FORMAT = "hivau"
_SPLIT = ("judgement", "description", "analysis")


def write_hivau(clips: Iterable[ReviewedClip], out: Path) -> int:
    """Write clips as one JSON file, laid out like the published ones (4 spaces, ASCII). → how many.

    A clip without events is written too, with empty lists.

    Raises:
        FormatError: an event has no times (instruction files name events without them), a clip no frame rate, or two
            clips have the same name.
    """
    names: set[str] = set()
    with replacing(out) as temporary, temporary.open("w", encoding="ascii") as file:
        file.write("{")
        for reviewed in clips:
            name = reviewed.clip.name
            if name in names:
                raise FormatError(f"Two clips are called {name!r}, but the format knows clips by name; rename one.")
            text = json.dumps({name: to_document(reviewed)}, indent=4)
            file.write(("," if names else "") + text[1:-2])
            names.add(name)
        file.write("\n}" if names else "}")
    return len(names)


def read_hivau(path: Path) -> Iterator[ReviewedClip]:
    """Clips of a raw annotation file, all without media.

    Raises:
        FormatError: the file is not such JSON; the sentence names the video and the field.
    """
    data = drafts.parse(drafts.read_text(path), str(path))
    if not isinstance(data, dict):
        raise FormatError(f"{path} is not an object of videos; HIVAU-70k annotations map video names to their events.")
    for name, document in data.items():
        yield from_document(name, document, f"{path}: {name}")


def unfit(reviewed: ReviewedClip) -> str | None:
    """Why a clip cannot be written in this format, None when it can."""
    try:
        to_document(reviewed)
    except FormatError as error:
        return str(error)
    return None


def to_document(reviewed: ReviewedClip) -> dict[str, Any]:
    """One video as the format has it."""
    clip = reviewed.clip
    if clip.fps is None or clip.n_frames is None:
        raise FormatError(
            f"{clip.name} has no frame count and rate (only instructions of it were imported); "
            "import its annotations or its video first."
        )
    return {
        "n_frames": clip.n_frames,
        "fps": clip.fps,
        "label": _label(reviewed),
        "events": [_span(event, f"Event {event.id} of {clip.name}") for event in reviewed.events],
        "clips": [
            [_span(part, f"Captioned clip {part.id} of {clip.name}") for part in event.clips]
            for event in reviewed.events
        ],
        "clips_caption": [[part.caption for part in event.clips] for event in reviewed.events],
        "events_summary": [drafts.full_summary(event.texts) for event in reviewed.events],
        "video_summary": drafts.full_summary(reviewed.texts),
        "events_summary_split": [_split(event.texts) for event in reviewed.events],
        "video_summary_split": _split(reviewed.texts),
    }


def from_document(name: str, document: Any, where: str) -> ReviewedClip:
    """One video as records; the label `[]` is the empty tuple (normal), that of events without categories none."""
    if not isinstance(document, dict):
        raise FormatError(f"{where} must be an object with events, clips and texts.")
    made_by = Provenance("import", FORMAT)
    n_frames, fps = document.get("n_frames"), drafts.seconds(document.get("fps"), f"{where}: fps")
    if not isinstance(n_frames, int) or isinstance(n_frames, bool) or not 0 <= n_frames <= documents.MOST_FRAMES:
        raise FormatError(
            f"{where}: n_frames must be a whole number from 0 to {documents.MOST_FRAMES:,}, not {n_frames!r:.40}."
        )
    if fps == 0:
        raise FormatError(f"{where}: fps must be above 0.")
    label = document.get("label")
    if not isinstance(label, list) or not all(isinstance(item, str) for item in label):
        raise FormatError(f"{where}: label must be a list of category names, not {label!r:.40}.")
    clip = ClipRecord(id=0, name=name, n_frames=n_frames, fps=fps, duration_s=n_frames / fps)
    moments.checked("clip", documents.clip_to(clip), clip, where)
    events = tuple(_events(document, where, made_by))
    blank = drafts.blank(clip, made_by)
    return ReviewedClip(
        clip=clip,
        layer=blank.layer,
        revision=0,
        state=blank.state,
        label=None if events and label == [moments.UNNAMED] else tuple(label),
        texts=_texts(document.get("video_summary_split"), document.get("video_summary", ""), f"{where}: video_summary"),
        events=events,
        instances=(),
        dialogue=(),
        questions=(),
        provenance=made_by,
    )


def _events(document: dict[str, Any], where: str, made_by: Provenance) -> Iterator[ReviewedEvent]:
    spans = _list(document, "events", where)
    columns = [
        _list(document, name, where, len(spans))
        for name in ("clips", "clips_caption", "events_summary", "events_summary_split")
    ]
    for i, (span, clips, captions, summary, split) in enumerate(zip(spans, *columns, strict=True)):
        place = f"{where}: event {i}"
        start_s, end_s = _times(span, place)
        if not isinstance(clips, list) or not isinstance(captions, list) or len(clips) != len(captions):
            raise FormatError(f"{place} needs as many captions as clips.")
        parts = []
        for k, (times, caption) in enumerate(zip(clips, captions, strict=True)):
            part_place = f"{place}, clip {k}"
            text = drafts.text_or_none(caption, f"{part_place}: caption") or ""
            parts.append(CaptionedClip(f"E{i}C{k}", *_times(times, part_place), text, made_by))
        texts = _texts(split, summary, f"{place}: summary")
        yield ReviewedEvent(f"E{i}", start_s, end_s, None, None, None, texts, tuple(parts), made_by)


def _texts(split: Any, summary: Any, where: str) -> Texts:
    if split is not None and not (isinstance(split, dict) and split.keys() <= set(_SPLIT)):
        raise FormatError(f"{where}_split must be an object of {', '.join(_SPLIT)}.")
    three = [drafts.text_or_none((split or {}).get(name), f"{where}_split: {name}") for name in _SPLIT]
    running = drafts.text_or_none(summary, where) or ""
    return drafts.shorten(Texts(*three), running)


def _label(reviewed: ReviewedClip) -> list[str]:
    if reviewed.label is not None:
        return list(reviewed.label)
    named = list(dict.fromkeys(event.category for event in reviewed.events if event.category))
    return named or ([moments.UNNAMED] if reviewed.events else [])


def _span(item: ReviewedEvent | CaptionedClip, what: str) -> list[float]:
    if item.start_s is None or item.end_s is None:
        raise FormatError(f"{what} has no times; set its start and end first, or leave the clip out.")
    return [item.start_s, item.end_s]


def _split(texts: Texts) -> dict[str, str]:
    values = (texts.judgement, texts.description, texts.analysis)
    return {name: value for name, value in zip(_SPLIT, values, strict=True) if value is not None}


def _list(document: dict[str, Any], name: str, where: str, length: int | None = None) -> list[Any]:
    value = document.get(name)
    if not isinstance(value, list):
        raise FormatError(f"{where}: {name} must be a list, one entry an event.")
    if length is not None and len(value) != length:
        raise FormatError(f"{where}: {name} has {len(value)} entries for {length} events.")
    return value


def _times(value: Any, where: str) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise FormatError(f"{where} must be [start, end] in seconds, not {value!r:.40}.")
    start, end = (drafts.seconds(time, where) for time in value)
    if end < start:
        raise FormatError(f"{where} ends at {end:g} s, before it starts at {start:g} s.")
    return start, end
