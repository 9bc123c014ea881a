"""Clips measured one after another, or by a crew: processes beside each other, each with a stack of its own."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import torch

from finetune.data import EvalClip
from finetune.measure import ClipResult, measure_clip
from finetune.parent import end_with_parent
from workbench.errors import ClipError, DataError, StackError
from workbench.stack.loading import ModelStack


@dataclass(frozen=True, slots=True)
class Task:
    """One clip and what is measured on it; see `measure_clip`."""

    clip: EvalClip
    categories: tuple[str, ...]
    chat: bool
    segment: bool

    def done_by(self, stack: ModelStack) -> ClipResult:
        """The result; a clip that cannot be read or does not fit its truth is a result with an error."""
        clip = self.clip
        try:
            return measure_clip(stack, clip, categories=self.categories, chat=self.chat, segment=self.segment)
        except (ClipError, DataError) as error:  # one broken file must not cost the hours spent on the others
            return ClipResult(clip.name, clip.label, clip.category, error=str(error))


@dataclass(frozen=True, slots=True)
class Crew:
    """So many processes, at least 1; each calls `load`, which must be picklable, for its stack.

    A processor measures faster so: much of a clip (decoding, motion, single tokens) keeps one core busy at a time.
    """

    load: Callable[[], ModelStack]
    processes: int

    def results(self, tasks: Iterable[Task]) -> Iterator[ClipResult]:
        """The results in the order of the tasks.

        Raises:
            StackError: a process has ended before its time.
        """
        spawn = multiprocessing.get_context("spawn")
        threads = max(1, (os.cpu_count() or 1) // self.processes)
        with ProcessPoolExecutor(self.processes, spawn, _begin, (self.load, threads)) as pool:
            try:
                yield from pool.map(_work, tasks)
            except BrokenProcessPool as error:
                raise StackError(
                    f"One of {self.processes} measuring processes ended before its time, most often because the stack "
                    "could not be loaded or memory ran out; what it said stands above. Measure with fewer processes."
                ) from error


_stack: ModelStack | None = None


def _begin(load: Callable[[], ModelStack], threads: int) -> None:
    global _stack
    end_with_parent()
    torch.set_num_threads(threads)
    _stack = load()


def _work(task: Task) -> ClipResult:
    assert _stack is not None
    return task.done_by(_stack)
