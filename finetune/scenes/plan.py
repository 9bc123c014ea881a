"""The script of a scene while it is being written: who is there, what they do, and which event that makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .bodies import Person, Style
from .effects import Bag
from .palette import BAG, HAIR, LOWER, SKIN, UPPER, VEHICLE
from .track import Track, Walk
from .vehicles import Cyclist, Vehicle
from .views import View


@dataclass
class Cast:
    """An entity and what is known of it: role, kind and the facts its texts are made from."""

    thing: Any
    kind: str
    role: str
    verb: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class EventDraft:
    """An event before its texts: `who` and `whom` are entity ids, `verb` and `reason` keys of the text templates."""

    category: str
    start: int
    end: int
    who: list[int]
    whom: list[int] = field(default_factory=list)
    objects: list[int] = field(default_factory=list)
    variant: str = ""


class Plan:
    """A scene under construction. `n` frames at `fps`; `cast` by entity id (1…255)."""

    def __init__(self, view: View, rng: np.random.Generator, n: int, fps: int) -> None:
        self.view, self.rng, self.n, self.fps = view, rng, n, fps
        self.seconds = n / fps
        self.cast: dict[int, Cast] = {}
        self.effects: list[Any] = []
        self.events: list[EventDraft] = []
        self.used: set[str] = set()
        self.taken: list[float] = []
        self.spots: list[tuple[float, float]] = []

    def frame(self, seconds: float) -> int:
        """The frame at a clip time, inside the clip."""
        return int(np.clip(round(seconds * self.fps), 0, self.n))

    def walk(self, x: float, z: float, heading: float = 0.0, start_s: float = 0.0) -> Walk:
        """A way that starts at (x, z) at `start_s`."""
        return Walk(x, z, self.fps, heading, start_s)

    def uniform(self, low: float, high: float) -> float:
        """A random float."""
        return float(self.rng.uniform(low, high))

    def chance(self, p: float) -> bool:
        """True with probability `p`."""
        return bool(self.rng.random() < p)

    def edge(self, z: float) -> float:
        """X just outside the right edge of the picture at depth `z`."""
        return self.view.camera.half_width(z) + 0.7

    def lane(self, low: float = 0.0, high: float = 1.0) -> float:
        """A depth on the walking ground (0 = near, 1 = far), away from depths already taken where possible."""
        best, gap = 0.0, -1.0
        for _ in range(8):
            z = self.view.near + (self.view.far - self.view.near) * self.uniform(low, high)
            distance = min((abs(z - t) for t in self.taken), default=9.0)
            if distance > gap:
                best, gap = z, distance
        self.taken.append(best)
        return best

    def spot_free(self, low: float, high: float, reach: float) -> tuple[float, float]:
        """A place (x, z) within `reach` of the half width, far from the places where something else happens."""
        best, gap = (0.0, self.view.near), -1.0
        for _ in range(10):
            z = self.view.near + (self.view.far - self.view.near) * self.uniform(low, high)
            x = self.uniform(-reach, reach) * min(self.view.camera.half_width(z), self.view.half)
            distance = min((abs(x - a) + abs(z - b) for a, b in self.spots), default=9.0)
            if distance > gap:
                best, gap = (x, z), distance
        self.claim(*best)
        return best

    def claim(self, x: float, z: float) -> None:
        """Keep (x, z) free of others: no bench next to it is used, and lanes avoid it."""
        self.spots.append((x, z))
        self.taken.append(z)
        self.view.benches = [b for b in self.view.benches if abs(b[0] - x) + abs(b[1] - z) > 2.2]

    def style(self, **fixed: Any) -> Style:
        """Clothes of a new person; an upper colour is not used twice while others are free."""
        free = [c for c in UPPER if c not in self.used] or list(UPPER)
        upper = str(self.rng.choice(free))
        self.used.add(upper)
        lower = str(self.rng.choice([c for c in LOWER if c != upper]))
        choice = {
            "upper": upper,
            "lower": lower,
            "skin": SKIN[self.rng.integers(len(SKIN))],
            "hair": HAIR[self.rng.integers(len(HAIR))],
            "height": self.uniform(1.58, 1.88),
            "girth": self.uniform(0.92, 1.18),
            "hat": str(self.rng.choice(UPPER)) if self.chance(0.12) else None,
            "backpack": str(self.rng.choice(BAG)) if self.chance(0.12) else None,
        }
        return Style(**{**choice, **fixed})

    def along(self) -> list[tuple[float, float]]:
        """A way along the avenue: from the side far off, round the corner and towards the camera, or back."""
        view = self.view
        x, z = self.uniform(-0.7, 0.7) * view.half, view.far * self.uniform(1.3, 1.6)
        side = 1 if self.chance(0.5) else -1
        way = [(side * self.edge(z), z), (x, z - 1.0), (x * 0.7, 3.0)]
        return way if self.chance(0.5) else way[::-1]

    def enter(self, thing: Any, kind: str, role: str, verb: str, **facts: Any) -> None:
        self.cast[thing.entity] = Cast(thing, kind, role, verb, facts)

    @property
    def next_id(self) -> int:
        """The id of the next entity."""
        return len(self.cast) + 1

    def person(
        self,
        track: Track,
        role: str = "bystander",
        verb: str = "walks",
        style: Style | None = None,
        kind: str = "person",
    ) -> Person:
        """A person (or a `kind` of person) on a track."""
        style = style or self.style()
        person = Person(self.next_id, track, style, self.uniform(0, 6.28))
        self.enter(person, kind, role, verb, upper=style.upper, lower=style.lower)
        if style.backpack:
            self.cast[person.entity].facts["backpack"] = style.backpack
        return person

    def cyclist(self, track: Track, role: str = "bystander") -> Cyclist:
        """A rider on a bicycle."""
        style = self.style(backpack=None)
        rider = Cyclist(self.next_id, track, style, str(self.rng.choice(VEHICLE)))
        self.enter(rider, "cyclist", role, "rides a bicycle", upper=style.upper, lower=style.lower)
        return rider

    def vehicle(self, track: Track, role: str = "bystander", kind: str | None = None, verb: str = "drives") -> Vehicle:
        """A car, van or truck (or a named kind)."""
        kind = kind or str(self.rng.choice(["car", "car", "car", "van", "truck"]))
        vehicle = Vehicle(self.next_id, kind, str(self.rng.choice(VEHICLE)), track)
        self.enter(vehicle, kind, role, verb, colour=vehicle.colour)
        return vehicle

    def bag(self, role: str = "object", size: float = 1.0) -> Bag:
        """A bag that is nowhere yet (carry it, or set `place`)."""
        bag = Bag(self.next_id, str(self.rng.choice(BAG)), np.tile((0.0, 50.0, 0.0), (self.n, 1)), size)
        self.enter(bag, "bag", role, "is carried", colour=bag.colour)
        return bag

    def spot(self, thing_type: Any, kind: str, x: float, z: float, start: int, end: int, **options: Any) -> Any:
        """A fire or an explosion as an entity."""
        thing = thing_type(
            x, z, start, end, self.n, self.fps, entity=self.next_id, seed=int(self.rng.integers(1 << 30)), **options
        )
        self.enter(thing, kind, "object", {"fire": "burns", "explosion": "explodes"}[kind])
        return thing
