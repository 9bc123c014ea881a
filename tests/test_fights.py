"""The benchmark of learning from labels: folds by clip, and nothing that judges a clip has seen it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from finetune.fights import Sample, cross_validate, folds_of, moving_of
from finetune.kernel import KernelRidge
from finetune.loop import LoopConfig
from finetune.tune_scorer import ScorerTuning
from workbench.errors import DataError
from workbench.stack.scorer import AnomalyScorer, UrdmuConfig

QUICK = ScorerTuning(loop=LoopConfig(steps=20, lr=5e-3, weight_decay=0.0, save_every=100, log_every=100), batch=8)


def samples(count: int, strength: float) -> list[Sample]:
    """Clips whose class tokens tell the label by `strength`; what moves tells nothing."""
    made = []
    for i in range(count):
        rng = np.random.default_rng(i)
        cls = rng.standard_normal((12, 16)).astype(np.float32)
        cls[:, 0] += strength * (i % 2)
        other = [rng.standard_normal(size) for size in (5, 7, 6)]
        made.append(Sample(f"{i}.mp4", cls, float(other[0][0]), *other, i % 2))
    return made


def scorer() -> AnomalyScorer:
    torch.manual_seed(0)
    sizes = UrdmuConfig(input_dim=16, hidden=16, heads=2, head_dim=8, ffn=16, memory=16, classifier=8)
    return AnomalyScorer(sizes).eval().requires_grad_(False)


def test_folds_hold_every_clip_once_and_both_labels_evenly() -> None:
    made = samples(30, 0.0)
    fold = folds_of(made, 5, seed=0)
    for k in range(5):
        mine = [made[i].label for i in np.flatnonzero(fold == k)]
        assert (len(mine), sum(mine)) == (6, 3)
    assert not np.array_equal(fold, folds_of(made, 5, seed=1))
    with pytest.raises(DataError, match="3 clips with label 0 for 5 folds"):
        folds_of(samples(6, 0.0), 5, seed=0)


def test_what_can_be_learned_is_learned() -> None:
    result = cross_validate(scorer(), samples(40, 3.0), folds=2, tuning=QUICK)
    document = result.to_document()
    assert document["accuracy"] >= 0.9
    assert document["auc_scorer_alone"] > 0.9 > document["auc_motion_alone"]
    assert len(document["fold_accuracy"]) == len(document["fold_seconds"]) == 2
    assert len(document["wrong"]) == round(40 * (1 - document["accuracy"]))
    json.dumps(document)


def test_what_moves_is_told_by_where_and_how_it_moves() -> None:
    still, rng = np.zeros((12, 16, 16), np.float32), np.random.default_rng(0)
    small, wide = still.copy(), still.copy()
    small[:, 3:5, 3:5] = 0.9
    wide[:, ::3, ::3] = rng.uniform(0.2, 0.9, (12, 6, 6))
    vectors = [moving_of(saliency, np.zeros(12)) for saliency in (still, small, wide)]
    assert all(np.isfinite(vector).all() and vector.shape == vectors[0].shape for vector in vectors)
    assert np.abs(vectors[1] - vectors[2]).max() > 0.5
    assert np.isfinite(moving_of(small[:1], np.zeros(1))).all(), "a clip of one frame"


def test_the_decision_hears_what_tells_beside_what_does_not() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 2
    telling, noise = rng.standard_normal((160, 4)) + 1.5 * labels[:, None], rng.standard_normal((160, 60))
    made = KernelRidge.fit([telling[:80], noise[:80]], labels[:80], ((0, 1), (1,)))
    sure = made([telling[80:], noise[80:]])
    assert ((sure > 0.5) == labels[80:]).mean() >= 0.85
    assert sure.min() >= 0
    assert sure.max() <= 1
    deaf = KernelRidge.fit([noise[:80]], labels[:80], ((0,),))([noise[80:]])
    assert np.abs(deaf - 0.5).mean() < np.abs(sure - 0.5).mean(), "what tells nothing makes nobody sure"


def test_labels_without_a_reason_are_not_learned() -> None:
    """A leak between folds would show as accuracy on noise."""
    made = samples(60, 0.0)
    assert cross_validate(scorer(), made, folds=2, tuning=QUICK).accuracy < 0.7
