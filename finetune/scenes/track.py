"""Where a thing is at every frame: position, heading, speed and distance covered, made from way points."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass
class Track:
    """Arrays over the frames of the clip: `x`, `z` metres, `heading` radians (0 = right, π/2 = away)."""

    x: np.ndarray
    z: np.ndarray
    heading: np.ndarray
    fps: float

    @property
    def speed(self) -> np.ndarray:
        """Metres per second at every frame."""
        dx, dz = np.gradient(self.x), np.gradient(self.z)
        return np.hypot(dx, dz) * self.fps

    @property
    def distance(self) -> np.ndarray:
        """Metres covered since frame 0."""
        step = np.hypot(np.diff(self.x, prepend=self.x[0]), np.diff(self.z, prepend=self.z[0]))
        return np.cumsum(step)


def box_smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Running mean over `width` frames (made odd), edges repeated."""
    width = width | 1
    if width <= 1 or len(values) < 2:
        return values
    padded = np.pad(values, width // 2, mode="reflect", reflect_type="odd")
    return np.convolve(padded, np.ones(width) / width, mode="valid")[: len(values)]


class Walk:
    """Builds a `Track` by saying what happens: go there, wait, turn. Time may begin before frame 0."""

    def __init__(self, x: float, z: float, fps: float, heading: float = 0.0, start_s: float = 0.0) -> None:
        self.t = [start_s]
        self.xs = [x]
        self.zs = [z]
        self.headings = [heading]
        self.fps = fps

    @property
    def now(self) -> float:
        """Seconds at the end of what has been said so far."""
        return self.t[-1]

    def _mark(self, t: float, x: float, z: float, heading: float) -> None:
        self.t.append(t)
        self.xs.append(x)
        self.zs.append(z)
        self.headings.append(heading)

    def go(self, x: float, z: float, speed: float) -> Walk:
        """Straight to (x, z) at `speed` m/s, facing where it goes."""
        dx, dz = x - self.xs[-1], z - self.zs[-1]
        length = math.hypot(dx, dz)
        if length < 1e-6:
            return self
        heading = math.atan2(dz, dx)
        self._mark(self.t[-1] + 1e-4, self.xs[-1], self.zs[-1], heading)
        self._mark(self.t[-1] + length / speed, x, z, heading)
        return self

    def wait(self, seconds: float, heading: float | None = None) -> Walk:
        """Stay for `seconds`, turned to `heading` when given."""
        if seconds <= 0:
            return self
        if heading is not None:
            self._mark(self.t[-1] + 1e-4, self.xs[-1], self.zs[-1], heading)
        self._mark(self.t[-1] + seconds, self.xs[-1], self.zs[-1], self.headings[-1])
        return self

    def slide(self, x: float, z: float, seconds: float) -> Walk:
        """Move without turning (pushed, stepping back)."""
        self._mark(self.t[-1] + max(seconds, 1e-3), x, z, self.headings[-1])
        return self

    def until(self, t: float, heading: float | None = None) -> Walk:
        """Wait until the clip time `t` seconds."""
        return self.wait(t - self.t[-1], heading)

    def track(self, n_frames: int, smooth_s: float = 0.3) -> Track:
        """The arrays; position and heading are smoothed over `smooth_s` seconds so that nothing jerks."""
        time = np.arange(n_frames) / self.fps
        margin = int(smooth_s * self.fps)
        wide = np.arange(-margin, n_frames + margin) / self.fps if margin else time
        headings = np.unwrap(np.array(self.headings))
        cut = slice(margin, margin + n_frames) if margin else slice(None)
        x = box_smooth(np.interp(wide, self.t, self.xs), margin)[cut]
        z = box_smooth(np.interp(wide, self.t, self.zs), margin)[cut]
        heading = box_smooth(np.interp(wide, self.t, headings), margin)[cut]
        return Track(x, z, heading, self.fps)
