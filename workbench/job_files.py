"""What a training run says of itself, read from its folder: `progress.jsonl`, `gate.json`, `log.txt`.

Training writes these files and knows no page; whoever opens the page reads them as they are, so that a reload, or a
server that was started again, sees the same as the one that began it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from workbench.errors import InputError

PROGRESS, GATE, LOG = "progress.jsonl", "gate.json", "log.txt"
TAIL_LINES = 40
TAIL_BYTES = 8000
MAX_POINTS = 240
Row = dict[str, Any]


@dataclass(slots=True)
class Curve:
    """What was measured while a component learned: `(step, value)` by name (`loss`, `valid`, `auc`, …)."""

    steps: int = 0
    lines: dict[str, list[tuple[int, float]]] = field(default_factory=dict)


@dataclass(slots=True)
class RunView:
    """Where a run stands.

    Attributes:
        stage: what it does now, as training calls it; "" before it has said anything. at: when it said so last.
        fraction: of that stage, in [0, 1]; None where it does not count.
        eta_s: until that stage ends, None where nothing can be said.
        step, steps, loss: of the newest training step.
        curves: by component. summary: the counts of the frozen data. gate: the verdict, once there is one.
        outcome: "done", "failed" or None while neither was said. adapter, adopt, reasons, error: what it then said.
    """

    stage: str = ""
    at: str = ""
    fraction: float | None = None
    eta_s: float | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    curves: dict[str, Curve] = field(default_factory=dict)
    summary: Row = field(default_factory=dict)
    gate: Row | None = None
    outcome: str | None = None
    adapter: str | None = None
    adopt: bool | None = None
    reasons: tuple[str, ...] = ()
    error: str = ""
    tail: list[str] = field(default_factory=list)

    def to_status(self, run: str) -> Row:
        """How the run of that name stands, as JSON values; one that was killed stays `running`, `at` says since when.

        `state` is "running", "done" or "failed"; the outcome is told of a run that has ended.
        """
        return {
            "run": run, "state": self.outcome or "running", "stage": self.stage, "at": self.at,
            "fraction": 1.0 if self.outcome == "done" else self.fraction,
            "step": self.step, "steps": self.steps, "loss": self.loss, "adapter": self.adapter, "adopt": self.adopt,
            "reasons": list(self.reasons), "error": self.error or None,
        }  # fmt: skip


def read_run(folder: Path) -> RunView:
    """Everything a run has said so far; an empty view where it has not begun."""
    view = view_of(_rows(folder / PROGRESS))
    view.gate = _document(folder / GATE)
    view.tail = tail(folder / LOG)
    return view


def read_status(root: Path, run: str = "") -> Row:
    """How a run below `root` stands, as `RunView.to_status`; the one heard of last if none is named.

    The state is "none" where nobody has trained yet.

    Raises:
        InputError: there is no run of that name.
    """
    runs = {path.parent.name: path for path in sorted(root.glob(f"[!.]*/{PROGRESS}"))}
    if not run and not runs:
        return RunView(outcome="none").to_status("")
    name = run or max(runs, key=lambda name: runs[name].stat().st_mtime_ns)
    if name not in runs:
        raise InputError(f"There is no training run '{run}'; there are: {', '.join(runs) or 'none yet'}.")
    return view_of(_rows(runs[name])).to_status(name)


def view_of(rows: Iterable[Row]) -> RunView:
    """The lines of `progress.jsonl` as a view. A run that went on after a stop says its later steps again."""
    view = RunView()
    begun: tuple[str | None, float] | None = None
    for row in rows:
        stage = str(row.get("stage", ""))
        if stage == "start":
            view.summary, view.outcome, view.error = row, None, ""
        elif stage in ("done", "failed"):
            view.outcome, view.adapter, view.error = stage, row.get("adapter"), str(row.get("error") or "")
            view.adopt, view.reasons = row.get("adopt"), tuple(str(reason) for reason in row.get("reasons", ()))
        elif "step" in row:
            _add_point(view.curves.setdefault(stage, Curve()), row)
            if "loss" in row:
                view.step, view.steps, view.loss = row["step"], row.get("steps"), row["loss"]
        done, of = _counted(row)
        if begun is None or stage != view.stage or done < begun[1]:
            begun = row.get("at"), done
        view.stage, view.at = stage, str(row.get("at", ""))
        view.fraction = None if not of else min(1.0, done / of)
        view.eta_s = _eta_s(begun, row.get("at"), done, of)
    for curve in view.curves.values():
        curve.lines = {name: thinned(points) for name, points in curve.lines.items()}
    return view


def tail(path: Path) -> list[str]:
    """The last lines of a log; progress bars that were written over leave their last state."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in text.split("\n")]
    return [line for line in lines if line][-TAIL_LINES:]


def thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """So many points as a curve on a screen can show; the last one is kept."""
    stride = -(-len(points) // MAX_POINTS)
    return points if stride <= 1 else [*points[:-1:stride], points[-1]]


def _add_point(curve: Curve, row: Row) -> None:
    step = int(row["step"])
    curve.steps = int(row.get("steps") or curve.steps)
    for name, value in row.items():
        if name in ("at", "stage", "step", "steps") or not isinstance(value, int | float):
            continue
        points = curve.lines.setdefault("valid" if name == "eval_loss" else name, [])
        while points and points[-1][0] >= step:
            points.pop()
        points.append((step, float(value)))


def _counted(row: Row) -> tuple[float, float]:
    """How far of how much; (0, 0) where a line does not count."""
    done, of = ("step", "steps") if "step" in row else ("done", "of")
    return float(row.get(done) or 0), float(row.get(of) or 0)


def _eta_s(begun: tuple[str | None, float], at: str | None, done: float, of: float) -> float | None:
    """At the pace since `begun` (time, count); None before anything was done."""
    if not of or at is None or begun[0] is None or done <= begun[1]:
        return None
    try:
        passed = (datetime.fromisoformat(at) - datetime.fromisoformat(begun[0])).total_seconds()
    except ValueError:
        return None
    return passed / (done - begun[1]) * (of - done) if passed > 0 else None


def _rows(path: Path) -> list[Row]:
    """The whole lines of a file that is being written: the last one may be half."""
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return []
    rows = []
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "stage" in row:
            rows.append(row)
    return rows


def _document(path: Path) -> Row | None:
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None
