"""Persons: a pose per frame, from it a skeleton in metres, from it thick limbs in the picture.

A pose is a row of `CHANNELS` angles in radians: hips and shoulders are measured from hanging straight down, positive
forward; knees and elbows are bends; `lean` tips the trunk forward; `fall` tips the whole body over its feet (positive
forward); `roll` tips it sideways; `spread` lifts both arms sideways.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .camera import Camera
from .canvas import Canvas, Colour, fixed
from .palette import COLOURS, Light
from .track import Track, box_smooth

CHANNELS = (
    "lean",
    "hip_l",
    "knee_l",
    "hip_r",
    "knee_r",
    "arm_l",
    "elbow_l",
    "arm_r",
    "elbow_r",
    "spread",
    "fall",
    "roll",
)
CHANNEL = {name: i for i, name in enumerate(CHANNELS)}
JOINTS = [
    "head",
    "neck",
    "arm_l",
    "elbow_l",
    "hand_l",
    "arm_r",
    "elbow_r",
    "hand_r",
    "hip_l",
    "knee_l",
    "foot_l",
    "toe_l",
    "hip_r",
    "knee_r",
    "foot_r",
    "toe_r",
    "pack",
    "brow",
]
J = {name: i for i, name in enumerate(JOINTS)}


@dataclass(frozen=True)
class Style:
    """What a person wears and is built like; colours are names of `palette.COLOURS`, `height` in metres; `head` is
    the size of the head to that of a grown person's of this height."""

    upper: str
    lower: str
    skin: Colour
    hair: Colour
    height: float = 1.72
    girth: float = 1.0
    hat: str | None = None
    backpack: str | None = None
    head: float = 1.0


def gait(track: Track, height: float, phase: float) -> np.ndarray:
    """The pose [n, channels] of walking, running or standing that the speed along `track` asks for."""
    n = len(track.x)
    pose = np.zeros((n, len(CHANNELS)))
    speed = box_smooth(track.speed, int(track.fps * 0.3))
    run = np.clip((speed - 2.2) / 1.4, 0, 1)
    amount = np.clip(speed / 1.0, 0, 1)
    stride = (1.35 + 1.25 * run) * height / 1.72
    step = np.hypot(np.diff(track.x, prepend=track.x[0]), np.diff(track.z, prepend=track.z[0]))
    phi = phase + 2 * np.pi * np.cumsum(step / stride)
    swing = np.sin(phi)
    reach = amount * (0.46 + 0.36 * run)
    bend = amount * (0.75 + 0.75 * run)
    pose[:, CHANNEL["hip_l"]] = reach * swing + 0.12 * run
    pose[:, CHANNEL["hip_r"]] = -reach * swing + 0.12 * run
    pose[:, CHANNEL["knee_l"]] = 0.06 + bend * np.clip(np.cos(phi), 0, 1) + 0.15 * run
    pose[:, CHANNEL["knee_r"]] = 0.06 + bend * np.clip(-np.cos(phi), 0, 1) + 0.15 * run
    pose[:, CHANNEL["arm_l"]] = -amount * (0.42 + 0.5 * run) * swing
    pose[:, CHANNEL["arm_r"]] = amount * (0.42 + 0.5 * run) * swing
    pose[:, CHANNEL["elbow_l"]] = pose[:, CHANNEL["elbow_r"]] = 0.16 + 0.12 * amount + 1.25 * run
    pose[:, CHANNEL["lean"]] = 0.03 * amount + 0.24 * run
    pose[:, CHANNEL["spread"]] = 0.1
    return pose


def skeleton(pose: np.ndarray, height: float, seat: np.ndarray | None = None) -> np.ndarray:
    """Joints [n, 18, 3] as (forward, left, up) metres around the feet.

    Feet stand on the ground: the hips are as high as the longer leg needs. `seat` [n] lifts them to a fixed height.
    """
    c = {name: pose[:, i] for name, i in CHANNEL.items()}
    n = len(pose)
    h = height
    out = np.zeros((n, len(JOINTS), 3))
    zero = np.zeros(n)
    drop = []
    for side, sign in (("l", 1.0), ("r", -1.0)):
        a, k = c[f"hip_{side}"], c[f"knee_{side}"]
        hip = np.stack([zero, np.full(n, sign * 0.06 * h), zero], -1)
        knee = hip + 0.25 * h * np.stack([np.sin(a), zero, -np.cos(a)], -1)
        foot = knee + 0.245 * h * np.stack([np.sin(a - k), zero, -np.cos(a - k)], -1)
        toe = foot + 0.1 * h * np.stack([np.cos(np.minimum(a - k, 0)), zero, np.sin(np.minimum(a - k, 0)) - 0.1], -1)
        out[:, J[f"hip_{side}"]], out[:, J[f"knee_{side}"]] = hip, knee
        out[:, J[f"foot_{side}"]], out[:, J[f"toe_{side}"]] = foot, toe
        drop.append(-foot[:, 2])
    up = np.stack([np.sin(c["lean"]), zero, np.cos(c["lean"])], -1)
    back = np.stack([np.cos(c["lean"]), zero, -np.sin(c["lean"])], -1)
    out[:, J["neck"]] = 0.31 * h * up
    out[:, J["head"]] = 0.405 * h * up + 0.02 * h * back
    out[:, J["brow"]] = 0.43 * h * up + 0.045 * h * back
    out[:, J["pack"]] = 0.2 * h * up - 0.1 * h * back
    for side, sign in (("l", 1.0), ("r", -1.0)):
        a, e, s = c[f"arm_{side}"], c[f"elbow_{side}"], c["spread"]
        top = 0.285 * h * up + np.array([0, sign * 0.105 * h, 0])
        elbow = top + 0.165 * h * np.stack([np.sin(a) * np.cos(s), sign * np.sin(s), -np.cos(a) * np.cos(s)], -1)
        f = a + e
        hand = elbow + 0.165 * h * np.stack([np.sin(f) * np.cos(s), sign * 0.6 * np.sin(s), -np.cos(f) * np.cos(s)], -1)
        out[:, J[f"arm_{side}"]], out[:, J[f"elbow_{side}"]], out[:, J[f"hand_{side}"]] = top, elbow, hand
    out[..., 2] += (np.maximum(*drop) + 0.045 * h if seat is None else seat)[:, None]
    return _tip(out, c["fall"], c["roll"])


def _tip(out: np.ndarray, fall: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """Rotate the joints over the feet and keep them above the ground."""
    for axis, angle in ((0, fall), (1, roll)):
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        side, up = out[..., axis].copy(), out[..., 2].copy()
        out[..., axis] = side * cos + up * sin
        out[..., 2] = up * cos - side * sin
    out[..., 2] = np.maximum(out[..., 2], 0.06)
    return out


def to_world(local: np.ndarray, track: Track) -> np.ndarray:
    """Local (forward, left, up) points [n, P, 3] on a track to world (X, Z, U)."""
    cos, sin = np.cos(track.heading)[:, None], np.sin(track.heading)[:, None]
    x = track.x[:, None] + local[..., 0] * cos - local[..., 1] * sin
    z = track.z[:, None] + local[..., 0] * sin + local[..., 1] * cos
    return np.stack([x, z, local[..., 2]], axis=-1)


class Person:
    """A person with a track and a script of pose overlays; `prepare` turns them into pixels for all frames."""

    def __init__(self, entity: int, track: Track, style: Style, phase: float = 0.0) -> None:
        self.entity = entity
        self.track = track
        self.style = style
        self.pose = gait(track, style.height, phase)
        self.seat: np.ndarray | None = None
        self.lift: np.ndarray | None = None  # metres above the ground in every frame, for who jumps or climbs
        self.present = np.ones(len(track.x), dtype=bool)

    def act(self, start: int, end: int, ramp: int, **channels: float | np.ndarray) -> None:
        """Blend channels to the given values (scalars, or arrays over the clip) in frames [start, end).

        The blend comes in over `ramp` frames from `start` and goes out over `ramp` frames after `end`.
        """
        i = np.arange(len(self.pose))
        ramp = max(ramp, 1)
        weight = np.clip(np.minimum((i - start + 1) / ramp, (end + ramp - i) / ramp), 0, 1)
        weight = weight * weight * (3 - 2 * weight)
        for name, value in channels.items():
            column = self.pose[:, CHANNEL[name]]
            self.pose[:, CHANNEL[name]] = column * (1 - weight) + value * weight

    def prepare(self, camera: Camera, light: Light) -> None:
        """Compute pixels of all joints in all frames."""
        local = skeleton(self.pose, self.style.height, self.seat)
        world = to_world(local, self.track)
        if self.lift is not None:
            world[..., 2] += self.lift[:, None]
        self.world = world
        pixels = camera.project(world)
        self.points = fixed(pixels)
        self.metre = camera.focal / np.maximum(self.track.z, 0.8)
        self.foot = camera.project(np.stack([self.track.x, self.track.z, np.zeros_like(self.track.x)], -1))
        lo, hi = pixels.min(axis=1), pixels.max(axis=1)
        pad = 0.12 * self.metre[:, None]
        self.box = np.concatenate([lo - pad, hi + pad], axis=1)
        inside = (self.box[:, 2] > camera.pad) & (self.box[:, 0] < camera.width - camera.pad)
        inside &= (self.box[:, 3] > camera.pad) & (self.box[:, 1] < camera.height - camera.pad)
        self.seen = inside & self.present & (self.track.z > 1.2)
        self.left_far = np.cos(self.track.heading) > 0
        self.facing_away = np.sin(self.track.heading) > 0.5
        s = self.style
        tone = light.tone
        self.paint = {
            "upper": tone(COLOURS[s.upper]),
            "upper_far": tone(COLOURS[s.upper], 0.78),
            "lower": tone(COLOURS[s.lower]),
            "lower_far": tone(COLOURS[s.lower], 0.76),
            "skin": tone(s.skin),
            "hair": tone(COLOURS[s.hat]) if s.hat else tone(s.hair),
            "shoe": tone((40, 36, 34)),
            "pack": tone(COLOURS[s.backpack]) if s.backpack else (0, 0, 0),
        }
        self.shadow = light.shadow

    def depth(self, i: int) -> float:
        """Metres from the camera, for the painter's order."""
        return float(self.track.z[i])

    def draw_shadow(self, canvas: Canvas, i: int) -> None:
        """A soft contact shadow on the ground."""
        m = self.metre[i]
        x0, x1 = self.box[i, 0], self.box[i, 2]
        canvas.shade((x0 + x1) / 2, self.foot[i, 1], max((x1 - x0) * 0.62, 0.3 * m), 0.16 * m, self.shadow)

    def draw(self, canvas: Canvas, i: int) -> None:
        """Limbs from the far side to the near side, then head."""
        canvas.entity = self.entity
        p = [(int(x), int(y)) for x, y in self.points[i]]
        m = float(self.metre[i]) * self.style.height / 1.72
        far, near = ("l", "r") if self.left_far[i] else ("r", "l")
        away = bool(self.facing_away[i])
        paint = self.paint
        if self.style.backpack and not away:
            canvas.limb(p[J["pack"]], p[J["pack"]], 0.16 * m, 0.16 * m, paint["pack"])
        self._arm(canvas, p, far, m, paint["upper_far"])
        self._leg(canvas, p, far, m, paint["lower_far"])
        self._leg(canvas, p, near, m, paint["lower"])
        r = 0.105 * m * self.style.girth
        for side in (far, near):
            canvas.limb(p[J[f"arm_{side}"]], p[J[f"hip_{side}"]], r, r * 0.95, paint["upper"])
        canvas.limb(p[J["neck"]], p[J["hip_l"]], r * 0.9, r * 0.9, paint["upper"])
        if self.style.backpack and away:
            canvas.limb(p[J["pack"]], p[J["pack"]], 0.19 * m, 0.19 * m, paint["pack"])
        head, brow = p[J["head"]], p[J["brow"]]
        canvas.limb(p[J["neck"]], head, 0.05 * m, 0.06 * m, paint["skin"])
        canvas.disc(*head, 0.115 * m * self.style.head, paint["hair"])
        if not away:
            canvas.disc(brow[0], brow[1] + int(0.06 * m * 16), 0.088 * m * self.style.head, paint["skin"])
        self._arm(canvas, p, near, m, paint["upper"])

    def _arm(self, canvas: Canvas, p: list[tuple[int, int]], side: str, m: float, colour: Colour) -> None:
        canvas.limb(p[J[f"arm_{side}"]], p[J[f"elbow_{side}"]], 0.062 * m, 0.052 * m, colour)
        canvas.limb(p[J[f"elbow_{side}"]], p[J[f"hand_{side}"]], 0.052 * m, 0.042 * m, colour)
        canvas.disc(*p[J[f"hand_{side}"]], 0.052 * m, self.paint["skin"])

    def _leg(self, canvas: Canvas, p: list[tuple[int, int]], side: str, m: float, colour: Colour) -> None:
        canvas.limb(p[J[f"foot_{side}"]], p[J[f"toe_{side}"]], 0.05 * m, 0.042 * m, self.paint["shoe"])
        canvas.limb(p[J[f"hip_{side}"]], p[J[f"knee_{side}"]], 0.088 * m, 0.07 * m, colour)
        canvas.limb(p[J[f"knee_{side}"]], p[J[f"foot_{side}"]], 0.07 * m, 0.052 * m, colour)
