"""Zero-shot scores: windows cover the clip, batches change nothing, and a model that says yes scores high."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from workbench.records import Analysis
from workbench.stack.loading import ModelStack
from workbench.zero_shot import FRAMES, MAX_WINDOWS, answer_ids, windows_of, yes_probability, zero_shot_scores


def test_windows_cover_the_clip_in_order() -> None:
    time_s = np.arange(300) / 10
    centres, frames = windows_of(time_s)
    assert len(centres) == 15
    assert frames.shape == (15, FRAMES)
    assert (np.diff(frames.ravel()) > 0).all()
    shown = time_s[frames]
    assert np.abs(shown.mean(1) - centres).max() <= 0.1
    assert shown.min() < 0.5
    assert shown.max() > 29.0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_clip_of_few_frames_is_one_window(count: int) -> None:
    centres, frames = windows_of(np.arange(count) / 10)
    assert len(centres) == 1
    assert set(frames.ravel()) <= set(range(count))


def test_a_long_clip_has_longer_windows_not_more() -> None:
    time_s = np.arange(36_000) / 2
    centres, frames = windows_of(time_s)
    assert len(centres) == MAX_WINDOWS
    assert frames.max() > 35_000


def test_probability_weighs_all_ways_to_say_it() -> None:
    logits = torch.full((3, 6), -20.0)
    logits[0, 1] = logits[1, 4] = 20.0  # a sure yes, a sure no
    logits[2, [0, 1]] = logits[2, [4, 5]] = 1.0
    said = yes_probability(logits, [0, 1], [4, 5])
    assert said.tolist() == pytest.approx([1.0, 0.0, 0.5], abs=1e-6)


def visual_tokens(stack: ModelStack, count: int) -> np.ndarray:
    shape = (count, stack.backbone.tokens_per_frame, stack.backbone.token_dim)
    return np.random.default_rng(3).normal(size=shape).astype(np.float16)


def test_batches_and_the_shared_question_change_nothing(
    tiny_stack: ModelStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, time_s = visual_tokens(tiny_stack, 60), np.arange(60) / 5
    together = zero_shot_scores(tiny_stack, tokens, time_s)
    monkeypatch.setattr("workbench.zero_shot.ROWS_AT_ONCE", {"cpu": 1})
    told: list[float] = []
    assert np.allclose(zero_shot_scores(tiny_stack, tokens, time_s, told.append), together, atol=1e-5)
    centres, frames = windows_of(time_s)
    assert len(told) == len(centres)
    assert told == sorted(told)
    assert told[-1] == 1.0
    # By hand, for one window: everything in one piece, nothing shared.
    backbone, window = tiny_stack.backbone, frames[2]
    shared, rest = tiny_stack.profile.layout.yes_no(FRAMES)
    shown = torch.from_numpy(tokens[window].astype(np.float32))
    rows = torch.cat([backbone.embed(shared, shown, None), backbone.embed(rest, shown, None)])
    logits = backbone.step(rows, backbone.new_cache())
    by_hand = yes_probability(logits[None], *answer_ids(backbone))
    assert float(np.interp(centres[2], time_s, together)) == pytest.approx(float(by_hand), abs=1e-2)


def test_a_model_that_says_yes_scores_high(tiny_stack: ModelStack) -> None:
    """The score follows the output layer: turned towards yes it rises everywhere, towards no it falls."""
    from tests.tiny_stack import tiny_backbone

    torch.manual_seed(0)
    backbone = tiny_backbone()
    stack = replace(tiny_stack, backbone=backbone, scorer=None)
    tokens, time_s = visual_tokens(stack, 30), np.arange(30) / 5
    usual = zero_shot_scores(stack, tokens, time_s)
    yes, no = answer_ids(backbone)
    assert not {*yes} & {*no}
    bias = torch.zeros(backbone.model.lm_head.out_features)
    for ids, sign in ((yes, 1), (no, -1)):
        bias[ids] = 3.0 * sign
    backbone.model.lm_head.bias = torch.nn.Parameter(bias, requires_grad=False)
    assert (zero_shot_scores(stack, tokens, time_s) > usual).all()
    backbone.model.lm_head.bias.neg_()
    assert (zero_shot_scores(stack, tokens, time_s) < usual).all()


def test_an_untrained_profile_says_so_in_its_result(tiny_stack: ModelStack, analysis_of_bare: Analysis) -> None:
    assert tiny_stack.stand_ins == {}
    assert set(analysis_of_bare.dense.parts) == {"zero-shot", "motion"}
    assert set(analysis_of_bare.stand_ins) == {"scorer", "heatmap", "regions"}
    assert analysis_of_bare.features is not None
    assert analysis_of_bare.heatmaps is not None
    saliency, heat = analysis_of_bare.features.saliency, analysis_of_bare.heatmaps.heatmap
    assert np.allclose(heat.max((1, 2)) > 0.05, saliency.max((1, 2)) > 0.05)


@pytest.fixture
def analysis_of_bare(tiny_stack: ModelStack, tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    from tests.drawn import write_clip
    from workbench.analysis import analyse
    from workbench.video import Clip

    folder = tmp_path_factory.mktemp("bare")
    bare = replace(tiny_stack, scorer=None, heatmap=None, regions=None)
    with Clip.open(write_clip(folder / "marked.mp4")) as clip:
        return analyse(clip, bare, cache_dir=folder / "features")
