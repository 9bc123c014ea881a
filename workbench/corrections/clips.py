"""Clips and analyses in the store, and `current`: a clip as it stands after all corrections."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import PurePath
from typing import Any

from sqlite_utils import Database

from workbench import serial
from workbench.corrections import documents, log
from workbench.corrections.log import MAIN, Author, Change, Document
from workbench.corrections.store import Store
from workbench.errors import StoreError
from workbench.records import (
    Analysis,
    ClipInfo,
    ClipRecord,
    Provenance,
    ReviewedClip,
    ReviewedEvent,
    ReviewedInstance,
    ReviewedTurn,
    ReviewState,
    Texts,
)

WORKBENCH = "workbench"  # the annotator of rows that no person wrote
_SAME = 0.5  # temporal IoU from which two events are about the same moment
_MODEL_SUBJECTS = ("event", "caption", "instance", "turn")


@dataclass(frozen=True, slots=True)
class ClipRow:
    """A line of the library: the clip, its review state in the main layer, and the number of its latest row."""

    clip: ClipRecord
    state: ReviewState
    revision: int


def save_analysis(store: Store, analysis: Analysis, *, versions: dict[str, str] | None = None) -> ClipRecord:
    """Put an analysis into the store, and its clip if that is new.

    What earlier analyses said and no person has touched makes way for the new one. What a person has changed or added
    stays, and a new event that is mostly about a time which a person has judged (kept, changed or removed an event
    there) is not put beside that judgement. An instance that stays is linked to the event that takes the place of its
    own. The whole analysis (scores and all, heatmaps aside) is kept and read back
    with `load_analysis`.

    Args:
        versions: of the packages that computed it, for whoever wants to know later.

    Raises:
        StoreError: the store cannot be written. DataError: the analysis holds a number that is not finite.
    """
    text = serial.to_json(analysis)
    parameters = {
        "sampler": analysis.sampler,
        "sampled_frames": [int(frame) for frame in analysis.sampled_frames],
        "threshold": float(analysis.threshold),
        "stride": int(analysis.dense.stride),
    }
    with store.writing() as db:
        log.ensure_annotator(db, WORKBENCH)
        clip = ensure_clip(db, record_of(analysis.clip), _made_by(analysis))
        row = db.conn.execute(
            "INSERT INTO analyses (clip_id, at, profile, adapter, parameters, versions, document, digest) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                *(clip.id, log.now(), analysis.profile, analysis.adapter, log.canonical(parameters)),
                *(log.canonical(versions or {}), text, digest(text)),
            ],
        )
        assert row.lastrowid is not None
        _write_analysis(db, clip.id, row.lastrowid, analysis, digest(text))
    return clip


def load_analysis(store: Store, clip_id: int, analysis_id: int | None = None) -> Analysis:
    """An analysis of a clip as it was computed, the latest if none is named.

    Raises:
        StoreError: there is none.
    """
    which = "AND id = ?" if analysis_id is not None else "ORDER BY id DESC LIMIT 1"
    values = [clip_id] if analysis_id is None else [clip_id, analysis_id]
    with store.reading() as db:
        row = db.conn.execute(f"SELECT document FROM analyses WHERE clip_id = ? {which}", values).fetchone()
    if row is None:
        raise StoreError(f"Clip {clip_id} has no such analysis in {store.path}; analyse it first.")
    return serial.from_json(row[0], str(store.path))


def current(store: Store, clip: str | int, layer: str = MAIN) -> ReviewedClip:
    """A clip with all corrections of a layer; a layer that nobody has begun looks like the main one.

    Args:
        clip: the sha256 of the file, or the number of the clip.

    Raises:
        StoreError: the store does not know the clip.
    """
    with store.reading() as db:
        return view(db, find_clip(db, clip), layer)


def reviewed_clips(store: Store, layer: str = MAIN) -> Iterator[ReviewedClip]:
    """All clips one after another, as they stood when the first was asked for. Holds one in memory at a time."""
    with store.reading() as db:
        for (clip_id,) in db.conn.execute("SELECT id FROM clips ORDER BY id"):
            yield view(db, find_clip(db, clip_id), layer)


def list_clips(store: Store, *, after_id: int = 0, limit: int = 50) -> list[ClipRow]:
    """A page of the library, in the order in which clips came in."""
    rows = []
    with store.reading() as db:
        for (clip_id,) in db.conn.execute(
            "SELECT id FROM clips WHERE id > ? ORDER BY id LIMIT ?", [after_id, limit]
        ).fetchall():
            video = log.load_document(db, clip_id, MAIN, "video", "video") or {}
            rows.append(ClipRow(find_clip(db, clip_id), video.get("state", "new"), revision(db, clip_id, MAIN)))
    return rows


def find_clip(db: Database, clip: str | int) -> ClipRecord:
    """The record of a clip by sha256 or number. Raises StoreError when it is unknown."""
    column = "id" if isinstance(clip, int) else "sha256"
    row = db.conn.execute(f"SELECT id FROM clips WHERE {column} = ?", [clip]).fetchone()
    document = log.load_document(db, row[0], MAIN, "clip", "clip") if row else None
    if row is None or document is None:
        raise StoreError(f"The store knows no clip with the {column} {clip}; analyse or import it first.")
    return ClipRecord(id=row[0], **document)


def find_by_name(db: Database, name: str) -> ClipRecord | None:
    """The clip of that name that came first, if there is one."""
    row = db.conn.execute("SELECT id FROM clips WHERE name = ? ORDER BY id LIMIT 1", [name]).fetchone()
    return find_clip(db, row[0]) if row else None


def view(db: Database, clip: ClipRecord, layer: str) -> ReviewedClip:
    """Put together the current state of a layer inside a session."""
    source = layer if has_layer(db, clip.id, layer) else MAIN
    subjects = log.load_documents(db, clip.id, source)
    return documents.reviewed_from(clip, layer, revision(db, clip.id, layer), subjects)


def has_layer(db: Database, clip_id: int, layer: str) -> bool:
    """Whether anybody has begun this layer of a clip."""
    row = db.conn.execute("SELECT 1 FROM history WHERE clip_id = ? AND layer = ? LIMIT 1", [clip_id, layer])
    return row.fetchone() is not None


def revision(db: Database, clip_id: int, layer: str) -> int:
    """Number of the last row of a layer, of the main one where the layer has not begun."""
    source = layer if has_layer(db, clip_id, layer) else MAIN
    row = db.conn.execute("SELECT max(seq) FROM history WHERE clip_id = ? AND layer = ?", [clip_id, source]).fetchone()
    return row[0] or 0


def ensure_clip(db: Database, clip: ClipRecord, provenance: Provenance) -> ClipRecord:
    """The clip in the store: found by sha256, else by name if one of the two lacks media; added if it is new.

    A clip that came without media takes up the file when that arrives.
    """
    known = _find_known(db, clip)
    if known is None:
        return _add_clip(db, clip, provenance)
    merged = _merged(known, clip)
    if merged.sha256 != known.sha256:
        db.conn.execute("UPDATE clips SET sha256 = ? WHERE id = ?", [merged.sha256, known.id])
    author = Author(WORKBENCH, known.id, action="import")
    for field, value in documents.clip_to(merged).items():
        log.append(db, author, Change("clip", "clip", field, value))
    return merged


def record_of(info: ClipInfo) -> ClipRecord:
    """What the store keeps of a probe; the name is the file's without its suffix."""
    return ClipRecord(
        id=0,
        name=PurePath(info.path).stem,
        sha256=info.sha256,
        path=info.path,
        n_frames=int(info.n_frames),
        fps=float(info.fps),
        duration_s=float(info.duration_s),
        width=int(info.width),
        height=int(info.height),
    )


def digest(text: str) -> str:
    """SHA-256 of the text of an analysis, which its history row holds."""
    return hashlib.sha256(text.encode()).hexdigest()


def _merged(known: ClipRecord, new: ClipRecord) -> ClipRecord:
    """What the store knows, completed by what is new; a probe of the file counts more than what somebody wrote."""
    if new.has_media and not known.has_media:
        return replace(new, id=known.id, name=known.name, origin=known.origin or new.origin)
    missing = {
        field.name: getattr(new, field.name)
        for field in fields(ClipRecord)
        if field.name != "id" and getattr(known, field.name) is None
    }
    return replace(known, **missing)


def _find_known(db: Database, clip: ClipRecord) -> ClipRecord | None:
    if clip.sha256 is not None:
        row = db.conn.execute("SELECT id FROM clips WHERE sha256 = ?", [clip.sha256]).fetchone()
        if row:
            return find_clip(db, row[0])
    named = find_by_name(db, clip.name)
    if named is None or (named.has_media and clip.has_media):
        return None
    return None if named.origin and clip.origin and named.origin != clip.origin else named


def _add_clip(db: Database, clip: ClipRecord, provenance: Provenance) -> ClipRecord:
    cursor = db.conn.execute(
        "INSERT INTO clips (sha256, name, added_at) VALUES (?, ?, ?)", [clip.sha256, clip.name, log.now()]
    )
    assert cursor.lastrowid is not None
    clip = replace(clip, id=cursor.lastrowid)
    blank = ReviewedClip(clip, MAIN, 0, "new", None, Texts(), (), (), (), (), provenance)
    author = Author(WORKBENCH, clip.id, action="create")
    step = log.append(db, author, Change("clip", "clip", "", documents.clip_to(clip)))
    log.append(db, author, Change("video", "video", "", documents.video_to(blank)), step=step)
    return clip


def _made_by(analysis: Analysis) -> Provenance:
    return Provenance("model", analysis.profile, analysis.adapter)


def _write_analysis(db: Database, clip_id: int, number: int, analysis: Analysis, text_digest: str) -> None:
    author = Author(WORKBENCH, clip_id, action="analysis")
    summary = {"profile": analysis.profile, "adapter": analysis.adapter, "digest": text_digest, "analysis": number}
    step = log.append(db, author, Change("analysis", f"a{number}", "", summary))
    subjects = [item for item in log.load_documents(db, clip_id, MAIN) if item[0] in _MODEL_SUBJECTS]
    kept = {document.get("event") for _, _, document in subjects if not _is_untouched(document)}
    gone = {i for kind, i, document in subjects if kind == "event" and _is_untouched(document) and i not in kept}
    for subject, subject_id, document in subjects:
        stays = subject_id in kept or (subject == "caption" and document["event"] not in gone)
        if _is_untouched(document) and not stays:
            log.append(db, author, Change(subject, subject_id, "", None), step=step)
    judged = _judged_spans(db, clip_id)
    for change in _subjects_of(analysis, f"a{number}"):
        if change.subject == "event" and any(_overlap(change.value, span) > _SAME for span in judged):
            continue
        log.append(db, author, replace(change, value={**change.value, "analysis": number}), step=step)
    lost = {i: document for kind, i, document in subjects if kind == "event" and i in gone}
    _link_anew(db, author, lost, step)


def _link_anew(db: Database, author: Author, lost: dict[str, Document], step: int | None) -> None:
    """Instances that took part in an event that made way take part in the one about the same moment, or in none."""
    assert author.clip_id is not None
    subjects = list(log.load_documents(db, author.clip_id, MAIN))
    events = {i: document for kind, i, document in subjects if kind == "event"}
    for kind, subject_id, document in subjects:
        if kind != "instance" or document["event_id"] not in lost:
            continue
        shares = {i: _overlap(event, lost[document["event_id"]]) for i, event in events.items()}
        nearest = max(shares, key=shares.__getitem__, default=None)
        heir = nearest if nearest is not None and shares[nearest] > _SAME else None
        log.append(db, author, Change("instance", subject_id, "event_id", heir), step=step)


def _is_untouched(document: Document) -> bool:
    return document["provenance"]["kind"] == "model" and not document["editors"]


def _judged_spans(db: Database, clip_id: int) -> list[Document]:
    """Events in the main layer that a person made or changed, and those that a person removed."""
    standing = [d for kind, _, d in log.load_documents(db, clip_id, MAIN) if kind == "event"]
    # The last removal counts: one that was undone is followed by another if the event is gone again.
    removed = db.conn.execute(
        "SELECT before FROM history WHERE seq IN (SELECT max(seq) FROM history WHERE clip_id = ? AND layer = ? "
        "AND subject = 'event' AND field = '' AND after IS NULL GROUP BY subject_id) "
        "AND action IN ('edit', 'adopt', 'redo') AND subject_id NOT IN "
        "(SELECT subject_id FROM subjects WHERE clip_id = ? AND layer = ? AND subject = 'event')",
        [clip_id, MAIN, clip_id, MAIN],
    )
    return [*standing, *(json.loads(text) for (text,) in removed)]


def _overlap(a: Document, b: Document) -> float:
    """Temporal IoU of two events; 0 where a time is not known."""
    if None in (a["start_s"], a["end_s"], b["start_s"], b["end_s"]):
        return 0.0
    both = min(a["end_s"], b["end_s"]) - max(a["start_s"], b["start_s"])
    either = max(a["end_s"], b["end_s"]) - min(a["start_s"], b["start_s"])
    return max(0.0, both) / either if either > 0 else float(a["start_s"] == b["start_s"])


def _subjects_of(analysis: Analysis, prefix: str) -> Iterator[Change]:
    made_by = _made_by(analysis)
    for i, event in enumerate(analysis.events):
        span = (float(event.start_s), float(event.end_s), float(event.peak_s), float(event.peak_score))
        reviewed = ReviewedEvent(f"{prefix}.e{i}", *span, event.category, Texts(), (), made_by)
        yield Change("event", reviewed.id, "", documents.event_to(reviewed, i))
    for i, instance in enumerate(analysis.instances):
        item = ReviewedInstance(f"{prefix}.i{instance.id}", instance, None, made_by)
        yield Change("instance", item.id, "", documents.instance_to(item, i))
    for i, turn in enumerate(analysis.dialogue):
        said = ReviewedTurn(f"{prefix}.t{i}", turn, made_by)
        yield Change("turn", said.id, "", documents.turn_to(said, i))


def list_analyses(store: Store, clip_id: int) -> list[tuple[int, str, str | None]]:
    """Number, profile and adapter of all analyses of a clip, oldest first."""
    with store.reading() as db:
        rows = db.conn.execute("SELECT id, profile, adapter FROM analyses WHERE clip_id = ? ORDER BY id", [clip_id])
        return [(number, profile, adapter) for number, profile, adapter in rows]


def get_setting(store: Store, key: str, default: Any = None) -> Any:
    """A setting of this store (a JSON value), `default` where it was never set."""
    with store.reading() as db:
        row = db.conn.execute("SELECT value FROM settings WHERE key = ?", [key]).fetchone()
    return json.loads(row[0]) if row else default


def set_setting(store: Store, key: str, value: Any) -> None:
    """Remember a setting of this store. Settings have no history."""
    with store.writing() as db:
        db.conn.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", [key, log.canonical(value)])
