"""What people of the rich world hold, throw, push, break and stand on."""

from __future__ import annotations

import numpy as np

from .bodies import CHANNEL, J, Person, Style, to_world
from .camera import Camera
from .canvas import Canvas, fixed
from .effects import Bag, Spot
from .palette import COLOURS, Light
from .track import Track


class Held:
    """A stick, a crowbar or a gun of `length` metres in a hand in frames [start, end); drawn under its holder's id."""

    def __init__(
        self, person: Person, start: int, end: int, length: float, colour: str = "brown", thick: float = 0.06
    ) -> None:
        self.person, self.length, self.colour, self.thick = person, length, colour, thick
        self.present = np.zeros(len(person.track.x), dtype=bool)
        self.present[start:end] = True

    def prepare(self, camera: Camera, light: Light) -> None:
        """From the hand on along the forearm."""
        hand, elbow = (self.person.world[:, J[name]] for name in ("hand_r", "elbow_r"))
        along = hand - elbow
        along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
        self.tip = hand + along * self.length
        self.tip[:, 2] = np.maximum(self.tip[:, 2], 0.03)
        self.points = fixed(camera.project(np.stack([hand - 0.1 * along, self.tip], 1)))
        self.metre = camera.focal / np.maximum(self.person.track.z, 0.8)
        self.tone = light.tone(COLOURS[self.colour], 0.8)
        self.seen = self.person.seen & self.present

    def depth(self, i: int) -> float:
        """Just before the body."""
        return self.person.depth(i) - 0.08

    def draw_shadow(self, canvas: Canvas, i: int) -> None:
        """Too thin for a shadow."""

    def draw(self, canvas: Canvas, i: int) -> None:
        """A bar with round ends."""
        canvas.entity = self.person.entity
        (ax, ay), (bx, by) = ((int(x), int(y)) for x, y in self.points[i])
        radius = max(0.5 * self.thick * float(self.metre[i]), 0.9)
        canvas.limb((ax, ay), (bx, by), radius, radius, self.tone)


class Shots:
    """Flashes at the muzzle of a gun, at least one frame each, with a streak that shows where it went."""

    def __init__(self, gun: Held, frames: list[int], fps: float) -> None:
        self.gun, self.fps = gun, fps
        self.seen = np.zeros(len(gun.present), dtype=bool)
        for frame in frames:
            self.seen[frame : frame + max(1, round(0.13 * fps))] = True

    def prepare(self, camera: Camera, light: Light) -> None:
        """Where the muzzle is, and which way it points."""
        self.muzzle = camera.project(self.gun.tip)
        self.metre, self.grey = self.gun.metre, light.grey
        elbow = camera.project(self.gun.person.world[:, J["elbow_r"]])
        way = self.muzzle - elbow
        self.way = way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-6)

    def depth(self, i: int) -> float:
        """Before the shooter."""
        return self.gun.depth(i) - 0.1

    def draw_shadow(self, canvas: Canvas, i: int) -> None:
        """Light throws no shadow."""

    def draw(self, canvas: Canvas, i: int) -> None:
        """A glow, a star and a streak; picture only."""
        canvas.entity = -1
        m, (x, y), (wx, wy) = float(self.metre[i]), self.muzzle[i], self.way[i]
        canvas.puff(x + 0.2 * m * wx, y + 0.2 * m * wy, 0.75 * m, (255, 214, 120), 0.9, glow=True)
        tip = np.array([(0.0, 0.1), (0.75, 0.0), (0.0, -0.1), (0.12, 0.0)]) * m
        star = np.array([(x + a * wx - b * wy, y + a * wy + b * wx) for a, b in tip[:3]])
        canvas.poly(fixed(star), (255, 240, 170))
        canvas.disc(int(x * 16), int(y * 16), 0.13 * m, (255, 250, 225))
        streak = np.array([(x, y), (x + 1.5 * m * wx, y + 1.5 * m * wy)])
        canvas.line(fixed(streak), (255, 246, 200), 1)


class Item(Bag):
    """A small thing that is held, thrown, or lies: `form` is stone, bottle, ball or box."""

    def __init__(self, entity: int, colour: str, place: np.ndarray, form: str, size: float = 1.0) -> None:
        super().__init__(entity, colour, place, size)
        self.form = form
        self.flights: list[tuple[Person, int, tuple[float, float, float], float, tuple[float, float]]] = []
        self.turn = np.zeros(len(place))

    def throw(
        self, person: Person, frame: int, to: tuple[float, float, float], seconds: float, rest: tuple[float, float]
    ) -> None:
        """Fly from the hand of `person` at `frame` to `to` (X, Z, U) within `seconds`, then drop to `rest` (X, Z)."""
        self.flights.append((person, frame, to, seconds, rest))

    def follow(self) -> None:
        """In the hands, through the air, on the ground."""
        super().follow()
        n = len(self.place)
        low = 0.12 * self.size
        for person, frame, to, seconds, rest in self.flights:
            if frame >= n:
                continue
            t = (np.arange(n - frame) + 1.0) / person.track.fps
            start, goal = person.world[frame, J["hand_r"]], np.array(to)
            share = np.clip(t / seconds, 0, 1)[:, None]
            path = start + (goal - start) * share
            path[:, 2] += 0.55 * (4 * share * (1 - share))[:, 0]
            drop = np.clip((t - seconds) / 0.35, 0, 1)[:, None]
            floor = np.array([*rest, low])
            path = path + (floor - goal) * np.concatenate([drop, drop, drop**2], 1) * (share >= 1)
            self.place[frame:] = path
            self.turn[frame:] = 9.0 * np.minimum(t, seconds + 0.3)
            self.z_order[frame:] = -0.15

    def draw(self, canvas: Canvas, i: int) -> None:
        """A round, a narrow or a square thing."""
        canvas.entity = self.entity
        x, y = self.foot[i, 0], self.foot[i, 1] - 0.17 * self.size * self.metre[i]
        m = float(self.metre[i]) * self.size
        if self.form in ("ball", "stone"):
            canvas.disc(int(x * 16), int(y * 16), max(0.15 * m, 1.6), self.paint)
            canvas.disc(int((x - 0.04 * m) * 16), int((y + 0.05 * m) * 16), 0.05 * m, self.dark)
            return
        half = np.array((0.07, 0.2) if self.form == "bottle" else (0.19, 0.15)) * m
        a = self.turn[i] if self.form == "bottle" else 0.3 * np.sin(self.turn[i])
        spin = np.array([(np.cos(a), np.sin(a)), (-np.sin(a), np.cos(a))])
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half @ spin + (x, y)
        canvas.poly(fixed(corners), self.paint)
        canvas.line(fixed(corners), self.dark, 1, closed=True)


class Cart:
    """A trolley of wire on small wheels, pushed ahead of its owner."""

    def __init__(self, entity: int, owner: Person, colour: str) -> None:
        self.entity, self.owner, self.colour = entity, owner, colour
        t = owner.track
        self.track = Track(t.x + 0.85 * np.cos(t.heading), t.z + 0.85 * np.sin(t.heading), t.heading, t.fps)

    def prepare(self, camera: Camera, light: Light) -> None:
        """Corners of the basket, the frame and the wheels in all frames."""
        basket = [(-0.3, 0.5), (-0.42, 0.98), (0.5, 0.86), (0.42, 0.5)]
        rows = [(f, s, u) for s in (0.24, -0.24) for f, u in basket]
        rows += [(-0.62, s, 1.02) for s in (0.24, -0.24)]
        rows += [(f, s, u) for s in (0.22, -0.22) for f, u in ((-0.32, 0.14), (0.4, 0.14))]
        local = np.broadcast_to(np.array(rows)[None], (len(self.track.x), len(rows), 3))
        pixels = camera.project(to_world(local, self.track))
        self.points = fixed(pixels)
        self.metre = camera.focal / np.maximum(self.track.z, 0.8)
        self.box = np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1)
        self.seen = (self.box[:, 2] > camera.pad) & (self.box[:, 0] < camera.width - camera.pad) & (self.track.z > 1.2)
        self.paint, self.rim = light.tone(COLOURS[self.colour]), light.tone((176, 178, 182))
        self.goods = [light.tone(c) for c in ((196, 90, 50), (70, 130, 80), (214, 190, 90))]
        self.tyre, self.shadow = light.tone((30, 30, 32)), light.shadow

    def depth(self, i: int) -> float:
        """Metres from the camera."""
        return float(self.track.z[i])

    def draw_shadow(self, canvas: Canvas, i: int) -> None:
        """A contact shadow."""
        x0, _, x1, y1 = self.box[i]
        canvas.shade((x0 + x1) / 2, y1, (x1 - x0) * 0.6, 0.12 * self.metre[i], self.shadow)

    def draw(self, canvas: Canvas, i: int) -> None:
        """Far side, goods, near side, frame, wheels."""
        canvas.entity = self.entity
        p, m = self.points[i], float(self.metre[i])
        thick = max(1, round(0.05 * m))
        canvas.poly(p[4:8], self.rim)
        middle = p[:8].mean(axis=0)
        for k, tone in enumerate(self.goods):
            canvas.disc(int(middle[0] + (k - 1) * 0.22 * m * 16), int(middle[1] - 0.16 * m * 16), 0.15 * m, tone)
        canvas.poly(p[:4], self.paint)
        canvas.line(p[:4], self.rim, 1, closed=True)
        canvas.line(p[[8, 9]], self.rim, thick)
        for a, b in ((8, 10), (0, 10), (3, 11), (10, 11)):
            canvas.line(p[[a, b]], self.rim, thick)
        for k in range(10, 14):
            canvas.disc(int(p[k, 0]), int(p[k, 1]), 0.08 * m, self.tyre)


class Skater(Person):
    """A rider on a skateboard: stands on it with bent knees and pushes off now and then; drawn under one id."""

    def __init__(self, entity: int, track: Track, style: Style, board: str) -> None:
        super().__init__(entity, track, style)
        self.board = board
        n = len(track.x)
        t = np.arange(n) / track.fps + entity
        push = np.clip(np.sin(2 * np.pi * t / 2.2) - 0.35, 0, 1) / 0.65
        swing = np.sin(2 * np.pi * t / 0.55)
        self.pose[:] = 0
        for name, value in {
            "lean": 0.28 + 0.2 * push, "hip_l": 0.55, "knee_l": 0.75, "hip_r": 0.25 - 0.75 * push * (swing > 0),
            "knee_r": 0.75 - 0.55 * push, "arm_l": 0.5, "arm_r": -0.35, "elbow_l": 0.3, "elbow_r": 0.4, "spread": 0.6,
        }.items():  # fmt: skip
            self.pose[:, CHANNEL[name]] = value
        self.lift = np.full(n, 0.13)

    def prepare(self, camera: Camera, light: Light) -> None:
        """The rider's joints and the board's corners."""
        super().prepare(camera, light)
        rows = np.array(
            [(-0.5, 0.0, 0.2), (-0.38, 0, 0.12), (0.42, 0, 0.12), (0.56, 0, 0.2), (-0.28, 0, 0.05), (0.34, 0, 0.05)]
        )
        local = np.broadcast_to(rows[None], (len(self.track.x), len(rows), 3))
        pixels = camera.project(to_world(local, self.track))
        self.deck = fixed(pixels)
        self.box[:, :2] = np.minimum(self.box[:, :2], pixels.min(axis=1))
        self.box[:, 2:] = np.maximum(self.box[:, 2:], pixels.max(axis=1))
        self.paint["deck"], self.paint["wheel"] = light.tone(COLOURS[self.board]), light.tone((30, 30, 32))

    def draw(self, canvas: Canvas, i: int) -> None:
        """Board first, rider over it."""
        canvas.entity = self.entity
        m, d = float(self.metre[i]), self.deck[i]
        canvas.line(d[:4], self.paint["deck"], max(2, round(0.09 * m)))
        for k in (4, 5):
            canvas.disc(int(d[k, 0]), int(d[k, 1]), 0.07 * m, self.paint["wheel"])
        super().draw(canvas, i)


class Pigeons(Spot):
    """A flock that pecks on the ground, and rises and flies off when `scared` (a frame; past the end: never)."""

    def __init__(self, *place: float | int, scared: int, entity: int, seed: int) -> None:
        x, z, start, end, n, fps = place
        super().__init__(entity, float(x), float(z), int(start), int(end), int(n), float(fps), seed)
        self.scared = scared

    def prepare(self, camera: Camera, light: Light) -> None:
        """Where every bird is."""
        count = 9
        self.camera = camera
        self.at = self.rng.uniform(-1, 1, (count, 2)) * (1.1, 0.5)
        self.phase, self.way = self.rng.uniform(0, 6.28, count), self.rng.uniform(-0.6, 0.6, (count, 2))
        self.side = 1 if self.rng.random() < 0.5 else -1
        self.px, self.py = camera.point(self.x, self.z)
        self.tone, self.wing = light.tone((112, 116, 128)), light.tone((150, 154, 164))
        self.seen[self.scared + int(2.2 * self.fps) :] = False

    def draw(self, canvas: Canvas, i: int) -> None:
        """Bodies; wings when they fly."""
        canvas.entity = self.entity
        t = i / self.fps
        fly = max((i - self.scared) / self.fps, 0.0)
        for (dx, dz), phase, (wx, wz) in zip(self.at, self.phase, self.way, strict=True):
            x, z = self.x + dx + 0.15 * np.sin(0.5 * t + phase), self.z + dz
            up = 0.09
            if fly > 0:
                x, z = x + (self.side * 2.4 + wx) * fly, z + wz * fly
                up += 1.6 * fly + 0.8 * fly * fly
            m = self.camera.scale(z)
            px, py = self.camera.point(x, z, up)
            head = 0.1 if fly > 0 or np.sin(2.1 * t + 3 * phase) > 0.2 else -0.08
            a, b = (int((px - 0.11 * m) * 16), int(py * 16)), (int((px + 0.06 * m) * 16), int(py * 16))
            canvas.limb(a, b, 0.03 * m, 0.07 * m, self.tone)
            canvas.disc(b[0] + int(0.07 * m * 16), b[1] - int(head * m * 16), 0.04 * m, self.tone)
            if fly > 0:
                flap = np.sin(22 * t + phase)
                wings = np.array([(px - 0.1 * m, py), (px, py - 0.34 * m * flap), (px + 0.1 * m, py)])
                canvas.poly(fixed(wings), self.wing)
