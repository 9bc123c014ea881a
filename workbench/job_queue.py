"""One training run at a time on this machine, the others wait: starts them, watches them, ends them.

Runs are processes of their own and outlive the page. Whoever opens the store next finds a run that still goes on by
the mark in its row, and learns how one has ended from what it left in its folder.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from workbench import jobs, processes
from workbench.corrections.store import Store
from workbench.errors import StoreError, WorkbenchError
from workbench.files import cache_root, unwritable
from workbench.job_files import LOG, RunView, read_run, tail
from workbench.jobs import Job
from workbench.processes import Mark, Slot

logger = logging.getLogger(__name__)
LOOK_S = 1.0
ROOT = Path(__file__).resolve().parent.parent
"""Where `python -m …` finds the packages of this program."""


class JobQueue:
    """The training runs of a store.

    Args:
        folder: holds a folder for each run. command: turns a job and its folder into a command line.
        slot: the machine's one place for training; that of this user if None.
    """

    def __init__(
        self, store: Store, folder: Path, command: Callable[[Job, Path], list[str]], *, slot: Path | None = None
    ) -> None:
        self.store, self.folder, self._command = store, folder, command
        self._slot = Slot(slot or cache_root() / "training.json")
        self._turn = threading.Lock()
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._changed, self._closing = threading.Event(), False
        self._watcher = threading.Thread(target=self._watch, name="training", daemon=True)
        self._watcher.start()

    def submit(self, request: dict, *, annotator: str) -> Job:
        """Queue a run; it starts at once when nothing else trains on this machine."""
        job = jobs.add_job(self.store, request, annotator=annotator)
        self._changed.set()
        return job

    def go_on(self, number: int) -> None:
        """Queue a run again that failed or was stopped. Raises `InputError` when it did neither."""
        jobs.queue_again(self.store, number)
        self._changed.set()

    def stop(self, number: int) -> None:
        """End a run with all its processes, or take it from the queue; one that has ended stays as it is."""
        with self._turn:
            job = jobs.get_job(self.store, number)
            if job.process is not None:
                processes.end_group(job.process)
            if job.is_open:
                jobs.mark_ended(self.store, number, "stopped", message="stopped by a person")
            self._collect(number)
        self._changed.set()

    def view(self, job: Job) -> RunView:
        """What the run says of itself."""
        return read_run(self.run_folder(job.id))

    def waits_for_others(self) -> bool:
        """Whether somebody else's run, one of another store, has the machine."""
        holder = self._slot.holder()
        return holder is not None and all(job.process != holder for job in jobs.list_jobs(self.store, state="running"))

    def run_folder(self, number: int) -> Path:
        """The folder of a run."""
        return self.folder / f"run-{number:04d}"

    def advance(self) -> bool:
        """Note what has ended, start what is next. → whether anything waits or runs."""
        with self._turn:
            running = jobs.list_jobs(self.store, state="running")
            for job in running:
                if job.process is None or not job.process.alive:
                    self._settle(job)
            queued = jobs.list_jobs(self.store, state="queued")
            if queued:
                self._start(queued[-1])
        return bool(running or queued)

    def close(self, *, end_runs: bool = False) -> None:
        """Stop watching. Runs go on, unless their store goes away too (`end_runs`)."""
        self._closing = True
        self._changed.set()
        self._watcher.join(timeout=2 * processes.PATIENCE_S)
        if end_runs:
            for job in jobs.list_jobs(self.store):
                if job.is_open:
                    self.stop(job.id)

    def _watch(self) -> None:
        busy = True  # a run of an earlier server may be going on
        while not self._closing:
            try:
                busy = self.advance()
            except StoreError as error:
                logger.warning("The training queue waits: %s", error)
            except Exception:
                logger.exception("The training queue met something unexpected, and goes on")
            self._changed.wait(LOOK_S if busy else None)
            self._changed.clear()

    def _start(self, job: Job) -> None:
        """Start a run if the machine is free; called with the turn held."""
        own = Mark.of(os.getpid())
        try:
            if own is None or not self._slot.take(own):
                return
        except OSError as error:
            self._give_up(job, unwritable(self._slot.path, error, "check the permissions of its folder"))
            return
        folder = self.run_folder(job.id)
        try:
            child = processes.start(self._command(job, folder), cwd=ROOT, log=folder / LOG)
        except (OSError, WorkbenchError) as error:
            self._slot.free()
            why = f"({error.strerror or error})" if isinstance(error, OSError) else f"({str(error).rstrip('.')})"
            self._give_up(job, f"It could not be started {why}.")
            return
        self._children[job.id] = child
        mark = Mark.of(child.pid)
        if mark is None:
            self._slot.free()
        else:
            try:
                self._slot.give(mark)
            except OSError as error:  # it trains all the same; a run of another store may begin beside it
                logger.warning("%s", unwritable(self._slot.path, error, "check the permissions of its folder"))
        jobs.mark_running(self.store, job.id, mark)

    def _give_up(self, job: Job, message: str) -> None:
        jobs.mark_ended(self.store, job.id, "failed", message=message)

    def _settle(self, job: Job) -> None:
        """Write down how a run has ended."""
        status = self._collect(job.id)
        view = read_run(self.run_folder(job.id))
        if view.outcome == "done":
            jobs.mark_ended(self.store, job.id, "done", adapter=view.adapter)
            return
        said = tail(self.run_folder(job.id) / LOG)
        how = "" if status is None else f" (exit status {status})"
        silent = f"It ended without saying why{how}; it goes on where it was when continued."
        # A command line that is refused says so in its last line, before there is any progress.
        spoke = said[-1] if said and status == 2 else silent
        jobs.mark_ended(self.store, job.id, "failed", message=view.error or spoke)

    def _collect(self, number: int) -> int | None:
        """The exit status of a child of this program; None where it is not, or still runs."""
        child = self._children.get(number)
        if child is None or child.poll() is None:
            return None
        return self._children.pop(number).returncode
