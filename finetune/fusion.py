"""Recipe of the fusion: two weights and a bias by logistic regression on clips the nets were not trained on.

The weights may not be negative and are found on the logits of both parts; the regression's own probabilities are
what makes 0.5 mean "as likely as not".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

from finetune.errors import TrainingError
from workbench.stack.fusion import Fusion, logit

MIN_MOTION = 0.15
"""Motion keeps at least this weight: on footage unlike the street world it is the part that still holds."""


def fit_fusion(scorer: Sequence[np.ndarray], motion: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> Fusion:
    """Fit on the dense frames of several clips; each clip weighs the same, however long.

    Raises:
        TrainingError: the clips are all normal or all abnormal.
    """
    x = np.stack([logit(np.concatenate(list(scorer))), logit(np.concatenate(list(motion)))], 1)
    y = np.concatenate(list(labels)).astype(np.float64)
    if y.min() == y.max():
        raise TrainingError("The fusion needs normal and abnormal frames; the clips hold only one kind.")
    weight = np.concatenate([np.full(len(row), 1 / len(row)) for row in labels])

    def loss(p: np.ndarray) -> float:
        z = x @ p[:2] + p[2]
        return float((weight * (np.logaddexp(0, z) - y * z)).sum() / weight.sum() + 1e-4 * (p[:2] ** 2).sum())

    bounds = [(0.05, None), (MIN_MOTION, None), (None, None)]
    best = minimize(loss, np.array([1.0, 0.5, 0.0]), method="L-BFGS-B", bounds=bounds)
    return Fusion(scorer=float(best.x[0]), motion=float(best.x[1]), bias=float(best.x[2]), threshold=0.5)
