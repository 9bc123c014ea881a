"""How a training run stands, read from the `progress.jsonl` that `python -m finetune` writes into its folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from workbench.errors import InputError

PROGRESS = "progress.jsonl"
State = Literal["none", "running", "done", "failed"]


@dataclass(frozen=True, slots=True)
class TrainingStatus:
    """One run at its newest line.

    Attributes:
        run: name of its folder. state: `none` where nobody has trained yet; a run that was killed stays `running`,
            `at` says since when nothing was heard of it. stage: what it does or did last.
        fraction: how much of that stage is done, in [0, 1]. step, steps, loss: of the newest training step.
        adapter, adopt, reasons: the outcome of a finished run. error: why a failed one ended.
    """

    run: str
    state: State
    stage: str = ""
    at: str = ""
    fraction: float | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    adapter: str | None = None
    adopt: bool | None = None
    reasons: tuple[str, ...] = ()
    error: str | None = None

    def to_document(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"reasons": list(self.reasons)}


def read_status(root: Path, run: str = "") -> TrainingStatus:
    """The status of a run below `root`; of the one heard of last if none is named.

    Raises:
        InputError: there is no run of that name.
    """
    runs = {path.parent.name: path for path in sorted(root.glob(f"[!.]*/{PROGRESS}"))}
    if not run:
        newest = max(runs.values(), key=lambda path: path.stat().st_mtime_ns, default=None)
        return TrainingStatus("", "none") if newest is None else _status(newest)
    if run not in runs:
        raise InputError(f"There is no training run '{run}'; there are: {', '.join(runs) or 'none yet'}.")
    return _status(runs[run])


def _status(path: Path) -> TrainingStatus:
    rows = [row for line in path.read_text("utf-8", errors="replace").splitlines() if (row := _row(line))]
    if not rows:
        return TrainingStatus(path.parent.name, "running")
    last = rows[-1]
    stage = str(last["stage"])
    state: State = "done" if stage == "done" else "failed" if stage == "failed" else "running"
    trained: dict[str, Any] = next((row for row in reversed(rows) if "loss" in row), {})
    return TrainingStatus(
        run=path.parent.name,
        state=state,
        stage=stage,
        at=str(last.get("at", "")),
        fraction=1.0 if state == "done" else _fraction(last),
        step=trained.get("step"),
        steps=trained.get("steps"),
        loss=trained.get("loss"),
        adapter=last.get("adapter") if state == "done" else None,
        adopt=last.get("adopt") if state == "done" else None,
        reasons=tuple(str(reason) for reason in last.get("reasons", ())),
        error=last.get("error") if state == "failed" else None,
    )


def _row(line: str) -> dict[str, Any] | None:
    """A line as a row; None for the torn last line of a run that is writing, or was killed."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and "stage" in row else None


def _fraction(row: dict[str, Any]) -> float | None:
    done, of = (row["done"], row["of"]) if "of" in row else (row.get("step"), row.get("steps"))
    return round(min(1.0, done / of), 4) if isinstance(done, int) and isinstance(of, int) and of > 0 else None
