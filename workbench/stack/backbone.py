"""The vision-language backbone behind one interface: features, visual tokens, text embeddings, language steps.

`Backbone` is what the rest of the house knows. `InternVLBackbone` wraps the native `transformers` InternVL classes
at any size: the bundled one has 11 M parameters, Holmes-VAU-2B two billion.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from workbench.errors import StackError
from workbench.prompts import Anomaly, Frame, Segment, Text
from workbench.stack.heatmap import tap_layers

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class VisionFeatures(NamedTuple):
    """What one pass over `B` frames yields.

    cls: `[B, C]` class tokens (input of the scorer). tokens: `[B, n, D]` visual tokens for the language model.
    taps: one `[B, gh, gw, C]` per tapped block (input of the heatmap decoder).
    """

    cls: Tensor
    tokens: Tensor
    taps: tuple[Tensor, ...]


class Backbone(Protocol):
    """The interface every backbone family provides. Shapes as in `VisionFeatures`; `D` is the text width."""

    image_size: int
    feature_dim: int
    text_dim: int
    tokens_per_frame: int
    grid_hw: tuple[int, int]
    end_token_id: int
    device: torch.device

    def encode(self, rgb: np.ndarray) -> VisionFeatures: ...
    def embed_prompts(self, prompts: Sequence[str]) -> Tensor: ...
    def embed(self, segments: Sequence[Segment], tokens: Tensor, anomaly: Tensor | None) -> Tensor: ...
    def embed_ids(self, ids: Tensor) -> Tensor: ...
    def step(self, embeds: Tensor, cache: Any) -> Tensor: ...
    def new_cache(self) -> Any: ...
    def text_ids(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...


def cpu_has_fast_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware (AMX or AVX512-BF16)."""
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def resize_by_pillow(rgb: np.ndarray, size: int) -> np.ndarray:
    """`uint8 [B, H, W, 3]` → `uint8 [B, size, size, 3]`, bicubic, to the bit as the published Holmes-VAU code does."""
    from PIL import Image

    return np.stack(
        [np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BICUBIC)) for frame in rgb]
    )


@contextlib.contextmanager
def _no_loading_bar() -> Iterator[None]:
    """Without the library's own progress bar, which would write into ours."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


class InternVLBackbone:
    """InternVL (vision tower, projector, Qwen2 or Llama text model) with its tokenizer.

    Frames are resized to the tower's square, as Holmes-VAU does: the heatmap grid then covers the whole picture.
    """

    def __init__(self, model: Any, tokenizer: Any, *, device: torch.device) -> None:
        vision, text = model.config.vision_config, model.config.text_config
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.device = device
        self.image_size = int(vision.image_size[0])
        self.feature_dim = int(vision.hidden_size)
        self.text_dim = int(text.hidden_size)
        side = self.image_size // int(vision.patch_size[0])
        self.grid_hw = (side, side)
        self.tap_blocks = tap_layers(int(vision.num_hidden_layers))
        self.tokens_per_frame = round(side * model.config.downsample_ratio) ** 2
        self.end_token_id = int(tokenizer.convert_tokens_to_ids("<|im_end|>"))
        if self.end_token_id == tokenizer.unk_token_id:
            raise StackError(
                "The tokenizer has no <|im_end|> token, so it is not one of a ChatML model; check the files."
            )
        self._mean = torch.tensor(IMAGENET_MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(IMAGENET_STD, device=device).view(1, 3, 1, 1)
        # A converted checkpoint says so in its configuration: its frames were resized by Pillow.
        self._pillow = getattr(model.config, "frame_resize", "torch") == "pillow"
        self._bf16_on_cpu = device.type == "cpu" and cpu_has_fast_bf16()

    @classmethod
    def load(cls, source: str | Path, *, device: torch.device, dtype: torch.dtype) -> InternVLBackbone:
        """Load from a local folder or a Hub repository in the native `-hf` layout.

        Raises:
            StackError: the files are missing, or weights are missing or left over.
        """
        from transformers import AutoModelForImageTextToText, AutoTokenizer

        if isinstance(source, Path) and not (source / "config.json").exists():
            raise StackError(
                f"There is no backbone in {source}. Restore the folder, or make it: python -m finetune bundle."
            )
        try:
            with _no_loading_bar():
                loaded: Any = AutoModelForImageTextToText.from_pretrained(
                    str(source), dtype=dtype, output_loading_info=True, use_safetensors=True
                )
            model, report = loaded
            tokenizer = AutoTokenizer.from_pretrained(str(source))
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise StackError(
                f"The backbone cannot be loaded from {source}: {reason} Check the folder or fetch it."
            ) from error
        missing, left = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
        if missing or left:
            raise StackError(
                f"The backbone weights in {source} do not fit: missing {missing[:8] or 'none'}, "
                f"unexpected {left[:8] or 'none'}."
            )
        return cls(model.to(device), tokenizer, device=device)

    # -- vision ----------------------------------------------------------------------------------------------------

    def precision(self) -> contextlib.AbstractContextManager[Any]:
        """bfloat16 autocast where the CPU multiplies it in hardware (six times faster there); else nothing."""
        if self._bf16_on_cpu:
            return torch.autocast("cpu", dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def pixels(self, rgb: np.ndarray) -> Tensor:
        """`uint8 [B, H, W, 3]` → normalised `[B, 3, S, S]` on the device."""
        if self._pillow:
            rgb = resize_by_pillow(rgb, self.image_size)
        frames = torch.from_numpy(np.ascontiguousarray(rgb)).to(self.device).permute(0, 3, 1, 2).float() / 255
        if frames.shape[-2:] != (self.image_size, self.image_size):
            size = (self.image_size, self.image_size)
            frames = torch.nn.functional.interpolate(frames, size, mode="bicubic", antialias=True).clamp(0, 1)
        return (frames - self._mean) / self._std

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

    # -- language --------------------------------------------------------------------------------------------------

    def text_ids(self, text: str) -> list[int]:
        """Token ids of a text that already carries its special tokens."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated ids, special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def embed_ids(self, ids: Tensor) -> Tensor:
        """`[L]` ids → `[L, D]` rows of the embedding table."""
        return self.model.get_input_embeddings()(ids)

    @torch.no_grad()
    def embed_prompts(self, prompts: Sequence[str]) -> Tensor:
        """Mean over prompts and tokens of the frozen embedding table → prototype `[D]` (T-VAU eq. 2-3)."""
        ids = [token for prompt in prompts for token in self.text_ids(prompt)]
        return self.embed_ids(torch.tensor(ids, device=self.device)).float().mean(0)

    def embed(self, segments: Sequence[Segment], tokens: Tensor, anomaly: Tensor | None) -> Tensor:
        """Prompt pieces → `[L, D]`. `tokens [N, n, D]` are the sampled frames', `anomaly [P, D]` the RAE's prompts."""
        rows: list[Tensor] = []
        dtype = self.model.get_input_embeddings().weight.dtype
        for segment in segments:
            match segment:
                case Text(text):
                    rows.append(self.embed_ids(torch.tensor(self.text_ids(text), dtype=torch.long, device=self.device)))
                case Frame(position):
                    rows.append(tokens[position].to(dtype))
                case Anomaly():
                    if anomaly is None:
                        raise StackError("The prompt asks for anomaly prompts, but this stack has no region encoder.")
                    rows.append(anomaly.to(dtype))
        return torch.cat(rows)

    def new_cache(self) -> Any:
        """An empty key-value cache."""
        from transformers import DynamicCache

        return DynamicCache(config=self.model.config.text_config)

    @torch.inference_mode()
    def step(self, embeds: Tensor, cache: Any) -> Tensor:
        """Feed `[L, D]` after what the cache holds → logits `[V]` of the next token, float32."""
        output = self.model.model.language_model(inputs_embeds=embeds[None], past_key_values=cache, use_cache=True)
        return self.model.lm_head(output.last_hidden_state[:, -1])[0].float()
