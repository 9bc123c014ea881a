"""History rows: how one is written, what follows from it, and how its hash is made.

A row changes one subject of one layer of one clip: a whole document (`field` empty: None before makes it, None after
removes it) or one field of it. `fold` is the only place that says what a row does; the table `subjects` is the fold
of all rows, kept up to date in the transaction that writes them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from sqlite_utils import Database

from workbench.errors import StoreError
from workbench.records import Action, Correction, SubjectKind

MAIN = "main"
NO_CLIP = 0  # `subjects.clip_id` of what belongs to no clip: the taxonomy
GENESIS = "0" * 64  # the previous hash of the first row
COLUMNS = (
    *("seq", "step", "at", "annotator", "layer", "clip_id", "subject", "subject_id", "action", "field"),
    *("before", "after", "reason", "analysis_id", "undoes", "previous_hash", "hash"),
)
_PERSONAL: dict[str, int] = {"edit": 1, "adopt": 1, "redo": 1, "undo": -1}  # actions that are a person's judgement
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One change to save: a field's new value, or with an empty `field` a whole new document (None removes it)."""

    subject: SubjectKind
    id: str
    field: str
    value: Any


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes into which layer of which clip, and why."""

    annotator: str
    clip_id: int | None
    layer: str = MAIN
    action: Action = "edit"
    reason: str | None = None
    undoes: int | None = None


def append(db: Database, author: Author, change: Change, *, step: int | None = None) -> int | None:
    """Write one row and what follows from it, inside the caller's transaction. → its number; None: nothing changes.

    Args:
        step: number of the first row of the step that this row belongs to; None begins one.

    Raises:
        StoreError: the change is of a subject that does not exist, or makes one that does.
    """
    place = (NO_CLIP if author.clip_id is None else author.clip_id, author.layer, change.subject, change.id)
    document = load_document(db, *place)
    before = get_field(document, change.field) if change.field else document
    if change.field and document is None:
        raise StoreError(f"There is no {change.subject} {change.id} to change; it was removed, so reload the clip.")
    if not change.field and document is not None and change.value is not None and author.action != "redo":
        raise StoreError(f"There is already a {change.subject} {change.id}; change it, or give the new one another id.")
    if canonical(before) == canonical(change.value):
        return None
    last = db.execute("SELECT seq, hash FROM history ORDER BY seq DESC LIMIT 1").fetchone()
    seq = _next_seq(db)
    analysis = (document or change.value or {}).get("analysis") if isinstance(document or change.value, dict) else None
    row: Document = {
        "seq": seq,
        "step": seq if step is None else step,
        "at": now(),
        "annotator": author.annotator,
        "layer": author.layer,
        "clip_id": author.clip_id,
        "subject": change.subject,
        "subject_id": change.id,
        "action": author.action,
        "field": change.field,
        "before": None if before is None else canonical(before),
        "after": None if change.value is None else canonical(change.value),
        "reason": author.reason,
        "analysis_id": analysis,
        "undoes": author.undoes,
        "previous_hash": last[1] if last else GENESIS,
    }
    row["hash"] = row_hash(row)
    marks = ", ".join("?" * len(COLUMNS))
    db.conn.execute(f"INSERT INTO history ({', '.join(COLUMNS)}) VALUES ({marks})", [row[name] for name in COLUMNS])
    store_document(db, *place, fold(document, row))
    return seq


def fold(document: Document | None, row: Document) -> Document | None:
    """The document of a subject after a row (`before`/`after` as JSON text), given the one before it.

    A person's edit is counted in `editors`, an undo takes it back, so that undoing everything gives the same document.
    """
    after = None if row["after"] is None else json.loads(row["after"])
    if not row["field"]:
        return after
    result = set_field(dict(document or {}), row["field"], after)
    if weight := _PERSONAL.get(row["action"], 0):
        editors = dict(result.get("editors", {}))
        editors[row["annotator"]] = editors.get(row["annotator"], 0) + weight
        if not editors[row["annotator"]]:
            del editors[row["annotator"]]
        result["editors"] = editors
    return result


def fork(db: Database, author: Author) -> None:
    """Begin a layer of a clip as a copy of the main one. Written as one row, since it follows from those before it."""
    append(
        db, Author(author.annotator, author.clip_id, author.layer, "fork"), Change("layer", "layer", "", {"from": MAIN})
    )
    db.conn.execute(
        "INSERT INTO subjects SELECT clip_id, ?, subject, subject_id, document FROM subjects "
        "WHERE clip_id = ? AND layer = ? AND subject NOT IN ('clip', 'layer', 'analysis')",
        [author.layer, author.clip_id, MAIN],
    )


def get_field(document: Document | None, field: str) -> Any:
    """A field; `masks_rle.12` is entry 12 of the field `masks_rle`."""
    name, _, key = field.partition(".")
    value = (document or {}).get(name)
    return (value or {}).get(key) if key else value


def set_field(document: Document, field: str, value: Any) -> Document:
    """The document with a field changed; an entry of a field (`masks_rle.12`) set to None is removed."""
    name, _, key = field.partition(".")
    if not key:
        return {**document, name: value}
    entries = dict(document.get(name) or {})
    entries.pop(key, None)
    if value is not None:
        entries[key] = value
    return {**document, name: dict(sorted(entries.items(), key=lambda item: (len(item[0]), item[0])))}


def load_document(db: Database, clip_id: int, layer: str, subject: str, subject_id: str) -> Document | None:
    """The current document of a subject, None where there is none."""
    row = db.conn.execute(
        "SELECT document FROM subjects WHERE clip_id = ? AND layer = ? AND subject = ? AND subject_id = ?",
        [clip_id, layer, subject, subject_id],
    ).fetchone()
    return json.loads(row[0]) if row else None


def load_documents(db: Database, clip_id: int, layer: str) -> Iterator[tuple[SubjectKind, str, Document]]:
    """Kind, id and document of all subjects of a layer."""
    for subject, subject_id, text in db.conn.execute(
        "SELECT subject, subject_id, document FROM subjects WHERE clip_id = ? AND layer = ?", [clip_id, layer]
    ):
        yield subject, subject_id, json.loads(text)


def store_document(
    db: Database, clip_id: int, layer: str, subject: str, subject_id: str, document: Document | None
) -> None:
    """Replace the current document of a subject; None removes it."""
    if document is None:
        db.conn.execute(
            "DELETE FROM subjects WHERE clip_id = ? AND layer = ? AND subject = ? AND subject_id = ?",
            [clip_id, layer, subject, subject_id],
        )
        return
    db.conn.execute(
        "INSERT INTO subjects VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (clip_id, layer, subject, subject_id) DO UPDATE SET document = excluded.document",
        [clip_id, layer, subject, subject_id, canonical(document)],
    )


def ensure_annotator(db: Database, name: str) -> None:
    """Know an annotator from their first row on. Raises StoreError for an empty name."""
    if not name.strip():
        raise StoreError("A correction needs the name of who made it; give one.")
    db.conn.execute("INSERT OR IGNORE INTO annotators VALUES (?, ?)", [name, now()])


def to_correction(row: tuple[Any, ...]) -> Correction:
    """A row in the order of `COLUMNS` as a record."""
    values = dict(zip(COLUMNS, row, strict=True))
    for name in ("before", "after"):
        values[name] = None if values[name] is None else json.loads(values[name])
    return Correction(**values)


def row_hash(row: Document) -> str:
    """SHA-256 over all columns but the hash itself, the previous row's hash among them."""
    values = [row[name] for name in COLUMNS if name != "hash"]
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()


def canonical(value: Any) -> str:
    """JSON that is the same text for the same value, whatever the order its keys were set in."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def now() -> str:
    """This moment, in UTC, to the microsecond."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


def _next_seq(db: Database) -> int:
    """AUTOINCREMENT never gives a number twice, so that a removed last row leaves a gap that `verify` sees."""
    row = db.conn.execute("SELECT seq FROM sqlite_sequence WHERE name = 'history'").fetchone()
    return (row[0] if row else 0) + 1
