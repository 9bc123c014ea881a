"""The bundled segmenter on street scenes that no run has trained on: boxes, clicks, tracks, and what care brings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from finetune.scenes import ANOMALIES, sample_scene
from finetune.segmenter_eval import evaluate, iou
from workbench.stack.segmenter import Prompt, Segmenter, SegmenterSpec
from workbench.stack.segmenter_view import box_of

BUNDLED = Path(__file__).parents[1] / "assets" / "bundled" / "segmenter"
pytestmark = pytest.mark.skipif(
    not (BUNDLED / "model.safetensors").is_file(), reason="assets/bundled/segmenter has no weights; run finetune bundle"
)


def test_bundled_weights_follow_a_walker() -> None:
    segmenter = Segmenter.load(SegmenterSpec.bundled(BUNDLED))
    scores = evaluate(segmenter, [sample_scene(910_000 + k) for k in range(3)], per_scene=3)
    assert scores["mask_iou_box"] > 0.5
    assert scores["mask_iou_click"] > 0.3
    assert scores["track_iou"] > 0.25


def test_care_brings_masks_closer_to_the_truth() -> None:
    """Street scenes that no run trained on: three looks beat one, in a picture and along a track."""
    segmenter = Segmenter.load(SegmenterSpec.bundled(BUNDLED), "cpu")
    pictures: dict[bool, list[float]] = {True: [], False: []}
    tracks: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(951_000, 951_022):
        scene = sample_scene(seed, category=ANOMALIES[seed % len(ANOMALIES)], seconds=(6, 7))
        event = scene.truth.events[0]
        actor, middle = event.entity_ids[-1], (event.start_frame + event.end_frame) // 2
        frames = {i: scene.render(i) for i in range(middle, min(middle + 13, event.end_frame), 3)}
        truth = frames[middle].ids == actor
        if truth.sum() < 60:
            continue
        box = box_of(truth)
        for careful in (True, False):
            pictures[careful].append(iou(segmenter.mask(frames[middle].rgb, box=box, careful=careful)[0], truth))
            window = [(i, frame.rgb) for i, frame in frames.items()]
            for i, masks in segmenter.track(window, [Prompt(actor, middle, box=box)], careful=careful):
                if i != middle:
                    tracks[careful].append(iou(masks[actor], frames[i].ids == actor))
    assert len(pictures[True]) >= 8
    assert np.mean(pictures[True]) > np.mean(pictures[False])
    assert np.mean(tracks[True]) > np.mean(tracks[False])
