"""The camera: ground metres to pixels.

World axes: X to the right, Z away from the camera (both metres on the ground), U up. The camera looks level with a
shifted picture (as a tilted camera after keystone correction), so an upright thing stays upright and its scale is
`focal / Z`. Picture: `x = cx + focal·X/Z`, `y = horizon + focal·(elevation − U)/Z`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAREST = 0.8  # metres; nothing is projected from nearer, so that coordinates stay finite


@dataclass(frozen=True)
class Camera:
    """`width`, `height`: size of the canvas in pixels with its shake margin `pad` on every side; `focal` and
    `horizon` in pixels; `elevation` in metres."""

    width: int
    height: int
    pad: int
    focal: float
    horizon: float
    elevation: float

    @property
    def unit(self) -> float:
        """Pixels for one pixel of the 240-high design picture."""
        return (self.height - 2 * self.pad) / 240.0

    def project(self, world: np.ndarray) -> np.ndarray:
        """`world` [..., 3] as (X, Z, U) in metres to pixels [..., 2]."""
        depth = np.maximum(world[..., 1], NEAREST)
        x = self.width / 2 + self.focal * world[..., 0] / depth
        y = self.horizon + self.focal * (self.elevation - world[..., 2]) / depth
        return np.stack([x, y], axis=-1)

    def point(self, x: float, z: float, up: float = 0.0) -> tuple[float, float]:
        """One world point in pixels."""
        px = self.project(np.array([x, z, up], dtype=np.float64))
        return float(px[0]), float(px[1])

    def scale(self, z: float) -> float:
        """Pixels of one metre at depth `z`."""
        return self.focal / max(z, NEAREST)

    def depth_at(self, row: float) -> float:
        """Depth in metres of the ground at the row `row` of the 240-high design picture."""
        return self.focal * self.elevation / (row * self.unit + self.pad - self.horizon)

    def half_width(self, z: float) -> float:
        """Metres from the middle of the picture to its edge at depth `z`."""
        return (self.width / 2 - self.pad) / self.scale(z)
