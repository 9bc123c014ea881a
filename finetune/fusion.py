"""Recipe of the fusion: a weight for each part and a bias, by logistic regression on clips the nets did not learn from.

No weight may be negative; the regression's own probabilities are what makes 0.5 mean "as likely as not". The threshold
is another matter: it decides what is called an event, so it is chosen by the calls it leads to.

The motion score alone, which speaks where footage is unfamiliar, is fitted on whole clips by its highest value: from
frame to frame it comes and goes within one event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from finetune.errors import TrainingError
from workbench.events import find_events, smooth
from workbench.stack.fusion import FAMILIARITY, PARTS, Fusion, logit

MIN_MOTION = 0.15
"""Motion keeps at least this weight: on footage unlike the street world it is the part that still holds."""
MIN_ALONE = 0.25
"""Alone it must say something, even where the street world gives it little to say."""
PLATEAU = 0.1
"""Width over which a threshold must serve well, so that none is chosen for the luck of single clips."""


def fit_fusion(
    parts: Sequence[Mapping[str, np.ndarray]], labels: Sequence[np.ndarray], times_s: Sequence[np.ndarray]
) -> Fusion:
    """Fit on the dense frames of several clips; each clip weighs the same, however long.

    Args:
        parts: of each clip, the parts of its score, `[T]` by name. labels: of each clip, `[T]`, 1 inside an event.
        times_s: of each clip, when its dense frames are, `[T]`.

    Raises:
        TrainingError: the clips are all normal or all abnormal.
    """
    x = np.stack([logit(np.concatenate([clip[name] for clip in parts])) for name in PARTS], 1)
    y = np.concatenate(list(labels)).astype(np.float64)
    if y.min() == y.max():
        raise TrainingError("The fusion needs normal and abnormal frames; the clips hold only one kind.")
    weight = np.concatenate([np.full(len(row), 1 / len(row)) for row in labels])
    alone, alone_bias = _fit_alone(parts, labels, times_s)
    # how far each frame's footage is familiar: elsewhere the motion score speaks, and its weight is known by now
    known = np.concatenate([clip.get(FAMILIARITY, np.ones(len(row))) for clip, row in zip(parts, labels, strict=True)])
    fixed = (1 - known) * (alone * x[:, PARTS.index("motion")] + alone_bias)

    def loss(p: np.ndarray) -> float:
        z = known * (x @ p[:-1] + p[-1]) + fixed
        return float((weight * (np.logaddexp(0, z) - y * z)).sum() / weight.sum() + 1e-4 * (p[:-1] ** 2).sum())

    bounds = [(MIN_MOTION if name == "motion" else 0.0, None) for name in PARTS] + [(None, None)]
    best = minimize(loss, np.array([0.5] * len(PARTS) + [0.0]), method="L-BFGS-B", bounds=bounds)
    weights = dict(zip(PARTS, best.x[:-1].tolist(), strict=True))
    fusion = Fusion(**weights, bias=float(best.x[-1]), alone=alone, alone_bias=alone_bias)
    curves = [smooth(fusion(clip), time) for clip, time in zip(parts, times_s, strict=True)]
    return replace(fusion, threshold=best_threshold(curves, labels, times_s))


def _fit_alone(
    parts: Sequence[Mapping[str, np.ndarray]], labels: Sequence[np.ndarray], times_s: Sequence[np.ndarray]
) -> tuple[float, float]:
    """Weight and bias of the motion score alone, from the peak of each clip's smoothed curve.

    Where all clips are alike they cannot tell, and the motion score keeps its own scale.
    """
    y = np.array([float(np.max(row)) for row in labels])
    if y.min() == y.max():
        return Fusion().alone, Fusion().alone_bias
    peaks = [float(smooth(clip["motion"], time).max()) for clip, time in zip(parts, times_s, strict=True)]
    x = logit(np.array(peaks))

    def loss(p: np.ndarray) -> float:
        z = p[0] * x + p[1]
        return float((np.logaddexp(0, z) - y * z).mean() + 1e-4 * p[0] ** 2)

    best = minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B", bounds=[(MIN_ALONE, None), (None, None)])
    return float(best.x[0]), float(best.x[1])


def best_threshold(curves: Sequence[np.ndarray], labels: Sequence[np.ndarray], times_s: Sequence[np.ndarray]) -> float:
    """The threshold that serves best both who asks whether and who asks when, to two digits.

    Whether: the share of clips in which an event is found exactly where there is one. When: the F1 of the frames. Each
    alone is flat over much of its range and finds its maximum by chance; so both count, averaged over `PLATEAU`.

    Args:
        curves: of each clip, the smoothed fused score `[T]`. labels, times_s: as in `fit_fusion`.
    """
    candidates = np.arange(0.05, 0.96, 0.01)
    score, truth = np.concatenate(list(curves)), np.concatenate(list(labels))
    weight = np.concatenate([np.full(len(row), 1 / len(row)) for row in labels])
    called = score[None] >= candidates[:, None]
    f1 = 2 * (called * (weight * truth)).sum(1) / ((called * weight).sum(1) + (weight * truth).sum())
    right = np.zeros(len(candidates))
    for curve, label, time in zip(curves, labels, times_s, strict=True):
        end = float(time[-1])
        found = [bool(find_events(curve, time, threshold=float(t), end_s=end)) for t in candidates]
        right += (np.array(found) == bool(label.max())) / len(curves)
    window = round(PLATEAU / 0.01) | 1
    served = np.convolve(np.pad(f1 + right, window // 2, mode="edge"), np.full(window, 1 / window), mode="valid")
    return round(float(np.median(candidates[served >= served.max() - 1e-9])), 2)
