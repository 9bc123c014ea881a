"""Every metric against values computed by hand and against a slow, obvious version."""

import math
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from finetune import metrics
from workbench.errors import InputError

SHARED = Path(os.environ.get("WORKBENCH_SHARED", Path(__file__).parents[1].parent / "shared"))


def brute_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """P(positive above negative) + ½ P(tie), pair by pair."""
    positive, negative = scores[labels == 1][:, None], scores[labels == 0][None, :]
    return float(np.mean((positive > negative) + 0.5 * (positive == negative)))


def brute_ap(labels: np.ndarray, scores: np.ndarray) -> float:
    """Precision at every threshold times the recall it adds."""
    total, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        called = scores >= threshold
        now = (labels[called] == 1).sum() / (labels == 1).sum()
        total += (now - recall) * (labels[called] == 1).mean()
        recall = now
    return float(total)


def tied_sample(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(int)
    return labels, np.round(np.clip(0.4 + 0.2 * labels + 0.25 * rng.standard_normal(n), 0, 1), 1)


@pytest.mark.parametrize(
    ("labels", "scores", "auc", "ap"),
    [
        # textbook example: pairs won 3 of 4; AP = ½·1 + ½·⅔
        ([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], 0.75, 0.5 + 1 / 3),
        ([0, 1], [0.2, 0.9], 1.0, 1.0),
        ([1, 0], [0.2, 0.9], 0.0, 0.5),
        # all tied: chance, and AP is the share of positives
        ([0, 0, 0, 1], [0.5] * 4, 0.5, 0.25),
    ],
)
def test_ranking_by_hand(labels: list[int], scores: list[float], auc: float, ap: float) -> None:
    assert metrics.roc_auc(np.array(labels), np.array(scores)) == pytest.approx(auc)
    assert metrics.average_precision(np.array(labels), np.array(scores)) == pytest.approx(ap)


@pytest.mark.parametrize("seed", range(5))
def test_ranking_with_many_ties_equals_brute_force(seed: int) -> None:
    labels, scores = tied_sample(seed)
    assert metrics.roc_auc(labels, scores) == pytest.approx(brute_auc(labels, scores))
    assert metrics.average_precision(labels, scores) == pytest.approx(brute_ap(labels, scores))


def test_ranking_equals_scikit_learn_where_it_is_installed() -> None:
    sklearn_metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    for seed in range(20):
        labels, scores = tied_sample(seed, 1000)
        assert metrics.roc_auc(labels, scores) == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores))
        expected = sklearn_metrics.average_precision_score(labels, scores)
        assert metrics.average_precision(labels, scores) == pytest.approx(expected)


def test_one_class_leaves_ranking_undefined() -> None:
    scores = np.array([0.1, 0.9])
    assert math.isnan(metrics.roc_auc(np.zeros(2), scores))
    assert math.isnan(metrics.roc_auc(np.ones(2), scores))
    assert math.isnan(metrics.average_precision(np.zeros(2), scores))
    assert math.isnan(metrics.roc_auc(np.zeros(0), np.zeros(0)))


def test_bad_scores_are_refused_with_a_sentence() -> None:
    with pytest.raises(InputError, match="1 of 2 scores are NaN"):
        metrics.Ranking(np.array([0, 1]), np.array([0.1, np.nan]))
    with pytest.raises(InputError, match="2 labels for 3 scores"):
        metrics.Ranking(np.array([0, 1]), np.zeros(3))


def test_group_weights_equal_repeating_the_clips() -> None:
    labels, scores = tied_sample(1, 60)
    groups = np.repeat(np.arange(6), 10)
    weights = np.array([0, 2, 1, 0, 3, 1])
    repeated = np.repeat(np.arange(60), weights[groups])
    counts = metrics.Ranking(labels, scores, groups).counts(weights)
    assert metrics.auc_of(counts) == pytest.approx(metrics.roc_auc(labels[repeated], scores[repeated]))
    assert metrics.ap_of(counts) == pytest.approx(metrics.average_precision(labels[repeated], scores[repeated]))


def test_pixel_tally_equals_exact_ranking_of_all_pixels() -> None:
    rng = np.random.default_rng(0)
    tally, masks, heats = metrics.PixelTally(), [], []
    for _ in range(4):
        mask = rng.random((12, 17)) < 0.2
        heat = (1 / (1 + np.exp(8 - 6 * mask + rng.standard_normal(mask.shape)))).astype(np.float16)
        tally.add(heat, mask)
        masks.append(mask.ravel())
        heats.append(heat.ravel().astype(np.float64))
    labels, scores = np.concatenate(masks).astype(int), np.concatenate(heats)
    assert metrics.auc_of(tally.counts()) == pytest.approx(brute_auc(labels, scores))
    assert metrics.ap_of(tally.counts()) == pytest.approx(brute_ap(labels, scores))
    best = max(metrics.mask_iou(labels == 1, scores >= t) for t in set(scores))
    assert metrics.best_iou_of(tally.counts()) == pytest.approx(best)


def test_pixel_tally_tells_tiny_values_apart_and_clips_the_rest() -> None:
    tally = metrics.PixelTally()
    tally.add(np.array([[1e-5, 2e-5], [-0.0, 1.5]]), np.array([[False, True], [False, True]]))
    assert metrics.auc_of(tally.counts()) == 1.0
    assert tally.table.sum() == 4
    assert tally.table[1, -1] == 1  # 1.5 counts as 1
    assert tally.table[0, 0] == 1  # -0.0 counts as 0


def test_pixel_tally_refuses_nan_and_other_shapes() -> None:
    with pytest.raises(InputError, match="picture size"):
        metrics.PixelTally().add(np.zeros((2, 2)), np.zeros((3, 2), bool))
    with pytest.raises(InputError, match="1 NaN"):
        metrics.PixelTally().add(np.array([[np.nan, 0.0]]), np.zeros((1, 2), bool))


def test_calibration_by_hand() -> None:
    # bin 0.8-0.9: 2 scores of 0.8, one right -> gap 0.3; bin 0.1-0.2: 2 scores of 0.1, none -> gap 0.1
    labels, scores = np.array([1, 0, 0, 0]), np.array([0.8, 0.8, 0.1, 0.1])
    assert metrics.expected_calibration_error(labels, scores) == pytest.approx(0.5 * 0.3 + 0.5 * 0.1)
    assert metrics.expected_calibration_error(np.ones(3), np.ones(3)) == 0.0
    weighted = metrics.expected_calibration_error(labels, scores, np.array([1, 1, 0, 0]))
    assert weighted == pytest.approx(0.3)
    assert math.isnan(metrics.expected_calibration_error(np.zeros(0), np.zeros(0)))


def test_mask_and_track_iou_by_hand() -> None:
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    a[:2], b[1:3] = True, True
    empty = np.zeros((4, 4), bool)
    assert metrics.mask_iou(a, b) == pytest.approx(4 / 12)
    assert metrics.mask_iou(a, empty) == 0.0
    assert math.isnan(metrics.mask_iou(empty, empty))
    assert metrics.track_iou([a, a, empty], [a, b, empty]) == pytest.approx((1 + 1 / 3) / 2)


@pytest.mark.parametrize(
    ("predicted", "truth", "expected"),
    [
        ([(0, 2)], [(1, 3)], 1 / 3),
        ([(0, 1), (2, 3)], [(0, 3)], 2 / 3),
        ([(0, 2), (1, 3)], [(0, 3)], 1.0),  # overlapping predictions count once
        ([], [(0, 1)], 0.0),
        ([(4, 5)], [(0, 1)], 0.0),
    ],
)
def test_temporal_iou_by_hand(predicted: list, truth: list, expected: float) -> None:
    assert metrics.temporal_iou(predicted, truth) == pytest.approx(expected)
    assert metrics.temporal_iou(truth, predicted) == pytest.approx(expected)


def test_temporal_iou_of_nothing_is_undefined() -> None:
    assert math.isnan(metrics.temporal_iou([], []))


def test_instance_metrics_by_hand() -> None:
    assert metrics.fsc(40.0, 60.0) == pytest.approx(48.0)
    assert metrics.fsc(0.0, 0.0) == 0.0
    # two predictions on the same entity: the better one matches, the other and the stray one are false
    assert metrics.false_entities(np.array([[0.9, 0.0], [0.6, 0.1], [0.0, 0.2]])) == 2
    # one to one, best first: row 0 takes column 0, row 1 is left with column 1
    assert metrics.false_entities(np.array([[0.9, 0.8], [0.7, 0.6]])) == 0
    assert metrics.false_entities(np.zeros((3, 0))) == 3
    assert metrics.false_entities(np.zeros((0, 2))) == 0


def test_mean_leaves_out_what_is_undefined() -> None:
    assert metrics.mean_of([1.0, np.nan, 0.0]) == 0.5
    assert metrics.mean_of([1.0, np.nan, 0.0], np.array([3, 5, 1])) == 0.75
    assert math.isnan(metrics.mean_of([np.nan]))
    assert math.isnan(metrics.mean_of([]))


def test_bootstrap_interval_covers_the_true_mean() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for trial in range(100):
        values = rng.normal(0.5, 0.2, size=40)
        low, high = metrics.bootstrap_ci95(partial(metrics.mean_of, values), 40, replicates=200, seed=trial)
        hits += low <= 0.5 <= high
    assert 87 <= hits <= 100  # 95 expected; the percentile interval is a little narrow at n = 40


def test_bootstrap_keeps_the_frames_of_a_clip_together() -> None:
    # ten clips whose 100 frames are all alike: the interval is that of 10 draws, not of 1000
    values = np.array([0.0, 1.0] * 5)
    low, high = metrics.bootstrap_ci95(lambda w: metrics.mean_of(values, w), 10)
    assert high - low > 0.4


def test_bootstrap_is_repeatable_and_says_nothing_when_it_cannot() -> None:
    values = np.arange(5.0)
    first = metrics.bootstrap_ci95(lambda w: metrics.mean_of(values, w), 5)
    assert first == metrics.bootstrap_ci95(lambda w: metrics.mean_of(values, w), 5)
    assert metrics.bootstrap_ci95(lambda _: 1.0, 1) is None
    assert metrics.bootstrap_ci95(lambda _: float("nan"), 5) is None
