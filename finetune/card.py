"""The card beside the bundled weights: how they were made, and what they measured on clips never trained on."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune.evaluate import unlabelled_rows

if TYPE_CHECKING:
    from finetune.bundle import BundleRecipe
    from finetune.segmenter import SegmenterRecipe

LEGS = "legs.json"
REAL = "real.json"
"""Metrics of the weights on real clips: what `finetune evaluate` writes, beside them where somebody measured it."""
REAL_CLIPS = "real_clips.csv"
"""The same command's table of real clips that nobody labelled."""
UNTAUGHT = "untaught.json"
"""Metrics of the weights on drawn kinds of events that they were not trained on."""
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


@dataclass(frozen=True, slots=True)
class Leg:
    """One run of the recipe: what it saw, on what machine, and how long each stage learned.

    Attributes:
        command: that makes it. data, hardware: in words. stages: (name, steps, peak learning rate, seed).
        notes: in which way the run departed from its command, in sentences.
    """

    command: str
    data: str
    hardware: str
    stages: tuple[tuple[str, int, float, int], ...]
    notes: tuple[str, ...] = ()


def leg_of(recipe: BundleRecipe) -> Leg:
    """The leg that a recipe describes, on this machine."""
    loops = {phase.name: phase.loop for phase in recipe.vision}
    names = ("heatmap", "scorer", "chat") if recipe.start else ("language", "heatmap", "scorer", "chat")
    loops |= {name: getattr(recipe, name) for name in names}
    return Leg(
        f"python -m finetune bundle {'--start' if recipe.start else '--out'} DIR",
        f"{recipe.clips} procedural clips (6-12 s, 320×240), seeds {_seeds(recipe.seed, recipe.clips)}; for the vision "
        f"tower, {recipe.seen_frames} frames each of {recipe.seen_clips} more scenes, seeds "
        f"{_seeds(recipe.seen_seed, recipe.seen_clips)}{_breadth(recipe)}{_masked(recipe)}; for familiarity and "
        f"fusion, {recipe.calibration_clips} clips of seeds "
        f"{_seeds(recipe.calibration_seed, recipe.calibration_clips)}",
        f"{_cpu()}, {recipe.processes} processes of one thread",
        (
            *((name, loop.steps, loop.lr, loop.seed) for name, loop in loops.items()),
            *(row for masks in recipe.segmenter for row in _mask_stages(masks)),
        ),
    )


def _mask_stages(masks: SegmenterRecipe) -> tuple[tuple[str, int, float, int], ...]:
    return (
        ("segmenter, pictures", masks.picture_steps, masks.lr, masks.seed),
        ("segmenter, videos", masks.video_steps, masks.video_lr, masks.seed),
    )


def _seeds(first: int, count: int) -> str:
    return f"{first} to {first + count - 1}"


def _masked(recipe: BundleRecipe) -> str:
    """What the segmenter learned from, if it was trained."""
    seeds = ", then ".join(_seeds(masks.first_scene, masks.n_scenes) for masks in recipe.segmenter)
    return f"; for the segmenter, scenes with an event, seeds {seeds}" if seeds else ""


def _breadth(recipe: BundleRecipe) -> str:
    """What is among the scenes beside the usual views and kinds of events."""
    more = ["mast, dashboard and all-round cameras"] if recipe.wide else []
    more += ["the kinds of events and the normal life of the rich world"] if recipe.rich else []
    return "; among both, " + " and ".join(more) if more else ""


def legs_of(folder: Path) -> list[Leg]:
    """The legs that made the weights in `folder`; none where it does not say."""
    path = folder / LEGS
    if not path.exists():
        return []
    return [
        Leg(
            row["command"],
            row["data"],
            row["hardware"],
            tuple((str(n), int(s), float(lr), int(seed)) for n, s, lr, seed in row["stages"]),
            tuple(row["notes"]),
        )
        for row in json.loads(path.read_text())
    ]


def write_legs(folder: Path, legs: Sequence[Leg]) -> None:
    """Keep the legs beside the weights they made, so that the next one can tell of them."""
    (folder / LEGS).write_text(json.dumps([asdict(leg) for leg in legs], indent=1, ensure_ascii=False) + "\n")


def write_card(folder: Path, held_out_seed: int, metrics: Mapping[str, Any]) -> None:
    """Write `CARD.md` and `metrics.json` into `folder`, which holds the weights and their legs.

    Args:
        held_out_seed: first seed of the measured clips. metrics: the flat document of `finetune.evaluate`.
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
            *(leg.command for leg in legs),
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
            *_untaught_lines(folder),
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


def _untaught_lines(folder: Path) -> list[str]:
    """The section on kinds of events that were kept from training, if they were measured."""
    if not (folder / UNTAUGHT).exists():
        return []
    metrics = json.loads((folder / UNTAUGHT).read_text())
    return [
        "",
        "### On what it was not taught",
        "",
        f"{metrics['n_clips']} clips of the richer world: beside the usual, fifteen more kinds of events (shooting,",
        "vandalism, stealing, ...) and more of normal life (people who run for a bus, children at play, ...), by",
        f"`python -m finetune scenes --rich --out DIR --clips {metrics['n_clips']} --seed 970000` and",
        "`python -m finetune evaluate --data DIR --no-chat --no-segmenter`.",
        "",
        "| metric | value | 95 % interval | meaning |",
        "|---|---|---|---|",
        *(
            f"| {name} | {metrics[name]:.3f} | {_interval(name, metrics)} | {MEANINGS[name]} |"
            for name in ("frame_auc", "clip_auc", "pixel_auc", "ece")
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


def _cpu() -> str:
    """The processor's own name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
