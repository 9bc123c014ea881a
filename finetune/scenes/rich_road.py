"""Danger on the road as a dashboard sees it: somebody in the wrong lane, or on foot between the cars; nobody is hit."""

from __future__ import annotations

import numpy as np

from .plan import EventDraft, Plan
from .road import BRAKE, KERB, ONCOMING, OWN, drive


def near_miss(plan: Plan, at: float, length: float) -> EventDraft:  # noqa: ARG001 - over when the way is free
    """A car comes towards the viewer in the same lane, or a walker is in the way; the viewer stops in time."""
    brake = at + plan.uniform(0.9, 1.2)
    speed = drive(plan, brake)
    assert plan.view.travel is not None
    t = np.arange(plan.n) / plan.fps
    halt = float(np.interp(brake, t, plan.view.travel)) + speed * speed / (2 * BRAKE)
    if plan.chance(0.6):
        pace, turn = plan.uniform(7, 9), brake + speed / BRAKE
        near = halt + plan.uniform(8, 11)
        begin = near + pace * (turn - at)
        walk = plan.walk(ONCOMING, begin + 3 * pace, -np.pi / 2, start_s=at - 3.0)
        walk.go(ONCOMING, begin, pace).go(OWN, begin - 7, pace).go(OWN, near, pace).go(ONCOMING, near - 5, pace)
        walk.go(ONCOMING, near - 300, pace)
        driver = plan.vehicle(walk.track(plan.n), "perpetrator", "car", "drives on the wrong side of the road")
        last = plan.frame(turn + 1.2)
        return EventDraft("traffic", plan.frame(at), last, [driver.entity], variant="wrong side")
    z = halt + plan.uniform(5, 7)
    line = (OWN + ONCOMING) / 2
    walk = plan.walk(KERB[1] + 0.6, z, np.pi, start_s=at - 0.8).go(OWN + 0.3, z, 1.6)
    walk.go(line, z + 0.8, 0.9).wait(plan.uniform(0.6, 1.2)).go(line - 0.2, z + 2.5, 0.8)
    stays = walk.now
    walk.go(KERB[0] - 1.0, z + 3.5, 1.7).until(plan.seconds + 1)
    person = plan.person(walk.track(plan.n), "perpetrator", "walks on the road between moving vehicles")
    passes = brake + 0.9
    other = plan.walk(ONCOMING, z + 8 * (passes + 4), -np.pi / 2, start_s=-4.0).go(ONCOMING, z - 300, 8.0)
    plan.vehicle(other.track(plan.n), "bystander", "car", "drives")
    return EventDraft("traffic", plan.frame(at), plan.frame(stays + 1.0), [person.entity], variant="walker")
