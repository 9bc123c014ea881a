"""How far the track of a mask can be trusted.

A segmenter answers every click, also one beside an object or on the seam of two. Followed for a second, a mask of
somebody who is there keeps its height, and its foot goes its way in a line; a mask of nothing breathes and jumps.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

HEIGHT_SPREAD = 0.1
"""Standard deviation of the logarithm of the height that costs a factor of e."""
FOOT_SPREAD, CENTRE_SPREAD = 0.05, 0.1
"""The same for the distance from a straight way, in body heights: of the foot along the picture, of the middle across.
A stride swings the middle of a box more than its foot."""
FULL_HEIGHT = 1 / 6
"""Share of the picture's height from which size costs nothing; smaller masks are mostly border."""
LEAST_FRAMES = 3


def steadiness(track: Mapping[float, np.ndarray]) -> float:
    """How steady a track is, in [0, 1]; 0 where it is seen in fewer than `LEAST_FRAMES` frames.

    Args:
        track: masks `bool [H, W]` by time (in any unit), empty ones where it is not seen.
    """
    seen = [(moment, mask) for moment, mask in sorted(track.items()) if mask.any()]
    if len(seen) < LEAST_FRAMES:
        return 0.0
    time = np.array([moment for moment, _ in seen], np.float64)
    x, y, width, height = np.array([cv2.boundingRect(mask.astype(np.uint8)) for _, mask in seen], np.float64).T
    typical = float(np.median(height))
    unsteady = float(np.log(height).std()) / HEIGHT_SPREAD
    unsteady += _off_the_line(time, y + height) / typical / FOOT_SPREAD
    unsteady += _off_the_line(time, x + width / 2) / typical / CENTRE_SPREAD
    size = min(1.0, typical / (FULL_HEIGHT * seen[0][1].shape[0]))
    return float(np.exp(-unsteady)) * size


def _off_the_line(time: np.ndarray, place: np.ndarray) -> float:
    """Standard deviation of places from the straight line through them, in pixels."""
    time = (time - time.mean()) / max(float(np.ptp(time)), 1e-9)
    slope = float(time @ place) / max(float(time @ time), 1e-9)
    return float((place - place.mean() - slope * time).std())
