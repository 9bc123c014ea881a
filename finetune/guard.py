"""What keeps a run from ending badly: early stopping, one retry when memory runs out, sentences for a full disk.

And what tells others how it goes: `progress.jsonl` in the run's folder, a line an event, written whole.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from torch import nn

from finetune.errors import TrainingError
from finetune.parallel import join

logger = logging.getLogger(__name__)
T = TypeVar("T")
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")
_NO_SPACE = ("no space left", "file write failed", "failed writing file", "os error 28")


class Progress:
    """Lines of `progress.jsonl`: `at`, `stage`, and whatever the stage tells (`done` of `of`, `loss`, …)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def tell(self, stage: str, **values: Any) -> None:
        """Append a line; of several processes the first one does."""
        if join()[0]:
            return
        row = {"at": datetime.now(timezone.utc).isoformat(timespec="seconds"), "stage": stage, **values}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def count(self, stage: str, done: int, of: int) -> None:
        """A counted stage, as `finetune.dense.Tell`."""
        self.tell(stage, done=done, of=of)

    def looked(
        self, stage: str, steps: int, more: Callable[[], dict[str, float]] | None = None
    ) -> Callable[[int, float], None]:
        """A hook for `EarlyStop` that tells the validation loss, and what `more` measures beside it."""

        def tell(step: int, loss: float) -> None:
            measured = {name: round(value, 5) for name, value in (more() if more else {}).items()}
            self.tell(stage, step=step, steps=steps, valid=round(loss, 5), **measured)

        return tell

    def watch(self, stage: str, steps: int, every: int = 5) -> Callable[[int, float], bool]:
        """A hook for `finetune.loop.fit` that tells every few steps and never ends the run."""

        def after(step: int, loss: float) -> bool:
            if step % every == 0 or step == steps - 1:
                self.tell(stage, step=step + 1, steps=steps, loss=round(loss, 5))
            return False

        return after


class EarlyStop:
    """Ends a run once the validation loss has not improved for a while, and brings back the best weights.

    What it knows lies beside the state of the run, so that a resumed run decides like one that was never stopped.

    Args:
        validate: the loss on the validation side; the same number for the same weights.
        every: steps between two looks. patience: looks without improvement after which the run ends.
        tell: hears of every look: steps done, validation loss.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        validate: Callable[[], float],
        folder: Path,
        *,
        every: int,
        patience: int,
        tell: Callable[[int, float], None] | None = None,
    ) -> None:
        self.tell = tell
        self.modules, self.validate, self.every, self.patience = modules, validate, every, patience
        self._table, self._weights = folder / "valid.json", folder / "best.state"
        self.rows: list[tuple[int, float]] = []
        if self._table.exists():
            self.rows = [(step, loss) for step, loss in json.loads(self._table.read_text())]
        self._best = torch.load(self._weights, weights_only=True) if self._weights.exists() else None

    @property
    def is_over(self) -> bool:
        """Whether an earlier session has already ended the run."""
        return len(self.rows) > self.patience and self._stale() >= self.patience

    def __call__(self, step: int, _loss: float) -> bool:
        """After each step: look now and then, remember the best, say whether to end."""
        if (step + 1) % self.every:
            return False
        self.rows = [row for row in self.rows if row[0] < step]  # those after the step a resumed run begins at
        value = self.validate()
        if self.tell:
            self.tell(step + 1, value)
        is_best = not self.rows or value < min(loss for _, loss in self.rows)
        self.rows.append((step, value))
        if is_best:
            self._best = {
                name: {key: weight.detach().cpu().clone() for key, weight in module.state_dict().items()}
                for name, module in self.modules.items()
            }
        if join()[0] == 0:
            if is_best:
                partial = self._weights.with_suffix(".partial")
                torch.save(self._best, partial)
                os.replace(partial, self._weights)
            partial = self._table.with_suffix(".partial")
            partial.write_text(json.dumps(self.rows))
            os.replace(partial, self._table)
        return self._stale() >= self.patience

    def restore(self) -> None:
        """Put the best weights back, where there are any."""
        if self._best is not None:
            for name, module in self.modules.items():
                module.load_state_dict(self._best[name])

    def _stale(self) -> int:
        """Looks since the best one."""
        losses = [loss for _, loss in self.rows]
        return len(losses) - 1 - losses.index(min(losses))


def both(*hooks: Callable[[int, float], bool] | None) -> Callable[[int, float], bool]:
    """Several hooks of a run as one; each is called, any may end it."""

    def after(step: int, loss: float) -> bool:
        asked = [hook(step, loss) for hook in hooks if hook is not None]
        return any(asked)

    return after


def with_less_memory(train: Callable[[int], T], batch: int) -> T:
    """`train(batch)`; when memory runs out, once more with half the batch (its recipe then takes twice as many).

    Raises:
        TrainingError: memory ran out again.
    """
    try:
        return train(batch)
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        smaller = max(1, batch // 2)
        logger.warning("Out of memory with %d samples at a time; going on with %d.", batch, smaller)
    # Outside the handler: the failed attempt's tensors hang on the error's traceback.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        return train(smaller)
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise TrainingError(
            f"Memory ran out with {batch} samples at a time and again with {smaller}; close other programs, take "
            "fewer frames, or use a machine with more memory. The run goes on from here when started again."
        ) from error


@contextmanager
def told_in_words(folder: Path) -> Iterator[None]:
    """Turn a full disk into a sentence.

    Raises:
        TrainingError: the disk of `folder` is full.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not full and not any(sign in str(error).lower() for sign in _NO_SPACE):
            raise
        raise TrainingError(
            f"The disk of {folder} is full; free some space and start the same run again, it goes on where it was."
        ) from error


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(sign in str(error).lower() for sign in _NO_MEMORY)
