"""Who and what is to be seen in a clip, with colours and ways measured: what a small language model may speak of.

At a few moments (of each event where there are events, else where most moves) the peaks of the evidence become masks.
Each is followed for a second; how steady it stays says how far its measure can be trusted. A few seconds of work for a
clip of any length, done once for as long as its features are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import cv2
import numpy as np

from workbench.colours import Measured, measure
from workbench.instances import WORK_PX, evidence_map
from workbench.proposals import propose
from workbench.records import Analysis, Features
from workbench.stack.segmenter import Prompt
from workbench.steadiness import LEAST_FRAMES, steadiness

if TYPE_CHECKING:
    from workbench.stack.loading import ModelStack
    from workbench.video import Clip

MOMENTS = (0.5, 0.2, 0.8)
"""Where an event is looked at, as shares of it; its peak comes first."""
MAX_EVENTS = 3
MAX_MOMENTS = 8
CALM_MOMENTS = 4
MAX_SEEN = 6
BEFORE_S = 0.4
"""Who falls in an event still stood so long before it."""
FOLLOW_S, FOLLOW_FRAMES = 0.5, 3
"""How far a mask is followed to each side, and in how many frames."""
SETTLED_S = 0.8
"""How long somebody must have been seen before it can be said that he stays in place."""
PERSON_TALL, RIDER_TALL = 1.15, 0.7
"""Height over width from which a thing may be a person on foot, or one on a bicycle."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something that was seen.

    Attributes:
        measured: its colours and its way. tall: its height over its width.
        steady: of the best track it was seen in, how far its way can be trusted, in [0, 1]. trust: the sum over all
            of them, so that it is high for what was seen well or often.
        heat: the mean of the heatmap under its mask at the moment when that was highest, in [0, 1].
        settled: whether it was seen long enough to say that, without a way, it stays in place.
    """

    measured: Measured
    tall: float
    steady: float = 1.0
    trust: float = 1.0
    heat: float = 0.0
    settled: bool = True

    @property
    def key(self) -> tuple[str | None, ...]:
        """What makes two sightings one."""
        colours = self.measured.colours
        worn = (colours.get("upper"), colours.get("lower"))
        return worn if self.tall >= RIDER_TALL else (colours.get("whole"),)


def look_around(
    clip: Clip, stack: ModelStack, analysis: Analysis, span_s: tuple[float, float] | None = None
) -> list[Sighting]:
    """Sightings of a clip, or of a span of it, most trusted first.

    Args:
        clip: open. analysis: of it, with features.
    """
    assert analysis.features is not None
    moments = moments_of(analysis, span_s)
    known = _known.setdefault(analysis.features, {})
    if tuple(moments) not in known:
        found: dict[tuple[str | None, ...], Sighting] = {}
        for seen in chain.from_iterable(_sightings_at(clip, stack, analysis, position) for position in moments):
            before = found.get(seen.key)
            if before is not None:
                better = seen if seen.steady > before.steady else before
                seen = replace(better, trust=seen.trust + before.trust, heat=max(seen.heat, before.heat))
            found[seen.key] = seen
        known[tuple(moments)] = sorted(found.values(), key=lambda s: -s.trust)
    return known[tuple(moments)]


_known: WeakKeyDictionary[Features, dict[tuple[int, ...], list[Sighting]]] = WeakKeyDictionary()
"""Sightings by the features they belong to and the moments that were looked at: every turn of a dialogue asks anew."""


def _sightings_at(clip: Clip, stack: ModelStack, analysis: Analysis, position: int) -> list[Sighting]:
    """What is to be seen at one dense frame, each followed to both sides."""
    now = int(analysis.dense.frame_index[position])
    window = _window(clip, now)
    frames = dict(clip.frames(window, long_side=WORK_PX))
    masks = propose(stack.segmenter, frames[now], _evidence(analysis, position), MAX_SEEN)
    if not masks:
        return []
    tracks: list[dict[int, np.ndarray]] = [{} for _ in masks]
    prompts = [Prompt(number, now, mask=mask) for number, mask in enumerate(masks)]
    for index, seen in stack.segmenter.track(frames.items(), prompts, careful=False):
        for number, mask in seen.items():
            tracks[number][index] = mask
    assert analysis.features is not None
    heatmap = cv2.resize(np.asarray(analysis.features.heatmap[position], np.float32), frames[now].shape[1::-1])
    found = []
    for mask, track in zip(masks, tracks, strict=True):
        _, _, width, height = cv2.boundingRect(mask.astype(np.uint8))
        timed = {float(clip.times_s[index]): seen for index, seen in track.items()}
        seen_s = [time for time, seen in timed.items() if seen.any()]
        steady, settled = steadiness(timed), bool(seen_s) and max(seen_s) - min(seen_s) >= SETTLED_S
        heat = float(heatmap[mask].mean())
        found.append(Sighting(measure(frames, track), height / width, steady, steady, heat, settled))
    return found


def _window(clip: Clip, now: int) -> list[int]:
    """Frames in which what is seen on frame `now` is followed: a second, shifted where the clip begins or ends."""
    first, last = float(clip.times_s[0]), float(clip.times_s[-1])
    start = max(first, min(float(clip.times_s[now]) - FOLLOW_S, last - 2 * FOLLOW_S))
    wanted = start + np.linspace(0, min(2 * FOLLOW_S, last - first), 2 * FOLLOW_FRAMES + 1)
    window = {now, *(clip.index_at(float(time)) for time in wanted)}
    if len(window) < LEAST_FRAMES:  # a camera of few pictures a second
        window |= {min(max(now + step, 0), len(clip.times_s) - 1) for step in (-2, -1, 1, 2)}
    return sorted(window)


def moments_of(analysis: Analysis, span_s: tuple[float, float] | None) -> list[int]:
    """Dense positions to look at: of the strongest events, or of the liveliest moments far from each other."""
    time_s = analysis.dense.time_s
    low, high = span_s or (-np.inf, np.inf)
    inside = np.flatnonzero((time_s >= low - BEFORE_S) & (time_s <= high))
    if not len(inside):  # a short span of a clip of which few frames were scored
        return [int(np.abs(time_s - (low + high) / 2).argmin())]
    events = [e for e in analysis.events if e.end_s >= low and e.start_s <= high]
    strongest = sorted(events, key=lambda e: -e.peak_score)[:MAX_EVENTS]
    if not strongest:
        assert analysis.features is not None
        lively = np.asarray(analysis.features.saliency[inside], np.float32).reshape(len(inside), -1).max(1)
        parts = np.array_split(np.arange(len(inside)), min(CALM_MOMENTS, len(inside)))
        return [int(inside[part[int(lively[part].argmax())]]) for part in parts]
    wanted = []
    for event in strongest:
        inner = [event.start_s + share * (event.end_s - event.start_s) for share in MOMENTS]
        wanted.append([event.peak_s, inner[0], max(0.0, event.start_s - BEFORE_S), *inner[1:]])
    in_turn = [time for turn in zip_longest(*wanted) for time in turn if time is not None]
    nearest = (int(inside[np.abs(time_s[inside] - time).argmin()]) for time in in_turn)
    return list(dict.fromkeys(nearest))[:MAX_MOMENTS]


def _evidence(analysis: Analysis, position: int) -> np.ndarray:
    """Where something is: the evidence of an anomaly, or else whatever moves."""
    evidence = evidence_map(analysis, position)
    assert analysis.features is not None
    moving = cv2.resize(
        np.asarray(analysis.features.saliency[position], np.float32), evidence.shape[::-1], interpolation=cv2.INTER_AREA
    )
    return np.maximum(evidence, 0.6 * moving)
