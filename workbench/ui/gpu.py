"""Where the models compute: in this process, or on a GPU that is lent for one piece of work at a time (ZeroGPU).

On a ZeroGPU Space the package `spaces` runs a decorated function in a process forked from this one, which alone has
the GPU; what goes in and what comes out is pickled. So every piece of work is a `Job`: a function of a module and
arguments that can be sent. Where `spaces` is missing, or its decorator does nothing (any other machine), a job is a
plain call in this process with the stack that is loaded here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import gradio as gr

from workbench.errors import InputError, StackError, WorkbenchError
from workbench.profiles import StackProfile, get_profile
from workbench.records import Analysis
from workbench.ui.runs import Progress, Report, Run
from workbench.ui.stacks import Choice

try:
    import spaces
except ImportError:
    spaces = None

if TYPE_CHECKING:
    from workbench.stack.loading import ModelStack

LONGEST_S = 300
"""The longest time a GPU is asked for: a longer wish is refused by ZeroGPU without a word that helps."""
T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """One piece of work: `work(stack, report, *arguments)`, to be done by the stack of `choice`.

    Attributes:
        work: a function of a module, so that it can be named to another process. arguments: can be pickled.
        seconds: how long it takes on a GPU at most; see `seconds_for`.
        adapter: folder of the choice's adapter, or None.
    """

    work: Callable[..., Any]
    arguments: tuple[Any, ...]
    seconds: float
    choice: Choice
    adapter: Path | None = None

    def here(self, stack: ModelStack, report: Report) -> Any:
        """Do it in this process. Raises StackError where memory runs out, else as the work."""
        from workbench.stack.memory import enough_memory

        with enough_memory(stack.profile):
            return self.work(stack, report, *self.arguments)


@dataclass(frozen=True)
class _Done:
    value: Any


_ready: dict[Choice, ModelStack] = {}
"""Stacks a lent process finds in its memory: those it has loaded, and what `keep_ready` was told before the fork."""


def seconds_for(profile: StackProfile, *, frames: int = 0, answers: int = 0, pixels: int = 0) -> float:
    """How long a job may take on a GPU. Generous: too long costs a place in the queue, too short ends the work.

    Args:
        frames: of `pixels` each, that are decoded. answers: that are written in full.
    """
    start = 10 + profile.memory_gb  # a process begins, weights move to the GPU at a GB/s
    decode = frames * max(0.002, pixels / 3e8)  # a 1080p frame in 7 ms on a core, and the tower beside it
    return start + decode + answers * (2 + profile.max_new_tokens / 20)


def _duration(job: Job) -> int:
    return round(job.seconds)


def _on_gpu(job: Job) -> Generator[Progress | _Done | WorkbenchError, None, None]:
    """What happens in the lent process: progress as it comes, at last the result, or an error meant for a person."""
    with ThreadPoolExecutor(1, "lent") as pool:
        run = Run(lambda report: job.here(_stack_here(job), report), pool)
        try:
            yield from run.updates(every_s=0)
            yield _Done(_light(run.result()))
        except WorkbenchError as error:  # as a value: `spaces` hands on only the name of an exception
            yield error
        finally:
            run.cancel()


def _stack_here(job: Job) -> ModelStack:
    from workbench.stack.loading import ModelStack

    if job.choice not in _ready:
        _ready[job.choice] = ModelStack.load(get_profile(job.choice.profile), adapter=job.adapter)
    return _ready[job.choice]


_lend = _on_gpu if spaces is None else spaces.GPU(duration=_duration)(_on_gpu)
LENT = _lend is not _on_gpu
"""Whether a GPU is lent for each job. `spaces` returns a function as it is on machines that lend none."""


def keep_ready(choice: Choice, stack: ModelStack) -> None:
    """From now on lent processes find this stack in their memory instead of loading it."""
    _ready[choice] = stack


def load_here(row: StackProfile, adapter: Path | None) -> ModelStack:
    """Load a stack on the CPU of a process that lends GPUs, which only tells its name and parts; lent ones load theirs.

    `spaces` pretends in this process that there is a GPU. SAM2 puts tables on whatever GPU it is told of and fails on
    one that is not real, so while it loads it is told the truth.
    """
    import torch

    from workbench.stack.loading import ModelStack

    pretended = torch.cuda.is_available
    torch.cuda.is_available = lambda: False
    try:
        return ModelStack.load(row, device="cpu", adapter=adapter)
    finally:
        torch.cuda.is_available = pretended


def carry_out(job: Job, stack: Callable[[Choice], ModelStack], report: Report) -> Any:
    """Do a job where it belongs and wait for it.

    Args:
        stack: the stack of a choice in this process. report: hears of progress; what it raises ends the work.

    Raises:
        InputError: it would take longer than a GPU is lent. StackError: no GPU is to be had, or it was taken away.
        WorkbenchError: as the work itself.
    """
    if not LENT:
        return job.here(stack(job.choice), report)
    if job.seconds > LONGEST_S:
        raise InputError(
            f"This would need the shared GPU for about {job.seconds / 60:.0f} minutes, and it is lent for "
            f"{LONGEST_S // 60} at most; use a shorter clip, or run the workbench on a machine of your own."
        )
    report("waiting for a GPU", 0.0)
    sent = replace(job, arguments=tuple(_light(value) for value in job.arguments))
    try:
        with closing(_lend(sent)) as told:
            for said in told:
                if isinstance(said, Progress):
                    report(said.stage, said.fraction, said.partial)
                elif isinstance(said, WorkbenchError):
                    raise said
                else:
                    return said.value
    except gr.Error as error:  # the words of `spaces`: a quota is used up, nobody lends, the time was over
        raise StackError(f"The shared GPU did not do this work: {error.message}") from error
    raise StackError("The shared GPU ended this work before it was done; try again.")


def _light(value: Any) -> Any:
    """An analysis without its features: they lie in the cache on the disk, and are large."""
    return replace(value, features=None) if isinstance(value, Analysis) else value
