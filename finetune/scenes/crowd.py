"""Normal life: walkers, talkers, sitters, traffic, and harmless acts that look like trouble."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .bodies import Person
from .effects import Bag, Dog
from .plan import Plan
from .track import Track


def passer(plan: Plan, start_s: float | None = None, speed: float | None = None) -> Person:
    """Someone who walks across the picture, or along the avenue."""
    view = plan.view
    speed = speed or plan.uniform(0.9, 1.5)
    if np.isfinite(view.half) and plan.chance(0.55):
        way = plan.along()
    else:
        z = plan.lane()
        side = 1 if plan.chance(0.5) else -1
        way = [(-side * plan.edge(z), z), (side * plan.edge(z), z + plan.uniform(-0.4, 0.4))]
    length = float(sum(np.hypot(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(way)))
    if start_s is None:
        start_s = plan.uniform(-0.85 * length / speed, plan.seconds * 0.6)
    walk = plan.walk(*way[0], start_s=start_s)
    for point in way[1:]:
        walk.go(*point, speed)
    return plan.person(walk.track(plan.n), verb="jogs" if speed > 2.4 else "walks")


def standing(plan: Plan, x: float, z: float, heading: float, verb: str = "stands") -> Person:
    """Someone who stays at a place, shifting weight a little."""
    t = np.arange(plan.n) / plan.fps
    person = plan.person(plan.walk(x, z, heading).until(plan.seconds + 1).track(plan.n), verb=verb)
    a, b = plan.uniform(0, 6.28), plan.uniform(0.5, 1.1)
    person.pose[:, 5] += 0.1 * np.sin(b * t + a)
    person.pose[:, 0] += 0.03 * np.sin(0.7 * b * t + a)
    return person


def talkers(plan: Plan) -> list[Person]:
    """Two or three persons in conversation, with talking hands."""
    x, z = plan.spot_free(0.25, 1.0, 0.85)
    people = []
    t = np.arange(plan.n) / plan.fps
    for k in range(2 if plan.chance(0.7) else 3):
        angle = (0.1, np.pi - 0.1, np.pi / 2)[k]
        px, pz = x - 0.55 * np.cos(angle), z - 0.4 * np.sin(angle) * (1 if k == 2 else 0)
        person = standing(plan, px, pz, angle, "talks")
        gate = np.clip(np.sin(plan.uniform(0.8, 1.4) * t + plan.uniform(0, 6.28)) * 2, 0, 1)
        person.pose[:, 8] += gate * (0.9 + 0.35 * np.sin(5 * t + k))
        person.pose[:, 7] += gate * 0.25
        people.append(person)
    return people


def sitter(plan: Plan) -> Person | None:
    """Someone on a bench, when there is a free one."""
    if not plan.view.benches:
        return None
    x, z = plan.view.benches.pop()
    person = standing(plan, x + plan.uniform(-0.3, 0.3), z - 0.12, -np.pi / 2, "sits")
    person.act(
        0,
        plan.n,
        1,
        hip_l=1.5,
        hip_r=1.5,
        knee_l=1.5,
        knee_r=1.5,
        arm_l=0.55,
        arm_r=0.55,
        elbow_l=0.6,
        elbow_r=0.6,
        lean=-0.05,
    )
    person.pose[:, 1] = person.pose[:, 3] = 1.5
    person.pose[:, 2] = person.pose[:, 4] = 1.5
    return person


def dog_walker(plan: Plan) -> None:
    """A passer with a dog on a leash."""
    owner = passer(plan, speed=plan.uniform(0.9, 1.3))
    track = owner.track
    ahead = 0.9
    dog_track = Track(
        track.x + ahead * np.cos(track.heading), track.z + ahead * np.sin(track.heading) - 0.25, track.heading, plan.fps
    )
    colours = ((120, 84, 50), (40, 36, 34), (200, 180, 150))
    dog = Dog(plan.next_id, dog_track, owner, colours[int(plan.rng.integers(3))])
    plan.enter(dog, "dog", "bystander", "walks on a leash")
    plan.cast[owner.entity].verb = "walks a dog"


def tie_shoe(plan: Plan) -> None:
    """A passer who stops and bends down to a shoe."""
    stop, z = plan.spot_free(0.0, 1.0, 0.55)
    side = 1 if plan.chance(0.5) else -1
    speed = plan.uniform(1.0, 1.4)
    at = plan.uniform(0.15, 0.5) * plan.seconds
    start = at - (stop + side * plan.edge(z)) * side / speed
    walk = (
        plan.walk(-side * plan.edge(z), z, start_s=start).go(stop, z, speed).wait(2.4).go(side * plan.edge(z), z, speed)
    )
    person = plan.person(walk.track(plan.n), verb="bends down to tie a shoe")
    a, b = plan.frame(at + 0.2), plan.frame(at + 2.2)
    person.act(
        a,
        b,
        int(plan.fps * 0.4),
        lean=1.1,
        hip_l=1.5,
        knee_l=1.7,
        hip_r=0.5,
        knee_r=1.9,
        arm_l=0.5,
        arm_r=0.5,
        elbow_l=0.4,
        elbow_r=0.4,
    )


def greeting(plan: Plan) -> None:
    """Two persons meet, shake hands or hug, and talk: close, but friendly."""
    x, z = plan.spot_free(0.2, 1.0, 0.6)
    at = plan.uniform(0.2, 0.5) * plan.seconds
    hug = plan.chance(0.5)
    gap = 0.2 if hug else 0.36
    for k, side in enumerate((-1, 1)):
        speed = plan.uniform(1.0, 1.3)
        far = side * plan.edge(z)
        start = at - abs(far - (x + side * gap)) / speed
        walk = plan.walk(far, z, start_s=start).go(x + side * gap, z, speed).until(plan.seconds + 1)
        person = plan.person(walk.track(plan.n), verb="hugs somebody" if hug else "shakes hands")
        a, b = plan.frame(at), plan.frame(at + plan.uniform(1.4, 2.2))
        ramp = int(plan.fps * 0.3)
        if hug:
            person.act(a, b, ramp, arm_l=1.2 - 0.2 * k, arm_r=1.2, elbow_l=0.5, elbow_r=0.5, spread=0.35, lean=0.12)
        else:
            person.act(a, b, ramp, arm_r=0.75, elbow_r=0.45)
            person.act(a, b, ramp, **{"arm_l": 0.75, "elbow_l": 0.45})


def bag_break(plan: Plan) -> None:
    """Someone puts a bag down, waits beside it, picks it up and walks on."""
    stop, z = plan.spot_free(0.0, 1.0, 0.55)
    side = 1 if plan.chance(0.5) else -1
    speed = plan.uniform(1.0, 1.3)
    at = plan.uniform(0.1, 0.3) * plan.seconds
    stay = plan.uniform(2.5, 4.0)
    start = at - (stop + side * plan.edge(z)) * side / speed
    walk = (
        plan.walk(-side * plan.edge(z), z, start_s=start)
        .go(stop, z, speed)
        .wait(stay)
        .go(side * plan.edge(z), z, speed)
    )
    person = plan.person(walk.track(plan.n), verb="puts a bag down and picks it up again")
    bag = plan.bag()
    put_down(plan, person, bag, at + 0.2, (stop + 0.35 * side, z - 0.15))
    again = plan.frame(at + stay - 0.5)
    stoop(plan, person, again)
    bag.carry(person, again, plan.n)


def stoop(plan: Plan, person: Person, frame: int) -> None:
    """Bend down to the ground around `frame`."""
    half = max(1, int(plan.fps * 0.25))
    person.act(
        frame - half,
        frame + half,
        int(plan.fps * 0.35),
        lean=1.05,
        hip_l=0.9,
        hip_r=0.7,
        knee_l=1.3,
        knee_r=1.3,
        arm_r=0.5,
        elbow_r=0.1,
    )


def put_down(plan: Plan, person: Person, bag: Bag, at: float, place: tuple[float, float]) -> int:
    """Carry the bag until `at` seconds (+0.5), then leave it standing at `place`; returns the frame of release."""
    release = plan.frame(at + 0.5)
    stoop(plan, person, release)
    bag.carry(person, 0, release)
    bag.place[release:] = (*place, 0.17 * bag.size)
    return release


def traffic(plan: Plan) -> None:
    """Cars, a bus or a bicycle on the road of the view, at a normal pace."""
    for lane, z in enumerate(plan.view.road):
        side = 1 if lane == 0 else -1
        t = plan.uniform(-3, 2)
        while t < plan.seconds and plan.chance(0.75):
            edge = plan.view.camera.half_width(z) + 7
            slow = plan.view.name == "parking"
            roll = plan.rng.random()
            speed = plan.uniform(2.0, 3.2) if slow else plan.uniform(5, 8)
            if roll < 0.12 and not slow:
                track = plan.walk(-side * edge, z, start_s=t).go(side * edge, z, 3.8).track(plan.n)
                plan.cyclist(track)
                plan.cast[len(plan.cast)].verb = "rides a bicycle on the road"
            else:
                kind = "bus" if roll < 0.22 and not slow else None
                track = plan.walk(-side * edge, z, start_s=t).go(side * edge, z, speed).track(plan.n)
                plan.vehicle(
                    track, kind=kind, verb="drives on the road" if not slow else "drives slowly through the lane"
                )
            t += plan.uniform(3.5, 7)


def normal_life(plan: Plan, busy: float = 1.0, special: bool = True) -> None:
    """Fill the scene with normal people and traffic; `special` adds harmless acts that resemble anomalies."""
    if plan.view.road and (plan.view.name == "street" or plan.chance(0.5)):
        traffic(plan)
    for _ in range(int(plan.rng.integers(1, 2 + int(3 * busy)))):
        passer(plan)
    if plan.chance(0.4 * busy):
        talkers(plan)
    if plan.chance(0.7):
        sitter(plan)
    acts = [dog_walker, tie_shoe, greeting, bag_break] if plan.view.name != "shop" else [tie_shoe, greeting, bag_break]
    if special and plan.chance(0.65):
        acts[int(plan.rng.integers(len(acts)))](plan)
    if special and plan.view.name in ("street", "parking") and plan.chance(0.15):
        passer(plan, speed=2.9)


__all__ = ["normal_life", "passer", "put_down", "standing", "stoop"]
