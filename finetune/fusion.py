"""Recipe of the fusion: a weight for each part and a bias, by logistic regression on clips the nets did not learn from.

No weight may be negative; the regression's own probabilities are what makes 0.5 mean "as likely as not". The threshold
is another matter: where most moments are calm, an event is worth calling long before it is as likely as not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import minimize

from finetune.errors import TrainingError
from workbench.stack.fusion import PARTS, Fusion, logit

MIN_MOTION = 0.15
"""Motion keeps at least this weight: on footage unlike the street world it is the part that still holds."""


def fit_fusion(parts: Sequence[Mapping[str, np.ndarray]], labels: Sequence[np.ndarray]) -> Fusion:
    """Fit on the dense frames of several clips; each clip weighs the same, however long.

    Args:
        parts: of each clip, the parts of its score, `[T]` by name. labels: of each clip, `[T]`, 1 inside an event.

    Raises:
        TrainingError: the clips are all normal or all abnormal.
    """
    x = np.stack([logit(np.concatenate([clip[name] for clip in parts])) for name in PARTS], 1)
    y = np.concatenate(list(labels)).astype(np.float64)
    if y.min() == y.max():
        raise TrainingError("The fusion needs normal and abnormal frames; the clips hold only one kind.")
    weight = np.concatenate([np.full(len(row), 1 / len(row)) for row in labels])

    def loss(p: np.ndarray) -> float:
        z = x @ p[:-1] + p[-1]
        return float((weight * (np.logaddexp(0, z) - y * z)).sum() / weight.sum() + 1e-4 * (p[:-1] ** 2).sum())

    bounds = [(MIN_MOTION if name == "motion" else 0.0, None) for name in PARTS] + [(None, None)]
    best = minimize(loss, np.array([0.5] * len(PARTS) + [0.0]), method="L-BFGS-B", bounds=bounds)
    fused = 1 / (1 + np.exp(-(x @ best.x[:-1] + best.x[-1])))
    weights = dict(zip(PARTS, best.x[:-1].tolist(), strict=True))
    return Fusion(**weights, bias=float(best.x[-1]), threshold=best_threshold(fused, y, weight))


def best_threshold(fused: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> float:
    """The score from which calling a frame abnormal has the highest F1, to two digits; all `[T]`."""
    candidates = np.arange(0.05, 0.96, 0.01)
    called = fused[None] >= candidates[:, None]
    hits = (called * (weight * labels)).sum(1)
    f1 = 2 * hits / ((called * weight).sum(1) + (weight * labels).sum())
    return round(float(np.median(candidates[f1 >= f1.max() - 1e-9])), 2)
