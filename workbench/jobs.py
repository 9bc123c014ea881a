"""Training runs as rows of the store: asked for, running, ended, decided about.

queued → running → done | failed | stopped; a failed or stopped one can be queued again and goes on where it was.
A run that is done waits for a person: its adapter is adopted or rejected, once.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from workbench.corrections.log import ensure_annotator, now
from workbench.corrections.store import Store
from workbench.errors import InputError
from workbench.processes import Mark

State = Literal["queued", "running", "done", "failed", "stopped"]
Decision = Literal["adopted", "rejected"]
STATES: tuple[State, ...] = get_args(State)
_COLUMNS = (
    "id, created_at, annotator, request, state, started_at, ended_at, process, message, adapter, decision, decided_by, "
    "decided_at, reason"
)


@dataclass(frozen=True, slots=True)
class Job:
    """One training run.

    Attributes:
        request: what was asked for, JSON values (`workbench.training.Request`).
        process: the one that trains. message: why it failed, a sentence.
        adapter: the name of what it learned. decision: what a person decided about that, who, when and why.
    """

    id: int
    created_at: str
    annotator: str
    request: Mapping[str, Any]
    state: State
    started_at: str | None = None
    ended_at: str | None = None
    process: Mark | None = None
    message: str = ""
    adapter: str | None = None
    decision: Decision | None = None
    decided_by: str | None = None
    decided_at: str | None = None
    reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still waits or runs."""
        return self.state in ("queued", "running")


def add_job(store: Store, request: Mapping[str, Any], *, annotator: str) -> Job:
    """Queue a run."""
    with store.writing() as db:
        ensure_annotator(db, annotator)
        cursor = db.conn.execute(
            "INSERT INTO jobs (created_at, annotator, request, state) VALUES (?, ?, ?, 'queued')",
            [now(), annotator, json.dumps(dict(request))],
        )
        number = int(cursor.lastrowid or 0)
    return get_job(store, number)


def get_job(store: Store, number: int) -> Job:
    """The run of that number. Raises `InputError` when there is none."""
    with store.reading() as db:
        row = db.conn.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", [number]).fetchone()
    if row is None:
        raise InputError(f"There is no training run {number}; reload the page to see those there are.")
    return _job(row)


def list_jobs(store: Store, *, state: State | None = None) -> list[Job]:
    """All runs, or those of a state, the newest first."""
    with store.reading() as db:
        where, values = ("WHERE state = ?", [state]) if state else ("", [])
        rows = db.conn.execute(f"SELECT {_COLUMNS} FROM jobs {where} ORDER BY id DESC", values).fetchall()
    return [_job(row) for row in rows]


def mark_running(store: Store, number: int, process: Mark | None) -> None:
    """The run has begun, in that process."""
    text = None if process is None else process.to_json()
    _update(
        store, number, ("queued", "running"), "state = 'running', started_at = ?, process = ?, message = ''",
        [now(), text],
    )  # fmt: skip


def mark_ended(store: Store, number: int, state: State, *, message: str = "", adapter: str | None = None) -> None:
    """The run has ended, well or not."""
    _update(
        store, number, ("queued", "running"), "state = ?, ended_at = ?, process = NULL, message = ?, adapter = ?",
        [state, now(), message, adapter],
    )  # fmt: skip


def queue_again(store: Store, number: int) -> None:
    """Let a run that failed or was stopped go on. Raises `InputError` when it did neither."""
    job = get_job(store, number)
    if job.state not in ("failed", "stopped"):
        raise InputError(f"Run {number} is {job.state}; only one that failed or was stopped can go on.")
    _update(store, number, ("failed", "stopped"), "state = 'queued', ended_at = NULL, message = ''", [])


def decide(store: Store, number: int, decision: Decision, *, by: str, reason: str = "") -> None:
    """Write down what a person decided about the adapter of a run that is done.

    Raises:
        InputError: the run is not done, or somebody decided already.
    """
    check_undecided(get_job(store, number))
    with store.writing() as db:
        ensure_annotator(db, by)
    _update(
        store, number, ("done",), "decision = ?, decided_by = ?, decided_at = ?, reason = ?",
        [decision, by, now(), reason or None],
    )  # fmt: skip


def check_undecided(job: Job) -> str:
    """The adapter of a run that waits for a decision. Raises `InputError` when it does not."""
    if job.state != "done" or job.adapter is None:
        raise InputError(f"Run {job.id} is {job.state}; there is nothing to decide about yet.")
    if job.decision is not None:
        raise InputError(f"Run {job.id} was {job.decision} by {job.decided_by} already.")
    return job.adapter


def _update(store: Store, number: int, states: tuple[State, ...], columns: str, values: list[Any]) -> None:
    """Change a row while it is in one of `states`; another program may have been faster, then nothing changes."""
    marks = ", ".join("?" for _ in states)
    with store.writing() as db:
        db.conn.execute(f"UPDATE jobs SET {columns} WHERE id = ? AND state IN ({marks})", [*values, number, *states])


def _job(row: sqlite3.Row | tuple[Any, ...]) -> Job:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    return Job(**{**values, "request": json.loads(values["request"]), "process": Mark.from_json(values["process"])})
