"""What is taken or looked at in secret in the rich world: stealing, shoplifting, burglary, glance."""

# ruff: noqa: E501 - a sentence stays on one line

from __future__ import annotations

import numpy as np

from .crowd import put_down, stoop
from .furniture import Rack, Stall, StallInside
from .gear import Held
from .plan import EventDraft, Plan
from .stories import either_side, pair, stage
from .tale import EVERYWHERE, GROUND, Tale, arrive, item, leave, ramp_of, strike_down, toward


def stealing(plan: Plan, at: float, length: float) -> EventDraft:  # noqa: ARG001 - over when the thief is gone
    """A bag stands behind its owner, who looks elsewhere; somebody picks it up and goes off, without any force."""
    x, z = stage(plan, 0.1, 0.7, 0.35)
    side = either_side(plan)
    owner_x, owner_z = x + side * 1.0, z + 0.25
    set_down = at - 2.6
    if set_down > 0.8:
        walk = arrive(plan, x + side * 0.25, owner_z, set_down, plan.uniform(1.0, 1.4), side)
        walk.until(set_down + 1.0).go(owner_x, owner_z, 0.9).until(plan.seconds + 1, toward(side))
    else:
        walk = plan.walk(owner_x, owner_z, toward(side)).until(plan.seconds + 1)
    owner = plan.person(walk.track(plan.n), "victim", "puts a bag down and looks away", plan.style(backpack=None))
    owner.act(plan.frame(max(set_down + 2.0, 0)), plan.n * 2, ramp_of(plan, 0.4), arm_l=0.5, elbow_l=1.7, arm_r=0.45,
              elbow_r=1.6, lean=0.16)  # fmt: skip
    speed = plan.uniform(1.1, 1.5)
    grab = at + 0.5
    step = arrive(plan, x - side * 0.3, z, grab - 0.3, speed, -side).until(grab + 0.35)
    leave(step, plan, -side, plan.uniform(1.4, 2.0)).until(plan.seconds + 1)
    thief = plan.person(step.track(plan.n), "perpetrator", "takes a bag and walks off with it")
    bag = plan.bag(size=plan.uniform(1.0, 1.3))
    frame = plan.frame(grab)
    if set_down > 0.8:
        put_down(plan, owner, bag, set_down, (x, z - 0.05))
    else:
        bag.place[:] = (x, z - 0.05, 0.17 * bag.size)
    stoop(plan, thief, frame)
    bag.carry(thief, frame, plan.n)
    plan.cast[bag.entity].verb = "is stolen"
    gone = [i for i in range(frame, plan.n) if abs(thief.track.x[i]) > plan.edge(z) - 0.6]
    end = min(gone[0] if gone else plan.n, plan.n)
    return pair(plan, EventDraft("stealing", plan.frame(at - 0.2), end, [thief.entity], [owner.entity], [bag.entity]))


def shoplifting(plan: Plan, at: float, length: float) -> EventDraft:  # noqa: ARG001
    """Somebody takes a thing from a rack, looks round, hides it under the jacket and goes without paying."""
    x, z = stage(plan, 0.1, 0.6, 0.4)
    side = either_side(plan)
    plan.effects.append(
        Rack(0, x + side * 0.95, z + 0.15, 0, plan.n, plan.n, plan.fps, int(plan.rng.integers(1 << 30)))
    )
    take, hide = at + 0.6, at + plan.uniform(1.9, 2.4)
    out = hide + plan.uniform(0.5, 0.8)
    walk = arrive(plan, x, z, at - 0.3, plan.uniform(1.0, 1.4), -side).until(take + 0.35, toward(side))
    walk.wait(0.3, -np.pi / 2).until(out, toward(-side) + side * 0.5)
    leave(walk, plan, -side, plan.uniform(1.5, 2.1)).until(plan.seconds + 1)
    thief = plan.person(walk.track(plan.n), "perpetrator", "takes goods and hides them", plan.style(backpack=None))
    ramp = ramp_of(plan, 0.25)
    thief.act(plan.frame(at), plan.frame(take + 0.1), ramp, arm_r=1.45, elbow_r=0.05, lean=0.2)
    thief.act(plan.frame(take + 0.3), plan.frame(hide - 0.2), ramp, arm_r=0.6, elbow_r=1.1)
    thief.act(plan.frame(hide), plan.frame(hide + 0.5), ramp, arm_r=0.15, elbow_r=2.2, lean=0.3, arm_l=0.5, elbow_l=1.6)
    thief.act(plan.frame(hide + 0.8), plan.n * 2, ramp, arm_l=0.35, elbow_l=1.75)
    box = item(plan, "box", str(plan.rng.choice(["red", "yellow", "orange", "green", "pink", "white"])), 0.85)
    start, end = plan.frame(take), plan.frame(hide + 0.45)
    box.present[:start], box.present[end:] = False, False
    box.carry(thief, start, end)
    plan.cast[box.entity].verb = "is taken from a rack and hidden"
    gone = [i for i in range(end, plan.n) if abs(thief.track.x[i]) > plan.edge(z) - 0.6]
    last = gone[0] if gone else plan.n
    return EventDraft("shoplifting", plan.frame(at), last, [thief.entity], [], [box.entity])


def burglary(plan: Plan, at: float, length: float) -> EventDraft:
    """Somebody breaks the shutter of a hut with a crowbar and gets in, by the window or the door."""
    side = either_side(plan)
    half = min(plan.view.camera.half_width(plan.view.far), plan.view.half)
    x, z = plan.uniform(-0.45, 0.45) * half, plan.view.near + (plan.view.far - plan.view.near) * plan.uniform(0.55, 0.9)
    plan.claim(x, z)
    plan.view.benches = [b for b in plan.view.benches if abs(b[0] - x) > 3]
    window = plan.chance(0.6)
    opening = (-0.6, 0.6, 0.85, 1.95) if window else (-0.5, 0.5, 0.0, 2.05)
    opened = min(at + max(0.5 * length, 1.6), plan.seconds - 2.0)
    blows = list(np.arange(at + 0.3, opened + 0.05, 0.55))
    inside = opened + (1.7 if window else 1.1)
    stand = x - side * 1.0
    front = z - 0.5
    turned = toward(side) + side * 0.35
    walk = arrive(plan, stand, front, at - 0.2, plan.uniform(1.1, 1.6), -side).until(opened + 0.2, turned)
    walk.go(x - side * 0.1, front, 1.6).wait(0.25, np.pi / 2)
    begin = walk.now
    walk.slide(x, z + 0.75, inside - begin).until(plan.seconds + 1)
    man = plan.person(walk.track(plan.n, 0.2), "perpetrator", "forces a hut open and climbs in")
    for blow in blows:
        strike_down(plan, man, float(blow), 0.1)
    frames = [plan.frame(b) for b in blows]
    place = (x, z, 0, plan.n, plan.n, plan.fps)
    seed = int(plan.rng.integers(1 << 30))
    stall = Stall(*place, opening=opening, breaks=plan.frame(opened), blows=frames, seed=seed)
    bar = Held(man, 0, plan.frame(begin), 0.6, "grey", 0.07)
    plan.effects += [stall, StallInside(stall), bar]
    a, b, ramp = plan.frame(begin), plan.frame(inside - 0.2), ramp_of(plan, 0.3)
    if window:
        i = np.arange(plan.n) / plan.fps
        up = np.interp(i, [begin, begin + 0.7, inside, inside + 0.4], [0, 0.75, 0.75, 0.0])
        man.lift = up
        man.act(a, b, ramp, hip_r=1.7, knee_r=1.9, hip_l=0.5, knee_l=0.9, lean=0.7, arm_l=1.7, arm_r=1.7, elbow_l=0.3,
                elbow_r=0.3, spread=0.3)  # fmt: skip
    else:
        man.act(a, b, ramp, lean=0.35)
    hidden = plan.frame(inside + 0.3)
    man.act(plan.frame(inside), plan.n * 2, ramp, lean=1.1, hip_l=1.3, hip_r=1.3, knee_l=1.9, knee_r=1.9)
    man.present[hidden:] = False
    draft = EventDraft("burglary", plan.frame(at), min(hidden, plan.n), [man.entity])
    draft.variant = "window" if window else "door"
    return draft


def glance(plan: Plan, at: float, length: float) -> EventDraft:
    """Somebody creeps up close behind another and peers over the shoulder at what that one holds."""
    x, z = stage(plan, 0.05, 0.55, 0.4)
    side = either_side(plan)
    end = min(at + max(length, 3.0), plan.seconds - 0.1)
    stays = plan.walk(x, z, toward(side)).until(plan.seconds + 1)
    victim = plan.person(stays.track(plan.n), "victim", "stands and looks at a phone", plan.style(backpack=None))
    victim.act(0, plan.n * 2, 1, arm_l=0.45, elbow_l=1.5, arm_r=0.5, elbow_r=1.45, lean=0.12)
    near, far = x - side * 0.36, x - side * 1.3
    walk = arrive(plan, far, z + 0.1, at, plan.uniform(1.0, 1.3), -side)
    walk.go(near, z + 0.1, 0.75).until(end, toward(side))
    leave(walk, plan, -side, plan.uniform(1.6, 2.2)).until(plan.seconds + 1)
    man = plan.person(
        walk.track(plan.n), "perpetrator", "creeps up and peers over a shoulder", plan.style(backpack=None)
    )
    ramp = ramp_of(plan, 0.35)
    close = at + abs(far - near) / 0.75
    man.act(plan.frame(at - 0.1), plan.frame(close - 0.2), ramp, lean=0.55, hip_l=0.7, hip_r=0.7, knee_l=0.9, knee_r=0.9,
            arm_l=0.7, arm_r=0.7, elbow_l=1.3, elbow_r=1.3)  # fmt: skip
    i = np.arange(plan.n) / plan.fps
    man.act(plan.frame(close), plan.frame(end - 0.2), ramp, lean=0.62 + 0.16 * np.sin(2.2 * i), arm_l=0.3, arm_r=0.3,
            elbow_l=0.4, elbow_r=0.4, hip_l=0.0, hip_r=-0.3, knee_l=0.05)  # fmt: skip
    man.lift = 0.14 * np.clip(np.minimum((i - close) / 0.3, (end - i) / 0.3), 0, 1)
    return pair(plan, EventDraft("glance", plan.frame(at), plan.frame(end), [man.entity], [victim.entity]))


TALES = {
    "stealing": Tale(
        stealing,
        EVERYWHERE,
        {
            "": (
                "{who} steals {object} that {whom} has put down, and walks off{direction}.",
                "{who} takes {object}, left unwatched by {whom}, and goes off{direction} without force.",
                "{object} put down by {whom} is stolen: {who} takes it and walks away.",
            )
        },
        (
            "stealing is abnormal: {who_short} takes {object_short} that belongs to {whom_short}, who looks away and notices nothing.",
            "it is abnormal because {object_short} is taken in secret and without force; the owner loses property by stealing.",
        ),
        ("walkway", "panorama"),
    ),
    "shoplifting": Tale(
        shoplifting,
        ("shop",),
        {
            "": (
                "{who} takes {object} from a rack, hides it under the jacket and leaves; this is shoplifting.",
                "{who} is shoplifting: {object} is taken off the shelf and hidden.",
                "{who} hides {object} from the shelf under the jacket and walks out.",
            )
        },
        (
            "shoplifting is abnormal: {who_short} hides {object_short} under the jacket and leaves without paying.",
            "it is abnormal because goods from the shelf are hidden and not paid for; {who_short} is shoplifting.",
        ),
    ),
    "burglary": Tale(
        burglary,
        GROUND,
        {
            "window": (
                "{who} breaks the window of a hut with a bar and climbs in; a burglary.",
                "{who} forces a window open and climbs into a hut.",
                "a burglary: {who} strikes at a shutter until it breaks and climbs in.",
            ),
            "door": (
                "{who} breaks the door of a hut with a bar and goes in; a burglary.",
                "{who} forces a door open and breaks into a hut.",
                "a burglary: {who} strikes at a door until it breaks and goes in.",
            ),
        },
        (
            "burglary is abnormal: {who_short} breaks in where entry is not allowed, probably in order to steal.",
            "it is abnormal because {who_short} breaks in by force; the owner and the police should be told of the burglary.",
        ),
    ),
    "glance": Tale(
        glance,
        EVERYWHERE,
        {
            "": (
                "{who} creeps up behind {whom} and peers over the shoulder; a secret glance.",
                "{who} creeps close behind {whom} and peers over the shoulder.",
                "from close behind, {who} glances over the shoulder of {whom}.",
            )
        },
        (
            "a glance over the shoulder is abnormal: {who_short} comes far too close and peers at what {whom_short} holds, perhaps at a secret number.",
            "it is abnormal because {who_short} creeps up and glances over the shoulder of {whom_short}, who does not notice; a theft may follow.",
        ),
        ("panorama",),
    ),
}
