"""Clips of what a stack already knows, replayed against forgetting: the street world it was made from.

Two sets that never meet: scenes for training (seeds from 600 000) and the bundled hold-out (seeds from 950 000, on
which no run may train). Neither was seen when the bundled weights were made: on scenes learned by heart the loss is
nothing, and what has no loss holds nothing in place. They are rendered once and kept in the cache.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from finetune.records import TrainingClip
from finetune.scenes import sample_scene, write_scene
from finetune.scenes.truth import read_truth_file
from finetune.segmenter import HELD_OUT_SEED
from finetune.snapshot import Side, side_of
from finetune.sources import from_folder, from_scene
from workbench.errors import ClipError, DataError
from workbench.files import cache_root
from workbench.probe import probe

TRAIN_SEED = 600_000
LEAST, MOST = 60, 120
"""Bounds of the number of scenes that are replayed: a few new clips need as many old ones beside them as many do."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Clips and the sides they are forced to."""

    clips: tuple[TrainingClip, ...] = ()
    sides: tuple[tuple[str, Side], ...] = ()


def street_folder() -> Path:
    """Where rendered scenes are kept."""
    return cache_root() / "street"


def street(
    n_new: int,
    share: float,
    held_out: int,
    *,
    folder: Path | None = None,
    tell: Callable[[str, int, int], None] | None = None,
) -> Replay:
    """Scenes for `n_new` new clips: so many that replay makes up `share` of all, and `held_out` more for testing."""
    wanted = 0 if share <= 0 else max(LEAST, min(MOST, round(n_new * share / (1 - share))))
    folder = folder or street_folder()
    clips: list[TrainingClip] = []
    sides: list[tuple[str, Side]] = []
    seeds = [*range(TRAIN_SEED, TRAIN_SEED + wanted), *range(HELD_OUT_SEED, HELD_OUT_SEED + held_out)]
    for number, seed in enumerate(seeds):
        if tell:
            tell("street", number, len(seeds))
        clip = _scene(folder, seed)
        kept: Side = "hold_out"
        if seed < HELD_OUT_SEED:
            kept = "valid" if side_of(clip.sha256) == "valid" else "train"
        clips.append(clip)
        sides.append((clip.sha256, kept))
    return Replay(tuple(clips), tuple(sides))


def from_clips(folder: Path) -> Replay:
    """Clips of a folder in any layout that training reads; their hashes decide their sides."""
    return Replay(tuple(from_folder(folder).clips))


def _scene(folder: Path, seed: int) -> TrainingClip:
    known = list((folder / "truth").glob(f"*_{seed:06d}.json"))
    if known:
        path = folder / "clips" / f"{known[0].stem}.mp4"
        with contextlib.suppress(ClipError, DataError):  # one that was cut off, or left without its clip: drawn anew
            return from_scene(read_truth_file(known[0]), probe(path)[0])
    path = write_scene(sample_scene(seed, seconds=(6, 12), size=(320, 240)), folder)
    return from_scene(read_truth_file(folder / "truth" / f"{path.stem}.json"), probe(path)[0])
