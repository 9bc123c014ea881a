"""Dialogues of the tables: answers go into cells, and cells become facts and text metrics."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from finetune.data import EvalClip
from finetune.facts import AnswerKind
from finetune.metrics import bootstrap_ci95
from finetune.reproduce.bench import Cell
from finetune.textmetrics import score_texts
from finetune.words import ANSWERS, Words, word_statistics, words_of
from workbench.conversation import Conversation
from workbench.records import Analysis
from workbench.stack.loading import ModelStack

MEASURES = ("fact_precision", "fact_recall", "bleu", "cider")


def whole_video(stack: ModelStack, analysis: Analysis) -> Cell:
    """The three answers about the whole video, and how long the first word took, in milliseconds."""
    dialogue, began, first_ms = Conversation(stack, analysis), time.perf_counter(), math.nan
    for _ in dialogue.ask("judgement"):
        if math.isnan(first_ms):
            first_ms = 1000 * (time.perf_counter() - began)
    answers = {"judgement": dialogue.turns[-1].answer}
    answers |= {kind: dialogue.say(kind).answer for kind in ANSWERS[1:]}
    return {"answers": answers, "first_ms": None if math.isnan(first_ms) else first_ms}


def parts_of_video(stack: ModelStack, clip: EvalClip, analysis: Analysis) -> Cell:
    """What is said of a whole video, of its events and of its captioned clips: texts by level, with the true ones."""
    truth = clip.truth
    assert truth is not None
    times = [frame / truth.fps for frame in range(truth.n_frames + 1)]
    cell = whole_video(stack, analysis)
    cell["C"] = [
        [_ask(stack, analysis, (times[c.start_frame], times[c.end_frame]), ("caption",)), c.caption]
        for c in truth.clips[:2]
    ]
    cell["E"] = [
        [
            _ask(stack, analysis, (times[e.start_frame], times[e.end_frame]), ANSWERS),
            " ".join((e.judgement, e.description, e.analysis)),
        ]
        for e in truth.events
    ]
    said = words_of_cell(clip, cell)
    cell["V"] = [[said.said, said.true]]
    return cell


def _ask(stack: ModelStack, analysis: Analysis, span_s: tuple[float, float], kinds: Sequence[str]) -> str:
    dialogue = Conversation(stack, analysis, span_s=span_s)
    return " ".join(dialogue.say(kind).answer for kind in kinds)


def words_of_cell(clip: EvalClip, cell: Cell) -> Words:
    """The answers of a cell against the truth of its clip."""
    assert clip.truth is not None
    answers: dict[AnswerKind, str] = {kind: cell["answers"][kind] for kind in ANSWERS}
    return words_of(clip.truth, answers)


def word_row(words: Sequence[Words], replicates: int) -> Cell:
    """The measures of a row, with intervals over clips where there are enough."""
    row: Cell = {}
    for name, n_clips, statistic in word_statistics(words):
        if name in MEASURES:
            row[name] = statistic(np.ones(n_clips, np.int64))
            row[f"{name}_ci95"] = bootstrap_ci95(statistic, n_clips, replicates=replicates)
    return row


def level_row(cells: Sequence[Cell]) -> Cell:
    """BLEU and CIDEr by level, over all texts of the level."""
    row: Cell = {}
    for level in ("C", "E", "V"):
        pairs = [pair for cell in cells for pair in cell[level]]
        if pairs:
            scores = score_texts([said for said, _ in pairs], [true for _, true in pairs])
            row[f"bleu {level}"], row[f"cider {level}"] = scores.bleu(), float(scores.cider.mean())
    return row
