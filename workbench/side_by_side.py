"""Batches through a net on the processor: several at once, each on its share of the cores.

Small nets gain little from splitting one operation over many cores, since each waits for the slowest of its threads;
whole batches side by side lose nothing. There is one pool in a process, so that the cores are divided once however
many clips are analysed at a time.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from threading import Barrier, Lock
from typing import TypeVar

import torch

Item = TypeVar("Item")
Made = TypeVar("Made")
MOST_WORKERS = 4
"""Batches that are in memory at once; cores beyond this go into the single operations again."""
_lock = Lock()


def side_by_side(
    items: Iterable[Item], work: Callable[[Item], Made], device: torch.device
) -> Generator[Made, None, None]:
    """`work` of each item, in the order of the items; on a processor several at once, elsewhere one after the other.

    As many items are taken ahead as there are workers, so memory stays bounded. What an item raises is raised here, in
    its turn. Leaving early waits for the work that has begun.
    """
    pool = _pool() if device.type == "cpu" else None
    if pool is None:
        yield from map(work, items)
        return
    waiting: deque[Future[Made]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > _workers():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        begun = [future for future in waiting if not future.cancel()]
        for future in begun:
            future.exception()  # waits; an earlier error, or the wish to stop, is on its way already


@cache
def _workers() -> int:
    return max(1, min(MOST_WORKERS, torch.get_num_threads()))


def _pool() -> ThreadPoolExecutor | None:
    """The pool, or None where there is one core to work on."""
    with _lock:
        return _made_once() if _workers() > 1 else None


@cache
def _made_once() -> ThreadPoolExecutor:
    cores, workers = torch.get_num_threads(), _workers()
    pool = ThreadPoolExecutor(workers, "side-by-side")
    together = Barrier(workers)

    def settle() -> None:
        torch.set_num_threads(cores // workers)  # of this thread, and of threads that begin later
        torch.get_num_threads()  # a thread takes what is set at its first look, and keeps it
        together.wait()  # so that each worker comes here once

    for future in [pool.submit(settle) for _ in range(workers)]:
        future.result()
    torch.set_num_threads(cores)  # threads that begin later have all cores again
    return pool


def _forget() -> None:
    """In a forked child, which has no threads but its own: a pool is to be made anew."""
    _made_once.cache_clear()
    _workers.cache_clear()


os.register_at_fork(after_in_child=_forget)
