"""Losses of the scorer (UR-DMU, as Holmes-VAU trains it) and of the heatmap decoder (focal + Dice).

UR-DMU:  L = L_AS + 0.1·(L_A + L_pA + L_N + L_AN) + 0.1·L_triplet + 0.001·L_KL + 0.0001·L_dist

    L_AS       frame-level BCE against the event boundaries; with video labels only, the MIL form:
               BCE of the mean of the top T//16 + 1 scores of the video
    L_A        abnormal video: its top T//16 + 1 abnormal-bank attentions should be 1 (the bank answers at least once)
    L_pA       abnormal video: its lowest T//16 + 1 normal-bank attentions should be 0 (that bank misses at least once)
    L_N, L_AN  normal video: normal bank attends everywhere, abnormal bank nowhere
    L_triplet  anchor: features of a normal video where its normal bank attends most; positive: those of an abnormal
               video where the normal bank attends most; negative: where the abnormal bank does. Unit length, margin 1
    L_KL       pulls the normal code of normal videos to N(0, 1): summed over time, averaged over channels and videos
    L_dist     relu(100 − ‖abnormal code of the negative‖ + ‖normal code of the anchor‖)

The original pairs video i of the normal half with video i of the abnormal half. A batch here is any mix, so triplet
and distance are averaged over all (normal, abnormal) pairs; with one of each the two agree. A term whose kind of
video is missing from the batch is 0.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from workbench.errors import DataError
from workbench.stack.scorer import MemoryTerms, ScorerOutput

EPSILON = 1e-7


@dataclass(frozen=True)
class UrdmuWeights:
    """Weights and margins of `urdmu_loss`; the defaults are the published ones.

    `positive` multiplies L_AS on abnormal frames, to balance data in which they are rare.
    """

    memory: float = 0.1
    triplet: float = 0.1
    kl: float = 0.001
    distance: float = 0.0001
    positive: float = 1.0
    triplet_margin: float = 1.0
    distance_margin: float = 100.0

    def __post_init__(self) -> None:
        _refuse_negative(self)


class UrdmuLoss(NamedTuple):
    """Scalars; `total` is the weighted sum, the others are unweighted."""

    total: Tensor
    score: Tensor  # L_AS
    abnormal_hit: Tensor  # L_A
    normal_miss: Tensor  # L_pA
    normal_hit: Tensor  # L_N
    abnormal_silence: Tensor  # L_AN
    triplet: Tensor
    kl: Tensor
    distance: Tensor


@dataclass(frozen=True)
class FocalDiceWeights:
    """`alpha` is the weight of abnormal cells against normal ones, in [0, 1]; `gamma` quietens easy cells."""

    focal: float = 1.0
    dice: float = 1.0
    alpha: float = 0.5
    gamma: float = 2.0

    def __post_init__(self) -> None:
        _refuse_negative(self)
        if self.alpha > 1.0:
            raise DataError(f"FocalDiceWeights.alpha is {self.alpha}; it must be in [0, 1].")


class HeatmapLoss(NamedTuple):
    """Scalars; `total` is the weighted sum, the others are unweighted."""

    total: Tensor
    focal: Tensor
    dice: Tensor


def urdmu_loss(
    output: ScorerOutput, *, frame_labels: Tensor | None = None, weights: UrdmuWeights | None = None
) -> UrdmuLoss:
    """The UR-DMU loss of a pass that was given `is_abnormal`.

    frame_labels: [B, T] in [0, 1] (soft ones allowed), read where `valid`; None → MIL form of L_AS.
    Raises DataError when the pass carried no labels or the frame labels have another shape.
    """
    weights = weights or UrdmuWeights()
    terms = output.terms
    if terms is None:
        raise DataError("The scorer was run without labels; call it with is_abnormal to compute its loss.")
    if frame_labels is not None and frame_labels.shape != output.scores.shape:
        raise DataError(
            f"Frame labels have shape {tuple(frame_labels.shape)} but scores {tuple(output.scores.shape)}; "
            "give one label per dense frame."
        )
    zero = output.logits.float().sum() * 0.0
    score = _score_loss(output, terms, frame_labels, weights.positive)
    memory = _memory_losses(terms, zero)
    triplet, distance = _separation_losses(terms, weights, zero)
    kl = _kl_loss(terms, zero)
    total = (
        score
        + weights.memory * torch.stack(memory).sum()
        + weights.triplet * triplet
        + weights.kl * kl
        + weights.distance * distance
    )
    return UrdmuLoss(total, score, *memory, triplet, kl, distance)


def focal_dice_loss(heatmap: Tensor, target: Tensor, *, weights: FocalDiceWeights | None = None) -> HeatmapLoss:
    """Focal + Dice between heatmap and target, both [B, gh, gw] in [0, 1].

    The target may be soft (coverage of a cell, see `mask_to_grid`): focal is |y − p|^γ·BCE, which is the usual form
    for y in {0, 1}. Dice = 1 − (2·Σpy + 1)/(Σp + Σy + 1) is the mean over pictures with something abnormal in them: on
    an empty target it says only "less", which focal says for every cell. Raises DataError on unequal shapes.
    """
    if heatmap.ndim != 3 or heatmap.shape != target.shape:
        raise DataError(
            f"Heatmaps of shape {tuple(heatmap.shape)} cannot be compared with masks of shape {tuple(target.shape)}; "
            "both must be [B, rows, columns]."
        )
    weights = weights or FocalDiceWeights()
    p, y = heatmap.float(), target.float()
    balance = weights.alpha * y + (1.0 - weights.alpha) * (1.0 - y)
    focal = (balance * (y - p).abs().pow(weights.gamma) * _cross_entropy(p, y)).mean()
    overlap, extent = (p * y).sum((1, 2)), p.sum((1, 2)) + y.sum((1, 2))
    abnormal = target.flatten(1).any(1).float()
    dice = ((1.0 - (2.0 * overlap + 1.0) / (extent + 1.0)) * abnormal).sum() / abnormal.sum().clamp_min(1.0)
    return HeatmapLoss(weights.focal * focal + weights.dice * dice, focal, dice)


def mask_to_grid(masks: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """Masks [B, H, W] (bool, or in [0, 1]) → the covered share of each token cell, float32 [B, gh, gw] in [0, 1]."""
    if masks.ndim != 3:
        raise DataError(f"Masks of shape {tuple(masks.shape)} given; [B, rows, columns] wanted.")
    return functional.adaptive_avg_pool2d(masks.float().unsqueeze(1), grid_hw).squeeze(1)


def _score_loss(output: ScorerOutput, terms: MemoryTerms, frame_labels: Tensor | None, positive: float) -> Tensor:
    if frame_labels is None:
        video_score = _top_mean(output.scores.float(), terms.valid)
        return _cross_entropy(video_score, terms.is_abnormal.float()).mean()
    loss = functional.binary_cross_entropy_with_logits(
        output.logits.float(),
        frame_labels.float(),
        pos_weight=output.logits.new_tensor(positive, dtype=torch.float32),
        reduction="none",
    )
    return loss[terms.valid].mean()


def _memory_losses(terms: MemoryTerms, zero: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """L_A, L_pA, L_N, L_AN."""
    abnormal, valid = terms.is_abnormal, terms.valid
    abnormal_attention, normal_attention = terms.abnormal_attention.float(), terms.normal_attention.float()
    hit = miss = everywhere = nowhere = zero
    if bool(abnormal.any()):
        hit = _cross_entropy(_top_mean(abnormal_attention[abnormal], valid[abnormal]), 1.0).mean()
        miss = _cross_entropy(_top_mean(1.0 - normal_attention[abnormal], valid[abnormal]), 1.0).mean()
    if not bool(abnormal.all()):
        frames = valid & ~abnormal[:, None]
        everywhere = _cross_entropy(normal_attention[frames], 1.0).mean()
        nowhere = _cross_entropy(abnormal_attention[frames], 0.0).mean()
    return hit, miss, everywhere, nowhere


def _separation_losses(terms: MemoryTerms, weights: UrdmuWeights, zero: Tensor) -> tuple[Tensor, Tensor]:
    """L_triplet and L_dist over all (normal, abnormal) pairs of videos."""
    abnormal = terms.is_abnormal
    if bool(abnormal.all()) or not bool(abnormal.any()):
        return zero, zero
    by_normal = _top_weights(terms.normal_attention, terms.valid)  # [B, T], rows sum to 1
    by_abnormal = _top_weights(terms.abnormal_attention, terms.valid)
    anchor = _unit(_pool(terms.features, by_normal)[~abnormal])[:, None]
    positive = _unit(_pool(terms.features, by_normal)[abnormal])[None]
    negative = _unit(_pool(terms.features, by_abnormal)[abnormal])[None]
    gap = _distance(anchor, positive) - _distance(anchor, negative) + weights.triplet_margin
    negative_norm = _pool(terms.abnormal_code, by_abnormal)[abnormal].norm(dim=-1)[None]
    anchor_norm = _pool(terms.normal_code, by_normal)[~abnormal].norm(dim=-1)[:, None]
    distance = torch.relu(weights.distance_margin - negative_norm + anchor_norm)
    return torch.relu(gap).mean(), distance.mean()


def _kl_loss(terms: MemoryTerms, zero: Tensor) -> Tensor:
    normal = ~terms.is_abnormal
    if not bool(normal.any()):
        return zero
    mu, logvar = terms.normal_mu[normal].float(), terms.normal_logvar[normal].float()
    divergence = -0.5 * (1.0 + logvar - mu**2 - logvar.exp())
    return (divergence * terms.valid[normal].unsqueeze(-1)).sum(1).mean()


def _top_weights(values: Tensor, valid: Tensor) -> Tensor:
    """[B, T] → [B, T]: 1/k on the k = length//16 + 1 largest valid values of each row, 0 elsewhere; a constant."""
    order = values.detach().masked_fill(~valid, -torch.inf).argsort(dim=1, descending=True, stable=True)
    count = valid.sum(1, keepdim=True) // 16 + 1
    ranks = torch.arange(values.shape[1], device=values.device).expand_as(order)
    return torch.zeros_like(values, dtype=torch.float32).scatter(1, order, (ranks < count).float() / count)


def _top_mean(values: Tensor, valid: Tensor) -> Tensor:
    return (values * _top_weights(values, valid)).sum(1)


def _pool(sequence: Tensor, weights: Tensor) -> Tensor:
    """[B, T, D] weighted over time with [B, T] → [B, D] in float32."""
    return torch.einsum("btd,bt->bd", sequence.float(), weights)


def _unit(vectors: Tensor) -> Tensor:
    return functional.normalize(vectors, dim=-1)


def _distance(one: Tensor, other: Tensor) -> Tensor:
    """Euclidean; the shift by 1e-6, as in torch's triplet loss, keeps the gradient finite where both are equal."""
    return (one - other + 1e-6).norm(dim=-1)


def _cross_entropy(p: Tensor, target: Tensor | float) -> Tensor:
    """Element-wise BCE of probabilities; written out because torch's own refuses to run under autocast."""
    p = p.clamp(EPSILON, 1.0 - EPSILON)
    return -(target * p.log() + (1.0 - target) * (1.0 - p).log())


def _refuse_negative(weights: UrdmuWeights | FocalDiceWeights) -> None:
    for name, value in vars(weights).items():
        if not value >= 0.0:
            raise DataError(f"{type(weights).__name__}.{name} is {value}; it must be 0 or more.")
