"""Recipe of the anomaly scorer: UR-DMU on frozen class tokens, supervised by event boundaries (Holmes-VAU 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from finetune.encoded import EncodedWorld
from finetune.loop import LoopConfig, fit, step_generator
from finetune.losses import UrdmuWeights, urdmu_loss
from finetune.starting import new_module
from workbench.stack.scorer import AnomalyScorer, UrdmuConfig

CROP = 96
"""Longest stretch of dense frames in a batch; longer clips are cropped at random."""
FEATURE_NOISE = 0.15
"""Gaussian noise on class tokens, in units of their spread: what keeps the scorer from learning clips by heart."""


class ScorerBatches:
    """Class tokens and frame labels of all training clips, in memory (a clip is some tens of kilobytes)."""

    def __init__(self, encoded: EncodedWorld, clips: Sequence[int]) -> None:
        self.cls = [encoded.cls(i).astype(np.float32) for i in clips]
        self.labels = [encoded.clip(i).label for i in clips]
        self.spread = float(np.concatenate(self.cls[:64]).std())

    def draw(self, rng: np.random.Generator, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features `[B, T, C]`, frame labels `[B, T]`, validity `[B, T]`, video labels `[B]`."""
        chosen = rng.integers(0, len(self.cls), size)
        features = torch.zeros(size, CROP, self.cls[0].shape[1])
        labels, valid = torch.zeros(size, CROP), torch.zeros(size, CROP, dtype=torch.bool)
        for row, i in enumerate(chosen):
            step = 2 if len(self.cls[i]) >= 96 and rng.random() < 0.3 else 1
            cls, label = self.cls[i][::step], self.labels[i][::step]
            start = int(rng.integers(0, max(1, len(cls) - CROP + 1)))
            length = min(CROP, len(cls) - start)
            features[row, :length] = torch.from_numpy(cls[start : start + length])
            labels[row, :length] = torch.from_numpy(label[start : start + length].astype(np.float32))
            valid[row, :length] = True
        features += torch.from_numpy(rng.normal(0, FEATURE_NOISE * self.spread, features.shape).astype(np.float32))
        return features, labels, valid, labels.any(1)


def train_scorer(
    encoded: EncodedWorld,
    clips: Sequence[int],
    config: UrdmuConfig,
    loop: LoopConfig,
    out_dir: Path,
    *,
    batch: int = 32,
    start: Path | None = None,
) -> AnomalyScorer:
    """Train a scorer on the given clips; Adam, the full UR-DMU loss.

    The labels' own boundaries supervise every frame; the memory terms see which clips hold an anomaly. `start` is the
    folder of a scorer of the same sizes to go on from; None: from random weights.
    """
    torch.manual_seed(loop.seed)
    scorer = new_module(config, AnomalyScorer, start).train()
    batches = ScorerBatches(encoded, clips)
    weights = UrdmuWeights()

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        features, labels, valid, abnormal = batches.draw(step_generator(loop.seed, step), batch)
        parts = urdmu_loss(scorer(features, is_abnormal=abnormal, valid=valid), frame_labels=labels, weights=weights)
        return parts.total, {"score": parts.score.item(), "triplet": parts.triplet.item()}

    fit({"scorer": scorer}, loss, loop, out_dir, name="scorer", optimiser=torch.optim.Adam)
    return scorer.eval()
