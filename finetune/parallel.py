"""One training run over several processes: each takes its share of the micro-batches, gradients are averaged.

A launcher (`torchrun`, `accelerate launch`) tells each process who it is by `RANK`, `WORLD_SIZE` and an address;
`spread` does the same for the cores of one machine. On a processor, one thread each in N processes beats N threads.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import Tensor

from finetune.parent import end_with_parent

MALLOC = {"hugetlb": 1, "mmap_threshold": 2**32, "trim_threshold": 2**34, "top_pad": 2**28}
"""How the C library of the processes of `spread` should handle memory: it gives large blocks back to the system at
once, and getting them again costs a training step on a processor a fifth of its time."""


def join() -> tuple[int, int]:
    """Join the group the environment speaks of, once. Returns (rank, size); (0, 1) when there is none."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return 0, 1
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return dist.get_rank(), dist.get_world_size()


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Add up the gradients of all processes, in place, in one message; a missing gradient counts as zero."""
    grads = []
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        grads.append(parameter.grad)
    flat = torch.cat([grad.flatten() for grad in grads])
    dist.all_reduce(flat)
    for grad, part in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
        grad.copy_(part.view_as(grad))


def mean_over_processes(value: float) -> float:
    """The mean of a number over all processes."""
    box = torch.tensor([value], dtype=torch.float64)
    dist.all_reduce(box)
    return float(box.item() / dist.get_world_size())


def spread(work: Callable[..., object], processes: int, *args: Any) -> None:
    """Run `work(*args)` in so many processes that form a group; returns when all are done.

    Raises:
        torch.multiprocessing.ProcessRaisedException: one failed; the others are ended.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tunables = ":".join(f"glibc.malloc.{name}={value}" for name, value in MALLOC.items())
    os.environ.setdefault("GLIBC_TUNABLES", tunables)  # read when a process starts
    torch.multiprocessing.spawn(_member, (processes, port, work, args), nprocs=processes)


def _member(rank: int, size: int, port: int, work: Callable[..., object], args: tuple[Any, ...]) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": str(size)}
    torch.set_num_threads(1)
    end_with_parent()
    join()
    try:
        work(*args)
    finally:
        if dist.is_initialized():  # one process alone forms no group
            dist.destroy_process_group()
