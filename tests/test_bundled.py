"""The stack every newcomer meets: small, complete, offline. How good it is, its card says; here it must beat chance."""

import json
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finetune.metrics import roc_auc
from finetune.scenes import read_truth
from workbench.analysis import FAMILIARITY, analyse
from workbench.answers import parse_judgement
from workbench.conversation import Conversation, name_events
from workbench.errors import StackError
from workbench.profiles import ASSETS, StackProfile
from workbench.records import Analysis
from workbench.stack.loading import ModelStack, load_module
from workbench.stack.scorer import AnomalyScorer, UrdmuConfig
from workbench.video import Clip

SAMPLES = sorted((ASSETS / "samples" / "clips").glob("*.mp4"))


@pytest.fixture(scope="module")
def analysed(bundled_stack: ModelStack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Analysis]:
    cache = tmp_path_factory.mktemp("cache")
    found = {}
    for path in SAMPLES:
        with Clip.open(path) as clip:
            found[path.stem] = analyse(clip, bundled_stack, cache_dir=cache)
    return found


def truth_of(name: str):
    return read_truth(ASSETS / "samples" / "truth" / f"{name}.json")


def test_samples_and_weights_are_there_and_small() -> None:
    assert len(SAMPLES) >= 6
    files = [path for path in ASSETS.rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) < 10_000_000
    assert (ASSETS / "bundled" / "CARD.md").exists()
    assert {p.suffix for p in (ASSETS / "bundled").rglob("*") if p.stat().st_size > 1_000_000} <= {".safetensors"}


def test_the_card_repeats_the_measured_numbers() -> None:
    metrics = json.loads((ASSETS / "bundled" / "metrics.json").read_text())
    card = (ASSETS / "bundled" / "CARD.md").read_text()
    assert metrics["n_clips"] >= 60
    for name in ("frame_auc", "pixel_auc", "judgement_accuracy", "mask_iou_box"):
        assert f"| {name} | {metrics[name]:.3f} |" in card


def test_it_judges_most_of_its_samples_right(bundled_stack: ModelStack, analysed: dict[str, Analysis]) -> None:
    right = 0
    for name, analysis in analysed.items():
        answer = Conversation(bundled_stack, analysis).say("judgement").answer
        right += parse_judgement(answer) is bool(truth_of(name).label)
    assert right >= len(analysed) - 2


def test_an_event_is_named_only_where_the_model_is_sure_and_the_footage_familiar(
    bundled_stack: ModelStack, analysed: dict[str, Analysis]
) -> None:
    def names(profile: StackProfile, analysis: Analysis) -> list[str | None]:
        again = replace(analysis, events=[replace(event, category="as before") for event in analysis.events])
        name_events(replace(bundled_stack, profile=profile), again)
        return [event.category for event in again.events]

    [fire] = [analysis for name, analysis in analysed.items() if name.startswith("fire")]
    profile = bundled_stack.profile
    assert names(profile, fire) == ["fire"]
    assert names(replace(profile, least_sure=1.01), fire) == [None], "nothing is that sure"
    parts = fire.dense.parts | {FAMILIARITY: np.zeros_like(fire.dense.parts[FAMILIARITY])}
    unlike = replace(fire, dense=replace(fire.dense, parts=parts))
    assert names(profile, unlike) == [None]


def test_how_sure_it_was_of_words_is_the_probability_of_their_tokens(
    bundled_stack: ModelStack, analysed: dict[str, Analysis]
) -> None:
    talk = Conversation(bundled_stack, next(iter(analysed.values())))
    assert talk.sure_of("anything") == 0
    answer = talk.say("judgement").answer
    ids, chances = talk._said
    assert len(ids) == len(chances) > 3
    assert talk.sure_of(answer) == pytest.approx(np.prod(chances))
    assert talk.sure_of(answer[0]) == chances[0]
    assert talk.sure_of("no such words") == 0
    talk.say("description")
    assert len(talk._said[0]) == len(talk._said[1]), "of the last answer alone"


def test_its_scores_tell_events_from_normal_life(analysed: dict[str, Analysis]) -> None:
    curves = [(np.asarray(truth_of(name).frame_label), a.frame_score) for name, a in analysed.items()]
    labels, scores = (np.concatenate(rows) for rows in zip(*curves, strict=True))
    assert roc_auc(labels, scores) > 0.8


@pytest.mark.parametrize("name", ["robbery", "car_accident"])
def test_real_footage_gives_a_curve_that_says_something(
    bundled_stack: ModelStack, shared_dir: Path, tmp_path: Path, name: str
) -> None:
    with Clip.open(shared_dir / "data" / "clips" / f"{name}.mp4") as clip:
        analysis = analyse(clip, bundled_stack, cache_dir=tmp_path)
    assert np.isfinite(analysis.frame_score).all()
    assert float(analysis.frame_score.max() - analysis.frame_score.min()) > 0.1
    assert all(np.isfinite(part).all() for part in analysis.dense.parts.values())


def test_it_loads_and_works_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("something tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    stack = ModelStack.load("bundled", device="cpu")
    with Clip.open(SAMPLES[0]) as clip:
        analysis = analyse(clip, stack, cache_dir=tmp_path)
    assert Conversation(stack, analysis).say("description").answer


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    import torch

    source = ASSETS / "bundled" / "scorer"
    (tmp_path / "config.json").write_text((source / "config.json").read_text().replace('"depth": 2', '"depth": 3'))
    (tmp_path / "model.safetensors").write_bytes((source / "model.safetensors").read_bytes())
    with pytest.raises(StackError, match=r"missing \['self_attn.layers.2"):
        load_module(tmp_path, UrdmuConfig, AnomalyScorer, torch.device("cpu"))
    with pytest.raises(StackError, match="lacks"):
        load_module(tmp_path / "nowhere", UrdmuConfig, AnomalyScorer, torch.device("cpu"))
