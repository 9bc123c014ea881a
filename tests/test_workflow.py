"""Clip → analysis → files, on odd clips that must simply work; random weights, since only the way matters here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests import bad_clips
from workbench.records import Turn
from workbench.serial import load_analysis
from workbench.stack.loading import ModelStack
from workbench.video import Clip
from workbench.workflow import Request, carry_out, write_outputs


@pytest.mark.parametrize(
    ("name", "make", "n_frames"),
    [
        pytest.param("one.mp4", lambda path: bad_clips.video(path, n_frames=1), 1, id="one frame"),
        pytest.param("two.mkv", lambda path: bad_clips.video(path, n_frames=2), 2, id="two frames"),
        pytest.param("moving.gif", bad_clips.gif, 10, id="GIF"),
        pytest.param("Straße am Abend 夜.mp4", bad_clips.video, 50, id="spaces and Unicode"),
        pytest.param(
            "8k.mkv",
            lambda path: bad_clips.video(path, n_frames=2, size=(7680, 4320), codec="mjpeg"),
            2,
            id="8K",
        ),
        pytest.param("still.avi", lambda path: bad_clips.video(path, n_frames=3, codec="mpeg4"), 3, id="AVI"),
    ],
)
def test_odd_clips_work(
    tiny_stack: ModelStack, tmp_path: Path, name: str, make: Callable[[Path], Path], n_frames: int
) -> None:
    with Clip.open(make(tmp_path / name)) as clip:
        analysis = carry_out(clip, tiny_stack, Request(("judgement",)))
        write_outputs(analysis, clip, tmp_path, heatmaps=True)
    read = load_analysis(tmp_path / "analysis.json")
    assert read.clip.n_frames == n_frames
    assert len(read.frame_score) == n_frames
    assert np.isfinite(read.frame_score).all()
    assert len(read.dialogue) == 1
    assert read.heatmaps is not None
    assert len(read.heatmaps.heatmap) == len(read.dense.frame_index)
    assert (tmp_path / "timeline.html").stat().st_size > 10_000


def test_every_output_is_written_and_nothing_else(tiny_stack: ModelStack, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with Clip.open(bad_clips.video(tmp_path / "clip.mp4", size=(162, 122))) as clip:
        analysis = carry_out(clip, tiny_stack, Request(threshold=0.2))
        paths = write_outputs(analysis, clip, out, heatmaps=True, overlay=True)
    assert sorted(out.iterdir()) == sorted(paths)
    assert {path.name for path in paths} == {"analysis.json", "timeline.html", "heatmaps.npz", "overlay.mp4"}
    with Clip.open(out / "overlay.mp4") as overlay:
        assert abs(overlay.info.n_frames - 50) <= 1


def test_a_clip_of_no_duration_works(tiny_stack: ModelStack, tmp_path: Path) -> None:
    path = bad_clips.video(tmp_path / "zero.mkv", n_frames=4, codec="mjpeg", zero_time=True)
    with Clip.open(path) as clip:
        analysis = carry_out(clip, tiny_stack, Request())
        write_outputs(analysis, clip, tmp_path)
    assert np.isfinite(load_analysis(tmp_path / "analysis.json").frame_score).all()


def test_a_clip_that_ends_early_is_analysed_as_far_as_it_goes(tiny_stack: ModelStack, tmp_path: Path) -> None:
    path = bad_clips.truncated(tmp_path / "cut.mkv", keep=0.6)
    with Clip.open(path) as clip:
        analysis = carry_out(clip, tiny_stack, Request())
        write_outputs(analysis, clip, tmp_path)
    read = load_analysis(tmp_path / "analysis.json")
    assert 20 < read.clip.n_frames < 200
    assert any("cut.mkv ends early" in warning for warning in read.warnings)
    assert len(read.frame_score) == read.clip.n_frames


def test_turns_are_heard_of_as_they_come_and_stages_in_order(tiny_stack: ModelStack, tmp_path: Path) -> None:
    heard: list[Turn] = []
    stages: list[str] = []

    def progress(stage: str, fraction: float, _partial: object) -> None:
        assert 0 <= fraction <= 1
        stages.append(stage)

    # A length that no other test draws: features of the same content would come from the cache, without this stage.
    with Clip.open(bad_clips.video(tmp_path / "clip.mp4", n_frames=43)) as clip:
        request = Request(("judgement", "Who is there?", "analysis"))
        analysis = carry_out(clip, tiny_stack, request, progress=progress, on_turn=heard.append)
    assert heard == analysis.dialogue
    assert [turn.kind for turn in heard] == ["judgement", "free", "analysis"]
    assert list(dict.fromkeys(stages)) == ["encode", "score", "done", "dialogue"]
