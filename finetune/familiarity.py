"""Recipe of the familiarity: a centre and a spread of the street world's tokens, and how far its own clips lie.

The bounds come from clips that the centre did not see (folds by clip): of nine in ten of them the trained parts are
relied upon wholly, and not at all beyond what one in a hundred exceeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from finetune.errors import TrainingError
from workbench.stack.familiarity import Familiarity, FamiliarityConfig

SHRINK = 0.1
"""Share of the mean variance in the covariance, so that directions no clip shows do not count without bound."""
FOLDS = 10
NEAR, FAR = 90, 99
"""Percentiles of the distances of street clips."""


def fit_familiarity(clips: Sequence[np.ndarray]) -> Familiarity:
    """Fit on the mean tokens `[T, C]` of each of several clips; each clip weighs the same, however long.

    Raises:
        TrainingError: fewer clips than folds.
    """
    if len(clips) < 2 * FOLDS:
        raise TrainingError(
            f"{len(clips)} clips are too few to tell what is familiar; at least {2 * FOLDS} are needed."
        )
    folds = [list(range(k, len(clips), FOLDS)) for k in range(FOLDS)]
    distances: list[float] = []
    for fold in folds:
        known = _fitted([seen for i, seen in enumerate(clips) if i not in fold], 0.0, 1.0)
        distances += [float(np.median(known.distance(clips[i]))) for i in fold]
    near, far = np.percentile(distances, [NEAR, FAR])
    return _fitted(clips, float(near), float(far))


def _fitted(clips: Sequence[np.ndarray], near: float, far: float) -> Familiarity:
    weight = np.concatenate([np.full(len(seen), 1 / len(seen) / len(clips)) for seen in clips])
    x = np.concatenate([np.asarray(seen, np.float64) for seen in clips])
    mean = weight @ x
    covariance = (x - mean).T @ ((x - mean) * weight[:, None])
    width = covariance.shape[0]
    covariance = (1 - SHRINK) * covariance + SHRINK * np.trace(covariance) / width * np.eye(width)
    familiarity = Familiarity(FamiliarityConfig(width, near, far))
    familiarity.centres.copy_(torch.from_numpy(mean)[None])
    familiarity.whitening.copy_(torch.from_numpy(np.linalg.cholesky(np.linalg.inv(covariance))))
    return familiarity.requires_grad_(False).eval()
