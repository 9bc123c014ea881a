"""The runs that made weights, kept beside them: what each saw, on what machine, and how long each stage learned."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from finetune.recipe import BundleRecipe
from finetune.segmenter import SegmenterRecipe
from finetune.world import Scenes

LEGS = "legs.json"


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
        "python -m finetune bundle",
        f"procedural clips (6-12 s, 320×240), {_scenes(recipe.whole)}{_glimpsed(recipe)}{_masked(recipe)}"
        f"{_calibrated(recipe)}",
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


def _glimpsed(recipe: BundleRecipe) -> str:
    """What the vision tower learned from."""
    return f"; for the vision tower, {recipe.seen_frames} frames each of more scenes, {_scenes(recipe.seen)}"


def _masked(recipe: BundleRecipe) -> str:
    """What the segmenter learned from, if it was trained."""
    seeds = ", then ".join(_seeds(masks.first_scene, masks.n_scenes) for masks in recipe.segmenter)
    return f"; for the segmenter, scenes with an event, seeds {seeds}" if seeds else ""


def _calibrated(recipe: BundleRecipe) -> str:
    """What familiarity and fusion were fitted on, if they were."""
    return f"; for familiarity and fusion, {_scenes([recipe.calibration])}" if recipe.calibration else ""


def _scenes(scenes: Sequence[Scenes]) -> str:
    """How many, of which seeds, and what is among them beside the usual views and kinds of events."""
    return " and ".join(f"{some.clips} of seeds {_seeds(some.seed, some.clips)}{_breadth(some)}" for some in scenes)


def _breadth(scenes: Scenes) -> str:
    more = ["mast, dashboard and all-round cameras"] if scenes.wide else []
    more += ["the events and the normal life of the rich world"] if scenes.rich else []
    return f" ({', '.join(more)} among them)" if more else ""


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


def _cpu() -> str:
    """The processor's own name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
