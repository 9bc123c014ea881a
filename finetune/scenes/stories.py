"""The anomalies: each story stages one event in a plan, from `at` seconds on, and returns its draft.

Stories put their actors on a stage near the middle of the walking ground, so that the event is seen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .bodies import Person
from .crowd import put_down
from .effects import Container, Debris, Explosion, Fire
from .plan import EventDraft, Plan
from .track import Walk

Story = Callable[[Plan, float, float], EventDraft]


def stage(plan: Plan, low: float = 0.15, high: float = 0.75, reach: float = 0.7) -> tuple[float, float]:
    """A place (x, z) for an event, well inside the picture."""
    return plan.spot_free(low, high, reach)


def either_side(plan: Plan) -> int:
    """1 or -1: from the left or from the right."""
    return 1 if plan.chance(0.5) else -1


def crossing(plan: Plan, at: float, speed: float, z: float, length: float = 0.0) -> Walk:
    """Enter at one edge at `at` seconds and leave at the other; along the avenue as often as across."""
    view = plan.view
    if np.isfinite(view.half) and plan.chance(0.5):
        way = plan.along()
        if way[0][1] > way[-1][1] and plan.chance(0.5):
            way.reverse()  # who comes from far off is small for long
    else:
        s = either_side(plan)
        e = plan.edge(z) + length
        way = [(-s * e, z), (s * e, z)]
    walk = plan.walk(*way[0], start_s=at)
    for point in way[1:]:
        walk.go(*point, speed)
    return walk


def running(plan: Plan, at: float, length: float) -> EventDraft:  # noqa: ARG001 - the run lasts as long as it lasts
    """Somebody runs across the walkway."""
    z = plan.lane(0.1, 0.9)
    walk = crossing(plan, at, plan.uniform(3.6, 5.0), z)
    runner = plan.person(walk.track(plan.n), "perpetrator", "runs")
    return EventDraft("running", plan.frame(at), plan.n, [runner.entity])


def cycling(plan: Plan, at: float, length: float) -> EventDraft:  # noqa: ARG001
    """A bicycle where only people on foot should be."""
    z = plan.lane(0.1, 0.9)
    walk = crossing(plan, at, plan.uniform(2.6, 4.0), z, 0.8)
    rider = plan.cyclist(walk.track(plan.n), "perpetrator")
    return EventDraft("cycling", plan.frame(at), plan.n, [rider.entity])


def driving(plan: Plan, at: float, length: float) -> EventDraft:  # noqa: ARG001
    """A vehicle on the walkway."""
    z = plan.lane(0.4, 1.0)
    walk = crossing(plan, at, plan.uniform(2.4, 4.2), z, 3.0)
    car = plan.vehicle(walk.track(plan.n), "perpetrator", str(plan.rng.choice(["car", "car", "van"])))
    plan.cast[car.entity].verb = "drives on " + {"street": "the sidewalk", "plaza": "the plaza"}.get(
        plan.view.name, "the walkway"
    )
    return EventDraft("driving", plan.frame(at), plan.n, [car.entity])


def blows(plan: Plan, person: Person, start: float, end: float, rate: float, kicks: bool = True) -> None:
    """Punches (and kicks) at random moments in [start, end) seconds, over a raised guard."""
    fps = plan.fps
    person.act(
        plan.frame(start),
        plan.frame(end),
        int(fps * 0.25),
        arm_l=0.7,
        arm_r=0.75,
        elbow_l=1.7,
        elbow_r=1.7,
        lean=0.18,
        knee_l=0.35,
        knee_r=0.35,
        hip_l=0.35,
        hip_r=-0.05,
    )
    t = start + plan.uniform(0.05, 0.3)
    while t < end - 0.2:
        a, hold = plan.frame(t), max(1, round(0.1 * fps))
        ramp = max(1, round(0.1 * fps))
        kind = plan.rng.random()
        if kicks and kind < 0.22:
            person.act(a, a + hold, ramp, hip_r=1.25, knee_r=0.25, lean=-0.25)
        elif kind < 0.62:
            person.act(a, a + hold, ramp, arm_r=1.6, elbow_r=0.1, lean=0.3)
        else:
            person.act(a, a + hold, ramp, arm_l=1.55, elbow_l=0.1, lean=0.3)
        t += plan.uniform(0.6, 1.4) / rate


def fighting(plan: Plan, at: float, length: float) -> EventDraft:
    """Two persons come to blows; both strike."""
    x, z = stage(plan)
    end = min(at + length, plan.seconds)
    early = plan.chance(0.6)
    ids = []
    for side in (-1, 1):
        gap = 0.5
        home = x + side * gap
        if early:
            walk = plan.walk(home, z, np.pi if side > 0 else 0.0)
        else:
            edge = side * plan.edge(z)
            speed = plan.uniform(1.1, 1.6)
            walk = plan.walk(edge, z, start_s=at - 0.2 - abs(edge - home) / speed).go(home, z, speed)
        walk.until(at, np.pi if side > 0 else 0.0)
        while walk.now < end - 0.3:
            push = side * plan.uniform(-0.16, 0.3)
            walk.slide(home + push, z + plan.uniform(-0.12, 0.12), plan.uniform(0.2, 0.4))
        walk.slide(home + side * 0.35, z, 0.4)
        if end < plan.seconds - 0.5:
            walk.wait(plan.uniform(0.1, 0.5))
            walk.go(side * plan.edge(z), z, plan.uniform(1.2, 1.8))
        person = plan.person(walk.track(plan.n, 0.15), "perpetrator", "punches and kicks")
        blows(plan, person, at, end, 1.6)
        ids.append(person.entity)
    for a, b in ((0, 1), (1, 0)):
        plan.cast[ids[a]].facts["opponent_id"] = ids[b]
    return EventDraft("fighting", plan.frame(at), plan.frame(end), ids)


def collapse(plan: Plan, person: Person, start: float, end: float | None, forward: float, fast: float = 0.55) -> None:
    """Fall from `start` seconds on; lie until `end` (None: to the end of the clip)."""
    stop = plan.n + plan.fps * 5 if end is None else plan.frame(end)
    ramp = max(2, int(plan.fps * fast))
    person.act(
        plan.frame(start),
        stop,
        ramp,
        fall=forward * 1.5,
        hip_l=0.15,
        hip_r=-0.1,
        knee_l=0.3,
        knee_r=0.15,
        arm_l=0.9 * forward,
        arm_r=1.5 * forward,
        elbow_l=0.5,
        elbow_r=0.4,
        spread=0.5,
        lean=0.05,
    )


def assault(plan: Plan, at: float, length: float) -> EventDraft:
    """One person beats another, who shields the head and goes down; the attacker leaves."""
    x, z = stage(plan, reach=0.7)
    side = either_side(plan)
    end = min(at + length, plan.seconds)
    toward = 0.0 if side > 0 else np.pi
    strike = at + 0.35
    down = min(strike + max(0.45 * length, 0.8), end - 0.3)
    edge = -side * plan.edge(z)
    speed = plan.uniform(1.5, 2.4)
    spot = x - side * 0.95
    attack = plan.walk(edge, z, start_s=at - abs(spot - edge) / speed).go(spot, z, speed)
    while attack.now < end - 0.35:
        attack.slide(spot + side * plan.uniform(-0.05, 0.25), z, plan.uniform(0.2, 0.4))
    attack.until(end - 0.1, toward).go(edge, z + plan.uniform(-0.2, 0.3), plan.uniform(2.2, 4.0))
    attacker = plan.person(attack.track(plan.n, 0.2), "perpetrator", "hits somebody")
    victim_walk = plan.walk(x, z + 0.05, toward + np.pi if plan.chance(0.6) else toward).until(strike)
    victim_walk.slide(x + side * 0.2, z + 0.05, 0.5).until(plan.seconds + 1)
    victim = plan.person(victim_walk.track(plan.n), "victim", "is beaten and falls to the ground")
    blows(plan, attacker, strike - 0.15, end - 0.1, 2.2)
    victim.act(
        plan.frame(strike),
        plan.frame(down) + plan.fps,
        max(2, plan.fps // 4),
        arm_l=1.9,
        arm_r=2.0,
        elbow_l=1.6,
        elbow_r=1.5,
        lean=0.55,
        hip_l=0.7,
        hip_r=0.5,
        knee_l=1.1,
        knee_r=1.1,
    )
    facing = np.cos(victim.track.heading[0]) * side
    rises = end + 2.4 < plan.seconds and plan.chance(0.5)
    collapse(plan, victim, down, end - 0.3 if rises else None, 1.0 if facing > 0 else -1.0)
    last = plan.frame(end + 0.4) if rises else plan.n
    return pair(plan, EventDraft("assault", plan.frame(at), last, [attacker.entity], [victim.entity]))


def robbery(plan: Plan, at: float, length: float) -> EventDraft:
    """Somebody snatches a bag from a walker and runs away with it."""
    x, z = stage(plan, 0.15, 0.75, 0.4)
    side = either_side(plan)
    snatch = min(at + plan.uniform(0.8, 1.2), plan.seconds - 0.6)
    walk_speed = plan.uniform(0.8, 1.1)
    edge = -side * plan.edge(z)
    victim_walk = plan.walk(edge, z, start_s=snatch - abs(x - edge) / walk_speed).go(x, z, walk_speed)
    victim_walk.slide(x + side * 0.4, z, 0.4).wait(0.5).until(plan.seconds + 1)
    rob_speed = plan.uniform(3.0, 3.8)
    grab = x - side * 0.35
    robber_walk = plan.walk(edge, z - 0.28, start_s=snatch - abs(grab - edge) / rob_speed).go(grab, z - 0.28, rob_speed)
    robber_walk.wait(0.18).go(side * plan.edge(z), z - 0.5, plan.uniform(3.8, 4.8))
    victim = plan.person(victim_walk.track(plan.n), "victim", "loses a bag to a robber", plan.style(backpack=None))
    robber = plan.person(robber_walk.track(plan.n, 0.2), "perpetrator", "snatches a bag and runs away")
    bag = plan.bag()
    frame = plan.frame(snatch)
    bag.carry(victim, 0, frame)
    bag.carry(robber, frame, plan.n)
    reach = max(1, int(plan.fps * 0.2))
    robber.act(frame - reach, frame + 1, reach, arm_r=1.1, elbow_r=0.1, lean=0.5)
    victim.act(frame, frame + reach * 3, reach, lean=0.5, arm_r=1.0, arm_l=0.9, elbow_r=0.2, hip_l=0.6, knee_l=0.4)
    victim.act(frame + 5 * reach, plan.n, reach, arm_r=1.5, elbow_r=0.2)
    plan.cast[bag.entity].verb = "is snatched"
    end = min(snatch + max(length - 1.0, 1.2), plan.seconds)
    gone = [i for i in range(frame, plan.n) if abs(robber.track.x[i]) > plan.edge(z) - 0.6]
    draft = EventDraft(
        "robbery",
        plan.frame(at),
        min(plan.frame(end), gone[0] if gone else plan.n),
        [robber.entity],
        [victim.entity],
        [bag.entity],
    )
    return pair(plan, draft)


def falling(plan: Plan, at: float, length: float) -> EventDraft:
    """A walker collapses and lies; may get up again."""
    x, z = stage(plan, 0.1, 0.8, 0.7)
    side = either_side(plan)
    speed = plan.uniform(0.9, 1.3)
    edge = -side * plan.edge(z)
    rises = plan.chance(0.4) and at + length < plan.seconds - 1.2
    walk = plan.walk(edge, z, start_s=at - abs(x - edge) / speed).go(x, z, speed)
    end = at + length
    if rises:
        walk.until(end + 0.8).go(side * plan.edge(z), z, 0.8)
    else:
        walk.until(plan.seconds + 1)
    person = plan.person(walk.track(plan.n), "victim", "falls to the ground")
    collapse(plan, person, at, end - 0.4 if rises else None, 1.0 if plan.chance(0.6) else -1.0, plan.uniform(0.35, 0.7))
    return EventDraft(
        "falling",
        plan.frame(at),
        plan.frame(end) if rises else plan.n,
        [],
        [person.entity],
        variant="rises" if rises else "lies",
    )


def collision(plan: Plan, at: float, length: float) -> EventDraft:  # noqa: ARG001 - the wreck stays
    """A car hits a person, or another car, on the road."""
    z = plan.view.road[0]
    side = either_side(plan)
    x = plan.uniform(-0.5, 0.5) * plan.view.camera.half_width(z)
    hit = at + 0.3
    edge = -side * (plan.view.camera.half_width(z) + 5)
    plan.claim(x, plan.view.far)
    plan.view.road = plan.view.road[1:]  # nobody drives through the wreck
    speed = plan.uniform(5.5, 8.0)
    nose = 2.1
    stop_x = x - side * nose
    walk = plan.walk(edge, z, start_s=hit - abs(stop_x - edge) / speed).go(stop_x, z, speed)
    walk.slide(stop_x + side * 0.9, z, 0.45).until(plan.seconds + 1)
    driver = plan.vehicle(walk.track(plan.n, 0.0), "perpetrator", "car")
    if plan.chance(0.55):
        start_z = plan.view.far - 0.2
        speed_p = plan.uniform(1.0, 1.4)
        cross = plan.walk(x, start_z, start_s=hit - (z - 0.2 - start_z) / speed_p - 0.01).go(x, z - 0.2, speed_p)
        cross.slide(x + side * 2.4, z - 1.1, 0.55).until(plan.seconds + 1)
        person = plan.person(cross.track(plan.n, 0.1), "victim", "is hit by a car")
        collapse(plan, person, hit, None, 1.0 if plan.chance(0.5) else -1.0, 0.3)
        person.act(plan.frame(hit), plan.n * 2, max(2, int(plan.fps * 0.3)), fall=0.0, roll=-side * 1.5)
        target, variant = person.entity, "person"
    else:
        other = (
            plan.walk(x + side * 2.1, z, 0.0 if side > 0 else np.pi)
            .until(hit)
            .slide(x + side * 3.0, z, 0.5)
            .until(plan.seconds + 1)
        )
        hit_car = plan.vehicle(other.track(plan.n, 0.0), "victim", "car", "is hit by another car")
        target, variant = hit_car.entity, "car"
    frame = plan.frame(hit)
    plan.effects.append(Debris(0, x, z - 1.0, frame, plan.n, plan.n, plan.fps, int(plan.rng.integers(1 << 30))))
    plan.cast[driver.entity].verb = "crashes into " + ("a person" if variant == "person" else "another car")
    return pair(plan, EventDraft("collision", plan.frame(at), plan.n, [driver.entity], [target], variant=variant))


def explosion(plan: Plan, at: float, length: float) -> EventDraft:
    """Something blows up; people near by run away."""
    x, z = stage(plan, 0.55, 1.0, 0.6)
    end = min(at + max(length, 2.5), plan.seconds)
    blast = plan.spot(Explosion, "explosion", x, z, plan.frame(at), plan.frame(end), size=plan.uniform(1.1, 1.8))
    container(plan, x, z, plan.frame(at) + 1)
    flee(plan, x, at)
    return EventDraft("explosion", plan.frame(at), plan.frame(end), [], [], [blast.entity])


def fire(plan: Plan, at: float, length: float) -> EventDraft:  # noqa: ARG001 - a fire burns on
    """Something burns, with growing flames and smoke."""
    x, z = stage(plan, 0.5, 1.0, 0.65)
    blaze = plan.spot(
        Fire, "fire", x, z, plan.frame(at), plan.n, size=plan.uniform(0.7, 1.4), grow_s=plan.uniform(1.5, 3.5)
    )
    container(plan, x, z, plan.n)
    if plan.chance(0.5):
        flee(plan, x, at + 0.8, "fire")
    return EventDraft("fire", plan.frame(at), plan.n, [], [], [blaze.entity])


def container(plan: Plan, x: float, z: float, end: int) -> None:
    """Put there what burns, from the first frame until `end`."""
    plan.effects.append(Container(0, x, z, 0, end, plan.n, plan.fps, int(plan.rng.integers(1 << 30))))


def flee(plan: Plan, x: float, at: float, danger: str = "explosion") -> None:
    """One or two persons run away from what is at `x` after `at` seconds."""
    for side in (-1, 1)[: int(plan.rng.integers(1, 3))]:
        pz = plan.lane(0.1, 0.5)
        limit = 0.85 * min(plan.view.camera.half_width(pz), plan.view.half)
        px = float(np.clip(x + side * plan.uniform(1.5, 2.4), -limit, limit))
        walk = plan.walk(px, pz, plan.uniform(0, 6.28)).until(at + plan.uniform(0.25, 0.5))
        walk.go(side * plan.edge(pz), pz - 0.2, plan.uniform(3.2, 4.4))
        person = plan.person(walk.track(plan.n, 0.2), "bystander", f"runs away from the {danger}")
        plan.cast[person.entity].facts["reacts"] = True


def abandoned(plan: Plan, at: float, length: float) -> EventDraft:  # noqa: ARG001 - the bag stays
    """Somebody puts a bag down and goes away without it."""
    x, z = stage(plan, 0.15, 0.85, 0.75)
    side = either_side(plan)
    speed = plan.uniform(1.0, 1.4)
    edge = -side * plan.edge(z)
    arrive = at - 0.3
    walk = plan.walk(edge, z, start_s=arrive - abs(x - edge) / speed).go(x, z, speed).until(at + 1.3)
    goal = side if plan.chance(0.6) else -side
    walk.go(goal * plan.edge(z), z + plan.uniform(-0.3, 0.3), plan.uniform(1.3, 1.8))
    person = plan.person(walk.track(plan.n), "perpetrator", "puts a bag down and walks away")
    bag = plan.bag(size=plan.uniform(1.0, 1.35))
    release = put_down(plan, person, bag, at, (x + side * 0.35, z - 0.1))
    plan.cast[bag.entity].verb = "is left on the ground"
    return EventDraft("abandoned object", release, plan.n, [person.entity], [], [bag.entity])


def pair(plan: Plan, draft: EventDraft) -> EventDraft:
    """Note in the facts who did it to whom."""
    if draft.who and draft.whom:
        plan.cast[draft.who[0]].facts["victim_id"] = draft.whom[0]
        plan.cast[draft.whom[0]].facts["victim_of"] = draft.who[0]
    return draft


SECOND = ("running", "cycling", "driving", "falling", "fire", "abandoned object")  # can follow another event
STORIES: dict[str, tuple[Story, tuple[str, ...]]] = {
    "running": (running, ("plaza", "avenue", "shop")),
    "cycling": (cycling, ("plaza", "avenue")),
    "driving": (driving, ("plaza", "avenue", "street")),
    "fighting": (fighting, ("street", "plaza", "avenue", "parking", "shop")),
    "assault": (assault, ("street", "plaza", "avenue", "parking", "shop")),
    "robbery": (robbery, ("street", "plaza", "avenue", "parking", "shop")),
    "falling": (falling, ("street", "plaza", "avenue", "parking", "shop")),
    "collision": (collision, ("street", "parking")),
    "explosion": (explosion, ("street", "plaza", "avenue", "parking")),
    "fire": (fire, ("street", "plaza", "avenue", "parking", "shop")),
    "abandoned object": (abandoned, ("street", "plaza", "avenue", "shop")),
}
