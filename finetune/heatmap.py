"""Recipe of the heatmap decoder: AHD alone, encoder and embedding table frozen, focal + Dice (T-VAU 3.2.1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from finetune.loop import LoopConfig, fit, step_generator
from finetune.losses import FocalDiceWeights, focal_dice_loss
from finetune.pretrain import augment
from finetune.starting import new_module
from finetune.world import WorldCache
from workbench.prompts import CLASS_PROMPTS
from workbench.stack.backbone import InternVLBackbone
from workbench.stack.heatmap import HeatmapConfig, HeatmapDecoder


def train_heatmap(
    backbone: InternVLBackbone,
    world: WorldCache,
    config: HeatmapConfig,
    loop: LoopConfig,
    out_dir: Path,
    *,
    batch: int = 48,
    per_clip: int = 4,
    start: Path | None = None,
) -> HeatmapDecoder:
    """Train a decoder on random frames, half of them (where there are any) from inside an event.

    `start` is the folder of a decoder of the same sizes to go on from; None: from random weights.
    """
    torch.manual_seed(loop.seed)
    decoder = new_module(config, HeatmapDecoder, start).train()
    decoder.set_prototypes(*(backbone.embed_prompts(CLASS_PROMPTS[c]) for c in ("normal", "abnormal")))
    weights = FocalDiceWeights(alpha=0.7)

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        rgb, heat = draw_heat_batch(world, step_generator(loop.seed, step), batch, per_clip)
        with torch.no_grad(), backbone.precision():
            _, _, taps = backbone.vision(backbone.pixels(rgb))
        parts = focal_dice_loss(decoder([tap.float() for tap in taps]).heatmap, heat, weights=weights)
        return parts.total, {"focal": parts.focal.item(), "dice": parts.dice.item()}

    fit({"heatmap": decoder}, loss, loop, out_dir, name="heatmap")
    return decoder.eval()


def draw_heat_batch(
    world: WorldCache, rng: np.random.Generator, batch: int, per_clip: int
) -> tuple[np.ndarray, Tensor]:
    """Pictures `uint8 [B, S, S, 3]` and how much of each patch abnormal entities cover, `[B, G, G]` in [0, 1]."""
    pictures, heats = [], []
    for number in rng.integers(0, len(world), batch // per_clip):
        clip = world.read(int(number))
        inside = np.flatnonzero(clip.label)
        chosen = rng.choice(inside, per_clip // 2).tolist() if len(inside) else []
        chosen += rng.integers(0, len(clip.label), per_clip - len(chosen)).tolist()
        pictures += [augment(clip.frame(i), rng) for i in chosen]
        heats += [clip.heat[i] for i in chosen]
    return np.stack(pictures), torch.from_numpy(np.stack(heats).astype(np.float32) / 255)
