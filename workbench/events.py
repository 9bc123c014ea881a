"""From a score curve to events: where it rises, how far it reaches, and what stays too short to count."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter1d

from workbench.records import Event

SMOOTH_S = 0.25
"""Width of the Gaussian over the fused curve; a person's blink of attention, shorter than any event."""
REACH = 0.6
"""An event reaches out from where the curve passes the threshold to where it falls below this share of it."""
MERGE_GAP_S = 0.8
MIN_EVENT_S = 0.3
BREAK_STEPS, BREAK_S = 3, 1.0
"""The recording stood still where two scored frames are further apart than both: so many usual steps, and seconds."""


def smooth(score: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """Gaussian smoothing of `score [T]`, as wide in seconds whatever the usual step; stays in [0, 1].

    Each stretch between gaps of the recording is smoothed alone.
    """
    step = _usual_step(time_s)
    if len(score) < 3 or step <= 0:
        return score.astype(np.float32)
    parts = [
        gaussian_filter1d(score[first:stop].astype(np.float64), SMOOTH_S / step, mode="nearest")
        for first, stop in _stretches(time_s)
    ]
    return np.concatenate(parts).clip(0, 1).astype(np.float32)


def find_events(score: np.ndarray, time_s: np.ndarray, *, threshold: float, end_s: float) -> list[Event]:
    """Spans where `score [T]` (at `time_s [T]`) passes the threshold, reaching out to `REACH` of it.

    Spans closer than `MERGE_GAP_S` are one; spans shorter than `MIN_EVENT_S` are dropped, unless the clip is as short.
    Where the recording has a gap, an event ends a usual step after its last scored frame; what follows is another.

    Args:
        end_s: end of the clip; an event at the last dense frame lasts until then.
    """
    found: list[Event] = []
    step = _usual_step(time_s)
    for first, stop in _stretches(time_s):
        last_s = float(time_s[stop - 1])
        following_s = float(time_s[stop]) if stop < len(time_s) else max(end_s, last_s)
        until_s = last_s + step if following_s - last_s > _gap_from(step) else following_s
        stretch = slice(first, stop)
        found += _events_of(score[stretch], time_s[stretch], threshold, until_s, min(MIN_EVENT_S, end_s / 2))
    return found


def _events_of(
    score: np.ndarray, time_s: np.ndarray, threshold: float, until_s: float, shortest_s: float
) -> list[Event]:
    """The events of a stretch without gaps; one at its last frame lasts until `until_s`."""
    above = score >= threshold * REACH
    edges = np.flatnonzero(np.diff(np.concatenate([[0], above.astype(int), [0]])))
    ends_s = np.append(time_s, until_s)
    spans: list[list[int]] = []
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        if score[first:stop].max() < threshold:
            continue
        if spans and time_s[first] - ends_s[spans[-1][1]] < MERGE_GAP_S:
            spans[-1][1] = int(stop)
        else:
            spans.append([int(first), int(stop)])
    events = []
    for first, stop in spans:
        start, end = float(time_s[first]), float(ends_s[stop])
        if end - start >= shortest_s:
            peak = first + int(np.argmax(score[first:stop]))
            events.append(Event(start, end, float(time_s[peak]), float(score[peak])))
    return events


def _usual_step(time_s: np.ndarray) -> float:
    """The median time between scored frames in seconds; 0 where there is no more than one."""
    return float(np.median(np.diff(time_s))) if len(time_s) > 1 else 0.0


def _gap_from(step_s: float) -> float:
    """The time between scored frames above which the recording has a gap; infinite where no step is known."""
    return max(BREAK_STEPS * step_s, BREAK_S) if step_s > 0 else math.inf


def _stretches(time_s: np.ndarray) -> list[tuple[int, int]]:
    """The runs of scored frames without a gap, each from its first index to the one after its last."""
    starts = np.flatnonzero(np.diff(time_s) > _gap_from(_usual_step(time_s))) + 1
    borders = [0, *starts.tolist(), len(time_s)]
    return [(first, stop) for first, stop in pairwise(borders) if first < stop]
