"""Learning from labels of real clips: k folds by clip, the scorer trained on cached features, accuracy over all clips.

Clips of the benchmark are trimmed to what they are labelled for, so every frame carries the label of its clip. What
decides is a logistic model of the tuned scorers' mean log odds and of how much moves. Four scorers are trained in each
fold, each without a quarter of the training clips; the decision is fitted on those quarters, for a scorer is too sure
of what it was trained on. No clip has a part in anything that judges it.
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
from scipy.optimize import minimize

from finetune.dense import Eye, Seen
from finetune.errors import TrainingError
from finetune.loop import LoopConfig
from finetune.metrics import bootstrap_ci95, mean_of, roc_auc
from finetune.tune_scorer import Row, ScorerTuning, tune_scorer
from workbench.errors import DataError
from workbench.files import replacing
from workbench.stack.fusion import heat_peaks, logit
from workbench.stack.scorer import AnomalyScorer

INNER_FOLDS = 4
RIDGE = 0.05
TUNING = ScorerTuning(loop=LoopConfig(steps=160, lr=3e-4, weight_decay=1e-3, save_every=1000, log_every=40), batch=24)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One clip: its class tokens `[T, C]`, what moves in it (a few numbers), its label."""

    name: str
    cls: np.ndarray
    moving: np.ndarray
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
    motion, peak = logit(seen.dense.motion), logit(heat_peaks(seen.dense.features.heatmap))
    moving = [motion.mean(), np.quantile(motion, 0.9), motion.std(), peak.mean(), np.quantile(peak, 0.9)]
    return Sample(Path(seen.clip.path).name, seen.cls, np.array(moving), seen.clip.label)


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
        decide = _Decision.fit(_inputs(train, guessed), np.array([sample.label for sample in train]))
        # The mean of scorers that are like those the decision was fitted on; one trained on more would be surer.
        alone[test] = voices.mean(0)
        probability[test] = decide(_inputs([samples[i] for i in test], alone[test]))
        seconds.append(time.perf_counter() - began)
    motion = roc_auc(labels, np.array([sample.moving[0] for sample in samples]))
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


def _inputs(samples: Sequence[Sample], scores: np.ndarray) -> np.ndarray:
    return np.column_stack([scores, np.stack([sample.moving for sample in samples])])


@dataclass(frozen=True, slots=True, eq=False)
class _Decision:
    """A ridge logistic model of standardised inputs."""

    mean: np.ndarray
    spread: np.ndarray
    weight: np.ndarray

    @classmethod
    def fit(cls, inputs: np.ndarray, labels: np.ndarray) -> _Decision:
        mean, spread = inputs.mean(0), inputs.std(0) + 1e-6
        x = np.column_stack([(inputs - mean) / spread, np.ones(len(inputs))])

        def loss(w: np.ndarray) -> float:
            z = x @ w
            return float((np.logaddexp(0, z) - labels * z).mean() + RIDGE * (w[:-1] ** 2).sum())

        return cls(mean, spread, minimize(loss, np.zeros(x.shape[1]), method="L-BFGS-B").x)

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        z = (inputs - self.mean) / self.spread @ self.weight[:-1] + self.weight[-1]
        return 1 / (1 + np.exp(-z))


# --- command line ----------------------------------------------------------------------------------------------


def run(args: argparse.Namespace) -> int:
    """Encode, cross-validate, write and tell; `WorkbenchError` is left to the caller."""
    from finetune.sources import from_folder
    from workbench.stack.loading import ModelStack

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
