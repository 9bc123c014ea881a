"""Measured words: a small language model chooses its sentences, but colours and times come from what was measured.

It writes token by token as always. Where its next token is a word for a colour, it may only choose among the colours
of the things that were seen (`workbench.sighting`), trousers among those that go with the jacket it has just named;
where it says when an event happens, the word is that of the event's own beginning. So it can still confuse two people,
but no longer speak of one who is not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from torch import Tensor

from workbench.colours import COLOUR_WORDS, GARMENTS
from workbench.records import Analysis
from workbench.sighting import PERSON_TALL, RIDER_TALL, Sighting
from workbench.stack.backbone import Backbone

WHEN = ("beginning", "middle", "end")
LATER = (1 / 3, 0.6)
"""Shares of a clip at which its middle and its end begin."""
TAIL_TOKENS = 12
_LOWER = re.compile(rf"(?:{'|'.join(map(re.escape, GARMENTS['upper']))}) and$")
_AGAIN = re.compile(r"\bthe (?:person|cyclist|man|woman) in$")
_UPPER = re.compile(r"\bin(?: an?)?$")
_WHEN = re.compile(r"\b(?:at|in) the$")


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
    """

    def __init__(self, backbone: Backbone, look: Callable[[], Sequence[Sighting]], when: str | None) -> None:
        self._backbone, self._look, self._when = backbone, look, when
        self._colours = _single_tokens(backbone, COLOUR_WORDS)
        self._whens = _single_tokens(backbone, WHEN)
        self._named_by = {token: word for word, token in (self._colours | self._whens).items()}
        self._sightings: list[Sighting] | None = None
        self._upper: str | None = None
        self._mentioned: list[str] = []

    def __call__(self, logits: Tensor, ids: Sequence[int]) -> int:
        """The token to write: logits `[V]` after the tokens of this answer so far."""
        token = int(logits.argmax())
        word = self._named_by.get(token)
        if word is None:
            return token
        tail = self._backbone.decode(list(ids[-TAIL_TOKENS:])).lower()
        if word in WHEN:
            return self._whens.get(self._when, token) if self._when and _WHEN.search(tail) else token
        return self._colour(logits, token, tail)

    def _colour(self, logits: Tensor, token: int, tail: str) -> int:
        if self._sightings is None:
            self._sightings = list(self._look())
        tall = RIDER_TALL if "cyclist" in tail else PERSON_TALL
        people = [s.measured.colours for s in self._sightings if s.tall >= tall]
        if _LOWER.search(tail):
            fitting = [c["lower"] for c in people if "lower" in c and c.get("upper") == self._upper]
            return self._best(logits, fitting, token)
        if _UPPER.search(tail):
            uppers = [c["upper"] for c in people if "upper" in c]
            again = bool(_AGAIN.search(tail)) and bool(self._mentioned)
            fresh = [u for u in uppers if u not in self._mentioned]
            chosen = self._best(logits, self._mentioned if again else fresh or uppers, token)
            self._upper = self._named_by[chosen]
            if self._upper not in self._mentioned:
                self._mentioned.append(self._upper)
            return chosen
        wide = [s.measured.colours for s in self._sightings if s.tall < PERSON_TALL]
        return self._best(logits, [c["whole"] for c in wide if "whole" in c], token)

    def _best(self, logits: Tensor, words: Sequence[str], otherwise: int) -> int:
        """The likeliest of some words; `otherwise` where none of them is a token."""
        tokens = [self._colours[word] for word in words if word in self._colours]
        return max(tokens, key=lambda t: float(logits[t])) if tokens else otherwise


def _single_tokens(backbone: Backbone, words: Sequence[str]) -> dict[str, int]:
    """Words that are one token after a space."""
    pieces = {word: backbone.text_ids(f" {word}") for word in words}
    return {word: ids[0] for word, ids in pieces.items() if len(ids) == 1}
