"""Which sentence of an answer rests on what: the moments and instances of the turn that this sentence speaks of.

`conversation.evidence_for` says what a whole answer may rest on. Here each sentence keeps the part of it that its own
words name: the event's category or that something is abnormal, a time of the clip that agrees with the event, a role
or a kind of thing that an instance has. A sentence that names nothing of it has no evidence, and is shown so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from workbench.answers import named_category, parse_judgement
from workbench.instances import kinds_in
from workbench.records import Analysis, Evidence, Instance, Turn

_SENTENCE = re.compile(r".+?(?:[.!?]+(?=\s|$)|\n|$)\s*", re.DOTALL)
_PARTS = (("beginning", 0.0, 0.4), ("start", 0.0, 0.4), ("middle", 0.25, 0.75), ("end", 0.6, 1.0))
_CLOCK = re.compile(r"\b(\d+):(\d{2})(?:\.(\d+))?\b|\b(\d+(?:\.\d+)?)\s*s(?:econds?)?\b")
_DENIES = re.compile(r"\W*(?:no|nothing|nobody|there (?:is|was) no)\b", re.IGNORECASE)
_CLOCK_SLACK_S = 0.5


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence with its trailing white space, and what it rests on (nothing: it names no evidence)."""

    text: str
    evidence: tuple[Evidence, ...] = ()


def sentences(text: str) -> list[str]:
    """The sentences of a text; joined they are the text again. A full stop inside a number ends none."""
    return _SENTENCE.findall(text)


def supported(turn: Turn, analysis: Analysis) -> list[Sentence]:
    """The sentences of an answer, each with the part of the turn's evidence that it speaks of."""
    return [Sentence(text, _evidence_of(text, turn, analysis)) for text in sentences(turn.answer)]


def _evidence_of(text: str, turn: Turn, analysis: Analysis) -> tuple[Evidence, ...]:
    said = kinds_in(text)
    words = set(re.findall(r"[a-z]+", text.lower()))
    numbers = {instance.id: instance for instance in analysis.instances}
    found: list[Evidence] = []
    for item in turn.evidence:
        if item.instance_id is None:
            if _speaks_of_span(text, item, analysis):
                found.append(item)
        elif (instance := numbers.get(item.instance_id)) and _speaks_of_instance(instance, words, said):
            found.append(item)
    return tuple(found)


def _speaks_of_instance(instance: Instance, words: set[str], kinds: set[str]) -> bool:
    return bool({instance.role, f"{instance.role}s"} & words) or instance.category in kinds


def _speaks_of_span(text: str, item: Evidence, analysis: Analysis) -> bool:
    if _DENIES.match(text):
        return False
    if parse_judgement(text) is True:
        return True
    categories = [e.category for e in analysis.events if e.category and _overlaps(e.start_s, e.end_s, item)]
    if named_category(text, categories):
        return True
    times = list(_times_in(text))
    if times:
        return any(item.start_s - _CLOCK_SLACK_S <= t <= item.end_s + _CLOCK_SLACK_S for t in times)
    length = analysis.clip.duration_s
    said = [(low, high) for word, low, high in _PARTS if re.search(rf"\b{word} of the (?:clip|video)", text.lower())]
    return length > 0 and any(_overlaps(low * length, high * length, item) for low, high in said)


def _overlaps(start_s: float, end_s: float, item: Evidence) -> bool:
    return start_s <= item.end_s and end_s >= item.start_s


def _times_in(text: str) -> list[float]:
    """Times that a text names, in seconds: `0:04`, `1:02.5`, `3.2 s`, `12 seconds`."""
    times = []
    for minutes, seconds, rest, plain in _CLOCK.findall(text):
        times.append(float(plain) if plain else 60 * int(minutes) + float(f"{seconds}.{rest or 0}"))
    return times
