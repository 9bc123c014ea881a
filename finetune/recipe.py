"""The recipe of the bundled weights: every number of its two legs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from finetune.errors import TrainingError
from finetune.loop import LoopConfig
from finetune.segmenter import SegmenterRecipe
from finetune.vision import VisionPhase
from finetune.world import Scenes

HELD_OUT = Scenes(960_000, 200)
HELD_OUT_BROAD = Scenes(970_000, 100, wide=True, rich=True)
"""What the card measures: clips of the usual, and of all views and kinds of events."""


@dataclass(frozen=True, slots=True)
class BundleRecipe:
    """Every number of a leg; the card repeats them."""

    start: Path | None = None
    """Bundle to go on from; its tokenizer and language are kept. None: from nothing."""
    whole: tuple[Scenes, ...] = (Scenes(0, 1200),)
    """Scenes seen from beginning to end: the scorer, the dialogue and the heatmap decoder learn from them."""
    seen: tuple[Scenes, ...] = (Scenes(10_000, 9000),)
    seen_frames: int = 16
    """The vision tower learns from glimpses of many more."""
    seed: int = 0
    """Of new weights."""
    processes: int = 2
    vision: tuple[VisionPhase, ...] = (
        VisionPhase(
            "vision_people", LoopConfig(steps=7000, lr=8e-4, seed=1, save_every=100, parts=2), batch=40, kept=64
        ),
        VisionPhase("vision_whole", LoopConfig(steps=300, lr=2e-4, seed=2, save_every=50, parts=2), 32, kept=None),
    )
    language: LoopConfig = field(default_factory=lambda: LoopConfig(steps=200, lr=1e-3))
    heatmap: LoopConfig = field(default_factory=lambda: LoopConfig(steps=300, lr=2e-3))
    scorer: LoopConfig = field(default_factory=lambda: LoopConfig(steps=500, lr=3e-4, weight_decay=1e-4))
    chat: LoopConfig = field(default_factory=lambda: LoopConfig(steps=380, lr=1e-3, save_every=20, parts=2))
    chat_batch: int = 12
    segmenter: tuple[SegmenterRecipe, ...] = (
        SegmenterRecipe(n_scenes=700, picture_steps=1430, video_steps=400, save_every=200),
        SegmenterRecipe(seed=1, n_scenes=2600, picture_steps=7500, video_steps=2600, lr=8e-4, save_every=200),
        SegmenterRecipe(
            seed=2, first_scene=40_000, n_scenes=3000, picture_steps=8000, video_steps=2800, lr=8e-4, save_every=200
        ),
    )
    """Stretches, each of which goes on from the one before; one stretch of 12000 + 4000 steps came out worse."""
    calibration: Scenes | None = None
    """What familiarity and fusion are fitted on; the last leg has it."""


def second_leg(start: Path) -> BundleRecipe:
    """The recipe that goes on from `start`: whole pictures of new scenes, then everything that reads them."""
    return BundleRecipe(
        start=start,
        whole=(Scenes(20_000, 900),),
        seen=(Scenes(30_000, 4000),),
        seed=20_000,
        vision=(
            VisionPhase("vision_heads", LoopConfig(steps=120, lr=3e-3, seed=3, parts=2), 40, kept=64, frozen=True),
            VisionPhase("vision_whole", LoopConfig(steps=750, lr=2e-4, seed=4, save_every=50, parts=2), 32, kept=None),
        ),
        heatmap=LoopConfig(steps=200, lr=1e-3, seed=1),
        scorer=LoopConfig(steps=400, lr=3e-4, weight_decay=1e-4, seed=1),
        chat=LoopConfig(steps=600, lr=8e-4, save_every=20, parts=2, seed=1),
        segmenter=(),
        calibration=Scenes(500_000, 200),
    )


def keep_recipe(path: Path, recipe: BundleRecipe) -> None:
    """Write the recipe beside what its stages leave; `processes` does not count, any number of them makes the same.

    Raises:
        TrainingError: there is another one.
    """
    numbers = {name: value for name, value in asdict(recipe).items() if name != "processes"}
    text = json.dumps(numbers, indent=1, default=str) + "\n"
    if path.exists() and path.read_text() != text:
        raise TrainingError(
            f"{path.parent} holds what another recipe, or one from other weights, has left; give another --work, or "
            "delete it."
        )
    path.write_text(text)
