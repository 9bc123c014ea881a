"""The library of a store: a line a clip with how far its review is, found by its words, put in an order to work in.

`doubt` is in [0, 1]. Where a model has judged the clip in words it is how far its score and that verdict are apart;
where nobody has said anything it is at most one half, and the more the nearer the score lies to the threshold.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlite_utils import Database

from workbench.answers import parse_judgement
from workbench.corrections import clips
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
_Subjects = list[tuple[str, Document]]
_Key = tuple[int, str, str, str]  # number of a clip, the layer shown, and the hashes that main and that layer end with
_MOST_KEPT = 20_000
_KEPT: dict[_Key, Line] = {}
_KEPT_LOCK = threading.Lock()


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
        found = _all_lines(db, layer, only)
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


# A clip's line follows from the rows of its history, so it stays true as long as the hashes they end with do.
_ENDS = """SELECT id, (SELECT hash FROM history WHERE clip_id = clips.id AND layer = :main ORDER BY seq DESC LIMIT 1),
    (SELECT hash FROM history WHERE clip_id = clips.id AND layer = :layer ORDER BY seq DESC LIMIT 1)
FROM clips WHERE :only IS NULL OR sha256 IN (SELECT value FROM json_each(:only)) ORDER BY id"""
_CHOSEN = """WITH chosen AS MATERIALIZED (
    SELECT json_extract(value, '$[0]') AS number, json_extract(value, '$[1]') AS shown FROM json_each(?)
) """
# Masks are most of an instance and no words.
_SAID = """SELECT clip_id, subject, CASE subject
    WHEN 'instance' THEN json_object('role', json_extract(document, '$.role'),
        'category', json_extract(document, '$.category'), 'appearance', json_extract(document, '$.appearance'),
        'motion', json_extract(document, '$.motion'))
    ELSE document END
FROM chosen JOIN subjects ON clip_id = number AND layer = shown
WHERE subject IN ('video', 'event', 'caption', 'instance', 'turn')"""
_COUNTS = f"""SELECT clip_id, sum(CASE action WHEN 'undo' THEN -1 ELSE 1 END)
FROM chosen JOIN history ON clip_id = number AND layer = shown
WHERE action IN ('edit', 'adopt', 'redo', 'undo') AND annotator != '{clips.WORKBENCH}' GROUP BY clip_id"""
_PEAKS = """SELECT clip_id, (SELECT max(value) FROM json_each(document, '$.dense.score')),
    coalesce(json_extract(parameters, '$.threshold'), 0.5)
FROM analyses WHERE id IN (
    SELECT max(id) FROM analyses WHERE clip_id IN (SELECT number FROM chosen) GROUP BY clip_id)"""
_CLIPS = f"""SELECT number, added_at, document FROM chosen JOIN clips ON id = number
LEFT JOIN subjects ON clip_id = number AND layer = '{MAIN}' AND subject = 'clip'"""


def _all_lines(db: Database, layer: str, only: Collection[str] | None) -> list[Line]:
    """The lines of the clips that may be shown, in the order they came in; only those that changed are made anew."""
    which = {"layer": layer, "main": MAIN, "only": None if only is None else json.dumps(list(only))}
    keys: list[_Key] = [
        (number, layer if own else MAIN, main or "", own or "") for number, main, own in db.conn.execute(_ENDS, which)
    ]
    with _KEPT_LOCK:
        known = {key: _KEPT[key] for key in keys if key in _KEPT}
    made = _read_lines(db, [key for key in keys if key not in known])
    with _KEPT_LOCK:
        _KEPT.update(made)
        while len(_KEPT) > _MOST_KEPT:
            del _KEPT[next(iter(_KEPT))]
    return [known.get(key) or made[key] for key in keys]


def _read_lines(db: Database, keys: list[_Key]) -> dict[_Key, Line]:
    """The lines of some clips, in four queries however many there are."""
    chosen = [json.dumps([key[:2] for key in keys])]
    said: dict[int, _Subjects] = {}
    for number, kind, text in db.conn.execute(_CHOSEN + _SAID, chosen):
        said.setdefault(number, []).append((kind, json.loads(text)))
    counts: dict[int, int] = dict(db.conn.execute(_CHOSEN + _COUNTS, chosen).fetchall())
    peaks = {number: (top, threshold) for number, top, threshold in db.conn.execute(_CHOSEN + _PEAKS, chosen)}
    rows = {number: row for number, *row in db.conn.execute(_CHOSEN + _CLIPS, chosen)}
    made = {}
    for key in keys:
        added_at, text = rows[key[0]]
        record = ClipRecord(id=key[0], **json.loads(text)) if text else clips.find_clip(db, key[0])
        made[key] = _line(record, added_at, said.get(key[0], []), counts.get(key[0], 0), peaks.get(key[0]))
    return made


def _line(
    record: ClipRecord, added_at: str, subjects: _Subjects, corrections: int, peak: tuple[float | None, float] | None
) -> Line:
    events = [document for kind, document in subjects if kind == "event"]
    top, threshold = peak or (None, 0.5)
    heights = [document["peak_score"] for document in events if document.get("peak_score") is not None]
    top_score = max(heights, default=top)
    video: Document = next((document for kind, document in subjects if kind == "video"), {})
    state = video.get("state", "new")
    return Line(
        clip=record,
        status="analysed" if state == "new" and peak else state,
        top_score=top_score,
        doubt=_doubt(top_score, threshold, [document for kind, document in subjects if kind == "turn"]),
        categories=tuple(dict.fromkeys(document["category"] for document in events if document.get("category"))),
        events=len(events),
        corrections=corrections,
        added_at=added_at,
        words=_words(record, subjects),
    )


def _doubt(top: float | None, threshold: float, turns: list[Document]) -> float:
    if top is None:
        return 0.0
    said = [parse_judgement(document["answer"]) for document in turns if document["kind"] == "judgement"]
    verdict = next((word for word in reversed(said) if word is not None), None)
    if verdict is not None:
        return abs(top - float(verdict))
    reach = threshold if top < threshold else 1 - threshold
    return 0.5 * (1 - min(1.0, abs(top - threshold) / max(reach, 1e-6)))


def _words(record: ClipRecord, subjects: _Subjects) -> str:
    said: list[Any] = [record.name, record.origin]
    for kind, document in subjects:
        said += [document.get(field) for field in _WORDS.get(kind, ())]
    return " ".join(text if isinstance(text, str) else json.dumps(text) for text in said if text).casefold()
