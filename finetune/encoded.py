"""What the frozen vision tower says of every cached frame, computed once; later recipes read it instead of pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from finetune.parallel import join
from finetune.world import CachedClip, WorldCache, decode_jpeg
from workbench.stack.backbone import InternVLBackbone
from workbench.stack.heatmap import HeatmapDecoder

CHUNK = 64


@dataclass(frozen=True, slots=True, eq=False)
class EncodedClip:
    """Features of one clip, float16: `cls [T, C]`, `class_maps [T, 2, gh, gw]`, last `patches [T, gh, gw, C]`.

    `views` holds the patches of the instance views, by entity.
    """

    cls: np.ndarray
    class_maps: np.ndarray
    patches: np.ndarray
    views: dict[int, np.ndarray]


class EncodedWorld:
    """Encoded clips in a folder, one `.npy` for the patches (memory-mapped) and one `.npz` for the rest, per clip."""

    def __init__(self, folder: Path, world: WorldCache) -> None:
        self.folder = folder
        self.world = world

    def __len__(self) -> int:
        return len(self.world)

    @property
    def missing(self) -> int:
        """How many clips are still to be encoded."""
        return sum(not self._rest(i).exists() for i in range(len(self)))

    def build(self, backbone: InternVLBackbone, heatmap: HeatmapDecoder) -> Iterator[int]:
        """Encode what is missing, of several processes each its share; yields the number of each clip looked at."""
        self.folder.mkdir(parents=True, exist_ok=True)
        rank, size = join()
        for i in range(rank, len(self), size):
            if not self._rest(i).exists():
                self._encode(i, backbone, heatmap)
            yield i + 1

    def _encode(self, i: int, backbone: InternVLBackbone, heatmap: HeatmapDecoder) -> None:
        clip = self.world.read(i)
        blobs = [*clip.jpegs, *(view for views in clip.views.values() for view in views)]
        cls_rows, map_rows, patch_rows = [], [], []
        for start in range(0, len(blobs), CHUNK):
            rgb = np.stack([decode_jpeg(blob) for blob in blobs[start : start + CHUNK]])
            with torch.inference_mode(), backbone.precision():
                cls_token, patches, taps = backbone.vision(backbone.pixels(rgb))
                maps = heatmap([tap.float() for tap in taps]).class_maps
            map_rows.append(maps.to(torch.float16).numpy())
            cls_rows.append(cls_token.to(torch.float16).numpy())
            patch_rows.append(patches.to(torch.float16).numpy())
        frames = len(clip.jpegs)
        np.save(self._patches(i), np.concatenate(patch_rows))
        meta = json.dumps({str(entity): len(views) for entity, views in clip.views.items()})
        partial = self._rest(i).with_suffix(".partial")
        with partial.open("wb") as file:
            rows: dict[str, Any] = {"cls": np.concatenate(cls_rows)[:frames], "maps": np.concatenate(map_rows)[:frames]}
            np.savez(file, **rows, views=np.frombuffer(meta.encode(), np.uint8))
        os.replace(partial, self._rest(i))

    def cls(self, i: int) -> np.ndarray:
        """Class tokens `[T, C]` of the `i`-th clip."""
        with np.load(self._rest(i), allow_pickle=False) as arrays:
            return arrays["cls"]

    def read(self, i: int) -> EncodedClip:
        """The `i`-th clip; patches stay on disk until they are indexed."""
        with np.load(self._rest(i), allow_pickle=False) as arrays:
            cls_token, maps, counts = arrays["cls"], arrays["maps"], json.loads(arrays["views"].tobytes())
        patches = np.load(self._patches(i), mmap_mode="r", allow_pickle=False)
        views, start = {}, len(cls_token)
        for entity, count in counts.items():
            views[int(entity)] = patches[start : start + count]
            start += count
        return EncodedClip(cls_token, maps, patches[: len(cls_token)], views)

    def clip(self, i: int) -> CachedClip:
        """The cached clip behind it (truth, labels, targets)."""
        return self.world.read(i)

    def _patches(self, i: int) -> Path:
        return self.folder / f"{self.world.paths[i].stem}.npy"

    def _rest(self, i: int) -> Path:
        return self.folder / f"{self.world.paths[i].stem}.npz"
