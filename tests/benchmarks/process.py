"""One command in a process of its own, with its wall time and the most memory it held."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CORES = 2


class BenchmarkError(Exception):
    """A measured command failed; the message ends with what it said."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one process: wall time in seconds, peak resident memory in MiB."""

    wall_s: float
    peak_mb: float


def start_on_cores(module: str, arguments: Sequence[str | Path], *, cache: Path) -> subprocess.Popen[bytes]:
    """Start the same and leave it running, at the head of a process group of its own."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(CORES), "WORKBENCH_CACHE": str(cache)}
    with cache.with_suffix(".log").open("wb") as sink:
        return subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdout=sink, stderr=sink, preexec_fn=_keep_to_cores,
            start_new_session=True,
        )  # fmt: skip


def run_measured(module: str, arguments: Sequence[str | Path], *, cache: Path) -> Cost:
    """Run `python -m module arguments…` on two cores with an empty feature cache in `cache`.

    The memory is what the kernel counted for that process alone (`ru_maxrss` of wait4), so nothing this process or an
    earlier measurement held is in it. Raises BenchmarkError if the command fails.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(CORES), "WORKBENCH_CACHE": str(cache)}
    log = cache.with_suffix(".log")
    with log.open("wb") as sink:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdout=sink, stderr=sink, preexec_fn=_keep_to_cores
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = log.read_text(errors="replace").strip()[-2000:]
        raise BenchmarkError(f"python -m {module} {' '.join(map(str, arguments))} failed:\n{tail}")
    scale = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux KiB
    return Cost(wall_s, usage.ru_maxrss / scale)


def _keep_to_cores() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
