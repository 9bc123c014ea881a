"""Dialogue about a clip in several turns: the video is read once, each turn adds only its own words.

The input of the language model is `[frames, anomaly prompts, dialogue]` (T-VAU eq. 14). Frames are the visual tokens
of the dense pass, anomaly prompts come from the Region-aware Anomaly Encoder; both enter the key-value cache at the
first turn and stay there.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from workbench.analysis import motion_leads
from workbench.answers import named_category, parse_judgement
from workbench.errors import ClipError, InputError
from workbench.features import Progress
from workbench.prompts import STANDARD_QUESTIONS, question_kind
from workbench.records import Analysis, Event, Evidence, Instance, Turn, TurnKind
from workbench.sighting import Sighting, look_around
from workbench.stack.generate import RunningText
from workbench.stack.loading import ModelStack
from workbench.stack.memory import enough_memory
from workbench.stack.sampler import sample_frames
from workbench.video import Clip
from workbench.wording import MeasuredWords, when_of

logger = logging.getLogger(__name__)
MAX_QUESTION_CHARS = 2000
MAX_TURNS = 40
MIN_SPAN_FRAMES = 3


class Conversation:
    """One dialogue about one analysed clip, or about a span of it; each turn sees the whole history.

    Args:
        stack: the models. analysis: of the clip, with its `features`.
        span_s: look only at this part of the clip (an event), with frames sampled there.

    Raises:
        InputError: the analysis was read from a file and has no features; or the span is empty.

    Not shared between threads, `look_ahead` excepted.
    """

    def __init__(self, stack: ModelStack, analysis: Analysis, *, span_s: tuple[float, float] | None = None) -> None:
        if analysis.features is None:
            raise InputError(
                "This analysis was read from a file and has no features; analyse the clip again to ask about it."
            )
        self.stack = stack
        self.analysis = analysis
        self.span_s = span_s
        self.turns: list[Turn] = []
        dense = analysis.dense
        if span_s is None:
            self._picked = np.searchsorted(dense.frame_index, analysis.sampled_frames)
        else:
            self._picked = _frames_of_span(analysis, span_s, stack.profile.n_frames)
        self.frame_times_s = [float(dense.time_s[i]) for i in self._picked]
        self._looking = threading.Lock()
        self._sightings: list[Sighting] | None = None
        self._words: MeasuredWords | None = None
        if stack.profile.measured_words:
            when, calm = when_of(analysis, span_s), not analysis.events
            self._words = MeasuredWords(stack.backbone, self._look_around, when, calm=calm)
        self._text: RunningText | None = None
        self._said: tuple[list[int], list[float]] = [], []  # tokens of the last answer, and how probable each was
        self._starts: list[int] = []

    def ask(self, question: str, kind: TurnKind | None = None) -> Iterator[str]:
        """Ask, and get the answer in pieces as it is written; the finished turn is then the last of `turns`.

        Closing the iterator ends the answer there: what was said until then is the turn.

        Args:
            question: in plain words, or a kind (`judgement`, `description`, `analysis`) for its standard question.
            kind: the kind of the turn where it is known; else it is told from the words.

        Raises:
            InputError: the question is empty or too long, or the dialogue is.
        """
        question = dict(STANDARD_QUESTIONS).get(question, question).strip()  # type: ignore[call-overload]
        if not question:
            raise InputError("The question is empty. Type one, or choose judgement, description or analysis.")
        if len(question) > MAX_QUESTION_CHARS:
            raise InputError(
                f"The question has {len(question)} characters; {MAX_QUESTION_CHARS} are the most that fit."
            )
        if len(self.turns) >= MAX_TURNS:
            raise InputError(f"This dialogue has {MAX_TURNS} turns, which is the most it can hold; start a new one.")
        return self._answer(question, kind or question_kind(question))

    def say(self, question: str, kind: TurnKind | None = None) -> Turn:
        """Ask and wait for the whole answer."""
        for _ in self.ask(question, kind):
            pass
        return self.turns[-1]

    def resume(self, turns: Sequence[Turn]) -> None:
        """Take up a dialogue that was held elsewhere: its turns are read, not written again."""
        self.turns += turns
        self._text = None
        with enough_memory(self.stack.profile):
            self._running()

    def sure_of(self, words: str) -> float:
        """The probability of the tokens that spell some words where the last answer first has them; 0 if it has not."""
        ids, chances = self._said
        read = [len(self.stack.backbone.decode(ids[:count])) for count in range(len(ids) + 1)]
        first = self.stack.backbone.decode(ids).lower().find(words.lower())
        if first < 0:
            return 0.0
        last = first + len(words)
        places = zip(chances, read, read[1:], strict=False)
        return math.prod(chance for chance, start, end in places if start < last and end > first)

    def look_ahead(self) -> None:
        """Measure now what a later answer may speak of, which else takes seconds in the midst of it.

        To be called from a thread of its own while nothing is asked; an answer that needs it meanwhile waits for it.
        """
        if self._words is not None:
            self._look_around()

    def retract(self) -> Turn | None:
        """Take the last turn back, so that it can be asked again; the video and earlier turns stay in the cache."""
        if not self.turns:
            return None
        if self._text is not None:
            self._text.cut(self._starts.pop())
        return self.turns.pop()

    def _answer(self, question: str, kind: TurnKind) -> Iterator[str]:
        ids: list[int] = []
        if self._words is not None:
            self._words.remember(turn.answer for turn in self.turns)
        try:
            with enough_memory(self.stack.profile):
                text = self._running()
                self._starts.append(text.length)
                text.feed_text(self._asked(question, first=not self.turns))
                self._said = ids, text.chances
                yield from text.write(self.stack.profile.max_new_tokens, ids, self._words)
        except GeneratorExit:  # stopped: what was said until then is the turn
            self._add(kind, question, self.stack.backbone.decode(ids))
            raise
        except BaseException:
            self._text = None  # what its cache holds is not known; the next question has all of it read again
            raise
        self._add(kind, question, self.stack.backbone.decode(ids))

    def _add(self, kind: TurnKind, question: str, said: str) -> None:
        answer = said.strip()
        self.turns.append(Turn(kind, question, answer, evidence_for(answer, kind, self.analysis, self.span_s)))

    def _asked(self, question: str, *, first: bool) -> str:
        layout = self.stack.profile.layout
        return layout.first_turn(question) if first else layout.next_turn(question)

    def _running(self) -> RunningText:
        """The running text: the video prompt, then every turn so far with where it starts in `_starts`."""
        if self._text is None:
            text, starts = RunningText(self.stack.backbone), []
            text.feed(self._video_prompt())
            for number, turn in enumerate(self.turns):
                starts.append(text.length)
                text.feed_text(self._asked(turn.question, first=number == 0))
                if turn.answer:  # one that was stopped before its first word has none
                    text.feed_text(turn.answer)
                text.feed_ids([self.stack.backbone.end_token_id])
            self._text, self._starts = text, starts
        return self._text

    def _look_around(self) -> list[Sighting]:
        """What is to be seen, measured once in the clip's file; nothing where the file has gone or changed since."""
        with self._looking:
            if self._sightings is None:
                try:
                    with Clip.open(self.analysis.clip.path) as clip:
                        if clip.info.sha256 != self.analysis.clip.sha256:
                            raise ClipError(f"{clip.path} is not the file any more that was analysed.")
                        self._sightings = look_around(clip, self.stack, self.analysis, self.span_s)
                except ClipError as error:
                    logger.info("no colours were measured: %s", error)
                    return []
            return self._sightings

    @torch.inference_mode()
    def _video_prompt(self) -> Tensor:
        features, stack = self.analysis.features, self.stack
        assert features is not None
        tokens = torch.from_numpy(np.array(features.tokens[self._picked], np.float32)).to(stack.device)
        maps = torch.from_numpy(np.asarray(features.class_maps[self._picked], np.float32)).to(stack.device)
        anomaly = None if stack.regions is None else stack.regions(maps[None])[0].flatten(0, 1)
        prefix = stack.profile.layout.prefix(self.frame_times_s, with_anomaly=anomaly is not None)
        return stack.backbone.embed(prefix, tokens, anomaly)


def name_events(stack: ModelStack, analysis: Analysis, progress: Progress | None = None) -> None:
    """Give each event the category its own judgement names, in place, as far as the model is sure of it.

    On footage so unfamiliar that its words say nothing, events get none: no name is better than a wrong one.

    progress: told before each event; what it raises ends the work.
    """
    for number, event in enumerate(analysis.events):
        if progress:
            progress("naming the events", number / len(analysis.events), None)
        category = None if motion_leads(analysis.dense.parts) else _category(stack, analysis, event)
        analysis.events[number] = dataclasses.replace(event, category=category)


def _category(stack: ModelStack, analysis: Analysis, event: Event) -> str | None:
    """What the judgement of an event names; None where it names nothing, or is less sure than the profile asks."""
    conversation = Conversation(stack, analysis, span_s=(event.start_s, event.end_s))
    answer = conversation.say("judgement").answer
    if parse_judgement(answer) is False:
        return None
    category = named_category(answer, stack.profile.categories)
    return category if category and conversation.sure_of(category) >= stack.profile.least_sure else None


def evidence_for(
    answer: str, kind: TurnKind, analysis: Analysis, span_s: tuple[float, float] | None = None
) -> tuple[Evidence, ...]:
    """Spans and instances an answer rests on: the events it speaks of, each with the instances tracked in it.

    A judgement or analysis that denies an anomaly rests on no span, nor does anything said of a clip without events.
    """
    verdict = parse_judgement(answer)
    if (kind == "judgement" and verdict is not True) or (kind == "analysis" and verdict is False):
        return ()
    found: list[Evidence] = []
    for event in analysis.events:
        if span_s is not None and (event.end_s < span_s[0] or event.start_s > span_s[1]):
            continue
        found.append(Evidence(event.start_s, event.end_s))
        involved = [i for i in _instances_in(event, analysis) if i.role != "bystander"]
        found.extend(Evidence(event.start_s, event.end_s, instance.id) for instance in involved)
    return tuple(found)


def _instances_in(event: Event, analysis: Analysis) -> list[Instance]:
    per_frame = analysis.dense.time_s, analysis.dense.frame_index
    first, last = np.interp([event.start_s, event.end_s], *per_frame)
    return [i for i in analysis.instances if i.first_frame <= last and i.last_frame >= first]


def _frames_of_span(analysis: Analysis, span_s: tuple[float, float], n: int) -> np.ndarray:
    """Dense positions of up to `n` frames sampled inside a span of time."""
    start_s, end_s = span_s
    if not end_s > start_s:
        raise InputError(f"The span must end after it starts, not run from {start_s} s to {end_s} s.")
    time_s = analysis.dense.time_s
    inside = np.flatnonzero((time_s >= start_s) & (time_s <= end_s))
    if len(inside) < MIN_SPAN_FRAMES:
        nearest = int(np.abs(time_s - (start_s + end_s) / 2).argmin())
        inside = np.arange(max(0, nearest - 1), min(len(time_s), nearest + 2))
    return inside[sample_frames(analysis.dense.score[inside], n, "ats")]
