"""What the recipes train on: patch targets, dialogues, fusion — checked against the scene they come from."""

import json
from pathlib import Path

import numpy as np
import pytest

from finetune.dialogues import draw_dialogue, instance_answer
from finetune.errors import TrainingError
from finetune.fusion import MIN_MOTION, fit_fusion
from finetune.pretrain import IGNORE, LabelSpace, draw_batch, entity_labels, running_category
from finetune.scenes import sample_scene
from finetune.scenes.truth import truth_to_json
from finetune.world import Scenes, WorldCache, patch_targets
from workbench.instances import parse_caption
from workbench.prompts import INSTANCE_QUESTION
from workbench.stack.fusion import PARTS
from workbench.video import dense_stride


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> WorldCache:
    from finetune.world import build_clip

    cache = WorldCache(tmp_path_factory.mktemp("world"), Scenes(20, 3))
    for path, seed in zip(cache.paths, range(20, 23), strict=True):
        build_clip(path, seed)
    return cache


def test_a_cached_clip_is_the_scene_at_its_dense_frames(world: WorldCache) -> None:
    clip, scene = world.read(1), sample_scene(21)
    assert clip.frame_index.tolist() == list(range(0, scene.n_frames, dense_stride(scene.n_frames)))
    assert clip.truth["name"] == scene.truth.name
    assert clip.label.tolist() == np.asarray(scene.truth.frame_label)[clip.frame_index].tolist()
    middle = len(clip.frame_index) // 2
    picture = scene.render(int(clip.frame_index[middle])).rgb
    assert abs(float(clip.frame(middle).mean()) - float(picture.mean())) < 4
    for owner in clip.owner:
        assert set(np.unique(owner).tolist()) <= {0, *(e["id"] for e in clip.truth["entities"])}


def test_patches_belong_to_what_covers_them() -> None:
    ids = np.zeros((224, 224), np.uint8)
    ids[0:14, 0:14] = 3
    ids[28:42, 28:31] = 5
    owner, heat = patch_targets(ids, {3}, 224)
    assert owner[0, 0] == 3
    assert heat[0, 0] == 255
    assert owner[2, 2] == 5, "three of fourteen columns are enough to own a patch nobody else wants"
    assert heat[2, 2] == 0, "an entity of no running event is not hot"
    assert (owner > 0).sum() == 2


def test_a_batch_carries_the_labels_of_its_patches(world: WorldCache) -> None:
    truths = [world.read(i).truth for i in range(len(world))]
    space = LabelSpace.scan(truths)
    batch = draw_batch(world, space, np.random.default_rng(0), 8)
    assert batch.rgb.shape == (8, 224, 224, 3)
    background = batch.patch["kind"] == 0
    assert bool((batch.patch["role"][background] == IGNORE).all())
    assert bool((batch.patch["role"][~background] != IGNORE).all())
    kinds = {space.values["kind"][i] for i in batch.patch["kind"].unique().tolist()}
    assert kinds - {"background"} <= {labels["kind"] for t in truths for labels in entity_labels(t).values()}


def test_every_level_of_dialogue_comes_from_the_truth() -> None:
    scene = next(s for s in map(sample_scene, range(40)) if s.truth.label)
    truth = json.loads(truth_to_json(scene.truth, {}))
    index = np.arange(scene.n_frames)
    ids = {e["id"] for e in truth["entities"]}
    rng = np.random.default_rng(0)
    drawn = [draw_dialogue(truth, index, ids, rng) for _ in range(120)]
    assert {d.level for d in drawn} == {"video", "event", "clip", "instance"}
    answers = {truth["video"][k] for k in ("judgement", "description", "analysis")}
    for dialogue in drawn:
        first, stop = dialogue.span
        assert 0 <= first < stop <= len(index)
        if dialogue.level == "video":
            assert answers <= {answer for _, answer in dialogue.turns}
        if dialogue.level == "event":
            start, end = truth["events"][0]["start_frame"], truth["events"][-1]["end_frame"]
            assert first >= max(0, start - 8)
            assert stop <= min(len(index), end + 8)
        if dialogue.level == "instance":
            entity = next(e for e in truth["entities"] if e["id"] == dialogue.entity)
            assert dialogue.turns == [(INSTANCE_QUESTION, instance_answer(entity))]
    assert running_category(truth, truth["events"][0]["start_frame"]) == truth["events"][0]["category"]


def test_an_instance_answer_is_read_back_as_it_was_meant() -> None:
    for entity in (e for seed in range(6) for e in sample_scene(seed).truth.entities):
        row = {"role": entity.role, "appearance": entity.appearance, "motion": entity.motion}
        assert vars_of(parse_caption(instance_answer(row))) == row


def vars_of(caption: object) -> dict[str, str]:
    return {name: getattr(caption, name) for name in ("role", "appearance", "motion")}


def test_fusion_learns_which_part_to_trust() -> None:
    rng = np.random.default_rng(0)
    labels = [(rng.random(200) < 0.3).astype(float) for _ in range(10)]
    telling = [np.clip(0.7 * y + 0.3 * rng.random(200), 0, 1) for y in labels]
    blind = [rng.random(200) for _ in labels]
    parts = [{"scorer": s, "motion": m, "heatmap": np.full_like(s, 0.5)} for s, m in zip(telling, blind, strict=True)]
    fusion = fit_fusion(parts, labels, [np.arange(200) / 10] * 10)
    assert fusion.scorer > 3 * fusion.motion
    assert fusion.motion >= MIN_MOTION
    assert 0.2 < fusion.threshold < 0.8
    fused = np.concatenate([fusion(clip) for clip in parts])
    truth = np.concatenate(labels)
    assert abs(float(fused.mean()) - float(truth.mean())) < 0.03, "calibrated: as much score as there is anomaly"


def test_fusion_of_one_class_is_refused() -> None:
    with pytest.raises(TrainingError, match="only one kind"):
        fit_fusion([dict.fromkeys(PARTS, np.zeros(5))], [np.zeros(5)], [np.arange(5) / 10])


def test_a_world_is_built_only_where_it_is_missing(world: WorldCache) -> None:
    before = [path.stat().st_mtime_ns for path in world.paths]
    assert list(world.build(workers=1)) == []
    assert [path.stat().st_mtime_ns for path in world.paths] == before
    assert Path(world.paths[0]).exists()


def test_worlds_that_share_a_folder_keep_their_scenes_apart(tmp_path: Path) -> None:
    usual, rich = Scenes(5, 1), Scenes(5, 1, wide=True, rich=True)
    both = WorldCache(tmp_path, usual, rich, frames=2)
    assert [list(both.build(workers=1)), len(both)] == [[1, 2], 2]
    names = [both.read(i).truth["name"] for i in range(2)]
    assert names == [sample_scene(5).truth.name, sample_scene(5, wide=True, rich=True).truth.name]
    assert list(WorldCache(tmp_path, rich, frames=2).build(workers=1)) == []
    assert WorldCache(tmp_path, rich, frames=2).read(0).truth["name"] == names[1]
