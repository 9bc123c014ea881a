"""Plain English made from the facts of a scene. Every sentence follows from the truth; only the wording is random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .beyond import BEYOND_ANALYSES, BEYOND_DESCRIPTIONS, BEYOND_NORMAL_ANALYSES
from .phrases import ANALYSES, DESCRIPTIONS, NORMAL_ANALYSES, NORMAL_JUDGEMENTS, NORMAL_SENTENCES, YES
from .questions import QUESTIONS
from .rich import LIVELY_ANALYSES, RICH_ANALYSES, RICH_DESCRIPTIONS
from .truth import QA, ClipCaption, EntityTruth, EventTruth, SceneTruth, VideoText
from .views import PLACE

PERSONS = ("person", "cyclist", "child", "skater")
"""Kinds that wear clothes and are counted as people."""
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
Activity = Callable[[int, int, int], "str | None"]
WHERE = {
    "left": "in the left part of the picture",
    "centre": "in the centre of the picture",
    "right": "in the right part of the picture",
}
WHEN = {
    "beginning": "at the beginning of the clip",
    "middle": "in the middle of the clip",
    "end": "at the end of the clip",
}
OUTDOOR = {
    "street": "A street with a sidewalk, outdoors.",
    "plaza": "A plaza, outdoors.",
    "avenue": "A walkway between lawns, outdoors.",
    "parking": "A parking lot, outdoors.",
    "shop": "A shop hall, indoors.",
    "platform": "An underground platform, indoors.",
    "walkway": "A walkway seen from a mast, outdoors.",
    "dashcam": "A road seen from a driving car, outdoors.",
    "panorama": "A square seen all round, outdoors.",
}


def pick(rng: np.random.Generator, options: tuple[str, ...] | list[str]) -> str:
    """One of the options."""
    return str(options[int(rng.integers(len(options)))])


def capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def article(phrase: str) -> str:
    """The phrase with "a" or "an"."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def appearance(kind: str, facts: dict[str, Any]) -> str:
    """How an entity looks, as "a person in a red jacket and black trousers" or "a blue car"."""
    if kind in PERSONS:
        text = f"a {kind} in {article(facts['upper'])} jacket and {facts['lower']} trousers"
        return text + (f" with {article(facts['backpack'])} backpack" if "backpack" in facts else "")
    if "colour" in facts:
        return article(f"{facts['colour']} {kind}")
    return article(kind)


def short_name(entity: EntityTruth) -> str:
    """A second mention: "the person in red"."""
    if entity.kind in PERSONS:
        return f"the {entity.kind} in {entity.facts['upper']}"
    if "colour" in entity.facts:
        return f"the {entity.facts['colour']} {entity.kind}"
    return f"the {entity.kind}"


def listing(parts: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def with_from(direction: str) -> str:
    """ "from left to right", "towards the camera"."""
    return f"from {direction}" if " to " in direction else direction


def calm(entity: EntityTruth) -> bool:
    """Whether an entity does the same all the time, so that its motion text fits any part of the clip."""
    return entity.role == "bystander" and not entity.facts.get("reacts")


def instance_answer(entity: EntityTruth) -> str:
    """The caption of one instance: role, appearance, motion."""
    return f"Role: {entity.role}. Appearance: {entity.appearance}. Motion: {entity.motion}."


class Writer:
    """Writes all texts of a scene; `truth` has facts and events already, its texts are filled in."""

    def __init__(self, truth: SceneTruth, variants: list[str], rng: np.random.Generator, activity: Activity) -> None:
        self.truth, self.variants, self.rng, self.activity = truth, variants, rng, activity

    def fill(self) -> None:
        """Events, clips, video, dialogue."""
        truth = self.truth
        for event, variant in zip(truth.events, self.variants, strict=True):
            self._event(event, variant)
        truth.video = self._video()
        truth.clips = self._clips()
        truth.dialogue = self._dialogue()

    def _words(self, event: EventTruth) -> dict[str, str]:
        cast = [self.truth.entity(i) for i in event.entity_ids]
        by_role = {r: [e for e in cast if e.role == r] for r in ("perpetrator", "victim", "object")}
        words = {
            "place": PLACE[self.truth.view],
            "where": WHERE[event.facts["position"]],
            "when": WHEN[event.facts["when"]],
        }
        for key, role in (("who", "perpetrator"), ("whom", "victim"), ("object", "object")):
            if by_role[role]:
                words[key] = listing([e.appearance for e in by_role[role]])
                words[f"{key}_short"] = listing([short_name(e) for e in by_role[role]])
        if words.get("who_short") == words.get("whom_short"):
            words["who_short"], words["whom_short"] = "the perpetrator", "the victim"
        direction = event.facts["direction"]
        words["direction"] = "" if direction in (None, "in place") else " " + with_from(direction)
        return words

    def _event(self, event: EventTruth, variant: str) -> None:
        words = self._words(event)
        descriptions, analyses = (
            DESCRIPTIONS | BEYOND_DESCRIPTIONS | RICH_DESCRIPTIONS,
            ANALYSES | BEYOND_ANALYSES | RICH_ANALYSES,
        )
        key = f"{event.category}/{variant}" if f"{event.category}/{variant}" in descriptions else event.category
        event.judgement = pick(self.rng, YES).format(category=event.category)
        body = capital(pick(self.rng, descriptions[key]).format(**words))
        tail = pick(
            self.rng,
            ("It happens {where}, {when}.", "This takes place {where} {when}.", "The event is {where}, {when}."),
        )
        event.description = f"{body} {tail.format(**words)}"
        flight = [e for e in self.truth.entities if e.facts.get("reacts") and e.last_frame > event.start_frame]
        if flight and event.category in flight[0].motion:
            event.description += f" {capital(flight[0].appearance)} {flight[0].motion}."
        event.analysis = capital(pick(self.rng, analyses.get(key, analyses.get(event.category, ()))).format(**words))

    def _people(self) -> int:
        return sum(e.kind in PERSONS and e.first_frame >= 0 for e in self.truth.entities)

    def _count(self) -> str:
        n = self._people()
        return f"{NUMBERS[n] if n < len(NUMBERS) else n} {'person' if n == 1 else 'people'}"

    def _normal(self, first: int = 0, last: int | None = None) -> str:
        """A sentence or two on the normal life in frames first…last."""
        last = self.truth.n_frames if last is None else last
        seen = [e for e in self.truth.entities if e.first_frame >= 0 and e.first_frame < last and e.last_frame >= first]
        place = PLACE[self.truth.view]
        nobody = (f"Nobody is to be seen {place}.", f"Nothing moves {place}.")
        if not seen:
            return pick(self.rng, nobody)
        self.rng.shuffle(seen)
        seen.sort(key=lambda e: e.motion.startswith("walks "))
        motions = {e.id: e.motion if calm(e) else self.activity(e.id, first, last) for e in seen}
        parts = [f"{e.appearance} {motions[e.id]}" for e in seen if motions[e.id]][:2]
        if not parts:
            return pick(self.rng, nobody)
        return capital(listing(parts)) + "."

    def _video(self) -> VideoText:
        truth, rng = self.truth, self.rng
        place = PLACE[truth.view]
        if not truth.events:
            judgement = pick(rng, NORMAL_JUDGEMENTS).format(place=place)
            description = f"{pick(rng, NORMAL_SENTENCES).format(place=place)} {self._normal()}"
            return VideoText(
                judgement,
                description,
                pick(rng, self._normal_analyses()).format(place=place),
            )
        names = listing(list(dict.fromkeys(e.category for e in truth.events)))
        judgement = pick(rng, YES).format(category=names)
        description = " ".join(e.description for e in truth.events[:2])
        return VideoText(judgement, description, " ".join(e.analysis for e in truth.events[:2]))

    def _normal_analyses(self) -> tuple[str, ...]:
        """Why a normal scene is normal; nobody is said to be calm where somebody runs."""
        if any(e.motion.startswith("runs ") for e in self.truth.entities):
            return BEYOND_NORMAL_ANALYSES.get(self.truth.view, LIVELY_ANALYSES)
        return BEYOND_NORMAL_ANALYSES.get(self.truth.view, NORMAL_ANALYSES)

    def _clips(self) -> list[ClipCaption]:
        """Captions of the event's part and of normal parts of 2 to 4 seconds."""
        truth, clips = self.truth, []
        for event in truth.events:
            words = event.description.split(". ")[0].rstrip(".") + "."
            clips.append(ClipCaption(event.start_frame, event.end_frame, words))
        step = int(truth.fps * self.rng.uniform(2, 4))
        for start in range(0, truth.n_frames - step // 2, step):
            end = min(start + step, truth.n_frames)
            if not truth.frame_label[start:end].any():
                clips.append(ClipCaption(start, end, self._normal(start, end)))
        return sorted(clips, key=lambda c: c.start_frame)

    def _ask(self, kind: str, answer: str, key: str | None = None, **words: str) -> QA:
        return QA(kind, pick(self.rng, QUESTIONS[key or kind]).format(**words), answer)

    def _dialogue(self) -> list[QA]:
        video = self.truth.video
        turns = [
            self._ask("judgement", video.judgement),
            self._ask("description", video.description),
            self._ask("analysis", video.analysis),
        ]
        free = self._abnormal_free() if self.truth.events else self._normal_free()
        order = self.rng.permutation(len(free))[: int(self.rng.integers(4, 9))]
        return turns + [free[i] for i in order]

    def _shared_free(self) -> list[QA]:
        truth = self.truth
        n = self._people()
        motor = [e for e in truth.entities if e.kind in ("car", "van", "truck", "bus") and e.first_frame >= 0]
        cars = [e for e in motor if not e.facts.get("parked")]
        car = "Yes, " + listing([e.appearance for e in cars[:2]]) + "." if cars else "No, there is no moving vehicle."
        people = f"{capital(self._count())} {'is' if n == 1 else 'are'} visible."
        return [
            self._ask("free", people, "count"),
            self._ask("free", car, "vehicle"),
            self._ask("free", OUTDOOR[truth.view], "place"),
        ]

    def _normal_free(self) -> list[QA]:
        nobody = "Nobody; nothing abnormal happens."
        return [
            *self._shared_free(),
            self._ask("free", nobody, "who"),
            self._ask("free", "No, nobody is hurt.", "victim"),
            self._ask("free", "Never; nothing abnormal happens.", "when"),
            self._ask("free", "Nowhere; nothing abnormal happens.", "where"),
            self._ask("free", "None; the video is normal.", "category"),
        ]

    def _abnormal_free(self) -> list[QA]:
        truth = self.truth
        event = truth.events[0]
        words = self._words(event)
        cast = [truth.entity(i) for i in event.entity_ids]
        if "who" in words:
            who = words["who"]
        elif "whom" in words:
            who = f"nobody causes it; {words['whom']} is involved"
        else:
            who = f"nobody is seen to cause it; {words['object']} can be seen"
        victims = f"Yes, {words['whom']}." if "whom" in words else "No, nobody is hurt."
        if any(e.role == "victim" and e.kind == "car" for e in cast):
            victims = f"Nobody is seen to be hurt, but {words['whom']} is hit."
        if event.category == "fighting":
            victims = "Both fighters may be hurt; there is no other victim."
        turns = [
            *self._shared_free(),
            self._ask("free", capital(who) + ".", "who"),
            self._ask("free", victims, "victim"),
            self._ask("free", capital(words["when"]) + ".", "when"),
            self._ask("free", capital(words["where"]) + ".", "where"),
            self._ask("free", capital(event.category) + ".", "category"),
        ]
        lead = cast[0]
        noun = {"perpetrator": "perpetrator", "victim": "victim"}.get(lead.role, lead.kind)
        if lead.kind in ("car", "van", "truck", "cyclist"):
            noun = lead.kind
        if event.facts["direction"] not in (None, "in place"):
            turns.append(self._ask("free", capital(with_from(event.facts["direction"])) + ".", "direction", noun=noun))
        for entity in cast:
            role = entity.role if sum(e.role == entity.role for e in cast) == 1 else None
            if entity.kind in PERSONS and role in ("perpetrator", "victim"):
                answer = f"{capital(article(entity.facts['upper']))} jacket and {entity.facts['lower']} trousers."
                turns.append(self._ask("free", answer, "clothes", noun=role))
            elif "colour" in entity.facts and sum(e.kind == entity.kind for e in truth.entities) == 1:
                turns.append(self._ask("free", capital(entity.facts["colour"]) + ".", "colour", noun=entity.kind))
        return turns
