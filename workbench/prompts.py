"""Questions an analyst asks and the texts around them: standard questions, prompt layout, anomaly prompts.

The layout follows Holmes-VAU (frames first, then the question) and T-VAU eq. 14: the input of the language model
is `[visual prompts, anomaly prompts, dialogue]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.records import TurnKind

STANDARD_QUESTIONS: dict[TurnKind, str] = {
    "judgement": "Is there an anomaly in this clip, and what is it?",
    "description": "Describe what happens.",
    "analysis": "Why is this abnormal or normal?",
    "caption": "Describe this clip in one sentence.",
}
INSTANCE_QUESTION = "Describe the highlighted instance: its role, appearance and motion."
# For a model that was not trained on that form of answer, the form is spelled out.
INSTANCE_QUESTION_SPELLED_OUT = (
    "One person or thing is highlighted and outlined in yellow; everything else is dimmed. Answer in this form and "
    "nothing else: Role: perpetrator, victim, bystander or object. Appearance: a few words. Motion: what it does."
)
YES_NO_QUESTION = (
    "These are consecutive frames of a surveillance camera. Is something abnormal happening in them, such as fighting, "
    "assault, robbery, vandalism, fire, an explosion, an accident or a fall?"
)

# Template prompts of the two classes of the heatmap decoder (T-VAU 3.2.1); averaged into one prototype each.
CLASS_PROMPTS: dict[Literal["normal", "abnormal"], tuple[str, ...]] = {
    "normal": (
        "a normal scene",
        "nothing abnormal happens",
        "people walk along the street",
        "an ordinary day without any incident",
    ),
    "abnormal": (
        "an anomaly",
        "an abnormal event such as fighting, robbery or assault",
        "a fire, an explosion or a collision",
        "someone falls, runs or attacks a person",
    ),
}

_TOLD_CHARS = 1500  # of a question that may have 2000
_KIND_WORDS: tuple[tuple[TurnKind, tuple[str, ...]], ...] = (
    ("analysis", ("why", "reason", "cause", "explain", "analyse", "analyze", "basis")),
    ("judgement", ("is there an anomal", "abnormal happening", "is anything abnormal", "is it abnormal", "anomaly or")),
    ("description", ("describe", "what happens", "what is happening", "what happened", "summar")),
)


def question_kind(question: str) -> TurnKind:
    """Which of the question kinds of Holmes-VAU 3.2 a question in plain words belongs to; `free` if none."""
    for kind, standard in STANDARD_QUESTIONS.items():
        if question.strip() == standard:
            return kind
    lowered = question.lower()
    for kind, words in _KIND_WORDS:
        if any(word in lowered for word in words):
            return kind
    return "free"


def summary_question(kind: TurnKind, categories: Sequence[str], told: Sequence[str]) -> str:
    """A standard question with what is known before it: categories, and captions or summaries of the parts in order.

    What is told is cut so that the question fits (`conversation.MAX_QUESTION_CHARS`), the longest parts first.
    """
    parts = [" ".join(text.split()) for text in told if text.strip()]
    longest = _TOLD_CHARS // max(1, len(parts)) - 4
    lines = [f"{i}. {text if len(text) <= longest else text[: longest - 1] + '…'}" for i, text in enumerate(parts, 1)]
    head = [f"It is labelled: {', '.join(categories)[:200]}."] if categories else []
    if lines:
        head.append("Its parts, in order:\n" + "\n".join(lines) + "\n")
    return " ".join([*head, STANDARD_QUESTIONS[kind]])


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the prompt that is tokenised."""

    text: str


@dataclass(frozen=True, slots=True)
class Frame:
    """A piece of the prompt that is the visual tokens of the `position`-th sampled frame."""

    position: int


@dataclass(frozen=True, slots=True)
class Anomaly:
    """The place of the anomaly prompts made by the Region-aware Anomaly Encoder."""


Segment = Text | Frame | Anomaly


@dataclass(frozen=True, slots=True)
class PromptLayout:
    """How a dialogue is written for a language model that speaks ChatML (InternVL, Qwen, InternLM2).

    Attributes:
        system: the system message, empty for none.
        frame: the line before each frame's tokens; `{i}` is its number from 1, `{time}` its seconds.
        image_open, image_close: the tokens around the visual tokens of one frame.
        begin: the token that every text begins with, where the model was trained with one.
        turn_gap: between the end of a message and the next.
        question_lead: what separates the question from the video. It is read in one piece with the question, which
            matters to sentencepiece; empty where the line break belongs to the video.
    """

    system: str
    frame: str
    image_open: str = "<img>"
    image_close: str = "</img>"
    begin: str = ""
    turn_gap: str = "\n"
    question_lead: str = ""

    def prefix(self, frame_times_s: Sequence[float], *, with_anomaly: bool) -> list[Segment]:
        """The part that all turns share: system message, frames and anomaly prompts."""
        head = f"<|im_start|>system\n{self.system}<|im_end|>{self.turn_gap}" if self.system else ""
        text = self.begin + head + "<|im_start|>user\n"
        segments: list[Segment] = []
        for i, time_s in enumerate(frame_times_s):
            text += self.frame.format(i=i + 1, time=f"{time_s:.1f}") + self.image_open
            segments += [Text(text), Frame(i)]
            text = self.image_close + "\n"
        if with_anomaly:
            segments += [Text(text), Anomaly()]
            text = "\n"
        text = text.removesuffix("\n") if self.question_lead else text
        return [*segments, Text(text)] if text else segments

    def yes_no(self, n_frames: int) -> tuple[list[Segment], list[Segment]]:
        """A question to answer with yes or no about `n_frames` frames: the part that all windows share, and the rest.

        The question comes first, and frames carry no times, so that the rest is of one length for every window.
        """
        head = f"<|im_start|>system\n{self.system}<|im_end|>{self.turn_gap}" if self.system else ""
        shared: list[Segment] = [Text(f"{self.begin}{head}<|im_start|>user\n{YES_NO_QUESTION}\n")]
        rest: list[Segment] = []
        for i in range(n_frames):
            rest += [Text(self.image_open), Frame(i), Text(self.image_close + "\n")]
        asked = f"Answer yes or no.<|im_end|>{self.turn_gap}<|im_start|>assistant\n"
        return shared, [*rest, Text(asked)]

    def first_turn(self, question: str) -> str:
        """The question right after the prefix."""
        return f"{self.question_lead}{question}<|im_end|>{self.turn_gap}<|im_start|>assistant\n"

    def next_turn(self, question: str) -> str:
        """A question after an answer whose own `<|im_end|>` is already part of the history."""
        gap = self.turn_gap
        return f"{gap}<|im_start|>user\n{question}<|im_end|>{gap}<|im_start|>assistant\n"
