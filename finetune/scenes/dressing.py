"""Painted furniture of the places: ground, façades, trees, lamps, benches, shelves, parked cars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from .canvas import Colour, fixed
from .palette import VEHICLE, Light, shaded, to_colour
from .track import Track
from .vehicles import Vehicle

if TYPE_CHECKING:
    from .views import Painter


def ground(p: Painter, far: float, colour: Colour) -> None:
    """Sky, then a ground plane that gets a little lighter with distance."""
    h = p.camera.height
    sky = np.array(p.rng.integers(170, 225, 3))
    line = int(np.clip(p.camera.point(0, far)[1], 0, h))
    if line > 0:
        p.rgb[:line] = sky
    rows = np.linspace(1.08, 0.96, max(h - line, 1))[:, None, None]
    p.rgb[line:] = np.clip(np.array(colour) * rows, 0, 255)


def grid(p: Painter, near: float, far: float, step: float, k: float, rows: bool = True) -> None:
    """Joint lines of a paving, darkened by `k`; finer lines than a pixel are left out."""
    mask = np.zeros(p.rgb.shape[:2], np.uint8)
    for x in np.arange(-30, 30, step):
        line = fixed(p.camera.project(np.array([(x, near, 0.0), (x, far, 0.0)])))
        cv2.polylines(mask, [line], False, 255, 1, cv2.LINE_AA, 4)
    z = near
    while rows and z < far and p.camera.scale(z) * step > 9:
        line = fixed(p.camera.project(np.array([(-30.0, z, 0.0), (30.0, z, 0.0)])))
        cv2.polylines(mask, [line], False, 255, 1, cv2.LINE_AA, 4)
        z += step
    top = int(max(p.camera.point(0, far)[1], 0))
    mask[:top] = 0
    weight = 1 - (1 - k) * mask[..., None].astype(np.float32) / 255
    p.rgb[:] = (p.rgb * weight).astype(np.uint8)


def texture(rgb: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Fine grain and broad stains, so that no surface is flat."""
    h, w = rgb.shape[:2]
    fine = rng.normal(0, strength, (h, w, 1)).astype(np.float32)
    broad = cv2.resize(rng.normal(0, strength * 1.4, (max(h // 24, 2), max(w // 24, 2))).astype(np.float32), (w, h))
    return np.clip(rgb + fine + broad[..., None], 0, 255).astype(np.uint8)


def facade(p: Painter, z: float, rng: np.random.Generator, low: bool = False, floor_colour: bool = False) -> None:
    """A row of houses across the picture at depth `z`, with windows and doors."""
    x, edge = -p.camera.half_width(z) - 8.0, p.camera.half_width(z) + 4
    while x < edge:
        width = float(rng.uniform(5, 11))
        top = float(rng.uniform(2.6, 3.4)) if low else float(rng.uniform(6, 14))
        base = np.array(
            ((172, 96, 76), (196, 178, 148), (150, 152, 158), (206, 200, 188), (128, 112, 100))[rng.integers(5)]
        )
        wall = to_colour(np.clip(base + rng.integers(-18, 18, 3), 30, 240))
        p.quad([(x, z, 0), (x + width, z, 0), (x + width, z, top), (x, z, top)], wall)
        if floor_colour:
            p.quad([(x, z, 0), (x + width, z, 0), (x + width, z, 0.5), (x, z, 0.5)], shaded(wall, 0.7))
        glass = (int(rng.integers(40, 90)), int(rng.integers(55, 105)), int(rng.integers(70, 125)))
        step = float(rng.uniform(1.6, 2.6))
        for floor in np.arange(0.0, top - 2.2, 3.0):
            for wx in np.arange(x + 0.6, x + width - 1.2, step):
                door = floor == 0 and rng.random() < 0.2
                u0, u1 = (0.0, 2.1) if door else (floor + 1.0, floor + 2.2)
                corners = [(wx, z, u0), (wx + 0.9, z, u0), (wx + 0.9, z, u1), (wx, z, u1)]
                p.quad(corners, (92, 62, 44) if door else shaded(glass, rng.uniform(0.8, 1.3)))
        x += width + float(rng.choice([0.0, 0.0, 1.5]))


def _wall(p: Painter, depth: float, corners: list[tuple[float, float, float]], colour: Colour) -> None:
    canvas = p.stand(depth)
    canvas.poly(fixed(p.camera.project(np.array(corners, dtype=np.float64))), colour)


def tree(p: Painter, x: float, z: float, rng: np.random.Generator) -> None:
    """Trunk and a crown of overlapping leaf discs."""
    m = p.camera.scale(z)
    high = float(rng.uniform(2.6, 4.0))
    px, py = p.camera.point(x, z)
    canvas = p.stand(z)
    canvas.shade(px, py, 0.9 * m, 0.22 * m, 0.35)
    canvas.limb(
        (int(px * 16), int(py * 16)), (int(px * 16), int((py - high * m) * 16)), 0.13 * m, 0.09 * m, (84, 62, 44)
    )
    green = np.array((rng.integers(38, 70), rng.integers(84, 120), rng.integers(34, 60)))
    for _ in range(26):
        a, r = rng.uniform(0, 6.28), rng.uniform(0, 1) ** 0.5
        cx, cy = px + 1.0 * m * r * np.cos(a), py - (high + 0.55) * m + 0.8 * m * r * np.sin(a)
        colour = to_colour(np.clip(green * rng.uniform(0.7, 1.25), 0, 255))
        canvas.disc(int(cx * 16), int(cy * 16), m * rng.uniform(0.22, 0.42), colour)


def bush(p: Painter, x: float, z: float, rng: np.random.Generator) -> None:
    """A low round shrub."""
    m = p.camera.scale(z)
    px, py = p.camera.point(x, z)
    canvas = p.stand(z)
    canvas.shade(px, py, 0.9 * m, 0.2 * m, 0.35)
    green = np.array((rng.integers(40, 76), rng.integers(92, 128), rng.integers(36, 60)))
    for _ in range(14):
        colour = to_colour(np.clip(green * rng.uniform(0.7, 1.2), 0, 255))
        cx, cy = px + m * rng.uniform(-0.55, 0.55), py - m * rng.uniform(0.2, 0.55)
        canvas.disc(int(cx * 16), int(cy * 16), m * rng.uniform(0.16, 0.28), colour)


def lamp(p: Painter, x: float, z: float, rng: np.random.Generator) -> None:
    """A lamp post."""
    m = p.camera.scale(z)
    px, py = p.camera.point(x, z)
    canvas = p.stand(z)
    tone = int(rng.integers(50, 100))
    top = py - 4.2 * m
    canvas.limb((int(px * 16), int(py * 16)), (int(px * 16), int(top * 16)), 0.07 * m, 0.05 * m, (tone, tone, tone + 4))
    canvas.limb(
        (int(px * 16), int(top * 16)),
        (int((px + 0.7 * m) * 16), int((top - 0.1 * m) * 16)),
        0.04 * m,
        0.09 * m,
        (tone, tone, tone),
    )


def bin_(p: Painter, x: float, z: float, rng: np.random.Generator) -> None:
    """A litter bin."""
    m = p.camera.scale(z)
    px, py = p.camera.point(x, z)
    canvas = p.stand(z)
    colour: Colour = ((54, 84, 60), (70, 70, 76), (60, 70, 104))[int(rng.integers(3))]
    canvas.shade(px, py, 0.4 * m, 0.1 * m, 0.4)
    body = np.array(
        [(px - 0.24 * m, py), (px + 0.24 * m, py), (px + 0.29 * m, py - 0.85 * m), (px - 0.29 * m, py - 0.85 * m)]
    )
    canvas.poly(fixed(body), colour)
    rim = np.array(
        [
            (px - 0.31 * m, py - 0.82 * m),
            (px + 0.31 * m, py - 0.82 * m),
            (px + 0.31 * m, py - 0.94 * m),
            (px - 0.31 * m, py - 0.94 * m),
        ]
    )
    canvas.poly(fixed(rim), shaded(colour, 1.3))


def bench(p: Painter, x: float, z: float, rng: np.random.Generator) -> None:
    """A bench facing the camera; the back rest is behind a sitter, the seat's edge in front of nobody."""
    wood: Colour = ((122, 86, 54), (94, 96, 98), (84, 60, 44))[int(rng.integers(3))]
    for depth, u0, u1, k in ((z + 0.3, 0.55, 0.85, 1.0), (z + 0.25, 0.38, 0.46, 1.15)):
        _wall(
            p,
            depth,
            [(x - 0.9, depth, u0), (x + 0.9, depth, u0), (x + 0.9, depth, u1), (x - 0.9, depth, u1)],
            shaded(wood, k),
        )
    p.quad(
        [(x - 0.9, z + 0.25, 0.46), (x + 0.9, z + 0.25, 0.46), (x + 0.9, z - 0.15, 0.46), (x - 0.9, z - 0.15, 0.46)],
        shaded(wood, 1.25),
    )
    for leg in (-0.75, 0.75):
        p.quad(
            [(x + leg - 0.04, z, 0), (x + leg + 0.04, z, 0), (x + leg + 0.04, z, 0.42), (x + leg - 0.04, z, 0.42)],
            (50, 48, 46),
        )


def shelf(p: Painter, x: float, z: float, width: float, high: float, rng: np.random.Generator) -> None:
    """A shelf full of coloured goods."""
    frame: Colour = ((176, 172, 166), (120, 92, 66), (86, 88, 92))[int(rng.integers(3))]
    canvas = p.stand(z)

    def put(x0: float, x1: float, u0: float, u1: float, colour: Colour) -> None:
        corners = np.array([(x0, z, u0), (x1, z, u0), (x1, z, u1), (x0, z, u1)], dtype=np.float64)
        canvas.poly(fixed(p.camera.project(corners)), colour)

    put(x, x + width, 0, high, frame)
    for u in np.arange(0.12, high - 0.3, 0.42):
        put(x + 0.05, x + width - 0.05, u, u + 0.36, shaded(frame, 0.45))
        gx = x + 0.08
        while gx < x + width - 0.2:
            w = float(rng.uniform(0.1, 0.26))
            colour = to_colour(rng.integers(50, 230, 3))
            put(gx, min(gx + w, x + width - 0.08), u + 0.01, u + float(rng.uniform(0.18, 0.33)), colour)
            gx += w + 0.03


def parked(p: Painter, x: float, z: float, rng: np.random.Generator) -> None:
    """A parked car painted into the background, nose or tail to the camera."""
    heading = float(rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.03))
    one = np.ones(1)
    car = Vehicle(255, "car", str(rng.choice(VEHICLE)), Track(x * one, z * one, heading * one, 10))
    car.prepare(p.camera, Light("day", (1.0, 1.0, 1.0)))
    if car.seen[0]:
        canvas = p.stand(z - 2.1)
        car.draw_shadow(canvas, 0)
        car.draw(canvas, 0)
