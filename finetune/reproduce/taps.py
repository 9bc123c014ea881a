"""The heatmap with and without each tapped layer (T-VAU 3.2.1): one decoder for every choice, trained alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from finetune.heatmap import FocalDiceWeights, focal_dice_loss
from finetune.loop import LoopConfig, fit, step_generator
from finetune.metrics import Ranking, ap_of, auc_of, best_iou_of, bootstrap_ci95
from finetune.reproduce.bench import Bench, Cell, Table, logger
from finetune.world import build_clip, read_clip
from workbench.prompts import CLASS_PROMPTS
from workbench.stack.heatmap import HeatmapConfig, HeatmapDecoder

SEED = 20_000
HIDDEN = 128
BATCH = 32
COVERED = 0.5
"""A patch is anomalous when abnormal entities cover at least this share of it."""


@dataclass(frozen=True, slots=True)
class Glimpses:
    """Frames of many scenes as the frozen tower sees them: `taps` of `[N, gh, gw, C]` float16, `heat [N, gh, gw]`.

    `clip [N]` numbers the scenes; those below `n_train` are trained on.
    """

    taps: tuple[Tensor, ...]
    heat: Tensor
    clip: np.ndarray
    n_train: int


def taps_table(bench: Bench) -> Table:
    """All tapped blocks, each left out, and the last one alone."""
    blocks = bench.stack.backbone.tap_blocks
    every = tuple(range(len(blocks)))
    choices = {"all": every, **{f"without block {blocks[i]}": every[:i] + every[i + 1 :] for i in every}}
    choices[f"block {blocks[-1]} alone"] = every[-1:]
    choices = {name: kept for name, kept in choices.items() if kept}
    missing = [n for n in choices if not (bench.work / "cells" / "taps" / f"{_slug(n)}.json").exists()]
    glimpses = collect(bench) if missing else None
    rows: list[Cell] = []
    for name, kept in choices.items():
        cell = bench.cell("taps", _slug(name), partial(_row, bench, glimpses, kept, name))
        rows.append({"layers": name, **cell})
    best = max(rows, key=lambda row: row["patch AP"])["layers"]
    worst = min(rows[1 : 1 + len(every)], key=lambda row: row["patch AP"])["layers"] if len(every) > 1 else "none"
    return Table(
        "taps",
        "Heatmap with and without each tapped layer (T-VAU, 3.2.1)",
        "Shallow, middle and deep layers together locate best.",
        f"Decoders of width {HIDDEN}, {bench.sizes.heatmap_steps} steps each on {bench.sizes.glimpses // 2} scenes, "
        f"measured on the patches of as many others; a patch counts as anomalous when {COVERED:.0%} of it is.",
        rows,
        ("patch AUC", "patch AP", "patch IoU"),
        f"Best by AP: {best}; the layer that is missed most: {worst}. "
        f"The claim {'holds' if best == 'all' else 'does **not** hold'} here.",
    )


def _slug(name: str) -> str:
    return name.replace(" ", "-")


def collect(bench: Bench) -> Glimpses:
    """Render a few frames of every scene, half of them from inside an event, and look at them once."""
    folder, backbone = bench.work / "glimpses", bench.stack.backbone
    folder.mkdir(parents=True, exist_ok=True)
    taps: list[list[Tensor]] = []
    heats, numbers = [], []
    for number in range(bench.sizes.glimpses):
        seed = SEED + 10_000 * bench.seed + number
        path = folder / f"{seed:07d}.npz"
        if not path.exists():
            build_clip(path, seed, frames=bench.sizes.glimpse_frames, size=backbone.image_size)
        clip = read_clip(path)
        rgb = np.stack([clip.frame(i) for i in range(len(clip.jpegs))])
        with torch.inference_mode():
            taps.append([tap.to(torch.float16).cpu() for tap in backbone.encode(rgb).taps])
        heats.append(torch.from_numpy(clip.heat.astype(np.float32) / 255))
        numbers += [number] * len(rgb)
        if number % 50 == 49:
            logger.info("glimpses: %s of %s", number + 1, bench.sizes.glimpses)
    layers = tuple(torch.cat(column) for column in zip(*taps, strict=True))
    return Glimpses(layers, torch.cat(heats), np.array(numbers), bench.sizes.glimpses // 2)


def _row(bench: Bench, glimpses: Glimpses | None, kept: Sequence[int], name: str) -> Cell:
    assert glimpses is not None
    decoder = _train(bench, glimpses, kept, name)
    test = np.flatnonzero(glimpses.clip >= glimpses.n_train)
    with torch.inference_mode():
        heat = torch.cat(
            [decoder(_pick(glimpses, kept, part)).heatmap for part in np.array_split(test, 1 + len(test) // 64)]
        )
    truth = (glimpses.heat[test] >= COVERED).numpy()
    groups = np.repeat(glimpses.clip[test] - glimpses.n_train, truth[0].size)
    ranking = Ranking(truth, heat.numpy(), groups)
    n_clips = int(glimpses.clip.max()) + 1 - glimpses.n_train
    row: Cell = {}
    for measure, of in (("patch AUC", auc_of), ("patch AP", ap_of), ("patch IoU", best_iou_of)):
        row[measure] = of(ranking.counts())
        replicates = min(200, bench.sizes.replicates)
        row[f"{measure}_ci95"] = bootstrap_ci95(lambda w, of=of: of(ranking.counts(w)), n_clips, replicates=replicates)  # type: ignore[misc]
    return row


def _pick(glimpses: Glimpses, kept: Sequence[int], frames: np.ndarray) -> list[Tensor]:
    return [glimpses.taps[i][torch.from_numpy(frames)].float() for i in kept]


def _train(bench: Bench, glimpses: Glimpses, kept: Sequence[int], name: str) -> HeatmapDecoder:
    backbone = bench.stack.backbone
    torch.manual_seed(bench.seed)
    config = HeatmapConfig(backbone.feature_dim, backbone.text_dim, tap_count=len(kept), hidden=HIDDEN)
    decoder = HeatmapDecoder(config).train()
    decoder.set_prototypes(*(backbone.embed_prompts(CLASS_PROMPTS[c]).cpu() for c in ("normal", "abnormal")))
    train = np.flatnonzero(glimpses.clip < glimpses.n_train)

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        frames = step_generator(bench.seed, step).choice(train, min(BATCH, len(train)), replace=False)
        heat = decoder(_pick(glimpses, kept, frames)).heatmap
        return focal_dice_loss(heat, glimpses.heat[frames], weights=FocalDiceWeights(alpha=0.7)).total, {}

    loop = LoopConfig(steps=bench.sizes.heatmap_steps, lr=2e-3, seed=bench.seed)
    fit({"heatmap": decoder}, loss, loop, bench.work / "taps", name=_slug(name))
    return decoder.eval()
