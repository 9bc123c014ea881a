"""Pestering, walkers who run into each other, and danger on the road, in the rich world."""

# ruff: noqa: E501 - a sentence stays on one line

from __future__ import annotations

import numpy as np

from .palette import VEHICLE
from .plan import EventDraft, Plan
from .stories import collapse, either_side, pair, stage
from .tale import AROUND, EVERYWHERE, Tale, arrive, leave, ramp_of, toward
from .vehicles import Vehicle


def teasing(plan: Plan, at: float, length: float) -> EventDraft:
    """Somebody pokes and pulls at another again and again and jumps away each time."""
    x, z = stage(plan, 0.05, 0.6, 0.4)
    side = either_side(plan)
    end = min(at + max(length, 3.4), plan.seconds - 0.1)
    walk = arrive(plan, x - side * 1.1, z, at, plan.uniform(1.4, 2.0), -side)
    times: list[float] = []
    where = -side
    turn = [(0.0, toward(side))]
    while walk.now < end - 0.9:
        walk.slide(x + where * 0.5, z + 0.06, 0.3)
        times.append(walk.now)
        turn.append((walk.now + 0.25, toward(where)))
        walk.wait(0.15).slide(x + where * 1.1, z + 0.02, 0.25).wait(plan.uniform(0.15, 0.35))
        if plan.chance(0.45) and walk.now < end - 1.8:  # round to the other side
            walk.go(x, z + 0.75, 2.4)
            where = -where
            walk.go(x + where * 1.1, z + 0.05, 2.4).wait(0.1, toward(-where))
    walk.until(end)
    leave(walk, plan, where, plan.uniform(2.4, 3.4)).until(plan.seconds + 1)
    man = plan.person(walk.track(plan.n, 0.15), "perpetrator", "pokes somebody and jumps away")
    i = np.arange(plan.n) / plan.fps
    man.lift = np.zeros(plan.n)
    ramp = ramp_of(plan, 0.1)
    for t in times:
        man.act(plan.frame(t - 0.1), plan.frame(t + 0.1), ramp, arm_r=1.5, elbow_r=0.05, lean=0.35)
        man.act(
            plan.frame(t + 0.3), plan.frame(t + 0.55), ramp, arm_l=2.4, arm_r=2.4, elbow_l=0.5, elbow_r=0.5, lean=-0.15
        )
        man.lift += 0.16 * np.clip(1 - np.abs(i - t - 0.3) / 0.18, 0, 1)
    still = plan.walk(x, z, turn[0][1])
    for t, heading in turn[1:]:
        still.until(t).wait(0.2, heading)
    still.until(plan.seconds + 1)
    victim = plan.person(still.track(plan.n, 0.2), "victim", "is poked and turns round")
    for t in times:
        victim.act(
            plan.frame(t + 0.05), plan.frame(t + 0.2), ramp, lean=0.3, arm_l=0.5, arm_r=0.5, elbow_l=0.9, elbow_r=0.9
        )
        victim.act(plan.frame(t + 0.4), plan.frame(t + 0.6), ramp, arm_r=1.1, elbow_r=0.2, lean=0.15)
    return pair(plan, EventDraft("teasing", plan.frame(at), plan.frame(end), [man.entity], [victim.entity]))


def bumping(plan: Plan, at: float, length: float) -> EventDraft:
    """Two walkers run into each other; one is thrown back and staggers or falls, the other stops and turns round."""
    x, z = stage(plan, 0.1, 0.75, 0.4)
    side = either_side(plan)
    hit = at + 0.4
    pace, other = plan.uniform(1.5, 2.1), plan.uniform(1.1, 1.5)
    falls = plan.chance(0.55)
    end = min(hit + max(0.5 * length, 1.8), plan.seconds - 0.1)
    walk = arrive(plan, x - side * 0.2, z, hit, pace, -side)
    walk.slide(x - side * 0.05, z, 0.15).slide(x - side * 0.4, z, 0.4).until(min(hit + 1.3, end))
    leave(walk, plan, side if not falls else -side, plan.uniform(1.2, 1.6)).until(plan.seconds + 1)
    walker = plan.person(walk.track(plan.n, 0.12), "perpetrator", "bumps into somebody")
    back = arrive(plan, x + side * 0.2, z - 0.04, hit, other, side).slide(x + side * 0.75, z - 0.04, 0.3)
    if falls:
        back.until(plan.seconds + 1)
    else:
        back.slide(x + side * 1.0, z - 0.04, 0.4).until(min(hit + 1.6, end))
        back.go(-side * plan.edge(z), z - 0.6, 1.1).until(plan.seconds + 1)
    verb = "is bumped into and " + ("falls to the ground" if falls else "staggers")
    victim = plan.person(back.track(plan.n, 0.12), "victim", verb)
    ramp = ramp_of(plan, 0.12)
    walker.act(
        plan.frame(hit - 0.02), plan.frame(hit + 0.25), ramp, lean=-0.3, arm_l=0.9, arm_r=0.9, elbow_l=0.7, elbow_r=0.7
    )
    walker.act(
        plan.frame(hit + 0.6),
        plan.frame(hit + 1.2),
        ramp * 2,
        arm_l=0.7,
        arm_r=0.7,
        elbow_l=0.9,
        elbow_r=0.9,
        lean=0.25,
    )
    if falls:
        collapse(plan, victim, hit + 0.05, end - 0.4 if plan.chance(0.4) else None, -1.0, 0.45)
    else:
        victim.act(plan.frame(hit), plan.frame(hit + 0.7), ramp, lean=-0.55, arm_l=1.4, arm_r=1.3, spread=0.7, hip_l=0.7,
                   knee_l=0.5, hip_r=-0.2)  # fmt: skip
    draft = EventDraft("bumping", plan.frame(at), plan.frame(end), [walker.entity], [victim.entity])
    draft.variant = "falls" if falls else "staggers"
    return pair(plan, draft)


def traffic(plan: Plan, at: float, length: float) -> EventDraft:
    """A car drives on the wrong side of the road, or somebody walks between driving cars; others must brake."""
    near, far = plan.view.road[:2]
    plan.view.road = ()
    edge = plan.view.camera.half_width(near) + 6
    kinds = ("car", "car", "van")
    if plan.chance(0.5):
        meet = plan.uniform(-0.15, 0.15) * edge
        wrong = plan.walk(edge + 1, near, np.pi, start_s=at - 0.6)
        pace = plan.uniform(4.5, 6.0)
        wrong.go(meet + 3.2, near, pace)
        stop = wrong.now
        wrong.slide(meet + 2.4, near, 0.35)
        if plan.chance(0.5):
            wrong.until(stop + 1.6).go(-edge - 4, (near + far) / 2 - 0.3, 4.5)
        wrong.until(plan.seconds + 1)
        driver = plan.vehicle(wrong.track(plan.n, 0.15), "perpetrator", "car", "drives on the wrong side of the road")
        right = plan.walk(-edge - 1, near, 0.0, start_s=stop - (edge - 1.8 + meet) / 5.5)
        right.go(meet - 3.4, near, 5.5).slide(meet - 2.9, near, 0.4).until(plan.seconds + 1)
        plan.vehicle(right.track(plan.n, 0.15), "bystander", str(plan.rng.choice(kinds)), "drives and has to brake")
        _lane(plan, far, -1, edge, plan.uniform(-2, 1))
        _repaint(plan, driver)
        end = plan.seconds if wrong.xs[-1] > -edge else wrong.now - 1.0
        return EventDraft(
            "traffic",
            plan.frame(at),
            plan.frame(min(end, at + max(length, 3.5))),
            [driver.entity],
            variant="wrong side",
        )
    x = plan.uniform(-0.5, 0.5) * plan.view.camera.half_width(near)
    middle = (near + far) / 2
    walk = plan.walk(x - 0.5, plan.view.far, np.pi / 2, start_s=at - 1.0).until(at)
    walk.go(x, near - 0.3, 1.8)
    first = walk.now
    walk.go(x + 0.4, middle, 1.2)
    side = either_side(plan)
    second = walk.now
    walk.go(x + side * 2.2, middle, 1.0).wait(0.4).go(x + side * 2.0, plan.view.far - 0.2, 1.5).until(plan.seconds + 1)
    man = plan.person(walk.track(plan.n), "perpetrator", "walks on the road between moving vehicles")
    for lane, way, where, stop in ((near, 1, x - 3.4, first), (far, -1, x + 3.4, second)):
        brake = plan.walk(-way * edge, lane, toward(way), start_s=stop - 0.3 - abs(where + way * edge) / 5.0)
        brake.go(where, lane, 5.0).slide(where + way * 0.4, lane, 0.3).until(stop + plan.uniform(3.5, 5.0))
        brake.go(way * (edge + 4), lane, 5.0).until(plan.seconds + 1)
        verb = "drives on the road and has to brake"
        plan.vehicle(brake.track(plan.n, 0.2), "bystander", str(plan.rng.choice(kinds)), verb)
    return EventDraft(
        "traffic", plan.frame(at), plan.frame(min(at + max(length, 4.0), plan.seconds)), [man.entity], variant="walker"
    )


def _repaint(plan: Plan, wrong: Vehicle) -> None:
    """Give the other vehicles other colours, so that the one meant is known by its own."""
    free = [colour for colour in VEHICLE if colour != wrong.colour]
    for number, cast in enumerate(plan.cast.values()):
        if isinstance(cast.thing, Vehicle) and cast.thing is not wrong and cast.thing.colour == wrong.colour:
            cast.thing.colour = cast.facts["colour"] = free[number % len(free)]


def _lane(plan: Plan, z: float, way: int, edge: float, t: float) -> None:
    """Ordinary cars on a lane."""
    while t < plan.seconds:
        track = plan.walk(-way * edge, z, start_s=t).go(way * edge, z, plan.uniform(5, 7)).track(plan.n)
        plan.vehicle(track, verb="drives on the road")
        t += plan.uniform(3, 5)


TALES = {
    "teasing": Tale(
        teasing,
        EVERYWHERE,
        {
            "": (
                "{who} teases {whom}: pokes, jumps away and comes again.",
                "{whom} is teased by {who}, who pokes again and again and jumps away.",
                "{who} keeps teasing and poking {whom} and jumps away each time.",
            )
        },
        (
            "teasing is abnormal: {who_short} pokes {whom_short} again and again, who does not want it; it may turn into a quarrel.",
            "it is abnormal because {whom_short} is teased by {who_short} and gets no peace.",
        ),
        AROUND,
    ),
    "bumping": Tale(
        bumping,
        EVERYWHERE,
        {
            "falls": (
                "{who} bumps into {whom}, who falls to the ground.",
                "{whom} is bumped by {who} and falls.",
                "{who} does not look ahead and bumps into {whom}, who falls.",
            ),
            "staggers": (
                "{who} bumps into {whom}, who staggers back.",
                "{whom} is bumped by {who} and staggers.",
                "{who} does not look ahead and bumps into {whom}, who staggers.",
            ),
        },
        (
            "bumping into somebody is abnormal: {who_short} does not look ahead and bumps into {whom_short}, who may be hurt.",
            "it is abnormal because {who_short} bumps into {whom_short} with force; somebody could be hurt.",
        ),
        AROUND,
    ),
    "traffic": Tale(
        traffic,
        ("street",),
        {
            "wrong side": (
                "{who} drives on the wrong side of the road against the traffic.",
                "against the traffic, {who} drives{direction} on the wrong lane.",
                "{who} drives the wrong way, so that another vehicle has to brake.",
            ),
            "walker": (
                "{who} walks on the road between moving vehicles, a danger to traffic.",
                "{who} walks about on the road between moving vehicles.",
                "{who} walks into the traffic and stays between moving vehicles.",
            ),
        },
        (
            "this is abnormal and a danger to traffic: {who_short} is where nobody expects it, and a crash could follow.",
            "it is abnormal because {who_short} ignores the rules of traffic on the road; a crash could follow.",
        ),
        ("dashcam",),
    ),
}
