"""Views of other benchmark families, drawn when they are named or the breadth of a world is asked for.

- `walkway`: a campus path from a high mast, grey, soft and slow, as UCSD Ped1 and Ped2 are.
- `dashcam`: the road from a moving car, as in DoTA; see `road.py`.
- `panorama`: everything round a standing viewer, equirectangular, as in VIEW360.

They stand apart from `VIEWS` because a seed must always give the scene it gave when weights were trained on it.

The panorama needs no other geometry than the street: seen unrolled, a cylinder round the viewer is a plane on which X
is the way along the circle, at a distance of Z, so that `x = cx + focal·X/Z` is the angle. Only its rows change, from
the tangent of the elevation to the elevation itself.
"""

from __future__ import annotations

import numpy as np

from .camera import Camera
from .dressing import bench, bin_, bush, facade, grid, ground, lamp, tree
from .palette import Light, sample_light, shaded, to_colour
from .road import RoadAhead
from .views import Painter, View, finish

WIDE_VIEWS = ("walkway", "dashcam", "panorama")
WIDE_PLACES: dict[str, tuple[str, ...]] = {
    "running": ("walkway", "panorama"),
    "cycling": ("walkway",),
    "driving": ("walkway",),
    "fighting": ("walkway", "panorama"),
    "assault": ("walkway", "panorama"),
    "robbery": ("panorama",),
    "falling": ("walkway", "panorama"),
    "collision": ("dashcam",),
    "explosion": ("panorama",),
    "fire": ("panorama",),
    "abandoned object": ("walkway", "panorama"),
}
"""Which of these views a category can happen in."""
ELEVATION = np.deg2rad(62)  # the panorama is drawn up to here and down to here; beyond is sky and ground


def build_wide(name: str, rng: np.random.Generator, width: int, height: int) -> View:
    """Paint one of `WIDE_VIEWS` for pictures of `width` × `height` pixels."""
    return {"walkway": _walkway, "dashcam": _dashcam, "panorama": _panorama}[name](rng, width, height)


def _walkway(rng: np.random.Generator, width: int, height: int) -> View:
    """A path between lawns from a high mast, seen by an old grey camera; towards the viewer or across the picture."""
    unit, pad = height / 240.0, max(2, round(4 * height / 240.0))
    along = rng.random() < 0.5
    focal, horizon, elevation = rng.uniform(290, 350), rng.uniform(-70, -25), rng.uniform(6.2, 7.6)
    camera = Camera(width + 2 * pad, height + 2 * pad, pad, focal * unit, horizon * unit + pad, elevation)
    gain = float(rng.uniform(0.85, 1.1))
    light = Light("day", (gain, gain, gain), grey=True, shadow=float(rng.uniform(0.25, 0.5)))
    view = View("walkway", camera, light, camera.depth_at(228), camera.depth_at(96))
    view.soft, view.rates = float(rng.uniform(0.45, 0.75)), (10,)
    painter = Painter(camera, rng)
    ground(painter, 160, to_colour(rng.integers(84, 116, 3)))
    grey = int(rng.integers(142, 190))
    paved = (grey, grey, grey)
    if along:
        view.half = float(rng.uniform(3.6, 5.0))
        half = view.half
        painter.quad([(-half, 120, 0), (half, 120, 0), (half, 0.9, 0), (-half, 0.9, 0)], paved)
    else:
        back, front = view.far * 1.05, view.near * 0.9
        painter.quad([(-60, back, 0), (60, back, 0), (60, front, 0), (-60, front, 0)], paved)
        grid(painter, front, back, rng.uniform(1.5, 2.5), 0.9, rows=False)
    facade(painter, view.far * rng.uniform(2.0, 2.6), rng)
    for z in np.arange(view.far * 1.8, view.far * 1.1, -rng.uniform(1.6, 3.0)):
        (tree if rng.random() < 0.6 else bush)(painter, float(rng.uniform(-1, 1) * camera.half_width(z)), float(z), rng)
    if rng.random() < 0.5:
        z = float(rng.uniform(view.near * 1.2, view.far))
        side = float(rng.choice([-1, 1])) * (min(view.half, camera.half_width(z)) - 0.4)
        (lamp if rng.random() < 0.5 else bin_)(painter, side, z, rng)
    return finish(view, painter, rng)


def _dashcam(rng: np.random.Generator, width: int, height: int) -> View:
    """Behind the wind screen; the picture is painted anew for every metre travelled."""
    unit, pad = height / 240.0, max(2, round(4 * height / 240.0))
    horizon, elevation = rng.uniform(96, 116), rng.uniform(1.3, 1.6)
    camera = Camera(
        width + 2 * pad, height + 2 * pad, pad, rng.uniform(210, 270) * unit, horizon * unit + pad, elevation
    )
    light = sample_light(rng, indoor=False)
    view = View("dashcam", camera, light, 6.0, 40.0)
    road = RoadAhead(camera, light, rng)
    view.paint, view.picture = road, road(0.0)
    return view


def _panorama(rng: np.random.Generator, _width: int, height: int) -> View:
    """A square all round a viewer's head, twice as wide as high before it is brought to the size of the clip."""
    focal = height / np.pi
    across, high = 2 * height, 2 * round(focal * np.tan(ELEVATION))
    pad = max(2, round(3 * height / 240.0))
    camera = Camera(across + 2 * pad, high + 2 * pad, pad, focal, high / 2 + pad, float(rng.uniform(1.45, 1.7)))
    light = sample_light(rng, indoor=False)
    view = View("panorama", camera, light, 2.0, 6.0)
    view.inner = (across, high)
    elevation = (np.arange(height) + 0.5 - height / 2) / focal
    rows = high / 2 + focal * np.tan(np.clip(elevation, -ELEVATION, ELEVATION)) - 0.5
    view.rows = np.clip(rows, 0, high - 1).astype(np.float32)
    painter = Painter(camera, rng)
    base = to_colour(rng.integers(130, 180) + rng.integers(-14, 14, 3))
    ground(painter, 60, base)
    for z in np.geomspace(1.2, 12, int(rng.integers(6, 10))):  # rings of the paving
        painter.quad([(-40, z, 0), (40, z, 0), (40, z * 1.02, 0), (-40, z * 1.02, 0)], shaded(base, 0.86))
    back = float(rng.uniform(9, 14))
    facade(painter, back, rng)
    for _ in range(int(rng.integers(3, 8))):
        z = float(rng.uniform(6.5, back - 0.8))
        x = float(rng.uniform(-1, 1) * camera.half_width(z))
        (tree, bush, lamp)[int(rng.integers(3))](painter, x, z, rng)
    for _ in range(int(rng.integers(0, 3))):
        z = float(rng.uniform(4.5, 6.0))
        x = float(rng.uniform(-0.8, 0.8) * camera.half_width(z))
        bench(painter, x, z, rng)
        view.benches.append((x, z))
    return finish(view, painter, rng)
