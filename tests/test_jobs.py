"""The training queue: one run at a time on a machine, ended with all it started, found again, and told in words."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from workbench import jobs
from workbench.corrections.store import Store
from workbench.errors import InputError
from workbench.job_files import read_run, tail, thinned, view_of
from workbench.job_queue import JobQueue
from workbench.jobs import Job
from workbench.processes import Mark, Slot

LIMIT_S = 60
# A run that starts a helper, says so, and learns until a file tells it to end.
TRAINS = """
import json, pathlib, subprocess, sys, time
folder = pathlib.Path(sys.argv[1])
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
def tell(**row):
    with (folder / "progress.jsonl").open("a") as file:
        file.write(json.dumps({"at": "2026-01-01T00:00:00+00:00", **row}) + "\\n")
tell(stage="start")
(folder / "helper").write_text(str(helper.pid))
print("learning", flush=True)
while not (folder / "end").exists():
    time.sleep(0.02)
helper.kill()
tell(stage="done", adapter="night-1", adopt=True)
"""
FAILS = """
import json, pathlib, sys
row = {"stage": "failed", "error": "All 3 clips are normal; approve some abnormal ones too."}
(pathlib.Path(sys.argv[1]) / "progress.jsonl").write_text(json.dumps(row) + "\\n")
sys.exit(2)
"""
REFUSES = "import sys; sys.stderr.write('There is no profile huge; choose bundled.\\n'); sys.exit(2)"
DIES = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
PROGRAMS = {"trains": TRAINS, "fails": FAILS, "refuses": REFUSES, "dies": DIES}


def command(job: Job, folder: Path) -> list[str]:
    return [sys.executable, "-c", PROGRAMS[job.request["program"]], str(folder)]


def until(what: Callable[[], bool]) -> None:
    """Wait for what another process does; fails when it never happens."""
    deadline = time.monotonic() + LIMIT_S
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "corrections.db")


@pytest.fixture
def queue(tmp_path: Path, store: Store) -> Iterator[JobQueue]:
    made = JobQueue(store, tmp_path / "runs", command, slot=tmp_path / "slot.json")
    yield made
    made.close(end_runs=True)


def state(store: Store, job: Job) -> str:
    return jobs.get_job(store, job.id).state


def submit(queue: JobQueue, program: str) -> Job:
    return queue.submit({"program": program}, annotator="ann")


def begun(queue: JobQueue, job: Job) -> bool:
    return (queue.run_folder(job.id) / "helper").exists()


def test_one_run_trains_and_the_next_waits_its_turn(queue: JobQueue, store: Store) -> None:
    first, second = submit(queue, "trains"), submit(queue, "trains")
    until(lambda: begun(queue, first))
    assert (state(store, first), state(store, second)) == ("running", "queued")
    (queue.run_folder(first.id) / "end").touch()
    until(lambda: begun(queue, second))
    done = jobs.get_job(store, first.id)
    assert (done.state, done.adapter, done.annotator, done.process) == ("done", "night-1", "ann", None)
    assert done.started_at is not None
    assert done.ended_at is not None
    assert queue.view(done).tail == ["learning"]


def test_a_run_that_cannot_be_started_says_so_and_the_next_one_starts(tmp_path: Path, store: Store) -> None:
    def refusing(job: Job, folder: Path) -> list[str]:
        if job.request["program"] == "unknown":
            raise InputError("There is no component 'ears'; choose one of scorer, chat.")
        return command(job, folder)

    with closing(JobQueue(store, tmp_path / "runs", refusing, slot=tmp_path / "slot.json")) as queue:
        refused, fine = submit(queue, "unknown"), submit(queue, "trains")
        until(lambda: begun(queue, fine))
        found = jobs.get_job(store, refused.id)
        assert (found.state, found.message) == (
            "failed", "It could not be started (There is no component 'ears'; choose one of scorer, chat).",
        )  # fmt: skip
        queue.stop(fine.id)


def test_a_slot_that_cannot_be_written_is_told(tmp_path: Path, store: Store) -> None:
    (tmp_path / "file").touch()
    with closing(JobQueue(store, tmp_path / "runs", command, slot=tmp_path / "file" / "slot.json")) as queue:
        job = submit(queue, "trains")
        until(lambda: state(store, job) == "failed")
        assert "slot.json cannot be written" in str(jobs.get_job(store, job.id).message)


def test_two_stores_share_the_machine(tmp_path: Path, queue: JobQueue) -> None:
    first = submit(queue, "trains")
    until(lambda: begun(queue, first))
    other = Store(tmp_path / "other.db")
    with closing(JobQueue(other, tmp_path / "others", command, slot=tmp_path / "slot.json")) as beside:
        waits = submit(beside, "trains")
        assert beside.advance()
        assert state(other, waits) == "queued"
        queue.stop(first.id)
        until(lambda: begun(beside, waits))
        beside.stop(waits.id)


def test_stop_ends_all_processes_of_a_run_and_it_can_go_on(queue: JobQueue, store: Store) -> None:
    job = submit(queue, "trains")
    until(lambda: begun(queue, job))
    helper = int((queue.run_folder(job.id) / "helper").read_text())
    mark = jobs.get_job(store, job.id).process
    assert mark is not None
    assert mark.alive
    assert psutil.pid_exists(helper)
    queue.stop(job.id)
    assert state(store, job) == "stopped"
    assert not mark.alive
    assert not psutil.pid_exists(helper) or psutil.Process(helper).status() == psutil.STATUS_ZOMBIE
    (queue.run_folder(job.id) / "end").touch()
    queue.go_on(job.id)
    until(lambda: state(store, job) == "done")
    with pytest.raises(InputError, match="only one that failed or was stopped"):
        queue.go_on(job.id)


def test_a_waiting_run_is_taken_from_the_queue(queue: JobQueue, store: Store) -> None:
    first, second = submit(queue, "trains"), submit(queue, "trains")
    until(lambda: begun(queue, first))
    queue.stop(second.id)
    assert state(store, second) == "stopped"
    assert state(store, first) == "running"


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("fails", "All 3 clips are normal; approve some abnormal ones too."),
        ("refuses", "There is no profile huge; choose bundled."),
        ("dies", "It ended without saying why (exit status -9); it goes on where it was when continued."),
    ],
)
def test_a_run_that_fails_says_why(queue: JobQueue, store: Store, program: str, sentence: str) -> None:
    job = submit(queue, program)
    until(lambda: not jobs.get_job(store, job.id).is_open)
    assert (state(store, job), jobs.get_job(store, job.id).message) == ("failed", sentence)


def test_a_server_that_starts_again_finds_the_run(tmp_path: Path, store: Store) -> None:
    first = JobQueue(store, tmp_path / "runs", command, slot=tmp_path / "slot.json")
    job = submit(first, "trains")
    until(lambda: begun(first, job))
    first.close()
    with closing(JobQueue(store, tmp_path / "runs", command, slot=tmp_path / "slot.json")) as again:
        again.advance()
        assert state(store, job) == "running"
        (again.run_folder(job.id) / "end").touch()
        until(lambda: state(store, job) == "done")


def test_a_number_given_again_is_another_process(tmp_path: Path) -> None:
    own = Mark.of(psutil.Process().pid)
    assert own is not None
    assert own.alive
    assert Mark.from_json(own.to_json()) == own
    earlier = Mark(own.pid, own.began - 100)
    assert not earlier.alive
    slot = Slot(tmp_path / "slot.json")
    slot.give(earlier)
    assert slot.holder() is None
    assert slot.take(own)
    assert Mark.from_json("[") is None


def test_a_decision_is_made_once_and_about_something(queue: JobQueue, store: Store) -> None:
    job = submit(queue, "fails")
    until(lambda: not jobs.get_job(store, job.id).is_open)
    with pytest.raises(InputError, match="nothing to decide about"):
        jobs.decide(store, job.id, "adopted", by="ann")
    made = jobs.add_job(store, {}, annotator="ann")
    jobs.mark_ended(store, made.id, "done", adapter="night-1")
    jobs.decide(store, made.id, "rejected", by="bea", reason="too eager")
    decided = jobs.get_job(store, made.id)
    assert (decided.decision, decided.decided_by, decided.reason) == ("rejected", "bea", "too eager")
    with pytest.raises(InputError, match="was rejected by bea already"):
        jobs.decide(store, made.id, "adopted", by="ann")
    with pytest.raises(InputError, match="no training run 99"):
        jobs.get_job(store, 99)


# --- what a run says of itself -----------------------------------------------------------------------------------


def at(second: int, **row: object) -> dict:
    return {"at": f"2026-01-01T00:00:{second:02d}+00:00", **row}


def test_progress_becomes_a_stage_a_fraction_and_a_time_to_wait() -> None:
    rows = [
        at(0, stage="start", train={"clips": 4}),
        at(1, stage="encode", done=0, of=8),
        at(5, stage="encode", done=2, of=8),
    ]
    view = view_of(rows)
    assert (view.stage, view.fraction, view.eta_s) == ("encode", 0.25, 12.0)
    assert view.summary["train"] == {"clips": 4}
    steps = [at(10 + k, stage="scorer", step=k + 1, steps=10, loss=1 / (k + 1), auc=0.1 * k) for k in range(4)]
    view = view_of([*rows, *steps])
    assert view.curves["scorer"].lines["loss"] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3)), (4, 0.25)]
    assert view.curves["scorer"].steps == 10
    assert view.eta_s == pytest.approx(6.0)


def test_a_run_that_went_on_shows_each_step_once() -> None:
    first = [at(k, stage="scorer", step=k, steps=9, loss=9.0) for k in (1, 2, 3, 4)]
    again = [at(20, stage="failed", error="gone"), at(30, stage="start"), at(31, stage="scorer", step=3, loss=2.0)]
    view = view_of([*first, *again])
    assert view.curves["scorer"].lines["loss"] == [(1, 9.0), (2, 9.0), (3, 2.0)]
    assert (view.outcome, view.error) == (None, "")


def test_half_a_line_and_files_that_are_not_there_are_no_error(tmp_path: Path) -> None:
    assert read_run(tmp_path / "none").stage == ""
    (tmp_path / "progress.jsonl").write_text('{"stage": "start"}\n[1]\n{"stage": "enc')
    (tmp_path / "gate.json").write_text(json.dumps({"adopt": True}))
    (tmp_path / "log.txt").write_text("one\n  5%\r 50%\r100%\n\nlast")
    view = read_run(tmp_path)
    assert (view.stage, view.gate) == ("start", {"adopt": True})
    assert view.tail == ["one", "100%", "last"]
    assert tail(tmp_path) == []


def test_a_long_curve_is_thinned_to_what_a_screen_shows() -> None:
    points = [(step, float(step)) for step in range(1000)]
    shown = thinned(points)
    assert len(shown) < 300
    assert (shown[0], shown[-1]) == (points[0], points[-1])
    assert thinned(points[:5]) == points[:5]
