"""Ctrl-C ends a command, also where a library swallowed it.

While modules are imported or models loaded, libraries catch whatever comes, and Python itself passes over what is
raised while an object is taken down; the interrupt would be lost, and the command go on. So it is remembered, and
raised again at the next step that is told.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_heard = threading.Event()


class Interrupted(KeyboardInterrupt):
    """Ctrl-C. A kind of its own: after a plain KeyboardInterrupt that once passed through `exec`, Python would end the
    process by the signal instead of with the exit code that was returned."""


@contextmanager
def listening() -> Iterator[None]:
    """Remember Ctrl-C inside the block. Does nothing outside the main thread, or where somebody else listens."""
    on_main = threading.current_thread() is threading.main_thread()
    if not on_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    _heard.clear()
    signal.signal(signal.SIGINT, _hear)
    tell, sys.unraisablehook = sys.unraisablehook, _tell_others
    try:
        yield
    finally:
        sys.unraisablehook = tell
        signal.signal(signal.SIGINT, signal.default_int_handler)


def raise_if_heard() -> None:
    """Raise `Interrupted` if Ctrl-C was pressed since `listening` began."""
    if _heard.is_set():
        raise Interrupted


def _tell_others(lost: sys.UnraisableHookArgs) -> None:
    """What is passed over is told on stderr, but for the interrupt, which is not lost."""
    if not isinstance(lost.exc_value, Interrupted):
        sys.__unraisablehook__(lost)


def _hear(_number: int, _frame: FrameType | None) -> None:
    _heard.set()
    raise Interrupted
