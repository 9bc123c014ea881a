"""Violence of the rich world: shooting, threatening, riot, abuse, arrest.

Roles say who acts and who suffers it, not who is in the right: in an arrest those who arrest are the perpetrators.
"""

# ruff: noqa: E501 - a sentence stays on one line

from __future__ import annotations

from typing import Any

import numpy as np

from .bodies import Person
from .effects import Dog
from .gear import Held, Shots
from .plan import EventDraft, Plan
from .stories import collapse, container, either_side, flee, pair, stage
from .tale import (
    AROUND,
    EVERYWHERE,
    GROUND,
    Tale,
    arrive,
    cower,
    hands_up,
    item,
    kick,
    leave,
    ramp_of,
    strike_down,
    toward,
    wind_up_and_throw,
)

DOG_COLOURS = ((120, 84, 50), (40, 36, 34), (200, 180, 150))


def shooting(plan: Plan, at: float, length: float) -> EventDraft:
    """Somebody draws a gun and shoots another down; others run away."""
    x, z = stage(plan, 0.15, 0.7, 0.3)
    side = either_side(plan)
    first = at + plan.uniform(0.5, 0.9)
    last = min(max(at + length, first + 1.0), plan.seconds - 0.3)
    gap = plan.uniform(1.3, 1.7)
    walk = arrive(plan, x - side * gap, z, at - 0.1, plan.uniform(1.3, 1.9), -side)
    walk.until(last + 0.3, toward(side))
    leave(walk, plan, -side, plan.uniform(3.2, 4.2)).until(plan.seconds + 1)
    shooter = plan.person(walk.track(plan.n), "perpetrator", "shoots at somebody with a gun")
    if plan.chance(0.5):
        stand = plan.walk(x + side * gap, z, toward(-side)).until(plan.seconds + 1)
    else:
        stand = arrive(plan, x + side * gap, z, first, plan.uniform(0.9, 1.2), side).until(plan.seconds + 1)
    victim = plan.person(stand.track(plan.n), "victim", "is shot and falls to the ground")
    raised = plan.frame(at)
    shooter.act(raised, plan.frame(last + 0.2), ramp_of(plan, 0.25), arm_r=1.5, elbow_r=0.06, arm_l=0.9, elbow_l=0.9)
    times = list(np.arange(first, last, plan.uniform(0.45, 0.7)))
    gun = Held(shooter, raised - ramp_of(plan, 0.2), plan.n, 0.27, "black", 0.11)
    plan.effects += [gun, Shots(gun, [plan.frame(t) for t in times], plan.fps)]
    for t in times:
        shooter.act(plan.frame(t), plan.frame(t) + 1, ramp_of(plan, 0.08), arm_r=1.75, lean=-0.1)
    collapse(plan, victim, first + 0.1, None, -1.0, 0.5)
    flee(plan, x, first, "shooting")
    return pair(plan, EventDraft("shooting", plan.frame(at), plan.n, [shooter.entity], [victim.entity]))


def threatening(plan: Plan, at: float, length: float) -> EventDraft:
    """Somebody raises a stick or a fist at another, who backs off with raised hands; nobody is touched."""
    x, z = stage(plan, 0.1, 0.7, 0.4)
    side = either_side(plan)
    end = min(at + max(length, 2.6), plan.seconds - 0.2)
    walk = arrive(plan, x - side * 1.15, z, at, plan.uniform(1.3, 1.9), -side)
    victim_walk = plan.walk(x, z, toward(-side)).until(at + 0.3)
    t, push = at + 0.5, 0.0
    while t < end - 0.4:
        step = plan.uniform(0.6, 0.9)
        push += plan.uniform(0.12, 0.26)
        walk.until(t, toward(side)).slide(x - side * (1.15 - push), z, 0.3)
        victim_walk.until(t + 0.1).slide(x + side * push, z, 0.35)
        t += step
    walk.until(end)
    leave(walk, plan, -side, plan.uniform(1.4, 2.2))
    victim_walk.until(plan.seconds + 1)
    armed = plan.chance(0.65)
    verb = "threatens somebody with " + ("a stick" if armed else "a fist")
    man = plan.person(walk.track(plan.n, 0.2), "perpetrator", verb)
    victim = plan.person(victim_walk.track(plan.n, 0.2), "victim", "backs off with raised hands")
    i = np.arange(plan.n) / plan.fps
    swing = 2.55 + 0.4 * np.sin(2 * np.pi * 1.5 * i)
    man.act(plan.frame(at), plan.frame(end), ramp_of(plan, 0.3), arm_r=swing, elbow_r=0.3, lean=0.2, arm_l=0.7,
            elbow_l=0.9)  # fmt: skip
    hands_up(plan, victim, at + 0.35, end + 0.8)
    if armed:
        plan.effects.append(Held(man, 0, plan.n, 0.85))
    draft = EventDraft("threatening", plan.frame(at), plan.frame(end), [man.entity], [victim.entity])
    draft.variant = "stick" if armed else "fist"
    return pair(plan, draft)


def riot(plan: Plan, at: float, length: float) -> EventDraft:
    """Four or five persons rage: they run to and fro, swing sticks and throw things."""
    x, z = stage(plan, 0.25, 0.7, 0.25)
    end = min(at + max(length, 3.5), plan.seconds)
    wide = min(2.6, 0.62 * plan.view.camera.half_width(z))
    if plan.chance(0.6):
        container(plan, x, z + 0.35, plan.n)
    ids = []
    for k in range(4 if plan.chance(0.6) else 5):
        side = (1, -1)[k % 2]
        lane = float(np.clip(z + plan.uniform(-1.0, 1.2), plan.view.near, plan.view.far))
        walk = arrive(plan, x + side * plan.uniform(0.4, wide), lane, at + plan.uniform(-0.4, 0.4), 2.8, side)
        person_end = end if end < plan.seconds - 1 else plan.seconds + 1
        acts: list[float] = []
        while walk.now < person_end - 0.9:
            goal = x + plan.uniform(-1, 1) * wide
            goal_z = float(np.clip(lane + plan.uniform(-0.7, 0.7), plan.view.near * 0.98, plan.view.far))
            walk.go(goal, goal_z, plan.uniform(2.4, 3.6))
            acts.append(walk.now + 0.35)
            walk.wait(plan.uniform(0.6, 0.9))
        leave(walk, plan, side, plan.uniform(2.6, 3.6))
        man = plan.person(walk.track(plan.n, 0.2), "perpetrator", "runs about, strikes and throws things")
        ids.append(man.entity)
        thrower = k % 2 == 0
        if not thrower:
            plan.effects.append(Held(man, 0, plan.n, 0.8))
        for number, t in enumerate(acts):
            if thrower:
                wind_up_and_throw(plan, man, t)
                if number < 4 and 0 < t < plan.seconds - 0.3:
                    _missile(plan, man, t, x + plan.uniform(-0.9, 0.9), z)
            else:
                for blow in (0.0, 0.45):
                    strike_down(plan, man, t + blow - 0.15)
        raise_fist = plan.frame(at), plan.frame(end)
        man.act(*raise_fist, ramp_of(plan, 0.4), arm_l=2.6 + 0.3 * np.sin(0.4 * np.arange(plan.n) + k), elbow_l=0.4)
    return EventDraft("riot", plan.frame(at), plan.frame(end), ids)


def _missile(plan: Plan, man: Person, t: float, x: float, z: float) -> None:
    """A stone on its way; part of the picture, nothing that is told of."""
    stone = item(
        plan, "bottle" if plan.chance(0.5) else "stone", "green" if plan.chance(0.5) else "grey", 0.8, counted=False
    )
    frame = plan.frame(t)
    stone.carry(man, max(frame - int(0.7 * plan.fps), 0), frame)
    stone.throw(man, frame, (x, z, 0.5), 0.5, (x + plan.uniform(-0.4, 0.4), z - 0.1))


def abuse(plan: Plan, at: float, length: float) -> EventDraft:
    """Somebody kicks and strikes a child, or a dog on its leash; the victim cowers."""
    x, z = stage(plan, 0.05, 0.55, 0.5)
    side = either_side(plan)
    end = min(at + max(length, 2.2), plan.seconds - 0.2)
    child = plan.chance(0.5)
    spot = x - side * (0.75 if child else 0.95)
    walk = arrive(plan, spot, z, at - 0.2, plan.uniform(1.2, 1.7), -side).until(end + 0.3, toward(side))
    leave(walk, plan, -side, plan.uniform(1.3, 1.8))
    verb = "strikes a child" if child else "kicks a dog"
    man = plan.person(walk.track(plan.n), "perpetrator", verb)
    times = list(np.arange(at + 0.45, end, plan.uniform(0.6, 0.8)))
    for number, t in enumerate(times):
        kick(plan, man, t) if not child or number % 3 == 2 else strike_down(plan, man, t)
    victim_walk = plan.walk(x, z - 0.04, toward(-side) if child else toward(side)).until(at + 0.45)
    for k, t in enumerate(times):
        victim_walk.until(t).slide(x + side * (0.22 + 0.08 * (k % 3)), z - 0.04, 0.12).slide(x, z - 0.04, 0.4)
    victim_walk.until(plan.seconds + 1)
    victim: Any
    if child:
        small = plan.style(height=plan.uniform(1.05, 1.25), head=1.3, backpack=None, hat=None)
        victim = plan.person(victim_walk.track(plan.n, 0.1), "victim", "cowers under the blows", small, kind="child")
        cower(plan, victim, times[0], end + 2.0)
    else:
        colour = DOG_COLOURS[int(plan.rng.integers(3))]
        victim = Dog(plan.next_id, victim_walk.track(plan.n, 0.1), man, colour)
        i = np.arange(plan.n)
        victim.sink = np.clip((i - plan.frame(times[0])) / ramp_of(plan, 0.3), 0, 1)
        plan.enter(victim, "dog", "victim", "cowers under the kicks")
    draft = EventDraft("abuse", plan.frame(at), plan.frame(end), [man.entity], [victim.entity])
    draft.variant = "child" if child else "dog"
    return pair(plan, draft)


def arrest(plan: Plan, at: float, length: float) -> EventDraft:
    """Two persons seize a third, press him to the ground and lead him off between them."""
    x, z = stage(plan, 0.1, 0.65, 0.35)
    side = either_side(plan)
    down, up = at + 0.6, min(at + max(length, 2.6), plan.seconds - 1.2)
    uniform = str(plan.rng.choice(["blue", "black"]))
    plan.used.add(uniform)
    officers = []
    for k in (-1, 1):
        spot = x + side * (0.75 + 0.5 * k * side)  # over his back: he falls to `side`
        deep = z + 0.14 * k
        walk = arrive(plan, x + k * 0.9, deep, at, plan.uniform(2.2, 3.0), k)
        walk.until(at + 0.25, toward(-k)).slide(spot, deep, 0.5).until(up, toward(-k))
        walk.slide(x + k * 0.42, deep, 0.45)
        leave(walk.until(up + 0.5, toward(side)), plan, side, 1.0).until(plan.seconds + 1)
        style = plan.style(upper=uniform, lower="black", hat=uniform, backpack=None)
        officer = plan.person(walk.track(plan.n, 0.2), "perpetrator", "presses somebody down and leads him away", style)
        officer.act(plan.frame(at + 0.3), plan.frame(up - 0.2), ramp_of(plan, 0.35), lean=1.15, hip_l=0.9, hip_r=1.3,
                    knee_l=1.5, knee_r=1.9, arm_l=0.9, arm_r=0.9, elbow_l=0.1, elbow_r=0.1)  # fmt: skip
        officer.act(plan.frame(up + 0.2), plan.n * 2, ramp_of(plan, 0.3), arm_l=0.75 if k < 0 else 0.1,
                    arm_r=0.75 if k < 0 else 0.1, elbow_l=0.35, elbow_r=0.35)  # fmt: skip
        officers.append(officer.entity)
    held = plan.walk(x, z, toward(side)).until(up + 0.5)
    leave(held, plan, side, 1.0).until(plan.seconds + 1)
    free = [c for c in ("red", "orange", "yellow", "green", "white", "pink") if c not in plan.used]
    style = plan.style(backpack=None, hat=None, upper=free[int(plan.rng.integers(len(free)))])
    man = plan.person(held.track(plan.n, 0.2), "victim", "is pressed down and led away", style)
    hands_up(plan, man, at - 0.4, down - 0.1)
    collapse(plan, man, down - 0.1, up - 0.1, 1.0, 0.45)
    man.act(plan.frame(up), plan.n * 2, ramp_of(plan, 0.4), arm_l=-0.5, arm_r=-0.5, elbow_l=0.1, elbow_r=0.1, lean=0.4)
    return pair(plan, EventDraft("arrest", plan.frame(at), plan.n, officers, [man.entity]))


TALES = {
    "shooting": Tale(
        shooting,
        EVERYWHERE,
        {
            "": (
                "{who} raises a gun and shoots {whom}, who falls to the ground.",
                "{whom} is shot by {who} and collapses.",
                "{who} aims at {whom} and fires a gun; the victim falls.",
            )
        },
        (
            "shooting is abnormal: {who_short} fires a gun at {whom_short}; lives are in danger and the police must be called at once.",
            "it is abnormal because the flashes of a gun are seen and {whom_short} is shot by {who_short}; everybody must take cover.",
        ),
        AROUND,
    ),
    "threatening": Tale(
        threatening,
        EVERYWHERE,
        {
            "stick": (
                "{who} threatens {whom} with a raised stick.",
                "{who} raises a stick and threatens {whom}, who backs off with raised hands.",
                "{whom} is threatened by {who} with a stick and backs away.",
            ),
            "fist": (
                "{who} threatens {whom} with a raised fist.",
                "{who} raises an arm and threatens {whom}, who backs off with raised hands.",
                "{whom} is threatened by {who} with a fist and backs away.",
            ),
        },
        (
            "threatening is abnormal: {who_short} threatens {whom_short}, who shows open hands; it may turn into violence.",
            "it is abnormal because {who_short} threatens {whom_short} without a cause; somebody should step in.",
        ),
        AROUND,
    ),
    "riot": Tale(
        riot,
        GROUND,
        {
            "": (
                "{who} riot: they run about, strike with sticks and throw things.",
                "a riot: {who} run to and fro, throw objects and strike about.",
                "{who} take part in a riot; they run about and throw objects.",
            )
        },
        (
            "a riot is abnormal: a group runs about, swings sticks and throws objects; people and property may be hurt.",
            "it is abnormal because several people riot together; such a crowd can hurt others, and security should be called.",
        ),
        AROUND,
    ),
    "abuse": Tale(
        abuse,
        GROUND,
        {
            "child": (
                "{who} abuses {whom}, striking a child that only cowers.",
                "{who} strikes {whom} again and again; this is abuse.",
                "{whom} is abused and struck by {who} and cowers.",
            ),
            "dog": (
                "{who} abuses {whom} and kicks it again and again.",
                "{who} kicks {whom} on its leash; this is abuse.",
                "{whom} is abused and kicked by {who} and cowers.",
            ),
        },
        (
            "abuse is abnormal: {who_short} abuses {whom_short}, and the weak cannot help themselves.",
            "it is abnormal because {whom_short} is abused by {who_short}; the weak need help.",
        ),
        AROUND,
    ),
    "arrest": Tale(
        arrest,
        EVERYWHERE,
        {
            "": (
                "{who} arrest {whom}: they press the person down and lead him away.",
                "{whom} is arrested by {who}, pressed down and led away.",
                "{who} seize {whom}, hold the person down and lead him off under arrest.",
            )
        },
        (
            "an arrest is abnormal: {who_short} press {whom_short} to the ground and lead the person away, so a crime may have come before.",
            "it is abnormal because {whom_short} is seized and led away under arrest; it shows that something has happened here.",
        ),
        AROUND,
    ),
}
