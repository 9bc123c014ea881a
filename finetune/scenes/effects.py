"""Fire, smoke, explosion, debris, bags and dogs: everything that is neither person nor vehicle."""

from __future__ import annotations

import numpy as np

from .bodies import J, Person, to_world
from .camera import Camera
from .canvas import Canvas, fixed
from .palette import COLOURS, Light
from .track import Track


class Spot:
    """Something at a fixed place on the ground, with an on/off span in frames."""

    def __init__(self, entity: int, x: float, z: float, start: int, end: int, n: int, fps: float, seed: int) -> None:
        self.entity = entity
        self.x, self.z = x, z
        self.start, self.end, self.n, self.fps = start, end, n, fps
        self.rng = np.random.default_rng(seed)
        self.seen = np.zeros(n, dtype=bool)
        self.seen[start:end] = True

    def depth(self, i: int) -> float:  # noqa: ARG002 - the painter asks for a frame
        """A little nearer than its place, so that what burns is behind the flames."""
        return self.z - 0.15

    def draw_shadow(self, canvas: Canvas, i: int) -> None:
        """Light throws no shadow."""


class Fire(Spot):
    """Flickering flames with rising smoke; grows over `grow_s` seconds from `start` to `size` metres wide."""

    def __init__(self, *place: float | int, size: float = 0.9, grow_s: float = 2.5, entity: int, seed: int) -> None:
        x, z, start, end, n, fps = place
        super().__init__(entity, float(x), float(z), int(start), int(end), int(n), float(fps), seed)
        self.size, self.grow_s = size, grow_s
        k = 9
        self.offset = self.rng.uniform(-0.5, 0.5, k)
        self.rate = self.rng.uniform(5, 11, k)
        self.phase = self.rng.uniform(0, 6.28, k)
        self.puffs = self.rng.uniform(0, 1, (14, 4))

    def prepare(self, camera: Camera, light: Light) -> None:
        """Fix the foot point, the scale and the tones."""
        self.px, self.py = camera.point(self.x, self.z)
        self.metre = camera.scale(self.z)
        self.grey = light.grey
        self.smoke = light.tone((92, 90, 90)) if light.name != "night" else (70, 68, 70)

    def draw(self, canvas: Canvas, i: int) -> None:
        """Smoke behind, glow, then flame tongues in three layers."""
        canvas.entity = self.entity
        t = (i - self.start) / self.fps
        grow = float(np.clip(0.25 + 0.75 * t / self.grow_s, 0, 1))
        m = self.metre * self.size * grow
        for born, drift, wobble, _ in self.puffs:
            age = (t / 2.6 + born) % 1.0
            if t < age * 2.6:
                continue
            x = self.px + m * (0.5 * (drift - 0.4) * (1 + 2 * age) + 0.15 * np.sin(6 * wobble + 4 * age))
            canvas.puff(x, self.py - m * (0.7 + 2.6 * age), m * (0.25 + 0.6 * age), self.smoke, 0.75 * (1 - age))
        glow = (70, 36, 8) if not self.grey else (46, 46, 46)
        flick = 1 + 0.12 * np.sin(9 * t) + 0.08 * np.sin(23 * t)
        entity, canvas.entity = canvas.entity, -1
        canvas.puff(self.px, self.py - 0.4 * m, 2.0 * m * flick, glow, 0.9, glow=True)
        canvas.entity = entity
        layers = (((226, 70, 18), 1.0), ((250, 150, 30), 0.7), ((255, 232, 130), 0.4))
        for colour, k in layers:
            paint = colour if not self.grey else (int(200 + 55 * (1 - k)),) * 3
            for o, rate, phase in zip(self.offset, self.rate, self.phase, strict=True):
                high = m * k * (0.75 + 0.3 * np.sin(rate * t + phase)) * (1.25 - abs(o))
                x = self.px + o * m * (0.5 + 0.5 * k)
                wide = 0.2 * m * (0.5 + 0.5 * k)
                tip = x + 0.14 * m * np.sin(rate * 0.7 * t + phase * 2)
                tongue = np.array(
                    [
                        (x - wide, self.py - 0.1 * high),
                        (x - wide * 0.7, self.py - 0.45 * high),
                        (tip, self.py - 1.5 * high),
                        (x + wide * 0.7, self.py - 0.45 * high),
                        (x + wide, self.py - 0.1 * high),
                        (x, self.py + 0.04 * m),
                    ]
                )
                canvas.poly(fixed(tongue), paint)


class Container(Spot):
    """A crate or bin that stands there from the first frame on: what burns or blows up."""

    def prepare(self, camera: Camera, light: Light) -> None:
        """Fix its corners and tones."""
        m = camera.scale(self.z)
        x, y = camera.point(self.x, self.z)
        wide, high = self.rng.uniform(0.3, 0.5), self.rng.uniform(0.5, 0.9)
        base = ((70, 88, 70), (112, 82, 50), (72, 76, 86), (128, 64, 48))[int(self.rng.integers(4))]
        self.front = fixed(np.array([(-wide, 0), (wide, 0), (wide, -high), (-wide, -high)]) * m + (x, y))
        self.lid = fixed(
            np.array([(-wide, -high), (wide, -high), (wide * 0.9, -high - 0.16), (-wide * 0.9, -high - 0.16)]) * m
            + (x, y)
        )
        self.tone, self.top = light.tone(base), light.tone(base, 1.3)
        self.foot, self.metre, self.wide, self.dark = (x, y), m, wide, light.shadow

    def depth(self, i: int) -> float:  # noqa: ARG002
        """Just behind the flames."""
        return self.z

    def draw_shadow(self, canvas: Canvas, i: int) -> None:  # noqa: ARG002
        """A contact shadow."""
        canvas.shade(*self.foot, self.wide * 1.5 * self.metre, 0.14 * self.metre, self.dark)

    def draw(self, canvas: Canvas, i: int) -> None:  # noqa: ARG002
        """Front and lid; no entity of its own."""
        canvas.entity = 0
        canvas.poly(self.front, self.tone)
        canvas.poly(self.lid, self.top)


class Explosion(Spot):
    """A flash, a fire ball, flying debris and a cloud of smoke that thins until `end`."""

    def __init__(self, *place: float | int, size: float = 1.6, entity: int, seed: int) -> None:
        x, z, start, end, n, fps = place
        super().__init__(entity, float(x), float(z), int(start), int(end), int(n), float(fps), seed)
        self.size = size
        self.seen[self.start :] = True  # the debris stays when the smoke is gone
        self.parts = self.rng.uniform(-1, 1, (26, 3))
        self.cloud = self.rng.uniform(-1, 1, (12, 3))

    def prepare(self, camera: Camera, light: Light) -> None:
        """Fix the place in the picture and the smoke's tone."""
        self.px, self.py = camera.point(self.x, self.z)
        self.metre = camera.scale(self.z)
        self.grey = light.grey
        self.smoke = light.tone((104, 100, 96))

    def draw(self, canvas: Canvas, i: int) -> None:
        """Everything follows from the time since the flash."""
        canvas.entity = self.entity
        t = (i - self.start) / self.fps
        life = max((self.end - self.start) / self.fps, 0.5)
        m = self.metre * self.size
        open_ = 1 - np.exp(-t * 4 - 0.35)
        fade = float(np.clip(1 - t / life, 0, 1))
        for dx, dy, r in self.cloud:
            x = self.px + dx * m * open_ * (1.0 + 0.25 * t) + 0.2 * m * r * t
            y = self.py - m * (0.35 + 0.5 * open_ + 0.6 * dy * open_ + 0.35 * t)
            canvas.puff(x, y, m * (0.3 + 0.4 * open_ + 0.18 * r), self.smoke, min(1.0, 1.4 * fade))
        heat = float(np.clip(1.2 - t / 0.8, 0, 1))
        for k, (dx, dy, r) in enumerate(self.cloud[:9]):
            paint = ((255, 210, 90), (250, 130, 30), (220, 70, 20))[k % 3] if not self.grey else (235,) * 3
            x, y = self.px + dx * m * open_ * 0.5, self.py - m * (0.3 + 0.3 * dy * open_ + 0.25 * open_)
            canvas.puff(x, y, m * (0.3 + 0.35 * open_ + 0.1 * r), paint, heat)
        canvas.entity = -1
        flash = float(np.clip(1 - t / 0.35, 0, 1))
        canvas.puff(self.px, self.py - 0.4 * m, 2.1 * m, (255, 236, 180), 0.9 * flash, glow=True)
        canvas.entity = self.entity
        for dx, dy, s in self.parts:
            x = self.px + dx * 3.2 * m * t / (0.6 + t)
            up = (2.2 + 1.6 * dy) * m / self.size * 2 * t - 4.9 * self.metre * t * t
            y = min(self.py - 0.3 * m - up, self.py + 0.15 * m * s)
            if t > 0.08:
                canvas.disc(int(x * 16), int(y * 16), self.metre * (0.03 + 0.025 * abs(s)), (50, 44, 40))


class Debris(Spot):
    """The burst of a crash: a short white flash, bits and dust."""

    def prepare(self, camera: Camera, light: Light) -> None:
        """Fix the place in the picture."""
        self.px, self.py = camera.point(self.x, self.z, 0.5)
        self.ground = camera.point(self.x, self.z)[1]
        self.metre = camera.scale(self.z)
        self.parts = self.rng.uniform(-1, 1, (16, 3))
        self.tone = light.tone((190, 186, 176))

    def draw(self, canvas: Canvas, i: int) -> None:
        """Bits fly, fall and stay on the ground."""
        canvas.entity = -1
        t = (i - self.start) / self.fps
        m = self.metre
        canvas.puff(self.px, self.py, m * (0.4 + 0.5 * min(t, 1)), self.tone, 0.8 * max(0.0, 1 - t / 0.9))
        canvas.puff(self.px, self.py, m * 0.8, (255, 250, 225), max(0.0, 1 - t / 0.25), glow=True)
        for dx, dy, s in self.parts:
            x = self.px + dx * 1.4 * m * t / (0.4 + t)
            y = min(self.py - (1.6 + dy) * m * t + 4.9 * m * t * t, self.ground + 0.15 * m * s)
            canvas.disc(int(x * 16), int(y * 16), m * 0.035, self.tone)


class Bag:
    """A bag at a world place for every frame: `place` [n, 3]; put into a hand with `carry`."""

    def __init__(self, entity: int, colour: str, place: np.ndarray, size: float = 1.0) -> None:
        self.entity = entity
        self.colour = colour
        self.place = place
        self.size = size
        self.carriers: list[tuple[Person, int, int]] = []
        self.present = np.ones(len(place), dtype=bool)

    def carry(self, person: Person, start: int, end: int) -> None:
        """In frames [start, end) the bag hangs from the right hand of `person` (prepared before the bag)."""
        self.carriers.append((person, start, end))

    def prepare(self, camera: Camera, light: Light) -> None:
        """Follow the hands, then fix pixels."""
        self.z_order = np.zeros(len(self.place))
        self.follow()
        pixels = camera.project(self.place)
        self.metre = camera.focal / np.maximum(self.place[:, 1], 0.8)
        shape = self.size * np.array([(-0.21, -0.17), (-0.18, 0.1), (0.18, 0.1), (0.21, -0.17)]) * (1, -1)
        handle = self.size * np.array([(-0.1, 0.1), (-0.07, 0.22), (0.07, 0.22), (0.1, 0.1)]) * (1, -1)
        self.points = fixed(pixels[:, None] + np.concatenate([shape, handle]) * self.metre[:, None, None])
        self.foot = pixels + np.stack([0 * self.metre, 0.17 * self.size * self.metre], -1)
        reach = 0.4 * self.metre
        ok = (pixels[:, 0] > camera.pad - reach) & (pixels[:, 0] < camera.width - camera.pad + reach)
        self.seen = ok & self.present & (pixels[:, 1] < camera.height - camera.pad + reach)
        self.paint = light.tone(COLOURS[self.colour])
        self.dark = light.tone(COLOURS[self.colour], 0.6)
        self.shadow = light.shadow

    def follow(self) -> None:
        """Be where the hands that carry it are."""
        for person, start, end in self.carriers:
            hand = person.world[start:end, J["hand_r"]].copy()
            hand[:, 2] -= 0.12
            self.place[start:end] = hand
            self.z_order[start:end] = person.track.z[start:end] - hand[:, 1] - 0.05

    def depth(self, i: int) -> float:
        """Just in front of the hand that carries it."""
        return float(self.place[i, 1] + self.z_order[i])

    def draw_shadow(self, canvas: Canvas, i: int) -> None:
        """A small shadow when it stands on the ground."""
        if self.place[i, 2] < 0.3:
            canvas.shade(self.foot[i, 0], self.foot[i, 1], 0.32 * self.metre[i], 0.1 * self.metre[i], self.shadow)

    def draw(self, canvas: Canvas, i: int) -> None:
        """Handle, body, rim."""
        canvas.entity = self.entity
        p = self.points[i]
        thick = max(1, round(0.04 * self.metre[i]))
        canvas.line(p[4:], self.dark, thick)
        canvas.poly(p[:4], self.paint)
        canvas.line(p[:4], self.dark, 1, closed=True)


class Dog:
    """A dog, with a leash to its owner's hand where it has one; `size` 1 is a dog of 0.6 m."""

    def __init__(
        self, entity: int, track: Track, owner: Person | None, colour: tuple[int, int, int], size: float = 1.0
    ) -> None:
        self.entity, self.track, self.owner, self.colour, self.size = entity, track, owner, colour, size
        self.sink: np.ndarray | None = None  # 1 where it cowers, in every frame

    def prepare(self, camera: Camera, light: Light) -> None:
        """Points of trunk, head, tail and four legs for all frames."""
        n = len(self.track.x)
        phi = 2 * np.pi * self.track.distance / 0.75
        amount = np.clip(self.track.speed / 1.0, 0, 1)
        rows = [(-0.28, 0, 0.44), (0.28, 0, 0.46), (0.45, 0, 0.62), (0.6, 0, 0.58), (-0.46, 0, 0.62)]
        local = np.zeros((n, len(rows) + 8, 3))
        local[:, : len(rows)] = rows
        for k, (f, side, shift) in enumerate(
            ((-0.26, 0.07, 0), (-0.26, -0.07, np.pi), (0.25, 0.07, np.pi), (0.25, -0.07, 0))
        ):
            swing = 0.16 * amount * np.sin(phi + shift)
            local[:, 5 + 2 * k] = (f, side, 0.4)
            local[:, 6 + 2 * k] = np.stack(
                [f + swing, np.full(n, side), 0.03 + 0.05 * amount * np.cos(phi + shift).clip(0)], -1
            )
        if self.sink is not None:
            local[:, [0, 1, 2, 3, 4, 5, 7, 9, 11], 2] -= 0.2 * self.sink[:, None]
            local[:, 2:4, 2] -= 0.12 * self.sink[:, None]
        pixels = camera.project(to_world(local * self.size, self.track))
        self.points = fixed(pixels)
        self.metre = self.size * camera.focal / np.maximum(self.track.z, 0.8)
        self.box = np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1)
        self.seen = (self.box[:, 2] > camera.pad) & (self.box[:, 0] < camera.width - camera.pad) & (self.track.z > 1.2)
        self.paint, self.far = light.tone(self.colour), light.tone(self.colour, 0.75)
        self.leash = light.tone((40, 40, 40))
        self.shadow = light.shadow

    def depth(self, i: int) -> float:
        """Metres from the camera."""
        return float(self.track.z[i])

    def draw_shadow(self, canvas: Canvas, i: int) -> None:
        """A contact shadow."""
        x0, _, x1, y1 = self.box[i]
        canvas.shade((x0 + x1) / 2, y1, (x1 - x0) * 0.6, 0.1 * self.metre[i], self.shadow)

    def draw(self, canvas: Canvas, i: int) -> None:
        """Leash (picture only), legs, trunk, head, tail."""
        p = [(int(x), int(y)) for x, y in self.points[i]]
        m = float(self.metre[i])
        if self.owner is not None and self.owner.seen[i]:
            canvas.entity = -1
            canvas.line(np.array([p[2], self.owner.points[i][J["hand_r"]]], dtype=np.int32), self.leash, 1)
        canvas.entity = self.entity
        for k in range(4):
            canvas.limb(p[5 + 2 * k], p[6 + 2 * k], 0.05 * m, 0.035 * m, self.far if k % 2 else self.paint)
        canvas.limb(p[0], p[4], 0.035 * m, 0.02 * m, self.paint)
        canvas.limb(p[0], p[1], 0.115 * m, 0.13 * m, self.paint)
        canvas.limb(p[1], p[2], 0.09 * m, 0.09 * m, self.paint)
        canvas.limb(p[2], p[3], 0.085 * m, 0.045 * m, self.paint)
