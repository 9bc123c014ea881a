"""Drawn clips to learn from, and settings that are enough for them: a large bright square comes in and is masked."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from finetune.loop import LoopConfig
from finetune.records import Entity, Said, TrainingClip
from finetune.sources import judgement_text
from finetune.tune_chat import ChatTuning
from finetune.tune_heatmap import HeatmapTuning
from finetune.tune_scorer import ScorerTuning
from tests.drawn import write_clip
from workbench.masks import encode_rle
from workbench.probe import probe
from workbench.prompts import STANDARD_QUESTIONS

SIZE = (96, 64)
FRAMES, RATE = 24, 8
EVENT = (8, 20)
"""Frames `[first, stop)` of the event of an abnormal clip."""

# Steps enough that every seed gets there: random class tokens are slow to learn from.
SCORER = ScorerTuning(
    loop=LoopConfig(steps=300, lr=5e-3, weight_decay=0.0, save_every=5, log_every=1), batch=8, check_every=25
)
HEATMAP = HeatmapTuning(loop=LoopConfig(steps=30, lr=5e-3, save_every=10), batch=8, per_clip=4, check_every=10)
CHAT = ChatTuning(rank=4, alpha=8, lr=5e-3, epochs=2, batch=4, micro=2, checkpointing=False, looks=2)


def paint(seed: int, abnormal: bool, i: int) -> np.ndarray:
    rng = np.random.default_rng((seed, i))
    picture = np.full((SIZE[1], SIZE[0], 3), 90 + seed % 9, np.uint8)
    picture += rng.integers(0, 20, picture.shape, dtype=np.uint8)
    if abnormal and EVENT[0] <= i < EVENT[1]:
        picture[16:48, 24 + i : 56 + i] = (250, 60, 20)
    return picture


def mask_at(i: int) -> np.ndarray:
    mask = np.zeros((SIZE[1], SIZE[0]), bool)
    mask[16:48, 24 + i : 56 + i] = True
    return mask


def drawn_clip(folder: Path, seed: int, *, abnormal: bool, times: bool = True, masks: bool = True) -> TrainingClip:
    """A clip and its truth; 3 s, the event from 1.0 to 2.5 s."""
    path = folder / f"cam{seed % 2}_{seed}.mp4"
    if not path.exists():
        write_clip(path, lambda i: paint(seed, abnormal, i), FRAMES, rate=RATE)
    info, _ = probe(path)
    entities: tuple[Entity, ...] = ()
    if abnormal and masks:
        rles = {i: encode_rle(mask_at(i)) for i in range(*EVENT)}
        entities = (Entity(1, "object", "a bright square", "moves right", True, EVENT[0], EVENT[1] - 1, rles),)
    said = Said("video", ((STANDARD_QUESTIONS["judgement"], judgement_text(int(abnormal), "square")),))
    spans = ((EVENT[0] / RATE, EVENT[1] / RATE),) if abnormal else ()
    return TrainingClip(
        name=path.stem,
        sha256=info.sha256,
        path=str(path),
        source="corrections",
        revision="main:1",
        n_frames=info.n_frames,
        fps=info.fps,
        width=info.width,
        height=info.height,
        label=int(abnormal),
        category="square" if abnormal else None,
        spans_s=spans if times or not abnormal else None,
        entities=entities,
        said=(said,),
    )


def drawn_clips(folder: Path, count: int = 12, first: int = 0) -> list[TrainingClip]:
    """Clips in turn abnormal and normal."""
    folder.mkdir(parents=True, exist_ok=True)
    return [drawn_clip(folder, seed, abnormal=seed % 2 == 0) for seed in range(first, first + count)]
