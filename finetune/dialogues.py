"""From ground truth to training dialogues, at the levels of HIVAU-70k: clip, event, video — and instance (IAC)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from finetune.scenes import QUESTIONS
from workbench.prompts import INSTANCE_QUESTION, STANDARD_QUESTIONS
from workbench.records import TurnKind

Level = Literal["video", "event", "clip", "instance"]
LEVEL_SHARES: dict[Level, float] = {"video": 0.5, "event": 0.2, "clip": 0.08, "instance": 0.22}
STANDARD_SHARE = 0.5
"""How often a question is asked in its standard words rather than in a paraphrase."""
MAX_FREE = 4


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Questions and answers about one part of a clip.

    `span` is the part as dense positions `[first, stop)`; for an instance, `entity` is its id instead.
    """

    level: Level
    span: tuple[int, int]
    turns: list[tuple[str, str]]
    entity: int | None = None


def draw_dialogue(truth: dict, frame_index: np.ndarray, views: set[int], rng: np.random.Generator) -> Dialogue:
    """A random dialogue of a random level the clip can give.

    Args:
        truth: the scene's ground truth. frame_index: `[T]`. views: entities there are instance views of.
    """
    levels: list[Level] = ["video", "clip"]
    levels += ["event"] if truth["events"] else []
    levels += ["instance"] if views else []
    shares = np.array([LEVEL_SHARES[level] for level in levels])
    match levels[rng.choice(len(levels), p=shares / shares.sum())]:
        case "event":
            return _event(truth, frame_index, rng)
        case "clip":
            return _clip(truth, frame_index, rng)
        case "instance":
            return _instance(truth, views, rng)
        case _:
            return _video(truth, len(frame_index), rng)


def instance_answer(entity: dict) -> str:
    """What should be said of an entity, in the form `workbench.instances.parse_caption` reads."""
    return f"Role: {entity['role']}. Appearance: {entity['appearance']}. Motion: {entity['motion']}."


def _question(kind: TurnKind, rng: np.random.Generator) -> str:
    if rng.random() < STANDARD_SHARE:
        return STANDARD_QUESTIONS[kind]
    return str(rng.choice(QUESTIONS[kind]))


def _three(judgement: str, description: str, analysis: str, rng: np.random.Generator) -> list[tuple[str, str]]:
    """The three turns in their usual order, or in any."""
    turns: list[tuple[TurnKind, str]] = [("judgement", judgement), ("description", description), ("analysis", analysis)]
    if rng.random() < 0.25:
        turns = [turns[i] for i in rng.permutation(3)]
    return [(_question(kind, rng), answer) for kind, answer in turns]


def _video(truth: dict, frames: int, rng: np.random.Generator) -> Dialogue:
    video = truth["video"]
    turns = _three(video["judgement"], video["description"], video["analysis"], rng)
    free = [(qa["question"], qa["answer"]) for qa in truth["dialogue"] if qa["kind"] == "free"]
    chosen = [free[i] for i in rng.permutation(len(free))[: rng.integers(0, MAX_FREE + 1)]]
    where = int(rng.integers(0, 2)) * 3
    return Dialogue("video", (0, frames), [*chosen, *turns] if where == 0 and rng.random() < 0.3 else [*turns, *chosen])


def _span(start: int, stop: int, frame_index: np.ndarray) -> tuple[int, int]:
    first, last = np.searchsorted(frame_index, [start, stop])
    return min(int(first), len(frame_index) - 1), max(int(first) + 1, int(last))


def _event(truth: dict, frame_index: np.ndarray, rng: np.random.Generator) -> Dialogue:
    event = truth["events"][rng.integers(len(truth["events"]))]
    turns = _three(event["judgement"], event["description"], event["analysis"], rng)
    slack = rng.integers(0, 8, 2)
    return Dialogue("event", _span(event["start_frame"] - slack[0], event["end_frame"] + slack[1], frame_index), turns)


def _clip(truth: dict, frame_index: np.ndarray, rng: np.random.Generator) -> Dialogue:
    clip = truth["clips"][rng.integers(len(truth["clips"]))]
    span = _span(clip["start_frame"], clip["end_frame"], frame_index)
    return Dialogue("clip", span, [(_question("caption", rng), clip["caption"])])


def _instance(truth: dict, views: set[int], rng: np.random.Generator) -> Dialogue:
    entity_id = int(rng.choice(sorted(views)))
    entity = next(e for e in truth["entities"] if e["id"] == entity_id)
    return Dialogue("instance", (0, 1), [(INSTANCE_QUESTION, instance_answer(entity))], entity_id)
