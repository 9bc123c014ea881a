"""Instances on the page: what a card or a mark on the picture asks for, carried out and saved as a correction.

Short commands (role, words, lifespan, merge, delete, keep a mask) are one step at once; following an instance through
its event and describing it anew run in the worker, with progress and cancel. No Gradio here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from workbench import prompting
from workbench.corrections.changes import instance_changes, next_number, numbered
from workbench.errors import InputError
from workbench.masks import decode_rle
from workbench.records import ROLES, Instance, Provenance, ReviewedInstance, Role
from workbench.ui.editing import DELETED, MAX_TEXT_CHARS, REJECTED, Plan
from workbench.ui.marks import clicks_of, frame_of
from workbench.ui.runs import Cancelled, Progress
from workbench.ui.session import Review, Session
from workbench.ui.standing import as_corrected
from workbench.ui.viewer import tracked_near

if TYPE_CHECKING:
    from workbench.ui.gpu import Job
    from workbench.ui.services import Services

TEXTS = ("appearance", "motion", "category")
NEW_ROLE: Role = "bystander"


@dataclass(frozen=True)
class InstanceView:
    """What changes on the page: progress of long work, or (`done`) the instances, with one of them selected."""

    review: Review
    progress: Progress | None = None
    done: bool = False
    select: int | None = None
    note: str = ""


def standing(review: Review) -> dict[int, ReviewedInstance]:
    """The instances of a clip as they stand in the store, by the number the page calls them by."""
    return numbered(review.require_reviewed().instances)


def find(instances: Mapping[int, ReviewedInstance], number: object) -> Instance:
    """The instance of that number. Raises `InputError` when it is not there."""
    item = instances.get(number) if isinstance(number, int) else None
    if item is None:
        raise InputError(f"There is no instance {number} any more; it was removed meanwhile.")
    return item.instance


def edit(services: Services, session: Session, command: Mapping[str, Any]) -> InstanceView:
    """Carry out a short command of a card. Raises as `plan` and `Desk.save`."""
    review = session.require_review()
    made, select = plan(review, session.annotator.name, command)
    services.desk.save(review, session.annotator, made)
    return InstanceView(review, done=True, select=select)


def plan(review: Review, annotator: str, command: Mapping[str, Any]) -> tuple[Plan, int | None]:
    """The rows that a command means, and the instance to select afterwards.

    Raises:
        InputError: an unknown command, a value that cannot be, or an instance that is gone.
    """
    before = standing(review)
    make = _COMMANDS.get(str(command.get("op")))
    if make is None:
        raise InputError(f"Instances know no command {command.get('op')!r}; use one of: {', '.join(_COMMANDS)}.")
    instance = find(before, command.get("id"))
    after, reason = make(before, instance, command)
    kept = {number: item.instance for number, item in before.items()} | {i.id: i for i in after}
    if command["op"] == "delete":
        del kept[instance.id]
    elif command["op"] == "merge":
        del kept[find(before, command.get("other")).id]
    changes = instance_changes(before, kept.values(), Provenance("human", annotator))
    return Plan(changes, None, reason), instance.id if instance.id in kept else None


Made = tuple[list[Instance], str | None]


def _role(_: Mapping[int, ReviewedInstance], instance: Instance, command: Mapping[str, Any]) -> Made:
    role = command.get("value")
    if role not in ROLES:
        raise InputError(f"There is no role {role!r}; choose one of {', '.join(ROLES)}.")
    return [replace(instance, role=role)], None


def _text(_: Mapping[int, ReviewedInstance], instance: Instance, command: Mapping[str, Any]) -> Made:
    field, text = command.get("field"), " ".join(str(command.get("value") or "").split())
    if field not in TEXTS:
        raise InputError(f"An instance has no text {field!r}; it has {', '.join(TEXTS)}.")
    if len(text) > MAX_TEXT_CHARS:
        raise InputError(f"The text is {len(text)} characters long; shorten it to {MAX_TEXT_CHARS}.")
    said: dict[str, Any] = {str(field): text or ("object" if field == "category" else "")}
    return [replace(instance, **said)], None


def _ends(which: str) -> Callable[[Mapping[int, ReviewedInstance], Instance, Mapping[str, Any]], Made]:
    def trim(_: Mapping[int, ReviewedInstance], instance: Instance, command: Mapping[str, Any]) -> Made:
        return [prompting.trimmed(instance, **{which: _frame(command)})], None

    return trim


def _merge(before: Mapping[int, ReviewedInstance], instance: Instance, command: Mapping[str, Any]) -> Made:
    other = find(before, command.get("other"))
    if other.id == instance.id:
        raise InputError("An instance cannot be merged with itself; choose another one.")
    return [prompting.merged(instance, other)], "merged"


def _delete(before: Mapping[int, ReviewedInstance], instance: Instance, _: Mapping[str, Any]) -> Made:
    return [], DELETED if before[instance.id].provenance.kind == "human" else REJECTED


_COMMANDS: dict[str, Callable[[Mapping[int, ReviewedInstance], Instance, Mapping[str, Any]], Made]] = {
    "role": _role,
    "text": _text,
    "starts": _ends("first"),
    "ends": _ends("last"),
    "merge": _merge,
    "delete": _delete,
}


def _frame(command: Mapping[str, Any]) -> int:
    frame = command.get("frame")
    if not isinstance(frame, int) or frame < 0:
        raise InputError(f"A frame is named by its number, not by {frame!r}.")
    return frame


def mark(services: Services, session: Session, command: Mapping[str, Any]) -> Iterator[InstanceView]:
    """Keep the mask that marks on a frame mean, or (`follow`) keep it and follow it through its event.

    Without marks, the instance is followed from the mask that it has nearest to the frame.

    Raises:
        InputError: nothing was marked, no object was found there, or other work is running.
    """
    review = session.require_review()
    session.require_analysis()
    before, frame = standing(review), frame_of(review, command)
    number = command.get("instance")
    old = None if number is None else find(before, number)
    marked = bool(command.get("box") or command.get("points"))
    if not marked and old is None:
        raise InputError("Nothing is marked; draw a box around the object or click on it first.")
    if not marked and old is not None:
        near = tracked_near(old, frame, hold=len(review.clip.times_s))
        frame = frame if near is None else near
    base = old or Instance(next_number(before), NEW_ROLE, "object", "", "", frame, frame, {}, {})

    if not marked and frame not in base.masks_rle:
        raise InputError(f"Instance {base.id} has no mask to follow; point at it on the picture first.")
    clicks = clicks_of(review, command) if marked else None
    if command.get("follow"):
        event = prompting.event_around(review.clip, as_corrected(review).events, frame)
        by = (clicks, old) if clicks else decode_rle(base.masks_rle[frame])
        job = services.works.follow(review.choice, review.clip, event, frame, base, by)
        yield from _long(services, session, review, job, "tracked")
    elif clicks:  # not in the worker: keeping a mask must not wait for another visitor's clip
        mask, _ = services.at_once(services.works.mask(review.choice, review.clip, clicks, old))
        kept = prompting.with_masks(base, {frame: mask})
        _save(services, session, review, kept, None)
        yield InstanceView(review, done=True, select=kept.id)
    else:
        raise InputError("Nothing is marked; draw a box around the object or click on it first.")


def redescribe(services: Services, session: Session, command: Mapping[str, Any]) -> Iterator[InstanceView]:
    """Ask the language model again what an instance looks like and how it moves; its role stays."""
    review = session.require_review()
    instance = find(standing(review), command.get("id"))

    job = services.works.describe(review.choice, review.clip, instance)
    yield from _long(services, session, review, job, "described again")


def _long(services: Services, session: Session, review: Review, job: Job, reason: str | None) -> Iterator[InstanceView]:
    """Run work that gives one changed instance, then save it as a step of the person who asked for it."""
    if session.run is not None and session.run.active:
        raise InputError("This clip is still being worked on; wait for it or cancel it.")
    run = session.run = services.run(job)
    select, note = None, ""
    try:
        for progress in run.updates():
            yield InstanceView(review, progress)
        changed = run.result()
        _save(services, session, review, changed, reason)
        select = changed.id
    except Cancelled:
        note = "cancelled"
    finally:
        run.cancel()
    if session.review is review:
        yield InstanceView(review, done=True, select=select, note=note)


def _save(services: Services, session: Session, review: Review, changed: Instance, reason: str | None) -> None:
    before = standing(review)  # as it stands now: other cards may have been edited while this ran
    kept = {number: item.instance for number, item in before.items()} | {changed.id: changed}
    reviewed = review.require_reviewed()
    times = review.clip.times_s
    start_s, end_s = float(times[changed.first_frame]), float(times[changed.last_frame])
    events = [
        e for e in reviewed.events
        if e.start_s is not None and e.end_s is not None and e.start_s <= end_s and e.end_s >= start_s
    ]  # fmt: skip
    event = max(events, key=lambda e: e.peak_score or 0.0, default=None)
    made_by = Provenance("human", session.annotator.name)
    changes = instance_changes(before, kept.values(), made_by, event.id if event else None)
    services.desk.save(review, session.annotator, Plan(changes, None, reason))
