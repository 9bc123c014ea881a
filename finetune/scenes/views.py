"""The places: camera, painted background and the things standing in it that can hide a person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from .camera import Camera
from .canvas import Canvas, Colour, fixed
from .dressing import bench, bin_, bush, facade, grid, ground, lamp, parked, shelf, texture, tree
from .palette import Light, sample_light, shaded, to_colour

VIEWS = ("street", "plaza", "avenue", "parking", "shop")
BEYOND_VIEWS = ("platform",)
"""Drawn only when asked for by name; see `beyond.py`."""
PLACE = {
    "street": "on the sidewalk",
    "plaza": "on the plaza",
    "avenue": "on the walkway",
    "parking": "in the parking lot",
    "shop": "in the shop hall",
    "platform": "on the platform",
    "walkway": "on the walkway",
    "dashcam": "on the road ahead",
    "panorama": "around the camera",
}


@dataclass
class Prop:
    """A painted thing at `depth` metres: its patch of the background at (x0, y0), re-drawn where `mask` is set."""

    depth: float
    x0: int
    y0: int
    patch: np.ndarray
    mask: np.ndarray


@dataclass
class View:
    """A place. `near`, `far`: depths in metres of the ground people walk on; `road`: depths of traffic lanes;
    `benches`: (x, z) of seats; `half`: half width in metres of the walkway, inf where it spans the picture.

    What `wide.py` needs beside: `soft`, the share of its pixels that the camera resolves; `rates`, frame rates other
    than the usual ones; `paint` and `travel`, the picture by the metres that the camera has moved, and those of every
    frame; `inner`, size of the picture before `rows` (float32, one row for each of the clip's) and the clip's size.
    """

    name: str
    camera: Camera
    light: Light
    near: float
    far: float
    road: tuple[float, ...] = ()
    benches: list[tuple[float, float]] = field(default_factory=list)
    half: float = float("inf")
    picture: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 3), np.uint8))
    props: list[Prop] = field(default_factory=list)
    soft: float = 1.0
    rates: tuple[int, ...] = ()
    paint: Callable[[float], np.ndarray] | None = None
    travel: np.ndarray | None = None
    inner: tuple[int, int] | None = None
    rows: np.ndarray | None = None

    def backdrop(self, i: int) -> np.ndarray:
        """A fresh copy of the background of frame `i`, with the shake margin."""
        if self.paint is None:
            return self.picture.copy()
        return self.paint(0.0 if self.travel is None else float(self.travel[i]))

    def develop(self, rgb: np.ndarray, ids: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Picture and ids as the camera's file holds them, of the clip's size."""
        if self.rows is not None:
            columns = np.arange(rgb.shape[1], dtype=np.float32)[None].repeat(len(self.rows), 0)
            rgb = cv2.remap(rgb, columns, self.rows[:, None].repeat(rgb.shape[1], 1), cv2.INTER_LINEAR)
            ids = ids[np.rint(self.rows).astype(int)]
        if rgb.shape[1::-1] != size:
            rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
            ids = cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST)
        return rgb, np.ascontiguousarray(ids)


class Painter:
    """Collects what is painted on the background, and which of it can stand before a person."""

    def __init__(self, camera: Camera, rng: np.random.Generator) -> None:
        self.camera = camera
        self.rng = rng
        self.rgb = np.zeros((camera.height, camera.width, 3), dtype=np.uint8)
        self.masks: list[tuple[float, np.ndarray]] = []

    def quad(self, corners: list[tuple[float, float, float]], colour: Colour) -> None:
        """A world polygon (X, Z, U)."""
        points = fixed(self.camera.project(np.array(corners, dtype=np.float64)))
        cv2.fillPoly(self.rgb, [points], colour, cv2.LINE_AA, 4)

    def stand(self, depth: float) -> Canvas:
        """A canvas for one standing thing; its mask is kept for the painter's order."""
        mask = np.zeros(self.rgb.shape[:2], dtype=np.uint8)
        self.masks.append((depth, mask))
        canvas = Canvas(self.rgb, mask)
        canvas.entity = 255
        return canvas


def build_view(name: str, rng: np.random.Generator, width: int, height: int) -> View:
    """Paint one of `VIEWS` or `BEYOND_VIEWS` in a picture of `width` × `height` pixels plus a shake margin."""
    unit = height / 240.0
    pad = max(2, round(4 * unit))
    light = sample_light(rng, indoor=name in ("shop", "platform"))
    focal, horizon, elevation = {
        "street": (rng.uniform(270, 320), rng.uniform(35, 55), rng.uniform(3.5, 4.2)),
        "plaza": (rng.uniform(270, 330), rng.uniform(-45, -5), rng.uniform(5.2, 6.2)),
        "avenue": (rng.uniform(270, 330), rng.uniform(0, 30), rng.uniform(4.3, 5.2)),
        "parking": (rng.uniform(260, 310), rng.uniform(-20, 20), rng.uniform(4.6, 5.4)),
        "shop": (rng.uniform(240, 290), rng.uniform(5, 30), rng.uniform(3.9, 4.5)),
        "platform": (285.0, 12.0, 4.4),  # one mounted camera; a draw here would change every other view
    }[name]
    camera = Camera(width + 2 * pad, height + 2 * pad, pad, focal * unit, horizon * unit + pad, elevation)
    rows = {
        "street": (226, 172), "plaza": (226, 112), "avenue": (228, 105), "parking": (226, 150), "shop": (224, 138),
        "platform": (224, 128),
    }[name]  # fmt: skip
    view = View(name, camera, light, camera.depth_at(rows[0]), camera.depth_at(rows[1]))
    painter = Painter(camera, rng)
    PAINTERS[name](painter, view, rng)
    return finish(view, painter, rng)


def finish(view: View, painter: Painter, rng: np.random.Generator) -> View:
    """Give a view what was painted, in its light, and what of it can stand before a person."""
    picture = view.light.picture(texture(painter.rgb, rng, 4.0))
    view.picture = np.ascontiguousarray(picture)
    for depth, mask in sorted(painter.masks, key=lambda m: -m[0]):
        x, y, w, h = cv2.boundingRect(mask)
        if w and h:
            cut = np.s_[y : y + h, x : x + w]
            view.props.append(Prop(depth, x, y, view.picture[cut].copy(), np.ascontiguousarray(mask[cut])))
    return view


def _street(p: Painter, view: View, rng: np.random.Generator) -> None:
    """A pavement near the camera, a road behind it, houses beyond."""
    kerb, over, wall = view.far + 0.9, view.far + 7.2, view.far + 9.0
    ground(p, 90, to_colour(rng.integers(120, 150, 3)))
    facade(p, wall, rng, floor_colour=True)
    grey = int(rng.integers(128, 172))
    p.quad([(-60, wall, 0), (60, wall, 0), (60, over, 0), (-60, over, 0)], (grey, grey, grey - 6))
    asphalt = int(rng.integers(62, 92))
    p.quad([(-60, over, 0), (60, over, 0), (60, kerb, 0), (-60, kerb, 0)], (asphalt, asphalt, asphalt + 3))
    middle = (kerb + over) / 2
    for x in np.arange(-30, 30, 2.6):
        p.quad(
            [(x, middle + 0.09, 0), (x + 1.3, middle + 0.09, 0), (x + 1.3, middle - 0.09, 0), (x, middle - 0.09, 0)],
            (206, 204, 190),
        )
    near = to_colour(np.array([grey, grey - 4, grey - 10]) + rng.integers(-8, 8, 3))
    p.quad([(-60, kerb, 0), (60, kerb, 0), (60, 0.9, 0), (-60, 0.9, 0)], near)
    p.quad([(-60, kerb + 0.12, 0), (60, kerb + 0.12, 0), (60, kerb - 0.12, 0), (-60, kerb - 0.12, 0)], (186, 184, 178))
    grid(p, 0.9, kerb - 0.15, rng.uniform(0.7, 1.1), 0.86)
    view.road = ((kerb + middle) / 2 + 0.1, (middle + over) / 2)
    for x in rng.uniform(-14, 14, int(rng.integers(1, 4))):
        (tree if rng.random() < 0.5 else lamp)(p, float(x), wall - 0.8, rng)
    if rng.random() < 0.6:
        lamp(p, float(rng.choice([-1, 1]) * rng.uniform(2.2, 3.6)), kerb - 0.35, rng)
    if rng.random() < 0.5:
        bin_(p, float(rng.choice([-1, 1]) * rng.uniform(1.8, 3.4)), view.far + 0.35, rng)
    if rng.random() < 0.6:
        x = float(rng.choice([-1, 1]) * rng.uniform(1.6, 3.2))
        bench(p, x, view.far + 0.2, rng)
        view.benches.append((x, view.far + 0.2))


def _plaza(p: Painter, view: View, rng: np.random.Generator) -> None:
    """Paved square from a mast, houses and trees beyond."""
    base = rng.integers(140, 186)
    colour = to_colour(base + rng.integers(-14, 14, 3))
    ground(p, 120, colour)
    grid(p, 0.9, 40, rng.uniform(1.0, 2.0), rng.uniform(0.8, 0.9), rows=True)
    if rng.random() < 0.6:
        for x in (-3.2, 3.2) if rng.random() < 0.5 else (0.0,):
            p.quad(
                [(x - 0.5, 40, 0), (x + 0.5, 40, 0), (x + 0.5, 0.9, 0), (x - 0.5, 0.9, 0)],
                shaded(colour, 0.8),
            )
    back = view.far * rng.uniform(1.5, 2.0)
    facade(p, back, rng)
    for x in rng.uniform(-9, 9, int(rng.integers(1, 4))):
        (tree if rng.random() < 0.6 else bush)(p, float(x), back - rng.uniform(0.5, 2.0), rng)
    for _ in range(int(rng.integers(0, 3))):
        z = float(rng.uniform(view.far * 0.95, view.far * 1.2))
        x = float(rng.uniform(-0.8, 0.8) * p.camera.half_width(z))
        bench(p, x, z, rng)
        view.benches.append((x, z))
    if rng.random() < 0.6:
        side = rng.choice([-1, 1])
        z = float(rng.uniform(view.near * 1.15, view.far))
        (lamp if rng.random() < 0.6 else bin_)(p, float(side * rng.uniform(0.55, 0.9) * p.camera.half_width(z)), z, rng)


def _avenue(p: Painter, view: View, rng: np.random.Generator) -> None:
    """A broad path running away from the camera between lawns."""
    green = (int(rng.integers(70, 100)), int(rng.integers(118, 150)), int(rng.integers(50, 80)))
    ground(p, 160, green)
    view.half = float(rng.uniform(3.4, 4.4))
    grey = int(rng.integers(140, 185))
    paved = (grey, grey - 3, grey - int(rng.integers(4, 22)))
    w = view.half
    p.quad([(-w, 120, 0), (w, 120, 0), (w, 0.9, 0), (-w, 0.9, 0)], paved)
    z = view.far * rng.uniform(1.1, 1.4)
    if rng.random() < 0.5:
        p.quad([(-40, z, 0), (40, z, 0), (40, z + 2.4, 0), (-40, z + 2.4, 0)], paved)
    for row in np.arange(1.2, 40, rng.uniform(1.2, 2.4)):
        p.quad([(-w, row, 0), (w, row, 0), (w, row + 0.05, 0), (-w, row + 0.05, 0)], shaded(paved, 0.85))
    facade(p, view.far * rng.uniform(2.2, 3.2), rng)
    for side in (-1, 1):
        for z in np.arange(view.far * 1.9, view.near * 1.2, -rng.uniform(2.8, 4.2)):
            x = side * (w + rng.uniform(0.9, 2.2))
            (tree if rng.random() < 0.55 else bush)(p, float(x), float(z), rng)
        if rng.random() < 0.5:
            z = float(rng.uniform(view.near * 1.25, view.far))
            x = float(side * (w - 0.45))
            bench(p, x, z, rng)
            view.benches.append((x, z))


def _parking(p: Painter, view: View, rng: np.random.Generator) -> None:
    """Asphalt with slots and parked cars behind a driving lane."""
    grey = int(rng.integers(84, 118))
    ground(p, 120, (grey, grey, grey + 3))
    lane, slots = view.far + 0.6, view.far + 4.6
    for x in np.arange(-18, 18, 2.8):
        p.quad([(x, slots, 0), (x + 0.12, slots, 0), (x + 0.12, slots + 4.6, 0), (x, slots + 4.6, 0)], (214, 214, 206))
    p.quad([(-30, lane, 0), (30, lane, 0), (30, lane + 0.1, 0), (-30, lane + 0.1, 0)], (206, 198, 120))
    facade(p, slots + 8.5, rng, low=True)
    for x in np.arange(-18 + 1.4, 18, 2.8):
        if rng.random() < 0.6:
            parked(p, float(x), slots + 2.4, rng)
    view.road = ((lane + slots) / 2,)
    if rng.random() < 0.7:
        side = rng.choice([-1, 1])
        lamp(p, float(side * rng.uniform(2.0, 4.0)), view.far + 0.2, rng)
    if rng.random() < 0.4:
        bush(p, float(rng.choice([-1, 1]) * rng.uniform(2.5, 4.0)), view.far, rng)


def _shop(p: Painter, view: View, rng: np.random.Generator) -> None:
    """A hall with tiled floor, shelves along the back and a counter or pillar in front."""
    grey = int(rng.integers(150, 205))
    tint = rng.integers(-16, 10, 3)
    ground(p, 60, to_colour(grey + tint))
    grid(p, 0.9, 30, rng.uniform(0.6, 1.2), rng.uniform(0.84, 0.93), rows=True)
    back = view.far + rng.uniform(1.6, 3.2)
    wall = to_colour(rng.integers(150, 225, 3))
    p.quad([(-30, back, 0), (30, back, 0), (30, back, 9), (-30, back, 9)], wall)
    p.quad([(-30, back, 0), (30, back, 0), (30, back, 0.14), (-30, back, 0.14)], (80, 74, 70))
    x = -7.0
    while x < 7:
        width = float(rng.uniform(1.4, 2.6))
        if rng.random() < 0.75:
            shelf(p, x, back - 0.5, width, float(rng.uniform(1.5, 2.1)), rng)
        x += width + rng.uniform(0.2, 1.2)
    if rng.random() < 0.5:
        side = rng.choice([-1, 1])
        z = float(rng.uniform(view.near * 1.2, view.far))
        shelf(p, float(side * p.camera.half_width(z) * rng.uniform(0.75, 0.95)) - 0.6, z, 1.2, 1.1, rng)


def _platform(p: Painter, view: View, rng: np.random.Generator) -> None:
    """An underground platform: dark slabs, a yellow line, tracks before a tiled wall, pillars."""
    ground(p, 60, (96, 98, 104))
    grid(p, 0.9, view.far, 0.8, 0.88, rows=True)
    edge = view.far + 0.5
    wall = edge + 3.4
    p.quad([(-30, wall, -0.9), (30, wall, -0.9), (30, edge, -0.9), (-30, edge, -0.9)], (38, 36, 36))
    for z in np.linspace(edge + 0.9, wall - 0.9, 2):
        p.quad([(-30, z, -0.8), (30, z, -0.8), (30, z + 0.14, -0.8), (-30, z + 0.14, -0.8)], (150, 146, 140))
    p.quad([(-30, edge - 0.2, 0), (30, edge - 0.2, 0), (30, edge - 0.7, 0), (-30, edge - 0.7, 0)], (206, 178, 58))
    p.quad([(-30, wall, -0.9), (30, wall, -0.9), (30, wall, 7), (-30, wall, 7)], (128, 140, 136))
    for height in np.arange(0.2, 6.5, 0.8):
        p.quad([(-30, wall, height), (30, wall, height), (30, wall, height + 0.05), (-30, wall, height + 0.05)],
               (104, 116, 112))  # fmt: skip
    for x in np.arange(-12.0, 12.1, 4.0):
        p.quad([(x, wall, 1.2), (x + 1.7, wall, 1.2), (x + 1.7, wall, 2.6), (x, wall, 2.6)],
               to_colour(rng.integers(70, 200, 3)))  # fmt: skip
    x = float(rng.choice([-1, 1]) * rng.uniform(2.0, 3.2))
    bench(p, x, view.far - 0.2, rng)
    view.benches.append((x, view.far - 0.2))


PAINTERS = {
    "street": _street, "plaza": _plaza, "avenue": _avenue, "parking": _parking, "shop": _shop, "platform": _platform,
}  # fmt: skip
