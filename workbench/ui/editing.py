"""What an edit of events means: a command of the page on a clip → the rows to write. Plain, nothing is saved here.

A command is `{"op": name, ...}`. Times snap to frames, peaks follow the score inside the span, and a text that was
emptied is no text. Rejecting an event removes it with the reason `rejected`, so that nothing that reads the clip
afterwards (exports, training, the next analysis) has to know about verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from workbench.corrections import history
from workbench.corrections.log import Change
from workbench.corrections.taxonomy import Taxonomy
from workbench.errors import InputError
from workbench.events import find_events
from workbench.records import (
    REVIEW_STATES,
    Analysis,
    CaptionedClip,
    Event,
    Provenance,
    ReviewedClip,
    ReviewedEvent,
    Texts,
)

REJECTED, DELETED = "rejected", "deleted"
MAX_TEXT_CHARS = 4000
TEXTS = {"judgement": "judgement", "description": "description", "analysis": "analysis_text"}
_SAME = 0.5  # share of the shorter of two events from which they are about the same moment


@dataclass(frozen=True)
class Rejected:
    """An event that a person rejected, as it was, and what brings it back."""

    event: ReviewedEvent
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Scene:
    """What an edit is made on: the clip as it stands, what the models said, and who edits."""

    reviewed: ReviewedClip
    analysis: Analysis
    times_s: np.ndarray
    taxonomy: Taxonomy
    annotator: str
    rejected: tuple[Rejected, ...] = ()

    @property
    def duration_s(self) -> float:
        """Where the clip ends."""
        return float(self.analysis.clip.duration_s)

    def event(self, event_id: object) -> ReviewedEvent:
        """The event of that id. Raises `InputError` when it is not there."""
        for event in self.reviewed.events:
            if event.id == event_id:
                return event
        raise InputError("This event is not there any more; it was removed meanwhile.")


@dataclass(frozen=True)
class Plan:
    """The rows of one step, why, and which event to select afterwards."""

    changes: list[Change]
    select: str | None = None
    reason: str | None = None


def plan(scene: Scene, command: Mapping[str, Any]) -> Plan:
    """The rows that a command means; the first edit of a new clip also puts it under review.

    Raises:
        InputError: an unknown command, a value that cannot be, or an event that is gone.
    """
    make = _OPERATIONS.get(str(command.get("op")))
    if make is None:
        raise InputError(f"There is no edit {command.get('op')!r}; use one of: {', '.join(_OPERATIONS)}.")
    made = make(scene, command)
    if made.changes and scene.reviewed.state == "new" and command["op"] != "state":
        made = replace(made, changes=[*made.changes, history.edit("video", "video", "state", "in review")])
    return made


def peak_in(analysis: Analysis, start_s: float, end_s: float) -> tuple[float, float]:
    """Time and height of the score's peak inside a span; of its middle where no scored frame lies inside."""
    times, score = analysis.dense.time_s, analysis.dense.score
    inside = np.flatnonzero((times >= start_s) & (times <= end_s))
    if len(inside):
        at = inside[int(np.argmax(score[inside]))]
        return float(times[at]), float(np.clip(score[at], 0, 1))
    middle = (start_s + end_s) / 2
    return middle, float(np.clip(np.interp(middle, times, score), 0, 1)) if len(times) else 0.0


def overlap(a: ReviewedEvent | Event, b: ReviewedEvent | Event) -> float:
    """Temporal IoU of two events; 0 where a time is not known."""
    if a.start_s is None or a.end_s is None or b.start_s is None or b.end_s is None:
        return 0.0
    both = min(a.end_s, b.end_s) - max(a.start_s, b.start_s)
    either = max(a.end_s, b.end_s) - min(a.start_s, b.start_s)
    return max(0.0, both) / either if either > 0 else 0.0


def shared(a: ReviewedEvent | Event, b: ReviewedEvent | Event) -> float:
    """How much of the shorter of two events lies inside the other, in [0, 1]."""
    if a.start_s is None or a.end_s is None or b.start_s is None or b.end_s is None:
        return 0.0
    both = min(a.end_s, b.end_s) - max(a.start_s, b.start_s)
    shorter = min(a.end_s - a.start_s, b.end_s - b.start_s)
    return max(0.0, both) / shorter if shorter > 0 else 0.0


def _number(command: Mapping[str, Any], name: str) -> float:
    try:
        value = float(command[name])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"The edit needs a number for {name}, not {command.get(name)!r}.") from error
    if not isfinite(value):
        raise InputError(f"The edit needs a number for {name}, not {value}.")
    return value


def _snap(scene: Scene, t: float) -> float:
    """The nearest frame's time; the end of the clip is a place too."""
    t = min(max(t, 0.0), scene.duration_s)
    at = int(np.argmin(np.abs(scene.times_s - t)))
    nearest = float(scene.times_s[at])
    return scene.duration_s if abs(scene.duration_s - t) < abs(nearest - t) else nearest


class Span(NamedTuple):
    """When an event is, and where in it the score is highest."""

    start_s: float
    end_s: float
    peak_s: float
    peak_score: float


def _span(scene: Scene, start_s: float, end_s: float) -> Span:
    """A span with its peak. Raises `InputError` for one that holds no frame."""
    if end_s <= start_s:
        raise InputError(
            f"An event ends after it starts; it cannot last from {start_s:.2f} to {end_s:.2f} s. Move the playhead, or "
            "the other end first."
        )
    peak_s, peak_score = peak_in(scene.analysis, start_s, end_s)
    return Span(start_s, end_s, min(max(peak_s, start_s), end_s), peak_score)


def _edits(event: ReviewedEvent, values: Mapping[str, Any]) -> list[Change]:
    return [history.edit("event", event.id, field, value) for field, value in values.items()]


def _add(scene: Scene, command: Mapping[str, Any]) -> Plan:
    """Around a time, as long as a glance; or the span given."""
    start = _number(command, "t")
    length = min(max(0.08 * scene.duration_s, 0.5), 3.0)
    start = _snap(scene, min(start, scene.duration_s - length))
    end = _snap(scene, _number(command, "end_s") if "end_s" in command else start + length)
    made_by = Provenance("human", scene.annotator)
    event = ReviewedEvent(history.new_id(), *_span(scene, *sorted((start, end))), None, Texts(), (), made_by)
    return Plan(history.add(event), event.id)


def _move(scene: Scene, command: Mapping[str, Any]) -> Plan:
    event = scene.event(command.get("id"))
    start = _snap(scene, _number(command, "start_s")) if "start_s" in command else event.start_s
    end = _snap(scene, _number(command, "end_s")) if "end_s" in command else event.end_s
    if start is None or end is None:
        raise InputError("This event has no times yet; give it both a start and an end.")
    return Plan(_edits(event, _span(scene, start, end)._asdict()), event.id)


def _remove(reason: str) -> Callable[[Scene, Mapping[str, Any]], Plan]:
    def remove(scene: Scene, command: Mapping[str, Any]) -> Plan:
        event = scene.event(command.get("id"))
        why = DELETED if event.provenance.kind == "human" else reason  # nothing was claimed that could be rejected
        return Plan([history.remove("event", event.id)], None, why)

    return remove


def _restore(scene: Scene, command: Mapping[str, Any]) -> Plan:
    for item in scene.rejected:
        if item.event.id == command.get("id"):
            return Plan(list(item.changes), item.event.id, "restored")
    raise InputError("This event is not among the rejected ones any more.")


def _split(scene: Scene, command: Mapping[str, Any]) -> Plan:
    event, at = scene.event(command.get("id")), _snap(scene, _number(command, "t"))
    if event.start_s is None or event.end_s is None or not event.start_s < at < event.end_s:
        raise InputError("Put the playhead inside the event to split it there.")
    later = [part for part in event.clips if part.start_s is not None and part.start_s >= at]
    made_by = Provenance("human", scene.annotator)
    span = _span(scene, at, event.end_s)
    second = ReviewedEvent(history.new_id(), *span, event.category, event.texts, _renewed(later), made_by)
    changes = _edits(event, _span(scene, event.start_s, at)._asdict())
    changes += [history.remove("caption", part.id) for part in later]
    return Plan([*changes, *history.add(second)], second.id)


def _merge(scene: Scene, command: Mapping[str, Any]) -> Plan:
    first = scene.event(command.get("id"))
    others = [e for e in scene.reviewed.events if e.id != first.id and e.end_s is not None]
    later = [e for e in others if (e.start_s or 0.0) >= (first.start_s or 0.0)]
    second = min(later, key=lambda e: e.start_s or 0.0, default=None)
    if second is None or first.end_s is None or first.start_s is None:
        raise InputError("There is no later event to join this one with.")
    span = _span(scene, first.start_s, max(first.end_s, second.end_s or 0.0))
    values: dict[str, Any] = span._asdict()
    values["category"] = first.category or second.category
    for name, field in TEXTS.items():
        said = [text for text in (getattr(first.texts, name), getattr(second.texts, name)) if text]
        values[field] = " ".join(dict.fromkeys(said)) or None
    changes = [*_edits(first, values), history.remove("event", second.id)]
    moved = enumerate(_renewed(list(second.clips)), start=len(first.clips))
    changes += [history.add_caption(part, first.id, place) for place, part in moved]
    return Plan(changes, first.id, "merged")


def _renewed(parts: list[CaptionedClip]) -> tuple[CaptionedClip, ...]:
    """The same captioned clips under new ids: an id is never given twice, and theirs belong to another event."""
    return tuple(replace(part, id=history.new_id()) for part in parts)


def _categorise(scene: Scene, command: Mapping[str, Any]) -> Plan:
    event, name = scene.event(command.get("id")), str(command.get("value") or "").strip()
    found = scene.taxonomy.resolve(name) if name else None
    if name and found is None:
        raise InputError(f"There is no category {name!r}; choose one of the list or add it as a new one.")
    return Plan(_edits(event, {"category": found.name if found else None}), event.id)


def _write(scene: Scene, command: Mapping[str, Any]) -> Plan:
    event, text = scene.event(command.get("id")), str(command.get("value") or "").strip()
    field = TEXTS.get(str(command.get("field")))
    if field is None:
        raise InputError(f"An event has no text {command.get('field')!r}; it has {', '.join(TEXTS)}.")
    if len(text) > MAX_TEXT_CHARS:
        raise InputError(f"The text is {len(text)} characters long; shorten it to {MAX_TEXT_CHARS}.")
    return Plan(_edits(event, {field: text or None}), event.id)


def _confirm(scene: Scene, command: Mapping[str, Any]) -> Plan:
    """Confirm, or take the confirmation back."""
    event = scene.event(command.get("id"))
    return Plan(_edits(event, {"verdict": None if event.verdict else "confirmed"}), event.id)


def _set_state(_: Scene, command: Mapping[str, Any]) -> Plan:
    state = command.get("value")
    if state not in REVIEW_STATES:
        raise InputError(f"There is no review state {state!r}; choose one of {', '.join(REVIEW_STATES)}.")
    return Plan([history.edit("video", "video", "state", state)])


def _set_threshold(scene: Scene, command: Mapping[str, Any]) -> Plan:
    """What the models propose at another threshold; what a person touched, made or rejected stays as it is."""
    analysis, asked = scene.analysis, command.get("value")
    threshold = float(analysis.threshold) if asked is None else round(_number(command, "value"), 4)
    if not 0 < threshold < 1:
        raise InputError(f"The threshold must lie between 0 and 1, not {threshold}.")
    dense = analysis.dense
    proposed = find_events(dense.score, dense.time_s, threshold=threshold, end_s=scene.duration_s)
    untouched = [e for e in scene.reviewed.events if is_untouched(e)]
    judged = [e for e in scene.reviewed.events if not is_untouched(e)] + [r.event for r in scene.rejected]
    kept = {e.id for e in untouched if any((p.start_s, p.end_s) == (e.start_s, e.end_s) for p in proposed)}
    changes = [history.edit("video", "video", "threshold", None if asked is None else threshold)]
    changes += [history.remove("event", e.id) for e in untouched if e.id not in kept]
    made_by = Provenance("model", analysis.profile, analysis.adapter)
    for event in proposed:
        same = any(e.id in kept and (e.start_s, e.end_s) == (event.start_s, event.end_s) for e in untouched)
        if same or any(shared(event, other) > _SAME for other in judged):
            continue
        known: list[ReviewedEvent | Event] = [*untouched, *analysis.events]
        nearest = max(known, key=lambda e: overlap(event, e), default=None)
        category = nearest.category if nearest is not None and overlap(event, nearest) > 0 else None
        new = ReviewedEvent(history.new_id(), event.start_s, event.end_s, event.peak_s, event.peak_score, category,
                            Texts(), (), made_by)  # fmt: skip
        changes += history.add(new)
    return Plan(changes, None, f"threshold {threshold:.2f}")


def is_untouched(event: ReviewedEvent) -> bool:
    """Whether it stands as a model said it: no person's edit of it stands."""
    return event.provenance.kind == "model" and not event.provenance.edited_by


_OPERATIONS: dict[str, Callable[[Scene, Mapping[str, Any]], Plan]] = {
    "add": _add,
    "move": _move,
    "delete": _remove(DELETED),
    "reject": _remove(REJECTED),
    "restore": _restore,
    "split": _split,
    "merge": _merge,
    "category": _categorise,
    "text": _write,
    "confirm": _confirm,
    "state": _set_state,
    "threshold": _set_threshold,
}
