"""Processes beside the page: is one still there, how is it ended with all it started, which one has the machine.

A process is known by its number and the time it began, since numbers are given again.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from workbench.files import replacing

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

PATIENCE_S = 5.0
"""How long a process may take to end once it was asked to."""
PATIENT = 10
"""How much nicer than others a thread is whose work nobody waits for."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One process, so that it can be found again by a program that did not start it."""

    pid: int
    began: float

    @classmethod
    def of(cls, pid: int) -> Mark | None:
        """The mark of a running process; None when there is none of that number."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.Error:
            return None

    def process(self) -> psutil.Process | None:
        """The process while it runs; None once it has ended, also when nobody has collected it yet."""
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.began) < 0.1
            return found if same and found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process() is not None

    def to_json(self) -> str:
        """As text for a file or a column."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | None) -> Mark | None:
        """From that text; None where it says nothing."""
        try:
            document = json.loads(text or "")
            return cls(int(document["pid"]), float(document["began"]))
        except (ValueError, KeyError, TypeError):
            return None


def start(command: list[str], *, cwd: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a command at the head of a process group of its own; what it says is appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )


def give_way() -> None:
    """Let others have the processor before this thread and the processes that it starts (on Linux; nowhere else)."""
    if sys.platform == "linux":  # where a thread has a priority of its own
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(PATIENT, os.getpriority(os.PRIO_PROCESS, thread)))


def end_group(mark: Mark) -> None:
    """End a process that was begun by `start` and everything it started: asked first, then without asking."""
    leader = mark.process()
    if leader is None:
        return
    family = [leader, *_children(leader)]
    _signal(mark.pid, family, signal.SIGTERM)
    _, left = psutil.wait_procs(family, timeout=PATIENCE_S)
    if left:
        _signal(mark.pid, left, getattr(signal, "SIGKILL", signal.SIGTERM))
        psutil.wait_procs(left, timeout=PATIENCE_S)


def _children(leader: psutil.Process) -> list[psutil.Process]:
    try:
        return leader.children(recursive=True)
    except psutil.Error:
        return []


def _signal(group: int, family: list[psutil.Process], number: int) -> None:
    """Signal the group, and whoever of the family has left it; systems without groups get the family alone."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
    for process in family:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue


class Slot:
    """A place that one process on this machine can hold at a time; it is free again when that process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def holder(self) -> Mark | None:
        """The process that holds it; None while it is free."""
        try:
            mark = Mark.from_json(self.path.read_text("utf-8"))
        except OSError:
            return None
        return mark if mark is not None and mark.alive else None

    def take(self, mark: Mark) -> bool:
        """Hold it for a process, unless another one does. → whether it is held for `mark` now.

        Of several programs that try at once one gets it. Raises OSError where its folder cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(self.path.with_name(f"{self.path.name}.lock")):
            if self.holder() not in (None, mark):
                return False
            self.give(mark)
        return True

    def give(self, mark: Mark) -> None:
        """Hand it on to another process."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as temporary:
            temporary.write_text(mark.to_json(), encoding="utf-8")

    def free(self) -> None:
        """Let go of it."""
        self.path.unlink(missing_ok=True)


@contextlib.contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Wait until no other thread or program is in a block with this file; one that dies there leaves it.

    The file stays: were it removed, one could wait for the old one while another has a new one.
    """
    with path.open("ab") as file:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            try:
                yield
            finally:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            with contextlib.suppress(OSError):  # some network folders have no locks; all others do
                fcntl.flock(file, fcntl.LOCK_EX)
            yield  # closing the file lets go
