"""From "it was like this" and "it is like this now" to the rows to write: the difference of instances and of turns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from workbench.corrections import documents, history
from workbench.corrections.log import Change
from workbench.records import Instance, Provenance, ReviewedInstance, ReviewedTurn, SubjectKind

MANY = 4  # from more changed frames than this on, all masks are written as one row: a track, not a touch-up
_PER_FRAME = ("boxes_xyxy", "masks_rle")


def numbered(reviewed: Iterable[ReviewedInstance]) -> dict[int, ReviewedInstance]:
    """Instances by the number the page calls them by; one whose number is taken gets the next free one."""
    found: dict[int, ReviewedInstance] = {}
    late: list[ReviewedInstance] = []
    for item in reviewed:
        if item.instance.id in found:
            late.append(item)
        else:
            found[item.instance.id] = item
    for item in late:
        number = next_number(found)
        found[number] = replace(item, instance=replace(item.instance, id=number))
    return found


def next_number(taken: Iterable[int]) -> int:
    """The number of the next instance."""
    return max(taken, default=0) + 1


def instance_changes(
    before: Mapping[int, ReviewedInstance], after: Iterable[Instance], made_by: Provenance, event_id: str | None = None
) -> list[Change]:
    """The rows between the instances of a clip as they stand and as they shall be.

    Args:
        made_by: who made those that are new. event_id: the event that new ones take part in.
    """
    changes: list[Change] = []
    wanted = {instance.id: instance for instance in after}
    for number, instance in wanted.items():
        old = before.get(number)
        if old is None:
            changes += history.add(ReviewedInstance(history.new_id(), instance, event_id, made_by))
        else:
            changes += _differences("instance", old.id, _flat(old), _flat(replace(old, instance=instance)))
    changes += [history.remove("instance", item.id) for number, item in before.items() if number not in wanted]
    return changes


def turn_changes(before: ReviewedTurn, after: ReviewedTurn) -> list[Change]:
    """The rows between a turn as it stands and as it shall be."""
    return _differences("turn", before.id, documents.turn_to(before, 0), documents.turn_to(after, 0))


def _flat(item: ReviewedInstance) -> dict[str, Any]:
    return documents.instance_to(item, 0)


def _differences(subject: SubjectKind, subject_id: str, before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    changes: list[Change] = []
    for field in documents.EDITABLE[subject]:
        old, new = before.get(field), after.get(field)
        if old == new:
            continue
        if field in _PER_FRAME and isinstance(old, dict) and isinstance(new, dict):
            frames = [frame for frame in sorted({*old, *new}, key=int) if old.get(frame) != new.get(frame)]
            if len(frames) <= MANY:
                changes += [history.edit(subject, subject_id, f"{field}.{f}", new.get(f)) for f in frames]
                continue
        changes.append(history.edit(subject, subject_id, field, new))
    return changes
