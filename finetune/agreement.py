"""Do the corrections agree with anything but themselves? A poisoned hold-out cannot tell; what nobody corrected can.

Where labels are turned round everywhere, the clips kept for the comparison are turned round too, and learning the
wrong thing looks like progress. Two witnesses have not seen the corrections: how much moves, which is not trained,
and what the stack said before. A single correction often contradicts both, for that is why it was made. A whole set
that one of them surely ranks the other way round, while the other does not surely speak for it, is a mistake, a foul,
or a set of the stack's mistakes alone, which shows as little of what would be lost. A person is to look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from finetune.dense import Eye, Seen, Tell
from finetune.metrics import Ranking, Span, auc_of, bootstrap_ci95, mean_of
from finetune.records import TrainingClip
from workbench.analysis import score_parts
from workbench.events import smooth

MOTION, BEFORE = "what moves", "what the stack said before"
CHANCE = 0.5
NAMED = 3
"""How many clips a person is shown first."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """ROC-AUC of the corrections' labels by a witness's scores: 1 it says the same, 0.5 nothing, 0 the opposite.

    Attributes:
        witness: who. level: "frame" (clips with event times) or "clip" (all, by their highest score).
        ci95: over clips. n_clips: how many.
    """

    witness: str
    level: str
    auc: float
    ci95: Span | None
    n_clips: int


@dataclass(frozen=True, slots=True)
class Agreements:
    """All that could be computed, and the clips that contradict both witnesses most, the worst first."""

    rows: tuple[Agreement, ...] = ()
    odd: tuple[str, ...] = ()

    @property
    def contradiction(self) -> tuple[Agreement, ...]:
        """The witnesses of a level by which the corrections are turned round; empty if on none.

        One surely says the opposite (its interval lies below chance), and none surely says the same.
        """
        for level in ("clip", "frame"):
            mine = [row for row in self.rows if row.level == level and row.ci95 is not None]
            sides = [(row.ci95[1] < CHANCE, row.ci95[0] > CHANCE) for row in mine if row.ci95 is not None]
            if any(against for against, _ in sides) and not any(speaks_for for _, speaks_for in sides):
                return tuple(sorted(mine, key=lambda row: row.auc))
        return ()

    def in_words(self) -> str:
        """What speaks against learning from these clips, a sentence without its full stop; "" if nothing does."""
        found = self.contradiction
        if not found:
            return ""
        said = ", ".join(f"{row.auc:.2f} by {row.witness}" for row in found)
        return (
            f"the corrections of {found[0].n_clips} clips say the opposite of {found[0].witness}, and nothing speaks "
            f"for them (agreement {said}; {CHANCE} is chance): labels may be turned round, or only mistakes of the "
            f"stack were approved; look at {', '.join(self.odd)} first, and approve some clips on which it was right"
        )


def agreements(eye: Eye, clips: Sequence[TrainingClip], tell: Tell | None = None) -> Agreements:
    """How far clips agree with the witnesses; `eye` holds the stack as it was before.

    Raises:
        TrainingError: a file is not the one that was frozen. ClipError: it does not decode.
    """
    scores: list[Mapping[str, np.ndarray]] = []
    labels: list[np.ndarray | None] = []
    for number, clip in enumerate(clips):
        if tell:
            tell("evaluate", number, len(clips))
        seen = eye.look(clip)
        scores.append(witnesses(eye, seen))
        labels.append(seen.labels)
    return compared([clip.name for clip in clips], [clip.label for clip in clips], labels, scores)


def witnesses(eye: Eye, seen: Seen) -> dict[str, np.ndarray]:
    """Scores of the dense frames `[T]` by witness."""
    parts = score_parts(eye.stack, seen.dense)
    return {MOTION: parts["motion"], BEFORE: smooth(eye.stack.fusion(parts), seen.dense.time_s)}


def compared(
    names: Sequence[str],
    labels: Sequence[int],
    frames: Sequence[np.ndarray | None],
    scores: Sequence[Mapping[str, np.ndarray]],
) -> Agreements:
    """Agreements of labels (of clips, and of frames `[T]` where they are known) with scores `[T]` by witness."""
    truth, rows = np.asarray(labels), []
    highest = {who: np.array([float(row[who].max()) for row in scores]) for who in (MOTION, BEFORE)}
    framed = [i for i, row in enumerate(frames) if row is not None]
    for who, tops in highest.items():
        rows += _agreement(who, "clip", Ranking(truth, tops, np.arange(len(truth))), len(truth))
        if framed:
            y = np.concatenate([np.asarray(frames[i]) > CHANCE for i in framed])
            groups = np.repeat(np.arange(len(framed)), [len(scores[i][who]) for i in framed])
            ranking = Ranking(y, np.concatenate([scores[i][who] for i in framed]), groups)
            rows += _agreement(who, "frame", ranking, len(framed))
    order = np.argsort(-_contradictions(truth, highest), kind="stable")
    return Agreements(tuple(rows), tuple(names[i] for i in order[:NAMED]))


def _agreement(who: str, level: str, ranking: Ranking, n_clips: int) -> list[Agreement]:
    auc = auc_of(ranking.counts())
    if np.isnan(auc):
        return []
    interval = bootstrap_ci95(lambda draws: auc_of(ranking.counts(draws)), n_clips)
    return [Agreement(who, level, auc, interval, n_clips)]


def _contradictions(truth: np.ndarray, highest: Mapping[str, np.ndarray]) -> np.ndarray:
    """How far each clip's label lies from its place among all of them, mean over witnesses, `[N]` in [0, 1]."""
    places = [np.argsort(np.argsort(tops)) / max(1, len(tops) - 1) for tops in highest.values()]
    return np.array([mean_of(np.abs(truth[i] - np.array([place[i] for place in places]))) for i in range(len(truth))])
