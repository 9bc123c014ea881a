"""RAE, the region-aware anomaly encoder: heatmaps over time become prompts for the language model (T-VAU 3.2.2).

    X[t] = gain · (H_c[t+1] − H_c[t])                 eq. 9, both classes, T'−1 steps; there the gain is 1
    F    = convolutions of X                          eq. 10, [T'−1, C_h, H', W']
    9 region prompts = MLP(3×3 adaptive average pool of F)     eq. 11
    1 global prompt  = MLP(spatial mean of F)                  eq. 12
    P    = [base, region, global]                     eq. 13, base prompts learned and shared over time

A single picture has no step: it yields the base prompts once, [B, 1, base, D], so that a question about one
frame still carries the learned part and the language model always sees some anomaly prompt.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.errors import StackError

GRID = 3  # regions per side
PROMPTS_PER_STEP = GRID * GRID + 1  # regions and one global prompt, beside the base prompts


@dataclass(frozen=True)
class RegionConfig:
    """`text_dim` is the width of the language model's embeddings; `channels` is C_h of the backbone.

    `gain` brings the steps X to about unit spread. Where those of a decoder are a few hundredths and it is 1, biases
    drown them, and the prompts say the same of every video.
    """

    text_dim: int
    base_prompts: int = 4
    channels: int = 32
    hidden: int = 128
    gain: float = 1.0

    def __post_init__(self) -> None:
        for name in ("text_dim", "base_prompts", "channels", "hidden"):
            if getattr(self, name) < 1:
                raise StackError(f"RegionConfig.{name} is {getattr(self, name)}; it must be 1 or more.")
        if not 0 < self.gain < math.inf:
            raise StackError(f"RegionConfig.gain is {self.gain}; it must be above 0.")

    def prompt_count(self, frames: int) -> int:
        """Number of prompts that `frames` heatmaps become, to budget the language model's context."""
        return max(self.base_prompts, (frames - 1) * (self.base_prompts + PROMPTS_PER_STEP))


class RegionEncoder(nn.Module):
    """Class maps of the sampled frames of a video → anomaly prompts in the language model's embedding space."""

    def __init__(self, config: RegionConfig) -> None:
        super().__init__()
        self.config = config
        # No normalisation: where nothing changes, X must stay near zero instead of being blown up to unit variance.
        self.backbone = nn.Sequential(
            nn.Conv2d(2, config.channels, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(config.channels, config.channels, 3, padding=1),
            nn.GELU(),
        )
        self.region_head = _prompt_head(config)
        self.global_head = _prompt_head(config)
        self.base = nn.Parameter(torch.randn(config.base_prompts, config.text_dim) * 0.02)

    def forward(self, class_maps: Tensor) -> Tensor:
        """class_maps [B, T', 2, H', W'] (AHD's, before the softmax) → [B, T'−1, base + 10, D].

        Along the third axis: base prompts, the nine regions row by row, the global prompt. T' = 1 → [B, 1, base, D].
        Raises StackError on another number of axes or classes, or an empty one.
        """
        if class_maps.ndim != 5 or class_maps.shape[2] != 2 or 0 in class_maps.shape:
            raise StackError(
                f"The region encoder got class maps of shape {tuple(class_maps.shape)}; "
                "it wants [videos, frames ≥ 1, 2 classes, rows, columns]."
            )
        videos, frames = class_maps.shape[:2]
        base = self.base.expand(videos, max(1, frames - 1), -1, -1)
        if frames == 1:
            return base
        steps = class_maps.to(self.base.dtype).diff(dim=1) * self.config.gain
        features = self.backbone(steps.flatten(0, 1))  # [B·(T'−1), C_h, H', W']
        cells = functional.adaptive_avg_pool2d(features, GRID).flatten(2).transpose(1, 2)
        regions = self.region_head(cells)
        whole = self.global_head(features.mean((2, 3))).unsqueeze(1)
        return torch.cat([base, torch.cat([regions, whole], dim=1).unflatten(0, (videos, frames - 1))], dim=2)


def _prompt_head(config: RegionConfig) -> nn.Sequential:
    """MLP whose first answers have the size of word embeddings (0.02), so that an untrained net does not shout."""
    last = nn.Linear(config.hidden, config.text_dim)
    nn.init.normal_(last.weight, std=0.02)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(config.channels, config.hidden), nn.GELU(), last)
