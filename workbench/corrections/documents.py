"""Records ⇄ the JSON documents of history rows, and what a document may hold.

A subject of each kind has one flat document, always with all its fields, so that one field can be changed by a row
and the same state is the same text. `position` keeps subjects in the order in which they were made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any, cast, get_args

from workbench.corrections.log import Document
from workbench.errors import InputError
from workbench.masks import check_size, decode_rle
from workbench.records import (
    REVIEW_STATES,
    ROLES,
    CaptionedClip,
    ClipRecord,
    Evidence,
    Instance,
    MaskRLE,
    Provenance,
    Question,
    ReviewedClip,
    ReviewedEvent,
    ReviewedInstance,
    ReviewedTurn,
    SubjectKind,
    Texts,
    Turn,
    TurnKind,
)

TEXT_FIELDS = ("judgement", "description", "analysis_text", "summary")
EDITABLE: dict[str, tuple[str, ...]] = {
    "video": ("state", "label", *TEXT_FIELDS, "threshold"),
    "event": ("start_s", "end_s", "peak_s", "peak_score", "category", *TEXT_FIELDS, "verdict"),
    "caption": ("start_s", "end_s", "caption"),
    "instance": (
        *("role", "category", "appearance", "motion", "event_id"),
        *("first_frame", "last_frame", "boxes_xyxy", "masks_rle"),
    ),
    "turn": ("kind", "question", "answer", "evidence", "verdict"),
    "question": ("kind", "about", "text"),
}
MOST_FRAMES = 100_000_000
MOST_RATE = 100_000.0
MOST_SECONDS = 366 * 86_400.0
"""What a clip may have at most: 38 days at 30 frames a second, the quickest cameras, a year. More is a mistake."""
_SLACK_S = 1.0  # published annotations end up to a second after their video
_MOST_DIGITS = 12  # of the number of a frame
_MOST_PX = 1e6  # how far a box may reach, outside the picture too


def texts_to(texts: Texts) -> Document:
    """`analysis` is called `analysis_text` in documents, where `analysis` is the number of the analysis it is of."""
    return {
        "judgement": texts.judgement,
        "description": texts.description,
        "analysis_text": texts.analysis,
        "summary": texts.summary,
    }


def _made_by(provenance: Provenance) -> Document:
    source = {"kind": provenance.kind, "name": provenance.name, "adapter": provenance.adapter}
    return {"provenance": source, "editors": dict.fromkeys(provenance.edited_by, 1)}


def clip_to(clip: ClipRecord) -> Document:
    """Everything but the number of the clip, which its rows have anyway."""
    document = asdict(clip)
    del document["id"]
    return document


def video_to(reviewed: ReviewedClip) -> Document:
    """What is said of the whole video."""
    return {
        "state": reviewed.state,
        "label": None if reviewed.label is None else list(reviewed.label),
        **texts_to(reviewed.texts),
        "threshold": reviewed.threshold,
        **_made_by(reviewed.provenance),
    }


def event_to(event: ReviewedEvent, position: int) -> Document:
    """An event without its captioned clips, which are subjects of their own."""
    return {
        "position": position,
        "start_s": event.start_s,
        "end_s": event.end_s,
        "peak_s": event.peak_s,
        "peak_score": event.peak_score,
        "category": event.category,
        **texts_to(event.texts),
        "verdict": event.verdict,
        **_made_by(event.provenance),
    }


def caption_to(clip: CaptionedClip, event_id: str, position: int) -> Document:
    """A captioned clip of the event `event_id`."""
    return {
        "position": position,
        "event": event_id,
        "start_s": clip.start_s,
        "end_s": clip.end_s,
        "caption": clip.caption,
        **_made_by(clip.provenance),
    }


def instance_to(reviewed: ReviewedInstance, position: int) -> Document:
    """An instance; keys of boxes and masks are frame numbers as text, as JSON wants it."""
    instance = reviewed.instance
    return {
        "position": position,
        "event_id": reviewed.event_id,
        "number": instance.id,
        "role": instance.role,
        "category": instance.category,
        "appearance": instance.appearance,
        "motion": instance.motion,
        "first_frame": int(instance.first_frame),
        "last_frame": int(instance.last_frame),
        "boxes_xyxy": {str(frame): [float(side) for side in box] for frame, box in instance.boxes_xyxy.items()},
        "masks_rle": {
            str(frame): {"size": [int(side) for side in mask["size"]], "counts": mask["counts"]}
            for frame, mask in instance.masks_rle.items()
        },
        **_made_by(reviewed.provenance),
    }


def turn_to(reviewed: ReviewedTurn, position: int) -> Document:
    """A turn of the dialogue."""
    turn = reviewed.turn
    return {
        "position": position,
        "kind": turn.kind,
        "question": turn.question,
        "answer": turn.answer,
        "evidence": [asdict(item) for item in turn.evidence],
        "verdict": reviewed.verdict,
        **_made_by(reviewed.provenance),
    }


def question_to(question: Question, position: int) -> Document:
    """A question of an instruction set."""
    return {"position": position, "kind": question.kind, "about": question.about, "text": question.text}


def reviewed_from(
    clip: ClipRecord, layer: str, revision: int, subjects: Iterable[tuple[SubjectKind, str, Document]]
) -> ReviewedClip:
    """Put the documents of a layer together."""
    by_kind: dict[str, list[tuple[str, Document]]] = {}
    for kind, subject_id, document in subjects:
        by_kind.setdefault(kind, []).append((subject_id, document))
    for group in by_kind.values():
        group.sort(key=lambda item: (item[1].get("position", 0), len(item[0]), item[0]))
    captions: dict[str, list[CaptionedClip]] = {}
    for subject_id, document in by_kind.get("caption", []):
        captions.setdefault(document["event"], []).append(_caption_from(subject_id, document))
    video = by_kind["video"][0][1]
    return ReviewedClip(
        clip=clip,
        layer=layer,
        revision=revision,
        state=video["state"],
        label=None if video["label"] is None else tuple(video["label"]),
        texts=_texts_from(video),
        events=tuple(event_from(i, d, tuple(captions.get(i, ()))) for i, d in by_kind.get("event", [])),
        instances=tuple(_instance_from(i, d) for i, d in by_kind.get("instance", [])),
        dialogue=tuple(turn_from(i, d) for i, d in by_kind.get("turn", [])),
        questions=tuple(Question(i, d["kind"], d["about"], d["text"]) for i, d in by_kind.get("question", [])),
        provenance=_provenance_from(video),
        threshold=video.get("threshold"),  # not in documents of stores from before there was one
    )


def check(kind: str, document: Document, clip: ClipRecord) -> None:
    """Refuse a document that cannot be true of a clip.

    Raises:
        InputError: a time, frame, role, state, mask or text is out of range, with the value in the sentence.
    """
    if checker := _CHECKS.get(kind):
        _check_types(kind, document)
        checker(document, clip)


_MAY_BE_EMPTY = (*TEXT_FIELDS, "event_id", "about")
_TEXTS = ("caption", "question", "answer", "appearance", "motion", "text")
_WHOLE = ("first_frame", "last_frame")
_BY_FRAME = ("boxes_xyxy", "masks_rle")


def _check_types(kind: str, document: Document) -> None:
    """Refuse what a reader of the document would stumble over: programs may send any JSON."""
    what = f"an {kind}" if kind[0] in "ei" else f"a {kind}"
    for field, value in document.items():
        optional = field in _MAY_BE_EMPTY or (field == "category" and kind != "instance")
        if (optional and value is not None) or field in _TEXTS or (field == "category" and not optional):
            if not isinstance(value, str):
                raise InputError(f"{field} of {what} must be text, not {value!r:.60}.")
        elif field in _WHOLE and (not isinstance(value, int) or isinstance(value, bool)):
            raise InputError(f"{field} of {what} must be the number of a frame, not {value!r:.60}.")
        elif field in _BY_FRAME and not isinstance(value, dict):
            raise InputError(f"{field} of {what} must be an object by number of frame, not {value!r:.60}.")


def _check_clip(document: Document, clip: ClipRecord) -> None:
    frames, rate, length = document["n_frames"], document["fps"], document["duration_s"]
    if frames is not None and not (isinstance(frames, int) and 0 <= frames <= MOST_FRAMES):
        raise InputError(f"{clip.name} cannot have {frames!r:.40} frames; correct n_frames (at most {MOST_FRAMES:,}).")
    if rate is not None and not (_is_number(rate) and 0 < rate <= MOST_RATE):
        raise InputError(
            f"{clip.name} cannot have {rate!r:.40} frames a second; correct fps (above 0, at most {MOST_RATE:,.0f})."
        )
    if length is not None and not (_is_number(length) and 0 <= length <= MOST_SECONDS):
        raise InputError(
            f"{clip.name} cannot last {length!r:.40} s; correct n_frames, fps or duration_s (at most a year, "
            f"{MOST_SECONDS:,.0f} s)."
        )
    if document["width"] is not None and document["height"] is not None:
        check_size(document["height"], document["width"])


def _check_span(document: Document, clip: ClipRecord) -> None:
    for field in ("start_s", "end_s", "peak_s"):
        value = document.get(field)
        if value is None:
            continue
        if not _is_number(value) or value < 0:
            raise InputError(f"{field} must be a time in seconds from 0, not {value!r}.")
        if value > MOST_SECONDS:
            raise InputError(f"{field} {value:g} s is later than any clip lasts; give a time in seconds.")
        if clip.duration_s is not None and value > clip.duration_s + _SLACK_S:
            raise InputError(
                f"{field} {value:g} s lies after the end of {clip.name} ({clip.duration_s:g} s); give an earlier time."
            )
    start, end = document["start_s"], document["end_s"]
    if (start is None) != (end is None):
        raise InputError("A span needs both its start and its end, or neither.")
    if start is not None and end < start:
        raise InputError(f"The end {end:g} s lies before the start {start:g} s; move one of them.")
    score = document.get("peak_score")
    if score is not None and not (_is_number(score) and 0 <= score <= 1):
        raise InputError(f"peak_score must be from 0 to 1, not {score!r}.")
    if document.get("verdict") not in (None, "confirmed"):
        raise InputError(f"The verdict {document['verdict']!r} is unknown; an event is confirmed, changed or removed.")


def _check_video(document: Document, clip: ClipRecord) -> None:
    if document["state"] not in REVIEW_STATES:
        raise InputError(f"There is no review state {document['state']!r}; choose one of {', '.join(REVIEW_STATES)}.")
    label = document["label"]
    if label is not None and not (isinstance(label, list) and all(isinstance(name, str) for name in label)):
        raise InputError(f"The label of {clip.name} must be a list of category names, not {label!r}.")
    threshold = document.get("threshold")
    if threshold is not None and not (_is_number(threshold) and 0 < threshold < 1):
        raise InputError(f"The threshold must lie between 0 and 1, not {threshold!r}.")


def _check_instance(document: Document, clip: ClipRecord) -> None:
    if document["role"] not in ROLES:
        raise InputError(f"The role {document['role']!r} is unknown; choose one of {', '.join(ROLES)}.")
    if document["first_frame"] < 0 or document["last_frame"] < document["first_frame"]:
        raise InputError(f"Frames {document['first_frame']} to {document['last_frame']} are not a span.")
    for frame, mask in document["masks_rle"].items():
        check_mask(mask, whole=False)
        height, width = mask["size"]
        if clip.height is not None and (height, width) != (clip.height, clip.width):
            raise InputError(
                f"The mask of frame {frame} is {width}x{height}, but {clip.name} is {clip.width}x{clip.height}; "
                "scale it to the clip first."
            )
    end = MOST_FRAMES if clip.n_frames is None else clip.n_frames
    for frame in {*document["masks_rle"], *document["boxes_xyxy"]}:
        if not (frame.isascii() and frame.isdigit()) or len(frame) > _MOST_DIGITS or int(frame) >= end:
            most = "no clip has that many" if clip.n_frames is None else f"it has {end} frames"
            raise InputError(f"{clip.name} has no frame {frame:.40}; {most}.")
    for frame, box in document["boxes_xyxy"].items():
        if (
            not isinstance(box, list | tuple)
            or len(box) != 4
            or not all(_is_number(side) and abs(side) <= _MOST_PX for side in box)
        ):
            raise InputError(f"The box of frame {frame} is not four numbers of pixels; correct {box!r:.60}.")


def _check_turn(document: Document, _clip: ClipRecord) -> None:
    if document.get("verdict") not in (None, "confirmed"):
        raise InputError(f"The verdict {document['verdict']!r} is unknown; an answer is confirmed, changed or removed.")
    if document["kind"] not in get_args(TurnKind):
        raise InputError(f"The kind of question {document['kind']!r} is unknown; use {', '.join(get_args(TurnKind))}.")
    evidence = document.get("evidence", [])
    if not isinstance(evidence, list) or not all(_is_evidence(item) for item in evidence):
        raise InputError(
            "The evidence of an answer must be a list of objects with start_s and end_s in seconds, and instance_id, a "
            f"number or null; not {evidence!r:.80}."
        )


def _is_evidence(item: Any) -> bool:
    if not isinstance(item, dict) or not {"start_s", "end_s"} <= item.keys() <= {"start_s", "end_s", "instance_id"}:
        return False
    number = item.get("instance_id")
    return _is_number(item["start_s"]) and _is_number(item["end_s"]) and (number is None or type(number) is int)


_CHECKS: dict[str, Callable[[Document, ClipRecord], None]] = {
    "clip": _check_clip,
    "video": _check_video,
    "event": _check_span,
    "caption": _check_span,
    "instance": _check_instance,
    "turn": _check_turn,
    "question": _check_turn,
}


def check_mask(mask: Any, *, whole: bool = True) -> None:
    """Refuse what is no mask and, if `whole`, run lengths that do not fill their picture (once, when a mask comes in).

    Raises:
        InputError: it is none.
    """
    size, counts = (mask.get("size"), mask.get("counts")) if isinstance(mask, dict) else (None, None)
    if not isinstance(size, list) or [type(side) for side in size] != [int, int] or not isinstance(counts, str):
        raise InputError(f"A mask must be an object with size [height, width] and counts, a text; not {mask!r:.60}.")
    if whole:
        decode_rle(cast(MaskRLE, mask))


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def _texts_from(document: Document) -> Texts:
    return Texts(*(document[field] for field in TEXT_FIELDS))


def _provenance_from(document: Document) -> Provenance:
    return Provenance(**document["provenance"], edited_by=tuple(sorted(document["editors"])))


def event_from(event_id: str, document: Document, clips: tuple[CaptionedClip, ...]) -> ReviewedEvent:
    """An event of a document, with its captioned clips."""
    values = {name: document[name] for name in ("start_s", "end_s", "peak_s", "peak_score", "category")}
    return ReviewedEvent(
        id=event_id,
        texts=_texts_from(document),
        clips=clips,
        provenance=_provenance_from(document),
        verdict=document.get("verdict"),  # not in documents of stores from before there was one
        **values,
    )


def _caption_from(caption_id: str, document: Document) -> CaptionedClip:
    values = {name: document[name] for name in ("start_s", "end_s", "caption")}
    return CaptionedClip(id=caption_id, provenance=_provenance_from(document), **values)


def _instance_from(instance_id: str, document: Document) -> ReviewedInstance:
    names = ("role", "category", "appearance", "motion", "first_frame", "last_frame")
    boxes = {int(frame): (box[0], box[1], box[2], box[3]) for frame, box in document["boxes_xyxy"].items()}
    masks = {int(f): MaskRLE(size=list(m["size"]), counts=m["counts"]) for f, m in document["masks_rle"].items()}
    instance = Instance(
        id=document["number"],
        boxes_xyxy=dict(sorted(boxes.items())),
        masks_rle=dict(sorted(masks.items())),
        **{name: document[name] for name in names},
    )
    return ReviewedInstance(instance_id, instance, document["event_id"], _provenance_from(document))


def turn_from(turn_id: str, document: Document) -> ReviewedTurn:
    """A turn as a document says it is."""
    evidence = tuple(Evidence(**item) for item in document["evidence"])
    turn = Turn(document["kind"], document["question"], document["answer"], evidence)
    return ReviewedTurn(turn_id, turn, _provenance_from(document), document.get("verdict"))
