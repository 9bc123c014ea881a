"""What a story of the rich world consists of, and what such stories have in common: coming, going, poses."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .bodies import Person
from .gear import Item
from .plan import Plan
from .stories import Story
from .track import Walk

GROUND = ("street", "plaza", "avenue", "parking")
EVERYWHERE = (*GROUND, "shop")
AROUND = ("walkway", "panorama")


@dataclass(frozen=True)
class Tale:
    """A kind of event: how it is staged, in which views (`wide`: those of `wide.py`), and its words.

    `descriptions` go by variant of the story, "" for any; fields as in `phrases.py`.
    """

    story: Story
    views: tuple[str, ...]
    descriptions: dict[str, tuple[str, ...]]
    analyses: tuple[str, ...]
    wide: tuple[str, ...] = field(default=())


def toward(side: int) -> float:
    """The heading of somebody who looks to `side` (1 right, -1 left)."""
    return 0.0 if side > 0 else float(np.pi)


def arrive(plan: Plan, x: float, z: float, by: float, speed: float, side: int) -> Walk:
    """Come in from the edge on `side`, to be at (x, z) at `by` seconds."""
    edge = side * plan.edge(z)
    return plan.walk(edge, z, start_s=by - abs(x - edge) / speed).go(x, z, speed)


def leave(walk: Walk, plan: Plan, side: int, speed: float) -> Walk:
    """Go out over the edge on `side`, on the lane one stands on."""
    z = walk.zs[-1]
    return walk.go(side * plan.edge(z), z, speed)


def ramp_of(plan: Plan, seconds: float) -> int:
    """Frames of a blend that takes `seconds`."""
    return max(1, round(plan.fps * seconds))


def hands_up(plan: Plan, person: Person, start: float, end: float) -> None:
    """Both hands beside the head, body bent back."""
    pose = {"arm_l": 1.5, "arm_r": 1.55, "elbow_l": 1.3, "elbow_r": 1.25, "spread": 0.35, "lean": -0.14}
    person.act(plan.frame(start), plan.frame(end), ramp_of(plan, 0.25), **pose)


def cower(plan: Plan, person: Person, start: float, end: float) -> None:
    """Crouch, arms over the head."""
    person.act(plan.frame(start), plan.frame(end), ramp_of(plan, 0.25), arm_l=1.9, arm_r=2.0, elbow_l=1.7, elbow_r=1.6,
               lean=0.75, hip_l=1.25, hip_r=1.1, knee_l=1.7, knee_r=1.6)  # fmt: skip


def strike_down(plan: Plan, person: Person, at: float, reach: float = 0.35) -> None:
    """One blow from above with the right arm; it lands at `at` seconds."""
    hit, ramp = plan.frame(at), ramp_of(plan, 0.16)
    person.act(hit - 3 * ramp, hit - ramp, ramp, arm_r=2.7, elbow_r=0.5, lean=-0.1)
    person.act(hit, hit + ramp, ramp, arm_r=1.0, elbow_r=0.1, lean=0.25 + reach)


def kick(plan: Plan, person: Person, at: float) -> None:
    """One kick with the right leg; it lands at `at` seconds."""
    hit, ramp = plan.frame(at), ramp_of(plan, 0.14)
    person.act(hit - 2 * ramp, hit - ramp, ramp, hip_r=-0.5, knee_r=1.0, lean=0.1)
    person.act(hit, hit + ramp, ramp, hip_r=1.15, knee_r=0.1, lean=-0.25, arm_l=0.6, spread=0.4)


def wind_up_and_throw(plan: Plan, person: Person, at: float) -> None:
    """Throw overarm with the right hand, which lets go at `at` seconds."""
    go, ramp = plan.frame(at), ramp_of(plan, 0.18)
    person.act(go - 4 * ramp, go - ramp, ramp, arm_r=3.5, elbow_r=0.8, lean=-0.25, arm_l=1.3, hip_l=0.5, knee_l=0.4)
    person.act(go, go + ramp, ramp, arm_r=1.5, elbow_r=0.1, lean=0.45, hip_l=0.5, knee_l=0.3, hip_r=-0.35)


def item(plan: Plan, form: str, colour: str, size: float = 1.0, *, counted: bool = True) -> Item:
    """A small thing that is nowhere yet; an entity if `counted`, else a mere part of the picture."""
    nowhere = np.tile((0.0, 50.0, 0.0), (plan.n, 1))
    thing = Item(plan.next_id if counted else 0, colour, nowhere, form, size)
    if counted:
        plan.enter(thing, form, "object", "is carried", colour=colour)
    else:
        plan.effects.append(thing)
    return thing
