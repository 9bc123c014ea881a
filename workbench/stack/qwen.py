"""Qwen2.5-VL and Qwen3-VL behind the backbone interface.

Three things set the family apart. Its tower has no class token: the mean of the patches stands in. Its positions are
threefold (M-RoPE): words advance time, rows and columns together, patches of one frame share the time of its beginning
and count rows and columns from there. And Qwen3-VL adds features of earlier vision blocks to the first layers of the
language model (DeepStack).

A row of text therefore is `[embedding | additions to the first layers | row, column, advance]`: where it stands in its
frame, and how far it moves the time of what follows. Words have row and column 0 and advance 1; patches advance 0, the
last of a frame by the frame's longer side. Positions then are running sums, wherever a piece of text stands.

Each frame is read as one picture, so that nothing is encoded twice whichever frames are sampled later.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache

from workbench.errors import StackError
from workbench.stack.backbone import VisionFeatures, frames_to_pixels
from workbench.stack.heatmap import tap_layers
from workbench.stack.language import LanguageSide, cache_argument
from workbench.stack.pretrained import Placement, load_pretrained

IMAGE_SIZE = 448
PLACE = 3
"""Columns of a row that say where it stands."""
# Where the folder has no preprocessor_config.json.
DEFAULT_MEAN_STD = {
    "qwen2_5_vl": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "qwen3_vl": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


class PlacedCache(DynamicCache):
    """A key-value cache that knows the time after each row it holds; the rows of a batch have one layout."""

    def __init__(self, config: Any) -> None:
        super().__init__(config=config)
        self.time_after: list[int] = []

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last `-tokens_to_remove` rows."""
        super().crop(tokens_to_remove)
        if tokens_to_remove:
            del self.time_after[tokens_to_remove:]


class QwenVLBackbone(LanguageSide):
    """Qwen2.5-VL or Qwen3-VL with its tokenizer. Frames are squares of `image_size` pixels.

    Raises:
        StackError: the model is of another family, or the picture size does not divide into its windows.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        device: torch.device,
        image_size: int = IMAGE_SIZE,
        mean_std: tuple[Any, Any] | None = None,
    ) -> None:
        super().__init__(model, tokenizer, device=device)
        vision = model.config.vision_config
        self.kind = str(model.config.model_type)
        if self.kind not in DEFAULT_MEAN_STD:
            raise StackError(f"A model of type '{self.kind}' is no Qwen2.5-VL or Qwen3-VL; choose its own profile.")
        self.image_size, self.feature_dim = image_size, int(vision.hidden_size)
        self.merge, self.patch = int(vision.spatial_merge_size), int(vision.patch_size)
        window = int(getattr(vision, "window_size", image_size))
        for name, size in (("window", window), ("merged patch", self.patch * self.merge)):
            if image_size % size:
                raise StackError(
                    f"Frames of {image_size} pixels do not divide into {name}s of {size}; use another size."
                )
        side = image_size // self.patch
        self.grid_hw = (side, side)
        self.windows = image_size // window
        self.whole_blocks = tuple(getattr(vision, "fullatt_block_indexes", range(int(vision.depth))))
        self.deep_blocks = tuple(getattr(vision, "deepstack_visual_indexes", ()))
        self.tap_blocks = tap_layers(int(vision.depth))
        self.tokens_per_frame = (side // self.merge) ** 2
        self.token_dim = self.text_dim * (1 + len(self.deep_blocks))
        mean, std = mean_std or DEFAULT_MEAN_STD[self.kind]
        self._mean = torch.tensor(mean, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(std, device=device).view(1, 3, 1, 1)
        self._order = self._sequence_order()
        self._places = self._frame_places()

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        device: torch.device,
        dtype: torch.dtype,
        placement: Placement | None = None,
        image_size: int = IMAGE_SIZE,
    ) -> QwenVLBackbone:
        """Load from a local folder or a Hub repository. Raises StackError: see `load_pretrained`."""
        model, tokenizer = load_pretrained(source, "qwen", device=device, dtype=dtype, placement=placement)
        return cls(model, tokenizer, device=device, image_size=image_size, mean_std=_mean_std(Path(source)))

    # -- vision ----------------------------------------------------------------------------------------------------

    def pixels(self, rgb: np.ndarray) -> Tensor:
        """`uint8 [B, H, W, 3]` → normalised `[B, 3, S, S]` on the device."""
        return (frames_to_pixels(rgb, self.image_size, self.device) - self._mean) / self._std

    def vision(self, pixels: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """`[B, 3, S, S]` → stand-ins of class tokens `[B, C]`, what `project` reads, tapped blocks `[B, gh, gw, C]`.

        The class token's stand-in is the mean of the patches after the tower's last norm, where their scale is tame.
        What `project` reads are the features of the last block and of the DeepStack blocks, `[B, gh, gw, (1+k)·C]`.
        """
        tower = self.model.model.visual
        hidden = self._embedded(tower, pixels)
        place = torch.stack([self._order // self.grid_hw[1], self._order % self.grid_hw[1]], dim=-1)
        turn = tower.rotary_pos_emb(hidden, place)
        taps, deep = [], []
        for number, block in enumerate(tower.blocks):
            windows = 1 if number in self.whole_blocks else self.windows**2
            hidden = _block(block, hidden, turn, windows)
            if number + 1 in self.tap_blocks:
                taps.append(self._grid(hidden))
            if number in self.deep_blocks:
                deep.append(self._grid(hidden))
        norm = tower.merger.ln_q if self.kind == "qwen2_5_vl" else tower.merger.norm
        return norm(hidden).float().mean(1), torch.cat([self._grid(hidden), *deep], dim=-1), tuple(taps)

    def project(self, patches: Tensor) -> Tensor:
        """What `vision` says of patches `[B, gh, gw, (1+k)·C]` → visual tokens `[B, n, (1+k)·D]`."""
        tower, side, merge = self.model.model.visual, self.grid_hw[0] // self.merge, self.merge
        units = patches.reshape(len(patches), side, merge, side, merge, -1).transpose(2, 3).flatten(1, 4)
        mergers = [tower.merger, *(getattr(tower, "deepstack_merger_list", None) or ())]
        made = [
            merger(part.flatten(0, 1).contiguous()).unflatten(0, (len(patches), -1))
            for merger, part in zip(mergers, units.split(self.feature_dim, dim=-1), strict=True)
        ]
        return torch.cat(made, dim=-1)

    @torch.inference_mode()
    def encode(self, rgb: np.ndarray) -> VisionFeatures:
        """One pass over frames `uint8 [B, H, W, 3]`; each frame of a clip goes through here exactly once."""
        with self.precision():
            cls_token, patches, taps = self.vision(self.pixels(rgb))
            tokens = self.project(patches)
        return VisionFeatures(cls_token.float(), tokens.float(), tuple(tap.float() for tap in taps))

    def _embedded(self, tower: Any, pixels: Tensor) -> Tensor:
        """`[B, 3, S, S]` → `[B, P, C]` in the tower's order.

        The tower takes frames in pairs; a single frame is its own pair, so the kernels of both are added up instead.
        """
        projection = tower.patch_embed.proj
        patches = F.pixel_unshuffle(pixels, self.patch).flatten(2).transpose(1, 2)[:, self._order]
        kernel = projection.weight.float().sum(2).flatten(1).to(projection.weight.dtype)
        hidden = F.linear(patches.to(kernel.dtype), kernel, projection.bias)
        if self.kind == "qwen3_vl":
            side = int(tower.pos_embed.weight.shape[0] ** 0.5)
            table = tower.pos_embed.weight.float().T.reshape(1, -1, side, side)
            table = F.interpolate(table, self.grid_hw, mode="bilinear", align_corners=True)
            hidden = hidden + table.flatten(2).transpose(1, 2)[:, self._order].to(hidden.dtype)
        return hidden

    def _sequence_order(self) -> Tensor:
        """Number of the patch, counted row by row, at each place of the tower's sequence `[P]`.

        Patches that merge into one token stand together, tokens of one window stand together.
        """
        windows, side = self.windows, self.grid_hw[0]
        inside = side // windows // self.merge
        numbers = torch.arange(side * side, device=self.device)
        blocks = numbers.reshape(windows, inside, self.merge, windows, inside, self.merge)
        return blocks.permute(0, 3, 1, 4, 2, 5).flatten()

    def _grid(self, hidden: Tensor) -> Tensor:
        return hidden[:, torch.argsort(self._order)].unflatten(1, self.grid_hw)

    # -- language --------------------------------------------------------------------------------------------------

    def text_rows(self, embeddings: Tensor) -> Tensor:
        """Embeddings `[L, D]` → rows: no additions, row 0, column 0, advance 1."""
        rows = F.pad(embeddings, (0, self.token_dim - self.text_dim + PLACE))
        rows[..., -1] = 1
        return rows

    def frame_rows(self, tokens: Tensor) -> Tensor:
        """Visual tokens `[n, (1+k)·D]` of one frame → rows."""
        return torch.cat([tokens, self._places.to(tokens.dtype)], dim=-1)

    def _frame_places(self) -> Tensor:
        side = self.grid_hw[0] // self.merge
        numbers = torch.arange(side * side, device=self.device)
        advance = torch.zeros_like(numbers)
        advance[-1] = side
        return torch.stack([numbers // side, numbers % side, advance], dim=-1)

    def new_cache(self) -> PlacedCache:
        """An empty key-value cache."""
        return PlacedCache(self.model.config.text_config)

    def fork(self, cache: PlacedCache, copies: int) -> PlacedCache:
        """A cache that holds what `cache` does `copies` times."""
        twin = super().fork(cache, copies)
        twin.time_after = list(cache.time_after)
        return twin

    def hidden(self, rows: Tensor, cache: PlacedCache | None = None) -> Tensor:
        """Rows `[B, L, W]` after what the cache holds → last hidden states `[B, L, D]`; can be trained through."""
        embeddings, *additions = rows[..., :-PLACE].split(self.text_dim, dim=-1)
        row, column, advance = rows[..., -PLACE:].detach().round().long().unbind(-1)
        begin = cache.time_after[-1] if cache is not None and cache.time_after else 0
        after = begin + advance.cumsum(-1)
        time = after - advance
        more: dict[str, Any] = {}
        # A single row is a word, to which nothing is added.
        if additions and rows.shape[1] > 1:
            more["visual_pos_masks"] = torch.ones(rows.shape[:2], dtype=torch.bool, device=rows.device)
            more["deepstack_visual_embeds"] = [part.flatten(0, 1) for part in additions]
        language: Any = self.model.model.language_model
        output = language(
            inputs_embeds=embeddings,
            position_ids=torch.stack([time, time + row, time + column]),
            **cache_argument(language, cache),
            **more,
        )
        if cache is not None:
            cache.time_after += after[0].tolist()
        return output.last_hidden_state


def _block(block: Any, hidden: Tensor, turn: tuple[Tensor, Tensor], windows: int) -> Tensor:
    """One block of the tower over frames `[B, P, C]`, each split into `windows` equal stretches that attend within.

    The library attends stretch after stretch; all frames and windows being of one size, one call does for all.
    """
    attention = block.attn
    mixed = attention.qkv(block.norm1(hidden)).unflatten(-1, (3, attention.num_heads, -1))
    query, key, value = mixed.permute(2, 0, 3, 1, 4)  # each [B, heads, P, C / heads]
    cos, sin = (part.float() for part in turn)
    query, key = ((x.float() * cos + _half_turn(x.float()) * sin).to(value.dtype) for x in (query, key))
    split = (x.unflatten(2, (windows, -1)).transpose(1, 2).flatten(0, 1) for x in (query, key, value))
    seen = F.scaled_dot_product_attention(*split)  # [B · windows, heads, P / windows, C / heads]
    joined = seen.transpose(1, 2).flatten(2).reshape(hidden.shape)
    hidden = hidden + attention.proj(joined)
    return hidden + block.mlp(block.norm2(hidden))


def _half_turn(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat([-second, first], dim=-1)


def _mean_std(folder: Path) -> tuple[Any, Any] | None:
    """Mean and standard deviation the checkpoint's own preprocessor names, if it does."""
    path = folder / "preprocessor_config.json"
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        return saved["image_mean"], saved["image_std"]
    except (OSError, KeyError, ValueError):
        return None
