"""Reading what a language model said: does it affirm an anomaly, and which category does it name?"""

from __future__ import annotations

import re
from collections.abc import Iterable

_ODD = r"(?:anomal|abnormal|unusual|suspicious)"
_NEGATION = (
    r"\b(?:no(?! one\b| doubt\b)|none|nothing|neither|without|free of"
    # "An anomaly cannot be denied" grants one.
    r"|(?:cannot|not|\w+n't)(?! (?:be )?(?:den|rul|exclud|overlook|ignor)))\b"
)
# Where what a negation denies has ended: "nobody helps him, which is unusual".
_ENDS = r":|\bwhich\b|\bbut\b"
# Words that turn "never": something never seen before, never so unusual.
_NEVER_ENDS = r"\b(?:before|so|such|more)\b"
# "Nobody notices the anomaly" speaks of one that is there.
_NOBODY_ENDS = rf"\b(?:the|this|that) (?:\w+ )?{_ODD}"


def _denies(negation: str, ends: str) -> re.Pattern[str]:
    """A negation and, before what it denies has ended and within 40 characters, an anomaly."""
    return re.compile(rf"{negation}(?:(?!{_ODD}|{ends}).){{0,40}}{_ODD}")


_DENIED = (
    r"(?::? none\b|:? no$| (?:is|are|was|were|has been|have been)(?: not|n't| absent)\b"
    r"| (?:does|do|did)(?: not|n't) (?:exist|occur|happen|take place)"
    r"| (?:cannot|can't|could not|couldn't) be (?:seen|found|observed|detected|identified)"
    r"| never (?:exist|occur|happen|take)s?\b)"
)
# In order; the first that matches decides.
_JUDGEMENTS: tuple[tuple[re.Pattern[str], bool | None], ...] = (
    (re.compile(r"^yes\b"), True),
    (re.compile(rf"^no\b(?! doubt\b| one\b.*{_ODD})"), False),
    (re.compile(r"(?:\b(?:not|cannot|never)|n't)(?: be)?(?: an?| at all| entirely| quite)? normal\b"), True),
    (re.compile(r"(?:\b(?:not|cannot)|n't)(?: \w+){1,3} (?:if|whether)\b"), None),  # cannot tell whether
    (_denies(_NEGATION, _ENDS), False),
    (_denies(r"\bnever\b", f"{_ENDS}|{_NEVER_ENDS}"), False),
    (_denies(r"\b(?:nobody|no one)\b", f"{_ENDS}|{_NOBODY_ENDS}"), False),
    (re.compile(rf"{_ODD}\w*(?: events?| behaviou?r)?{_DENIED}"), False),
    (re.compile(_ODD), True),
    (re.compile(r"\bnormal\b"), False),
)


def parse_judgement(answer: str) -> bool | None:
    """Whether the first sentence of an answer says that there is an anomaly; `None` when it says neither.

    Reads a leading yes/no, and sentences as HIVAU-70k writes them ("No anomaly exists.", "The anomaly exists, …").
    """
    plain = answer.strip().lower().replace("\u2019", "'").lstrip("*\"'([ ")
    first = re.split(r"[.!?\n;]", plain, maxsplit=1)[0]
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
