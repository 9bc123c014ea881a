"""The training loop: a run that was killed and resumed ends like one that was not, and leaves a log."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from finetune.errors import TrainingError
from finetune.loop import LoopConfig, fit, learning_rate, step_generator


def problem(net: nn.Module, stop_at: int | None = None):
    """Regression of a fixed plane, with dropout, so that every source of randomness takes part."""
    plane = torch.tensor([1.0, -2.0, 0.5])

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        if step == stop_at:
            raise KeyboardInterrupt
        x = torch.from_numpy(step_generator(7, step).normal(size=(16, 3)).astype(np.float32))
        return (net(x)[:, 0] - x @ plane).square().mean(), {"seen": float(step)}

    return loss


def new_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 1))


def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    config = LoopConfig(steps=60, lr=0.01, save_every=10, log_every=5)
    whole = new_net()
    fit({"net": whole}, problem(whole), config, tmp_path / "whole", name="plane")

    first = new_net()
    with pytest.raises(KeyboardInterrupt):
        fit({"net": first}, problem(first, stop_at=33), config, tmp_path / "killed", name="plane")
    second = new_net()
    fit({"net": second}, problem(second), config, tmp_path / "killed", name="plane")

    for a, b in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_loss_falls_and_is_logged(tmp_path: Path) -> None:
    net = new_net()
    fit({"net": net}, problem(net), LoopConfig(steps=200, lr=0.02, log_every=20), tmp_path, name="plane")
    rows = [json.loads(line) for line in (tmp_path / "plane.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [*range(0, 200, 20), 199]
    assert rows[-1]["loss"] < rows[0]["loss"] / 3
    assert rows[3]["seen"] == 60


def test_a_loss_that_explodes_is_named(tmp_path: Path) -> None:
    net = new_net()

    def loss(_step: int) -> tuple[Tensor, dict[str, float]]:
        return next(net.parameters()).sum() * float("nan"), {}

    with pytest.raises(TrainingError, match="step 0"):
        fit({"net": net}, loss, LoopConfig(steps=5, lr=0.01), tmp_path, name="plane")


def test_the_rate_warms_up_then_decays() -> None:
    config = LoopConfig(steps=100, lr=0.1, warmup=0.1, final_lr=0.02)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(0.1)
    assert rates.index(max(rates)) in {9, 10}
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.002, rel=0.1)


@pytest.mark.parametrize(("steps", "lr"), [(0, 0.1), (10, 0.0), (10, 2.0)])
def test_nonsense_is_refused(steps: int, lr: float) -> None:
    with pytest.raises(TrainingError, match=str(steps) if steps == 0 else str(lr)):
        LoopConfig(steps=steps, lr=lr)
