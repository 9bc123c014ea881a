"""From a score curve to events: where it rises, how far it reaches, and what stays too short to count."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from workbench.records import Event

SMOOTH_S = 0.25
"""Width of the Gaussian over the fused curve; a person's blink of attention, shorter than any event."""
REACH = 0.6
"""An event reaches out from where the curve passes the threshold to where it falls below this share of it."""
MERGE_GAP_S = 0.8
MIN_EVENT_S = 0.3


def smooth(score: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """Gaussian smoothing of `score [T]` by time rather than by sample; stays in [0, 1]."""
    if len(score) < 3:
        return score.astype(np.float32)
    step = float(np.median(np.diff(time_s)))
    if step <= 0:
        return score.astype(np.float32)
    return gaussian_filter1d(score.astype(np.float64), SMOOTH_S / step, mode="nearest").clip(0, 1).astype(np.float32)


def find_events(score: np.ndarray, time_s: np.ndarray, *, threshold: float, end_s: float) -> list[Event]:
    """Spans where `score [T]` (at `time_s [T]`) passes the threshold, reaching out to `REACH` of it.

    Spans closer than `MERGE_GAP_S` are one; spans shorter than `MIN_EVENT_S` are dropped, unless the clip is as short.

    Args:
        end_s: end of the clip; an event at the last dense frame lasts until then.
    """
    above = score >= threshold * REACH
    edges = np.flatnonzero(np.diff(np.concatenate([[0], above.astype(int), [0]])))
    spans: list[list[int]] = []
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        if score[first:stop].max() < threshold:
            continue
        if spans and time_s[first] - _end(spans[-1][1], time_s, end_s) < MERGE_GAP_S:
            spans[-1][1] = int(stop)
        else:
            spans.append([int(first), int(stop)])
    events = []
    for first, stop in spans:
        start, end = float(time_s[first]), _end(stop, time_s, end_s)
        if end - start >= min(MIN_EVENT_S, end_s / 2):
            peak = first + int(np.argmax(score[first:stop]))
            events.append(Event(start, end, float(time_s[peak]), float(score[peak])))
    return events


def _end(stop: int, time_s: np.ndarray, end_s: float) -> float:
    return float(time_s[stop]) if stop < len(time_s) else max(end_s, float(time_s[-1]))
