"""Cars, vans, trucks, buses and bicycles as simple solids in metres, projected for all frames at once."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .bodies import CHANNEL, Person, Style, to_world
from .camera import Camera
from .canvas import Canvas, fixed
from .palette import COLOURS, Light
from .track import Track


@dataclass(frozen=True)
class Shape:
    """A side profile: `length`, `width` metres; `body` and `glass` as (forward, up) fractions of length and metres."""

    length: float
    width: float
    body: tuple[tuple[float, float], ...]
    glass: tuple[tuple[tuple[float, float], ...], ...]
    wheel: float
    axles: tuple[float, float]


SHAPES: dict[str, Shape] = {
    "car": Shape(
        4.2,
        1.75,
        ((-0.5, 0.3), (-0.5, 0.85), (-0.4, 0.92), (-0.28, 1.42), (0.1, 1.42), (0.26, 0.92), (0.48, 0.8), (0.5, 0.3)),
        (
            ((-0.35, 0.93), (-0.26, 1.34), (-0.1, 1.34), (-0.1, 0.93)),
            ((-0.07, 0.93), (-0.07, 1.34), (0.08, 1.34), (0.21, 0.93)),
        ),
        0.32,
        (-0.31, 0.31),
    ),
    "van": Shape(
        4.9,
        1.95,
        ((-0.5, 0.3), (-0.5, 2.05), (0.22, 2.05), (0.38, 1.2), (0.5, 1.0), (0.5, 0.3)),
        (((0.08, 1.2), (0.08, 1.9), (0.2, 1.9), (0.33, 1.2)),),
        0.34,
        (-0.3, 0.31),
    ),
    "truck": Shape(
        6.2,
        2.2,
        ((-0.5, 0.45), (-0.5, 2.6), (0.24, 2.6), (0.27, 2.1), (0.44, 2.1), (0.5, 1.3), (0.5, 0.4)),
        (((0.31, 1.35), (0.31, 1.95), (0.42, 1.95), (0.47, 1.35)),),
        0.45,
        (-0.28, 0.33),
    ),
    "bus": Shape(
        9.5,
        2.4,
        ((-0.5, 0.35), (-0.5, 2.8), (0.48, 2.8), (0.5, 1.4), (0.5, 0.35)),
        tuple(
            ((a, 1.35), (a, 2.35), (a + 0.11, 2.35), (a + 0.11, 1.35))
            for a in (-0.47, -0.33, -0.19, -0.05, 0.09, 0.23, 0.36)
        ),
        0.48,
        (-0.3, 0.32),
    ),
}
RIM = 14  # points on a wheel


def solid(shape: Shape) -> tuple[np.ndarray, dict[str, slice]]:
    """Corner points [P, 3] (forward, left, up) of a vehicle and the slice of every named part."""
    half = shape.width / 2
    body = [(f * shape.length, u) for f, u in shape.body]
    parts: list[np.ndarray] = []
    spans: dict[str, slice] = {}

    def add(name: str, points: list[tuple[float, float, float]]) -> None:
        start = sum(len(p) for p in parts)
        parts.append(np.array(points))
        spans[name] = slice(start, start + len(points))

    angles = np.linspace(0, 2 * np.pi, RIM, endpoint=False)
    for side, left in (("l", half), ("r", -half)):
        add(f"body_{side}", [(f, left, u) for f, u in body])
        for g, glass in enumerate(shape.glass):
            add(f"glass{g}_{side}", [(f * shape.length, left * 1.01, u) for f, u in glass])
        for w, axle in enumerate(shape.axles):
            for part, k in (("tyre", 1.0), ("hub", 0.5)):
                x, r = axle * shape.length, k * shape.wheel
                add(
                    f"{part}{w}_{side}", [(x + r * np.cos(t), left * 1.02, shape.wheel + r * np.sin(t)) for t in angles]
                )
    for name, x, low, high in (
        ("front", body[-1][0], body[-1][1], body[-2][1]),
        ("rear", body[0][0], body[0][1], body[1][1]),
    ):
        add(name, [(x, half, low), (x, half, high), (x, -half, high), (x, -half, low)])
        for lamp, sign in (("lamp0", half), ("lamp1", -half)):
            corners = ((0.9, 0.0), (0.9, 0.2), (0.6, 0.2), (0.6, 0.0))
            add(f"{lamp}_{name}", [(x, sign * k, low + 0.3 + d) for k, d in corners])
    top = max(u for _, u in body)
    tops = [i for i, (_, u) in enumerate(body) if u == top]
    for name, roof, foot in (("shield", tops[-1], tops[-1] + 1), ("back", tops[0], tops[0] - 1)):
        (f0, _), (f1, u1) = body[roof], body[foot]
        add(name, [(f1, half * 0.88, u1), (f0, half * 0.8, top), (f0, -half * 0.8, top), (f1, -half * 0.88, u1)])
    return np.concatenate(parts), spans


class Vehicle:
    """A motor vehicle of one of `SHAPES` on a track."""

    def __init__(self, entity: int, kind: str, colour: str, track: Track) -> None:
        self.entity = entity
        self.kind = kind
        self.colour = colour
        self.track = track
        self.shape = SHAPES[kind]
        self.present = np.ones(len(track.x), dtype=bool)

    def prepare(self, camera: Camera, light: Light) -> None:
        """Pixels of all corner points in all frames."""
        points, self.spans = solid(self.shape)
        half = self.shape.width / 2
        local = np.broadcast_to(points[None], (len(self.track.x), *points.shape))
        world = to_world(local, self.track)
        pixels = camera.project(world)
        self.points = fixed(pixels)
        self.box = np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1)
        ok = (self.box[:, 2] > camera.pad) & (self.box[:, 0] < camera.width - camera.pad)
        ok &= (self.box[:, 3] > camera.pad) & (self.box[:, 1] < camera.height - camera.pad)
        self.seen = ok & self.present & (world[..., 1].min(axis=1) > 1.0)
        self.near = world[..., 1].min(axis=1)
        # The left side is visible when its outward normal points towards the camera.
        sin, cos = np.sin(self.track.heading), np.cos(self.track.heading)
        to_x, to_z = -self.track.x, -self.track.z
        self.left_seen = (-sin) * (to_x + sin * half) + cos * (to_z - cos * half) > 0
        facing = cos * to_x + sin * to_z
        self.front_seen = facing > self.shape.length / 2
        self.rear_seen = -facing > self.shape.length / 2
        self._mix(light)

    def _mix(self, light: Light) -> None:
        """The tones of the parts in this light; head lamps shine at night."""
        base = COLOURS[self.colour]
        tone = light.tone
        self.paint = {
            "body": tone(base, 0.92),
            "top": tone(base, 1.12),
            "end": tone(base, 0.78),
            "glass": tone((62, 78, 92)),
            "tyre": tone((24, 24, 26)),
            "hub": tone((150, 150, 152)),
            "front": tone((250, 246, 214), 1.2),
            "rear": tone((190, 20, 20), 1.2),
        }
        if light.name in ("night", "infra-red"):
            self.paint["front"] = (255, 252, 230) if not light.grey else (255, 255, 255)
        self.shadow = light.shadow

    def depth(self, i: int) -> float:
        """Depth of the ground line for the painter's order (a little behind the nearest corner)."""
        return float(self.near[i] + 0.3)

    def draw_shadow(self, canvas: Canvas, i: int) -> None:
        """A wide contact shadow."""
        x0, _, x1, y1 = self.box[i]
        canvas.shade((x0 + x1) / 2, y1 - 1, (x1 - x0) * 0.56, max((x1 - x0) * 0.06, 4), self.shadow)

    def draw(self, canvas: Canvas, i: int) -> None:
        """Hull, visible side, visible end, glass, wheels, lamps."""
        canvas.entity = self.entity
        p = self.points[i]
        span = self.spans
        side = "l" if self.left_seen[i] else "r"
        hull = cv2.convexHull(np.concatenate([p[span["body_l"]], p[span["body_r"]]]))[:, 0]
        canvas.poly(hull, self.paint["top"])
        for name in ("shield", "back"):
            if (self.front_seen[i] and name == "shield") or (self.rear_seen[i] and name == "back"):
                canvas.poly(p[span[name]], self.paint["glass"])
        self._fill(canvas, p[span[f"body_{side}"]], self.paint["body"])
        for g in range(len(self.shape.glass)):
            canvas.poly(p[span[f"glass{g}_{side}"]], self.paint["glass"])
        for end, seen in (("front", self.front_seen[i]), ("rear", self.rear_seen[i])):
            if seen:
                canvas.poly(p[span[end]], self.paint["end"])
                canvas.poly(p[span[f"lamp0_{end}"]], self.paint[end])
                canvas.poly(p[span[f"lamp1_{end}"]], self.paint[end])
        for w in range(2):
            canvas.poly(p[span[f"tyre{w}_{side}"]], self.paint["tyre"])
            canvas.poly(p[span[f"hub{w}_{side}"]], self.paint["hub"])

    def _fill(self, canvas: Canvas, points: np.ndarray, colour: tuple[int, int, int]) -> None:
        """Fill the (not convex) side profile."""
        cv2.fillPoly(canvas.rgb, [points], colour, cv2.LINE_AA, 4)
        cv2.fillPoly(canvas.ids, [points], canvas.entity, cv2.LINE_8, 4)


class Cyclist(Person):
    """A rider on a bicycle: the person's legs follow the pedals, the bicycle is drawn with it under one id."""

    def __init__(self, entity: int, track: Track, style: Style, frame_colour: str) -> None:
        super().__init__(entity, track, style)
        self.frame_colour = frame_colour
        n = len(track.x)
        self.seat = np.full(n, 0.98)
        self.turn = 2 * np.pi * track.distance / 3.2
        self.pose[:] = 0
        for side, shift in (("l", 0.0), ("r", np.pi)):
            hip, knee = _pedal(self.turn + shift, style.height)
            self.pose[:, CHANNEL[f"hip_{side}"]] = hip
            self.pose[:, CHANNEL[f"knee_{side}"]] = knee
        self.pose[:, CHANNEL["lean"]] = 0.45
        self.pose[:, CHANNEL["arm_l"]] = self.pose[:, CHANNEL["arm_r"]] = 0.95
        self.pose[:, CHANNEL["elbow_l"]] = self.pose[:, CHANNEL["elbow_r"]] = 0.25

    def prepare(self, camera: Camera, light: Light) -> None:
        """The rider's joints and the bicycle's points."""
        super().prepare(camera, light)
        t = np.linspace(0, 2 * np.pi, RIM, endpoint=False)
        wheels = [np.stack([x + 0.34 * np.cos(t), 0 * t, 0.34 + 0.34 * np.sin(t)], -1) for x in (-0.42, 0.64)]
        # rear hub, seat tube top, head tube, pedal axle, front hub, handlebar left and right
        bones = np.array(
            [
                (-0.42, 0, 0.34),
                (-0.1, 0, 0.85),
                (0.5, 0, 0.85),
                (0.1, 0, 0.3),
                (0.64, 0, 0.34),
                (0.5, 0.22, 1.0),
                (0.5, -0.22, 1.0),
                (0.5, 0, 0.98),
            ]
        )
        local = np.broadcast_to(np.concatenate([*wheels, bones])[None], (len(self.track.x), 2 * RIM + 8, 3))
        pixels = camera.project(to_world(local, self.track))
        self.bike = fixed(pixels)
        self.box[:, :2] = np.minimum(self.box[:, :2], pixels.min(axis=1))
        self.box[:, 2:] = np.maximum(self.box[:, 2:], pixels.max(axis=1))
        self.paint["frame"] = light.tone(COLOURS[self.frame_colour])
        self.paint["tyre"] = light.tone((22, 22, 24))

    def draw(self, canvas: Canvas, i: int) -> None:
        """Bicycle first, rider over it."""
        canvas.entity = self.entity
        b = self.bike[i]
        thick = max(1, round(self.metre[i] * 0.055))
        for w in range(2):
            canvas.line(b[w * RIM : (w + 1) * RIM], self.paint["tyre"], thick, closed=True)
        k = b[2 * RIM :]
        canvas.line(k[[0, 1, 3, 0]], self.paint["frame"], thick)
        canvas.line(k[[1, 2, 3]], self.paint["frame"], thick)
        canvas.line(k[[4, 2, 7]], self.paint["frame"], thick)
        canvas.line(k[[5, 6]], self.paint["tyre"], thick)
        super().draw(canvas, i)


def _pedal(angle: np.ndarray, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Hip and knee angles that put the foot on a pedal at `angle` (two-link inverse kinematics)."""
    fx, fu = 0.16 + 0.16 * np.cos(angle), 0.34 - 0.98 + 0.16 * np.sin(angle)
    a, b = 0.25 * height, 0.245 * height
    d = np.clip(np.hypot(fx, fu), 0.1, a + b - 0.01)
    knee = np.pi - np.arccos(np.clip((a * a + b * b - d * d) / (2 * a * b), -1, 1))
    hip = np.arctan2(fx, -fu) + np.arccos(np.clip((a * a + d * d - b * b) / (2 * a * d), -1, 1))
    return hip, knee
