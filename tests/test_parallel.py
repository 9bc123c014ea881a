"""Several processes: two give the loss curve of one, and none outlives the one that started it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from torch import Tensor, nn

from finetune.loop import LoopConfig, fit, step_generator
from finetune.parallel import spread

REPOSITORY = Path(__file__).resolve().parent.parent
CONFIG = LoopConfig(steps=12, lr=0.02, log_every=1, save_every=6, parts=2)


def regression(out: Path, config: LoopConfig) -> None:
    """Regression of a plane: a run as every process of a group does it."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
    plane = torch.tensor([1.0, -2.0, 0.5])

    def loss(number: int) -> tuple[Tensor, dict[str, float]]:
        x = torch.from_numpy(step_generator(3, number).normal(size=(8, 3)).astype(np.float32))
        return (net(x)[:, 0] - x @ plane).square().mean(), {}

    fit({"net": net}, loss, config, out, name="plane")


def wait_forever(folder: Path) -> None:
    (folder / f"{os.getpid()}.pid").touch()
    time.sleep(600)


def curve(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "plane.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, Tensor]:
    return torch.load(folder / "plane.state", weights_only=True)["modules"]["net"]


def test_two_processes_give_the_loss_curve_of_one(tmp_path: Path) -> None:
    regression(tmp_path / "one", CONFIG)
    spread(regression, 2, tmp_path / "two", CONFIG)
    assert len(curve(tmp_path / "one")) == CONFIG.steps
    assert curve(tmp_path / "two") == pytest.approx(curve(tmp_path / "one"), abs=2e-5)
    assert curve(tmp_path / "two")[-1] < curve(tmp_path / "two")[0]
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for key in one:
        torch.testing.assert_close(two[key], one[key], atol=1e-4, rtol=1e-4)


def test_parts_that_cannot_be_shared_are_refused(tmp_path: Path) -> None:
    with pytest.raises(torch.multiprocessing.ProcessRaisedException, match="2 processes cannot share 3 batches"):
        spread(regression, 2, tmp_path, LoopConfig(steps=1, lr=0.1, parts=3))


def test_members_end_when_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from finetune.parallel import spread
from tests.test_parallel import wait_forever
if __name__ == "__main__":
    spread(wait_forever, 2, Path({str(tmp_path)!r}))
"""
    main = tmp_path / "main.py"
    main.write_text(script)
    starter = started(main)
    try:
        members = wait_for_pids(tmp_path, 2)
        starter.send_signal(signal.SIGKILL)
        starter.wait(30)
        _, alive = psutil.wait_procs(members, timeout=30)
        assert alive == []
    finally:
        starter.kill()
        for member in (
            psutil.Process(int(path.stem)) for path in tmp_path.glob("*.pid") if psutil.pid_exists(int(path.stem))
        ):
            member.kill()


def test_drawing_ends_when_the_one_that_asked_for_it_is_killed(tmp_path: Path) -> None:
    main = tmp_path / "main.py"
    main.write_text(f"""
from pathlib import Path
from finetune.world import Scenes, WorldCache
if __name__ == "__main__":
    for _ in WorldCache(Path({str(tmp_path / "world")!r}), Scenes(0, 5000), frames=2).build(workers=2):
        pass
""")
    starter = started(main)
    workers: list[psutil.Process] = []
    try:
        for _ in range(600):
            if len(list((tmp_path / "world").glob("*"))) > 2:
                break
            time.sleep(0.1)
        workers = psutil.Process(starter.pid).children(recursive=True)
        assert len(workers) >= 2
        starter.send_signal(signal.SIGKILL)
        starter.wait(30)
        _, alive = psutil.wait_procs(workers, timeout=30)
        assert alive == []
    finally:
        starter.kill()
        for worker in workers:
            if worker.is_running():
                worker.kill()


def started(script: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen([sys.executable, str(script)], env=environment, cwd=REPOSITORY)


def wait_for_pids(folder: Path, count: int) -> list[psutil.Process]:
    for _ in range(1200):
        found = sorted(folder.glob("*.pid"))
        if len(found) == count:
            return [psutil.Process(int(path.stem)) for path in found]
        time.sleep(0.1)
    raise AssertionError(f"only {len(list(folder.glob('*.pid')))} of {count} processes started")
