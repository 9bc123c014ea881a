"""Saving, undoing and listing corrections.

Each call is one transaction: it has either been written whole and flushed to the disk when it returns, or not at all.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from itertools import count
from typing import Any

from sqlite_utils import Database

from workbench.corrections import clips, documents, log
from workbench.corrections.log import COLUMNS, MAIN, Author, Change, Document
from workbench.corrections.store import Store
from workbench.errors import InputError, StoreError
from workbench.records import (
    Action,
    CaptionedClip,
    Correction,
    Question,
    ReviewedEvent,
    ReviewedInstance,
    ReviewedTurn,
    SubjectKind,
)

_STEPS: tuple[Action, ...] = ("edit", "adopt")  # what a person did and can take back
_LAST = 1 << 31  # position of what is made now: after all that a file or a model brought


class StaleError(StoreError):
    """A save was refused because somebody else saved in between; `changes` are theirs, oldest first."""

    def __init__(self, message: str, changes: Sequence[Correction]) -> None:
        super().__init__(message)
        self.changes = tuple(changes)


def edit(subject: SubjectKind, subject_id: str, field: str, value: object) -> Change:
    """Change one field, such as `edit("event", "E0", "start_s", 5.5)`; fields are those of `documents.EDITABLE`.

    One mask or box of an instance is the field `masks_rle.12` or `boxes_xyxy.12`; None removes it.
    """
    allowed = documents.EDITABLE.get(subject, ())
    if field.partition(".")[0] not in allowed:
        raise InputError(f"A {subject} has no field {field!r} to change; it has {', '.join(allowed) or 'none'}.")
    return Change(subject, subject_id, field, value)


def add(record: ReviewedEvent | ReviewedInstance | ReviewedTurn | Question) -> list[Change]:
    """Add a new event (with its captioned clips), instance, turn or question."""
    if isinstance(record, ReviewedEvent):
        made = [Change("event", record.id, "", documents.event_to(record, _LAST))]
        return made + [add_caption(clip, record.id, i) for i, clip in enumerate(record.clips)]
    if isinstance(record, ReviewedInstance):
        return [Change("instance", record.id, "", documents.instance_to(record, _LAST))]
    if isinstance(record, ReviewedTurn):
        return [Change("turn", record.id, "", documents.turn_to(record, _LAST))]
    return [Change("question", record.id, "", documents.question_to(record, _LAST))]


def add_caption(clip: CaptionedClip, event_id: str, place: int = 0) -> Change:
    """Add a captioned clip to an event, at a place among those that persons have added to it."""
    return Change("caption", clip.id, "", documents.caption_to(clip, event_id, _LAST + place))


def remove(subject: SubjectKind, subject_id: str) -> Change:
    """Remove a subject; the captioned clips and questions of an event go with it."""
    return Change(subject, subject_id, "", None)


def new_id() -> str:
    """An id for something that is added: no other of the store has it, and what is added later sorts after it."""
    return f"{time.time_ns() // 1_000_000:011x}{next(_ORDER) & 0xFFFFFFFF:08x}{secrets.token_hex(4)}"


_ORDER = count()
"""Tells apart what is added within one millisecond."""


def save(
    store: Store,
    clip: int,
    changes: Sequence[Change],
    *,
    annotator: str,
    seen: int | None = None,
    layer: str = MAIN,
    reason: str | None = None,
    action: Action = "edit",
) -> int:
    """Save changes as one step. → the new revision, with everything on the disk.

    Args:
        clip: number of the clip. layer: whose view is changed; a new layer begins as a copy of the main one.
        seen: the revision the annotator was looking at; the save is refused if another has been made since. None:
            save regardless.

    Raises:
        StaleError: somebody saved in between; nothing was written.
        InputError: a value cannot be true of the clip. StoreError: a subject does not exist, or writing failed.
    """
    author = Author(annotator, clip, layer, action, reason)
    with store.writing() as db:
        record = clips.find_clip(db, clip)
        _refuse_stale(db, record.name, author, seen)
        log.ensure_annotator(db, annotator)
        if layer != MAIN and not clips.has_layer(db, clip, layer):
            log.fork(db, author)
        step: int | None = None
        touched: set[tuple[SubjectKind, str]] = set()
        for change in _with_dependants(db, author, changes):
            _check_masks(change)
            seq = log.append(db, author, change, step=step)
            step = seq if step is None else step
            touched.add((change.subject, change.id))
        for subject, subject_id in touched:
            document = log.load_document(db, clip, layer, subject, subject_id)
            if document is not None:
                documents.check(subject, document, record)
        return clips.revision(db, clip, layer)


def undo(store: Store, clip: int, *, annotator: str, layer: str = MAIN) -> int | None:
    """Take back the annotator's last step that stands, by writing rows that say the opposite.

    → the new revision; None when there is nothing to undo.

    Raises:
        StoreError: somebody else has changed the same thing since.
    """
    return _turn_back(store, clip, annotator, layer, "undo")


def redo(store: Store, clip: int, *, annotator: str, layer: str = MAIN) -> int | None:
    """Do again what the annotator undid last, unless they have saved something new since. → as `undo`."""
    return _turn_back(store, clip, annotator, layer, "redo")


def undoable(store: Store, clip: int, *, annotator: str, layer: str = MAIN) -> tuple[int, int]:
    """How many steps the annotator can undo and redo."""
    with store.reading() as db:
        done, undone = _stacks(db, clip, annotator, layer)
    return len(done), len(undone)


def page(
    store: Store,
    *,
    clip: int | None = None,
    annotator: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Correction]:
    """A page of the history, newest first, of one clip or annotator if named.

    Args:
        before: number of the last row of the page before, to go on from there.
    """
    conditions = {"clip_id = ?": clip, "annotator = ?": annotator, "seq < ?": before}
    used = {text: value for text, value in conditions.items() if value is not None}
    where = f"WHERE {' AND '.join(used)}" if used else ""
    with store.reading() as db:
        rows = db.conn.execute(
            f"SELECT {', '.join(COLUMNS)} FROM history {where} ORDER BY seq DESC LIMIT ?", [*used.values(), limit]
        )
        return [log.to_correction(row) for row in rows]


def describe(row: Correction) -> str:
    """A row in words: `ann changed start_s of event E0 from 5.5 to 6.0`."""
    what = f"{row.subject} {row.subject_id}" if row.subject_id != row.subject else f"the {row.subject}"
    by = f"{row.annotator} " + {"undo": "undid: ", "redo": "redid: "}.get(row.action, "")
    if not row.field:
        return by + ("added " if row.before is None else "removed ") + what
    return f"{by}changed {row.field} of {what} from {_brief(row.before)} to {_brief(row.after)}"


def _brief(value: object) -> str:
    text = "nothing" if value is None else log.canonical(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _refuse_stale(db: Database, name: str, author: Author, seen: int | None) -> None:
    assert author.clip_id is not None
    if seen is None or clips.revision(db, author.clip_id, author.layer) == seen:
        return
    source = author.layer if clips.has_layer(db, author.clip_id, author.layer) else MAIN
    rows = db.conn.execute(
        f"SELECT {', '.join(COLUMNS)} FROM history WHERE clip_id = ? AND layer = ? AND seq > ? ORDER BY seq",
        [author.clip_id, source, seen],
    )
    changes = [log.to_correction(row) for row in rows]
    if not changes:
        raise StoreError(f"{name} has no revision {seen}; reload it.")
    others = f" (and {len(changes) - 1} more changes)" if len(changes) > 1 else ""
    raise StaleError(
        f"Not saved: {describe(changes[-1])} at {changes[-1].at[11:19]} UTC{others} since you opened {name}; "
        "reload it and make your change again.",
        changes,
    )


def _with_dependants(db: Database, author: Author, changes: Sequence[Change]) -> list[Change]:
    """Before an event is removed, its captioned clips are, and the questions about all of them."""
    assert author.clip_id is not None
    result: list[Change] = []
    for change in changes:
        if change.subject in ("event", "caption") and not change.field and change.value is None:
            subjects = list(log.load_documents(db, author.clip_id, author.layer))
            parts = [i for kind, i, document in subjects if kind == "caption" and document["event"] == change.id]
            gone = {change.id, *parts}
            result += [remove("question", i) for kind, i, d in subjects if kind == "question" and d["about"] in gone]
            result += [remove("caption", i) for i in parts]
        result.append(change)
    return result


def _check_masks(change: Change) -> None:
    """Look at the masks that come in; what is none is refused by `documents.check`."""
    if change.subject != "instance":
        return
    masks: Any = {}
    if not change.field and change.value:
        masks = change.value.get("masks_rle")
    elif change.field == "masks_rle":
        masks = change.value
    elif change.field.startswith("masks_rle.") and change.value is not None:
        masks = {"": change.value}
    if isinstance(masks, dict):
        for mask in masks.values():
            documents.check_mask(mask)


def _turn_back(store: Store, clip: int, annotator: str, layer: str, action: Action) -> int | None:
    with store.writing() as db:
        done, undone = _stacks(db, clip, annotator, layer)
        stack = done if action == "undo" else undone
        if not stack:
            return None
        rows = _rows_of(db, stack[-1])
        if action == "undo":
            rows = rows[::-1]
        author = Author(annotator, clip, layer, action, undoes=stack[-1])
        step: int | None = None
        for row in rows:
            found, wanted = (row.after, row.before) if action == "undo" else (row.before, row.after)
            _refuse_conflict(db, author, row, found)
            seq = log.append(db, author, Change(row.subject, row.subject_id, row.field, wanted), step=step)
            step = seq if step is None else step
        return clips.revision(db, clip, layer)


def _refuse_conflict(db: Database, author: Author, row: Correction, expected: object) -> None:
    assert author.clip_id is not None
    document = log.load_document(db, author.clip_id, author.layer, row.subject, row.subject_id)
    found: object = log.get_field(document, row.field) if row.field else _without_editors(document)
    wanted = expected if row.field else _without_editors(expected)  # type: ignore[arg-type]
    if log.canonical(found) != log.canonical(wanted):
        raise StoreError(
            f"Not {'undone' if author.action == 'undo' else 'redone'}: {row.field or 'all'} of {row.subject} "
            f"{row.subject_id} has been changed by somebody since; change it by hand."
        )


def _without_editors(document: Document | None) -> Document | None:
    return None if document is None else {**document, "editors": None}


def _rows_of(db: Database, step: int) -> list[Correction]:
    rows = db.conn.execute(
        f"SELECT {', '.join(COLUMNS)} FROM history WHERE seq >= ? AND step = ? "
        "AND clip_id = (SELECT clip_id FROM history WHERE seq = ?) ORDER BY seq",
        [step, step, step],
    )
    return [log.to_correction(row) for row in rows]


def _stacks(db: Database, clip: int, annotator: str, layer: str) -> tuple[list[int], list[int]]:
    """Steps of an annotator that stand, and those that were undone and can be redone; the latest comes last."""
    done: list[int] = []
    undone: list[int] = []
    rows = db.conn.execute(
        "SELECT action, step, undoes FROM history "
        "WHERE clip_id = ? AND layer = ? AND annotator = ? AND seq = step ORDER BY seq",
        [clip, layer, annotator],
    )
    for action, step, undoes in rows:
        if action in _STEPS:
            done.append(step)
            undone.clear()
        elif action == "undo":
            done.remove(undoes)
            undone.append(undoes)
        elif action == "redo":
            undone.remove(undoes)
            done.append(undoes)
    return done, undone
