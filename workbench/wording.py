"""Measured words: a small language model chooses its sentences, but what can be measured comes from the measurement.

It writes token by token as always. Where its next token is a word for a colour, it may only choose among the colours
of the things that were seen (`workbench.sighting`), by its own preference and by how far each sighting is trusted;
trousers among those that go with the jacket it has just named. Somebody who was seen to move walks, and goes the way
that was measured; somebody who stayed in place stands, sits or talks. Where it says when an event happens, the word is
that of the event's own beginning. A backpack, too small to be measured, is not spoken of; of a clip without events
nobody is told of whose sighting is not to be trusted. So it can still confuse two people, but no longer speak of one
who is not there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence

from torch import Tensor

from workbench.colours import COLOUR_WORDS, GARMENTS, Part
from workbench.records import Analysis
from workbench.sighting import PERSON_TALL, RIDER_TALL, Sighting
from workbench.stack.backbone import Backbone

WHEN = ("beginning", "middle", "end")
LATER = (1 / 3, 0.6)
"""Shares of a clip at which its middle and its end begin."""
TAIL_TOKENS = 12
STILL, WALKING = ("stands", "sits", "talks"), ("walks",)
SPECIAL = ("bends", "puts", "hugs", "shakes")
"""What a model likes to tell of a quiet clip, and says of whom it has not seen do it."""
FLOOR = 0.02
"""Added to the trust in a sighting, so that a sure model can still choose one that is hardly trusted."""
COOL = 0.1
"""The same for its heat, which counts where there is an event."""
SURE = 0.15
"""Steadiness from which motions are corrected; the way of a mask that jumps about says nothing."""
_NOUNS = "|".join(map(re.escape, GARMENTS["upper"]))
_LOWER = re.compile(rf"(?:{_NOUNS}) and$")
_JACKET = re.compile(rf"(?:{_NOUNS})$")
_AGAIN = re.compile(r"\bthe (?:person|cyclist|man|woman) in$")
_UPPER = re.compile(r"\bin(?: an?)?$")
_WORN = re.compile(rf"\bin(?: an?)? ({'|'.join(COLOUR_WORDS)})\b")
_WHEN = re.compile(r"\b(?:at|in) the$")
_DRESSED = re.compile(rf"\b(?:{'|'.join(map(re.escape, GARMENTS['lower']))})$")
_GOING = re.compile(r"\b(?:walks|walks a dog|jogs|moves|drives|rides a bicycle)$")
_RUNNING = re.compile(r"\b(?:runs|running fast)$")
_FROM = re.compile(r"\b(?:walks|walks a dog|jogs|moves|drives|rides a bicycle|runs|running fast|flees|escapes) from$")


def when_of(analysis: Analysis, span_s: tuple[float, float] | None) -> str | None:
    """The part of the clip in which the strongest event begins: one of `WHEN`, None without an event."""
    if not analysis.events or span_s is not None or analysis.clip.duration_s <= 0:
        return None
    event = max(analysis.events, key=lambda e: e.peak_score)
    share = event.start_s / analysis.clip.duration_s
    return WHEN[sum(share >= border for border in LATER)]


class MeasuredWords:
    """Chooses the next token of an answer; one for a dialogue, since later turns speak of the same people.

    Args:
        look: gives the sightings; called once, when the first colour is about to be named.
        when: one of `WHEN`, None to leave times as they are.
        calm: whether the clip has no event, so that all there is to tell is who is there.
    """

    def __init__(
        self,
        backbone: Backbone,
        look: Callable[[], Sequence[Sighting]],
        when: str | None,
        *,
        calm: bool = False,
    ) -> None:
        self._backbone, self._look, self._when, self._calm = backbone, look, when, calm
        self._colours = _single_tokens(backbone, COLOUR_WORDS)
        self._whens = _single_tokens(backbone, WHEN)
        self._motions = _single_tokens(backbone, (*STILL, *WALKING, *(SPECIAL if calm else ())))
        self._headings = _single_tokens(backbone, ("from", "towards", "away", "left", "right"))
        self._joints = _single_tokens(backbone, ("with", "and"))
        self._stop, self._ends = backbone.text_ids(".")[0], {backbone.text_ids(mark)[0] for mark in ".;"}
        known = self._colours | self._whens | self._motions | self._headings | self._joints
        self._named_by = {token: word for word, token in known.items()}
        self._sightings: list[Sighting] | None = None
        self._mentioned: list[str] = []  # in the whole dialogue; `_told`: in this answer
        self._told: list[str] = []
        self._forget_sentence()

    def remember(self, answers: Iterable[str]) -> None:
        """Of whom the dialogue has spoken so far: people by what they wear, as its answers name it."""
        self._mentioned = [word for answer in answers for word in _WORN.findall(answer.lower())]

    def __call__(self, logits: Tensor, ids: Sequence[int]) -> int:
        """The token to write: logits `[V]` after the tokens of this answer so far."""
        if not ids:
            self._told = []
        if not ids or ids[-1] in self._ends:
            self._forget_sentence()
        token = int(logits.argmax())
        word = self._named_by.get(token)
        if word is None:
            return token
        tail = self._backbone.decode(list(ids[-TAIL_TOKENS:])).lower()
        if word in WHEN:
            return self._whens.get(self._when, token) if self._when and _WHEN.search(tail) else token
        if word in self._motions:
            return self._motion(logits, token, tail)
        if word in self._headings:
            return self._heading(token, word, tail)
        if word in self._joints:
            return self._joint(logits, ids, token, word, tail)
        return self._colour(logits, token, tail)

    def _forget_sentence(self) -> None:
        self._meant: Sighting | None = None
        self._upper: str | None = None

    def _colour(self, logits: Tensor, token: int, tail: str) -> int:
        if self._sightings is None:
            self._sightings = list(self._look())
        tall = RIDER_TALL if "cyclist" in tail else PERSON_TALL
        people = [s for s in self._sightings if s.tall >= tall]
        if _LOWER.search(tail):
            worn = [s for s in people if s.measured.colours.get("upper") == self._upper]
            return self._best(logits, worn, "lower", token)
        if _UPPER.search(tail):
            chosen = self._best(logits, self._spoken_of(people, again=bool(_AGAIN.search(tail))), "upper", token)
            self._upper = self._named_by[chosen]
            self._told.append(self._upper)
            self._mentioned.append(self._upper)
            return chosen
        return self._best(logits, [s for s in self._sightings if s.tall < PERSON_TALL], "whole", token)

    def _spoken_of(self, people: Sequence[Sighting], *, again: bool) -> Sequence[Sighting]:
        """Of whom the next naming of a person can be."""
        if again:
            return [s for s in people if s.measured.colours.get("upper") in self._mentioned] or people
        fresh = [s for s in people if s.measured.colours.get("upper") not in self._told]
        if self._calm:  # what walkers do is sure; of who stays in place little can be told
            sure = [s for s in fresh if s.steady >= SURE]
            known = [s for s in fresh if s.measured.colours.get("upper") in self._mentioned]
            fresh = [s for s in sure if s.measured.way] or sure or known or fresh
        return fresh or people

    def _best(self, logits: Tensor, among: Sequence[Sighting], part: Part, otherwise: int) -> int:
        """The likeliest colour of some sightings, each weighed with the trust in it; `otherwise` if none has one."""
        weight: dict[int, float] = {}
        for sighting in among:
            token = self._colours.get(sighting.measured.colours.get(part, ""))
            if token is not None:
                weight[token] = weight.get(token, 0.0) + self._weight(sighting)
        if not weight:
            self._meant = None
            return otherwise
        chosen = max(weight, key=lambda t: float(logits[t]) + math.log(weight[t]))
        word = self._named_by[chosen]
        self._meant = max((s for s in among if s.measured.colours.get(part) == word), key=lambda s: s.trust)
        return chosen

    def _weight(self, sighting: Sighting) -> float:
        """How much speaks for a sighting: who is seen well, and in an event who stands where it is abnormal."""
        return (FLOOR + sighting.trust) * (1.0 if self._calm else COOL + sighting.heat)

    @property
    def _sure(self) -> Sighting | None:
        """The sighting that was last spoken of in this sentence, if its way can be trusted."""
        return self._meant if self._meant is not None and self._meant.steady >= SURE else None

    def _motion(self, logits: Tensor, token: int, tail: str) -> int:
        if self._sure is None or not _DRESSED.search(tail):
            return token
        if self._sure.measured.way is None and not self._sure.settled:
            return token
        fitting = WALKING if self._sure.measured.way else STILL
        tokens = (self._motions[word] for word in fitting if word in self._motions)
        return max(tokens, key=lambda t: float(logits[t]), default=token)

    def _heading(self, token: int, word: str, tail: str) -> int:
        """The measured way in place of the model's; who runs away from something, or towards it, goes no such way."""
        if self._sure is None or self._sure.measured.way is None:
            return token
        first, second = self._sure.measured.way.split()[:2]
        if word in ("left", "right"):
            return self._headings.get(second, token) if first == "from" and _FROM.search(tail) else token
        if (word != "away" and _GOING.search(tail)) or (word == "from" and _RUNNING.search(tail)):
            return self._headings.get(first, token)
        return token

    def _joint(self, logits: Tensor, ids: Sequence[int], token: int, word: str, tail: str) -> int:
        """No backpack; and in a calm clip, after somebody, an end where nobody else can be told of."""
        if word == "with":
            others = logits.clone()
            others[token] = -math.inf
            return self(others, ids) if _DRESSED.search(tail) else token
        if not self._calm or self._meant is None or _JACKET.search(tail):
            return token
        people = [s for s in self._sightings or () if s.tall >= PERSON_TALL and "upper" in s.measured.colours]
        left = [s for s in people if s.measured.colours["upper"] not in self._told]
        return token if any(s.steady >= SURE for s in left) else self._stop


def _single_tokens(backbone: Backbone, words: Sequence[str]) -> dict[str, int]:
    """Words that are one token after a space."""
    pieces = {word: backbone.text_ids(f" {word}") for word in words}
    return {word: ids[0] for word, ids in pieces.items() if len(ids) == 1}
