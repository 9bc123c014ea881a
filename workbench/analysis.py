"""`analyse(clip, stack)`: clip → features → scores → sampled frames, events and heatmaps."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from workbench.errors import InputError
from workbench.events import find_events, smooth
from workbench.features import DensePass, Progress, dense_pass
from workbench.peak import peak_rss_mb
from workbench.records import Analysis, DenseScores, Heatmaps
from workbench.stack.familiarity import mean_tokens
from workbench.stack.fusion import FAMILIARITY, ZERO_SHOT, heat_peaks
from workbench.stack.loading import ModelStack
from workbench.stack.motion import LONGEST_GAP_S
from workbench.stack.sampler import SamplerName, sample_frames
from workbench.stack.scorer import AnomalyScorer
from workbench.video import Clip
from workbench.zero_shot import zero_shot_scores

FRAME_CHOICES = (8, 12, 16, 32)
SLOW_STEP_S = 0.25
"""From this time between pictures on, the motion score tells a fight from a walk much less well."""


def analyse(
    clip: Clip,
    stack: ModelStack,
    *,
    sampler: SamplerName = "ats",
    n_frames: int | None = None,
    threshold: float | None = None,
    progress: Progress | None = None,
    cache_dir: Path | None = None,
) -> Analysis:
    """Score every moment of a clip and gather the evidence.

    Args:
        clip: an open clip. stack: the models.
        sampler: which frames the language model will see; `ats` is Holmes-VAU eq. 2.
        n_frames: how many of them; the profile's number if None.
        threshold: fused score from which a moment is abnormal; the calibrated one if None.
        progress: told about the stages `encode`, `score` and `done`; what it raises ends the analysis.
        cache_dir: where features are kept between analyses of the same content.

    Raises:
        InputError: threshold or frame count out of range. ClipError: the clip does not decode.
    """
    n_frames = stack.profile.n_frames if n_frames is None else n_frames
    threshold = stack.fusion.threshold if threshold is None else threshold
    if not 1 <= n_frames <= 128:
        raise InputError(f"The number of sampled frames must lie between 1 and 128, not {n_frames}.")
    if not 0 < threshold < 1:
        raise InputError(f"The threshold must lie between 0 and 1, not {threshold}.")
    began = time.perf_counter()
    dense = dense_pass(clip, stack, cache_dir=cache_dir, progress=progress)
    encoded = time.perf_counter()
    if progress:
        progress("score", 0.0, None)
    parts = score_parts(stack, dense, progress)
    fused = smooth(stack.fusion(parts), dense.time_s)
    picked = sample_frames(fused, n_frames, sampler)
    scored = time.perf_counter()
    analysis = Analysis(
        clip=clip.info,
        profile=stack.profile.name,
        adapter=stack.adapter,
        dense=DenseScores(
            stride=dense.stride,
            frame_index=dense.frame_index,
            time_s=dense.time_s,
            score=fused,
            parts=parts,
        ),
        frame_score=np.repeat(fused, dense.stride)[: clip.info.n_frames],
        sampled_frames=[int(dense.frame_index[i]) for i in picked],
        sampler=sampler,
        threshold=threshold,
        events=find_events(fused, dense.time_s, threshold=threshold, end_s=clip.info.duration_s),
        heatmaps=Heatmaps(dense.frame_index, dense.features.heatmap),
        timings_s={"encode": encoded - began, "score": scored - encoded},
        peak_rss_mb=peak_rss_mb(),
        warnings=[*clip.info.warnings, *_slow(clip), *_unfamiliar(parts)],
        stand_ins=stack.stand_ins,
        features=dense.features,
    )
    if progress:
        progress("done", 1.0, None)
    return analysis


def motion_leads(parts: Mapping[str, np.ndarray]) -> bool:
    """Whether footage is so unfamiliar that the motion score makes most of the curve."""
    return FAMILIARITY in parts and len(parts[FAMILIARITY]) > 0 and float(parts[FAMILIARITY][0]) < 0.5


def _slow(clip: Clip) -> list[str]:
    """A sentence for the person where pictures come so rarely that little can be said of motion."""
    step_s = float(np.median(np.diff(clip.times_s))) if clip.n_frames > 1 else 0.0
    if step_s < SLOW_STEP_S - 0.002:  # a coarse clock's rounding
        return []
    known = "is only estimated, and quick blows may be missed" if step_s <= LONGEST_GAP_S else "counts as none"
    return [
        f"This clip has {1 / step_s:.2g} pictures a second: motion between them {known}. "
        "Record 10 or more a second for a motion score that can be relied upon."
    ]


def _unfamiliar(parts: Mapping[str, np.ndarray]) -> list[str]:
    """A sentence for the person where the trained parts have little to say."""
    if not motion_leads(parts):
        return []
    return [
        "This footage looks unlike what the models learned on "
        f"(familiarity {float(parts[FAMILIARITY][0]):.0%}): the motion score leads the "
        "curve, and words and heatmaps are a sketch. Corrections of your own clips teach the models."
    ]


def score_parts(stack: ModelStack, dense: DensePass, progress: Progress | None = None) -> dict[str, np.ndarray]:
    """The parts of the score by name, each `float32 [T]` in [0, 1].

    `scorer` (or `zero-shot`, where none was trained), `motion`, and `heatmap` where a decoder was trained: motion
    saliency in its place would count motion twice. `familiarity`, one number for the whole clip, is how far the trained
    parts can be relied upon, where the stack can tell.
    """
    parts = {"motion": dense.motion.astype(np.float32)}
    if stack.familiarity is not None:
        known = stack.familiarity(mean_tokens(dense.features.tokens))
        parts[FAMILIARITY] = np.full(len(dense.motion), known, np.float32)
    if stack.heatmap is not None:
        parts["heatmap"] = heat_peaks(dense.features.heatmap)
    if stack.scorer is not None:
        return {"scorer": score_features(stack.scorer, dense.features.cls, stack.device), **parts}

    def tell(done: float) -> None:
        if progress:
            progress("score", done, None)

    return {ZERO_SHOT: zero_shot_scores(stack, dense.features.tokens, dense.time_s, tell), **parts}


@torch.inference_mode()
def score_features(scorer: AnomalyScorer, cls: np.ndarray, device: torch.device) -> np.ndarray:
    """Class tokens `[T, C]` → the scorer's part `float32 [T]` in (0, 1)."""
    features = torch.from_numpy(np.asarray(cls, np.float32)).to(device)[None]
    return scorer(features).scores[0].float().cpu().numpy()
