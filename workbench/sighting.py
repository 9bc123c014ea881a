"""Who and what is to be seen in a clip, with colours and ways measured: what a small language model may speak of.

At a few moments (of each event where there are events, else where most moves) the peaks of the evidence become masks.
Each is followed for a second; how steady it stays says how far its measure can be trusted. A few seconds of work for a
clip of any length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from workbench.colours import Measured, measure
from workbench.instances import WORK_PX, evidence_map
from workbench.proposals import propose
from workbench.records import Analysis
from workbench.stack.segmenter import Prompt
from workbench.steadiness import steadiness

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
PERSON_TALL, RIDER_TALL = 1.15, 0.7
"""Height over width from which a thing may be a person on foot, or one on a bicycle."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something that was seen: its measure, how tall it is for its width, the trust in it, and how abnormal it looks.

    Trust is the sum of the steadiness of every track it was seen in, so often seen or well seen. `heat` in [0, 1] is
    the mean of the heatmap under its mask, at the moment when that was highest.
    """

    measured: Measured
    tall: float
    trust: float = 1.0
    heat: float = 0.0

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
    found: dict[tuple[str | None, ...], Sighting] = {}
    for position in moments_of(analysis, span_s):
        for seen in _sightings_at(clip, stack, analysis, position):
            before = found.get(seen.key)
            if before is not None:
                better = seen if seen.trust > before.trust else before
                seen = replace(better, trust=seen.trust + before.trust, heat=max(seen.heat, before.heat))
            found[seen.key] = seen
    return sorted(found.values(), key=lambda s: -s.trust)


def _sightings_at(clip: Clip, stack: ModelStack, analysis: Analysis, position: int) -> list[Sighting]:
    """What is to be seen at one dense frame, each followed to both sides."""
    now = int(analysis.dense.frame_index[position])
    wanted = float(clip.times_s[now]) + np.linspace(-FOLLOW_S, FOLLOW_S, 2 * FOLLOW_FRAMES + 1)
    window = sorted({now, *(clip.index_at(float(t)) for t in np.clip(wanted, 0.0, float(clip.times_s[-1])))})
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
    return [
        _sighting(frames, mask, track, float(heatmap[mask].mean())) for mask, track in zip(masks, tracks, strict=True)
    ]


def _sighting(frames: dict[int, np.ndarray], mask: np.ndarray, track: dict[int, np.ndarray], heat: float) -> Sighting:
    _, _, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return Sighting(measure(frames, track), height / width, steadiness(track), heat)


def moments_of(analysis: Analysis, span_s: tuple[float, float] | None) -> list[int]:
    """Dense positions to look at: of the strongest events, or of the liveliest moments far from each other."""
    time_s = analysis.dense.time_s
    low, high = span_s or (-np.inf, np.inf)
    events = [e for e in analysis.events if e.end_s >= low and e.start_s <= high]
    wanted = []
    for event in sorted(events, key=lambda e: -e.peak_score)[:MAX_EVENTS]:
        wanted += [event.peak_s, *(event.start_s + share * (event.end_s - event.start_s) for share in MOMENTS)]
        wanted.append(max(0.0, event.start_s - BEFORE_S))
    if not wanted:
        inside = np.flatnonzero((time_s >= low) & (time_s <= high))
        assert analysis.features is not None
        lively = np.asarray(analysis.features.saliency[inside], np.float32).reshape(len(inside), -1).max(1)
        parts = np.array_split(np.arange(len(inside)), min(CALM_MOMENTS, max(1, len(inside))))
        return [int(inside[part[int(lively[part].argmax())]]) for part in parts if len(part)]
    return list(dict.fromkeys(int(np.abs(time_s - t).argmin()) for t in wanted))[:MAX_MOMENTS]


def _evidence(analysis: Analysis, position: int) -> np.ndarray:
    """Where something is: the evidence of an anomaly, or else whatever moves."""
    evidence = evidence_map(analysis, position)
    assert analysis.features is not None
    moving = cv2.resize(
        np.asarray(analysis.features.saliency[position], np.float32), evidence.shape[::-1], interpolation=cv2.INTER_AREA
    )
    return np.maximum(evidence, 0.6 * moving)
