"""Samplers: density, distinctness as a property, and the published behaviour."""

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import InputError, StackError
from workbench.stack.sampler import METHODS, distinct, published_uniform, sample_frames, uniform

SHARED = Path(os.environ.get("WORKBENCH_SHARED", Path(__file__).parents[2] / "shared")) / "data" / "holmesvau"
needs_reference = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"reference cases of Holmes-VAU are not at {SHARED}; set WORKBENCH_SHARED"
)
any_scores = st.lists(st.floats(-1.0, 2.0, width=32) | st.sampled_from([0.0, 1.0]), min_size=1, max_size=120)


@settings(max_examples=200, deadline=None)
@given(scores=any_scores, n=st.integers(1, 40), method=st.sampled_from(METHODS), tau=st.floats(1e-3, 10.0))
def test_any_answer_is_sorted_in_range_and_of_the_right_size(scores, n, method, tau):
    chosen = sample_frames(np.array(scores), n, method, tau)
    assert chosen.dtype == np.int64
    assert len(chosen) == min(n, len(scores))
    assert chosen.min() >= 0
    assert chosen.max() < len(scores)
    assert np.all(np.diff(chosen) >= (0 if method == "published" else 1))
    if len(scores) <= n:
        assert chosen.tolist() == list(range(len(scores)))


@settings(max_examples=100, deadline=None)
@given(frames=st.integers(1, 7), data=st.data())
def test_distinct_is_the_best_choice_there_is(frames, data):
    wanted = np.array(sorted(data.draw(st.lists(st.integers(0, frames - 1), min_size=1, max_size=frames))))
    chosen = distinct(wanted, frames)
    best = min(
        sum((a - b) ** 2 for a, b in zip(other, wanted, strict=True))
        for other in itertools.combinations(range(frames), len(wanted))
    )
    assert len(set(chosen.tolist())) == len(wanted)
    assert ((chosen - wanted) ** 2).sum() == best


def test_distinct_keeps_what_is_distinct_and_spreads_a_crowd_to_both_sides():
    assert distinct(np.array([2, 5, 9]), 10).tolist() == [2, 5, 9]
    assert distinct(np.array([10, 10, 10, 10, 10]), 40).tolist() == [8, 9, 10, 11, 12]
    assert distinct(np.array([0, 0, 0, 30]), 40).tolist() == [0, 1, 2, 30]
    assert distinct(np.array([9, 9, 9]), 10).tolist() == [7, 8, 9]
    with pytest.raises(InputError, match="at most 2"):
        distinct(np.array([0, 0, 0]), 2)


def test_a_peak_draws_the_samples_and_both_ends_stay():
    scores = np.full(200, 0.01)
    scores[80:120] = 0.95
    chosen = sample_frames(scores, 16)
    assert ((chosen >= 80) & (chosen < 120)).sum() >= 10  # 42 of the 59.6 units of S lie there: 11 of 16 points
    assert (chosen[0], chosen[-1]) == (0, 199)
    assert ((uniform(200, 16) >= 80) & (uniform(200, 16) < 120)).sum() <= 4


def test_tau_moves_ats_between_the_peak_and_uniform():
    scores = np.zeros(100)
    scores[40:60] = 1.0
    inside = [
        int(((c >= 40) & (c < 60)).sum()) for c in (sample_frames(scores, 12, tau=t) for t in (0.01, 0.1, 1.0, 9))
    ]
    assert inside == sorted(inside, reverse=True)
    assert inside[0] >= 9
    assert inside[-1] <= 3


def test_ats_points_are_evenly_spaced_on_the_cumulative_axis():
    # With tau 0.1: S = 0 .3 .6 .9 2.0 3.1 3.4 3.7 4.0, so the points 0, 4/3, 8/3, 4 fall into frames 0, 3, 4 and 7.
    scores = np.array([0.2, 0.2, 0.2, 1.0, 1.0, 0.2, 0.2, 0.2])
    assert sample_frames(scores, 4).tolist() == [0, 3, 4, 7]


def test_ats_does_not_favour_a_direction_of_time():
    rng = np.random.default_rng(3)
    for _ in range(20):
        scores = np.convolve(rng.random(150), np.ones(9) / 9, mode="same")
        forward, backward = sample_frames(scores, 12), sample_frames(scores[::-1], 12)
        assert forward.tolist() == (149 - backward[::-1]).tolist()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_give_the_uniform_answer(method, bad):
    scores = np.linspace(0, 1, 50)
    scores[7] = bad
    assert sample_frames(scores, 8, method).tolist() == uniform(50, 8).tolist()


def test_equal_scores_give_the_uniform_answer():
    for value in (0.0, 0.4, 1.0):
        for method in ("ats", "topk", "uniform"):
            assert sample_frames(np.full(50, value), 8, method).tolist() == [0, 7, 14, 21, 28, 35, 42, 49]
    assert uniform(9, 1).tolist() == [4]


def test_topk_takes_the_highest_and_earliest():
    assert sample_frames(np.array([0.1, 0.9, 0.5, 0.9, 0.5]), 3, "topk").tolist() == [1, 2, 3]


def test_one_frame_is_the_median_of_the_weight():
    scores = np.zeros(30)
    scores[20:23] = 1.0
    assert sample_frames(scores, 1, tau=0.01).tolist() == [21]


@needs_reference
def test_published_equals_the_public_code_case_by_case():
    cases = np.load(SHARED / "parity" / "ref_ats.npz")
    meta = json.loads((SHARED / "parity" / "ref_ats_meta.json").read_text())
    density = 0
    for name, case in meta.items():
        stem, n = name.rsplit("_k", 1)
        chosen = sample_frames(cases[f"{stem}_scores"], int(n), "published")
        reference = cases[f"{name}_idx"].astype(np.int64)
        if case["path"] == "density":
            density += 1
        else:  # fractional, perhaps repeated indices there, on which that code fails
            reference = np.unique(reference)
        assert chosen.tolist() == reference.tolist(), name
    assert (density, len(meta)) == (89, 144)


@needs_reference
def test_published_uniform_equals_the_public_code():
    for case in json.loads((SHARED / "parity" / "ref_get_index.json").read_text()):
        assert published_uniform(case["max_frame"], case["num_segments"]).tolist() == case["idx"]


def test_bad_requests_are_refused():
    with pytest.raises(StackError, match=r"\(2, 3\)"):
        sample_frames(np.zeros((2, 3)), 2)
    with pytest.raises(StackError, match=r"\(0,\)"):
        sample_frames(np.zeros(0), 2)
    with pytest.raises(InputError, match="0 frames"):
        sample_frames(np.zeros(4), 0)
    with pytest.raises(InputError, match="tau"):
        sample_frames(np.zeros(4), 2, tau=0.0)
    with pytest.raises(InputError, match="best"):
        sample_frames(np.zeros(4), 2, "best")
