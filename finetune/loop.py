"""One training loop for every recipe: seeded, logged, killed at any moment and resumed where it was.

A recipe gives the loop its trainable modules and a function `loss(number) -> (loss, metrics)`. A step is the mean of
`parts` batches, numbered on through the run; processes of one run share them. What a batch holds must depend on its
number alone (`step_generator`): that makes a resumed run equal to one never stopped, and many processes to one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from finetune.errors import TrainingError
from finetune.parallel import join, mean_over_processes, sum_gradients

Batch = TypeVar("Batch")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """How long and how fast.

    Attributes:
        steps: optimiser steps in all.
        parts: batches in a step; processes share them, one process takes them in turn.
        lr: peak learning rate; rises linearly over `warmup` of the steps, then falls as a cosine to `final_lr` of it.
        weight_decay: of AdamW, on matrices only (vectors such as biases and norms are not decayed).
        max_norm: gradients are clipped to this norm.
        save_every, log_every: in steps.
        seed: of the weights' order of batches and dropout.
    """

    steps: int
    lr: float
    warmup: float = 0.03
    final_lr: float = 0.02
    weight_decay: float = 0.05
    max_norm: float = 1.0
    save_every: int = 200
    log_every: int = 10
    seed: int = 0
    parts: int = 1

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise TrainingError(f"A training run needs at least one step, not {self.steps}.")
        if not 0 < self.lr < 1:
            raise TrainingError(f"The learning rate must lie between 0 and 1, not {self.lr}.")


def step_generator(seed: int, step: int) -> np.random.Generator:
    """The random numbers of one batch; the same for a resumed run as for one that was never stopped."""
    return np.random.default_rng((seed, step))


class Ahead(Generic[Batch]):
    """Draws the next batch in a thread while this one is computed; batches depend on their number alone."""

    def __init__(self, draw: Callable[[int], Batch]) -> None:
        self._draw = draw
        self._stride = join()[1]
        self._thread = ThreadPoolExecutor(1, "draw")
        self._next: tuple[int, Future[Batch]] | None = None

    def __call__(self, step: int) -> Batch:
        """The batch of that number."""
        ready = self._next is not None and self._next[0] == step
        batch = self._next[1].result() if self._next and ready else self._draw(step)
        following = step + self._stride
        self._next = (following, self._thread.submit(self._draw, following))
        return batch


def learning_rate(config: LoopConfig, step: int) -> float:
    """Linear warm-up, then cosine decay."""
    warm = max(1, round(config.warmup * config.steps))
    if step < warm:
        return config.lr * (step + 1) / warm
    progress = (step - warm) / max(1, config.steps - warm)
    return config.lr * (config.final_lr + (1 - config.final_lr) * 0.5 * (1 + math.cos(math.pi * progress)))


@contextlib.contextmanager
def flushed_denormals() -> Iterator[None]:
    """Numbers below the smallest normal one count as zero: Adam's second moments get there, and processors slow."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@flushed_denormals()
def fit(
    modules: Mapping[str, nn.Module],
    loss: Callable[[int], tuple[Tensor, dict[str, float]]],
    config: LoopConfig,
    out_dir: Path,
    *,
    name: str,
    optimiser: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW,
    after: Callable[[int, float], bool] | None = None,
) -> float:
    """Train `modules` in place; returns the mean loss of the last tenth of the steps.

    `after(step, loss)` is called in every process once a step is done; True ends the run there (early stopping).

    Writes `out_dir/NAME.jsonl` (a line every `log_every` steps) and `out_dir/NAME.state` (weights, optimiser, step;
    replaced atomically), from which an interrupted run continues. Of several processes the first one writes.

    Raises:
        TrainingError: the loss is no longer finite, or the processes cannot share the parts evenly.
    """
    rank, size = join()
    if config.parts % size:
        raise TrainingError(f"{size} processes cannot share {config.parts} batches a step; use a multiple of {size}.")
    out_dir.mkdir(parents=True, exist_ok=True)
    state_path, log_path = out_dir / f"{name}.state", out_dir / f"{name}.jsonl"
    trained = [p for m in modules.values() for p in m.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = optimiser(groups, lr=config.lr, fused=True)
    start = _resume(state_path, modules, optimizer)
    tail: list[float] = []
    began = time.monotonic()
    for step in range(start, config.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step)
        optimizer.zero_grad(set_to_none=True)
        mean = 0.0
        for number in range(step * config.parts + rank, (step + 1) * config.parts, size):
            torch.manual_seed(config.seed * 1_000_003 + number)
            value, metrics = loss(number)
            (value / config.parts).backward()
            mean += value.item() * size / config.parts
        if size > 1:
            sum_gradients(trained)
            mean = mean_over_processes(mean)
        if not math.isfinite(mean):
            raise TrainingError(f"The loss of {name} is {mean} at step {step}; lower the learning rate ({config.lr}).")
        torch.nn.utils.clip_grad_norm_(trained, config.max_norm)
        optimizer.step()
        ends = after is not None and after(step, mean)
        if step >= config.steps * 0.9 or ends:
            tail.append(mean)
        if rank == 0 and (step % config.log_every == 0 or step == config.steps - 1 or ends):
            rate = (step + 1 - start) / (time.monotonic() - began)
            row = {"step": step, "steps": config.steps, "loss": round(mean, 5), "steps_per_s": round(rate, 3)}
            row |= {key: round(number, 5) for key, number in metrics.items()}
            with log_path.open("a") as log:
                log.write(json.dumps(row) + "\n")
            logger.info("%s %s", name, row)
        if rank == 0 and ((step + 1) % config.save_every == 0 or step == config.steps - 1 or ends):
            _save(state_path, modules, optimizer, step + 1)
        if ends:
            break
    return float(np.mean(tail)) if tail else math.nan


def steps_done(out_dir: Path, name: str) -> int:
    """How many steps of a run in `out_dir` are behind its saved state; 0 where there is none."""
    path = out_dir / f"{name}.state"
    return int(torch.load(path, map_location="cpu", weights_only=True)["step"]) if path.exists() else 0


def _save(path: Path, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer, step: int) -> None:
    state = {
        "modules": {k: m.state_dict() for k, m in modules.items()},
        "optimizer": optimizer.state_dict(),
        "step": step,
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def _resume(path: Path, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    for key, module in modules.items():
        module.load_state_dict(state["modules"][key])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])
