"""UR-DMU and focal-Dice losses: the published arithmetic, mixed batches, and nets that learn from them."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from finetune.losses import FocalDiceWeights, UrdmuLoss, UrdmuWeights, focal_dice_loss, mask_to_grid, urdmu_loss
from workbench.errors import DataError
from workbench.stack.scorer import AnomalyScorer, MemoryTerms, ScorerOutput, UrdmuConfig

TINY = UrdmuConfig(input_dim=6, hidden=32, heads=2, head_dim=16, ffn=32, memory=20, dropout=0.1, classifier=16)


def one_pair(frames: int = 40) -> ScorerOutput:
    """A pass over one abnormal and one normal video with a random net, noise included."""
    torch.manual_seed(0)
    return AnomalyScorer(TINY).train()(torch.randn(2, frames, 6), is_abnormal=torch.tensor([True, False]))


def published_terms(output: ScorerOutput) -> dict[str, Tensor]:
    """UR-DMU's own arithmetic for a half batch of one normal (row 1) and one abnormal (row 0) video."""
    terms, bce = output.terms, functional.binary_cross_entropy
    k = output.scores.shape[1] // 16 + 1
    attend_a, attend_n = terms.abnormal_attention, terms.normal_attention

    def pick(sequence: Tensor, attention: Tensor) -> Tensor:
        return sequence[attention.topk(k).indices].mean(0)

    anchor, negative = pick(terms.features[1], attend_n[1]), pick(terms.features[0], attend_a[0])
    positive = pick(terms.features[0], attend_n[0])
    units = (functional.normalize(v, dim=0)[None] for v in (anchor, positive, negative))
    far = pick(terms.abnormal_code[0], attend_a[0]).norm() - pick(terms.normal_code[1], attend_n[1]).norm()
    mu, var, one = terms.normal_mu[1:], terms.normal_logvar[1:], torch.tensor(1.0)
    return {
        "score": bce(output.scores.topk(k).values.mean(-1), torch.tensor([1.0, 0.0])),
        "abnormal_hit": bce(attend_a[0].topk(k).values.mean(), one),
        "normal_miss": bce((1 - attend_n[0]).topk(k).values.mean(), one),
        "normal_hit": bce(attend_n[1], torch.ones_like(attend_n[1])),
        "abnormal_silence": bce(attend_a[1], torch.zeros_like(attend_a[1])),
        "triplet": torch.nn.TripletMarginLoss(margin=1)(*units),
        "kl": (-0.5 * (1 + var - mu**2 - var.exp()).sum(1)).mean(),
        "distance": torch.relu(100 - far),
    }


def test_every_term_equals_the_published_arithmetic():
    output = one_pair()
    loss, expected = urdmu_loss(output), published_terms(output)
    for name, value in expected.items():
        assert float(getattr(loss, name)) == pytest.approx(float(value), rel=1e-5), name
    memory = sum(float(expected[name]) for name in ("abnormal_hit", "normal_miss", "normal_hit", "abnormal_silence"))
    total = float(expected["score"]) + 0.1 * memory + 0.1 * float(expected["triplet"])
    total += 0.001 * float(expected["kl"]) + 0.0001 * float(expected["distance"])
    assert float(loss.total) == pytest.approx(total, rel=1e-5)


def test_frame_labels_replace_the_video_label_in_the_score_term_only():
    output, labels = one_pair(), torch.zeros(2, 40)
    labels[0, 10:20] = 1.0
    weak, full = urdmu_loss(output), urdmu_loss(output, frame_labels=labels)
    expected = functional.binary_cross_entropy(output.scores, labels)
    assert float(full.score) == pytest.approx(float(expected), rel=1e-5)
    assert [float(v) for v in full[2:]] == [float(v) for v in weak[2:]]
    heavier = urdmu_loss(output, frame_labels=labels, weights=UrdmuWeights(positive=3.0))
    assert float(heavier.score) > float(full.score)


def test_order_of_videos_and_padding_do_not_matter():
    torch.manual_seed(0)
    scorer = AnomalyScorer(TINY).eval()
    features, abnormal = torch.randn(5, 40, 6), torch.tensor([True, False, False, True, False])
    labels = (torch.rand(5, 40) > 0.5).float() * abnormal[:, None]
    valid = torch.arange(40) < torch.tensor([40, 17, 33, 16, 40])[:, None]
    order = torch.tensor([3, 0, 4, 1, 2])

    def loss(*, rows: Tensor, pad: int) -> UrdmuLoss:
        grow = (0, pad)
        output = scorer(
            functional.pad(features[rows], (0, 0, *grow)),
            is_abnormal=abnormal[rows],
            valid=functional.pad(valid[rows], grow),
        )
        return urdmu_loss(output, frame_labels=functional.pad(labels[rows], grow, value=1.0))

    first, second = loss(rows=torch.arange(5), pad=0), loss(rows=order, pad=29)
    for name, one, other in zip(UrdmuLoss._fields, first, second, strict=True):
        assert float(one) == pytest.approx(float(other), rel=1e-4), name


@pytest.mark.parametrize("kind", [True, False])
def test_a_batch_of_one_kind_leaves_the_other_terms_at_zero(kind):
    output = AnomalyScorer(TINY).train()(torch.randn(3, 20, 6), is_abnormal=torch.full((3,), kind))
    loss = urdmu_loss(output)
    loss.total.backward()
    absent = ("normal_hit", "abnormal_silence", "kl") if kind else ("abnormal_hit", "normal_miss")
    assert all(float(getattr(loss, name)) == 0.0 for name in (*absent, "triplet", "distance"))
    assert math.isfinite(float(loss.total))


def test_gradient_reaches_every_parameter():
    scorer = AnomalyScorer(TINY).train()
    output = scorer(torch.randn(4, 24, 6), is_abnormal=torch.tensor([True, False, True, False]))
    urdmu_loss(output).total.backward()
    for name, parameter in scorer.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert bool(parameter.grad.any()), name


def bump_videos() -> tuple[Tensor, Tensor, Tensor]:
    """Eight videos of 48 frames; in the odd ones frames 20..29 are shifted along one direction."""
    torch.manual_seed(5)
    features, labels = torch.randn(8, 48, 6) * 0.5, torch.zeros(8, 48)
    labels[1::2, 20:30] = 1.0
    features[..., 0] += 3.0 * labels
    return features, labels.amax(1).bool(), labels


def fit_bump(*, with_frame_labels: bool) -> tuple[Tensor, Tensor]:
    """Scores after 60 steps on the bump videos, and the frame labels."""
    features, abnormal, labels = bump_videos()
    scorer = AnomalyScorer(TINY).train()
    optimiser = torch.optim.Adam(scorer.parameters(), lr=3e-3)
    for _ in range(60):
        optimiser.zero_grad()
        output = scorer(features, is_abnormal=abnormal)
        urdmu_loss(output, frame_labels=labels if with_frame_labels else None).total.backward()
        optimiser.step()
    with torch.no_grad():
        return scorer.eval()(features).scores, labels


def test_a_tiny_scorer_finds_a_bump_from_frame_labels():
    scores, labels = fit_bump(with_frame_labels=True)
    inside, outside = scores[labels == 1], scores[labels == 0]
    assert float((inside[:, None] > outside[None]).float().mean()) > 0.99
    assert float(scores[0::2].max()) < 0.5


def test_a_tiny_scorer_tells_videos_apart_from_video_labels():
    # Video labels say nothing about where in the video, so only the peaks are compared.
    peaks = fit_bump(with_frame_labels=False)[0].amax(1)
    assert float(peaks[1::2].min()) > 0.8
    assert float(peaks[0::2].max()) < 0.2


def test_focal_dice_by_hand():
    heatmap = torch.tensor([[[0.8, 0.1], [0.1, 0.1]], [[0.2, 0.2], [0.2, 0.2]]])
    target = torch.zeros(2, 2, 2)
    target[0, 0, 0] = 1.0
    loss = focal_dice_loss(heatmap, target)
    cells = [0.2**2 * -math.log(0.8), *[0.1**2 * -math.log(0.9)] * 3, *[0.2**2 * -math.log(0.8)] * 4]
    assert float(loss.focal) == pytest.approx(0.5 * sum(cells) / 8, rel=1e-4)
    assert float(loss.dice) == pytest.approx(1 - (2 * 0.8 + 1) / (1.1 + 1 + 1), rel=1e-5)
    assert float(loss.total) == pytest.approx(float(loss.focal) + float(loss.dice))


def test_focal_dice_is_zero_when_right_and_finite_when_utterly_wrong():
    target = torch.zeros(2, 4, 4)
    target[0, :2] = 1.0
    assert float(focal_dice_loss(target, target).total) == pytest.approx(0.0, abs=1e-6)
    wrong = (1.0 - target).requires_grad_()
    loss = focal_dice_loss(wrong, target)
    loss.total.backward()
    assert math.isfinite(float(loss.total))
    assert bool(wrong.grad.isfinite().all())
    assert float(focal_dice_loss(torch.full((1, 2, 2), 0.3), torch.zeros(1, 2, 2)).dice) == 0.0


def test_mask_to_grid_is_the_covered_share():
    masks = torch.zeros(1, 8, 12, dtype=torch.bool)
    masks[0, :4, :3] = True
    assert mask_to_grid(masks, (2, 3)).tolist() == [[[0.75, 0.0, 0.0], [0.0, 0.0, 0.0]]]


def test_losses_run_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert math.isfinite(float(urdmu_loss(one_pair()).total))
        assert math.isfinite(float(focal_dice_loss(torch.rand(1, 3, 3), torch.ones(1, 3, 3)).total))


def test_misuse_is_refused():
    output = one_pair()
    with pytest.raises(DataError, match="is_abnormal"):
        urdmu_loss(ScorerOutput(output.scores, output.logits, None))
    with pytest.raises(DataError, match="Frame labels"):
        urdmu_loss(output, frame_labels=torch.zeros(2, 39))
    with pytest.raises(DataError, match=r"kl is -1\.0"):
        UrdmuWeights(kl=-1.0)
    with pytest.raises(DataError, match="alpha"):
        FocalDiceWeights(alpha=1.5)
    with pytest.raises(DataError, match="rows"):
        focal_dice_loss(torch.zeros(1, 2, 2), torch.zeros(1, 2, 3))
    with pytest.raises(DataError, match="rows"):
        mask_to_grid(torch.zeros(4, 4), (2, 2))
    assert isinstance(output.terms, MemoryTerms)
