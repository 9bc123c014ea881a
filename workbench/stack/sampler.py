"""Which dense frames the language model gets to see (Holmes-VAU eq. 2, Table 4).

`ats`, the anomaly-focused temporal sampler, reads S(t) = Σ_{i≤t} (s_i + τ) as the axis on which to be uniform:
N points evenly spaced on [0, S(T)] are mapped back to time, so frames are dense where the score is high.

All methods return sorted indices. All but `published` return distinct ones: a repeated frame costs tokens and
shows nothing new. Scores that say nothing (all equal, or any NaN or infinity) give the uniform answer, and with
no more than N frames the answer is all of them.

`published` repeats what the public Holmes-VAU code does: it starts at 1 on the cumulative axis, ends at the
rounded total, takes left edges and can repeat frames. Where that code turns to evenly spaced frames and then fails
on fractional indices (no more than N frames, or Σs < 1), or would fail on NaN, the uniform answer is given: the same
frames in whole numbers, each once. `published_uniform` is the sampler that code uses without scores.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from workbench.errors import InputError, StackError

SamplerName = Literal["ats", "uniform", "topk", "published"]
METHODS: tuple[str, ...] = get_args(SamplerName)

Indices = NDArray[np.int64]
Scores = NDArray[np.float64]


def sample_frames(scores: np.ndarray, n: int, method: SamplerName = "ats", tau: float = 0.1) -> Indices:
    """Choose `n` of the dense frames.

    scores: [T], T ≥ 1, one per dense frame; negative ones count as 0. n ≥ 1. tau > 0: the weight of a frame that
    scores nothing; larger is closer to uniform. → int64 [min(n, T)], sorted ascending
    (`published` may repeat some). Raises StackError on scores of another shape, InputError on a bad
    n, tau or method.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise StackError(f"The sampler got scores of shape {values.shape}; it wants one per dense frame, [T ≥ 1].")
    if n < 1:
        raise InputError(f"{n} frames were asked for; ask for 1 or more.")
    if not (np.isfinite(tau) and tau > 0):
        raise InputError(f"tau is {tau}; it must be above 0, 0.1 by default.")
    if method not in METHODS:
        raise InputError(f"The sampler '{method}' is unknown; use one of {', '.join(METHODS)}.")
    if values.size <= n:
        return np.arange(values.size, dtype=np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        finite = bool(np.isfinite(values.sum()))
    if method == "published" and finite and sum(values) >= 1:
        return _published(values, n, tau)
    if method in ("uniform", "published") or not finite or np.ptp(values) == 0:
        return uniform(values.size, n)
    if method == "topk":
        return np.sort(np.argsort(-values, kind="stable")[:n]).astype(np.int64)
    return distinct(_ats(np.maximum(values, 0.0) + tau, n), values.size)


def uniform(frames: int, n: int) -> Indices:
    """`n` of `frames` indices, evenly spread with both ends; all of them when n ≥ frames; the middle one for n = 1."""
    if n >= frames:
        return np.arange(frames, dtype=np.int64)
    if n == 1:
        return np.array([(frames - 1) // 2], dtype=np.int64)
    steps = np.arange(n, dtype=np.int64)
    return (2 * steps * (frames - 1) + (n - 1)) // (2 * (n - 1))  # rounded in integers, hence distinct


def distinct(wanted: Indices, frames: int) -> Indices:
    """The strictly increasing indices in [0, frames) with the least squared distance to sorted `wanted`.

    Crowded wishes spread evenly to both sides of where they crowd; indices that are distinct already are kept. With
    v_k = index_k − k the condition is v_k ≤ v_{k+1}: isotonic regression, solved by pooling adjacent violators, whose
    rounded solution is the best one in integers and whose clipped solution is the best one within bounds.
    """
    count = len(wanted)
    if count > frames:
        raise InputError(f"{count} distinct frames were asked of {frames}; ask for at most {frames}.")
    pools: list[tuple[float, int]] = []  # sum and size
    for rank, index in enumerate(wanted):
        total, size = float(index) - rank, 1
        while pools and pools[-1][0] * size > total * pools[-1][1]:
            before, width = pools.pop()
            total, size = total + before, size + width
        pools.append((total, size))
    shifts = np.concatenate([np.full(size, np.rint(total / size)) for total, size in pools])
    return np.clip(shifts, 0, frames - count).astype(np.int64) + np.arange(count)


def published_uniform(max_frame: int, n: int) -> Indices:
    """The uniform sampler of the public code: the middles of `n` equal segments of [0, max_frame]; may repeat."""
    segment = float(max_frame) / n
    return np.array([int(segment / 2 + np.round(segment * k)) for k in range(n)], dtype=np.int64)


def _ats(weights: Scores, n: int) -> Indices:
    """Frames under `n` evenly spaced points of the cumulative weight; sorted, may repeat.

    Frame i carries its weight over [i, i+1) of the time axis, so it is the nearest one for every point that falls
    there. A single frame is the median of the weight.
    """
    cumulative = np.concatenate([[0.0], np.cumsum(weights)])
    total = cumulative[-1]
    points = np.linspace(0.0, total, n) if n > 1 else np.array([total / 2])
    times = np.interp(points, cumulative, np.arange(len(cumulative)))
    return np.minimum(times.astype(np.int64), len(weights) - 1)


def _published(scores: Scores, n: int, tau: float) -> Indices:
    """The density path of the public code, in float64 as it was released with."""
    cumulative = np.concatenate([[0.0], np.cumsum(scores + tau)])
    points = np.linspace(1, np.round(cumulative[-1]), n)
    times = np.interp(points, cumulative, np.arange(len(cumulative)))
    return np.clip(times.astype(np.int64), 0, len(scores) - 1)
