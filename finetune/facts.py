"""Facts, not only n-grams: what an answer states of a drawn scene, which of it is true, and what is missing.

Each answer is asked for the facts its question is about:

| answer      | facts |
|---|---|
| judgement   | anomaly; of an abnormal scene every category |
| description | of each event category, who, whom, colours, motion, direction (where the event is a movement), when; |
|             | of a normal scene somebody, with a colour and a motion |
| analysis    | anomaly, category |
| instance    | who (kind and role), colours, motion, direction |

A fact that was asked for and is not stated rightly is missing; a stated fact is right or wrong whether it was asked
for or not. Precision is right / (right + wrong), recall is found / asked for. Who did it and who suffered it are told
apart by their colours: a victim described as the perpetrator has wrong colours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np

from finetune.lexicon import LIKE, MOTOR, OF_CATEGORY, PEOPLE, SAME_COLOUR
from finetune.reading import Mention, Reading, read
from finetune.scenes.truth import EntityTruth, EventTruth, SceneTruth
from workbench.instances import Caption

FactKind = Literal["anomaly", "category", "who", "whom", "colour", "motion", "direction", "when"]
KINDS: tuple[FactKind, ...] = get_args(FactKind)
AnswerKind = Literal["judgement", "description", "analysis"]
MOVEMENTS = frozenset({"running", "cycling", "driving", "robbery"})
"""Events whose direction belongs to their description."""
MAX_EVENTS = 2
"""A description is asked for the first events only, as the ground truth's own is."""
TIME_TOLERANCE_S = 1.0
TIME_TOLERANCE = 0.05
"""Of a clip's length; the larger tolerance counts for seconds, this one alone for "beginning", "middle" and "end"."""
THIRDS = {"beginning": (0.0, 1 / 3), "middle": (1 / 3, 0.6), "end": (0.6, 1.0)}
"""Where an event begins, as shares of the clip."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact of one answer: `value` in words, for a person who looks into errors."""

    kind: FactKind
    value: str
    state: Literal["right", "wrong", "missing"]


@dataclass(frozen=True, slots=True)
class FactCheck:
    """The facts of one or more answers; `found` and `asked` count the facts asked for, by kind."""

    facts: tuple[Fact, ...] = ()
    asked: tuple[FactKind, ...] = ()

    def __add__(self, other: FactCheck) -> FactCheck:
        return FactCheck(self.facts + other.facts, self.asked + other.asked)

    def table(self) -> np.ndarray:
        """int64 `[kinds, 4]` in the order of `KINDS`: right, wrong, found, asked for."""
        table = np.zeros((len(KINDS), 4), np.int64)
        for kind in self.asked:
            table[KINDS.index(kind), 2:] += 1
        for fact in self.facts:
            row = table[KINDS.index(fact.kind)]
            if fact.state == "missing":
                row[2] -= 1
            else:
                row[0 if fact.state == "right" else 1] += 1
        return table


def precision_of(table: np.ndarray) -> float:
    """Right / stated, of a table `[…, 4]` summed over all but the last axis; NaN where nothing is stated."""
    right, wrong = np.reshape(table, (-1, 4))[:, :2].sum(0)
    return float(right / (right + wrong)) if right + wrong else float("nan")


def recall_of(table: np.ndarray) -> float:
    """Found / asked for, of a table `[…, 4]` summed over all but the last axis; NaN where nothing was asked for."""
    found, asked = np.reshape(table, (-1, 4))[:, 2:].sum(0)
    return float(found / asked) if asked else float("nan")


class _Check:
    """Collects the facts of one answer; the same fact said twice counts once."""

    def __init__(self) -> None:
        self._facts: dict[tuple[FactKind, str], bool] = {}
        self._asked: list[tuple[FactKind, str, bool]] = []

    def state(self, kind: FactKind, value: str, right: bool) -> None:
        self._facts.setdefault((kind, value), right)

    def ask(self, kind: FactKind, value: str, found: bool) -> None:
        self._asked.append((kind, value, found))

    def result(self) -> FactCheck:
        stated = [Fact(kind, value, "right" if right else "wrong") for (kind, value), right in self._facts.items()]
        missing = [Fact(kind, value, "missing") for kind, value, found in self._asked if not found]
        return FactCheck((*stated, *missing), tuple(kind for kind, _, _ in self._asked))


# --- the answers -----------------------------------------------------------------------------------------------


def check_answer(truth: SceneTruth, kind: AnswerKind, answer: str) -> FactCheck:
    """Compare one of the three answers about a whole video with what is true of its scene."""
    reading, check = read(answer), _Check()
    _check_verdict(check, reading, truth, asked=kind != "description")
    _check_categories(check, reading, truth, asked=bool(truth.events))
    if kind == "judgement":
        return check.result()
    described = _check_mentions(check, reading, truth)
    _check_when(check, reading, truth)
    if kind == "description":
        for event in truth.events[:MAX_EVENTS]:
            _ask_event(check, reading, truth, event, described)
        if not truth.events and any(entity.first_frame >= 0 for entity in truth.entities):
            _ask_somebody(check, described)
    return check.result()


def check_caption(truth: SceneTruth, entity_id: int, said: Caption) -> FactCheck:
    """Compare the caption of an instance with the entity it is of.

    Raises:
        DataError: the scene has no such entity.
    """
    entity, looks, check = truth.entity(entity_id), read(said.appearance), _Check()
    check.state("who", said.role, said.role == entity.role)
    check.ask("who", entity.role, said.role == entity.role)
    named = looks.mentions[0] if looks.mentions else None
    kind_right = named is not None and _same_kind(named.kind, entity.kind)
    if named is not None:
        check.state("who", named.kind, kind_right)
    check.ask("who", entity.kind, kind_right)
    colours = named.colours if named is not None else []
    for part, colour in colours:
        check.state("colour", f"{part} {colour}", _colour_right(entity, part, colour))
    _ask_colours(check, entity, colours)
    words = _motions_in(said.motion)
    allowed = _motions_of(truth, entity)
    for motion in sorted(words):
        check.state("motion", motion, _like(motion, allowed))
    check.ask("motion", entity.motion, any(_like(motion, allowed) for motion in words))
    headed, true = _directions_in(said.motion), _true_directions(truth, entity)
    for direction in sorted(headed):
        check.state("direction", direction, direction in true)
    if _directions_in(entity.motion):
        check.ask("direction", entity.facts["direction"], bool(headed & true))
    return check.result()


# --- verdict, category, time -----------------------------------------------------------------------------------


def _check_verdict(check: _Check, reading: Reading, truth: SceneTruth, *, asked: bool) -> None:
    if reading.verdict is not None:
        check.state("anomaly", "yes" if reading.verdict else "no", reading.verdict == bool(truth.label))
    if asked:
        check.ask("anomaly", "yes" if truth.label else "no", reading.verdict == bool(truth.label))


def _check_categories(check: _Check, reading: Reading, truth: SceneTruth, *, asked: bool) -> None:
    true = {event.category for event in truth.events}
    stated = set(reading.categories)
    if stated & true:  # the fall within a robbery counts where the scene has both, not in place of the robbery
        stated |= reading.covered & true
    if truth.events and not reading.categories - true:
        # An ordinary motion names the category where nothing else does, or where it is the second event.
        stated |= reading.weak if not stated else reading.weak & true
    for category in sorted(stated):
        check.state("category", category, category in true)
    if asked:
        for category in sorted(true):
            check.ask("category", category, category in stated)


def _check_when(check: _Check, reading: Reading, truth: SceneTruth) -> None:
    for name in sorted(reading.when):
        check.state("when", name, any(_begins_in(truth, event, name) for event in truth.events))
    for start_s, end_s in reading.spans_s:
        value = f"{start_s:g}-{end_s:g} s"
        check.state("when", value, any(_near(truth, event, start_s, end_s) for event in truth.events))


def _begins_in(truth: SceneTruth, event: EventTruth, name: str) -> bool:
    low, high = THIRDS[name]
    return low - TIME_TOLERANCE <= event.start_frame / truth.n_frames <= high + TIME_TOLERANCE


def _near(truth: SceneTruth, event: EventTruth, start_s: float, end_s: float) -> bool:
    """Whether a span overlaps the event and does not reach out of it by more than the tolerance."""
    slack = max(TIME_TOLERANCE_S, TIME_TOLERANCE * truth.n_frames / truth.fps)
    first, last = event.start_frame / truth.fps, event.end_frame / truth.fps
    return first - slack <= start_s and end_s <= last + slack and start_s <= last and end_s >= first - slack


# --- who did what to whom --------------------------------------------------------------------------------------

Described = Sequence[tuple[Mention, EntityTruth | None]]


def _check_mentions(check: _Check, reading: Reading, truth: SceneTruth) -> Described:
    """State what is said of everybody, each mention taken for the entity it fits best; returns the pairs."""
    pairs: list[tuple[Mention, EntityTruth | None]] = []
    for mention in reading.mentions:
        if mention.kind == "others":
            continue
        candidates = _candidates(truth, mention)
        taken = [entity for _, entity in pairs]
        entity = max(candidates, key=partial(_fit, truth, mention, taken), default=None)
        pairs.append((mention, entity))
        if mention.kind not in PEOPLE | MOTOR and entity is None:
            continue  # a bag or a fire that is spoken of and cannot be looked up is no claim about people
        kind: FactKind = "whom" if mention.part == "whom" and _has_perpetrator(truth) else "who"
        check.state(kind, f"{mention.part or 'some'} {mention.kind}", entity is not None)
        if entity is None:
            for part, colour in mention.colours:
                check.state("colour", f"{mention.kind}: {part} {colour}", False)
        else:
            _check_mention(check, truth, mention, entity)
    return pairs


def _check_mention(check: _Check, truth: SceneTruth, mention: Mention, entity: EntityTruth) -> None:
    owner = f"{entity.kind} {entity.id}"
    for part, colour in mention.colours:
        check.state("colour", f"{owner}: {part} {colour}", _colour_right(entity, part, colour))
    for motion in mention.motions:
        check.state("motion", f"{owner}: {motion}", _like(motion, _motions_of(truth, entity)))
    for direction in mention.directions:
        right = direction in _true_directions(truth, entity) or _fits_lead(truth, mention, direction)
        check.state("direction", f"{owner}: {direction}", right)


def _has_perpetrator(truth: SceneTruth) -> bool:
    return any(entity.role == "perpetrator" for entity in truth.entities)


def _candidates(truth: SceneTruth, mention: Mention) -> list[EntityTruth]:
    """Entities a mention may mean: of its kind, and in its part where the sentence tells it."""
    seen = [e for e in truth.entities if e.first_frame >= 0 and _same_kind(mention.kind, e.kind)]
    roles = {"who": "perpetrator", "whom": "victim"}
    if not mention.part or not any(e.role in roles.values() for e in truth.entities):
        return seen
    if mention.part == "who" and not _has_perpetrator(truth):
        return [e for e in seen if e.role == "victim"]
    return [e for e in seen if e.role == roles[mention.part]]


def _fit(
    truth: SceneTruth, mention: Mention, taken: Sequence[EntityTruth | None], entity: EntityTruth
) -> tuple[int, bool, int, bool]:
    """How well an entity fits a mention; of two that look alike, the one not yet spoken of."""
    agreeing = sum(_colour_right(entity, part, colour) for part, colour in mention.colours)
    moving = sum(_like(motion, _motions_of(truth, entity)) for motion in mention.motions)
    moving += sum(direction in _true_directions(truth, entity) for direction in mention.directions)
    return agreeing, entity.role != "bystander", moving, entity not in taken


def _ask_event(check: _Check, reading: Reading, truth: SceneTruth, event: EventTruth, described: Described) -> None:
    cast = [e for e in truth.entities if e.id in event.entity_ids]
    meant = [(mention, entity) for mention, entity in described if entity is not None and entity in cast]
    agents = [e for e in cast if e.role == "perpetrator"] or cast[:1]
    victims = [e for e in cast if e.role == "victim" and e not in agents]
    for kind, group in (("who", agents[:1]), ("whom", victims[:1])):
        for entity in group:
            check.ask(kind, entity.kind, any(e in (agents if kind == "who" else victims) for _, e in meant))  # type: ignore[arg-type]
    for entity in cast:
        _ask_colours(check, entity, [pair for mention, e in meant if e is entity for pair in mention.colours])
    allowed = OF_CATEGORY.get(event.category, frozenset())
    if allowed:
        done = {motion for mention, _ in meant for motion in mention.motions}
        by_words = event.category in reading.categories | reading.covered and event.category in ("explosion", "fire")
        check.ask("motion", event.category, bool(done & allowed) or by_words)
    direction = event.facts.get("direction")
    if event.category in MOVEMENTS and direction not in (None, "in place"):
        check.ask("direction", direction, direction in {d for mention, _ in described for d in mention.directions})
    named = any(_begins_in(truth, event, name) for name in reading.when)
    timed = any(_near(truth, event, start_s, end_s) for start_s, end_s in reading.spans_s)
    check.ask("when", str(event.facts.get("when", f"{event.start_frame / truth.fps:.1f} s")), named or timed)


def _ask_somebody(check: _Check, described: Described) -> None:
    """Of a normal scene: anybody or anything that is there, with one right colour and one right motion."""
    real = [(mention, entity) for mention, entity in described if entity is not None]
    check.ask("who", "anybody", bool(real))
    check.ask("colour", "anybody's", any(_colour_right(e, *pair) for m, e in real for pair in m.colours))
    check.ask("motion", "anybody's", any(_like(motion, _motions_in(e.motion)) for m, e in real for motion in m.motions))


def _ask_colours(check: _Check, entity: EntityTruth, stated: Sequence[tuple[str, str]]) -> None:
    right = {part for part, colour in stated if _colour_right(entity, part, colour)}
    for part in ("upper", "lower", "colour"):
        if part in entity.facts:
            check.ask("colour", f"{entity.kind} {entity.id}: {part} {entity.facts[part]}", part in right)


# --- single facts ----------------------------------------------------------------------------------------------


def _same_kind(said: str, true: str) -> bool:
    """A cyclist is a person, and a car a vehicle; not the other way round. How old somebody is cannot be seen well."""
    if said in ("person", "child") and true in ("person", "child"):
        return True
    return said == true or (said == "person" and true in PEOPLE) or (said == "vehicle" and true in MOTOR)


def _colour_right(entity: EntityTruth, part: str, colour: str) -> bool:
    true = entity.facts.get(part)
    return true is not None and (
        colour == true or colour in SAME_COLOUR.get(true, ()) or true in SAME_COLOUR.get(colour, ())
    )


def _like(motion: str, allowed: Iterable[str]) -> bool:
    return motion in allowed or bool(LIKE.get(motion, frozenset()) & set(allowed))


def _motions_in(text: str) -> frozenset[str]:
    """Motions told in a phrase without a subject, such as "snatches a bag and runs away"."""
    return frozenset(motion for mention in read(f"a person {text}").mentions for motion in mention.motions)


def _directions_in(text: str) -> set[str]:
    return {direction for mention in read(f"a person {text}").mentions for direction in mention.directions}


def _motions_of(truth: SceneTruth, entity: EntityTruth) -> frozenset[str]:
    """What an entity does: by its own text, by the events it is in, and before and after them."""
    own = _motions_in(entity.motion)
    for event in truth.events:
        if entity.id in event.entity_ids:
            own |= OF_CATEGORY.get(event.category, frozenset())
            own |= {"walk", "stand"} if entity.kind in PEOPLE and event.category != "running" else frozenset()
    return own | ({"move"} if entity.facts.get("direction") not in (None, "in place") else frozenset())


def _true_directions(truth: SceneTruth, entity: EntityTruth) -> set[str]:
    """Over all the time an entity is seen, and in its events."""
    events = [event.facts.get("direction") for event in truth.events if entity.id in event.entity_ids]
    return {str(d) for d in (entity.facts.get("direction"), *events) if d not in (None, "in place")}


def _fits_lead(truth: SceneTruth, mention: Mention, direction: str) -> bool:
    """Whether a direction told of a victim or an object is that of the event ("is robbed; the thief flees to …")."""
    return mention.part != "" and any(event.facts.get("direction") == direction for event in truth.events)
