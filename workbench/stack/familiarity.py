"""How familiar footage looks to the trained parts, so that they speak less where they have learned nothing.

Small nets saturate on pictures unlike those they learned on: everything is an anomaly to them, or nothing. So each
frame's mean visual token is compared with those of the footage that was learned from, by the Mahalanobis distance
(with a shrunken covariance; Lee et al., NeurIPS 2018, use it to tell unknown pictures):

    d = min over centres k of  |(x - c_k) W| / sqrt(C),   W Wᵀ = Σ⁻¹

The first centre is the street world; fine-tuning adds one for each clip it learned from, so that a camera whose clips
were corrected is familiar from then on. A clip's familiarity is 1 where its median distance is `near` or less, 0 from
`far` on, and falls evenly between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.errors import StackError

SAME = 1e-4
"""Centres nearer to each other than this are those of one clip, learned from again."""
CHUNK = 256  # frames whose tokens are read at once


@dataclass(frozen=True, slots=True)
class FamiliarityConfig:
    """Sizes and bounds.

    Attributes:
        dim: width of a visual token. centres: how many there are.
        near: distance up to which footage is familiar. far: from which it is not.
    """

    dim: int
    near: float
    far: float
    centres: int = 1

    def __post_init__(self) -> None:
        if self.dim < 1 or self.centres < 1 or not 0 <= self.near < self.far:
            raise StackError(
                f"A familiarity of {self.dim} numbers, {self.centres} centres, near {self.near:g} and far {self.far:g} "
                "makes no sense; near must be at least 0 and below far."
            )


class Familiarity(nn.Module):
    """The footage that was learned from, as centres `[K, C]` and one whitening `[C, C]`."""

    centres: Tensor
    whitening: Tensor

    def __init__(self, config: FamiliarityConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("centres", torch.zeros(config.centres, config.dim))
        self.register_buffer("whitening", torch.eye(config.dim))

    @torch.inference_mode()
    def distance(self, seen: np.ndarray) -> np.ndarray:
        """Mean tokens `[T, C]` → distances `float32 [T]` to the nearest centre, ≥ 0."""
        x = torch.from_numpy(np.asarray(seen, np.float32)).to(self.centres.device)
        white = x @ self.whitening, self.centres @ self.whitening
        apart = torch.cdist(*white, compute_mode="donot_use_mm_for_euclid_dist") / self.config.dim**0.5
        return apart.amin(1).float().cpu().numpy()

    def forward(self, seen: np.ndarray) -> float:
        """Mean tokens `[T, C]` of a clip's dense frames → its familiarity in [0, 1]."""
        return self.of_distance(float(np.median(self.distance(seen))))

    def of_distance(self, distance: float) -> float:
        """The familiarity of a clip whose median distance is this."""
        near, far = self.config.near, self.config.far
        return float(np.clip((far - distance) / (far - near), 0, 1))

    def also(self, clips: Sequence[np.ndarray]) -> Familiarity:
        """The same, with the footage of more clips (mean tokens `[T, C]` each) among what is familiar; none twice."""
        more = torch.from_numpy(np.stack([np.median(np.asarray(seen, np.float32), 0) for seen in clips]))
        more = more[torch.cdist(more.to(self.centres.device), self.centres).amin(1).cpu() > SAME]
        wider = Familiarity(replace(self.config, centres=self.config.centres + len(more)))
        wider.centres = torch.cat([self.centres, more.to(self.centres.device)])
        wider.whitening = self.whitening
        return wider.requires_grad_(False).eval()


def mean_tokens(tokens: Any) -> np.ndarray:
    """Visual tokens `[T, K, C]`, perhaps on disk → their mean over each frame, `float32 [T, C]`; read in chunks."""
    parts = [np.asarray(tokens[i : i + CHUNK], np.float32).mean(1) for i in range(0, len(tokens), CHUNK)]
    return np.concatenate(parts)
