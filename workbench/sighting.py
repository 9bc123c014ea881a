"""Who and what is to be seen in a clip, with colours measured: what a small language model may speak of.

At a few moments (of each event where there are events, else where most moves) the peaks of the evidence become masks,
and the masks are measured. No tracking: a second of work for a clip, of any length.
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

if TYPE_CHECKING:
    from workbench.stack.loading import ModelStack
    from workbench.video import Clip

MOMENTS = (0.5, 0.2, 0.8)
"""Where an event is looked at, as shares of it; its peak comes first."""
MAX_EVENTS = 3
CALM_MOMENTS = 4
MAX_SEEN = 6
BEFORE_S = 0.4
"""Who falls in an event still stood so long before it."""
PERSON_TALL, RIDER_TALL = 1.15, 0.7
"""Height over width from which a thing may be a person on foot, or one on a bicycle."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something that was seen, `times` times: its measure, and how tall it is for its width."""

    measured: Measured
    tall: float
    times: int = 1

    @property
    def key(self) -> tuple[str | None, ...]:
        """What makes two sightings one."""
        colours = self.measured.colours
        worn = (colours.get("upper"), colours.get("lower"))
        return worn if self.tall >= RIDER_TALL else (colours.get("whole"),)


def look_around(
    clip: Clip, stack: ModelStack, analysis: Analysis, span_s: tuple[float, float] | None = None
) -> list[Sighting]:
    """Sightings of a clip, or of a span of it, most often seen first.

    Args:
        clip: open. analysis: of it, with features.
    """
    found: dict[tuple[str | None, ...], Sighting] = {}
    for position in moments_of(analysis, span_s):
        picture = clip.frame(int(analysis.dense.frame_index[position]), long_side=WORK_PX)
        masks = propose(stack.segmenter, picture, _evidence(analysis, position), MAX_SEEN)
        for mask in masks:
            _, _, width, height = cv2.boundingRect(mask.astype(np.uint8))
            seen = Sighting(measure({0: picture}, {0: mask}), height / width)
            before = found.get(seen.key)
            found[seen.key] = seen if before is None else replace(before, times=before.times + 1)
    return sorted(found.values(), key=lambda s: -s.times)


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
    return list(dict.fromkeys(int(np.abs(time_s - t).argmin()) for t in wanted))


def _evidence(analysis: Analysis, position: int) -> np.ndarray:
    """Where something is: the evidence of an anomaly, or else whatever moves."""
    evidence = evidence_map(analysis, position)
    assert analysis.features is not None
    moving = cv2.resize(
        np.asarray(analysis.features.saliency[position], np.float32), evidence.shape[::-1], interpolation=cv2.INTER_AREA
    )
    return np.maximum(evidence, 0.6 * moving)
