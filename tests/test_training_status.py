"""How a training run stands, from the lines that training itself writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from finetune.guard import Progress
from workbench.errors import InputError
from workbench.job_files import PROGRESS, read_status


def run_of(root: Path, name: str) -> Progress:
    return Progress(root / name / PROGRESS)


def values(status: dict, *names: str) -> tuple:
    return tuple(status[name] for name in names)


def test_nothing_trained_yet(tmp_path: Path) -> None:
    assert read_status(tmp_path / "nowhere")["state"] == "none"
    with pytest.raises(InputError, match="none yet"):
        read_status(tmp_path, "first")


def test_a_run_is_followed_from_its_start_to_its_verdict(tmp_path: Path) -> None:
    told = run_of(tmp_path, "first")
    told.tell("start", components=["scorer"])
    assert read_status(tmp_path)["state"] == "running"
    told.count("encode", 3, 12)
    assert values(read_status(tmp_path, "first"), "stage", "fraction") == ("encode", 0.25)
    after = told.watch("scorer", steps=10)
    after(0, 0.9)
    after(9, 0.25)
    status = read_status(tmp_path)
    assert values(status, "step", "steps", "loss", "fraction") == (10, 10, 0.25, 1.0)
    whole = told.path.read_text()
    told.path.write_text(whole + '{"at": "20')  # a line that is being written
    assert read_status(tmp_path)["stage"] == "scorer"
    told.path.write_text(whole)
    told.tell("done", adapter="night", adopt=False, reasons=["frame_auc fell"])
    status = read_status(tmp_path)
    assert values(status, "state", "adapter", "adopt", "loss") == ("done", "night", False, 0.25)
    assert status["reasons"] == ["frame_auc fell"]


def test_a_failed_run_says_why_and_the_newest_is_meant_where_none_is_named(tmp_path: Path) -> None:
    run_of(tmp_path, "old").tell("done", adapter="a", adopt=True, reasons=[])
    run_of(tmp_path, "new").tell("failed", error="The disk is full.")
    os.utime(tmp_path / "old" / PROGRESS, ns=(1, 1))
    status = read_status(tmp_path)
    assert values(status, "run", "state", "error") == ("new", "failed", "The disk is full.")
    assert read_status(tmp_path, "old")["state"] == "done"


@pytest.mark.parametrize("name", ["..", "../..", "/etc", ".hidden"])
def test_only_runs_below_the_folder_can_be_named(tmp_path: Path, name: str) -> None:
    run_of(tmp_path, ".hidden").tell("start")
    run_of(tmp_path / "runs", "first").tell("start")
    with pytest.raises(InputError, match="no training run"):
        read_status(tmp_path / "runs" if name != ".hidden" else tmp_path, name)
