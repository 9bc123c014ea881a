"""What a stack says of a drawn scene, measured: facts and text metrics of its three answers and instance captions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from finetune.facts import KINDS, AnswerKind, FactCheck, check_answer, check_caption, precision_of, recall_of
from finetune.metrics import mean_of
from finetune.scenes.truth import SceneTruth, TruthFile
from finetune.textmetrics import score_texts
from workbench.conversation import Conversation
from workbench.instances import describe
from workbench.masks import decode_rle
from workbench.records import MaskRLE
from workbench.stack.loading import ModelStack
from workbench.video import Clip

Statistic = Callable[[np.ndarray], float]
ANSWERS: tuple[AnswerKind, ...] = ("judgement", "description", "analysis")
MAX_CAPTIONS = 3
"""Instances captioned in a clip; an event has at most as many actors."""
VIEW_FRAMES = 9
"""Frames of an event among which the views of an instance are picked."""
MIN_VIEW_PX = 30


@dataclass(slots=True)
class Words:
    """What was said of one scene.

    Attributes:
        answers: by kind; `references` the true ones.
        facts: of the answers. captions: of the instance captions, `None` where none was asked for.
    """

    answers: dict[AnswerKind, str]
    references: dict[AnswerKind, str]
    facts: FactCheck
    captions: FactCheck | None = field(default=None)

    @property
    def said(self) -> str:
        """The three answers as one text."""
        return " ".join(self.answers.values())

    @property
    def true(self) -> str:
        """The three true answers as one text; empty where the truth has none."""
        return " ".join(self.references.values()).strip()

    def listing(self, state: str) -> str:
        """The facts of one state in a line, such as "who: car; colour: upper red"."""
        return "; ".join(f"{fact.kind}: {fact.value}" for fact in self.facts.facts if fact.state == state)


def is_described(truth: SceneTruth) -> bool:
    """Whether the truth holds answers and all facts, as that of a drawn scene does; a person's notes need not."""
    return bool(truth.video.description) and all(event.facts for event in truth.events)


def ask_all(dialogue: Conversation, truth: SceneTruth) -> Words:
    """Ask what was not asked yet of judgement, description and analysis, and compare all three with the truth."""
    given: dict[str, str] = {turn.kind: turn.answer for turn in dialogue.turns}
    answers = {kind: given[kind] if kind in given else dialogue.say(kind).answer for kind in ANSWERS}
    return words_of(truth, answers)


def words_of(truth: SceneTruth, answers: dict[AnswerKind, str]) -> Words:
    """Compare answers, however they came about, with the truth of a scene."""
    facts = sum((check_answer(truth, kind, answer) for kind, answer in answers.items()), FactCheck())
    return Words(answers, {kind: getattr(truth.video, kind) for kind in answers}, facts)


def caption_facts(stack: ModelStack, video: Clip, file: TruthFile) -> FactCheck | None:
    """Facts of the captions of the actors of events, each shown by its true masks; `None` where none can be seen.

    True masks, so that the words are measured and not the segmentation.
    """
    checks: list[FactCheck] = []
    for event in file.truth.events:
        for entity_id in event.entity_ids:
            if len(checks) == MAX_CAPTIONS or entity_id not in {entity.id for entity in file.truth.entities}:
                continue
            masks = _masks_in(file, entity_id, event.start_frame, event.end_frame)
            if masks:
                frames = dict(video.frames(sorted(masks)))
                checks.append(check_caption(file.truth, entity_id, describe(stack, frames, masks)))
    return sum(checks, FactCheck()) if checks else None


def _masks_in(file: TruthFile, entity_id: int, start: int, end: int) -> dict[int, np.ndarray]:
    """Masks `[H, W]` of an entity on some frames of an event, where it is large enough to be looked at."""
    masks = {}
    for frame in np.unique(np.linspace(start, end - 1, VIEW_FRAMES).astype(int)).tolist():
        rle = file.masks.get(entity_id, {}).get(frame)
        mask = decode_rle(MaskRLE(size=rle["size"], counts=rle["counts"])) if rle else None
        if mask is not None and mask.sum() >= MIN_VIEW_PX:
            masks[frame] = mask
    return masks


# --- metrics over clips ----------------------------------------------------------------------------------------


def word_statistics(words: Sequence[Words]) -> Iterator[tuple[str, int, Statistic]]:
    """Metrics of what was said, as name, number of clips and the metric of a draw of them.

    `fact_precision` and `fact_recall` of the three answers, also by kind of fact (`fact_recall_when`), of instance
    captions (`caption_fact_recall`), and `bleu`, `cider`, `meteor`, `rouge_l` of the three answers as one text.
    """
    yield from _fact_statistics("fact", [said.facts.table() for said in words])
    captions = [said.captions.table() for said in words if said.captions is not None]
    for name, n_clips, statistic in _fact_statistics("caption_fact", captions):
        if name in ("caption_fact_precision", "caption_fact_recall"):
            yield name, n_clips, statistic
    compared = [said for said in words if said.true]
    if not compared:
        return
    scores = score_texts([said.said for said in compared], [said.true for said in compared])
    yield "bleu", len(compared), scores.bleu
    for name in ("cider", "meteor", "rouge_l"):
        yield name, len(compared), _mean_statistic(getattr(scores, name))


def _fact_statistics(prefix: str, tables: Sequence[np.ndarray]) -> Iterator[tuple[str, int, Statistic]]:
    if not tables:
        return
    stacked = np.stack(tables)
    for measure, of in (("precision", precision_of), ("recall", recall_of)):
        yield f"{prefix}_{measure}", len(tables), _table_statistic(stacked, of)
        for number, kind in enumerate(KINDS):
            yield f"{prefix}_{measure}_{kind}", len(tables), _table_statistic(stacked[:, number], of)


def _table_statistic(tables: np.ndarray, of: Callable[[np.ndarray], float]) -> Statistic:
    return lambda draws: of(np.tensordot(draws, tables, axes=1))


def _mean_statistic(column: np.ndarray) -> Statistic:
    return lambda draws: mean_of(column, draws)
