"""Long work in a worker thread, watched from a generator, cancellable between two progress reports.

One worker serves all visitors of a page: the model stack is one, so runs wait for each other in order of
arrival instead of sharing two cores and all finishing late.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Report = Callable[..., None]

WAITING = "waiting for another visitor's clip"
TELL_EVERY_S = 0.2
"""Each update of the page costs the server some 20 ms, in which the work itself stands still."""


class Cancelled(Exception):
    """Raised inside the work, at its next progress report, after `Run.cancel`."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands: stage name, fraction of that run in [0, 1], and whatever partial result it reported."""

    stage: str
    fraction: float
    partial: Any = None


class Run(Generic[T]):
    """One piece of work: `updates()` yields `Progress` until it ends, then `result()` returns or raises."""

    def __init__(self, work: Callable[[Report], T], worker: ThreadPoolExecutor) -> None:
        self._changed = threading.Condition()
        self._cancel = threading.Event()
        self._latest = Progress(WAITING, 0.0)
        self._version = 1
        # With the context of whoever asks: where GPUs are lent, the request that it holds says whose quota counts.
        self._future: Future[T] = worker.submit(copy_context().run, self._guarded, work)
        self._future.add_done_callback(lambda _: self._wake())

    def _guarded(self, work: Callable[[Report], T]) -> T:
        self._report("starting", 0.0)
        return work(self._report)

    def _report(self, stage: str, fraction: float = 0.0, partial: Any = None) -> None:
        if self._cancel.is_set():
            raise Cancelled
        with self._changed:
            self._latest = Progress(stage, min(1.0, max(0.0, float(fraction))), partial)
            self._version += 1
            self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def updates(self, poll_s: float = 0.25, every_s: float = TELL_EVERY_S) -> Iterator[Progress]:
        """The newest progress, every `every_s` seconds at most; intermediate reports that nobody read are dropped."""
        seen = 0
        while not self._future.done():
            with self._changed:
                if self._version == seen:
                    self._changed.wait(poll_s)
                latest, version = self._latest, self._version
            if version != seen:
                seen = version
                yield latest
                wait([self._future], every_s)

    def result(self) -> T:
        """The result of the work. Raises `Cancelled` or whatever the work raised."""
        if self._future.cancelled():
            raise Cancelled
        return self._future.result()

    def cancel(self) -> None:
        """Ask the work to end: at once when it still waits, else at its next report."""
        self._cancel.set()
        self._future.cancel()

    @property
    def latest(self) -> Progress:
        """What was reported last."""
        with self._changed:
            return self._latest

    @property
    def active(self) -> bool:
        """Whether the work has not ended yet."""
        return not self._future.done()
