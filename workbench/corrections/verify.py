"""Is the history as it was written? Names the first row that is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlite_utils import Database

from workbench.corrections.clips import digest
from workbench.corrections.log import (
    COLUMNS,
    GENESIS,
    MAIN,
    NO_CLIP,
    Document,
    canonical,
    fold,
    load_document,
    row_hash,
)
from workbench.corrections.store import Store

_TRIGGERS = {f"{table}_no_{verb}" for table in ("history", "analyses") for verb in ("update", "delete")}


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found. `fault` is a sentence, None when all is well; `seq` the first bad row if it is one.

    `head` is the hash of the last row: whoever notes it down can tell later that nothing before it was rewritten,
    not even by someone who computed all hashes anew.
    """

    rows: int
    head: str
    fault: str | None = None
    seq: int | None = None

    @property
    def is_intact(self) -> bool:
        """Whether nothing was found."""
        return self.fault is None


@dataclass(frozen=True, slots=True)
class _Fault:
    text: str
    seq: int | None = None


def verify(store: Store, *, expect_head: str | None = None) -> Verification:
    """Check the chain of hashes, the analyses, the clips, and that the current state follows from the history.

    Holds the documents of one clip in memory at a time.

    Args:
        expect_head: a head noted down earlier; it must still be the hash of some row.
    """
    with store.reading() as db:
        rows, head = next(iter(db.conn.execute("SELECT count(*), max(seq) FROM history")))
        last = db.conn.execute("SELECT hash FROM history WHERE seq = ?", [head]).fetchone()
        fault = next(_faults(db, expect_head), None)
    head_hash = last[0] if last else GENESIS
    if fault is None:
        return Verification(rows, head_hash)
    return Verification(rows, head_hash, fault.text, fault.seq)


def _faults(db: Database, expect_head: str | None) -> Iterator[_Fault]:
    yield from _chain_faults(db)
    yield from _guard_faults(db)
    if expect_head and not db.conn.execute("SELECT 1 FROM history WHERE hash = ?", [expect_head]).fetchone():
        yield _Fault(f"No row has the hash {expect_head}; the history was rewritten since that was noted.")
    yield from _analysis_faults(db)
    yield from _clip_faults(db)
    yield from _state_faults(db)


def _chain_faults(db: Database) -> Iterator[_Fault]:
    expected_seq, previous = 1, GENESIS
    for values in db.conn.execute(f"SELECT {', '.join(COLUMNS)} FROM history ORDER BY seq"):
        row = dict(zip(COLUMNS, values, strict=True))
        seq = row["seq"]
        if seq != expected_seq:
            yield _Fault(f"Row {expected_seq} of the history is missing.", expected_seq)
        if row["previous_hash"] != previous:
            yield _Fault(f"Row {seq} of the history does not follow from the row before it.", seq)
        if row["hash"] != row_hash(row):
            yield _Fault(
                f"Row {seq} of the history was changed after it was written "
                f"({row['subject']} {row['subject_id']}, by {row['annotator']} at {row['at']}).",
                seq,
            )
        expected_seq, previous = seq + 1, row["hash"]
    counter = db.conn.execute("SELECT seq FROM sqlite_sequence WHERE name = 'history'").fetchone()
    if counter and counter[0] >= expected_seq:
        yield _Fault(f"Row {expected_seq} of the history is missing, and all after it.", expected_seq)


def _guard_faults(db: Database) -> Iterator[_Fault]:
    present = {name for (name,) in db.conn.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    for name in sorted(_TRIGGERS - present):
        yield _Fault(f"The guard {name} of the database was removed, so rows could be rewritten.")


def _analysis_faults(db: Database) -> Iterator[_Fault]:
    """Each analysis must be the one whose digest its history row holds."""
    told = db.conn.execute(
        "SELECT seq, json_extract(after, '$.analysis'), json_extract(after, '$.digest') FROM history "
        "WHERE subject = 'analysis' AND after IS NOT NULL ORDER BY seq"
    )
    for seq, number, expected in told:
        found = db.conn.execute("SELECT document FROM analyses WHERE id = ?", [number]).fetchone()
        if found is None or digest(found[0]) != expected:
            yield _Fault(f"Analysis {number} is not the one that row {seq} of the history was written with.", seq)


def _clip_faults(db: Database) -> Iterator[_Fault]:
    """Every clip that the history tells of must be in the list of clips, with the name and content it tells of."""
    gone = db.conn.execute(
        "SELECT clip_id, min(seq) FROM history WHERE clip_id IS NOT NULL AND clip_id NOT IN (SELECT id FROM clips) "
        "GROUP BY clip_id ORDER BY clip_id"
    )
    for clip_id, seq in gone:
        yield _Fault(f"Clip {clip_id} is not in the store any more; row {seq} of the history tells of it.")
    for clip_id, *found in db.conn.execute("SELECT id, name, sha256 FROM clips ORDER BY id"):
        told = load_document(db, clip_id, MAIN, "clip", "clip")
        if told is None:
            yield _Fault(f"The history does not tell how clip {clip_id} came into the store; it was added past it.")
        elif found != [told["name"], told["sha256"]]:
            yield _Fault(
                f"The name or content hash of clip {clip_id} is not the one that the history tells of; it was changed "
                "past the workbench."
            )


def _state_faults(db: Database) -> Iterator[_Fault]:
    """The table of current documents must be what folding the history gives."""
    clip_ids = [clip_id for (clip_id,) in db.conn.execute("SELECT id FROM clips ORDER BY id")]
    known = {NO_CLIP, *clip_ids}
    for (stray,) in db.conn.execute("SELECT DISTINCT clip_id FROM subjects"):
        if stray not in known:
            yield _Fault(f"There is current state of clip {stray}, which is not in the store.")
    for clip_id in [NO_CLIP, *clip_ids]:
        expected = {place: canonical(document) for place, document in _replay(db, clip_id).items()}
        found = {
            (layer, subject, subject_id): text
            for layer, subject, subject_id, text in db.conn.execute(
                "SELECT layer, subject, subject_id, document FROM subjects WHERE clip_id = ?", [clip_id]
            )
        }
        for layer, subject, subject_id in sorted(expected.keys() | found.keys()):
            place = (layer, subject, subject_id)
            if expected.get(place) != found.get(place):
                yield _Fault(
                    f"The current state of {subject} {subject_id} of clip {clip_id} (layer {layer}) does not follow "
                    "from the history; it was changed past the workbench."
                )


def _replay(db: Database, clip_id: int) -> dict[tuple[str, str, str], Document]:
    where = "clip_id IS NULL" if clip_id == NO_CLIP else "clip_id = ?"
    values = [] if clip_id == NO_CLIP else [clip_id]
    state: dict[tuple[str, str, str], Document] = {}
    for columns in db.conn.execute(f"SELECT {', '.join(COLUMNS)} FROM history WHERE {where} ORDER BY seq", values):
        row = dict(zip(COLUMNS, columns, strict=True))
        place = (row["layer"], row["subject"], row["subject_id"])
        document = fold(state.get(place), row)
        if document is None:
            state.pop(place, None)
        else:
            state[place] = document
        if row["action"] == "fork":
            main = [(key, value) for key, value in state.items() if key[0] == MAIN]
            copied = {(row["layer"], *key[1:]): v for key, v in main if key[1] not in ("clip", "layer", "analysis")}
            state.update(copied)
    return state
