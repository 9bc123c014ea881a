"""Reading what a language model said: does it affirm an anomaly, and which category does it name?"""

from __future__ import annotations

import re
from collections.abc import Iterable

_NEGATION = r"\b(?:no|not|none|nothing|without|free of|\w+n't)\b"
_ODD = r"(?:anomal|abnormal|unusual|suspicious)"
_DENIED = (
    r"(?::? none\b|:? no$| (?:is|are|was|were|has been|have been)(?: not|n't| absent)\b"
    r"| (?:does|do|did)(?: not|n't) (?:exist|occur|happen|take place))"
)
# In order; the first that matches decides.
_JUDGEMENTS: tuple[tuple[re.Pattern[str], bool], ...] = (
    (re.compile(r"^yes\b"), True),
    (re.compile(r"^no\b"), False),
    (re.compile(r"(?:\bnot|n't)(?: an?| at all| entirely| quite)? normal\b"), True),
    (re.compile(rf"{_NEGATION}(?:(?!{_ODD}).){{0,40}}{_ODD}"), False),
    (re.compile(rf"{_ODD}\w*(?: events?| behaviou?r)?{_DENIED}"), False),
    (re.compile(_ODD), True),
    (re.compile(r"\bnormal\b"), False),
)


def parse_judgement(answer: str) -> bool | None:
    """Whether the first sentence of an answer says that there is an anomaly; `None` when it says neither.

    Reads a leading yes/no, and sentences as HIVAU-70k writes them ("No anomaly exists.", "The anomaly exists, …").
    """
    first = re.split(r"[.!?\n;]", answer.strip().lower().lstrip("*\"'([ "), maxsplit=1)[0]
    return next((verdict for pattern, verdict in _JUDGEMENTS if pattern.search(first)), None)


def named_category(answer: str, categories: Iterable[str]) -> str | None:
    """The category an answer names first (the longest of those starting there), as whole words, case ignored.

    A regular ending is allowed, so that a class folder `fight` is found in "two men fighting".
    """
    text = " ".join(re.findall(r"\w+", answer.lower()))
    found: list[tuple[int, int, str]] = []
    for category in categories:
        words = " ".join(re.findall(r"\w+", category.lower()))
        match = re.search(rf"\b{re.escape(words)}(?:e?s|ing|ed)?\b", text) if words else None
        if match:
            found.append((match.start(), -len(words), category))
    return min(found)[2] if found else None
