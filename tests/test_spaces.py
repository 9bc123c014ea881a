"""A GPU that is lent for each piece of work: the page with a stand-in `spaces` whose processes are really forked.

The stand-in (`tests/stand_ins/spaces`) has to be there before the app is imported, so every test starts a process.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from tests import drawn
from tests.browser_support import REPOSITORY, running_app
from workbench.profiles import get_profile
from workbench.ui import gpu
from workbench.video import Clip

pytestmark = pytest.mark.slow
STAND_INS = REPOSITORY / "tests" / "stand_ins"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the stand-in on the path of processes that are started from now on; → where it notes its calls."""
    path = tmp_path / "lent.jsonl"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), str(STAND_INS)]))
    monkeypatch.setenv("STAND_IN_SPACES_LOG", str(path))
    return path


def calls(log: Path) -> list[dict]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def without_times(document: dict) -> dict:
    return {key: value for key, value in document.items() if key not in {"timings_s", "peak_rss_mb"}}


def test_the_endpoints_say_the_same_with_and_without(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = drawn.write_clip(tmp_path / "short.mp4", drawn.moving_square, n_frames=40)
    longer = drawn.write_clip(tmp_path / "longer.mp4", drawn.moving_square, n_frames=400)
    (tmp_path / "lent").mkdir()
    with running_app(tmp_path / "lent", tmp_path) as app:
        client = Client(app.url, verbose=False, headers={"x-visitor": "ann"})
        lent = [client.predict(handle_file(path), api_name="/analyze") for path in (short, longer)]
        said = client.predict(handle_file(short), "judgement", api_name="/ask")
        with pytest.raises(AppError, match="not a video"):
            client.predict(handle_file(log), api_name="/analyze")
    made = calls(log)
    assert len(made) == 3, "two analyses and an answer; what is known already is not computed again"
    assert {call["visitor"] for call in made} == {"ann"}, "whose quota counts is told by the visitor's request"
    assert made[0]["seconds"] < made[1]["seconds"], "a longer clip asks for more time"

    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    (tmp_path / "own").mkdir()
    with running_app(tmp_path / "own", tmp_path) as app:
        client = Client(app.url, verbose=False)
        own = [client.predict(handle_file(path), api_name="/analyze") for path in (short, longer)]
        assert client.predict(handle_file(short), "judgement", api_name="/ask") == said
    assert len(calls(log)) == 3
    assert [without_times(document) for document in lent] == [without_times(document) for document in own]


def test_a_gpu_that_is_refused_or_too_short_is_explained(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_SPACES_LONGEST_S", "1")
    short = drawn.write_clip(tmp_path / "short.mp4", drawn.moving_square, n_frames=40)
    with running_app(tmp_path, tmp_path) as app:
        client = Client(app.url, verbose=False)
        with pytest.raises(AppError, match="The shared GPU did not do this work: You have exceeded your ZeroGPU quota"):
            client.predict(handle_file(short), api_name="/analyze")
    assert not log.exists()


def test_dialogue_masks_and_tracks_hold_on_a_lent_gpu(log: Path) -> None:
    """The tests of the page's dialogue and instances, carried out in a process in which every GPU is lent."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "tests/test_dialogue.py",
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    made = calls(log)
    assert len({call["pid"] for call in made}) < len(made), "a worker serves again"
    assert len({call["seconds"] for call in made}) > 2, "a mask, an answer and an analysis ask for different times"


def test_here_nothing_is_lent() -> None:
    assert not gpu.LENT
    row = get_profile("bundled")
    assert gpu.seconds_for(row, answers=2) > gpu.seconds_for(row, answers=1) > gpu.seconds_for(row)
    assert gpu.seconds_for(row, frames=10_000, pixels=1920 * 1080) < gpu.LONGEST_S
    assert gpu.seconds_for(row, frames=100_000, pixels=1920 * 1080) > gpu.LONGEST_S


def test_a_clip_can_be_sent(tmp_path: Path) -> None:
    with Clip.open(drawn.write_clip(tmp_path / "clip.mp4", n_frames=30)) as clip:
        clip.frame(3)
        with pickle.loads(pickle.dumps(clip)) as sent:
            assert sent.info == clip.info
            assert drawn.number_in(sent.frame(17)) == 17
