"""What an analysis costs beyond what cannot be avoided: decoding the clip and one pass of the vision tower."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from tests.benchmarks.clips import draw_clip
from tests.benchmarks.table import Row
from tests.published import write_published
from workbench.analysis import analyse
from workbench.profiles import ASSETS, HOLMESVAU_2B
from workbench.stack.loading import ModelStack
from workbench.video import Clip, dense_stride

ROUNDS = 3


def overhead_rows(folder: Path, _options: argparse.Namespace) -> list[Row]:
    """Analysis against decoding and encoding the same frames, in turn in one process; the median of the ratios."""
    torch.set_num_threads(2)
    clip = draw_clip(folder / "clip.mp4", seconds=60, size=(640, 480))
    rows = []
    for title, stack in (("bundled", ModelStack.load("bundled", device="cpu")), ("small Holmes-VAU", _small(folder))):
        decode, encode, whole = zip(*(_round(clip, stack) for _ in range(ROUNDS)), strict=True)
        ratio = statistics.median(w / (d + e) for d, e, w in zip(decode, encode, whole, strict=True))
        rows += [
            Row(f"{title}: decode, encode", f"{statistics.median(decode):.2f} s, {statistics.median(encode):.2f} s"),
            Row("  analysis end to end", f"{statistics.median(whole):.2f} s"),
            Row("  ratio to decode + encode", f"{ratio:.3f}", "at most 1.10"),
        ]
    return rows


def _round(path: Path, stack: ModelStack) -> tuple[float, float, float]:
    """Seconds to decode the dense frames, to encode them, and to analyse the clip from nothing."""
    side = 3 * stack.backbone.image_size
    encode = 0.0

    def timed(work: Callable[[], object]) -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    with Clip.open(path) as clip:
        began = time.perf_counter()
        for batch in clip.dense(dense_stride(clip.info.n_frames), batch=stack.profile.batch, long_side=side):
            encode += timed(lambda rgb=batch.rgb: stack.backbone.encode(rgb))  # type: ignore[misc]
        decode = time.perf_counter() - began - encode
    with Clip.open(path) as clip, tempfile.TemporaryDirectory() as cache:
        whole = timed(lambda: analyse(clip, stack, cache_dir=Path(cache)))
    return decode, encode, whole


def _small(folder: Path) -> ModelStack:
    """A random checkpoint in the published Holmes-VAU layout, converted and loaded as a user's would be."""
    import shutil
    from dataclasses import replace

    source = write_published(folder / "published")
    shutil.copytree(ASSETS / "bundled" / "segmenter", source / "segmenter")
    return ModelStack.load(replace(HOLMESVAU_2B, source=source), device="cpu")
