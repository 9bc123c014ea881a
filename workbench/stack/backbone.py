"""The vision-language backbone behind one interface: features, visual tokens, rows of text, language steps.

`Backbone` is what the rest of the house knows. `InternVLBackbone` wraps the native `transformers` InternVL classes
at any size: the bundled one has 11 M parameters, Holmes-VAU-2B two billion. The other family is in
`workbench.stack.qwen`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from workbench.prompts import Segment
from workbench.stack.heatmap import tap_layers
from workbench.stack.language import LanguageSide, cpu_has_fast_bf16
from workbench.stack.pretrained import Placement, load_pretrained

__all__ = ["Backbone", "InternVLBackbone", "VisionFeatures", "cpu_has_fast_bf16", "frames_to_pixels"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class VisionFeatures(NamedTuple):
    """What one pass over `B` frames yields.

    cls: `[B, C]` class tokens (input of the scorer). tokens: `[B, n, E]` visual tokens for the language model.
    taps: one `[B, gh, gw, C]` per tapped block (input of the heatmap decoder).
    """

    cls: Tensor
    tokens: Tensor
    taps: tuple[Tensor, ...]


class Backbone(Protocol):
    """The interface every backbone family provides.

    `C` is `feature_dim`, `D` is `text_dim`, `E` is `token_dim` (`D`, or more where a frame's tokens carry more than
    one embedding), `W` the width of a row of text (see `workbench.stack.language`).
    """

    model: Any
    image_size: int
    feature_dim: int
    text_dim: int
    token_dim: int
    tokens_per_frame: int
    grid_hw: tuple[int, int]
    tap_blocks: tuple[int, ...]
    end_token_id: int
    device: torch.device

    def precision(self) -> AbstractContextManager[Any]: ...
    def encode(self, rgb: np.ndarray) -> VisionFeatures: ...
    def embed_prompts(self, prompts: Sequence[str]) -> Tensor: ...
    def embed(self, segments: Sequence[Segment], tokens: Tensor, anomaly: Tensor | None) -> Tensor: ...
    def embed_ids(self, ids: Tensor) -> Tensor: ...
    def step(self, embeds: Tensor, cache: Any) -> Tensor: ...
    def next_logits(self, rows: Tensor, cache: Any) -> Tensor: ...
    def new_cache(self) -> Any: ...
    def fork(self, cache: Any, copies: int) -> Any: ...
    def text_ids(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...


def resize_by_pillow(rgb: np.ndarray, size: int) -> np.ndarray:
    """`uint8 [B, H, W, 3]` → `uint8 [B, size, size, 3]`, bicubic, to the bit as the published Holmes-VAU code does."""
    from PIL import Image

    return np.stack(
        [np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BICUBIC)) for frame in rgb]
    )


def frames_to_pixels(rgb: np.ndarray, size: int, device: torch.device) -> Tensor:
    """`uint8 [B, H, W, 3]` → `[B, 3, size, size]` in [0, 1] on the device, bicubic.

    The whole picture is stretched to a square, as Holmes-VAU does: the heatmap grid then covers all of it.
    """
    frames = torch.from_numpy(np.ascontiguousarray(rgb)).to(device).permute(0, 3, 1, 2)
    # On a CPU frame by frame: a batch of large pictures as float would leave its caches.
    return torch.cat([_square(part, size) for part in frames.split(1 if frames.device.type == "cpu" else len(frames))])


def _square(frames: Tensor, size: int) -> Tensor:
    frames = frames.float() / 255
    if frames.shape[-2:] == (size, size):
        return frames
    return torch.nn.functional.interpolate(frames, (size, size), mode="bicubic", antialias=True).clamp(0, 1)


class InternVLBackbone(LanguageSide):
    """InternVL (vision tower, projector, Qwen2 or Llama text model) with its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any, *, device: torch.device) -> None:
        super().__init__(model, tokenizer, device=device)
        vision = model.config.vision_config
        self.image_size = int(vision.image_size[0])
        self.feature_dim = int(vision.hidden_size)
        self.token_dim = self.text_dim
        side = self.image_size // int(vision.patch_size[0])
        self.grid_hw = (side, side)
        self.tap_blocks = tap_layers(int(vision.num_hidden_layers))
        self.tokens_per_frame = round(side * model.config.downsample_ratio) ** 2
        self._mean = torch.tensor(IMAGENET_MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(IMAGENET_STD, device=device).view(1, 3, 1, 1)
        # A converted checkpoint says so in its configuration: its frames were resized by Pillow.
        self._pillow = getattr(model.config, "frame_resize", "torch") == "pillow"

    @classmethod
    def load(
        cls, source: str | Path, *, device: torch.device, dtype: torch.dtype, placement: Placement | None = None
    ) -> InternVLBackbone:
        """Load from a local folder or a Hub repository in the native `-hf` layout.

        Raises:
            StackError: the files are missing, or weights are missing or left over.
        """
        model, tokenizer = load_pretrained(source, "internvl", device=device, dtype=dtype, placement=placement)
        return cls(model, tokenizer, device=device)

    def pixels(self, rgb: np.ndarray) -> Tensor:
        """`uint8 [B, H, W, 3]` → normalised `[B, 3, S, S]` on the device."""
        if self._pillow:
            rgb = resize_by_pillow(rgb, self.image_size)
        return (frames_to_pixels(rgb, self.image_size, self.device) - self._mean) / self._std

    def vision(self, pixels: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """`[B, 3, S, S]` → class tokens `[B, C]`, last patch features `[B, gh, gw, C]`, tapped blocks."""
        tower = self.model.model.vision_tower
        hidden = tower.embeddings(pixels.to(tower.dtype))
        taps: list[Tensor] = []
        for number, layer in enumerate(tower.encoder.layer, start=1):
            hidden = layer(hidden)
            if number in self.tap_blocks:
                taps.append(self._grid(hidden))
        last = tower.layernorm(hidden)
        return last[:, 0], self._grid(last), tuple(taps)

    def project(self, patches: Tensor) -> Tensor:
        """Patch features `[B, gh, gw, C]` → visual tokens `[B, n, D]` (pixel shuffle, then the projector)."""
        shuffled = self.model.model.pixel_shuffle(patches, self.model.config.downsample_ratio)
        flat = shuffled.reshape(patches.shape[0], -1, shuffled.shape[-1])
        return self.model.model.multi_modal_projector(flat)

    @torch.inference_mode()
    def encode(self, rgb: np.ndarray) -> VisionFeatures:
        """One pass over frames `uint8 [B, H, W, 3]`; each frame of a clip goes through here exactly once."""
        with self.precision():
            cls_token, patches, taps = self.vision(self.pixels(rgb))
            tokens = self.project(patches)
        return VisionFeatures(cls_token.float(), tokens.float(), tuple(tap.float() for tap in taps))

    def _grid(self, hidden: Tensor) -> Tensor:
        return hidden[:, 1:].unflatten(1, self.grid_hw)
