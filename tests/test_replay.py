"""What the bundled stack already knows, replayed; and its segmenter, tuned on masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finetune.errors import TrainingError
from finetune.guard import Progress
from finetune.replay import street
from finetune.segmenter import HELD_OUT_SEED
from finetune.tune_segmenter import SegmenterTuning, tune_segmenter
from tests.tune_support import drawn_clips
from workbench.errors import DataError
from workbench.masks import encode_rle
from workbench.profiles import ASSETS
from workbench.stack.segmenter import Segmenter, SegmenterSpec

FEW = SegmenterTuning(picture_steps=2, video_steps=1, batch=2, per_clip=2, size=(96, 64))


def test_scenes_to_test_on_are_drawn_once_and_never_trained_on(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    first = street(4, 0.0, 1, folder=tmp_path, tell=lambda *row: told.append(row))
    assert told == [("street", 0, 1)]
    [clip] = first.clips
    assert first.sides == ((clip.sha256, "hold_out"),)
    assert f"seed {HELD_OUT_SEED}" == clip.revision
    written = Path(clip.path).stat().st_mtime_ns
    assert street(4, 0.0, 1, folder=tmp_path) == first
    assert Path(clip.path).stat().st_mtime_ns == written
    Path(clip.path).write_bytes(Path(clip.path).read_bytes()[:2000])  # the disk was full
    assert street(4, 0.0, 1, folder=tmp_path) == first


def test_the_bundled_segmenter_learns_from_masks_and_loads_again(tmp_path: Path) -> None:
    start = ASSETS / "bundled" / "segmenter"
    before = (start / "model.safetensors").read_bytes()
    clips = drawn_clips(tmp_path / "clips", 2)
    progress = Progress(tmp_path / "progress.jsonl")
    folder = tune_segmenter(start, clips, [], FEW, tmp_path / "run", progress=progress)
    assert Segmenter.load(SegmenterSpec.bundled(folder), "cpu") is not None
    assert (folder / "model.safetensors").read_bytes() != before
    assert (start / "model.safetensors").read_bytes() == before, "the bundled weights stay as they are"
    assert '"stage": "segmenter"' in progress.path.read_text()


def test_clips_without_masks_teach_no_segmenter(tmp_path: Path) -> None:
    [_, calm] = drawn_clips(tmp_path / "clips", 2)
    with pytest.raises(TrainingError, match="has masks on 2 frames or more"):
        tune_segmenter(tmp_path, [calm], [], FEW, tmp_path / "run")


def test_masks_of_another_size_are_named(tmp_path: Path) -> None:
    [clip, _] = drawn_clips(tmp_path / "clips", 2)
    small = replace(clip.entities[0], masks={9: encode_rle(np.ones((8, 8), bool))})
    with pytest.raises(DataError, match="is 8×8, the clip 96×64; draw it again"):
        tune_segmenter(tmp_path, [replace(clip, entities=(small,))], [], FEW, tmp_path / "run")
    assert not (tmp_path / "run").exists()
