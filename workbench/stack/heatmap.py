"""AHD, the anomaly heatmap decoder: where in the picture the abnormal is (T-VAU 3.2.1).

    V_i  = patch features after a few encoder blocks      one MLP per tapped block → V'_i in text space
    h_i  = cos(V'_i, T_c) for c in {normal, abnormal}     eq. 5
    H_c  = Σ_i w_i·h_i                                    eq. 6, w learnable
    H    = softmax over c of H_c / temperature, abnormal channel, in [0, 1]    eq. 7-8

The temperature is ours: a cosine lies in [-1, 1], so a plain softmax of two of them could never leave
[0.12, 0.88]. It is learned as a logit scale, starts at 1/0.07 and stays at or below 100, as in CLIP.
Each MLP starts with a LayerNorm, because the scale of a ViT's residual stream grows with depth.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.errors import StackError

MAX_SCALE = 100.0
TAP_FRACTIONS = (0.25, 0.5, 1.0)  # beside block 1


@dataclass(frozen=True)
class HeatmapConfig:
    """`vision_dim` is the width of a tap, `text_dim` that of the language model's embedding table."""

    vision_dim: int
    text_dim: int
    tap_count: int = 4
    hidden: int = 512
    initial_temperature: float = 0.07

    def __post_init__(self) -> None:
        for name in ("vision_dim", "text_dim", "tap_count", "hidden"):
            if getattr(self, name) < 1:
                raise StackError(f"HeatmapConfig.{name} is {getattr(self, name)}; it must be 1 or more.")
        if not 1.0 / MAX_SCALE <= self.initial_temperature <= 1.0:
            raise StackError(
                f"HeatmapConfig.initial_temperature is {self.initial_temperature}; it must be in [0.01, 1]."
            )


class HeatmapOutput(NamedTuple):
    """`class_maps` is H_c before temperature and softmax (what RAE reads); `heatmap` is in [0, 1]."""

    class_maps: Tensor  # [B, 2, gh, gw], channel 0 normal, 1 abnormal
    heatmap: Tensor  # [B, gh, gw]


def tap_layers(depth: int) -> tuple[int, ...]:
    """Blocks to tap, counted from 1: the first, a quarter, half and all of `depth`; 32 → (1, 8, 16, 32).

    Encoders of fewer than 6 blocks have no four different ones of these and give fewer; `tap_count` follows.
    """
    if depth < 1:
        raise StackError(f"An encoder of {depth} blocks has nothing to tap; the depth must be 1 or more.")
    return tuple(sorted({1} | {max(1, math.floor(depth * part + 0.5)) for part in TAP_FRACTIONS}))


def text_prototype(embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
    """T_c: the mean over prompts and tokens of embedded template prompts (eq. 3).

    embeddings [prompts, tokens, D]; mask bool [prompts, tokens], False on padding → [D].
    """
    if embeddings.ndim != 3:
        raise StackError(f"Prompt embeddings of shape {tuple(embeddings.shape)} given; [prompts, tokens, D] wanted.")
    if mask is None:
        return embeddings.mean((0, 1))
    return embeddings[mask.bool()].mean(0)


class HeatmapDecoder(nn.Module):
    """Taps of pictures → their anomaly heatmaps. The text prototypes are a buffer and travel with the weights."""

    text_prototypes: Tensor

    def __init__(self, config: HeatmapConfig) -> None:
        super().__init__()
        self.config = config
        self.projections = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(config.vision_dim),
                nn.Linear(config.vision_dim, config.hidden),
                nn.GELU(),
                nn.Linear(config.hidden, config.text_dim),
            )
            for _ in range(config.tap_count)
        )
        self.tap_weights = nn.Parameter(torch.full((config.tap_count,), 1.0 / config.tap_count))
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config.initial_temperature)))
        self.register_buffer("text_prototypes", torch.zeros(2, config.text_dim))

    @torch.no_grad()
    def set_prototypes(self, normal: Tensor, abnormal: Tensor) -> None:
        """Fix T_normal and T_abnormal, each [text_dim] and not all zero. Only their directions matter."""
        for name, prototype in (("normal", normal), ("abnormal", abnormal)):
            if tuple(prototype.shape) != (self.config.text_dim,) or not bool(prototype.any()):
                raise StackError(
                    f"The {name} text prototype has shape {tuple(prototype.shape)}; "
                    f"[{self.config.text_dim}] with some value other than zero is wanted."
                )
        self.text_prototypes.copy_(torch.stack([normal.detach(), abnormal.detach()]))

    @property
    def temperature(self) -> Tensor:
        """The learned softmax temperature, a scalar ≥ 0.01."""
        return torch.exp(-self.log_scale.clamp(max=math.log(MAX_SCALE)))

    def forward(self, taps: Sequence[Tensor]) -> HeatmapOutput:
        """taps: `tap_count` tensors [B, gh, gw, vision_dim], shallow to deep → class maps and heatmap.

        Raises StackError on a wrong count or shape, or when no prototypes were set.
        """
        self._check(taps)
        class_maps = sum(
            (
                weight * self._similarity(i, tap)
                for i, (weight, tap) in enumerate(zip(self.tap_weights, taps, strict=True))
            ),
            start=torch.zeros((), device=self.tap_weights.device),
        )
        return HeatmapOutput(class_maps, torch.softmax(class_maps / self.temperature, dim=1)[:, 1])

    def _similarity(self, index: int, tap: Tensor) -> Tensor:
        """h_i: [B, gh, gw, C] → [B, 2, gh, gw] in [-1, 1]."""
        projected = self.projections[index](tap.to(self.tap_weights.dtype))
        # The temperature multiplies what rounding takes from a cosine, so that is never computed in half precision.
        with torch.autocast(projected.device.type, enabled=False):
            prototypes = functional.normalize(self.text_prototypes.float(), dim=-1)
            return (functional.normalize(projected.float(), dim=-1) @ prototypes.T).permute(0, 3, 1, 2)

    def _check(self, taps: Sequence[Tensor]) -> None:
        if not bool(self.text_prototypes.any()):
            raise StackError(
                "The heatmap decoder has no text prototypes; call set_prototypes or load its weights first."
            )
        if len(taps) != self.config.tap_count:
            raise StackError(f"The heatmap decoder got {len(taps)} taps; it was built for {self.config.tap_count}.")
        for tap in taps:
            if tap.ndim != 4 or tap.shape != taps[0].shape or tap.shape[-1] != self.config.vision_dim:
                raise StackError(
                    f"The heatmap decoder got taps of shapes {[tuple(t.shape) for t in taps]}; "
                    f"all must be [pictures, rows, columns, {self.config.vision_dim}], of one size."
                )


def upsample(heatmap: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Bilinear enlargement, [gh, gw] → [H, W] or [B, gh, gw] → [B, H, W], float32 in [0, 1].

    The grid covers the whole picture: cell centres, not corners, are aligned.
    """
    if heatmap.ndim not in (2, 3):
        raise StackError(
            f"A heatmap of shape {tuple(heatmap.shape)} given; [rows, columns] or [B, rows, columns] wanted."
        )
    if min(size_hw) < 1:
        raise StackError(f"A heatmap cannot be enlarged to {size_hw}; both sides must be 1 or more.")
    batch = heatmap.float().reshape(-1, 1, *heatmap.shape[-2:])
    larger = functional.interpolate(batch, size=size_hw, mode="bilinear", align_corners=False)
    return larger.reshape(*heatmap.shape[:-2], *size_hw).clamp(0.0, 1.0)
