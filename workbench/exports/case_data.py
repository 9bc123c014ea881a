"""What a case is made of: a clip as it stands, its analyses, and every row of its history, read in one moment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from workbench import serial
from workbench.corrections import clips, log
from workbench.corrections.log import COLUMNS, GENESIS, MAIN
from workbench.corrections.store import Store
from workbench.corrections.verify import verify
from workbench.errors import FormatError, StoreError
from workbench.exports import drafts
from workbench.probe import content_hash
from workbench.records import Analysis, ClipRecord, Correction, ReviewedClip, ReviewedEvent

# What a person does; the rest (create, import, analysis, fork) brings material in.
PERSONAL = ("edit", "adopt", "undo", "redo")


@dataclass(frozen=True, slots=True)
class AnalysisNote:
    """One analysis of the clip: when, by which model with which adapter, parameters and package versions."""

    number: int
    at: str
    profile: str
    adapter: str | None
    parameters: dict[str, Any]
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class CaseFile:
    """Everything a case says, with events in the order of time.

    `analysis` is the latest one, `history` all rows of the clip (of all layers), oldest first.

    `fault` is what `verify` found wrong with the store, None when its history is intact; `head` its last row's hash.
    """

    reviewed: ReviewedClip
    analysis: Analysis | None
    analyses: tuple[AnalysisNote, ...]
    history: tuple[Correction, ...]
    head: str
    fault: str | None

    @property
    def reviewers(self) -> tuple[str, ...]:
        """People who corrected something, in the order in which they began."""
        return tuple(dict.fromkeys(row.annotator for row in self.history if row.action in PERSONAL))


def find_clip(store: Store, name: str) -> ClipRecord:
    """A clip by its name, its sha256 (or at least 8 characters it begins with), or the path of its video.

    Raises:
        StoreError: there is none, or several are called so.
    """
    wanted = content_hash(Path(name)) if os.path.isfile(name) else name
    with store.reading() as db:
        rows = db.conn.execute("SELECT id FROM clips WHERE name = ? OR sha256 = ?", [name, wanted]).fetchall()
        if not rows and len(name) >= 8 and name.isalnum():
            rows = db.conn.execute(
                "SELECT id FROM clips WHERE substr(sha256, 1, ?) = ?", [len(name), name.lower()]
            ).fetchall()
        found = [clips.find_clip(db, clip_id) for (clip_id,) in rows]
    if not found:
        raise StoreError(f"The store {store.path} has no clip {name!r}; name one as it is listed, or its sha256.")
    if len(found) > 1:
        hashes = ", ".join(str(clip.sha256 and clip.sha256[:12]) for clip in found)
        raise StoreError(f"{len(found)} clips are called {name!r}; name the one you mean by its sha256 ({hashes}).")
    return found[0]


def load_case(store: Store, clip_id: int, layer: str = MAIN) -> CaseFile:
    """Read a clip's case.

    Raises:
        StoreError: the store does not know the clip, or nobody has begun the layer.
    """
    checked = verify(store)
    with store.reading() as db:
        if layer != MAIN and not clips.has_layer(db, clip_id, layer):
            raise StoreError(f"Nobody has begun the layer {layer!r} of this clip; name another with --layer.")
        reviewed = clips.view(db, clips.find_clip(db, clip_id), layer)
        reviewed = replace(reviewed, events=tuple(sorted(reviewed.events, key=_start)))
        rows = db.conn.execute(f"SELECT {', '.join(COLUMNS)} FROM history WHERE clip_id = ? ORDER BY seq", [clip_id])
        history = tuple(log.to_correction(row) for row in rows)
        notes, analysis = _analyses(db, clip_id, str(store.path))
    return CaseFile(reviewed, analysis, notes, history, checked.head, checked.fault)


def _start(event: ReviewedEvent) -> float:
    return float("inf") if event.start_s is None else event.start_s


def _analyses(db: Database, clip_id: int, source: str) -> tuple[tuple[AnalysisNote, ...], Analysis | None]:
    rows = db.conn.execute(
        "SELECT id, at, profile, adapter, parameters, versions, document FROM analyses WHERE clip_id = ? ORDER BY id",
        [clip_id],
    )
    notes, document = [], None
    for number, at, profile, adapter, parameters, versions, document in rows:  # noqa: B007 - the last one is used
        notes.append(AnalysisNote(number, at, profile, adapter, json.loads(parameters), json.loads(versions)))
    return tuple(notes), serial.from_json(document, source) if document is not None else None


def write_history(history: Iterable[Correction], path: Path) -> int:
    """Write rows as JSON lines with all their columns, so that anybody can compute their hashes anew. → how many."""
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in history:
            file.write(json.dumps({name: getattr(row, name) for name in COLUMNS}, ensure_ascii=False) + "\n")
            count += 1
    return count


def check_history(lines: Iterable[bytes], where: str) -> int:
    """Check rows written by `write_history`: each has the hash of what it says, and neighbours follow. → how many.

    Rows of other clips stand between those of one; there the previous hash cannot be checked, the row's own can.

    Raises:
        FormatError: a row is not as it was written; the sentence names the first.
    """
    count, last_seq, last_hash = 0, 0, GENESIS
    for number, row in _rows(lines, where):
        seq = row["seq"]
        if log.row_hash(row) != row["hash"]:
            raise FormatError(f"{where}: row {seq} (line {number}) is not as it was written: its hash does not fit.")
        if seq <= last_seq or (seq == last_seq + 1 and row["previous_hash"] != last_hash):
            raise FormatError(f"{where}: row {seq} (line {number}) does not follow from the row before it.")
        count, last_seq, last_hash = count + 1, seq, row["hash"]
    return count


def _rows(lines: Iterable[bytes], where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        row = drafts.parse(line.decode("utf-8", "replace"), f"{where}, line {number}")
        if not isinstance(row, dict) or row.keys() != set(COLUMNS) or not isinstance(row["seq"], int):
            raise FormatError(f"{where}: line {number} is not a row of a history.")
        for name in ("before", "after"):
            row[name] = None if row[name] is None else log.canonical(row[name])
        yield number, row
