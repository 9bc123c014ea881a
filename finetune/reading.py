"""What an answer states, read by words: its verdict, categories, who is spoken of and how, directions, times.

A reading knows no scene; `finetune.facts` compares it with what is true. The grammar is small on purpose: mentions
(a noun with its colours) and motions in the order of the sentence, who acts being found by active and passive voice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from finetune.lexicon import (
    CALM,
    CATEGORY_CUES,
    CLOTHING_WORDS,
    COLOUR_OF,
    COVERS,
    DIRECTIONS,
    HELPERS,
    KIND_OF,
    MOTION,
    MOTIONS,
    MOTOR,
    NAMES,
    NEGATED,
    PART_OF,
    PASSIVE,
    PEOPLE,
    ROLE_WORDS,
    STRUCK,
    SUFFERED,
    SUPPOSED,
    TIME_POINT,
    TIME_SPAN,
    TRANSITIVE,
    WEAK_CUES,
    WHEN,
)
from workbench.answers import parse_judgement

Part = Literal["who", "whom", ""]
_WORD = re.compile(r"[a-z0-9'-]+|,")
_JOINED = re.compile(r"^\s*(?:,|and|, and)?\s*$")
_COORDINATED = re.compile(r"^[\w\s]*,?\s*(?:\band\b|\bthen\b|\blater\b|,(?! who| which| that))")


@dataclass(slots=True)
class Mention:
    """One naming of a person or thing: `colours` as (part, colour), what it is said to do, and where it goes.

    `part` is who where it acts on another, whom where it suffers; empty where the sentence leaves that open.
    """

    kind: str
    start: int
    end: int
    colours: list[tuple[str, str]] = field(default_factory=list)
    part: Part = ""
    motions: list[str] = field(default_factory=list)
    directions: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything an answer states.

    Attributes:
        verdict: whether it says that there is an anomaly; `None` if it does not say.
        categories: named outright, those covered by another one left out; `covered` are these.
        weak: categories suggested by a motion that may as well be ordinary.
        when: parts of the clip by name; `spans_s`: times in seconds, a point being a span of no length.
    """

    verdict: bool | None
    categories: frozenset[str]
    covered: frozenset[str]
    weak: frozenset[str]
    mentions: tuple[Mention, ...]
    when: frozenset[str]
    spans_s: tuple[tuple[float, float], ...]


def read(answer: str) -> Reading:
    """Read an answer; never fails, an answer of no sense states nothing."""
    text = " ".join(answer.lower().split())
    sentences = re.split(r"(?<=[.!?])\s+", text)
    parts = [_sure(part) for part in re.split(r"[.;:!?](?!\d)", text)]
    mentions = [mention for part in parts for mention in _mentions_of(part)]
    found: set[str] = set()
    covered: set[str] = set()
    for sentence in sentences:
        named = _categories(sentence)
        hidden = {name for cover in named for name in COVERS.get(cover, ())} & named
        found |= named - hidden
        covered |= hidden
    inner = {name for cover in found for name in COVERS.get(cover, ())} & found
    motions = {motion for mention in mentions for motion in mention.motions}
    motions |= {"drive" for mention in mentions if mention.kind in MOTOR and "move" in mention.motions}
    return Reading(
        verdict=verdict(text),
        categories=frozenset(found - inner),
        covered=frozenset(covered | inner),
        weak=frozenset(WEAK_CUES[motion] for motion in motions & WEAK_CUES.keys()),
        mentions=tuple(mentions),
        when=frozenset(name for name, pattern in WHEN if pattern.search(text)),
        spans_s=_times(text),
    )


def verdict(text: str) -> bool | None:
    """The first sentence that says normal or abnormal decides, however the others go on."""
    for sentence in re.split(r"(?<=[.!?])\s+", text):
        said = parse_judgement(sentence)
        if said is not None:
            return said
        if CALM.search(sentence.lower()):
            return False
    return None


def _times(text: str) -> tuple[tuple[float, float], ...]:
    spans = [(float(m[1]), float(m[2])) for m in TIME_SPAN.finditer(text)]
    rest = TIME_SPAN.sub(" ", text)
    return (*spans, *((float(m[1]), float(m[1])) for m in TIME_POINT.finditer(rest)))


def _sure(sentence: str) -> str:
    """A sentence without the clauses that only suppose something ("and could hit a pedestrian")."""
    clauses = re.split(r"(?<=[,;])|\b(?=and \w+ )", HELPERS.sub(" ", sentence))
    return "".join(clause for clause in clauses if not SUPPOSED.search(clause))


def _categories(sentence: str) -> set[str]:
    """Categories named in a sentence, leaving out what is denied or only supposed."""
    sure = NEGATED.sub(" ", _sure(sentence))
    found = {name for name, cue in CATEGORY_CUES.items() if cue.search(sure)}
    named = re.search(r"(?:anomal\w*|abnormal\w*|happens|category|event)[^:]{0,20}:\s*(.+)", sure)
    if named or len(sure.split()) <= 3:  # "an anomaly: running", or the bare name
        words = named[1] if named else sure
        found |= set(NAMES.findall(words))
    if STRUCK.search(sure):
        kinds = {KIND_OF[word] for word in re.findall(r"[a-z-]+", sentence) if word in KIND_OF}
        found.add("collision" if kinds & MOTOR else "assault")
    return found


# --- mentions --------------------------------------------------------------------------------------------------


def _mentions_of(part: str) -> list[Mention]:
    """The mentions of one part of a sentence, with their colours, motions and directions."""
    words = [(m[0], m.start(), m.end()) for m in _WORD.finditer(part)]
    mentions = []
    for at, (word, start, end) in enumerate(words):
        kind = KIND_OF.get(word)
        if kind is None or (kind == "fire" and HELPERS.match(part, start)):
            continue
        mention = Mention(kind, start, end, part=ROLE_WORDS.get(word, ""))  # type: ignore[arg-type]
        before = words[at - 1][0] if at else ""
        for piece in re.split(r"-", before):
            if piece in COLOUR_OF:
                mention.colours.append(("upper" if kind in PEOPLE else "colour", COLOUR_OF[piece]))
        if kind in PEOPLE:
            _read_clothes(mention, words, at)
        mentions.append(mention)
    _read_motions(part, mentions)
    for name, pattern in DIRECTIONS:
        for match in pattern.finditer(part):
            mover = next((m for m in reversed(mentions) if m.end <= match.start() and m.motions), None)
            owner = mover or (mentions[0] if mentions else None)
            if owner is not None:
                owner.directions.append(name)
    return mentions


def _read_clothes(mention: Mention, words: list[tuple[str, int, int]], at: int) -> None:
    """Colours of the garments that follow a person; a colour without a garment ("in red") is the upper one."""
    pending = ""
    for word, _, end in words[at + 1 :]:
        if word in COLOUR_OF:
            pending = COLOUR_OF[word]  # of "dark green" the green
        elif word in PART_OF:
            if pending:
                mention.colours.append((PART_OF[word], pending))
            pending = ""
        elif word not in CLOTHING_WORDS:
            if pending and word not in KIND_OF:
                mention.colours.append(("upper", pending))
            return
        elif pending and word not in ("light", "dark"):
            mention.colours.append(("upper", pending))
            pending = ""
        if word not in (",", "and", "a", "an", "is", "are"):
            mention.end = end
    if pending:
        mention.colours.append(("upper", pending))


def _read_motions(part: str, mentions: list[Mention]) -> None:
    """Give each motion to who does it, and to both sides their part in it."""
    groups = _groups(part, mentions)
    subject: list[Mention] = []
    for match in MOTION.finditer(part):
        motion = MOTIONS[int(str(match.lastgroup)[1:])][0]
        earlier = [g for g in groups if g[0].start < match.start()]
        later = [g for g in groups if g[0].start >= match.end()]
        nearest = earlier[-1] if earlier else []
        gap = part[nearest[-1].end : match.start()] if nearest else ""
        if not subject or not _COORDINATED.match(gap):
            subject = nearest
        passive = bool(PASSIVE.search(part[: match.start()])) and not match[0].endswith("ing")
        for mention in subject:
            mention.motions.append(motion)
        _assign_parts(part, motion, passive, subject, match.end(), later)


def _assign_parts(
    part: str, motion: str, passive: bool, subject: list[Mention], end: int, later: list[list[Mention]]
) -> None:
    if passive and motion in TRANSITIVE | {"put", "fall"}:
        _set(subject, "whom")
        for group in later[:2]:
            led_in = re.search(r"\b(by|from|at) (?:an? |the |another )?(?:\w+ )?$", part[: group[0].start])
            if led_in:
                _set(group, "who" if led_in[1] == "by" else "whom")
        return
    if motion in SUFFERED:
        _set(subject, "whom")
        return
    if motion not in TRANSITIVE | {"put"}:
        return
    _set(subject, "who")
    for group in later:
        between = part[end : group[0].start]
        if MOTION.search(between):
            return
        source = re.search(r"\b(?:from|against) (?:an? |the |another )?(?:\w+ )?$", between)
        if group[0].kind in PEOPLE | MOTOR and (source or motion != "put"):
            _set(group, "whom")


def _set(group: list[Mention], role: Part) -> None:
    for mention in group:
        if mention.kind in PEOPLE | MOTOR:
            mention.part = mention.part or role


def _groups(part: str, mentions: list[Mention]) -> list[list[Mention]]:
    """Mentions joined by "and" or a comma act together."""
    groups: list[list[Mention]] = []
    for mention in mentions:
        gap = (
            re.sub(
                r"\b(?:an?|the|another|\w*(?:red|orange|yellow|green|blue|purple|pink|brown|white|grey|black))\b",
                "",
                part[groups[-1][-1].end : mention.start],
            )
            if groups
            else "x"
        )
        if groups and _JOINED.match(gap) and not _begins_anew(part, groups[-1][0], mention):
            groups[-1].append(mention)
        else:
            groups.append([mention])
    return groups


def _begins_anew(part: str, before: Mention, mention: Mention) -> bool:
    """Whether the mention after an object and "and" has a verb of its own: "hugs a man and a car drives"."""
    verbs = list(MOTION.finditer(part[: before.start]))
    follows = MOTION.match(part, mention.end + len(part[mention.end :]) - len(part[mention.end :].lstrip()))
    return bool(verbs) and len(part[verbs[-1].end() : before.start].split()) <= 3 and follows is not None
