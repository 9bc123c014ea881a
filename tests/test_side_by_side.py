"""Batches side by side: in order, bounded, errors in their turn, and the cores of other threads untouched."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import torch

from tests.browser_support import REPOSITORY
from workbench.side_by_side import MOST_WORKERS, side_by_side

CPU = torch.device("cpu")


def slow_square(number: int) -> int:
    time.sleep(0.02 if number % 3 == 0 else 0.001)  # later ones are done earlier
    if number == 7:
        raise ValueError("seven cannot be squared")
    return number * number


def test_results_come_in_order_and_no_more_items_are_taken_than_can_be_worked_on() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in (0, 1, 2, 3, 4, 5, 6, 8, 9):
            taken.append(number)
            yield number

    for count, made in enumerate(side_by_side(items(), slow_square, CPU)):
        assert made == taken[count] ** 2
        assert len(taken) <= count + 1 + MOST_WORKERS
    assert count == 8


def test_an_error_comes_in_its_turn() -> None:
    stream = side_by_side(range(12), slow_square, CPU)
    assert [next(stream) for _ in range(7)] == [n * n for n in range(7)]
    with pytest.raises(ValueError, match="seven"):
        next(stream)


def test_leaving_early_waits_for_what_has_begun() -> None:
    running: list[int] = []

    def work(number: int) -> int:
        running.append(number)
        time.sleep(0.02)
        running.remove(number)
        return number

    stream = side_by_side(range(40), work, CPU)
    assert next(stream) == 0
    stream.close()
    assert running == []


SEVERAL_CORES = """
import os, threading, torch
torch.set_num_threads(2)
from workbench.side_by_side import side_by_side
def work(number):
    return threading.current_thread().name, torch.get_num_threads()
made = list(side_by_side(range(8), work, torch.device("cpu")))
assert {threads for _, threads in made} == {1}, made
assert all(name.startswith("side-by-side") for name, _ in made), made
assert torch.get_num_threads() == 2
later = []
thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
thread.start(); thread.join()
assert later == [2], later
child = os.fork()
if not child:
    os._exit(0 if len(list(side_by_side(range(4), work, torch.device("cpu")))) == 4 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
elsewhere = list(side_by_side(range(3), work, torch.device("meta")))
assert {name for name, _ in elsewhere} == {"MainThread"}, elsewhere
print("as it should be")
"""


def test_workers_share_the_cores_and_other_threads_keep_theirs() -> None:
    """In a process of its own: how many cores torch uses is a matter of the whole process."""
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL_CORES], cwd=REPOSITORY, env=os.environ, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout == "as it should be\n", done.stderr
