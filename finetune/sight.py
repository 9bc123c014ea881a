"""The trained eyes on disk, vision tower and heatmap decoder, for the processes that look at the world with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import torch

from finetune.encoded import EncodedWorld
from finetune.parallel import spread
from workbench.prompts import CLASS_PROMPTS
from workbench.stack.backbone import InternVLBackbone
from workbench.stack.heatmap import HeatmapConfig, HeatmapDecoder
from workbench.stack.loading import load_module, save_module


@dataclass(frozen=True, slots=True)
class Sight:
    """A folder with a backbone whose tower is trained, and the heatmap decoder that goes with it, both in float32."""

    folder: Path

    @property
    def backbone(self) -> Path:
        """Where the backbone lies."""
        return self.folder / "backbone"

    def save(self, backbone: InternVLBackbone, heatmap: HeatmapDecoder) -> None:
        """Write both parts."""
        backbone.model.save_pretrained(self.backbone)
        backbone.tokenizer.save_pretrained(self.backbone)
        save_module(heatmap, heatmap.config, self.folder / "heatmap", dtype=torch.float32)

    def load(self) -> tuple[InternVLBackbone, HeatmapDecoder]:
        """Read both parts, on the processor."""
        backbone = load_backbone(self.backbone)
        heatmap = load_module(self.folder / "heatmap", HeatmapConfig, HeatmapDecoder, torch.device("cpu"))
        heatmap.set_prototypes(*(backbone.embed_prompts(CLASS_PROMPTS[c]) for c in ("normal", "abnormal")))
        return backbone, heatmap


def load_backbone(folder: Path) -> InternVLBackbone:
    """A backbone in float32 on the processor."""
    return InternVLBackbone.load(folder, device=torch.device("cpu"), dtype=torch.float32)


def encode(encoded: EncodedWorld, sight: Sight, processes: int) -> None:
    """Encode what is missing of a world, in so many processes."""
    if encoded.missing:
        spread(_encode, processes, encoded, sight)


def _encode(encoded: EncodedWorld, sight: Sight) -> None:
    cv2.setNumThreads(1)
    for _ in encoded.build(*sight.load()):
        pass
