"""Furniture and vehicles of the rich world to which something happens: what breaks, blinks or is broken into."""

from __future__ import annotations

import numpy as np

from .camera import Camera
from .canvas import Canvas, fixed
from .effects import Spot
from .palette import COLOURS, Light
from .vehicles import Vehicle


class Fixture(Spot):
    """Street furniture that shakes under blows and breaks: a bin that tips over, a bench that loses its seat.

    `blows` are frames of strikes; from `breaks` on it is broken; `side` is the way its parts fall.
    """

    def __init__(
        self, *place: float | int, form: str, colour: str, side: int, blows: list[int], breaks: int, entity: int,
        seed: int,
    ) -> None:  # fmt: skip
        x, z, start, end, n, fps = place
        super().__init__(entity, float(x), float(z), int(start), int(end), int(n), float(fps), seed)
        self.form, self.colour, self.side, self.blows, self.breaks = form, colour, side, blows, breaks

    def prepare(self, camera: Camera, light: Light) -> None:
        """Parts as (corners, pivot, angle after breaking, slide after breaking, tone), in metres right and up."""
        self.px, self.py = camera.point(self.x, self.z)
        self.metre, self.dark = camera.scale(self.z), light.shadow
        tone = COLOURS[self.colour]
        quad = np.array([(-1.0, 0), (1, 0), (1, 1), (-1, 1)])
        if self.form == "bin":
            rows = [
                (quad * (0.3, 0.95), (0.3, 0.0), 1.5, 0.1, 0.95),
                (quad * (0.34, 0.16) + (0, 0.95), (0.34, 0.9), 2.6, 1.0, 1.3),
            ]
        else:
            rows = [
                (quad * (0.06, 0.42) + (-0.75, 0), (-0.75, 0.0), 0.0, 0.0, 0.5),
                (quad * (0.06, 0.42) + (0.75, 0), (0.75, 0.0), 0.0, 0.0, 0.5),
                (quad * (0.95, 0.34) + (0, 0.6), (0.95, 0.75), 0.75, 0.35, 0.9),
                (quad * (0.95, 0.12) + (0, 0.4), (-0.75, 0.42), -0.0, 0.0, 1.15),
            ]
        self.parts = [(c, np.array(p), a, s, light.tone(tone, k)) for c, p, a, s, k in rows]
        self.litter = self.rng.uniform(-1, 1, (12, 2))
        self.litter_tone = light.tone((214, 208, 190))
        wide = 0.5 if self.form == "bin" else 1.1
        self.box = np.tile(
            (
                self.px - wide * self.metre,
                self.py - 1.1 * self.metre,
                self.px + wide * self.metre,
                self.py,
            ),
            (self.n, 1),
        )

    def draw_shadow(self, canvas: Canvas, i: int) -> None:  # noqa: ARG002
        """A contact shadow."""
        wide = 0.45 if self.form == "bin" else 1.0
        canvas.shade(self.px, self.py, wide * self.metre, 0.12 * self.metre, self.dark)

    def draw(self, canvas: Canvas, i: int) -> None:
        """Every part turned about its pivot."""
        t = (i - self.breaks) / self.fps
        gone = float(np.clip(t / 0.45, 0, 1)) ** 2
        since = min((i - b for b in self.blows if b <= i), default=10_000) / self.fps
        shake = 0.12 * np.exp(-6 * since) * np.sin(28 * since + 1.2) if t < 0 else 0.0
        if gone > 0 and self.form == "bin":
            canvas.entity = -1
            for dx, dy in self.litter:
                x = self.px + self.side * (0.75 + 0.6 * dx) * self.metre * gone
                canvas.disc(int(x * 16), int((self.py + 0.16 * dy * self.metre) * 16), 0.045 * self.metre,
                            self.litter_tone)  # fmt: skip
        canvas.entity = self.entity
        for corners, pivot, angle, slide, tone in self.parts:
            a = -(angle * gone + abs(shake) * (angle != 0))
            turn = np.array([(np.cos(a), np.sin(a)), (-np.sin(a), np.cos(a))])
            local = (corners - pivot) @ turn + pivot
            if slide >= 0.35:  # it comes off and lies beside
                local = local + np.array((slide, 0)) * gone
                local[:, 1] -= gone * max(local[:, 1].min() - 0.02, 0)
            local[:, 1] = np.maximum(local[:, 1], 0.0)
            x = self.px + self.side * local[:, 0] * self.metre
            canvas.poly(fixed(np.stack([x, self.py - local[:, 1] * self.metre], 1)), tone)


class Battered(Vehicle):
    """A parked car that rocks under `blows`; from `breaks` on its windows are broken and a mirror lies beside it."""

    def batter(self, blows: list[int], breaks: int) -> None:
        """Say when it is struck and when it breaks, in frames."""
        self.blows, self.breaks = blows, breaks

    def prepare(self, camera: Camera, light: Light) -> None:
        """As the car, with rocking."""
        super().prepare(camera, light)
        self.metre = camera.focal / np.maximum(self.track.z, 0.8)
        self.broken, self.cracks = light.tone((206, 214, 218)), light.tone((40, 44, 48))
        fps = self.track.fps
        for blow in self.blows:
            i = np.arange(len(self.points))
            since = np.maximum(i - blow, 0) / fps
            rock = np.where(i >= blow, 0.05 * np.exp(-5 * since) * np.sin(24 * since + 1.0), 0)
            self.points[..., 1] += (rock * self.metre * 16).astype(np.int32)[:, None]

    def draw(self, canvas: Canvas, i: int) -> None:
        """The car; then what is broken of it."""
        super().draw(canvas, i)
        if i < self.breaks:
            return
        p, side = self.points[i], "l" if self.left_seen[i] else "r"
        m = float(self.metre[i])
        for g in range(len(self.shape.glass)):
            pane = p[self.spans[f"glass{g}_{side}"]]
            canvas.poly(pane, self.broken)
            middle = pane.mean(axis=0).astype(np.int32)
            for corner in [*pane, *((pane + np.roll(pane, 1, axis=0)) // 2)]:
                canvas.line(np.array([middle, corner]), self.cracks, 1)
        foot = p[self.spans[f"tyre1_{side}"]]
        x, y = int(foot[:, 0].mean()), int(foot[:, 1].max())
        drop = min((i - self.breaks) / (0.4 * self.track.fps), 1.0) ** 2
        canvas.entity = self.entity
        y -= int((1 - drop) * 0.8 * m * 16)
        canvas.limb((x, y), (x + int(0.22 * m * 16), y), 0.1 * m, 0.1 * m, self.paint["end"])


class Blinking(Vehicle):
    """A vehicle whose amber lamps blink at all corners."""

    def prepare(self, camera: Camera, light: Light) -> None:
        """As the vehicle."""
        super().prepare(camera, light)
        self.metre = camera.focal / np.maximum(self.track.z, 0.8)
        self.amber = (255, 178, 40) if not light.grey else (255, 255, 255)

    def draw(self, canvas: Canvas, i: int) -> None:
        """On for 0.4 s, off for 0.4 s."""
        super().draw(canvas, i)
        if int(i / self.track.fps / 0.4) % 2:
            return
        p, side, m = self.points[i], "l" if self.left_seen[i] else "r", float(self.metre[i])
        body = p[self.spans[f"body_{side}"]]
        for corner in (body[0], body[-1], body[1]):
            canvas.entity = self.entity
            canvas.disc(int(corner[0]), int(corner[1]) - int(0.2 * m * 16), 0.16 * m, self.amber)
            canvas.entity = -1
            canvas.puff(corner[0] / 16, corner[1] / 16 - 0.2 * m, 0.7 * m, self.amber, 0.45, glow=True)


class Stall(Spot):
    """A hut with one `opening` (x0, x1, low, high in metres round its middle), closed by a shutter until `breaks`.

    What goes through the opening is hidden by the front and seen in the opening; `StallInside` is the dark behind.
    """

    def __init__(
        self, *place: float | int, opening: tuple[float, float, float, float], breaks: int, blows: list[int], seed: int
    ) -> None:
        x, z, start, end, n, fps = place
        super().__init__(0, float(x), float(z), int(start), int(end), int(n), float(fps), seed)
        self.opening, self.breaks, self.blows = opening, breaks, blows
        self.half, self.high = 1.9, 2.5

    def _quad(self, x0: float, x1: float, u0: float, u1: float) -> np.ndarray:
        corners = [(self.x + x, self.z, u) for x, u in ((x0, u0), (x1, u0), (x1, u1), (x0, u1))]
        return fixed(self.camera.project(np.array(corners)))

    def prepare(self, camera: Camera, light: Light) -> None:
        """Wall pieces round the opening, roof, shutter."""
        self.camera, self.dark, self.metre = camera, light.shadow, camera.scale(self.z)
        base = ((150, 112, 78), (116, 132, 146), (168, 160, 140), (120, 76, 64))[int(self.rng.integers(4))]
        x0, x1, u0, u1 = self.opening
        h, top = self.half, self.high
        self.wall, self.roof_tone = light.tone(base), light.tone(base, 0.6)
        self.pieces = [self._quad(-h, x0, 0, top), self._quad(x1, h, 0, top), self._quad(x0, x1, u1, top)]
        if u0 > 0:
            self.pieces.append(self._quad(x0, x1, 0, u0))
        self.seams = [self._quad(-h, h, u, u + 0.02) for u in np.arange(0.3, top, 0.3)]
        self.roof = self._quad(-h - 0.2, h + 0.2, top, top + 0.28)
        self.rim = self._quad(x0 - 0.06, x1 + 0.06, u0 if u0 == 0 else u0 - 0.06, u1 + 0.06)
        self.shutter, self.bar = light.tone((196, 192, 180)), light.tone((120, 118, 112))
        self.shard = light.tone((196, 170, 130))
        self.bits = self.rng.uniform(-1, 1, (10, 2))

    def draw_shadow(self, canvas: Canvas, i: int) -> None:  # noqa: ARG002
        """A wide shadow at the foot."""
        px, py = self.camera.point(self.x, self.z)
        canvas.shade(px, py, self.half * self.metre, 0.16 * self.metre, self.dark)

    def draw(self, canvas: Canvas, i: int) -> None:
        """Front, then the shutter: whole, shaking, or hanging down torn."""
        canvas.entity = 0
        for piece in self.pieces:
            canvas.poly(piece, self.wall)
        for seam in self.seams:
            canvas.line(seam[:2], self.roof_tone, 1) if self._clear(seam) else None
        canvas.poly(self.roof, self.roof_tone)
        canvas.line(self.rim, self.roof_tone, max(1, round(0.05 * self.metre)), closed=True)
        x0, x1, u0, u1 = self.opening
        since = min((i - b for b in self.blows if b <= i), default=10_000) / self.fps
        if i < self.breaks:
            bend = 0.08 * np.exp(-6 * since) * np.sin(26 * since + 1.2)
            canvas.poly(self._quad(x0 + bend, x1 + bend * 0.3, u0, u1), self.shutter)
            for u in np.arange(u0 + 0.18, u1, 0.18):
                canvas.line(self._quad(x0 + bend, x1, u, u)[:2], self.bar, 1)
            return
        t = min((i - self.breaks) / (0.4 * self.fps), 1.0)
        hinge = self.camera.point(self.x + x0, self.z, u1)
        wide, high, a = (x1 - x0) * self.metre, (u1 - u0) * self.metre, 1.15 * t
        turn = np.array([(np.cos(a), np.sin(a)), (-np.sin(a), np.cos(a))])
        torn = np.array([(0, 0), (wide * (1 - 0.75 * t), 0), (wide * (1 - 0.75 * t), high), (0, high)]) @ turn
        canvas.poly(fixed(torn * (1, 1) + hinge), self.shutter)
        foot = self.camera.point(self.x + (x0 + x1) / 2, self.z - 0.3)
        for dx, dy in self.bits:
            x, y = foot[0] + 0.8 * dx * self.metre * t, foot[1] + (0.14 * dy - 0.9 * (1 - t)) * self.metre
            canvas.disc(int(x * 16), int(y * 16), 0.05 * self.metre, self.shard)

    def _clear(self, seam: np.ndarray) -> bool:
        """Whether a seam does not cross the opening."""
        _, _, u0, u1 = self.opening
        low, high = self.camera.point(self.x, self.z, u0)[1] * 16, self.camera.point(self.x, self.z, u1)[1] * 16
        return not high < seam[0, 1] < low


class StallInside(Spot):
    """The dark behind the opening of a `Stall`."""

    def __init__(self, stall: Stall) -> None:
        super().__init__(0, stall.x, stall.z + 1.3, 0, stall.n, stall.n, stall.fps, 0)
        self.stall = stall

    def prepare(self, camera: Camera, light: Light) -> None:
        """A little more than the opening, so that no rim is left."""
        x0, x1, u0, u1 = self.stall.opening
        corners = [(x0, u0), (x1, u0), (x1, u1), (x0, u1)]
        world = np.array([(self.stall.x + x, self.stall.z, u) for x, u in corners])
        self.pane, self.tone = fixed(camera.project(world)), light.tone((26, 24, 26))

    def draw(self, canvas: Canvas, i: int) -> None:  # noqa: ARG002
        """One dark pane."""
        canvas.entity = 0
        canvas.poly(self.pane, self.tone)


class Rack(Spot):
    """A display rack with goods, seen from its narrow side: what stands in a shop to be taken."""

    def prepare(self, camera: Camera, light: Light) -> None:
        """Frame, boards and coloured goods."""
        m, (x, y) = camera.scale(self.z), camera.point(self.x, self.z)
        self.foot, self.metre, self.dark = (x, y), m, light.shadow

        def quad(x0: float, x1: float, u0: float, u1: float) -> np.ndarray:
            return fixed(np.array([(x0, -u0), (x1, -u0), (x1, -u1), (x0, -u1)]) * m + (x, y))

        self.quads = [(quad(-0.5, 0.5, 0, 1.55), light.tone((150, 146, 140)))]
        for u in (0.1, 0.58, 1.06):
            self.quads.append((quad(-0.46, 0.46, u, u + 0.42), light.tone((92, 88, 84))))
            for gx in np.arange(-0.42, 0.34, 0.17):
                tone = light.tone(tuple(int(v) for v in self.rng.integers(60, 235, 3)))  # type: ignore[arg-type]
                self.quads.append((quad(gx, gx + 0.14, u + 0.01, u + float(self.rng.uniform(0.2, 0.36))), tone))

    def draw_shadow(self, canvas: Canvas, i: int) -> None:  # noqa: ARG002
        """A contact shadow."""
        canvas.shade(*self.foot, 0.7 * self.metre, 0.14 * self.metre, self.dark)

    def draw(self, canvas: Canvas, i: int) -> None:  # noqa: ARG002
        """No entity of its own."""
        canvas.entity = 0
        for points, tone in self.quads:
            canvas.poly(points, tone)
