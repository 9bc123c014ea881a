"""The card beside the bundled weights: how they were made, and what they measured on clips never trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finetune.evaluate import unlabelled_rows
from finetune.legs import Leg, legs_of

REAL = "real.json"
"""Metrics of the weights on real clips: what `finetune evaluate` writes, beside them where somebody measured it."""
REAL_CLIPS = "real_clips.csv"
"""The same command's table of real clips that nobody labelled."""
BROAD = "broad.json"
"""Metrics of the weights on drawn clips of all views and kinds of events."""
TRIED = "tried.md"
"""What was tried for the numbers that are not reached, in a person's words."""
# What the weights are asked to reach; a number that is not reached is marked in the card.
WANTED: dict[str, tuple[str, float]] = {
    "frame_auc": ("≥", 0.96),
    "ece": ("≤", 0.10),
    "pixel_ap": ("≥", 0.60),
    "judgement_accuracy": ("≥", 0.95),
    "category_accuracy": ("≥", 0.85),
    "fact_precision": ("≥", 0.85),
    "fact_recall": ("≥", 0.75),
    "mask_iou_box": ("≥", 0.85),
    "mask_iou_click": ("≥", 0.70),
    "track_iou": ("≥", 0.75),
}
WANTED_OF_REAL = ("≥", 0.82)
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


def write_card(folder: Path, held_out_seed: int, metrics: Mapping[str, Any], *, broad_seed: int = 0) -> None:
    """Write `CARD.md` and `metrics.json` into `folder`, which holds the weights and their legs.

    Args:
        held_out_seed: first seed of the measured clips. metrics: the flat document of `finetune.evaluate`.
        broad_seed: first seed of the clips of `BROAD`, where that lies in the folder.
    """
    (folder / "metrics.json").write_text(json.dumps(dict(metrics), indent=2) + "\n")
    legs = legs_of(folder)
    rows = [_row(name, meaning, metrics) for name, meaning in MEANINGS.items() if name in metrics]
    text = "\n".join(
        [
            "# The bundled stack",
            "",
            "Small models trained on a drawn street world and on nothing else. They show the whole workbench without a",
            "GPU or a network. On footage unlike that world, which `familiarity` measures, the motion score alone",
            "makes the curve, and words and heatmaps are a sketch. Weights: Apache-2.0.",
            "",
            "## How it was made",
            "",
            "```",
            *dict.fromkeys(leg.command for leg in legs),
            "```",
            "",
            "Each command can be interrupted and goes on where it was; each stage logs its loss beside its state.",
            *(line for number, leg in enumerate(legs, 1) for line in _leg_lines(leg, number if legs[1:] else None)),
            "",
            "## What it measures",
            "",
            f"On {metrics['n_clips']} clips of seeds {held_out_seed} and up, none of them seen in training, by",
            f"`python -m finetune scenes --out DIR --clips {metrics['n_clips']} --seed {held_out_seed}` and",
            "`python -m finetune evaluate --data DIR`. The interval is a 95 % bootstrap over clips.",
            "",
            "| metric | value | wanted | 95 % interval | meaning |",
            "|---|---|---|---|---|",
            *rows,
            *_broad_lines(folder, broad_seed),
            *_real_lines(folder),
            *_tried_lines(folder),
            "",
        ]
    )
    (folder / "CARD.md").write_text(text)


def _leg_lines(leg: Leg, number: int | None) -> list[str]:
    """What a leg saw and learned; a heading names it where there are several."""
    return [
        *([] if number is None else ["", f"### Leg {number}"]),
        "",
        f"- Data: {leg.data}.",
        f"- Hardware: {leg.hardware}; bfloat16 autocast where the processor has it.",
        *(f"- {note}" for note in leg.notes),
        "",
        "| stage | steps | peak learning rate | seed |",
        "|---|---|---|---|",
        *(f"| {name} | {steps} | {rate:g} | {seed} |" for name, steps, rate, seed in leg.stages),
    ]


def _row(name: str, meaning: str, metrics: Mapping[str, Any]) -> str:
    value = metrics[name]
    wanted = _wanted(value, *WANTED[name]) if name in WANTED else ""
    return f"| {name} | {value:.3f} | {wanted} | {_interval(name, metrics)} | {meaning} |"


def _wanted(value: float, sign: str, border: float) -> str:
    shown = round(value, 3)
    reached = shown >= border if sign == "≥" else shown <= border
    return f"{sign} {border:.2f}" if reached else f"{sign} {border:.2f}, **not reached**"


def _interval(name: str, metrics: Mapping[str, Any]) -> str:
    low, high = metrics.get(f"{name}_ci95", (None, None))
    return f"{low:.3f} to {high:.3f}" if low is not None else ""


def _broad_lines(folder: Path, seed: int) -> list[str]:
    """The section on all views and kinds of events, if they were measured."""
    if not (folder / BROAD).exists():
        return []
    metrics = json.loads((folder / BROAD).read_text())
    return [
        "",
        "### On all views and kinds of events",
        "",
        f"{metrics['n_clips']} clips of the whole world: mast, dashboard and all-round cameras too, fifteen more kinds",
        "of events (shooting, vandalism, stealing, ...) and more of normal life (people who run for a bus, children at",
        "play, ...), by",
        f"`python -m finetune scenes --wide --rich --out DIR --clips {metrics['n_clips']} --seed {seed}` and",
        "`python -m finetune evaluate --data DIR --no-segmenter`.",
        "",
        "| metric | value | 95 % interval | meaning |",
        "|---|---|---|---|",
        *(
            f"| {name} | {metrics[name]:.3f} | {_interval(name, metrics)} | {meaning} |"
            for name, meaning in MEANINGS.items()
            if name in metrics
        ),
    ]


def _real_lines(folder: Path) -> list[str]:
    """The section on real clips, if they were measured."""
    if not (folder / REAL).exists():
        return []
    real = json.loads((folder / REAL).read_text())
    return [
        "",
        "### On real footage",
        "",
        f"{real['n_clips']} clips of two seconds from real surveillance cameras, half of them fights (Aktı et al.,",
        "IPTA 2019), by `python -m finetune evaluate --data DIR --no-chat`; nothing was trained or tuned on them.",
        "",
        "| metric | value | wanted | 95 % interval | meaning |",
        "|---|---|---|---|---|",
        f"| clip_auc | {real['clip_auc']:.3f} | {_wanted(real['clip_auc'], *WANTED_OF_REAL)} | "
        f"{_interval('clip_auc', real)} | {MEANINGS['clip_auc']} |",
        *_real_clip_lines(folder / REAL_CLIPS),
    ]


def _real_clip_lines(table: Path) -> list[str]:
    if not table.exists():
        return []
    return [
        "",
        "The two example clips of Holmes-VAU's repository, whose names say what they show, by the same command without",
        "`--no-chat`:",
        "",
        "| clip | highest score | called | judgement |",
        "|---|---|---|---|",
        *(
            f"| {row['name']} | {float(row['highest']):.3f} | {'abnormal' if row['called'] == '1' else 'normal'} | "
            f"{row['judgement']} |"
            for row in unlabelled_rows(table)
        ),
    ]


def _tried_lines(folder: Path) -> list[str]:
    path = folder / TRIED
    return ["", "## What was tried", "", path.read_text().strip()] if path.exists() else []
