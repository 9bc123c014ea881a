"""The analysis: dense pass, cache, curve, events — on drawn clips with known truth."""

import os
import re
import shutil
import time
from collections import namedtuple
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from tests.drawn import write_clip
from workbench import features
from workbench.analysis import analyse
from workbench.errors import InputError, StackError
from workbench.events import SMOOTH_S, find_events, smooth
from workbench.features import PartialCurve, dense_pass
from workbench.stack.fusion import PARTS, Fusion, heat_peaks
from workbench.stack.loading import ModelStack
from workbench.video import Clip

DiskUsage = namedtuple("DiskUsage", "total used free")


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    return Clip.open(write_clip(tmp_path / "marked.mp4", n_frames=150))


def test_every_contract_field_has_its_shape(tiny_stack: ModelStack, clip: Clip, tmp_path: Path) -> None:
    found = analyse(clip, tiny_stack, cache_dir=tmp_path / "cache")
    count = len(found.dense.frame_index)
    assert found.dense.stride == 2
    assert count == 75
    assert found.frame_score.shape == (150,)
    assert np.array_equal(found.frame_score[::2], found.dense.score)
    assert set(found.dense.parts) == {"scorer", "motion", "heatmap"}
    for curve in (found.dense.score, *found.dense.parts.values()):
        assert curve.shape == (count,)
        assert np.isfinite(curve).all()
        assert ((curve >= 0) & (curve <= 1)).all()
    assert len(found.sampled_frames) == len(set(found.sampled_frames)) == tiny_stack.profile.n_frames
    assert set(found.sampled_frames) <= set(found.dense.frame_index.tolist())
    assert found.heatmaps is not None
    assert found.heatmaps.heatmap.dtype == np.float16
    assert found.heatmaps.heatmap.shape == (count, *tiny_stack.backbone.grid_hw)
    assert np.allclose(found.dense.time_s, clip.times_s[found.dense.frame_index])


def test_the_same_clip_is_encoded_once(tiny_stack: ModelStack, clip: Clip, tmp_path: Path) -> None:
    stages: list[str] = []

    def listen(stage: str, _fraction: float, _curve: PartialCurve | None) -> None:
        stages.append(stage)

    first = analyse(clip, tiny_stack, cache_dir=tmp_path / "cache", progress=listen)
    assert "encode" in stages
    stages.clear()
    again = analyse(clip, tiny_stack, sampler="uniform", cache_dir=tmp_path / "cache", progress=listen)
    assert "encode" not in stages
    assert np.array_equal(first.dense.score, again.dense.score)


def test_the_curve_fills_in_while_the_pass_runs(tiny_stack: ModelStack, clip: Clip, tmp_path: Path) -> None:
    lengths: list[int] = []

    def listen(stage: str, fraction: float, curve: PartialCurve | None) -> None:
        if stage == "encode":
            assert curve is not None
            assert len(curve.time_s) == len(curve.score) == round(fraction * 75)
            lengths.append(len(curve.time_s))

    analyse(clip, tiny_stack, cache_dir=tmp_path / "cache", progress=listen)
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1] == 75


def test_a_cancelled_pass_leaves_nothing_half_done(tiny_stack: ModelStack, clip: Clip, tmp_path: Path) -> None:
    def cancel(_stage: str, fraction: float, _curve: PartialCurve | None) -> None:
        if fraction > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dense_pass(clip, tiny_stack, cache_dir=tmp_path / "cache", progress=cancel)
    assert list((tmp_path / "cache").iterdir()) == []
    assert len(dense_pass(clip, tiny_stack, cache_dir=tmp_path / "cache").time_s) == 75


def test_the_pass_knows_how_far_apart_pictures_are(tiny_stack: ModelStack, tmp_path: Path) -> None:
    motion = {}
    for name, pause_ms in (("even", 0), ("gap", 5000)):
        pts = [40 * i + pause_ms * (i >= 10) for i in range(20)]
        path = write_clip(tmp_path / f"{name}.mkv", n_frames=20, pts=pts, time_base=Fraction(1, 1000))
        motion[name] = analyse(Clip.open(path), tiny_stack, cache_dir=tmp_path / "cache").dense.parts["motion"]
    assert motion["even"][10] > 0
    assert motion["gap"][10] == 0
    assert motion["gap"][[9, 12]].min() > 0


@pytest.mark.parametrize(
    ("rate", "said"),
    [("2", "2 pictures a second: .* estimated"), ("1/2", "0.5 pictures a second: .* none"), ("10", "")],
)
def test_too_few_pictures_a_second_are_told(tiny_stack: ModelStack, tmp_path: Path, rate: str, said: str) -> None:
    slow = Clip.open(write_clip(tmp_path / "slow.mp4", n_frames=6, rate=Fraction(rate)))
    told = [w for w in analyse(slow, tiny_stack, cache_dir=tmp_path / "cache").warnings if "pictures a second" in w]
    assert len(told) == bool(said)
    assert all(re.search(said, warning) for warning in told)


@pytest.mark.parametrize(
    ("option", "value"), [("n_frames", 0), ("n_frames", 500), ("threshold", 0.0), ("threshold", 1.0)]
)
def test_nonsense_is_refused(tiny_stack: ModelStack, clip: Clip, tmp_path: Path, option: str, value: float) -> None:
    with pytest.raises(InputError, match=str(value)):
        analyse(clip, tiny_stack, cache_dir=tmp_path / "cache", **{option: value})  # type: ignore[arg-type]


def test_a_hump_becomes_one_event_with_its_peak() -> None:
    time_s = np.arange(100) / 10
    score = np.full(100, 0.1, np.float32)
    score[40:60] = 0.9
    score[50] = 0.95
    (event,) = find_events(score, time_s, threshold=0.5, end_s=10.0)
    assert (event.start_s, event.end_s) == (4.0, 6.0)
    assert (event.peak_s, event.peak_score) == (5.0, pytest.approx(0.95))


def test_events_close_together_are_one_and_specks_are_none() -> None:
    time_s = np.arange(200) / 10
    score = np.zeros(200, np.float32)
    score[20:40] = score[45:60] = 0.8
    score[150] = 0.9
    events = find_events(score, time_s, threshold=0.5, end_s=20.0)
    assert [(e.start_s, e.end_s) for e in events] == [(2.0, 6.0)]


def test_an_event_at_the_end_lasts_to_the_end() -> None:
    score = np.r_[np.zeros(50), np.ones(50)]
    (event,) = find_events(score, np.arange(100) / 10, threshold=0.5, end_s=10.05)
    assert event.end_s == 10.05


def test_smoothing_is_by_time_and_keeps_the_range() -> None:
    spike = np.zeros(200, np.float32)
    spike[100] = 1
    fine = smooth(spike, np.arange(200) / 100)
    coarse = smooth(spike, np.arange(200) / 2)
    assert fine.max() < 0.1 < coarse.max() <= 1.0
    assert smooth(np.ones(2, np.float32), np.array([0.0, 0.0])).tolist() == [1.0, 1.0]


def test_evenly_spaced_curves_are_one_stretch() -> None:
    """However far apart the scored frames are: smoothing is the plain filter's, and no event is cut."""
    rng = np.random.default_rng(4)
    for step in (1 / 30, 0.64, 1.6, 40.0):
        time_s, score = np.arange(300) * step, rng.random(300).astype(np.float32)
        plain = gaussian_filter1d(score.astype(np.float64), SMOOTH_S / step, mode="nearest").clip(0, 1)
        np.testing.assert_allclose(smooth(score, time_s), plain, atol=1e-6)
        (event,) = find_events(np.full(300, 0.9, np.float32), time_s, threshold=0.5, end_s=300 * step)
        assert (event.start_s, event.end_s) == (0.0, 300 * step)


def test_a_gap_in_the_recording_parts_smoothing_and_events() -> None:
    time_s = np.r_[np.arange(50) / 25, 598 + np.arange(50) / 25]
    score = np.r_[np.full(50, 0.9), np.full(50, 0.02)].astype(np.float32)
    smoothed = smooth(score, time_s)
    np.testing.assert_allclose(smoothed, score, atol=1e-6)
    (event,) = find_events(smoothed, time_s, threshold=0.5, end_s=600.0)
    assert (event.start_s, event.end_s) == (0.0, pytest.approx(2.0))
    still_at_it = np.full(100, 0.9, np.float32)
    spans = [(e.start_s, e.end_s) for e in find_events(still_at_it, time_s, threshold=0.5, end_s=600.0)]
    assert spans == [(0.0, pytest.approx(2.0)), (598.0, 600.0)]


def test_an_event_does_not_last_through_a_last_picture_that_stands_for_minutes() -> None:
    (event,) = find_events(np.ones(50, np.float32), np.arange(50) / 25, threshold=0.5, end_s=300.0)
    assert event.end_s == pytest.approx(2.0)
    (only,) = find_events(np.ones(1, np.float32), np.zeros(1), threshold=0.5, end_s=5.0)
    assert only.end_s == 5.0


def test_fusion_rises_with_each_part_and_stays_finite() -> None:
    fusion = Fusion(scorer=1.0, motion=0.5, heatmap=0.3, bias=-0.2)
    low, high = np.array([0.0, 0.2]), np.array([1.0, 0.9])
    calm = dict.fromkeys(PARTS, low)
    for part in PARTS:
        risen = fusion(calm | {part: high})
        assert (risen > fusion(calm)).all(), part
        assert np.isfinite(risen).all()
    with pytest.raises(StackError, match="negative"):
        Fusion(scorer=-1.0)


def test_a_small_hot_spot_is_a_peak() -> None:
    cold, spot = np.full((16, 16), 0.1), np.full((16, 16), 0.1)
    spot[3:5, 7:9] = 0.9
    assert heat_peaks(np.stack([cold, spot])).tolist() == pytest.approx([0.1, 0.9])
    assert heat_peaks(np.full((2, 4, 4), 0.3)).tolist() == pytest.approx([0.3, 0.3])


def test_fusion_survives_its_file(tmp_path: Path) -> None:
    fusion = Fusion(0.7, 0.2, 0.1, -1.0, 0.4)
    fusion.save(tmp_path / "fusion.json")
    assert Fusion.load(tmp_path / "fusion.json") == fusion
    assert Fusion.load(tmp_path / "absent.json") == Fusion()


def test_a_full_cache_spares_what_another_process_is_making(
    tiny_stack: ModelStack, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "CACHE_LIMIT_BYTES", 0)
    for name, age_s in (("partial-now", 60), ("partial-given-up", 200_000), ("finished", 60)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokens.npy").write_bytes(b"0" * 100)
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    dense_pass(clip, tiny_stack, cache_dir=tmp_path)
    assert (tmp_path / "partial-now").exists()
    assert not (tmp_path / "partial-given-up").exists()
    assert not (tmp_path / "finished").exists()


def old_entry(cache: Path, name: str, size: int, age_s: float) -> Path:
    (cache / name).mkdir(parents=True)
    with (cache / name / "tokens.npy").open("wb") as file:
        file.truncate(size)
    os.utime(cache / name, (time.time() - age_s,) * 2)
    return cache / name


def test_features_that_do_not_fit_on_the_disk_are_refused_before_the_pass(
    tiny_stack: ModelStack, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = old_entry(tmp_path / "cache", "older", 1000, 60)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: DiskUsage(10**9, 10**9 - 2000, 2000))
    tokens = 75 * tiny_stack.backbone.tokens_per_frame * tiny_stack.backbone.token_dim * 2
    seen: list[float] = []
    with pytest.raises(InputError, match="WORKBENCH_CACHE") as told:
        dense_pass(clip, tiny_stack, cache_dir=tmp_path / "cache", progress=lambda _s, done, _c: seen.append(done))
    assert f"marked.mp4 take {tokens / 1e9:.3g} GB" in str(told.value)
    assert "has room for 3e-06 GB" in str(told.value)
    assert not seen
    assert list((tmp_path / "cache").iterdir()) == [kept]


def test_older_entries_make_way_before_the_disk_is_full(
    tiny_stack: ModelStack, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = 75 * tiny_stack.backbone.tokens_per_frame * tiny_stack.backbone.token_dim * 2
    oldest, newer = (old_entry(tmp_path, name, 2 * tokens, age) for name, age in (("a", 200), ("b", 100)))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: DiskUsage(10**9, 10**9 - 2000, 2000))
    dense_pass(clip, tiny_stack, cache_dir=tmp_path)
    assert (oldest.exists(), newer.exists()) == (False, True)


def test_features_larger_than_the_cache_are_told_of_and_kept_alone(
    tiny_stack: ModelStack,
    clip: Clip,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    old_entry(tmp_path, "older", 1000, 60)
    dense_pass(clip, tiny_stack, cache_dir=tmp_path)
    assert not caplog.messages
    assert len(list(tmp_path.glob("*-s2-v*"))) == 1
    assert (tmp_path / "older").exists()
    monkeypatch.setattr(features, "CACHE_LIMIT_BYTES", 5000)
    with Clip.open(write_clip(tmp_path / "other.mp4", n_frames=70)) as other:
        dense_pass(other, tiny_stack, cache_dir=tmp_path)
        (entry,) = (path for path in tmp_path.iterdir() if path.is_dir())
        assert entry.name.startswith(other.info.sha256[:24])
    (message,) = caplog.messages
    assert "other.mp4 take" in message
