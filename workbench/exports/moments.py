"""Clips and their events as the annotation formats write them: as JSON objects, and as spans of frames.

An event keeps its exact times beside the frames that a format asks for. Read back, the exact time counts as long as it
still falls on the frame that the file names; whoever moves the frames in another tool moves the event.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from workbench.corrections import documents, naming
from workbench.errors import FormatError, InputError
from workbench.exports import drafts, fields
from workbench.masks import MOST_SIDE
from workbench.records import CaptionedClip, ClipRecord, Provenance, ReviewedClip, ReviewedEvent, Texts

_SIZES = {"n_frames": documents.MOST_FRAMES, "width": MOST_SIDE, "height": MOST_SIDE}  # and their most
_SLACK_S = 1.0  # what a store takes past the end of a clip
_GRACE = 1e-6  # of a frame: a time that was divided by the rate must find its own frame again
UNNAMED = "abnormal"  # label of an event without a category, where a format wants one


def lacking(reviewed: ReviewedClip, *, spans: bool = False) -> str | None:
    """Why a clip cannot be written frame by frame, None when it can.

    Args:
        spans: events become spans of frames, so the frame rate and all times have to be known.
    """
    clip = reviewed.clip
    if reviewed.instances and (not clip.width or not clip.height):
        return f"{clip.name} has instances, but its width and height are not known; import its video first."
    for item in reviewed.instances:
        if not item.instance.category:
            return f"Instance {item.id} of {clip.name} has no category; name one first."
    if not spans:
        return None
    if not clip.fps or not clip.n_frames:
        return f"{clip.name} has no frame count and rate; import its annotations or its video first."
    for event in reviewed.events:
        if event.start_s is None or event.end_s is None:
            return f"Event {event.id} of {clip.name} has no times; set its start and end first, or leave the clip out."
        for part in event.clips:
            if part.start_s is None or part.end_s is None:
                return f"Captioned clip {part.id} of {clip.name} has no times; set its start and end first."
    return None


def require(reason: str | None) -> None:
    """Raise FormatError when there is a reason."""
    if reason is not None:
        raise FormatError(reason)


def clip_to(reviewed: ReviewedClip) -> dict[str, Any]:
    """What is known of the clip and said of the whole video. Not its path and hash: they are of one machine.

    A clip whose events were imported with times far past the end of its video lasts as long as they do, and no frames
    at all are an unknown number of them, so that what is written can be read.
    """
    clip = reviewed.clip
    return {
        "name": clip.name,
        "origin": clip.origin,
        "n_frames": clip.n_frames or None,
        "fps": clip.fps,
        "duration_s": _duration(reviewed),
        "width": clip.width,
        "height": clip.height,
        "label": None if reviewed.label is None else list(reviewed.label),
        **_texts_to(reviewed.texts),
    }


def clip_from(document: dict[str, Any], format_name: str, where: str) -> ReviewedClip:
    """A clip without media, as `clip_to` wrote it; what is missing was not said.

    Raises:
        FormatError: a field is not what it must be.
    """
    name = fields.text(document.get("name"), f"{where}: name")
    sizes = {
        key: None if document.get(key) is None else fields.whole(document[key], f"{where}: {key}", 1, most)
        for key, most in _SIZES.items()
    }
    fps = _positive(document, "fps", where)
    duration_s = _positive(document, "duration_s", where)
    if duration_s is None and fps and sizes["n_frames"]:
        duration_s = sizes["n_frames"] / fps
    origin = drafts.text_or_none(document.get("origin"), f"{where}: origin")
    clip = ClipRecord(
        id=0,
        name=name,
        origin=origin,
        n_frames=sizes["n_frames"],
        fps=fps,
        duration_s=duration_s,
        width=sizes["width"],
        height=sizes["height"],
    )
    checked("clip", documents.clip_to(clip), clip, where)
    label = document.get("label")
    if label is not None and not (isinstance(label, list) and all(isinstance(item, str) for item in label)):
        raise FormatError(f"{where}: label must be a list of category names, not {label!r:.40}.")
    return replace(
        drafts.blank(clip, Provenance("import", format_name)),
        label=None if label is None else tuple(label),
        texts=_texts_from(document, where),
    )


def event_to(event: ReviewedEvent) -> dict[str, Any]:
    """An event with its texts and captioned clips."""
    return {
        "id": event.id,
        "start_s": event.start_s,
        "end_s": event.end_s,
        "peak_s": event.peak_s,
        "peak_score": event.peak_score,
        "category": event.category,
        **_texts_to(event.texts),
        "clips": [
            {"id": part.id, "start_s": part.start_s, "end_s": part.end_s, "caption": part.caption}
            for part in event.clips
        ],
    }


def events_from(documents_: list[Any], reviewed: ReviewedClip, where: str) -> ReviewedClip:
    """The clip with the events that `event_to` wrote.

    Raises:
        FormatError: an event cannot be true of the clip (times past its end, an end before its start), or an id is
            there twice.
    """
    ids, part_ids = set[str](), set[str]()
    said = [(fields.mapping(value, f"{where}: event {i}"), f"{where}: event {i}") for i, value in enumerate(documents_)]
    for document, place in said:
        _take_id(document, ids, place, f"{where}: the id {{!r}} of an event")
        for k, part in enumerate(fields.items(document, "clips", place, optional=True)):
            part_place = f"{place}, clip {k}"
            what = f"{where}: the id {{!r}} of a captioned clip"
            _take_id(fields.mapping(part, part_place), part_ids, part_place, what)
    events = [_event_from(document, reviewed, place, ids, part_ids) for document, place in said]
    return replace(reviewed, events=tuple(events))


def _take_id(document: dict[str, Any], taken: set[str], where: str, what: str) -> None:
    """Keep the id that a document has for it. Raises FormatError when another has it."""
    if "id" in document:
        said = fields.text(document["id"], f"{where}: id")
        fields.once(said, taken, what.format(said))


def _event_from(
    document: dict[str, Any], reviewed: ReviewedClip, where: str, ids: set[str], part_ids: set[str]
) -> ReviewedEvent:
    """One event of `events_from`; it and its captioned clips get ids that are not taken where they have none."""
    made_by = reviewed.provenance
    score = document.get("peak_score")
    parts = []
    for k, value in enumerate(fields.items(document, "clips", where, optional=True)):
        place = f"{where}, clip {k}"
        part = fields.mapping(value, place)
        caption = drafts.text_or_none(part.get("caption"), f"{place}: caption") or ""
        span = _time(part, "start_s", place), _time(part, "end_s", place)
        part_id = part.get("id") or naming.untaken(naming.of_span("C", *span, [caption]), part_ids)
        parts.append(CaptionedClip(part_id, *span, caption, made_by))
    span, texts = (_time(document, "start_s", where), _time(document, "end_s", where)), _texts_from(document, where)
    category = drafts.text_or_none(document.get("category"), f"{where}: category")
    words = [category, texts.judgement, texts.description, texts.analysis, texts.summary]
    event_id = document.get("id") or naming.untaken(naming.of_span("E", *span, words), ids)
    event = ReviewedEvent(
        event_id,
        *span,
        _time(document, "peak_s", where),
        None if score is None else fields.number(score, f"{where}: peak_score"),
        category,
        texts,
        tuple(parts),
        made_by,
    )
    checked("event", documents.event_to(event, 0), reviewed.clip, where)
    for part_ in parts:
        checked("caption", documents.caption_to(part_, event_id, 0), reviewed.clip, where)
    return event


def checked(kind: str, document: dict[str, Any], clip: ClipRecord, where: str) -> None:
    """Raise FormatError when this cannot be true of the clip, by the rules of the store."""
    try:
        documents.check(kind, document, clip)
    except InputError as error:
        raise FormatError(f"{where}: {error}") from error


def frames_of(start_s: float, end_s: float, clip: ClipRecord) -> tuple[int, int]:
    """First and last frame (both inside) of a span of time, counted at the mean frame rate of a clip that has one."""
    assert clip.fps
    assert clip.n_frames
    first = math.floor(start_s * clip.fps + _GRACE)
    last = math.ceil(end_s * clip.fps - _GRACE) - 1
    first = min(max(0, first), clip.n_frames - 1)
    return first, min(max(first, last), clip.n_frames - 1)


def times_of(
    first: int, last: int, clip: ClipRecord, exact: tuple[float, float] | None, where: str
) -> tuple[float, float]:
    """The times of a span of frames: the exact ones as long as they fall on its ends, else those of the frames.

    Raises:
        FormatError: the span is none, or ends after the clip.
    """
    assert clip.fps
    if clip.n_frames is not None and last >= clip.n_frames:
        raise FormatError(f"{where} goes to frame {last}, but {clip.name} has frames 0 to {clip.n_frames - 1}.")
    if last < first:
        raise FormatError(f"{where} ends at frame {last}, before it starts at frame {first}.")
    start_s, end_s = first / clip.fps, (last + 1) / clip.fps
    if exact is not None and max(exact) > documents.MOST_SECONDS:
        raise FormatError(f"{where} has a time of {max(exact):g} s, later than any clip lasts; give it in seconds.")
    if exact is not None:
        was = frames_of(*exact, clip) if clip.n_frames else (first, last)
        start_s = exact[0] if was[0] == first else start_s
        end_s = exact[1] if was[1] == last else end_s
    return start_s, max(start_s, end_s)


def _duration(reviewed: ReviewedClip) -> float | None:
    duration_s = reviewed.clip.duration_s
    if not duration_s:
        return None
    times = [time_s for event in reviewed.events for time_s in (event.end_s, event.peak_s)]
    times += [part.end_s for event in reviewed.events for part in event.clips]
    last_s = max((time_s for time_s in times if time_s is not None), default=0.0)
    return last_s if last_s > duration_s + _SLACK_S else duration_s


def _texts_to(texts: Texts) -> dict[str, str | None]:
    return {
        "judgement": texts.judgement,
        "description": texts.description,
        "analysis": texts.analysis,
        "summary": texts.summary,
    }


def _texts_from(document: dict[str, Any], where: str) -> Texts:
    names = ("judgement", "description", "analysis", "summary")
    return Texts(*(drafts.text_or_none(document.get(name), f"{where}: {name}") for name in names))


def _time(document: dict[str, Any], name: str, where: str) -> float | None:
    return None if document.get(name) is None else drafts.seconds(document[name], f"{where}: {name}")


def _positive(document: dict[str, Any], name: str, where: str) -> float | None:
    if document.get(name) is None:
        return None
    value = fields.number(document[name], f"{where}: {name}")
    if value <= 0:
        raise FormatError(f"{where}: {name} must be above 0, not {value:g}.")
    return value
