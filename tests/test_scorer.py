"""UR-DMU: numbers of the published implementation, padding, bounded memory, refusals."""

import json
import math
import os
from pathlib import Path

import pytest
import torch

from workbench.errors import StackError
from workbench.stack.scorer import LOCAL_RADIUS, AnomalyScorer, UrdmuConfig, local_average

SHARED = Path(os.environ.get("WORKBENCH_SHARED", Path(__file__).parents[2] / "shared")) / "data" / "holmesvau"
needs_reference = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"reference tensors of Holmes-VAU are not at {SHARED}; set WORKBENCH_SHARED"
)
TINY = UrdmuConfig(input_dim=12, hidden=16, heads=2, head_dim=8, ffn=16, memory=20, classifier=8)


def tiny_scorer() -> AnomalyScorer:
    torch.manual_seed(0)
    return AnomalyScorer(TINY).eval()


@needs_reference
def test_parameter_names_and_shapes_are_the_published_ones():
    keys = json.loads((SHARED / "keys_urdmu.json").read_text())
    scorer = AnomalyScorer(UrdmuConfig(input_dim=1024))
    assert {name: list(value.shape) for name, value in scorer.state_dict().items()} == keys["keys"]
    assert sum(parameter.numel() for parameter in scorer.parameters()) == keys["n_params"]


@needs_reference
@pytest.mark.parametrize("width", [128, 1024])
def test_scores_equal_the_published_implementation(width):
    from safetensors.torch import load_file

    parity = SHARED / "parity"
    if width == 1024:
        weights = load_file(parity / "anomaly_scorer_1024.safetensors")
    else:
        weights = torch.load(parity / "small" / "anomaly_scorer.pth", weights_only=True)
    scorer = AnomalyScorer(UrdmuConfig.from_state_dict(weights)).eval()
    scorer.load_state_dict(weights, strict=True)
    assert scorer.config == UrdmuConfig(input_dim=width)
    reference = load_file(parity / "ref_urdmu.safetensors")
    for frames in (10, 40, 171, 200, 1000):
        with torch.no_grad():
            scores = scorer(reference[f"w{width}_T{frames}_features"][None]).scores[0]
        assert (scores - reference[f"w{width}_T{frames}_scores_eval"]).abs().max() <= 1e-6, frames


def dense_local_average(x: torch.Tensor) -> torch.Tensor:
    """The published form: a full matrix whose column j is divided by the sum of row j."""
    at = torch.arange(x.shape[1], dtype=torch.float64)
    decay = torch.exp(-(at[:, None] - at[None]).abs() / math.e)
    return ((decay / decay.sum(-1)).to(x.dtype) @ x).to(x.dtype)


@pytest.mark.parametrize("frames", [1, 2, LOCAL_RADIUS - 1, LOCAL_RADIUS, LOCAL_RADIUS + 1, 3 * LOCAL_RADIUS, 300])
def test_banded_local_half_equals_the_full_matrix(frames):
    x = torch.randn(2, frames, 5, dtype=torch.float64)
    assert torch.allclose(local_average(x), dense_local_average(x), atol=1e-9, rtol=0)


def test_local_half_of_a_very_long_video_needs_no_square_matrix():
    # 100 000² float32 would be 40 GB. Far from the ends the rows sum to one.
    averaged = local_average(torch.ones(1, 100_000, 1))
    assert torch.allclose(averaged[:, 100:-100], torch.ones(1), atol=1e-6)


def test_padded_videos_score_as_they_would_alone():
    scorer, lengths = tiny_scorer(), (1, 7, 90, 150)
    videos = [torch.randn(length, 12) for length in lengths]
    batch = torch.full((len(lengths), max(lengths), 12), float("nan"))
    valid = torch.zeros(batch.shape[:2], dtype=torch.bool)
    for row, video in enumerate(videos):
        batch[row, : len(video)], valid[row, : len(video)] = video, True
    with torch.no_grad():
        together = scorer(batch, valid=valid).scores
        for row, video in enumerate(videos):
            assert torch.allclose(together[row, : len(video)], scorer(video[None]).scores[0], atol=1e-6)


def test_long_videos_are_attended_in_chunks_with_the_same_result(monkeypatch):
    scorer, features = tiny_scorer(), torch.randn(1, 50, 12)
    with torch.no_grad():
        whole = scorer(features).scores
        monkeypatch.setattr("workbench.stack.scorer.QUERY_CHUNK", 7)
        assert torch.allclose(scorer(features).scores, whole, atol=1e-6)


def test_labels_add_terms_and_change_nothing_else_at_inference():
    scorer, features = tiny_scorer(), torch.randn(3, 20, 12)
    with torch.no_grad():
        plain, labelled = scorer(features), scorer(features, is_abnormal=torch.tensor([True, False, True]))
    assert plain.terms is None
    assert torch.equal(plain.scores, labelled.scores)
    assert torch.allclose(plain.scores, torch.sigmoid(plain.logits))
    terms = labelled.terms
    assert terms.features.shape == terms.normal_logvar.shape == (3, 20, 16)
    assert terms.abnormal_attention.shape == (3, 20)
    assert bool(((terms.normal_attention > 0) & (terms.normal_attention < 1)).all())


def test_training_samples_the_code_of_normal_videos_only():
    scorer = AnomalyScorer(UrdmuConfig(input_dim=12, hidden=16, heads=2, head_dim=8, dropout=0.0)).train()
    terms = scorer(torch.randn(2, 20, 12), is_abnormal=torch.tensor([True, False])).terms
    assert torch.equal(terms.normal_code[0], terms.normal_mu[0])
    assert not torch.allclose(terms.normal_code[1], terms.normal_mu[1])


def test_half_precision_features_are_taken():
    with torch.no_grad():
        scores = tiny_scorer()(torch.randn(1, 9, 12).to(torch.bfloat16)).scores
    assert scores.dtype == torch.float32
    assert bool(scores.isfinite().all())


@pytest.mark.parametrize("shape", [(9, 12), (1, 0, 12), (1, 9, 13)])
def test_wrong_features_are_refused(shape):
    with pytest.raises(StackError, match="12"):
        tiny_scorer()(torch.zeros(shape))


def test_wrong_labels_masks_sizes_and_checkpoints_are_refused():
    scorer, features = tiny_scorer(), torch.zeros(2, 5, 12)
    with pytest.raises(StackError, match="is_abnormal"):
        scorer(features, is_abnormal=torch.tensor([0, 1]))
    with pytest.raises(StackError, match="valid"):
        scorer(features, valid=torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(StackError, match="heads"):
        UrdmuConfig(input_dim=8, heads=0)
    with pytest.raises(StackError, match="dropout"):
        UrdmuConfig(input_dim=8, dropout=1.0)
    with pytest.raises(StackError, match="not a UR-DMU"):
        UrdmuConfig.from_state_dict({"weight": torch.zeros(1)})
