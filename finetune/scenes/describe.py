"""From a planned scene to its truth: what is visible when, where things are and go, which frames are abnormal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .bodies import CHANNEL, Person
from .canvas import Canvas
from .effects import Bag
from .plan import Cast, EventDraft, Plan
from .rich import STILL
from .texts import Writer, appearance
from .truth import EntityTruth, EventTruth, SceneTruth, VideoText

if TYPE_CHECKING:
    from .scene import Scene

PATH_POINTS = 8
FEW_PIXELS = 12  # an entity with fewer visible pixels than this (at 240 rows) counts as not visible


def visibility(scene: Scene) -> np.ndarray:
    """Visible pixels [n_frames, 256] of every entity id, from a fast half-rate pass over the id maps."""
    counts = np.zeros((scene.n_frames, 256), dtype=np.int64)
    stride = max(1, round(scene.fps / 12))
    for i in range(0, scene.n_frames, stride):
        shape = scene.view.picture.shape
        canvas = Canvas(np.zeros(shape, np.uint8), np.zeros(shape[:2], np.uint8))
        scene._paint(canvas, i)
        dx, dy = scene.offset[i]
        w, h = scene.inner
        found = np.bincount(canvas.ids[dy : dy + h, dx : dx + w].ravel(), minlength=256)
        counts[i : i + stride] = found
    return counts


def describe(scene: Scene, plan: Plan, category: str, view: str, rng: np.random.Generator) -> SceneTruth | None:
    """Truth from the plan and from what is visible; None when an event's actors are hidden for most of it."""
    counts = visibility(scene)
    few = FEW_PIXELS * (scene.size[1] / 240) ** 2
    entities = [_entity(scene, plan, e, cast, counts[:, e] > few) for e, cast in plan.cast.items()]
    events, variants = [], []
    label = np.zeros(plan.n, dtype=np.uint8)
    for draft in plan.events:
        event = _event(scene, plan, draft, counts, few, entities)
        if event is None:
            return None
        events.append(event)
        variants.append(draft.variant)
        label[event.start_frame : event.end_frame] = 1
    name = f"{category.replace(' ', '-')}_{view}_{scene.seed:06d}"
    truth = SceneTruth(
        name, scene.seed, *scene.size, plan.fps, plan.n, view, scene.conditions, int(bool(events)), label,
        category, events, entities, [], VideoText("", "", ""), [],
    )  # fmt: skip
    Writer(truth, variants, rng, lambda entity, a, b: activity(scene, entity, a, b)).fill()
    return truth


def _place(thing: Any, i: int) -> tuple[float, float]:
    """Picture position of a thing, for directions and thirds."""
    if hasattr(thing, "box"):
        return float(thing.box[i, 0] + thing.box[i, 2]) / 2, float(thing.box[i, 3])
    if isinstance(thing, Bag):
        return float(thing.foot[i, 0]), float(thing.foot[i, 1])
    return float(thing.px), float(thing.py)


def _direction(thing: Any, first: int, last: int) -> str:
    """How a thing moves over the ground between two frames."""
    track = getattr(thing, "track", None)
    if track is None:
        return "in place"
    dx, dz = track.x[last] - track.x[first], track.z[last] - track.z[first]
    if np.hypot(dx, dz) < 0.7:
        return "in place"
    if abs(dx) > abs(dz):
        return "left to right" if dx > 0 else "right to left"
    return "away from the camera" if dz > 0 else "towards the camera"


def ground_of(thing: Any) -> Any:
    """The track of a thing over the ground, which is not the one seen where the camera moves; None: it has none."""
    return getattr(thing, "ground", getattr(thing, "track", None))


def activity(scene: Scene, entity: int, first: int, last: int) -> str | None:
    """What an event's actor does in normal frames first ≤ i < last; None for things and for those out of sight."""
    thing = scene.by_id[entity]
    if not isinstance(thing, Person):
        return None
    frames = np.flatnonzero(thing.seen[first:last]) + first
    if len(frames) < 2:
        return None
    tip = np.abs(thing.pose[frames][:, [CHANNEL["fall"], CHANNEL["roll"]]]).max(axis=1)
    if np.median(tip) > 0.8:
        return "lies on the ground"
    a, b = int(frames[0]), int(frames[-1])
    direction = _direction(thing, a, b)
    if direction == "in place":
        return "stands"
    verb = "runs" if np.median(ground_of(thing).speed[frames]) > 2.4 else "walks"
    return f"{verb} {heading_words(direction)}"


def heading_words(direction: str) -> str:
    """ "left to right" as the end of a sentence: "from left to right"."""
    return f"from {direction}" if " to " in direction else direction


MOVING = ("walks", "runs", "jogs", "rides a bicycle", "drives", "walks a dog", "rides a bicycle on the road")


def _entity(scene: Scene, plan: Plan, entity: int, cast: Cast, seen: np.ndarray) -> EntityTruth:
    frames = np.flatnonzero(seen)
    first, last = (int(frames[0]), int(frames[-1])) if len(frames) else (-1, -1)
    light = plan.view.light
    facts: dict[str, Any] = {"kind": cast.kind, "verb": cast.verb, **cast.facts}
    for key in ("upper", "lower", "colour", "backpack"):
        if key in facts:
            facts[key] = light.names(facts[key])
    direction = _direction(cast.thing, max(first, 0), max(last, 0))
    facts["direction"] = direction
    facts["speed"] = _speed(cast, first, last)
    facts["position"] = _third(scene, cast.thing, frames)
    moves = cast.verb.split(" on ")[0] in MOVING or cast.verb in MOVING or cast.verb.startswith("drives")
    motion = cast.verb
    if moves and direction != "in place":
        motion += f" {heading_words(direction)}"
    return EntityTruth(
        entity,
        cast.kind,
        cast.role,
        appearance(cast.kind, facts),
        motion,
        facts,
        first,
        last,
        _path(scene, cast.thing, frames),
    )


def _path(scene: Scene, thing: Any, frames: np.ndarray) -> list[list[float]]:
    """Up to `PATH_POINTS` of (seconds, x, y) over the frames in which a thing is seen; see `EntityTruth.path`."""
    if not len(frames):
        return []
    pad, (wide, high) = scene.view.camera.pad, scene.inner
    picked = frames[np.unique(np.linspace(0, len(frames) - 1, PATH_POINTS).round().astype(int))]
    path = []
    for i in picked.tolist():
        px, py = _place(thing, i)
        x, y = (px - pad) / wide, (py - pad) / high
        if scene.view.rows is not None:
            y = float(np.searchsorted(scene.view.rows, y * high)) / len(scene.view.rows)
        path.append([round(i / scene.fps, 2), round(min(max(x, 0.0), 1.0), 3), round(min(max(y, 0.0), 1.0), 3)])
    return path


def _speed(cast: Cast, first: int, last: int) -> str:
    track = ground_of(cast.thing)
    if track is None or last <= first:
        return "slow"
    speed = float(np.median(track.speed[first : last + 1]))
    limits = (4.5, 9.0) if cast.kind in ("car", "van", "truck", "bus") else (0.7, 2.2)
    return "slow" if speed < limits[0] else "normal" if speed < limits[1] else "fast"


def _third(scene: Scene, thing: Any, frames: np.ndarray) -> str:
    if not len(frames):
        return "centre"
    x = float(np.mean([_place(thing, int(i))[0] for i in frames])) - scene.view.camera.pad
    return "left" if x < scene.inner[0] / 3 else "centre" if x < scene.inner[0] * 2 / 3 else "right"


def _event(
    scene: Scene, plan: Plan, draft: EventDraft, counts: np.ndarray, few: float, entities: list[EntityTruth]
) -> EventTruth | None:
    """The event cut to the frames in which its actors are visible; None when that is less than 0.6 seconds."""
    ids = draft.who + draft.whom + draft.objects
    span = np.zeros(plan.n, dtype=bool)
    span[draft.start : draft.end] = True
    seen = (counts[:, ids] > few).any(axis=1) & span
    frames = np.flatnonzero(seen)
    if len(frames) < 0.6 * plan.fps or any(entities[i - 1].first_frame < 0 for i in ids):
        return None
    start, end = int(frames[0]), int(frames[-1]) + 1
    if start < 0.1 * plan.n or any((counts[start:end, i] > few).sum() < 0.3 * plan.fps for i in ids):
        return None
    lead = plan.cast[ids[0]].thing
    onset = start / plan.n
    direction = (
        _direction(lead, start, end - 1)
        if draft.category not in ("fighting", "assault", "abandoned object", *STILL)
        else "in place"
    )
    agents = draft.who or ids[:1]
    facts = {
        "category": draft.category,
        "who": " and ".join(entities[i - 1].appearance for i in agents),
        "whom": entities[draft.whom[0] - 1].appearance if draft.whom else None,
        "direction": direction,
        "position": _third(scene, lead, frames),
        "when": "beginning" if onset < 1 / 3 else "middle" if onset < 0.6 else "end",
    }
    return EventTruth(draft.category, start, end, ids, facts=facts)
