"""What an analysis costs beyond what cannot be avoided: decoding the clip and one pass of the vision tower.

The analysis is what a user starts: open the file (with its content hash and time base), decode, motion, tower, heatmap,
scores, cache on disk. It is set against plain decoding to the same pictures, then the tower over the same batches, one
after the other. Seconds by the clock say what a person waits for, where the analysis gains from doing two things at
once; processor seconds say how much work there is and mean the same on a busy machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from tests.benchmarks.clips import draw_clip
from tests.benchmarks.process import REPOSITORY
from tests.benchmarks.table import Row
from tests.published import write_published
from workbench.analysis import analyse, score_parts
from workbench.decode import PictureMaker, fit_size
from workbench.features import _heat, dense_pass
from workbench.profiles import ASSETS, HOLMESVAU_2B
from workbench.reader import sequential_frames
from workbench.stack.loading import ModelStack
from workbench.stack.motion import MotionScorer
from workbench.video import Clip, dense_stride

ROUNDS = 3
SECONDS = 60
THREADS = {"clock": 2, "processor": 1}


class Took(NamedTuple):
    """Seconds by the clock, and of all processors together."""

    clock: float
    processor: float


def overhead_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Analysis against decoding and encoding the same frames, in turn in one process; the median of the ratios."""
    clip = options.clip or draw_clip(folder / "clip.mp4", seconds=SECONDS, size=(640, 480))
    rows = []
    for title, stack in (("bundled", ModelStack.load("bundled", device="cpu")), ("small Holmes-VAU", _small(folder))):
        for unit, threads in THREADS.items():
            torch.set_num_threads(threads)
            _round(clip, stack)  # the first one also pays for what is made once in a process
            rounds = [_round(clip, stack) for _ in range(ROUNDS)]
            rows.append(Row(f"{title}, {unit}, {threads} threads of torch", ""))
            rows += [_times(f"  {name}", [getattr(one[name], unit) for one in rounds]) for name in rounds[0]]
            rows.append(_ratio([{name: getattr(took, unit) for name, took in one.items()} for one in rounds]))
        rows += [_times(f"    {name}", [took.processor]) for name, took in _parts(clip, stack)]
    return rows


def _times(name: str, seconds: list[float]) -> Row:
    return Row(name, f"{statistics.median(seconds):.3f} s")


def _ratio(rounds: list[dict[str, float]]) -> Row:
    found = [one["analysis"] / (one["decode"] + one["encode"]) for one in rounds]
    spread = f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"
    return Row("  analysis to decode + encode", spread, "at most 1.10")


def _timed(work: Callable[[], object]) -> Took:
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - clock, time.process_time() - processor)


def _round(path: Path, stack: ModelStack) -> dict[str, Took]:
    """Decoding the dense frames, encoding them, and analysing the clip from nothing."""
    pictures: list[np.ndarray] = []
    with Clip.open(path) as clip:
        decode = _timed(lambda: pictures.extend(_dense_pictures(clip, stack)))
    batches = [np.stack(pictures[i : i + stack.profile.batch]) for i in range(0, len(pictures), stack.profile.batch)]
    encode = _timed(lambda: [stack.backbone.encode(batch) for batch in batches])
    with tempfile.TemporaryDirectory() as cache:
        whole = _timed(lambda: _analysed(path, stack, Path(cache)))
    return {"decode": decode, "encode": encode, "analysis": whole}


def _dense_pictures(clip: Clip, stack: ModelStack) -> Iterator[np.ndarray]:
    """The dense frames as the tower gets them, and nothing else."""
    stride = dense_stride(clip.info.n_frames)
    maker = PictureMaker(clip._base.orientation, fit_size(*clip._size, 3 * stack.backbone.image_size))
    for index, frame in sequential_frames(clip.path, clip._base):
        if index % stride == 0:
            yield maker.rgb(frame)


def _analysed(path: Path, stack: ModelStack, cache: Path) -> None:
    with Clip.open(path) as clip:
        analyse(clip, stack, cache_dir=cache)


def _parts(path: Path, stack: ModelStack) -> Iterator[tuple[str, Took]]:
    """What the analysis does beside decoding and encoding, each by itself."""
    yield "opening", _timed(lambda: Clip.open(path).close())
    with Clip.open(path) as clip, tempfile.TemporaryDirectory() as cache:
        side = 3 * stack.backbone.image_size
        batches = list(clip.dense(batch=stack.profile.batch, long_side=side))
        motion = MotionScorer()
        yield "motion", _timed(lambda: [motion.update(batch.motion_pair, batch.gap_s) for batch in batches])
        seen = [stack.backbone.encode(batch.rgb) for batch in batches]
        still = [np.zeros((len(batch.index), 16, 16), np.float32) for batch in batches]
        yield "heatmaps", _timed(lambda: [_heat(stack, *pair) for pair in zip(seen, still, strict=True)])
        dense = dense_pass(clip, stack, cache_dir=Path(cache))
        yield "scores", _timed(lambda: score_parts(stack, dense))
        yield "the rest: cache, sampler, events", _timed(lambda: analyse(clip, stack, cache_dir=Path(cache)))


def _small(folder: Path) -> ModelStack:
    """A small checkpoint in the published Holmes-VAU layout, converted and loaded as a user's would be.

    The shared one, on which parity is tested, where it is at hand; else a smaller one with random weights.
    """
    shared = Path(os.environ.get("WORKBENCH_SHARED", REPOSITORY.parent / "shared")) / "data/holmesvau/parity/small"
    source = folder / "published"
    if shared.is_dir():
        shutil.copytree(shared, source, copy_function=shutil.copyfile)
    else:
        write_published(source)
    source.chmod(0o755)
    shutil.copytree(ASSETS / "bundled" / "segmenter", source / "segmenter")
    return ModelStack.load(replace(HOLMESVAU_2B, source=source), device="cpu")
