"""The library of a store: a line a clip with how far its review is, found by its words, put in an order to work in.

`doubt` is in [0, 1]. Where a model has judged the clip in words it is how far its score and that verdict are apart;
where nobody has said anything it is at most one half, and the more the nearer the score lies to the threshold.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlite_utils import Database

from workbench.answers import parse_judgement
from workbench.corrections import clips, log
from workbench.corrections.log import MAIN, Document
from workbench.corrections.store import Store
from workbench.errors import InputError
from workbench.records import ClipRecord

Order = Literal["score", "doubt", "oldest", "newest"]
Status = Literal["new", "analysed", "in review", "done", "disputed"]
ORDERS: tuple[Order, ...] = get_args(Order)
STATUSES: tuple[Status, ...] = get_args(Status)
_WORDS = {
    "event": ("category", "judgement", "description", "analysis_text", "summary"),
    "video": ("judgement", "description", "analysis_text", "summary", "label"),
    "caption": ("caption",),
    "instance": ("role", "category", "appearance", "motion"),
    "turn": ("question", "answer"),
}
_MAX_PEAKS = 10_000
_PEAKS: dict[str, tuple[float | None, float]] = {}  # by the digest of an analysis, which never changes


@dataclass(frozen=True, slots=True)
class Line:
    """A clip of the library. `top_score` is None where nothing was analysed; `corrections`: people's standing rows."""

    clip: ClipRecord
    status: Status
    top_score: float | None
    doubt: float
    categories: tuple[str, ...]
    events: int
    corrections: int
    added_at: str
    words: str


def lines(
    store: Store,
    *,
    layer: str = MAIN,
    search: str = "",
    status: Status | None = None,
    order: Order = "newest",
    only: Collection[str] | None = None,
) -> list[Line]:
    """The clips of a store that hold all words of `search`, in an order.

    Args:
        only: content hashes of the clips that may be shown; None: all.

    Raises:
        InputError: there is no such order or status.
    """
    if order not in ORDERS:
        raise InputError(f"There is no order {order!r}; choose one of {', '.join(ORDERS)}.")
    if status is not None and status not in STATUSES:
        raise InputError(f"There is no status {status!r}; choose one of {', '.join(STATUSES)}.")
    wanted = search.casefold().split()
    with store.reading() as db:
        rows = db.conn.execute("SELECT id, sha256, added_at FROM clips ORDER BY id").fetchall()
        found = [
            _line(db, clip_id, added_at, layer) for clip_id, sha256, added_at in rows if only is None or sha256 in only
        ]
    fitting = [line for line in found if all(word in line.words for word in wanted) and status in (None, line.status)]
    return sorted(fitting, key=lambda line: _place(line, order))


def next_clip(found: Iterable[Line], current: str | None) -> Line | None:
    """The first clip in an order that has a video, is not done and is not the current one (a content hash)."""
    for line in found:
        if line.status not in ("done", "disputed") and line.clip.has_media and line.clip.sha256 != current:
            return line
    return None


def _place(line: Line, order: Order) -> tuple[float, int]:
    keys = {"score": -(line.top_score or 0.0), "doubt": -line.doubt, "oldest": line.clip.id, "newest": -line.clip.id}
    return float(keys[order]), line.clip.id


def _line(db: Database, clip_id: int, added_at: str, layer: str) -> Line:
    source = layer if clips.has_layer(db, clip_id, layer) else MAIN
    record = clips.find_clip(db, clip_id)
    subjects = list(log.load_documents(db, clip_id, source))
    events = [document for kind, _, document in subjects if kind == "event"]
    latest = db.conn.execute("SELECT max(id) FROM analyses WHERE clip_id = ?", [clip_id]).fetchone()[0]
    top, threshold = _peak(db, latest) if latest else (None, 0.5)
    heights = [document["peak_score"] for document in events if document.get("peak_score") is not None]
    top_score = max(heights, default=top)
    video: Document = next((document for kind, _, document in subjects if kind == "video"), {})
    state = video.get("state", "new")
    corrections = db.conn.execute(
        "SELECT coalesce(sum(CASE action WHEN 'undo' THEN -1 ELSE 1 END), 0) FROM history "
        "WHERE clip_id = ? AND layer = ? AND action IN ('edit', 'adopt', 'redo', 'undo') AND annotator != ?",
        [clip_id, source, clips.WORKBENCH],
    ).fetchone()[0]
    return Line(
        clip=record,
        status="analysed" if state == "new" and latest else state,
        top_score=top_score,
        doubt=_doubt(top_score, threshold, [document for kind, _, document in subjects if kind == "turn"]),
        categories=tuple(dict.fromkeys(document["category"] for document in events if document.get("category"))),
        events=len(events),
        corrections=corrections,
        added_at=added_at,
        words=_words(record, subjects),
    )


def _peak(db: Database, analysis: int) -> tuple[float | None, float]:
    """Highest score and threshold of an analysis. Analyses never change, so each is read once."""
    row = db.conn.execute("SELECT digest FROM analyses WHERE id = ?", [analysis]).fetchone()
    if row[0] not in _PEAKS:
        while len(_PEAKS) >= _MAX_PEAKS:
            del _PEAKS[next(iter(_PEAKS))]
        _PEAKS[row[0]] = db.conn.execute(
            "SELECT (SELECT max(value) FROM json_each(document, '$.dense.score')), "
            "coalesce(json_extract(parameters, '$.threshold'), 0.5) FROM analyses WHERE id = ?",
            [analysis],
        ).fetchone()
    return _PEAKS[row[0]]


def _doubt(top: float | None, threshold: float, turns: list[Document]) -> float:
    if top is None:
        return 0.0
    said = [parse_judgement(document["answer"]) for document in turns if document["kind"] == "judgement"]
    verdict = next((word for word in reversed(said) if word is not None), None)
    if verdict is not None:
        return abs(top - float(verdict))
    reach = threshold if top < threshold else 1 - threshold
    return 0.5 * (1 - min(1.0, abs(top - threshold) / max(reach, 1e-6)))


def _words(record: ClipRecord, subjects: Iterable[tuple[str, str, Document]]) -> str:
    said: list[Any] = [record.name, record.origin]
    for kind, _, document in subjects:
        said += [document.get(field) for field in _WORDS.get(kind, ())]
    return " ".join(text if isinstance(text, str) else json.dumps(text) for text in said if text).casefold()
