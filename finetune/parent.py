"""Processes that help another one and are of no use without it."""

from __future__ import annotations

import os
import threading
import time

PARENT_CHECK_S = 1.0
"""How often a process looks whether the one that started it is still there."""


def end_with_parent() -> None:
    """End this process at once when the one that started it is gone.

    It may be killed in a way that tells nobody, while a member waits inside a message to the others, where no signal
    is heard by Python.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_CHECK_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
