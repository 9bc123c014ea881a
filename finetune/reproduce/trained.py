"""What the trained tables share: encoded scenes, some to train on and some to measure on."""

from __future__ import annotations

import numpy as np

from finetune.encoded import EncodedWorld
from finetune.reproduce.bench import Bench, logger
from finetune.world import Scenes, WorldCache, build_clip

SEED = 40_000


def encoded_world(bench: Bench) -> tuple[EncodedWorld, range, range]:
    """The encoded scenes, the numbers to train on and the numbers to measure on; what is missing is made."""
    sizes = bench.sizes
    total, seed = sizes.train_clips + sizes.test_clips, SEED + 10_000 * bench.seed
    world = WorldCache(bench.work / "world", Scenes(seed, total))
    world.folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(world.paths):
        if not path.exists():
            build_clip(path, seed + number)
            if number % 50 == 49:
                logger.info("scenes: %s of %s", number + 1, total)
    encoded = EncodedWorld(bench.work / "encoded", world)
    for done in encoded.build(bench.stack.backbone, bench.stack.heatmap):  # type: ignore[arg-type]
        if done % 50 == 0:
            logger.info("encoded: %s of %s", done, total)
    return encoded, range(sizes.train_clips), range(sizes.train_clips, total)


def labels_of(encoded: EncodedWorld, numbers: range) -> list[np.ndarray]:
    """Frame labels `[T]` of some scenes."""
    return [encoded.clip(number).label for number in numbers]
