"""Fine-tuning the scorer: UR-DMU from its current weights, the full loss, Adam 1e-4 (Holmes-VAU 4.2, B.1).

Frozen class tokens are all it reads, so a step costs milliseconds. Clips whose events have times supervise every
frame; clips with a label alone take the MIL form of the loss.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from finetune.dense import Seen
from finetune.guard import EarlyStop, Progress, both, with_less_memory
from finetune.launch import parts_for
from finetune.loop import LoopConfig, fit, step_generator
from finetune.losses import UrdmuWeights, urdmu_loss
from finetune.metrics import roc_auc
from finetune.scorer import CROP, FEATURE_NOISE
from finetune.starting import keep_some
from workbench.stack.scorer import AnomalyScorer


@dataclass(frozen=True, slots=True)
class ScorerTuning:
    """Numbers of the recipe.

    Attributes:
        loop: steps and rate. batch: clips a step, drawn in `parts` (which several processes share).
        noise: on class tokens, in units of their spread.
        check_every, patience: of early stopping, in steps and looks; it needs clips on the validation side.
        balance: weigh abnormal frames up to the balance of the data (at most by 4).
        keep: share of the weights it began with in those of the result, in [0, 1]; without replay there is none.
    """

    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=300, lr=1e-4, weight_decay=0.0, save_every=50, log_every=10)
    )
    batch: int = 16
    parts: int = 2
    noise: float = FEATURE_NOISE
    check_every: int = 25
    patience: int = 4
    balance: bool = False
    keep: float = 0.4


@dataclass(frozen=True, slots=True)
class Row:
    """One clip as the scorer sees it: class tokens `[T, C]`, frame labels `[T]` or None, its label, what it replays."""

    cls: np.ndarray
    labels: np.ndarray | None
    label: int


def rows_of(seen: Sequence[Seen]) -> list[Row]:
    """What the scorer learns of each clip."""
    return [Row(one.cls, one.labels, one.clip.label) for one in seen]


class ScorerDraw:
    """Draws batches of clips: a share from the replay, both labels as often as they are there.

    A batch is of clips with frame labels, or of clips that count by their label alone, since the losses differ. A
    normal clip can be of either: each of its frames is known.
    """

    def __init__(self, new: Sequence[Row], replay: Sequence[Row], share: float, noise: float) -> None:
        self.rows = [*new, *replay]
        weights = np.zeros(len(self.rows))
        for part, total in ((range(len(new)), 1 - share if replay else 1.0), (range(len(new), len(self.rows)), share)):
            for label in (0, 1):
                chosen = [i for i in part if self.rows[i].label == label]
                weights[chosen] = total / 2 / max(1, len(chosen))
        self.weights = weights / weights.sum()
        self.framed = np.array([row.labels is not None for row in self.rows])
        normal = np.array([row.label == 0 for row in self.rows])
        told = self.framed & ~normal
        self.framed_share = float(self.weights[self.framed].sum()) if told.any() or self.framed.all() else 0.0
        self._framed_weights = np.where(self.framed, self.weights, 0.0)
        self._whole_weights = np.zeros(len(self.rows))
        for label in (False, True):  # both as often as each other, as in `weights`
            these = (normal != label) & (normal | ~self.framed)
            if these.any():
                self._whole_weights[these] = self.weights[these] / self.weights[these].sum()
        self.noise = noise * float(np.concatenate([row.cls for row in self.rows[:64]]).std())

    def positive_share(self) -> float:
        """Share of abnormal frames in what is drawn, among clips with frame labels."""
        framed = [(w, row.labels) for w, row in zip(self.weights, self.rows, strict=True) if row.labels is not None]
        total = sum(weight for weight, _ in framed)
        return sum(weight * float(labels.mean()) for weight, labels in framed) / total if total else 0.5

    def __call__(self, rng: np.random.Generator, size: int) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """Features `[B, T, C]`, frame labels `[B, T]` or None, validity `[B, T]`, video labels bool `[B]`."""
        is_framed = bool(rng.random() < self.framed_share)
        weights = self._framed_weights if is_framed else self._whole_weights
        chosen = rng.choice(len(self.rows), size, p=weights / weights.sum())
        crops = [self._crop(self.rows[i], rng) if is_framed else _pooled(self.rows[i]) for i in chosen]
        features, labels, valid = pad(crops)
        features += torch.from_numpy(rng.normal(0, self.noise, features.shape).astype(np.float32))
        if not is_framed:
            return features, None, valid, torch.tensor([bool(self.rows[i].label) for i in chosen])
        return features, labels, valid, labels.any(1)

    def _crop(self, row: Row, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A stretch of at most `CROP` dense frames, around an event half the time where there is one."""
        spare = len(row.cls) - CROP
        assert row.labels is not None
        labels = row.labels
        start = int(rng.integers(0, spare + 1)) if spare > 0 else 0
        inside = np.flatnonzero(labels)
        if spare > 0 and len(inside) and rng.random() < 0.5:
            start = int(np.clip(rng.choice(inside) - rng.integers(0, CROP), 0, spare))
        return row.cls[start : start + CROP], labels[start : start + CROP]


def _pooled(row: Row) -> tuple[np.ndarray, np.ndarray]:
    """All of a clip in at most `CROP` steps, each the mean of a stretch: what makes it abnormal may be anywhere."""
    parts = np.array_split(row.cls, min(CROP, len(row.cls)))
    cls = np.stack([part.mean(0, dtype=np.float32) for part in parts])
    return cls, np.zeros(len(cls), np.float32)


def pad(crops: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[Tensor, Tensor, Tensor]:
    """Sequences of several lengths → features `[B, T, C]`, labels `[B, T]`, validity `[B, T]`."""
    length = max(len(cls) for cls, _ in crops)
    features = torch.zeros(len(crops), length, crops[0][0].shape[1])
    labels, valid = torch.zeros(len(crops), length), torch.zeros(len(crops), length, dtype=torch.bool)
    for i, (cls, label) in enumerate(crops):
        features[i, : len(cls)] = torch.from_numpy(np.ascontiguousarray(cls))
        labels[i, : len(cls)] = torch.from_numpy(label)
        valid[i, : len(cls)] = True
    return features, labels, valid


def tune_scorer(
    start: AnomalyScorer,
    new: Sequence[Row],
    replay: Sequence[Row],
    valid: Sequence[Row],
    tuning: ScorerTuning,
    out_dir: Path,
    *,
    share: float = 0.5,
    progress: Progress | None = None,
) -> AnomalyScorer:
    """A tuned copy of a scorer; the one given stays as it is.

    Args:
        share: how much of each batch is replay.
        valid: clips for early stopping; without both labels among them the run takes all its steps.
    """
    draw = ScorerDraw(new, replay, share, tuning.noise)
    share_of_positive = draw.positive_share()
    positive = min(4.0, (1 - share_of_positive) / max(share_of_positive, 1e-6)) if tuning.balance else 1.0
    weights = UrdmuWeights(positive=max(1.0, positive))

    def train(micro: int) -> AnomalyScorer:
        scorer = copy.deepcopy(start).float().requires_grad_(True).train()
        device = next(scorer.parameters()).device
        loop = replace(tuning.loop, parts=parts_for(tuning.batch, micro, tuning.parts))

        def loss(number: int) -> tuple[Tensor, dict[str, float]]:
            # By the number of the batch, so that two processes see the dropout that one would.
            torch.manual_seed(loop.seed * 1_000_003 + number)
            features, labels, is_valid, abnormal = draw(step_generator(loop.seed, number), micro)
            output = scorer(features.to(device), is_abnormal=abnormal.to(device), valid=is_valid.to(device))
            frame_labels = None if labels is None else labels.to(device)
            parts = urdmu_loss(output, frame_labels=frame_labels, weights=weights)
            return parts.total, {"score": parts.score.item()}

        stop = None
        if {row.label for row in valid} == {0, 1}:
            validate = validation_loss(scorer, valid)
            folder = out_dir / "scorer"
            folder.mkdir(parents=True, exist_ok=True)
            tell = (
                progress.looked("scorer", loop.steps, lambda: {"auc": frame_auc(scorer, valid)}) if progress else None
            )
            stop = EarlyStop(
                *({"scorer": scorer}, validate, folder),
                every=tuning.check_every, patience=tuning.patience, tell=tell,
            )  # fmt: skip
        watch = progress.watch("scorer", loop.steps) if progress else None
        if stop is None or not stop.is_over:
            fit(
                *({"scorer": scorer}, loss, loop, out_dir),
                name="scorer",
                optimiser=torch.optim.Adam,
                after=both(watch, stop),
            )
        if stop is not None:
            stop.restore()
        if replay:
            keep_some(scorer, start, tuning.keep)
        return scorer.eval().requires_grad_(False)

    return with_less_memory(train, max(1, tuning.batch // tuning.parts))


@torch.no_grad()
def frame_auc(scorer: AnomalyScorer, rows: Sequence[Row]) -> float:
    """ROC-AUC over the frames of some clips; a clip with a label alone counts with its highest score."""
    was_training = scorer.training
    scorer.eval()
    device, truth, scores = next(scorer.parameters()).device, [], []
    for row in rows:
        p = scorer(torch.from_numpy(row.cls)[None].to(device)).scores[0].float().cpu().numpy()
        truth.append(np.array([row.label]) if row.labels is None else row.labels)
        scores.append(p.max(keepdims=True) if row.labels is None else p)
    scorer.train(was_training)
    return roc_auc(np.concatenate(truth) > 0.5, np.concatenate(scores))


def validation_loss(scorer: AnomalyScorer, rows: Sequence[Row]) -> Callable[[], float]:
    """Cross-entropy over the frames of some clips (of their top scores, where only the clip has a label)."""

    @torch.no_grad()
    def validate() -> float:
        scorer.eval()
        device, total = next(scorer.parameters()).device, []
        for row in rows:
            p = scorer(torch.from_numpy(row.cls)[None].to(device)).scores[0].float().cpu().clamp(1e-6, 1 - 1e-6)
            if row.labels is None:
                p, y = p.topk(len(p) // 16 + 1).values.mean()[None], torch.tensor([float(row.label)])
            else:
                y = torch.from_numpy(row.labels)
            total.append(float(-(y * p.log() + (1 - y) * (1 - p).log()).mean()))
        scorer.train()
        return float(np.mean(total))

    return validate
