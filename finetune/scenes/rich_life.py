"""More of normal life, much of which looks like trouble: what a detector must not raise an alarm at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .crowd import passer, standing
from .effects import Dog
from .furniture import Blinking, Rack
from .gear import Cart, Pigeons, Skater
from .palette import VEHICLE
from .plan import Plan
from .stories import crossing, either_side
from .tale import arrive, item, leave, ramp_of, toward

Act = Callable[[Plan], None]


def bus_stop(plan: Plan) -> None:
    """A bus stops; people run to it and get in. Then it drives on."""
    lane = plan.view.road[0]
    plan.view.road = plan.view.road[1:]
    edge = plan.view.camera.half_width(lane) + 6
    stops = plan.uniform(0.25, 0.45) * plan.seconds
    x = plan.uniform(-0.3, 0.3) * plan.view.camera.half_width(lane)
    bus = plan.walk(-edge, lane, start_s=stops - (x + edge) / 5.0).go(x, lane, 5.0)
    leaves = stops + plan.uniform(3.5, 4.5)
    bus.until(leaves).go(edge, lane, 4.5).until(plan.seconds + 1)
    plan.vehicle(bus.track(plan.n, 0.6), kind="bus", verb="stops at the kerb and drives on")
    for k in range(int(plan.rng.integers(2, 4))):
        side = either_side(plan)
        door = x + plan.uniform(-1.2, 3.0)
        z, pace = plan.lane(0.3, 0.9), plan.uniform(3.0, 4.0)
        walk = plan.walk(side * plan.edge(z), z, start_s=stops - 0.9 + 0.5 * k)
        walk.go(door + side * 0.8, z, pace).go(door, lane - 1.45, pace)
        boarded = plan.frame(min(walk.now + 0.4, leaves - 0.1))
        person = plan.person(walk.until(plan.seconds + 1).track(plan.n), verb="runs to the bus")
        person.present[boarded:] = False


def children(plan: Plan) -> None:
    """Two or three children chase one another, or a ball."""
    x, z = plan.spot_free(0.1, 0.8, 0.5)
    ball = plan.chance(0.6)
    wide, deep = plan.uniform(0.9, 1.4), plan.uniform(0.4, 0.7)
    pace = plan.uniform(1.9, 2.6) / wide
    i = np.arange(plan.n) / plan.fps
    phase, way = plan.uniform(0, 6.28), either_side(plan)

    def round_about(behind: float) -> tuple[np.ndarray, np.ndarray]:
        a = way * pace * (i - behind) + phase
        return x + wide * np.cos(a) + 0.3 * np.sin(0.37 * a), z + deep * np.sin(a) * (1 + 0.3 * np.sin(0.7 * a))

    for k in range(2 if plan.chance(0.5) else 3):
        px, pz = round_about(0.55 * k + 0.35)
        track = plan.walk(x, z).until(plan.seconds + 1).track(plan.n)
        track.x, track.z = px, pz
        track.heading = np.unwrap(np.arctan2(np.gradient(pz), np.gradient(px)))
        style = plan.style(height=plan.uniform(1.0, 1.25), head=1.3, backpack=None)
        verb = "runs after a ball and plays" if ball else "runs about and plays"
        plan.person(track, verb=verb, style=style, kind="child")
    if ball:
        thing = item(plan, "ball", str(plan.rng.choice(["red", "yellow", "white", "orange", "blue"])), 1.0)
        px, pz = round_about(0.0)
        thing.place[:, 0], thing.place[:, 1] = px, pz
        thing.place[:, 2] = 0.17 + 0.28 * np.abs(np.sin(2.6 * i + phase))
        plan.cast[thing.entity].role = "bystander"
        plan.cast[thing.entity].verb = "rolls"


def lorry(plan: Plan) -> None:
    """A lorry backs up slowly with blinking lamps."""
    lane = plan.view.road[0]
    plan.view.road = plan.view.road[1:]
    way = either_side(plan)
    half = plan.view.camera.half_width(lane)
    start, pace = -way * (half + plan.uniform(-1.5, 2.5)), plan.uniform(0.8, 1.3)
    back = plan.walk(start, lane, toward(-way)).until(plan.uniform(0.0, 1.5))
    goal = start + way * plan.uniform(1.1, 1.7) * half
    back.slide(goal, lane, abs(goal - start) / pace).until(plan.seconds + 1)
    truck = Blinking(plan.next_id, "truck", str(plan.rng.choice(VEHICLE)), back.track(plan.n, 0.4))
    plan.enter(truck, "truck", "bystander", "drives backwards slowly", colour=truck.colour)


def skaters(plan: Plan) -> None:
    """One or two people on skateboards."""
    for _ in range(1 + plan.chance(0.4)):
        walk = crossing(plan, plan.uniform(-0.1, 0.55) * plan.seconds, plan.uniform(2.0, 3.0), plan.lane(0.1, 0.9))
        style = plan.style()
        track = walk.track(plan.n)
        skater = Skater(plan.next_id, track, style, str(plan.rng.choice(VEHICLE)))
        plan.enter(skater, "skater", "bystander", "rides a skateboard", upper=style.upper, lower=style.lower)
        if style.backpack:
            plan.cast[skater.entity].facts["backpack"] = style.backpack


def cart(plan: Plan) -> None:
    """Somebody pushes a cart."""
    owner = passer(plan, speed=plan.uniform(0.7, 1.1))
    owner.act(0, plan.n * 2, 1, arm_l=0.75, arm_r=0.75, elbow_l=0.35, elbow_r=0.35, lean=0.16)
    plan.cast[owner.entity].verb = "pushes a cart along"
    thing = Cart(plan.next_id, owner, str(plan.rng.choice(["grey", "blue", "red", "green"])))
    plan.enter(thing, "cart", "bystander", "is pushed along", colour=thing.colour)


def stray(plan: Plan) -> None:
    """A cat or a dog without an owner strolls about and stops."""
    z, side = plan.lane(0.0, 0.7), either_side(plan)
    edge = plan.edge(z)
    walk = plan.walk(-side * edge, z, toward(side), start_s=plan.uniform(-2.0, 1.5))
    x = -side * edge
    cat = plan.chance(0.55)
    while abs(x) <= edge + 0.1 and walk.now < plan.seconds + 2:
        x += side * plan.uniform(1.0, 2.2)
        walk.go(x, z + plan.uniform(-0.3, 0.3), plan.uniform(0.8, 1.8))
        if plan.chance(0.6):
            walk.wait(plan.uniform(0.5, 1.6))
    kind = "cat" if cat else "dog"
    tones = {"black": (36, 34, 34), "brown": (120, 82, 48), "grey": (130, 130, 132), "white": (224, 222, 216)}
    colour = str(plan.rng.choice(list(tones)))
    animal = Dog(plan.next_id, walk.track(plan.n), None, tones[colour], 0.62 if cat else 0.95)
    plan.enter(animal, kind, "bystander", "walks about", colour=colour)


def pigeons(plan: Plan) -> None:
    """A flock pecks on the ground; often it takes off."""
    x, z = plan.spot_free(0.1, 0.8, 0.7)
    scared = plan.frame(plan.uniform(0.3, 0.8) * plan.seconds) if plan.chance(0.6) else plan.n + 1
    place = (x, z, 0, plan.n, plan.n, plan.fps)
    flock = Pigeons(*place, scared=scared, entity=plan.next_id, seed=int(plan.rng.integers(1 << 30)))
    verb = "pecks on the ground" + (" and flies off" if scared < plan.n else "")
    plan.enter(flock, "flock of pigeons", "bystander", verb, colour="grey")


def crowd(plan: Plan) -> None:
    """Many people walk past close together."""
    side, pace = either_side(plan), plan.uniform(1.0, 1.3)
    start = plan.uniform(-1.0, 0.3) * 0.3 * plan.seconds
    for _ in range(int(plan.rng.integers(6, 10))):
        z = plan.view.near + (plan.view.far - plan.view.near) * plan.uniform(0.05, 0.95)
        edge = plan.edge(z)
        walk = plan.walk(-side * edge, z, start_s=start + plan.uniform(0.0, 2.6))
        walk.go(side * edge, z + plan.uniform(-0.2, 0.2), pace * plan.uniform(0.92, 1.08))
        plan.person(walk.track(plan.n))


def browsing(plan: Plan) -> None:
    """Somebody takes a thing off a rack, looks at it and puts it back."""
    x, z = plan.spot_free(0.1, 0.7, 0.5)
    side = either_side(plan)
    plan.effects.append(
        Rack(0, x + side * 0.95, z + 0.15, 0, plan.n, plan.n, plan.fps, int(plan.rng.integers(1 << 30)))
    )
    take = plan.uniform(0.15, 0.4) * plan.seconds
    back = take + plan.uniform(1.8, 2.6)
    walk = arrive(plan, x, z, take - 0.8, plan.uniform(0.9, 1.3), -side).until(back + 1.2, toward(side))
    leave(walk, plan, -side, plan.uniform(0.9, 1.3)).until(plan.seconds + 1)
    person = plan.person(walk.track(plan.n), verb="takes a thing from a rack and puts it back")
    ramp = ramp_of(plan, 0.3)
    for t in (take, back):
        person.act(plan.frame(t - 0.3), plan.frame(t + 0.1), ramp, arm_r=1.45, elbow_r=0.05, lean=0.2)
    person.act(plan.frame(take + 0.4), plan.frame(back - 0.6), ramp, arm_r=0.5, elbow_r=1.4, lean=0.1)
    box = item(plan, "box", str(plan.rng.choice(["red", "yellow", "orange", "green", "white"])), 1.0)
    start, end = plan.frame(take), plan.frame(back)
    box.present[:start], box.present[end:] = False, False
    box.carry(person, start, end)
    plan.cast[box.entity].role, plan.cast[box.entity].verb = "bystander", "is taken from a rack and put back"


def waving(plan: Plan) -> None:
    """Somebody waves an arm to a friend, who waves back: a raised arm without a threat."""
    x, z = plan.spot_free(0.2, 0.9, 0.35)
    i = np.arange(plan.n) / plan.fps
    at = plan.uniform(0.15, 0.5) * plan.seconds
    for k, side in enumerate((-1, 1)):
        person = standing(plan, x + side * plan.uniform(1.2, 1.7), z + 0.1 * k, toward(-side), "waves to a friend")
        swing = 0.35 * np.sin(2 * np.pi * 1.7 * i)
        start, end = plan.frame(at + 0.8 * k), plan.frame(at + 0.8 * k + 2.0)
        person.act(start, end, ramp_of(plan, 0.3), arm_r=2.5, elbow_r=0.5 + swing, spread=0.35 + 0.5 * swing)


LIFE: dict[str, tuple[Act, tuple[str, ...]]] = {
    "bus_stop": (bus_stop, ("street",)),
    "children": (children, ("street", "plaza", "avenue", "walkway", "panorama")),
    "lorry": (lorry, ("street", "parking")),
    "skaters": (skaters, ("street", "plaza", "avenue", "parking", "panorama")),
    "cart": (cart, ("street", "plaza", "parking", "shop", "panorama")),
    "stray": (stray, ("street", "plaza", "avenue", "parking", "walkway", "panorama")),
    "pigeons": (pigeons, ("street", "plaza", "avenue", "walkway", "panorama")),
    "crowd": (crowd, ("street", "plaza", "avenue", "shop", "walkway", "panorama")),
    "browsing": (browsing, ("shop",)),
    "waving": (waving, ("street", "plaza", "avenue", "parking", "shop", "walkway", "panorama")),
}
"""What happens, and in which views it can."""


def rich_life(plan: Plan, acts: int, only: str | None = None) -> None:
    """Add `acts` of `LIFE` to a scene, each once; `only` names one. It comes before `normal_life`, which fills up."""
    fit = [name for name, (_, views) in LIFE.items() if plan.view.name in views]
    order = [only] if only else [fit[k] for k in plan.rng.permutation(len(fit))[:acts]]
    for name in order:
        if name in ("bus_stop", "lorry") and not plan.view.road:
            continue
        LIFE[name][0](plan)
