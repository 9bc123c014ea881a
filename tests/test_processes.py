"""Work that nobody waits for leaves the processor to others."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from workbench.processes import PATIENT, give_way

ASK = [sys.executable, "-c", "import os; print(os.nice(0))"]


def _niceness() -> int:
    return int(subprocess.run(ASK, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux threads have a priority of their own")
def test_what_a_thread_that_gives_way_starts_gives_way_too_and_others_do_not() -> None:
    before = _niceness()
    with ThreadPoolExecutor(1, initializer=give_way) as patient:
        assert patient.submit(_niceness).result() == max(before, PATIENT)
    assert _niceness() == before
