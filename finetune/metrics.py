"""Numbers that compare what the stack says with what is true. Arrays in, floats out: no model, no file.

A metric that is undefined (one class only, nothing to compare) is NaN, never a guess; callers leave it out.

Ranking metrics all rest on one idea: for each distinct score, in ascending order, how many positives and how many
negatives have it (`RankCounts`). Ties are then exact, a bootstrap replicate is a re-weighting of the same table
(one sort, not a thousand), and the pixels of any number of frames fit a table of fixed size (`PixelTally`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from workbench.errors import InputError

N_FLOAT16_IN_UNIT = 0x3C00 + 1  # float16 values in [0, 1]; their bit patterns 0 … 0x3C00 ascend with the value
Span = tuple[float, float]


# --- ranking ---------------------------------------------------------------------------------------------------


class RankCounts(NamedTuple):
    """Weight of positives and of negatives at each distinct score, ascending: two float64 arrays `[K]`."""

    positive: np.ndarray
    negative: np.ndarray


class Ranking:
    """Labelled scores, sorted once. `groups [N]` names the clip (0 … G-1) of each item, for the bootstrap.

    Args:
        labels: `[N]` 0 or 1.
        scores: `[N]` finite floats, higher is more abnormal.
        groups: `[N]` clip numbers; `None` means one group.
    """

    def __init__(self, labels: np.ndarray, scores: np.ndarray, groups: np.ndarray | None = None) -> None:
        labels, scores = np.asarray(labels).ravel(), np.asarray(scores, dtype=np.float64).ravel()
        if labels.shape != scores.shape:
            raise InputError(f"There are {labels.size} labels for {scores.size} scores; give one label for each score.")
        if not np.isfinite(scores).all():
            raise InputError(f"{int((~np.isfinite(scores)).sum())} of {scores.size} scores are NaN or infinite.")
        values, self._rank = np.unique(scores, return_inverse=True)
        self._size = values.size
        self._positive = labels.astype(bool)
        self._groups = np.zeros(labels.size, dtype=np.int64) if groups is None else np.asarray(groups).ravel()

    def counts(self, group_weights: np.ndarray | None = None) -> RankCounts:
        """The table, each item weighted by `group_weights [G]` of its group (1 without)."""
        weights = np.ones(self._rank.size) if group_weights is None else group_weights[self._groups].astype(np.float64)
        positive = np.bincount(self._rank, weights * self._positive, minlength=self._size)
        negative = np.bincount(self._rank, weights * ~self._positive, minlength=self._size)
        return RankCounts(positive, negative)


def auc_of(counts: RankCounts) -> float:
    """Area under the ROC curve: P(positive > negative) + ½ P(tie). NaN when a class is absent."""
    positives, negatives = counts.positive.sum(), counts.negative.sum()
    if positives <= 0 or negatives <= 0:
        return float("nan")
    below = np.cumsum(counts.negative) - counts.negative
    return float(np.sum(counts.positive * (below + 0.5 * counts.negative)) / (positives * negatives))


def ap_of(counts: RankCounts) -> float:
    """Average precision Σ (R_k - R_{k-1})·P_k over distinct thresholds, descending. NaN without positives.

    The step form; published XD-Violence code takes the trapezoid under the same points, which reads a little
    different when many scores tie.
    """
    positives = counts.positive.sum()
    if positives <= 0:
        return float("nan")
    true = np.cumsum(counts.positive[::-1])
    called = true + np.cumsum(counts.negative[::-1])
    precision = np.divide(true, called, out=np.zeros_like(true), where=called > 0)
    return float(np.sum(counts.positive[::-1] * precision) / positives)


def best_iou_of(counts: RankCounts) -> float:
    """Intersection over union of positives and items at or above the best single threshold. NaN without positives."""
    positives = counts.positive.sum()
    if positives <= 0:
        return float("nan")
    true = np.cumsum(counts.positive[::-1])
    false = np.cumsum(counts.negative[::-1])
    return float(np.max(true / (positives + false)))


def roc_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve of `labels [N]` in {0, 1} and `scores [N]`; see `auc_of`."""
    return auc_of(Ranking(labels, scores).counts())


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Average precision of `labels [N]` in {0, 1} and `scores [N]`; see `ap_of`."""
    return ap_of(Ranking(labels, scores).counts())


class PixelTally:
    """Counts of anomalous and other pixels by heatmap value, in memory that does not grow with the pixels (245 KB).

    There is one bin for every float16 in [0, 1], 15 361 in all: heatmaps are stored as float16, so the only error
    is the rounding of interpolated values (relative 2^-11). Equal bins of 1/1024 would instead tie all of a
    well-trained heatmap's background, which lies far below 1/1024.
    """

    def __init__(self) -> None:
        self.table = np.zeros((2, N_FLOAT16_IN_UNIT), dtype=np.int64)  # row 0 other pixels, row 1 anomalous ones

    def add(self, heat: np.ndarray, mask: np.ndarray) -> None:
        """Count one picture: `heat [h, w]` in [0, 1] (values outside are clipped) and `mask [h, w]` of the same shape.

        Raises:
            InputError: the shapes differ, or the heatmap holds NaN.
        """
        if heat.shape != mask.shape:
            raise InputError(f"The heatmap is {heat.shape} and the mask {mask.shape}; bring both to the picture size.")
        if np.isnan(heat).any():
            raise InputError(f"The heatmap holds {int(np.isnan(heat).sum())} NaN of {heat.size} values.")
        # `+ 0.0` turns -0.0, whose bit pattern is large, into 0.0
        bits = (np.clip(heat, 0.0, 1.0).astype(np.float16) + np.float16(0.0)).view(np.uint16).ravel()
        mask = mask.astype(bool).ravel()
        positive = np.bincount(bits[mask], minlength=N_FLOAT16_IN_UNIT)
        self.table[1] += positive
        self.table[0] += np.bincount(bits, minlength=N_FLOAT16_IN_UNIT) - positive

    def counts(self) -> RankCounts:
        """The table as `RankCounts`, for `auc_of`, `ap_of` and `best_iou_of`."""
        return RankCounts(self.table[1].astype(np.float64), self.table[0].astype(np.float64))


# --- calibration -----------------------------------------------------------------------------------------------


def expected_calibration_error(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None, bins: int = 10
) -> float:
    """Σ_b n_b/N · |share of positives in b - mean score in b| over `bins` equal bins of [0, 1]. NaN when empty.

    Args:
        labels: `[N]` 0 or 1.
        scores: `[N]` in [0, 1], read as the probability of label 1.
        weights: `[N]` multiplicities; `None` means 1 each.
    """
    scores = np.asarray(scores, dtype=np.float64).ravel()
    weights = np.ones(scores.size) if weights is None else np.asarray(weights, dtype=np.float64)
    if weights.sum() <= 0:
        return float("nan")
    which = np.minimum((scores * bins).astype(np.int64), bins - 1)
    gap = np.bincount(which, weights * (np.asarray(labels).ravel() - scores), minlength=bins)
    return float(np.abs(gap).sum() / weights.sum())


# --- space and time --------------------------------------------------------------------------------------------


def mask_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boolean masks `[H, W]`; NaN when both are empty."""
    union = np.logical_or(a, b).sum()
    return float(np.logical_and(a, b).sum() / union) if union else float("nan")


def track_iou(predicted: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> float:
    """Mean `mask_iou` over the frames where either mask is not empty; NaN when all are empty."""
    return mean_of([mask_iou(a, b) for a, b in zip(predicted, truth, strict=True)])


def temporal_iou(predicted: Sequence[Span], truth: Sequence[Span]) -> float:
    """Shared time over covered time of two sets of spans `(start_s, end_s)`; overlaps count once. NaN when both empty.

    Computed as |P| + |T| - |P ∪ T| over |P ∪ T|, with |·| the length of a union of spans.
    """
    union = _covered([*predicted, *truth])
    return (_covered(predicted) + _covered(truth) - union) / union if union > 0 else float("nan")


def _covered(spans: Sequence[Span]) -> float:
    total, reached = 0.0, -np.inf
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return float(total)


# --- instances (IAC 4.1) ---------------------------------------------------------------------------------------


def fsc(cap: float, iou: float) -> float:
    """`2·Cap·IoU / (Cap + IoU)`, both on the same scale (the paper: 0-100); 0 when both are 0."""
    return 2.0 * cap * iou / (cap + iou) if cap + iou > 0 else 0.0


def false_entities(ious: np.ndarray, threshold: float = 0.5) -> int:
    """Predicted entities that match no true one, from `ious [n_predicted, n_true]`; FPE is its mean over videos.

    Matching is one to one, highest IoU first, at `threshold` or above, so that a second prediction of the same
    entity counts as false.
    """
    left = np.array(ious, dtype=np.float64, copy=True)
    unmatched = left.shape[0]
    while left.size and left.max() >= threshold:
        row, column = np.unravel_index(int(left.argmax()), left.shape)
        left[row, :] = -1.0
        left[:, column] = -1.0
        unmatched -= 1
    return unmatched


# --- means and intervals ---------------------------------------------------------------------------------------


def mean_of(values: Sequence[float] | np.ndarray, weights: np.ndarray | None = None) -> float:
    """Weighted mean of the values that are not NaN; NaN when none is left."""
    array = np.asarray(values, dtype=np.float64)
    weight = np.isfinite(array) * (1.0 if weights is None else weights)
    return float(np.nansum(array * weight) / weight.sum()) if weight.sum() > 0 else float("nan")


def bootstrap_ci95(
    statistic: Callable[[np.ndarray], float], n_clips: int, *, replicates: int = 1000, seed: int = 0
) -> Span | None:
    """Percentile interval of a statistic when whole clips are drawn with replacement; frames of a clip stay together.

    Args:
        statistic: takes how often each clip was drawn, int64 `[n_clips]`, and returns the metric (NaN if undefined).
        n_clips: how many clips there are.
        replicates: how many draws.
        seed: of the draws, so that equal results give equal intervals.

    Returns:
        `(low, high)`, or `None` with fewer than two clips or when most draws leave the metric undefined.
    """
    if n_clips < 2:
        return None
    draws = np.random.default_rng(seed).multinomial(n_clips, np.full(n_clips, 1.0 / n_clips), size=replicates)
    values = np.array([statistic(draw) for draw in draws], dtype=np.float64)
    values = values[np.isfinite(values)]
    if values.size < replicates / 2:
        return None
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
