"""Work that nobody waits for leaves the processor to others, and a place for one is held by one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from workbench.processes import PATIENT, Mark, Slot, give_way

ASK = [sys.executable, "-c", "import os; print(os.nice(0))"]


def _niceness() -> int:
    return int(subprocess.run(ASK, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux threads have a priority of their own")
def test_what_a_thread_that_gives_way_starts_gives_way_too_and_others_do_not() -> None:
    before = _niceness()
    with ThreadPoolExecutor(1, initializer=give_way) as patient:
        assert patient.submit(_niceness).result() == max(before, PATIENT)
    assert _niceness() == before


@pytest.fixture
def programs() -> Iterator[list[Mark]]:
    """Eight programs that run as long as the test."""
    wait = [sys.executable, "-S", "-c", "input()"]
    started = [subprocess.Popen(wait, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(8)]
    marks = [Mark.of(process.pid) for process in started]
    yield [mark for mark in marks if mark is not None]
    for process in started:
        process.communicate(b"\n")


def test_of_programs_that_try_at_once_one_gets_the_place(programs: list[Mark], tmp_path: Path) -> None:
    together = Barrier(len(programs))

    def try_for(mark: Mark, slot: Slot) -> bool:
        together.wait()
        return slot.take(mark)

    gone = Mark(programs[0].pid, programs[0].began - 100)
    with ThreadPoolExecutor(len(programs)) as pool:
        for number in range(20):
            slot = Slot(tmp_path / f"{number}.json")
            if number % 2:
                slot.give(gone)
            got = list(pool.map(try_for, programs, [slot] * len(programs)))
            assert got.count(True) == 1
            assert slot.holder() == programs[got.index(True)]
            assert slot.take(programs[got.index(True)]), "who has it has it"
            slot.free()
            assert slot.take(programs[0])


def test_a_program_that_ended_while_it_took_the_place_keeps_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / "slot.json"
    dies = "import os, sys; from pathlib import Path; from workbench.processes import _one_at_a_time as only\n"
    dies += "with only(Path(sys.argv[1])): os._exit(0)"
    subprocess.run([sys.executable, "-c", dies, f"{path}.lock"], check=True)
    own = Mark.of(os.getpid())
    assert own is not None
    assert Slot(path).take(own)
