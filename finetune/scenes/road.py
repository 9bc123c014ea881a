"""The road from a moving car: the way that is painted anew, the traffic on it, and how it goes wrong.

World Z is the way along the road; the camera is at `travel[i]` metres of it in frame `i`. Everybody is planned on the
ground, and seen from the car once the plan is done (`ride`).
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from .bodies import Person
from .camera import Camera
from .canvas import Colour, fixed
from .palette import Light, shaded, to_colour
from .plan import EventDraft, Plan
from .stories import collapse
from .track import Track

LANE = 3.4
OWN, ONCOMING = 0.0, -LANE
KERB = (-1.5 * LANE - 0.3, 0.5 * LANE + 1.2)  # left and right edge of the road, metres
REACH = 90.0  # metres ahead that are painted
BRAKE = 6.0  # m/s²


class RoadAhead:
    """The picture of the way at a distance travelled: `road(d)` → uint8 [H, W, 3], in the light of the scene."""

    def __init__(self, camera: Camera, light: Light, rng: np.random.Generator) -> None:
        self.camera, self.light = camera, light
        self.base = self._base(rng)
        self.stains = np.column_stack(
            [rng.uniform(*KERB, 260), rng.uniform(0, 400, 260), rng.uniform(0.1, 0.5, 260), rng.uniform(0.2, 1.6, 260)]
        )
        self.stained = light.tone(shaded(self.asphalt, 0.86))
        self.houses = [house for side in (-1, 1) for house in self._houses(side, rng)]
        self.trees = [self._tree(rng) for _ in range(int(rng.integers(10, 34)))]

    def _base(self, rng: np.random.Generator) -> np.ndarray:
        """What does not change on the way: sky, ground, asphalt, kerbs."""
        rgb = np.zeros((self.camera.height, self.camera.width, 3), np.uint8)
        line = int(np.clip(self.camera.horizon, 0, len(rgb)))
        rgb[:line] = self.light.tone(to_colour(rng.integers(170, 225, 3)))
        rgb[line:] = self.light.tone(to_colour(rng.integers(104, 150, 3)))
        grey = int(rng.integers(64, 100))
        self.asphalt: Colour = (grey, grey, grey + 3)
        self._quad(rgb, [(x, z, 0.0) for x, z in ((KERB[0], 400), (KERB[1], 400), (KERB[1], 0.9), (KERB[0], 0.9))],
                   self.light.tone(self.asphalt))  # fmt: skip
        for x in KERB:
            self._quad(rgb, [(x - 0.12, 400, 0), (x + 0.12, 400, 0), (x + 0.12, 0.9, 0), (x - 0.12, 0.9, 0)],
                       self.light.tone((178, 176, 170)))  # fmt: skip
        noise = rng.normal(0, 4.0, (*rgb.shape[:2], 1))
        return np.clip(rgb + noise, 0, 255).astype(np.uint8)

    def _houses(self, side: int, rng: np.random.Generator) -> list[tuple[float, float, float, float, Colour, Colour]]:
        """One side of the way: (x, from, to, height, wall, glass), metres."""
        found, z = [], float(rng.uniform(0, 8))
        x = (KERB[1] + 3.2 if side > 0 else KERB[0] - 3.2) + side * float(rng.uniform(0, 3))
        walls = ((172, 96, 76), (196, 178, 148), (150, 152, 158), (206, 200, 188), (128, 112, 100))
        while z < 420:
            long = float(rng.uniform(8, 18))
            wall = to_colour(np.array(walls[int(rng.integers(5))]) + rng.integers(-18, 18, 3))
            glass = to_colour(rng.integers(40, 120, 3))
            found.append((x, z, z + long, float(rng.uniform(4, 13)), wall, glass))
            z += long + float(rng.choice([0.0, 4.0, 12.0], p=(0.6, 0.25, 0.15)))
        return found

    def _tree(self, rng: np.random.Generator) -> tuple[float, float, np.ndarray, Colour]:
        """(x, z, crown [K, 3] of offsets and radii in metres, green)."""
        x = KERB[1] + 1.2 if rng.random() < 0.5 else KERB[0] - 1.2
        crown = np.column_stack([rng.uniform(-1, 1, 14), rng.uniform(2.6, 4.6, 14), rng.uniform(0.3, 0.55, 14)])
        green = to_colour(rng.integers((38, 84, 34), (70, 120, 60)))
        return x, float(rng.uniform(0, 420)), crown, green

    def __call__(self, travelled: float) -> np.ndarray:
        """Paint, far things first."""
        rgb = self.base.copy()
        for x, z, wide, long in self.stains:
            if 1.5 < z - travelled < 45:
                self._flat(rgb, x, z - travelled, wide, long, self.stained)
        first = int(travelled // 8) * 8
        for z in range(first, first + 72, 8):
            self._flat(rgb, (OWN + ONCOMING) / 2, z - travelled + 2, 0.07, 1.6, self.light.tone((214, 212, 202)))
        standing = [(house[2], house) for house in self.houses] + [(tree[1], tree) for tree in self.trees]
        for far, thing in sorted(standing, key=lambda s: -s[0]):
            if 1.2 < far - travelled < REACH + 30:
                (self._paint_house if len(thing) == 6 else self._paint_tree)(rgb, thing, travelled)
        return rgb

    def _flat(self, rgb: np.ndarray, x: float, z: float, wide: float, long: float, colour: Colour) -> None:
        """A mark on the ground round (x, z)."""
        near = max(z - long, 0.9)
        if z + long > near:
            corners = [(x - wide, z + long), (x + wide, z + long), (x + wide, near), (x - wide, near)]
            self._quad(rgb, [(a, b, 0.0) for a, b in corners], colour)

    def _paint_house(self, rgb: np.ndarray, house: tuple, travelled: float) -> None:
        """The wall along the road with its windows, and the gable that faces the car."""
        x, begin, end, top, wall, glass = house
        z0, z1 = max(begin - travelled, 1.0), min(end - travelled, REACH + 30)
        if z1 <= z0:
            return
        tone = self.light.tone
        if begin - travelled > 1.0:
            out = x + np.sign(x) * 9
            self._quad(rgb, [(x, z0, 0), (out, z0, 0), (out, z0, top), (x, z0, top)], tone(wall, 0.8))
        self._quad(rgb, [(x, z0, 0), (x, z1, 0), (x, z1, top), (x, z0, top)], tone(wall))
        if z0 > 55:
            return
        for floor in np.arange(0.9, top - 1.6, 3.0):
            for z in np.arange(begin + 0.9, end - 1.4, 2.8) - travelled:
                if z > 1.2:
                    pane = [(x, z, floor), (x, z + 1.2, floor), (x, z + 1.2, floor + 1.4), (x, z, floor + 1.4)]
                    self._quad(rgb, pane, tone(glass))

    def _paint_tree(self, rgb: np.ndarray, tree: tuple, travelled: float) -> None:
        """Trunk and crown."""
        x, z, crown, green = tree
        z -= travelled
        if z < 2.0:
            return
        m = self.camera.scale(z)
        (px, py), tone = self.camera.point(x, z), self.light.tone
        self._quad(
            rgb, [(x - 0.12, z, 0), (x + 0.12, z, 0), (x + 0.12, z, 2.8), (x - 0.12, z, 2.8)], tone((84, 62, 44))
        )
        for k, (dx, up, radius) in enumerate(crown):
            at = fixed(np.array([px + dx * m, py - up * m]))
            colour = tone(shaded(green, 0.8 + 0.4 * (k % 5) / 4))
            cv2.circle(rgb, (int(at[0]), int(at[1])), int(min(radius * m, 400) * 16), colour, -1, cv2.LINE_AA, 4)

    def _quad(self, rgb: np.ndarray, corners: list[tuple[float, float, float]], colour: Colour) -> None:
        cv2.fillPoly(rgb, [fixed(self.camera.project(np.array(corners, np.float64)))], colour, cv2.LINE_AA, 4)


# --- the drive --------------------------------------------------------------------------------------------------------


def drive(plan: Plan, brake_at: float | None = None) -> float:
    """Set how the camera's car moves; it brakes from `brake_at` seconds on. Returns its speed before, m/s."""
    speed = plan.uniform(5.5, 9.5)
    t = np.arange(plan.n) / plan.fps
    pace = speed * (1 + 0.06 * np.sin(plan.uniform(0.3, 0.8) * t + plan.uniform(0, 6.28)))
    if brake_at is not None:
        pace = np.maximum(np.minimum(pace, speed - BRAKE * (t - brake_at)), 0)
    plan.view.travel = np.concatenate([[0.0], np.cumsum(pace[:-1]) / plan.fps])
    return speed


def ride(plan: Plan) -> None:
    """See everybody from the car; where they are on the ground stays as `ground`."""
    travel = plan.view.travel
    assert travel is not None
    for cast in plan.cast.values():
        track: Track = cast.thing.track
        cast.thing.ground = track
        cast.thing.track = replace(track, z=track.z - travel)


def road_life(plan: Plan, *, lead: bool) -> None:
    """Traffic and people beside the road; `lead`: somebody drives ahead."""
    if plan.view.travel is None:
        drive(plan)
    travel = plan.view.travel
    assert travel is not None
    mean = float(travel[-1]) / plan.seconds
    if lead:
        z = plan.uniform(11, 18)
        plan.vehicle(plan.walk(OWN, z).go(OWN, z + max(mean, 1.0) * plan.seconds, max(mean, 1.0)).track(plan.n))
    at = plan.uniform(-1.0, 1.5)
    while at < plan.seconds and plan.chance(0.8):
        speed = plan.uniform(6, 10)
        z = mean * max(at, 0) + 55
        plan.vehicle(plan.walk(ONCOMING, z, -np.pi / 2, start_s=at).go(ONCOMING, z - 400, speed).track(plan.n))
        at += plan.uniform(2.0, 5.0)
    for _ in range(int(plan.rng.integers(1, 5))):
        _walker(plan, plan.uniform(8, 30) + plan.uniform(0, 0.8) * float(travel[-1]))
    if plan.chance(0.35):
        z = plan.uniform(10, 25)
        plan.cyclist(plan.walk(KERB[1] - 0.6, z).go(KERB[1] - 0.6, z + 200, plan.uniform(3.5, 5.0)).track(plan.n))
        plan.cast[len(plan.cast)].verb = "rides a bicycle on the road"


def _walker(plan: Plan, z: float) -> Person:
    """Somebody on the pavement."""
    x = KERB[1] + plan.uniform(0.7, 2.2) if plan.chance(0.5) else KERB[0] - plan.uniform(0.7, 2.2)
    way = 60 if plan.chance(0.5) else -60
    return plan.person(plan.walk(x, z).go(x, z + way, plan.uniform(0.9, 1.5)).track(plan.n))


def crash(plan: Plan, at: float, length: float) -> EventDraft:  # noqa: ARG001 - the wreck stays
    """The car ahead hits a person, or is hit by one that crosses or comes from the other lane."""
    hit = at + 0.3
    speed = drive(plan, hit + 0.35)
    gap = plan.uniform(4, 7) + speed * 0.35 + speed * speed / (2 * BRAKE)
    assert plan.view.travel is not None
    z = float(np.interp(hit, np.arange(plan.n) / plan.fps, plan.view.travel)) + gap + 2.5
    side = 1 if plan.chance(0.5) else -1
    lead = plan.walk(OWN, z - speed * hit).go(OWN, z, speed)
    kind = str(plan.rng.choice(["person", "crossing", "oncoming"]))
    if kind == "person":
        lead.slide(OWN, z + 1.6, 0.4).until(plan.seconds + 1)
        driver = plan.vehicle(lead.track(plan.n, 0.0), "perpetrator", "car", "crashes into a person")
        pace, edge = plan.uniform(1.2, 2.2), side * 4.2
        step = plan.walk(edge, z + 2.6, start_s=hit - abs(edge) / pace).go(OWN, z + 2.6, pace)
        step.slide(OWN - side * 2.0, z + 3.2, 0.5).until(plan.seconds + 1)
        struck = plan.person(step.track(plan.n, 0.1), "victim", "is hit by a car")
        collapse(plan, struck, hit, None, 1.0 if plan.chance(0.5) else -1.0, 0.3)
        target = struck.entity
    else:
        pushed = -side * 1.1 if kind == "crossing" else 0.3
        lead.slide(OWN + pushed, z + (0.8 if kind == "crossing" else -0.4), 0.4).until(plan.seconds + 1)
        if kind == "crossing":
            pace = plan.uniform(6, 9)
            start = side * 22.0
            other = plan.walk(start, z, start_s=hit - (22.0 - 3.0) / pace).go(side * 3.0, z, pace)
            other.slide(side * 2.0, z + 0.3, 0.4).until(plan.seconds + 1)
        else:
            pace = plan.uniform(6, 9)
            swerve = 9.0
            other = plan.walk(
                ONCOMING, z + 4.4 + 40 + swerve, -np.pi / 2, start_s=hit - (40 + np.hypot(swerve, LANE)) / pace
            )
            other.go(ONCOMING, z + 4.4 + swerve, pace).go(OWN - 0.5, z + 4.4, pace)
            other.slide(OWN - 0.4, z + 3.6, 0.3).until(plan.seconds + 1)
        driver = plan.vehicle(other.track(plan.n, 0.0), "perpetrator", "car", "crashes into another car")
        target = plan.vehicle(lead.track(plan.n, 0.0), "victim", "car", "is hit by another car").entity
    plan.cast[driver.entity].facts["victim_id"] = target
    plan.cast[target].facts["victim_of"] = driver.entity
    variant = "person" if kind == "person" else "car"
    return EventDraft("collision", plan.frame(at), plan.n, [driver.entity], [target], variant=variant)
