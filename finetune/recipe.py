"""The recipe of the bundled weights: every number of its four legs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from finetune.loop import LoopConfig
from finetune.segmenter import SegmenterRecipe
from finetune.vision import VisionPhase
from finetune.world import Scenes

KEEP = 0.4
"""Chosen among 0, 0.2 and 0.4 on scenes of seeds 930000 and 931000, by the scorer and the heatmap."""
RICH = Scenes(20_000, 900, wide=True, rich=True)
RICH_SEEN = Scenes(30_000, 4000, wide=True, rich=True)


@dataclass(frozen=True, slots=True)
class BundleRecipe:
    """Every number of the recipe; the card repeats them."""

    start: Path | None = None
    """Bundle to go on from; its tokenizer and language are kept. None: from nothing."""
    kept: Path | None = None
    """Bundle whose vision tower is not to be forgotten: the tower moves the share `keep` of the way back to it."""
    keep: float = 0.0
    whole: tuple[Scenes, ...] = (Scenes(0, 2400, wide=True),)
    """Scenes seen from beginning to end: the scorer, the dialogue and the heatmap decoder learn from them."""
    seen: tuple[Scenes, ...] = (Scenes(100_000, 12_000, wide=True),)
    seen_frames: int = 14
    """The vision tower learns from glimpses of many more."""
    seed: int = 0
    """Of new weights."""
    processes: int = 2
    vision: tuple[VisionPhase, ...] = (
        VisionPhase(
            "vision_people", LoopConfig(steps=8000, lr=8e-4, seed=1, save_every=100, parts=2), batch=40, kept=64
        ),
        VisionPhase("vision_whole", LoopConfig(steps=1200, lr=3e-4, seed=2, save_every=50, parts=2), 32, kept=None),
    )
    language: LoopConfig = field(default_factory=lambda: LoopConfig(steps=300, lr=1e-3))
    heatmap: LoopConfig = field(default_factory=lambda: LoopConfig(steps=500, lr=2e-3))
    scorer: LoopConfig = field(default_factory=lambda: LoopConfig(steps=800, lr=3e-4, weight_decay=1e-4))
    chat: LoopConfig = field(default_factory=lambda: LoopConfig(steps=1000, lr=1e-3, save_every=20, parts=2))
    chat_batch: int = 12
    segmenter: tuple[SegmenterRecipe, ...] = (
        SegmenterRecipe(n_scenes=700, picture_steps=1430, video_steps=400, save_every=200),
        SegmenterRecipe(seed=1, n_scenes=2600, picture_steps=7500, video_steps=2600, lr=8e-4, save_every=200),
        SegmenterRecipe(
            seed=2, first_scene=40_000, n_scenes=3000, picture_steps=8000, video_steps=2800, lr=8e-4, save_every=200
        ),
    )
    """Stretches, each of which goes on from the one before; one stretch of 12000 + 4000 steps came out worse."""
    calibration_clips: int = 200
    calibration_seed: int = 500_000
    held_out_clips: int = 200
    held_out_seed: int = 960_000
    broad_clips: int = 100
    broad_seed: int = 970_000
    """Held-out clips of all views and kinds of events."""


def second_leg(start: Path) -> BundleRecipe:
    """The recipe that goes on from `start`: whole pictures of richer scenes, then everything that reads them."""
    return BundleRecipe(
        start=start,
        whole=(RICH,),
        seen=(RICH_SEEN,),
        seed=20_000,
        vision=(
            VisionPhase("vision_heads", LoopConfig(steps=120, lr=3e-3, seed=3, parts=2), 40, kept=64, frozen=True),
            VisionPhase("vision_whole", LoopConfig(steps=750, lr=2e-4, seed=4, save_every=50, parts=2), 32, kept=None),
        ),
        heatmap=LoopConfig(steps=200, lr=1e-3, seed=1),
        scorer=LoopConfig(steps=400, lr=3e-4, weight_decay=1e-4, seed=1),
        chat=LoopConfig(steps=600, lr=8e-4, save_every=20, parts=2, seed=1),
        segmenter=(),
    )


def third_leg(start: Path) -> BundleRecipe:
    """The recipe that goes on from the second leg's weights: scenes of both legs, so that neither is forgotten."""
    return BundleRecipe(
        start=start,
        whole=(RICH, Scenes(0, 900, wide=True)),
        seen=(RICH_SEEN, Scenes(100_000, 4000, wide=True)),
        seed=40_000,
        vision=(
            VisionPhase("vision_heads", LoopConfig(steps=100, lr=3e-3, seed=5, parts=2), 40, kept=64, frozen=True),
            VisionPhase("vision_whole", LoopConfig(steps=1300, lr=2e-4, seed=6, save_every=50, parts=2), 32, kept=None),
        ),
        heatmap=LoopConfig(steps=150, lr=1e-3, seed=2),
        scorer=LoopConfig(steps=400, lr=3e-4, weight_decay=1e-4, seed=2),
        chat=LoopConfig(steps=1000, lr=8e-4, save_every=20, parts=2, seed=2),
        segmenter=(),
    )


def fourth_leg(start: Path, first: Path) -> BundleRecipe:
    """The recipe that goes on from the third leg's weights, with a tower between its own and that of the first leg.

    That one sees usual scenes better, and on rich ones it takes little away; what reads the tower learns it anew.
    """
    return BundleRecipe(
        start=start,
        kept=first,
        keep=KEEP,
        whole=(RICH, Scenes(900, 900, wide=True)),
        seen=(),
        seed=60_000,
        vision=(),
        heatmap=LoopConfig(steps=200, lr=1e-3, seed=3),
        scorer=LoopConfig(steps=600, lr=3e-4, weight_decay=1e-4, seed=3),
        chat=LoopConfig(steps=900, lr=8e-4, save_every=20, parts=2, seed=3),
        segmenter=(),
    )
