"""The registry: one step forward, one step back, nothing half, nothing that could run, nothing unexplained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from finetune.agreement import BEFORE, MOTION, compared
from finetune.errors import TrainingError
from finetune.gate import Change, compare, judge
from finetune.measure import ClipResult
from finetune.registry import Registry, check_fits
from tests.tiny_stack import tiny_stack as build
from workbench.adapters import AdapterInfo, apply
from workbench.stack.fusion import Fusion
from workbench.stack.modules import save_module

PASSED = {"adopt": True, "reasons": []}
REFUSED = {"adopt": False, "reasons": ["frame_auc fell"]}


def built(folder: Path, name: str, *, parent: str | None = None, gate: dict | None = None) -> AdapterInfo:
    """An adapter with a fusion in it, as a run leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    Fusion(bias=float(len(name))).save(folder / "fusion.json")
    lineage = {} if gate is None else {"gate": gate}
    return AdapterInfo(folder, name, "tiny", ("fusion",), f"2026-01-0{len(name)}", parent, lineage)


def filled(tmp_path: Path) -> Registry:
    registry = Registry(tmp_path / "registry")
    for name, parent in (("a", None), ("bb", "a")):
        registry.add(tmp_path / name, built(tmp_path / name, name, parent=parent, gate=PASSED))
    return registry


def test_adopting_and_going_back(tmp_path: Path) -> None:
    registry = filled(tmp_path)
    assert registry.active() is None
    registry.activate("a", by="ann")
    registry.activate("bb", by="ann")
    info = registry.active()
    assert info is not None
    assert (info.name, [one.name for one in registry.lineage("bb")]) == ("bb", ["bb", "a"])
    assert registry.roll_back(by="ben").active == "a"
    assert registry.roll_back(by="ben").active is None
    with pytest.raises(TrainingError, match="nothing to go back to"):
        registry.roll_back()
    steps = [(row["action"], row["adapter"], row["by"]) for row in registry.pointer().decisions]
    assert steps == [
        ("adopt", "a", "ann"),
        ("adopt", "bb", "ann"),
        ("roll back", "a", "ben"),
        ("roll back", None, "ben"),
    ]


def test_an_adapter_the_gate_refused_needs_a_person_with_a_reason(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    registry.add(tmp_path / "a", built(tmp_path / "a", "a", gate=REFUSED))
    registry.add(tmp_path / "bb", built(tmp_path / "bb", "bb"))
    with pytest.raises(TrainingError, match="not adopted: frame_auc fell"):
        registry.activate("a")
    with pytest.raises(TrainingError, match="never measured"):
        registry.activate("bb")
    with pytest.raises(TrainingError, match="needs your name and a reason"):
        registry.activate("a", override=True, by="ann")
    assert registry.pointer().active is None
    registry.activate("a", override=True, by="ann", reason="the hold-out is mislabelled")
    assert registry.pointer().decisions[-1]["reason"] == "the hold-out is mislabelled"
    assert registry.pointer().decisions[-1]["override"] is True


def test_changed_weights_are_found_and_not_used(tmp_path: Path) -> None:
    registry = filled(tmp_path)
    assert registry.verify("a") == []
    (registry.folder / "a" / "fusion.json").write_text("{}")
    (registry.folder / "a" / "more.json").write_text("{}")
    assert registry.verify("a") == ["fusion.json was changed.", "more.json was added."]
    with pytest.raises(TrainingError, match="is not what was trained"):
        registry.activate("a")


def test_only_safetensors_and_text_come_in(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    info = built(tmp_path / "a", "a")
    torch.save({}, tmp_path / "a" / "optimizer.pt")
    with pytest.raises(TrainingError, match=r"optimizer\.pt"):
        registry.add(tmp_path / "a", info)
    assert registry.all() == []
    assert not registry.folder.exists() or list(registry.folder.iterdir()) == []


@pytest.mark.parametrize("name", ["../a", "", "a/b", ".hidden"])
def test_a_name_is_a_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(TrainingError, match="is no name"):
        Registry(tmp_path / "registry").add(tmp_path / "a", built(tmp_path / "a", name))


def test_a_name_is_given_once_and_unknown_ones_are_answered_with_those_there_are(tmp_path: Path) -> None:
    registry = filled(tmp_path)
    with pytest.raises(TrainingError, match="already an adapter 'a'"):
        registry.add(tmp_path / "a", built(tmp_path / "a", "a"))
    with pytest.raises(TrainingError, match="it has: a, bb"):
        registry.get("c")
    with pytest.raises(TrainingError, match="does not fit 'bundled'"):
        check_fits(registry.get("a"), "bundled")


def test_a_damaged_pointer_is_named(tmp_path: Path) -> None:
    registry = filled(tmp_path)
    (registry.folder / "active.json").write_text("[")
    with pytest.raises(TrainingError, match=r"active\.json cannot be read"):
        registry.active()


def test_an_adapter_of_the_registry_changes_the_stack(tmp_path: Path) -> None:
    other = build(tmp_path / "weights", seed=5)
    assert other.scorer is not None
    save_module(other.scorer, other.scorer.config, tmp_path / "new" / "scorer", dtype=torch.float32)
    registry = Registry(tmp_path / "registry")
    info = AdapterInfo(tmp_path / "new", "new", "tiny", ("scorer",), "2026", None, {"gate": PASSED})
    registry.add(tmp_path / "new", info)
    registry.activate("new")
    stack = build(tmp_path / "weights")
    active = registry.active()
    assert active is not None
    apply(stack, active)
    features = torch.randn(1, 9, 32)
    assert stack.scorer is not None
    assert torch.equal(stack.scorer(features).scores, other.scorer(features).scores)
    assert stack.adapter == "new"


# --- the gate --------------------------------------------------------------------------------------------------


def results(quality: float, count: int = 8) -> list[ClipResult]:
    """Measured clips whose abnormal ones score higher by `quality`."""
    made = []
    for i in range(count):
        rng = np.random.default_rng(i)
        label = np.zeros(50, np.uint8)
        label[20:30] = i % 2
        one = ClipResult(f"clip{i}", i % 2, "fire" if i % 2 else None, frame_label=label)
        one.frame_score = np.clip(0.4 + quality * label + 0.1 * rng.standard_normal(50), 0, 1).astype(np.float32)
        one.highest = float(one.frame_score.max())
        one.called = one.highest > 0.5
        made.append(one)
    return made


def test_the_same_clips_before_and_after_with_the_interval_of_the_difference() -> None:
    changes = {change.metric: change for change in compare(results(0.05), list(reversed(results(0.3))))}
    auc = changes["frame_auc"]
    assert auc.gain > 0.2
    assert auc.ci95 is not None
    assert 0 < auc.ci95[0] <= auc.gain <= auc.ci95[1]
    broken = results(0.3)
    broken[0].error = "gone"
    assert compare(results(0.05), broken)[0].n_clips == 7
    assert compare([], []) == []


def test_better_without_forgetting_passes_and_nothing_else_does() -> None:
    better, worse = compare(results(0.05), results(0.3)), compare(results(0.3), results(-0.2))
    same = compare(results(0.3), results(0.3))
    assert judge(["scorer"], better, same).adopt
    assert not judge(["scorer"], same, same).adopt, "no better is not better"
    refused = judge(["scorer"], worse, same)
    assert not refused.adopt
    assert refused.reasons[0].startswith("frame_auc on the held-out clips fell")
    forgot = judge(["scorer"], better, worse)
    assert not forgot.adopt
    assert "more than the margin of 0.02" in forgot.reasons[0]
    assert judge(["scorer"], better, worse, margin=0.95).adopt


def test_what_wavers_is_watched_too_but_only_a_sure_fall_counts() -> None:
    better = [Change("mask_iou_box", 0.6, 0.7, (0.05, 0.15), 9)]
    for new, known, metric in (
        ([Change("track_iou", 0.66, 0.20, (-0.6, -0.3), 9)], [], "track_iou on the held-out clips fell"),
        ([], [Change("track_iou", 0.66, 0.10, (-0.7, -0.4), 9)], "track_iou on the bundled clips fell"),
        ([], [Change("fact_recall", 0.78, 0.10, (-0.8, -0.5), 24)], "fact_recall on the bundled clips fell"),
        ([], [Change("category_accuracy", 0.77, 0.0, (-0.9, -0.6), 12)], "category_accuracy on the bundled clips"),
    ):
        verdict = judge(["segmenter"], [*better, *new], known)
        assert (verdict.adopt, verdict.answer) == (False, "not better")
        assert verdict.reasons[0].startswith(metric)
    unsure = [Change("fact_recall", 0.78, 0.73, (-0.12, 0.03), 24), Change("track_iou", 0.66, 0.65, (-0.02, -0.001), 9)]
    assert judge(["segmenter"], better, unsure).adopt


def test_what_the_hold_out_cannot_tell_is_not_adopted() -> None:
    better = compare(results(0.05), results(0.3))
    verdict = judge(["scorer", "heatmap"], better, [])
    assert not verdict.adopt
    assert "do not tell pixel_ap" in verdict.reasons[0]
    json.dumps(verdict.to_document())


def test_a_rise_that_may_be_chance_is_too_few_to_tell() -> None:
    verdict = judge(["scorer"], [Change("frame_auc", 0.7, 0.75, (-0.1, 0.2), 9)], [])
    assert (verdict.adopt, verdict.answer) == (False, "too few to tell")
    assert "which 9 clips do not tell from chance (-0.100 to +0.200)" in verdict.reasons[0]
    assert judge(["scorer"], [Change("frame_auc", 0.7, 0.75, (0.01, 0.2), 9)], []).answer == "better"


def test_a_handful_of_clips_tells_nothing_however_good_it_looks() -> None:
    few = judge(["scorer"], [Change("frame_auc", 0.5, 1.0, (0.4, 0.5), 4)], [])
    assert (few.adopt, few.answer) == (False, "too few to tell")
    assert "4 held-out clips are too few to tell (5 at least)" in few.reasons[0]
    calm, odd = results(0.05), results(0.3)
    one_kind = [
        [one for one in made if not one.label][:4] + [one for one in made if one.label][:1] for made in (calm, odd)
    ]
    [change] = [change for change in compare(*one_kind) if change.metric == "clip_auc"]
    assert change.hangs_on_one
    assert "alone shows one of the kinds" in judge(["scorer"], [change], []).reasons[0]


def test_of_several_components_one_that_is_better_is_enough_and_none_may_fall() -> None:
    scorer, heatmap = Change("frame_auc", 0.7, 0.9, (0.1, 0.3), 9), Change("pixel_ap", 0.5, 0.49, (-0.1, 0.1), 9)
    assert judge(["scorer", "heatmap"], [scorer, heatmap], []).adopt
    fell = Change("pixel_ap", 0.5, 0.45, (-0.1, 0.1), 9)
    assert judge(["scorer", "heatmap"], [scorer, fell], []).answer == "not better"
    surely = Change("pixel_ap", 0.5, 0.49, (-0.02, -0.001), 9)
    assert judge(["scorer", "heatmap"], [scorer, surely], []).answer == "not better"


def test_corrections_that_contradict_everything_are_shown_to_a_person() -> None:
    labels, frames = [0, 1] * 6, [None] * 12
    rising = [
        {MOTION: np.array([0.2 + 0.5 * y + i / 99]), BEFORE: np.array([0.1 + 0.8 * y])} for i, y in enumerate(labels)
    ]
    names = [f"clip{i}" for i in range(12)]
    honest = compared(names, labels, frames, rising)
    assert honest.in_words() == ""
    better = [Change("frame_auc", 0.1, 0.9, (0.6, 0.9), 9)]
    assert judge(["scorer"], better, [], agreement=honest).adopt
    turned = compared(names, [1 - y for y in labels], frames, rising)
    refused = judge(["scorer"], better, [], agreement=turned)
    assert (refused.adopt, refused.answer) == (False, "contradicted")
    assert "of 12 clips say the opposite of what" in refused.reasons[0]
    assert json.loads(json.dumps(refused.to_document()))["agreement"]["odd"] == list(turned.odd)
    halfway = [{MOTION: row[MOTION], BEFORE: 1 - row[BEFORE]} for row in rising]
    assert compared(names, labels, frames, halfway).in_words() == "", "what moves surely speaks for them"


def test_the_clips_that_contradict_most_are_named_first() -> None:
    labels = [0, 0, 0, 1, 1, 1]
    tops = [0.1, 0.2, 0.95, 0.8, 0.9, 0.05]
    scores = [{MOTION: np.array([top]), BEFORE: np.array([top])} for top in tops]
    assert compared(list("abcdef"), labels, [None] * 6, scores).odd[:2] == ("c", "f")
