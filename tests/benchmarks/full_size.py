"""The Holmes-VAU 2B architecture at its true size on a GPU, random weights, bf16: first tokens, the dense pass, memory.

Random weights compute as long as trained ones; what they say is noise. Without a GPU every row says "not measured".
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.benchmarks.clips import draw_clip
from tests.benchmarks.table import Row
from tests.full_size import full_size_stack
from workbench.analysis import analyse
from workbench.conversation import Conversation
from workbench.records import Analysis
from workbench.stack.loading import ModelStack
from workbench.video import Clip

PROFILE = "holmesvau-2b"
PAPER_MS = {8: 244, 16: 566, 32: 1402}
"""First-token latency that Holmes-VAU reports for its 2B model at N sampled frames, on an A100."""
SECOND_TURN_MS = 60
CLAIMED_GB = 9.0
VIT_BATCH = 32
ROUNDS = 7
MEASURED = (
    "vision tower's share of the GPU's peak",
    "dense pass of a 60 s clip",
    *(f"first token, N = {frames}" for frames in PAPER_MS),
    "second turn, to its first token",
    "peak memory, N = 16",
)


def gpu_rows(folder: Path, _options: argparse.Namespace) -> list[Row]:
    """All numbers of the full-size profile; the first round of each is a warm-up and does not count."""
    if not torch.cuda.is_available():
        why = "torch is built without CUDA" if torch.version.cuda is None else "no CUDA device"
        return [Row(f"{PROFILE} on a GPU", why), *(Row(f"  {what}", "not measured") for what in MEASURED)]
    stack = full_size_stack(PROFILE, folder, torch.device("cuda"))
    rows = [Row(f"{PROFILE}, random weights, bf16", torch.cuda.get_device_name())]
    with Clip.open(draw_clip(folder / "clip.mp4", seconds=60, size=(640, 480))) as clip:
        rows += _dense_rows(clip, stack, folder)
        for frames, paper in PAPER_MS.items():
            found = analyse(clip, stack, n_frames=frames, cache_dir=folder / "features")
            first, second = _turns(stack, found)
            rows.append(Row(f"  first token, N = {frames}", f"{first:.0f} ms", f"below {paper} ms"))
            rows.append(Row("    second turn", f"{second:.0f} ms", f"at most {SECOND_TURN_MS} ms"))
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        found = analyse(clip, stack, n_frames=16, cache_dir=folder / "again")
        Conversation(stack, found).say("judgement")
    peak = torch.cuda.max_memory_allocated() / 1e9
    return [*rows, Row("  peak memory, N = 16", f"{peak:.1f} GB", f"at most {CLAIMED_GB:g} GB")]


def _turns(stack: ModelStack, found: Analysis) -> tuple[float, float]:
    """Median milliseconds to the first token of the first turn (the video is read) and of the second."""
    first, second = [], []
    for _ in range(ROUNDS):
        talk = Conversation(stack, found)
        first.append(_first_token_ms(talk.ask("judgement")))
        second.append(_first_token_ms(talk.ask("description")))
    return statistics.median(first[1:]), statistics.median(second[1:])


def _first_token_ms(pieces: Iterator[str]) -> float:
    torch.cuda.synchronize()
    began = time.perf_counter()
    next(pieces, "")
    torch.cuda.synchronize()
    passed = 1000 * (time.perf_counter() - began)
    for _ in pieces:
        pass
    return passed


def _dense_rows(clip: Clip, stack: ModelStack, folder: Path) -> list[Row]:
    """Which is first in the dense pass, the vision tower or decoding, and how much of the GPU the tower uses."""
    rgb = np.random.default_rng(0).integers(0, 255, (VIT_BATCH, 448, 448, 3), np.uint8)
    times = []
    for _ in range(ROUNDS):
        torch.cuda.synchronize()
        began = time.perf_counter()
        stack.backbone.encode(rgb)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    vit_s = statistics.median(times[1:])
    share = VIT_BATCH * _vit_flops(stack.backbone) / vit_s / _peak_flops()
    began = time.perf_counter()
    frames = sum(len(batch.index) for batch in clip.dense(16, batch=VIT_BATCH, long_side=3 * 448))
    decode_s = time.perf_counter() - began
    began = time.perf_counter()
    analyse(clip, stack, cache_dir=folder / "features")
    whole_s = time.perf_counter() - began
    slower = "decoding" if decode_s / frames > vit_s / VIT_BATCH else "the vision tower"
    return [
        Row("  vision tower", f"{VIT_BATCH / vit_s:.0f} frames/s, {share:.0%} of measured peak", "at least 60 %"),
        Row("  decoding", f"{frames / decode_s:.0f} dense frames/s"),
        Row(f"  dense pass, 60 s clip, bound by {slower}", f"{whole_s:.1f} s"),
    ]


def _vit_flops(backbone: Any) -> float:
    """Floating-point operations of the tower for one frame: two a weight and patch, and those of attention."""
    tower = backbone.model.model.vision_tower
    weights = sum(p.numel() for layer in tower.encoder.layer for p in layer.parameters() if p.ndim == 2)
    config = backbone.model.config.vision_config
    patches = (config.image_size[0] // config.patch_size[0]) ** 2 + 1
    attention = 4 * config.num_hidden_layers * patches**2 * config.hidden_size
    return float(2 * weights * patches + attention)


def _peak_flops() -> float:
    """Operations a second that a large bf16 matrix product reaches on this GPU."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    times = []
    for _ in range(12):
        torch.cuda.synchronize()
        began = time.perf_counter()
        a @ a
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return 2 * 8192**3 / statistics.median(times[2:])
