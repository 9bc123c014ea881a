"""The card beside the bundled weights: how they were made, and what they measured on clips never trained on."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from finetune.bundle import BundleRecipe

MEANINGS = {
    "frame_auc": "ROC-AUC over all frames",
    "frame_ap": "average precision over all frames",
    "clip_auc": "ROC-AUC over clips, by their highest score",
    "accuracy": "clips called right at the threshold",
    "ece": "expected calibration error over clips",
    "pixel_auc": "ROC-AUC over the pixels of all dense frames",
    "pixel_ap": "average precision over those pixels",
    "pixel_iou": "IoU of heatmap and masks at the best threshold",
    "judgement_accuracy": "spoken yes or no",
    "category_accuracy": "spoken category, abnormal clips",
    "fact_precision": "facts stated in the three answers that are true",
    "fact_recall": "facts of the truth that the three answers state",
    "caption_fact_precision": "facts stated of instances that are true",
    "caption_fact_recall": "facts of instances that are stated",
    "bleu": "BLEU-1 to 4, summed, against the world's own texts",
    "cider": "CIDEr-D against them",
    "meteor": "METEOR (exact and stem matches) against them",
    "rouge_l": "ROUGE-L against them",
    "temporal_iou": "events against true spans",
    "mask_iou_box": "first-frame mask from a box",
    "mask_iou_click": "first-frame mask from one click",
    "track_iou": "masks tracked through the event",
}


def write_card(folder: Path, recipe: BundleRecipe, metrics: Mapping[str, Any]) -> None:
    """Write `CARD.md` and `metrics.json` into `folder`.

    Args:
        metrics: the flat document of `finetune.evaluate`.
    """
    (folder / "metrics.json").write_text(json.dumps(dict(metrics), indent=2) + "\n")
    rows = [_row(name, meaning, metrics) for name, meaning in MEANINGS.items() if name in metrics]
    loops = {phase.name: phase.loop for phase in recipe.vision}
    loops |= {name: getattr(recipe, name) for name in ("language", "heatmap", "scorer", "chat")}
    recipes = [f"| {name} | {loop.steps} | {loop.lr:g} | {loop.seed} |" for name, loop in loops.items()]
    masks = recipe.segmenter
    recipes.append(f"| segmenter, pictures | {masks.picture_steps} | {masks.lr:g} | {masks.seed} |")
    recipes.append(f"| segmenter, videos | {masks.video_steps} | {masks.video_lr:g} | {masks.seed} |")
    text = "\n".join(
        [
            "# The bundled stack",
            "",
            "Small models trained on a drawn street world and on nothing else. They show the whole workbench without a",
            "GPU or a network; on real footage their words are a sketch, and the motion part of the score is the one",
            "to trust. Weights: Apache-2.0.",
            "",
            "## How it was made",
            "",
            "```",
            "python -m finetune bundle",
            "```",
            "",
            f"- Data: {recipe.clips} procedural clips (6-12 s, 320×240), seeds {recipe.seed} to "
            f"{recipe.seed + recipe.clips - 1}; for the vision tower, {recipe.seen_frames} frames each of "
            f"{recipe.seen_clips} more scenes, seeds {recipe.seen_seed} to {recipe.seen_seed + recipe.seen_clips - 1}.",
            f"- Hardware: {_cpu()}, {torch.get_num_threads()} threads, bfloat16 autocast where the processor has it.",
            "- The run is resumable; each stage logs its loss beside its state.",
            "",
            "| stage | steps | peak learning rate | seed |",
            "|---|---|---|---|",
            *recipes,
            "",
            "## What it measures",
            "",
            f"On {metrics['n_clips']} clips of seeds {recipe.held_out_seed} and up, none of them seen in training, by",
            f"`python -m finetune scenes --out DIR --clips {metrics['n_clips']} --seed {recipe.held_out_seed}` and",
            "`python -m finetune evaluate --data DIR`. The interval is a 95 % bootstrap over clips.",
            "",
            "| metric | value | 95 % interval | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )
    (folder / "CARD.md").write_text(text)


def _row(name: str, meaning: str, metrics: Mapping[str, Any]) -> str:
    low, high = metrics.get(f"{name}_ci95", (None, None))
    interval = f"{low:.3f} to {high:.3f}" if low is not None else ""
    return f"| {name} | {metrics[name]:.3f} | {interval} | {meaning} |"


def _cpu() -> str:
    """The processor's own name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
