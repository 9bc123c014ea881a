"""Calibration from corrections: the budget holds on the reviewed footage, cameras differ, scores come to mean odds."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finetune.calibrate import (
    Scored,
    calibrate,
    calibrate_store,
    describe,
    labels_of,
    load_calibrations,
    platt,
)
from finetune.metrics import roc_auc
from finetune.records import TrainingClip
from tests.store_support import empty_store, store_with_clip
from tests.tiny_stack import tiny_stack
from workbench.calibration import camera_of, read_fusions
from workbench.corrections import log
from workbench.corrections.history import edit, save
from workbench.corrections.log import Author, Change
from workbench.errors import DataError, InputError, StackError
from workbench.events import find_events, smooth
from workbench.stack.fusion import Fusion

MINUTE = 60.0
TIMES = np.arange(0, 10 * MINUTE, 0.5)
BASE = Fusion(scorer=1.0, motion=0.0, heatmap=0.0)


def footage(camera: str, number: int, *, event: tuple[float, float] | None, noise: float = 0.25) -> Scored:
    """Ten minutes of a camera; its false peaks reach `noise`, an event 0.7."""
    rng = np.random.default_rng((sum(camera.encode()), number))
    score = 0.05 + noise * (rng.random(len(TIMES)) < 0.004) + 0.02 * rng.random(len(TIMES))
    if event:
        score[(event[0] <= TIMES) & (event[1] > TIMES)] = 0.7
    clip = TrainingClip(
        *(f"{camera}_{number}", f"{number:064x}", "x.mp4", "corrections", "main:1", len(TIMES), 2.0, 64, 48),
        *(int(event is not None), "fire" if event else None, (event,) if event else ()),
    )
    parts = {"scorer": np.clip(score, 0, 1).astype(np.float32), "motion": np.full(len(TIMES), 0.5, np.float32)}
    return Scored(camera, clip, TIMES, parts, 10 * MINUTE)


def recorded(camera: str, noise: float) -> list[Scored]:
    events = [(100.0, 130.0), None, (300.0, 320.0), None, None, None]
    return [footage(camera, i, event=event, noise=noise) for i, event in enumerate(events)]


def test_the_budget_holds_and_a_looser_one_lowers_the_threshold() -> None:
    scored = recorded("gate", 0.3)
    found = {budget: calibrate(scored, BASE, alerts_per_day=budget).cameras[0] for budget in (30, 300, 3000)}
    for budget, one in found.items():
        assert one.false_alerts_per_day <= budget
        assert one.hits == 1.0
    thresholds = [found[budget].fusion.threshold for budget in (30, 300, 3000)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert thresholds[0] > thresholds[-1]


def test_a_noisy_camera_gets_a_threshold_of_its_own() -> None:
    made = calibrate([*recorded("gate", 0.1), *recorded("yard", 0.5)], BASE, alerts_per_day=200)
    gate, yard = made.fusion_for("gate"), made.fusion_for("yard")
    assert gate is not None
    assert yard is not None
    assert gate != yard
    assert made.fusion_for("roof") is None


def test_an_alert_over_everything_is_a_false_one_though_an_event_is_in_it() -> None:
    """Every clip holds an event and the scores hardly tell it: the lowest threshold would find all and alert always."""
    rng = np.random.default_rng(0)
    scored = []
    for number in range(12):
        one = footage("door", number, event=(200.0, 260.0))
        score = 0.3 + 0.1 * ((TIMES >= 200) & (TIMES < 260)) + rng.normal(0, 0.1, len(TIMES))
        scored.append(replace(one, parts={**one.parts, "scorer": score.clip(0.01, 0.99).astype(np.float32)}))
    made = calibrate(scored, BASE, alerts_per_day=30).cameras[0]
    covered = 0.0
    for one in scored:
        curve = smooth(made.fusion(one.parts), one.time_s)
        alerts = find_events(curve, one.time_s, threshold=made.fusion.threshold, end_s=one.duration_s)
        covered += sum(alert.end_s - alert.start_s for alert in alerts)
    assert covered / sum(one.duration_s for one in scored) < 0.5
    assert made.false_alerts_per_day <= 30


def test_little_footage_cannot_promise_a_rare_alert_and_says_so() -> None:
    made = calibrate(recorded("gate", 0.3), BASE, alerts_per_day=1)
    assert made.cameras[0].is_extrapolated
    assert made.cameras[0].false_alerts_per_day == 0
    assert "cannot tell 1 a day from none" in describe(made)
    assert not calibrate(recorded("gate", 0.3), BASE, alerts_per_day=2000).cameras[0].is_extrapolated


def test_scores_come_to_mean_odds_and_keep_their_order() -> None:
    scored = recorded("gate", 0.1)
    one = calibrate(scored, BASE, alerts_per_day=50).cameras[0]
    assert one.ece_after < one.ece_before / 2
    labels = np.concatenate([labels_of(s) for s in scored])
    before, after = (np.concatenate([fusion(s.parts) for s in scored]) for fusion in (BASE, one.fusion))
    assert roc_auc(labels, after) == pytest.approx(roc_auc(labels, before), abs=1e-6)


def test_one_kind_of_moment_leaves_the_scores_as_they_are() -> None:
    scored = [footage("gate", i, event=None) for i in range(3)]
    assert platt(scored, BASE) == BASE
    one = calibrate(scored, BASE, alerts_per_day=100).cameras[0]
    assert replace(one.fusion, threshold=BASE.threshold) == BASE


def test_calibrations_are_read_back(tmp_path: Path) -> None:
    made = calibrate(recorded("gate", 0.3), BASE, profile="bundled", alerts_per_day=50)
    made.save(tmp_path / "calibration.json")
    assert load_calibrations(tmp_path / "calibration.json") == made
    (tmp_path / "calibration.json").write_text("{}")
    with pytest.raises(DataError, match="holds no calibration"):
        load_calibrations(tmp_path / "calibration.json")


def test_a_camera_is_scored_by_its_own_calibration_and_no_other(tmp_path: Path) -> None:
    made = calibrate([*recorded("gate", 0.1), *recorded("yard", 0.5)], BASE, profile="tiny", alerts_per_day=200)
    path = tmp_path / "calibration.json"
    replace(made, pattern="^[a-z]+").save(path)
    stack = tiny_stack(tmp_path / "weights")
    assert read_fusions(path).apply(stack, "yard_2024") == "yard"
    assert stack.fusion == made.fusion_for("yard") != made.fusion_for("gate")
    with pytest.raises(DataError, match=r"The camera 'roof' .* calibrated are: gate, yard"):
        read_fusions(path).apply(stack, "roof_1")
    stack.adapter = "night"
    with pytest.raises(StackError, match="not for tiny with the adapter night"):
        read_fusions(path).apply(stack, "yard_2024")
    path.write_text('{"cameras": {"a": {"fusion": {"scorer": -1}}}, "profile": "tiny", "pattern": "("}')
    with pytest.raises(DataError, match="holds no calibration"):
        read_fusions(path)


@pytest.mark.parametrize("budget", [0, -1, float("nan")])
def test_a_budget_is_a_positive_number(budget: float) -> None:
    with pytest.raises(InputError, match="alert budget"):
        calibrate(recorded("gate", 0.3), BASE, alerts_per_day=budget)


def test_the_camera_is_found_in_the_name() -> None:
    assert camera_of("cam3_2024-01-02", re.compile(r"^cam\d+")) == "cam3"
    assert camera_of("x-cam3-y", re.compile(r"-(cam\d)-")) == "cam3"
    assert camera_of("street", re.compile(r"^cam\d+")) == "all"
    assert camera_of("street", None) == "all"


def test_from_a_store_of_corrections(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    media = tmp_path / "street.mp4"
    media.write_bytes(b"kept for its path alone: calibration reads no pictures")
    with store.writing() as db:
        log.append(db, Author("workbench", clip.id, action="import"), Change("clip", "clip", "path", str(media)))
    save(store, clip.id, [edit("video", "video", "state", "done")], annotator="ann")
    made = calibrate_store(store, profile="bundled", alerts_per_day=5, camera="^[a-z]+")
    assert [one.camera for one in made.cameras] == ["street"]
    assert made.cameras[0].hits == 1.0
    with pytest.raises(DataError, match="has an analysis of the profile"):
        calibrate_store(store, profile="holmesvau-2b", alerts_per_day=5)
    with pytest.raises(InputError, match="not a regular expression"):
        calibrate_store(store, profile="bundled", alerts_per_day=5, camera="(")
    with pytest.raises(DataError, match="no approved corrections"):
        calibrate_store(empty_store(tmp_path, "empty.db"), profile="bundled", alerts_per_day=5)
