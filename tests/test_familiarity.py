"""Familiarity: trained parts speak where footage is like what they learned on, the motion score speaks elsewhere."""

from pathlib import Path

import numpy as np
import pytest
import torch

from finetune.assemble import assemble
from finetune.calibrate import labels_of, platt
from finetune.components import Learned
from finetune.errors import TrainingError
from finetune.familiarity import fit_familiarity
from finetune.fusion import fit_fusion
from tests.drawn import write_clip
from tests.test_calibrate import footage
from workbench.analysis import analyse, motion_leads
from workbench.errors import StackError
from workbench.events import smooth
from workbench.stack.familiarity import Familiarity, FamiliarityConfig, mean_tokens
from workbench.stack.fusion import Fusion, logit
from workbench.stack.loading import ModelStack
from workbench.stack.modules import load_module, save_module
from workbench.video import Clip


def clips_at(offset: float, n: int, *, seed: int = 0, frames: int = 20, dim: int = 8) -> list[np.ndarray]:
    """Clips whose tokens scatter about one place, in some directions ten times as much as in others."""
    rng = np.random.default_rng(seed)
    scale = np.linspace(0.1, 1.0, dim)
    places = offset * scale + rng.normal(0, scale, (n, dim))
    return [(place + rng.normal(0, 0.3 * scale, (frames, dim))).astype(np.float32) for place in places]


@pytest.fixture(scope="module")
def known() -> Familiarity:
    return fit_familiarity(clips_at(0.0, 200))


def test_most_of_its_own_footage_is_familiar_and_other_footage_is_not(known: Familiarity) -> None:
    own = [known(clip) for clip in clips_at(0.0, 200, seed=1)]
    other = [known(clip) for clip in clips_at(4.0, 50, seed=2)]
    assert 0.8 < np.mean(np.array(own) == 1) < 0.97, "nine in ten wholly"
    assert np.mean(own) > 0.93
    assert max(other) == 0


def test_distance_is_measured_in_spreads_not_in_numbers(known: Familiarity) -> None:
    centre = known.centres[0].numpy()
    steps = np.zeros((2, 8), np.float32)
    steps[0, 0] = steps[1, 7] = 0.5  # half a unit is five spreads of the first direction, half a spread of the last
    narrow, wide = known.distance(centre + steps)
    assert narrow > 3 * wide


def test_a_strange_moment_does_not_make_a_clip_unfamiliar(known: Familiarity) -> None:
    clip = clips_at(0.0, 1, seed=3)[0] * 0.1
    clip[3:6] += 50.0
    assert known(clip) == 1.0


def test_footage_that_was_learned_from_is_familiar_afterwards(known: Familiarity) -> None:
    camera = [clip * 0.2 + 4.0 for clip in clips_at(0.0, 6, seed=4)]
    assert max(known(clip) for clip in camera) == 0
    taught = known.also(camera[:5])
    assert taught(camera[5]) > 0.9
    assert taught.config.centres == 6
    assert known(camera[5]) == 0, "the one given stays as it is"
    assert taught.also(camera).config.centres == 7, "a clip that is learned from again adds nothing"
    strange = clips_at(-4.0, 5, seed=5)
    assert [taught(clip) for clip in strange] == [known(clip) for clip in strange] == [0] * 5


def test_it_survives_the_disk(known: Familiarity, tmp_path: Path) -> None:
    save_module(known.also(clips_at(4.0, 2)), known.also(clips_at(4.0, 2)).config, tmp_path, dtype=torch.float32)
    again = load_module(tmp_path, FamiliarityConfig, Familiarity, torch.device("cpu"))
    clip = clips_at(1.0, 1, seed=6)[0]
    assert np.allclose(again.distance(clip), known.also(clips_at(4.0, 2)).distance(clip))


def test_an_adapter_knows_the_clips_it_has_learned_from(
    known: Familiarity, tmp_path: Path, tiny_stack: ModelStack
) -> None:
    clips = clips_at(4.0, 5, seed=7)
    taught = Learned(familiarity=known.also(clips))
    info = assemble(tmp_path / "a", taught, tiny_stack, None, components=("scorer",), digest="d" * 64, lineage={})
    folder = info.path("familiarity")
    assert folder is not None
    again = load_module(folder, FamiliarityConfig, Familiarity, torch.device("cpu"))
    assert again.also(clips).config.centres == again.config.centres == known.config.centres + 5


def test_too_few_clips_and_senseless_bounds_are_named() -> None:
    with pytest.raises(TrainingError, match="3 clips are too few"):
        fit_familiarity(clips_at(0.0, 3))
    with pytest.raises(StackError, match="near 2 and far 1"):
        FamiliarityConfig(8, 2.0, 1.0)


def test_mean_tokens_reads_in_chunks_what_lies_on_disk(tmp_path: Path) -> None:
    tokens = np.random.default_rng(0).normal(size=(600, 4, 8)).astype(np.float16)
    np.save(tmp_path / "tokens.npy", tokens)
    lazy = np.load(tmp_path / "tokens.npy", mmap_mode="r")
    assert np.allclose(mean_tokens(lazy), tokens.astype(np.float32).mean(1))


def test_unfamiliar_footage_is_scored_by_motion_alone() -> None:
    fusion = Fusion(scorer=2.0, motion=0.2, heatmap=1.0, bias=-1.0, alone=0.8, alone_bias=0.5)
    motion = np.array([0.05, 0.5, 0.9])
    sure = {"scorer": np.full(3, 0.9), "heatmap": np.full(3, 0.9), "motion": motion}
    strange = fusion({**sure, "familiarity": np.zeros(3)})
    assert np.allclose(logit(strange), 0.8 * logit(motion) + 0.5, atol=1e-5)
    assert np.allclose(fusion({**sure, "familiarity": np.ones(3)}), fusion(sure))
    halves = logit(fusion({**sure, "familiarity": np.full(3, 0.5)}))
    assert np.allclose(halves, (logit(fusion(sure)) + logit(strange)) / 2, atol=1e-3)


def test_the_fit_leaves_unfamiliar_clips_to_motion() -> None:
    """Clips on which the scorer is wrong all the time cost it nothing where they are known to be unfamiliar."""
    rng = np.random.default_rng(0)
    parts, labels = [], []
    for number in range(40):
        strange, abnormal = number % 4 == 0, number % 2 == 0
        y = np.zeros(100)
        y[40:60] = abnormal
        told = 1 - y if strange else y
        part = {name: np.clip(0.1 + 0.8 * told + 0.05 * rng.random(100), 0, 1) for name in ("scorer", "heatmap")}
        part["motion"] = np.clip(0.2 + 0.5 * y + 0.1 * rng.random(100), 0, 1)
        part["familiarity"] = np.full(100, 0.0 if strange else 1.0)
        parts.append(part)
        labels.append(y)
    times = [np.arange(100) / 10] * len(parts)
    fusion = fit_fusion(parts, labels, times)
    fused = [fusion(part) for part in parts]
    right = [np.mean((curve >= fusion.threshold) == (y > 0)) for curve, y in zip(fused, labels, strict=True)]
    assert min(right) > 0.95
    blind = fit_fusion([{k: v for k, v in part.items() if k != "familiarity"} for part in parts], labels, times)
    assert blind.scorer < fusion.scorer


def test_calibration_of_a_camera_reaches_unfamiliar_footage() -> None:
    scored = [footage("gate", i, event=(100.0, 130.0) if i % 2 else None) for i in range(4)]
    for one in scored:  # the trained part is of no use here, motion tells
        one.parts["motion"], one.parts["scorer"] = one.parts["scorer"], one.parts["motion"]
        one.parts["familiarity"] = np.zeros(len(one.time_s), np.float32)
    base = Fusion(alone=0.5)
    share = np.mean([labels_of(one).mean() for one in scored])
    before, after = (np.mean([fusion(one.parts).mean() for one in scored]) for fusion in (base, platt(scored, base)))
    assert abs(after - share) < 0.01, "as much score as there is event"
    assert abs(before - share) > 0.05


def test_the_analysis_says_when_footage_is_unfamiliar(tiny_stack: ModelStack, tmp_path: Path) -> None:
    with Clip.open(write_clip(tmp_path / "clip.mp4", n_frames=64)) as clip:
        plain = analyse(clip, tiny_stack, cache_dir=tmp_path / "cache")
        assert "familiarity" not in plain.dense.parts
        assert plain.warnings == []
        width = tiny_stack.backbone.token_dim
        tiny_stack.familiarity = Familiarity(FamiliarityConfig(width, 0.0, 1e-3)).eval()
        try:
            strange = analyse(clip, tiny_stack, cache_dir=tmp_path / "cache")
        finally:
            tiny_stack.familiarity = None
    assert set(strange.dense.parts["familiarity"].tolist()) == {0.0}
    assert any("unlike what the models learned on (familiarity 0%)" in warning for warning in strange.warnings)
    assert motion_leads(strange.dense.parts)
    assert not motion_leads(plain.dense.parts)
    fusion, motion = tiny_stack.fusion, strange.dense.parts["motion"]
    alone = 1 / (1 + np.exp(-(fusion.alone * logit(motion) + fusion.alone_bias)))
    assert np.allclose(strange.dense.score, smooth(alone, strange.dense.time_s), atol=1e-5)
    assert motion.std() > 0
