"""The street world: the same seed gives the same clip, any frame can be drawn first, and the truth is true."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
from pycocotools import mask as coco

from finetune.scenes import ANOMALIES, CATEGORIES, QUESTIONS, VIEWS, read_truth, sample_scene, write_scene, write_world
from finetune.scenes.questions import QUESTIONS as POOLS
from finetune.scenes.stories import STORIES
from finetune.scenes.truth import read_truth_file
from workbench.errors import DataError, InputError

SHORT = (6.0, 7.0)


@pytest.fixture(scope="module")
def scenes():
    """One scene of every category, drawn at few frames a second to keep the suite fast."""
    return {c: sample_scene(100 + k, category=c, seconds=SHORT, fps=8) for k, c in enumerate(CATEGORIES)}


def test_same_seed_same_clip():
    first, second = (sample_scene(7, seconds=SHORT, fps=8) for _ in range(2))
    assert first.n_frames == second.n_frames
    for i in (0, 11, first.n_frames - 1):
        a, b = first.render(i), second.render(i)
        assert np.array_equal(a.rgb, b.rgb)
        assert np.array_equal(a.ids, b.ids)
    assert np.array_equal(first.truth.frame_label, second.truth.frame_label)
    for field in ("name", "events", "entities", "clips", "video", "dialogue", "conditions"):
        assert getattr(first.truth, field) == getattr(second.truth, field)


def test_the_same_scene_is_the_same_file_again(tmp_path: Path) -> None:
    # A scene in which x264's routines for this or that processor write another file every second time.
    scene = sample_scene(700_101, category="normal", view="platform", seconds=(4.0, 5.0), fps=8)
    written = {write_scene(scene, tmp_path / str(k)).read_bytes() for k in range(8)}
    assert len(written) == 1


def test_other_seeds_give_other_clips():
    a, b = sample_scene(1, seconds=SHORT, fps=8), sample_scene(2, seconds=SHORT, fps=8)
    assert not np.array_equal(a.render(0).rgb, b.render(0).rgb)


@pytest.mark.parametrize("category", ["fire", "explosion", "robbery", "cycling"])
def test_any_frame_can_be_drawn_first(category):
    ordered = sample_scene(31, category=category, seconds=SHORT, fps=8)
    shuffled = sample_scene(31, category=category, seconds=SHORT, fps=8)
    frames = [ordered.render(i) for i in range(ordered.n_frames)]
    for i in np.random.default_rng(0).permutation(ordered.n_frames)[:20]:
        drawn = shuffled.render(int(i))
        assert np.array_equal(drawn.rgb, frames[i].rgb)
        assert np.array_equal(drawn.ids, frames[i].ids)


@pytest.mark.parametrize("size", [(320, 240), (640, 480), (426, 240)])
def test_sizes(size):
    scene = sample_scene(3, seconds=SHORT, size=size, fps=8)
    rgb, ids = scene.render(5)
    assert rgb.shape == (size[1], size[0], 3)
    assert rgb.dtype == np.uint8
    assert ids.shape == (size[1], size[0])
    assert ids.dtype == np.uint8


def test_mask_covers_the_drawn_body():
    """Somebody in a red jacket by day: redness inside the mask, none of it just outside."""
    for seed in range(200, 400):
        scene = sample_scene(seed, category="normal", view="shop", seconds=SHORT, fps=8)
        red = [e for e in scene.truth.entities if e.facts.get("upper") == "red" and e.last_frame > e.first_frame + 10]
        if red and scene.truth.conditions["light"] == "day" and not scene.truth.conditions["compressed"]:
            break
    entity = red[0]
    i = (entity.first_frame + entity.last_frame) // 2
    rgb, ids = scene.render(i)
    red_pixels = (rgb[..., 0].astype(int) > 130) & (rgb[..., 1] < 75) & (rgb[..., 2] < 80)
    inside = red_pixels & (ids == entity.id)
    ys, xs = np.nonzero(ids == entity.id)
    box = np.zeros_like(red_pixels)
    box[max(ys.min() - 2, 0) : ys.max() + 3, max(xs.min() - 2, 0) : xs.max() + 3] = True
    shelves = rgb.shape[0] * 0.5  # goods on the shelves behind may be red too
    assert inside.sum() > 0.15 * (ids == entity.id).sum()
    assert (red_pixels & box & (ids == 0))[int(shelves) :].sum() < 0.1 * inside.sum()


def test_moving_entity_moves_where_its_truth_says():
    moved = 0
    for seed in range(5):
        scene = sample_scene(500 + seed, category="running", view="plaza", seconds=SHORT, fps=12)
        runner = scene.truth.entity(scene.truth.events[0].entity_ids[0])
        start, end = scene.truth.events[0].start_frame, scene.truth.events[0].end_frame
        xs = [np.nonzero(scene.render(i).ids == runner.id)[1] for i in range(start, end)]
        centres = [x.mean() for x in xs if len(x)]
        assert runner.facts["direction"] in ("left to right", "right to left")
        assert (centres[-1] > centres[0]) == (runner.facts["direction"] == "left to right")
        assert runner.motion == f"runs from {runner.facts['direction']}"
        moved += 1
    assert moved == 5


@pytest.mark.parametrize("category", CATEGORIES)
def test_truth_of_every_category(scenes, category):
    scene = scenes[category]
    truth = scene.truth
    ids = {e.id for e in truth.entities}
    assert truth.category == category
    assert truth.label == (category != "normal")
    assert truth.frame_label.shape == (truth.n_frames,)
    assert all(1 <= i <= 255 for i in ids)
    expected = np.zeros(truth.n_frames, dtype=np.uint8)
    for event in truth.events:
        assert 0 < event.start_frame < event.end_frame <= truth.n_frames
        assert set(event.entity_ids) <= ids
        expected[event.start_frame : event.end_frame] = 1
    assert np.array_equal(expected, truth.frame_label)
    if category == "normal":
        assert truth.events == []
        assert {e.role for e in truth.entities} <= {"bystander", "object"}
        return
    event = truth.events[0]
    seen = [set(np.unique(scene.render(i).ids)) for i in range(event.start_frame, event.end_frame)]
    for entity in event.entity_ids:
        assert sum(entity in s for s in seen) >= 2, truth.entity(entity)
    assert sum(bool(set(event.entity_ids) & s) for s in seen) > 0.7 * len(seen)


@pytest.mark.parametrize("category", ANOMALIES)
def test_texts_name_the_event(scenes, category):
    truth = scenes[category].truth
    event = truth.events[0]
    for judgement in (event.judgement, truth.video.judgement):
        assert judgement.startswith("Yes")
        assert category in judgement
    for entity in (truth.entity(i) for i in event.entity_ids):
        if entity.kind in ("person", "cyclist", "bag", "car", "van"):
            assert entity.appearance.lower() in event.description.lower()
    for text in (event.description, event.analysis, truth.video.description):
        assert text[0].isupper()
        assert text.endswith(".")
        assert "{" not in text


def test_normal_texts(scenes):
    truth = scenes["normal"].truth
    assert truth.video.judgement.startswith("No")
    assert all(not qa.answer.startswith("Yes, there is an anomaly") for qa in truth.dialogue)


def test_dialogue_has_all_kinds(scenes):
    for scene in scenes.values():
        kinds = [qa.kind for qa in scene.truth.dialogue]
        assert kinds[:3] == ["judgement", "description", "analysis"]
        assert 4 <= kinds.count("free") <= 8
        assert all("{" not in qa.question for qa in scene.truth.dialogue)
    assert QUESTIONS is POOLS
    assert all(len(pool) >= 8 and len(set(pool)) == len(pool) for pool in QUESTIONS.values())


def test_clip_captions_of_normal_parts_are_in_normal_frames(scenes):
    for scene in scenes.values():
        events = {(e.start_frame, e.end_frame) for e in scene.truth.events}
        for clip in scene.truth.clips:
            if (clip.start_frame, clip.end_frame) not in events:
                assert not scene.truth.frame_label[clip.start_frame : clip.end_frame].any()


def test_roles(scenes):
    robbery = scenes["robbery"].truth
    roles = {robbery.entity(i).role: robbery.entity(i) for i in robbery.events[0].entity_ids}
    assert set(roles) == {"perpetrator", "victim", "object"}
    assert roles["perpetrator"].facts["victim_id"] == roles["victim"].id
    assert roles["victim"].facts["victim_of"] == roles["perpetrator"].id


def test_half_of_the_scenes_are_normal():
    labels = [sample_scene(s, seconds=(6, 6.5), fps=8).truth.label for s in range(24)]
    assert 5 <= sum(labels) <= 19


def test_every_story_has_a_view():
    assert set(STORIES) == set(ANOMALIES)
    assert all(set(views) <= set(VIEWS) for _, views in STORIES.values())


def test_written_clip_and_truth_read_back(tmp_path):
    scene = sample_scene(9, category="abandoned object", seconds=SHORT, fps=10)
    clip = write_scene(scene, tmp_path)
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 10
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
    assert len(frames) == scene.n_frames
    assert np.abs(frames[5].astype(int) - scene.render(5).rgb).mean() < 12
    path = tmp_path / "truth" / f"{scene.truth.name}.json"
    back = read_truth_file(path)
    assert back.truth.events == scene.truth.events
    assert back.truth.entities == scene.truth.entities
    assert back.truth.dialogue == scene.truth.dialogue
    assert np.array_equal(read_truth(path).frame_label, scene.truth.frame_label)
    event = scene.truth.events[0]
    bag = event.entity_ids[-1]
    frame = event.end_frame - 1
    assert np.array_equal(coco.decode(back.masks[bag][frame]) > 0, scene.render(frame).ids == bag)


def test_world_writes_named_pairs(tmp_path):
    seen = []
    clips = write_world(tmp_path, 2, seed=40, seconds=(6, 6.2), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    assert [c.stem for c in clips] == sorted(
        (p.stem for p in (tmp_path / "truth").glob("*.json")), key=lambda n: n[-6:]
    )


def test_bad_requests_say_what_is_possible(tmp_path):
    with pytest.raises(InputError, match="choose one of"):
        sample_scene(1, category="flying")
    with pytest.raises(InputError, match="cannot happen"):
        sample_scene(1, category="collision", view="shop")
    with pytest.raises(InputError, match="outside the scene"):
        sample_scene(1, seconds=SHORT, fps=8).render(10_000)
    with pytest.raises(DataError, match="no truth file"):
        read_truth(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text(json.dumps({"schema": 99}))
    with pytest.raises(DataError, match="schema 99"):
        read_truth(tmp_path / "bad.json")


def test_a_camera_and_a_kind_of_event_are_kept_from_all_training():
    """Someone must ask for them by name; then they are as true as the others."""
    assert "flooding" not in ANOMALIES
    assert "platform" not in VIEWS
    assert "flooding" not in STORIES
    drawn = [sample_scene(seed, seconds=SHORT, fps=8).truth for seed in range(60)]
    assert {truth.view for truth in drawn} <= set(VIEWS)
    assert {truth.category for truth in drawn} <= set(CATEGORIES)
    wet = sample_scene(4, category="flooding", view="platform", seconds=SHORT, fps=8)
    [event] = wet.truth.events
    water = wet.render(event.end_frame - 1).ids == event.entity_ids[0]
    assert water.sum() > 4 * (wet.render(event.start_frame).ids == event.entity_ids[0]).sum()
    assert not (wet.render(event.start_frame - 1).ids == event.entity_ids[0]).any()
    assert "flooding" in event.judgement
    calm = sample_scene(4, category="normal", view="platform", seconds=SHORT, fps=8).truth
    assert (calm.view, calm.label, calm.events) == ("platform", 0, [])
    assert {sample_scene(seed, view="platform", seconds=SHORT, fps=8).truth.category for seed in range(8)} == {
        "normal",
        "flooding",
    }
    with pytest.raises(InputError, match="cannot happen in the view"):
        sample_scene(4, category="flooding", view="street")
