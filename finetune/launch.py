"""Several processes of one command (`accelerate launch -m finetune …`, `torchrun -m finetune …`): who does what."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from finetune.parallel import join

T = TypeVar("T")
PATIENCE = timedelta(hours=12)
"""How long processes wait while the first one renders, encodes or measures."""


def patient_join() -> tuple[int, int]:
    """Join the group the launcher speaks of, with patience. Returns (rank, size); (0, 1) without a launcher."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    return join()


def is_first() -> bool:
    """Whether this process is the one that prepares, writes and measures."""
    return join()[0] == 0


def meet() -> None:
    """Wait until all processes are here."""
    if join()[1] > 1:
        dist.barrier()


def first_then_all(work: Callable[[], T]) -> T:
    """Do work that fills a cache: the first process computes, the others then read what it left."""
    if join()[1] == 1:
        return work()
    result = work() if is_first() else None
    meet()
    return result if is_first() else work()  # type: ignore[return-value]


def parts_for(batch: int, micro: int, parts: int = 1) -> int:
    """How many batches of `micro` make a step of `batch`, so that the processes can share them evenly."""
    return math.lcm(max(parts, -(-batch // micro)), join()[1])


def own_device(wanted: str | None) -> str | None:
    """The device of this process: its own GPU under a launcher."""
    if wanted is None and torch.cuda.is_available() and "LOCAL_RANK" in os.environ:
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return wanted
