"""Beyond what any stack was trained on: a camera and a kind of event drawn only when they are asked for by name.

Whoever wants to know what a few corrected clips teach needs something the bundled stack gets wrong. On the platform
people run for their train, which is normal there and an alarm everywhere else; what is abnormal is a film of water that
hardly stands out. No training draws `platform` or `flooding`, since `VIEWS`, `ANOMALIES` and `STORIES` do not hold
them; keep it so.
"""

from __future__ import annotations

import numpy as np

from .camera import Camera
from .canvas import Canvas, fixed
from .effects import Spot
from .palette import Light
from .plan import Cast, EventDraft, Plan
from .stories import Story, crossing, stage

CORNERS = 28


class Water(Spot):
    """A puddle that spreads over the ground from `start` on, up to `size` metres to each side within `grow_s`."""

    def __init__(self, *place: float | int, size: float, grow_s: float, entity: int, seed: int) -> None:
        x, z, start, end, n, fps = place
        super().__init__(entity, float(x), float(z), int(start), int(end), int(n), float(fps), seed)
        self.size, self.grow_s = size, grow_s
        angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
        lobes = np.zeros(CORNERS)
        for waves in (2, 3, 5):
            lobes += self.rng.uniform(0.02, 0.09) * np.sin(waves * angle + self.rng.uniform(0, 6.28))
        self.outline = np.stack([np.cos(angle), 0.55 * np.sin(angle)], 1) * (1 + lobes)[:, None]
        self.glints = self.rng.uniform(-0.7, 0.7, (7, 2)) * (1, 0.5)

    def prepare(self, camera: Camera, light: Light) -> None:
        """Fix the place in the picture and the tones."""
        self.px, self.py = camera.point(self.x, self.z)
        self.camera = camera
        self.tone, self.rim, self.shine = (light.tone(c) for c in ((76, 86, 98), (70, 78, 88), (124, 134, 144)))

    def depth(self, i: int) -> float:  # noqa: ARG002
        """It lies flat: everything that stands on the ground comes after it."""
        return self.z + 60.0

    def draw(self, canvas: Canvas, i: int) -> None:
        """The water with a dark rim, then what glitters on it."""
        canvas.entity = self.entity
        t = (i - self.start) / self.fps
        reach = self.size * float(np.clip(0.2 + 0.8 * t / self.grow_s, 0, 1))
        canvas.poly(self._ground(self.outline * reach), self.rim)
        canvas.poly(self._ground(self.outline * reach * 0.93), self.tone)
        for number, (x, z) in enumerate(self.glints):
            wide = 0.14 + 0.07 * np.sin(3.1 * t + number)
            ends = np.array([(x - wide, z), (x + wide, z)]) * reach
            canvas.line(self._ground(ends), self.shine)

    def _ground(self, offsets: np.ndarray) -> np.ndarray:
        """Metres (x, z) from the middle → fixed-point pixels."""
        world = np.column_stack([self.x + offsets[:, 0], self.z + offsets[:, 1], np.zeros(len(offsets))])
        return fixed(self.camera.project(world))


def flooding(plan: Plan, at: float, length: float) -> EventDraft:  # noqa: ARG001 - the water stays
    """Water comes out of the ground and spreads."""
    x, z = stage(plan, 0.1, 0.5, 0.55)
    size, grow_s = plan.uniform(1.5, 2.3), plan.uniform(1.5, 3.0)
    start, seed = plan.frame(at), int(plan.rng.integers(1 << 30))
    water = Water(x, z, start, plan.n, plan.n, plan.fps, size=size, grow_s=grow_s, entity=plan.next_id, seed=seed)
    plan.cast[water.entity] = Cast(water, "puddle of water", "object", "spreads over the ground")
    return EventDraft("flooding", start, plan.n, [], [], [water.entity])


def hurry(plan: Plan) -> None:
    """People run for their train, as they do on a platform every day."""
    for _ in range(1 + plan.chance(0.5)):
        start = plan.uniform(-0.1, 0.7) * plan.seconds
        walk = crossing(plan, start, plan.uniform(3.6, 5.0), plan.lane(0.1, 0.9))
        plan.person(walk.track(plan.n), "bystander", "runs")


BEYOND_STORIES: dict[str, tuple[Story, tuple[str, ...]]] = {"flooding": (flooding, ("platform",))}
"""As `STORIES`: the story of a kind of event, and the views in which it can happen."""
BEYOND_DESCRIPTIONS = {
    "flooding": (
        "water spreads over the ground {place}.",
        "{object} spreads {place}.",
        "{place}, the ground is flooded by {object}.",
    )
}
BEYOND_ANALYSES = {
    "flooding": (
        "water on the ground {place} is not normal: people can slip, and something must have burst.",
        "the ground {place} is under water, which points to a burst pipe and is dangerous.",
    )
}
BEYOND_NORMAL_ANALYSES = {
    "platform": (
        "It is normal: people wait or run for their train, and the ground is dry.",
        "Nothing is wrong {place}: whoever runs has a train to catch, nobody comes to harm.",
    )
}
