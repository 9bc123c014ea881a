"""Going on from earlier weights: parts begin where they were left, and the card tells of every leg."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from finetune.__main__ import main
from finetune.card import write_card
from finetune.errors import TrainingError
from finetune.legs import Leg, leg_of, legs_of, write_legs
from finetune.loop import LoopConfig
from finetune.pretrain import LabelSpace
from finetune.recipe import HELD_OUT, HELD_OUT_BROAD, BundleRecipe, keep_recipe, second_leg
from finetune.sight import load_backbone
from finetune.starting import new_module
from finetune.vision import VisionJob, VisionPhase, train_vision
from finetune.world import Scenes, WorldCache, build_clip
from workbench.profiles import ASSETS
from workbench.stack.modules import save_module
from workbench.stack.scorer import AnomalyScorer, UrdmuConfig

SIZES = UrdmuConfig(input_dim=16, hidden=32, heads=2, head_dim=8, ffn=32, memory=16, classifier=8)


def test_a_part_goes_on_from_its_weights_and_can_learn(tmp_path: Path) -> None:
    torch.manual_seed(3)
    trained = AnomalyScorer(SIZES)
    save_module(trained, SIZES, tmp_path, dtype=torch.float32)
    torch.manual_seed(4)
    again = new_module(SIZES, AnomalyScorer, tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(trained.parameters(), again.parameters(), strict=True))
    assert all(p.requires_grad for p in again.parameters())
    fresh = new_module(SIZES, AnomalyScorer, None)
    assert not all(torch.equal(a, b) for a, b in zip(trained.parameters(), fresh.parameters(), strict=True))


def test_weights_of_other_sizes_are_refused(tmp_path: Path) -> None:
    save_module(AnomalyScorer(SIZES), SIZES, tmp_path)
    with pytest.raises(TrainingError, match="sizes"):
        new_module(UrdmuConfig(input_dim=16, hidden=64), AnomalyScorer, tmp_path)


@pytest.mark.slow
def test_new_heads_leave_a_frozen_tower_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_COMPILE_DISABLE", "1")  # compiling takes longer than four steps
    world = WorldCache(tmp_path / "world", Scenes(40, 2), frames=4)
    world.folder.mkdir()
    for number, path in enumerate(world.paths):
        build_clip(path, 40 + number, 4)
    labels = LabelSpace.scan([world.read(i).truth for i in range(2)])
    start = ASSETS / "bundled" / "backbone"

    def trained(frozen: bool) -> list[torch.Tensor]:
        name = "frozen" if frozen else "free"
        phase = VisionPhase(name, LoopConfig(steps=2, lr=1e-2), 4, kept=None, frozen=frozen)
        backbone = load_backbone(start)
        train_vision(backbone, VisionJob(tmp_path, world, labels, (phase,), 0, 1, start))
        return list(backbone.model.model.vision_tower.parameters())

    before = list(load_backbone(start).model.model.vision_tower.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, trained(frozen=True), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(before, trained(frozen=False), strict=True))


def test_the_weights_that_ship_are_those_of_the_recipe() -> None:
    recipe = [leg_of(leg) for leg in (BundleRecipe(), second_leg(Path("first")))]
    shipped = legs_of(ASSETS / "bundled")
    assert [leg.stages for leg in shipped] == [leg.stages for leg in recipe]
    assert [leg.data for leg in shipped] == [leg.data for leg in recipe]
    assert [leg.command for leg in shipped] == [leg.command for leg in recipe]


def test_a_work_folder_belongs_to_one_recipe(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    keep_recipe(path, second_leg(Path("first")))
    keep_recipe(path, replace(second_leg(Path("first")), processes=1))  # makes the same
    with pytest.raises(TrainingError, match="another --work"):
        keep_recipe(path, second_leg(Path("other")))
    with pytest.raises(TrainingError, match="another recipe"):
        keep_recipe(path, replace(second_leg(Path("first")), seed=7))


def test_a_bundle_is_not_written_over_the_one_it_goes_on_from(capsys: pytest.CaptureFixture[str]) -> None:
    bundled = str(ASSETS / "bundled")
    assert main(["bundle", "--start", bundled, "--out", bundled]) == 2
    assert "give another --out" in capsys.readouterr().err


def test_the_card_tells_of_every_leg(tmp_path: Path) -> None:
    first, second = leg_of(BundleRecipe()), leg_of(second_leg(Path("first")))
    told = Leg(first.command, first.data, first.hardware, first.stages, ("It was interrupted.",))
    write_legs(tmp_path, [told, second])
    assert legs_of(tmp_path) == [told, second]
    write_card(tmp_path, 960_000, {"n_clips": 60, "frame_auc": 0.5, "frame_auc_ci95": [0.4, 0.6]})
    card = (tmp_path / "CARD.md").read_text()
    for text in ("### Leg 1", "### Leg 2", "- It was interrupted.", "--seed 960000", "| frame_auc | 0.500 |"):
        assert text in card
    assert f"| chat | {second_leg(Path('first')).chat.steps} |" in card
    assert json.loads((tmp_path / "metrics.json").read_text())["n_clips"] == 60


def test_the_card_says_what_is_not_reached_and_what_was_tried(tmp_path: Path) -> None:
    write_legs(tmp_path, [leg_of(BundleRecipe())])
    metrics = {"n_clips": 60, "frame_auc": 0.5, "pixel_ap": 0.6, "ece": 0.2, "rouge_l": 0.5}
    write_card(tmp_path, 960_000, metrics)
    plain = (tmp_path / "CARD.md").read_text()
    assert "| frame_auc | 0.500 | ≥ 0.96, **not reached** |" in plain
    assert "| pixel_ap | 0.600 | ≥ 0.60 |" in plain
    assert "| ece | 0.200 | ≤ 0.10, **not reached** |" in plain
    assert "| rouge_l | 0.500 |  |" in plain
    assert "real footage" not in plain.split("What it measures")[1]
    assert "all views" not in plain
    (tmp_path / "real.json").write_text(json.dumps({"n_clips": 150, "clip_auc": 0.7, "clip_auc_ci95": [0.6, 0.8]}))
    rows = 'name,label,highest,called,judgement,error\na.mp4,,0.91,1,"Yes, there is: fire.",\nb.mp4,1,0.2,0,No.,\n'
    (tmp_path / "real_clips.csv").write_text(rows)
    (tmp_path / "broad.json").write_text(json.dumps({"n_clips": 100, "frame_auc": 0.8, "frame_auc_ci95": [0.7, 0.9]}))
    (tmp_path / "tried.md").write_text("- A longer run.\n")
    write_card(tmp_path, 960_000, metrics, broad_seed=970_000)
    card = (tmp_path / "CARD.md").read_text()
    assert "150 clips of two seconds" in card
    assert "| clip_auc | 0.700 | ≥ 0.82, **not reached** | 0.600 to 0.800 |" in card
    assert "| a.mp4 | 0.910 | abnormal | Yes, there is: fire. |" in card
    assert "| frame_auc | 0.800 | 0.700 to 0.900 | ROC-AUC over all frames |" in card
    assert "--wide --rich --out DIR --clips 100 --seed 970000" in card
    assert "b.mp4" not in card  # a labelled clip is in the numbers above
    assert card.endswith("## What was tried\n\n- A longer run.\n")


def test_legs_never_train_on_what_another_measures() -> None:
    recipes = [BundleRecipe(), second_leg(Path("first"))]
    trained = [scenes.seeds for r in recipes for scenes in (*r.whole, *r.seen)]
    masks = [stretch for r in recipes for stretch in r.segmenter]
    trained += [range(m.first_scene, m.first_scene + m.n_scenes) for m in masks]
    calibrated = [recipe.calibration for recipe in recipes if recipe.calibration is not None]
    assert calibrated
    for measured in (*calibrated, HELD_OUT, HELD_OUT_BROAD):
        kept = measured.seeds
        assert not any(seeds.start < kept.stop and kept.start < seeds.stop for seeds in trained)
