"""Harm to things, and by things, in the rich world: vandalism, arson, throwing."""

# ruff: noqa: E501 - a sentence stays on one line

from __future__ import annotations

from typing import Any

import numpy as np

from .effects import Debris, Fire
from .furniture import Battered, Fixture
from .gear import Held
from .palette import VEHICLE
from .plan import EventDraft, Plan
from .stories import container, either_side, flee, pair, stage
from .tale import (
    AROUND,
    GROUND,
    Tale,
    arrive,
    cower,
    item,
    kick,
    leave,
    ramp_of,
    strike_down,
    toward,
    wind_up_and_throw,
)


def vandalism(plan: Plan, at: float, length: float) -> EventDraft:
    """Somebody kicks and strikes a bin, a bench or a parked car until something breaks off."""
    x, z = stage(plan, 0.15, 0.7, 0.4)
    side = either_side(plan)
    form = str(plan.rng.choice(["bin", "bench", "car"]))
    end = min(at + max(length, 2.8), plan.seconds - 0.3)
    times = list(np.arange(at + 0.4, end - 0.3, plan.uniform(0.55, 0.75)))
    breaks = times[min(int(0.6 * len(times)), len(times) - 1)]
    spot = x - side * {"bin": 0.85, "bench": 1.2, "car": 0.0}[form]
    front = z if form != "car" else z - 1.3
    walk = arrive(plan, spot, front, at, plan.uniform(1.2, 1.8), -side)
    walk.until(end + 0.2, toward(side) if form != "car" else toward(side) + side * 0.75)
    leave(walk, plan, -side, plan.uniform(1.8, 3.4)).until(plan.seconds + 1)
    man = plan.person(walk.track(plan.n, 0.2), "perpetrator", f"kicks and strikes a {form}")
    armed = form == "car" or plan.chance(0.4)
    for number, t in enumerate(times):
        strike_down(plan, man, t) if armed and number % 3 else kick(plan, man, t)
    if armed:
        plan.effects.append(Held(man, 0, plan.n, 0.8, "grey"))
    blows, broken = [plan.frame(t) for t in times], plan.frame(breaks)
    thing: Any
    if form == "car":
        still = plan.walk(x + side * 0.9, z, toward(either_side(plan))).until(plan.seconds + 1).track(plan.n, 0.0)
        thing = Battered(plan.next_id, "car", str(plan.rng.choice(VEHICLE)), still)
        thing.batter(blows, broken)
        plan.enter(thing, "car", "victim", "is struck and damaged", colour=thing.colour, parked=True)
        plan.effects.append(Debris(0, x, z - 1.0, broken, plan.n, plan.n, plan.fps, int(plan.rng.integers(1 << 30))))
    else:
        colour = str(plan.rng.choice(["green", "grey", "blue", "orange", "brown"]))
        thing = Fixture(
            x, z, 0, plan.n, plan.n, plan.fps, form=form, colour=colour, side=side, blows=blows, breaks=broken,
            entity=plan.next_id, seed=int(plan.rng.integers(1 << 30)),
        )  # fmt: skip
        plan.enter(thing, form, "object", "is broken", colour=colour)
    draft = EventDraft("vandalism", plan.frame(at), plan.frame(end), [man.entity])
    if form == "car":
        draft.whom, draft.variant = [thing.entity], "car"
    else:
        draft.objects = [thing.entity]
    return pair(plan, draft)


def arson(plan: Plan, at: float, length: float) -> EventDraft:  # noqa: ARG001 - a fire burns on
    """Somebody stoops at a container and puts a light to it; flames rise and he runs off."""
    x, z = stage(plan, 0.25, 0.75, 0.4)
    side = either_side(plan)
    lit = at + plan.uniform(0.7, 1.0)
    walk = arrive(plan, x - side * 0.75, z, at - 0.1, plan.uniform(1.2, 1.8), -side).until(lit + 0.5, toward(side))
    leave(walk, plan, -side, plan.uniform(3.4, 4.6)).until(plan.seconds + 1)
    man = plan.person(walk.track(plan.n), "perpetrator", "sets a container on fire and runs away")
    man.act(plan.frame(at), plan.frame(lit), ramp_of(plan, 0.3), lean=0.95, hip_l=0.8, hip_r=0.5, knee_l=1.1, knee_r=1.1,
            arm_r=1.35, elbow_r=0.0)  # fmt: skip
    torch = Held(man, 0, plan.frame(lit), 0.5, "brown", 0.08)
    plan.effects.append(torch)
    brand = item(plan, "ball", "orange", 0.75, counted=False)
    brand.follow = lambda: _at_tip(brand, torch)  # type: ignore[method-assign]
    brand.present[plan.frame(lit) :] = False
    container(plan, x, z, plan.n)
    blaze = plan.spot(
        Fire, "fire", x, z, plan.frame(lit), plan.n, size=plan.uniform(0.9, 1.4), grow_s=plan.uniform(1.5, 3.0)
    )
    if plan.chance(0.4):
        flee(plan, x, lit + 0.8, "fire")
    return EventDraft("arson", plan.frame(at), plan.n, [man.entity], [], [blaze.entity])


def _at_tip(brand: Any, torch: Held) -> None:
    """The burning end of a torch."""
    brand.place[:] = torch.tip
    brand.z_order[:] = -0.3


def throwing(plan: Plan, at: float, length: float) -> EventDraft:
    """Somebody throws things at a person, who ducks, or at a car."""
    x, z = stage(plan, 0.1, 0.6, 0.25)
    side = either_side(plan)
    at_car = bool(plan.view.road) and plan.chance(0.4)
    end = min(at + max(length, 2.6), plan.seconds - 0.4)
    gap = plan.uniform(1.5, 2.0)
    times = [at + 0.7, at + 0.7 + plan.uniform(1.1, 1.5)][: 2 if end > at + 2.2 else 1]
    spot = x - side * gap
    walk = arrive(plan, spot, z, at - 0.1, plan.uniform(1.2, 1.8), -side)
    turned = toward(side) + (side * 0.9 if at_car else 0.0)
    walk.until(end, turned)
    leave(walk, plan, -side, plan.uniform(1.8, 3.6)).until(plan.seconds + 1)
    form = "stone" if plan.chance(0.5) else "bottle"
    colour = "grey" if form == "stone" else str(plan.rng.choice(["green", "brown", "white"]))
    man = plan.person(walk.track(plan.n), "perpetrator", f"throws a {form}")
    target: Any
    if at_car:
        lane = plan.view.road[0]
        plan.view.road = plan.view.road[1:]
        car_x = x + side * 0.6
        still = plan.walk(car_x, lane, toward(either_side(plan))).until(plan.seconds + 1)
        target = plan.vehicle(still.track(plan.n, 0.0), "victim", "car", f"is struck by a {form}")
        plan.cast[target.entity].facts["parked"] = True
        goals = [(car_x - side * 0.5, lane - 0.95, 1.1)] * 2
    else:
        if plan.chance(0.5):
            still = plan.walk(x + side * gap, z, toward(-side)).until(plan.seconds + 1)
        else:
            still = arrive(plan, x + side * gap, z, times[0], 1.0, side).until(plan.seconds + 1)
        target = plan.person(still.track(plan.n), "victim", f"is struck by a {form}")
        goals = [(x + side * (gap - 0.15), z - 0.05, 1.25), (x + side * (gap - 0.15), z - 0.05, 0.95)]
        for t in times:
            target.act(plan.frame(t + 0.42), plan.frame(t + 0.8), ramp_of(plan, 0.12), lean=-0.35, arm_l=1.8, arm_r=1.7,
                       elbow_l=1.5, elbow_r=1.4, hip_l=0.4, knee_l=0.6)  # fmt: skip
        cower(plan, target, times[-1] + 0.9, plan.seconds + 1)
    objects = []
    for number, t in enumerate(times[:1]):
        thing = item(plan, form, colour, 1.0)
        frame = plan.frame(t)
        wind_up_and_throw(plan, man, t)
        thing.carry(man, 0, frame)
        gx, gz, gu = goals[number]
        thing.throw(man, frame, (gx, gz, gu), 0.45, (gx - side * plan.uniform(0.2, 0.6), gz - 0.25))
        plan.cast[thing.entity].verb = "is thrown at " + ("a car" if at_car else "somebody")
        objects.append(thing.entity)
    for t in times[1:]:
        wind_up_and_throw(plan, man, t)
        more = item(plan, form, colour, 1.0, counted=False)
        more.present[: plan.frame(t - 0.6)] = False
        more.carry(man, 0, plan.frame(t))
        gx, gz, gu = goals[1]
        more.throw(man, plan.frame(t), (gx, gz, gu), 0.45, (gx - side * plan.uniform(0.3, 0.8), gz - 0.35))
    last = plan.frame(end)
    return pair(plan, EventDraft("throwing", plan.frame(at), last, [man.entity], [target.entity], objects))


TALES = {
    "vandalism": Tale(
        vandalism,
        GROUND,
        {
            "": (
                "{who} kicks and strikes {object} until it breaks; vandalism.",
                "{who} vandalises {object} with kicks and blows.",
                "{object} is vandalised: {who} strikes it until something breaks off.",
            ),
            "car": (
                "{who} strikes {whom} until its windows break; vandalism.",
                "{who} vandalises {whom} with kicks and blows.",
                "{whom} is vandalised: {who} strikes it until something breaks off.",
            ),
        },
        (
            "vandalism is abnormal: {who_short} destroys on purpose what belongs to others; property is damaged.",
            "it is abnormal because {who_short} strikes and breaks things that belong to others; this is vandalism.",
        ),
    ),
    "arson": Tale(
        arson,
        GROUND,
        {
            "": (
                "{who} sets a container on fire and runs away{direction}; {object} grows after this arson.",
                "arson: {who} puts a light to a container, {object} rises, and the person runs away{direction}.",
                "{who} commits arson at a container and flees{direction}; {object} grows.",
            )
        },
        (
            "arson is abnormal: {who_short} sets something on fire on purpose and flees; the fire can spread and hurt people.",
            "it is abnormal because the fire was set: {who_short} commits arson and runs away; the fire brigade and the police should be called.",
        ),
    ),
    "throwing": Tale(
        throwing,
        GROUND,
        {
            "": (
                "{who} throws {object} at {whom}.",
                "{object} is thrown at {whom} by {who}.",
                "{who} is throwing objects and strikes {whom} with {object}.",
            )
        },
        (
            "throwing objects is abnormal: {who_short} throws {object_short} at {whom_short}, which can injure somebody or break something.",
            "it is abnormal because {who_short} throws {object_short} at {whom_short}; that is an attack and can hurt.",
        ),
        AROUND,
    ),
}
