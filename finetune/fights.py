"""Learning from labels of real clips: k folds by clip, the scorer trained on cached features, accuracy over all clips.

Clips of the benchmark are trimmed to what they are labelled for, so every frame carries the label of its clip. What
decides is a kernel ridge classifier (`finetune.kernel`) of four kinds of evidence: the tuned scorers' mean log odds,
how what moves is spread over the picture and over time, how fast what the language model sees changes, and what is
seen on average. Three scorers are trained in each fold, each without a third of the training clips; the decision is
fitted on those thirds, for a scorer is too sure of what it was trained on. Whatever is chosen is chosen on the
training clips of the fold. No clip has a part in anything that judges it.

Clips of one recording lie in several folds, as the folds are by clip: a new place is harder than these numbers say.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from finetune.dense import Eye, Seen
from finetune.errors import TrainingError
from finetune.kernel import KernelRidge
from finetune.loop import LoopConfig
from finetune.metrics import bootstrap_ci95, mean_of, roc_auc
from finetune.tune_scorer import Row, ScorerTuning, tune_scorer
from workbench.errors import DataError
from workbench.files import replacing
from workbench.stack.fusion import logit
from workbench.stack.scorer import AnomalyScorer

INNER_FOLDS = 3
CHOICES = ((0, 1, 2, 3), (1, 2, 3))
"""Kinds of evidence that look together: with the scorers, and without, as a scorer of few clips may know nothing."""
FLOOR = 1e-4
"""Shares and changes are compared by their logarithm, from here on."""
TUNING = ScorerTuning(loop=LoopConfig(steps=100, lr=3e-4, weight_decay=1e-3, save_every=1000, log_every=40), batch=16)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One clip: its class tokens `[T, C]`, its label, its motion score, and three kinds of evidence, a vector each."""

    name: str
    cls: np.ndarray
    motion: float
    moving: np.ndarray
    changing: np.ndarray
    looking: np.ndarray
    label: int

    @property
    def row(self) -> Row:
        """As the scorer learns it: every frame carries the label."""
        return Row(self.cls, np.full(len(self.cls), float(self.label), np.float32), self.label)


@dataclass(frozen=True, slots=True)
class Result:
    """Outcome over all clips, each judged once by what had not seen it. `probability [N]` in the order of `names`."""

    names: tuple[str, ...]
    labels: np.ndarray
    probability: np.ndarray
    fold_of: np.ndarray
    seconds: tuple[float, ...]
    scorer_alone: float
    motion_alone: float

    @property
    def accuracy(self) -> float:
        """Share of clips called right at 0.5."""
        return float(((self.probability > 0.5) == self.labels).mean())

    def to_document(self) -> dict[str, Any]:
        """Plain JSON: accuracy with its interval, ROC-AUC, the folds, and the clips that were called wrong."""
        right = ((self.probability > 0.5) == self.labels).astype(np.float64)
        folds = sorted(set(self.fold_of.tolist()))
        return {
            "clips": len(self.labels),
            "accuracy": self.accuracy,
            "accuracy_ci95": bootstrap_ci95(lambda draws: mean_of(right, draws), len(right)),
            "auc": roc_auc(self.labels, self.probability),
            "auc_scorer_alone": self.scorer_alone,
            "auc_motion_alone": self.motion_alone,
            "fold_accuracy": [float(right[self.fold_of == fold].mean()) for fold in folds],
            "fold_seconds": [round(s, 1) for s in self.seconds],
            "wrong": [name for name, ok in zip(self.names, right, strict=True) if not ok],
        }


def sample_of(seen: Seen) -> Sample:
    """What the benchmark reads of a clip."""
    features, motion = seen.dense.features, logit(seen.dense.motion)
    tokens = np.asarray(features.tokens, np.float32)
    spread = tokens.std(1)  # over the picture, by channel
    return Sample(
        name=Path(seen.clip.path).name,
        cls=seen.cls,
        motion=float(motion.mean()),
        moving=moving_of(np.asarray(features.saliency, np.float32), motion),
        changing=_log(np.abs(np.diff(spread, axis=0, prepend=spread[:1])).mean(0)),
        looking=tokens.mean((0, 1)),
        label=seen.clip.label,
    )


def moving_of(saliency: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """What moves, as a vector: where and how much (saliency `[T, h, w]` in [0, 1]), and log odds of motion `[T]`."""
    cells = saliency.reshape(len(saliency), -1)
    strongest = -np.sort(-cells, axis=1)
    rows, columns = np.indices(saliency.shape[1:]).reshape(2, -1) / saliency.shape[1]
    place = cells / (cells.sum(1, keepdims=True) + 1e-6)
    x, y = place @ columns, place @ rows
    extent = np.sqrt(np.maximum(place @ (columns**2 + rows**2) - x**2 - y**2, 0))
    curves = (cells.mean(1), strongest[:, :4].mean(1), strongest[:, :16].mean(1), (cells > 0.5).mean(1), extent)
    habit = cells.mean(0)
    rest = [np.sort(habit)[-8:].mean(), (habit > 0.2).mean(), _step(cells), _step(x), _step(y), _step(cells.mean(1))]
    positive = np.concatenate([*map(_summary, curves), rest])
    return np.concatenate([_log(positive), _summary(motion), [_step(motion)]])


def _summary(curve: np.ndarray) -> list[float]:
    return [curve.mean(), *np.quantile(curve, (0.1, 0.5, 0.9)), curve.std()]


def _step(curve: np.ndarray) -> float:
    """Mean change from one frame to the next; 0 of a single frame."""
    return float(np.abs(np.diff(curve, axis=0)).mean()) if len(curve) > 1 else 0.0


def _log(values: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(values, FLOOR))


def folds_of(samples: Sequence[Sample], folds: int, seed: int) -> np.ndarray:
    """The fold of each clip `int [N]`, both labels spread evenly.

    Raises:
        DataError: a label has fewer clips than there are folds.
    """
    fold = np.zeros(len(samples), np.int64)
    for label in (0, 1):
        mine = np.flatnonzero([sample.label == label for sample in samples])
        if len(mine) < folds:
            raise DataError(f"There are {len(mine)} clips with label {label} for {folds} folds; take fewer folds.")
        fold[np.random.default_rng((seed, label)).permutation(mine)] = np.arange(len(mine)) % folds
    return fold


def cross_validate(
    start: AnomalyScorer, samples: Sequence[Sample], *, folds: int = 5, seed: int = 0, tuning: ScorerTuning = TUNING
) -> Result:
    """Judge every clip by a scorer and a decision that learned from the other folds alone."""
    fold_of = folds_of(samples, folds, seed)
    labels = np.array([sample.label for sample in samples])
    probability, alone = np.zeros(len(samples)), np.zeros(len(samples))
    seconds = []
    for fold in range(folds):
        began = time.perf_counter()
        train = [samples[i] for i in np.flatnonzero(fold_of != fold).tolist()]
        test = np.flatnonzero(fold_of == fold).tolist()
        inner, guessed = folds_of(train, INNER_FOLDS, seed + 1), np.zeros(len(train))
        voices = np.zeros((INNER_FOLDS, len(test)))
        for part in range(INNER_FOLDS):
            scorer = _trained(start, [train[i] for i in np.flatnonzero(inner != part).tolist()], tuning, seed + part)
            for i in np.flatnonzero(inner == part).tolist():
                guessed[i] = _score(scorer, train[i])
            voices[part] = [_score(scorer, samples[i]) for i in test]
        decide = KernelRidge.fit(_evidence(train, guessed), np.array([sample.label for sample in train]), CHOICES)
        # The mean of scorers that are like those the decision was fitted on; one trained on more would be surer.
        alone[test] = voices.mean(0)
        probability[test] = decide(_evidence([samples[i] for i in test], alone[test]))
        seconds.append(time.perf_counter() - began)
    motion = roc_auc(labels, np.array([sample.motion for sample in samples]))
    names = tuple(sample.name for sample in samples)
    return Result(names, labels, probability, fold_of, tuple(seconds), roc_auc(labels, alone), motion)


def _trained(start: AnomalyScorer, samples: Sequence[Sample], tuning: ScorerTuning, seed: int) -> AnomalyScorer:
    tuning = replace(tuning, loop=replace(tuning.loop, seed=seed))
    with tempfile.TemporaryDirectory(prefix="fights-") as folder:
        return tune_scorer(start, [sample.row for sample in samples], [], [], tuning, Path(folder))


@torch.no_grad()
def _score(scorer: AnomalyScorer, sample: Sample) -> float:
    """Mean log odds over the frames of a clip."""
    return float(scorer(torch.from_numpy(sample.cls)[None]).logits.clamp(-8, 8).mean())


def _evidence(samples: Sequence[Sample], scores: np.ndarray) -> list[np.ndarray]:
    """The kinds of evidence, `[N, D]` each, in the order of `CHOICES`."""
    kinds = [[sample.moving for sample in samples], [s.changing for s in samples], [s.looking for s in samples]]
    return [scores[:, None], *map(np.stack, kinds)]


# --- command line ----------------------------------------------------------------------------------------------


def run(args: argparse.Namespace) -> int:
    """Encode, cross-validate, write and tell; `WorkbenchError` is left to the caller."""
    from finetune.sources import from_folder
    from workbench.stack.loading import ModelStack

    if args.folds < 2 or args.seed < 0:
        raise TrainingError(f"There are {args.folds} folds of seed {args.seed}; take at least 2, and a seed from 0 on.")
    found = from_folder(args.data)
    stack = ModelStack.load(args.profile)
    if stack.scorer is None:
        raise TrainingError(f"The profile '{args.profile}' has no scorer to go on from.")
    eye = Eye(stack)

    def tell(stage: str, done: int, of: int) -> None:
        sys.stderr.write(f"\r{stage} {done} of {of}")

    samples = [sample_of(seen) for seen in eye.look_at_all(found.clips, tell)]
    sys.stderr.write("\n")
    document = cross_validate(stack.scorer, samples, folds=args.folds, seed=args.seed).to_document()
    with replacing(args.out) as temporary:
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    low, high = document["accuracy_ci95"]
    sys.stdout.write(
        f"accuracy {document['accuracy']:.3f} [{low:.3f}, {high:.3f}] over {document['clips']} clips, "
        f"AUC {document['auc']:.3f} (scorer alone {document['auc_scorer_alone']:.3f}, motion alone "
        f"{document['auc_motion_alone']:.3f}), {max(document['fold_seconds']):.0f} s a fold at most: {args.out}\n"
    )
    return 0
