"""The frozen data set: sides that never change, a hash that names it, and sentences for data that cannot teach."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finetune.before_after import held_out
from finetune.measure import _pick_entity
from finetune.records import Entity, TrainingClip, clip_from, clip_to
from finetune.scenes import sample_scene, write_scene
from finetune.scenes.truth import read_truth_file
from finetune.snapshot import check_files, freeze, load_snapshot, side_of
from finetune.sources import from_scene
from tests.store_support import square
from tests.tune_support import EVENT, drawn_clip
from workbench.errors import DataError
from workbench.probe import probe


def clip(number: int, label: int, **changes: object) -> TrainingClip:
    values: dict = {
        "name": f"clip{number}",
        "sha256": f"{number:064x}",
        "path": f"/nowhere/{number}.mp4",
        "source": "corrections",
        "revision": "main:1",
        "n_frames": 40,
        "fps": 10.0,
        "width": 640,
        "height": 480,
        "label": label,
        "category": "fire" if label else None,
        "spans_s": ((1.0, 2.0),) if label else (),
    }
    return TrainingClip(**{**values, **changes})


def many(count: int) -> list[TrainingClip]:
    return [clip(i, i % 2) for i in range(count)]


def test_a_clip_keeps_its_side_however_the_data_grow() -> None:
    few, more = freeze(many(60)), freeze(many(200))
    moved = [sha for sha, side in few.sides.items() if more.sides[sha] != side]
    assert moved == []
    shares = [len(more.of(side)) / 200 for side in ("train", "valid", "hold_out")]
    assert shares == pytest.approx([0.63, 0.12, 0.25], abs=0.08)
    assert {clip.sha256 for clip in more.of("train")}.isdisjoint(clip.sha256 for clip in more.of("hold_out"))


def test_few_clips_still_hold_out_one_of_each_kind() -> None:
    for start in range(0, 60, 4):
        snapshot = freeze([clip(start + i, i % 2) for i in range(4)])
        for side in ("train", "hold_out"):
            assert {one.label for one in snapshot.of(side)} == {0, 1}


def test_enough_of_each_kind_are_held_out_to_tell_something() -> None:
    for start in range(0, 200, 20):
        snapshot = freeze([clip(start + i, i % 2) for i in range(20)])
        assert all(sum(one.label == label for one in snapshot.of("hold_out")) >= 3 for label in (0, 1))
        assert len(snapshot.of("train")) >= 8


def test_what_was_tested_on_once_is_never_trained_on() -> None:
    clips = many(20)
    trained = next(one for one in clips if side_of(one.sha256) == "train")
    snapshot = freeze(clips, earlier={trained.sha256: "hold_out"})
    assert snapshot.sides[trained.sha256] == "hold_out"


def test_the_hash_names_what_is_learned_and_not_where_it_lies() -> None:
    clips = many(12)
    digest = freeze(clips).digest
    assert freeze([replace(one, path=f"/other/{one.name}") for one in reversed(clips)]).digest == digest
    assert freeze([replace(clips[1], spans_s=((1.0, 2.5),)), *clips[2:], clips[0]]).digest != digest
    assert freeze(clips, replay=[clip(99, 0)], replay_share=0.3).digest != digest


def test_a_snapshot_is_read_back_whole_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    entity = Entity(1, "victim", "a person", "falls", True, 10, 20, {12: square(3, 4)})
    snapshot = freeze([*many(8), clip(50, 1, entities=(entity,))], replay=[clip(60, 0)], left_out=["x: gone."])
    path = tmp_path / "snapshot.json"
    snapshot.save(path)
    read = load_snapshot(path)
    assert (read.clips, read.replay, read.digest) == (snapshot.clips, snapshot.replay, snapshot.digest)
    document = json.loads(path.read_text())
    document["clips"][0]["label"] = 1 - document["clips"][0]["label"]
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="was changed after it was frozen"):
        load_snapshot(path)


@pytest.mark.parametrize(
    ("clips", "sentence"),
    [([], "no clips to learn from"), ([clip(i, 1) for i in range(9)], "clips to train on are abnormal")],
)
def test_data_that_cannot_teach_are_refused(clips: list[TrainingClip], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        freeze(clips)


def test_replay_brings_the_class_that_is_missing() -> None:
    snapshot = freeze([clip(i, 1) for i in range(9)], replay=[clip(100 + i, 0) for i in range(4)])
    assert {one.label for one in (*snapshot.of("train"), *snapshot.replay_of("train"))} == {0, 1}


@pytest.mark.parametrize(("values", "sentence"), [({"replay_share": 1.0}, "1.0"), ({"hold_out": 0.0}, "0.0")])
def test_shares_out_of_range_are_named(values: dict, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        freeze(many(8), **values)


def test_clips_that_have_gone_are_counted_and_named() -> None:
    with pytest.raises(DataError, match="12 of 12 clips of the snapshot are gone"):
        check_files(freeze(many(12)))


def test_frame_labels_follow_the_event_times() -> None:
    one = clip(1, 1, spans_s=((0.2, 0.4), (0.6, 0.7)))
    labels = one.labels_at(np.arange(10) / 10)
    assert labels is not None
    assert labels.tolist() == [0, 0, 1, 1, 0, 0, 1, 0, 0, 0]
    assert clip(2, 1, spans_s=None).labels_at(np.arange(3.0)) is None


def test_a_frame_counts_as_masked_only_when_everybody_involved_has_a_mask() -> None:
    first = Entity(1, "perpetrator", "", "", True, 0, 9, {f: square(0, 0) for f in (2, 3, 4)})
    second = Entity(2, "victim", "", "", True, 3, 9, {4: square(50, 0)})
    watcher = Entity(3, "bystander", "", "", False, 0, 9, {6: square(99, 0)})
    one = clip(1, 1, entities=(first, second, watcher))
    assert one.masked_frames() == [2, 4]
    assert one.anomaly_mask(4).sum() == 2 * 40 * 40
    assert one.anomaly_mask(6).sum() == 0


def test_on_a_drawn_frame_nobody_who_is_there_is_taken_for_ground() -> None:
    first = Entity(1, "perpetrator", "", "", True, 0, 9, {f: square(0, 0) for f in (1, 3, 5, 7)})
    second = Entity(2, "victim", "", "", True, 2, 9, {f: square(50, 0) for f in (2, 5, 6)}, {8: square(50, 0)})
    assert clip(1, 1, entities=(first, second)).drawn_frames() == [1, 5]
    later = replace(second, first_frame=6)
    assert clip(1, 1, entities=(first, later)).drawn_frames() == [1, 3, 5]
    again = clip_from(json.loads(json.dumps(clip_to(clip(1, 1, entities=(first, second))))))
    assert again.entities[1].calm.keys() == {8}


def test_frames_of_a_scene_for_the_segmenter_show_everybody_as_drawn(tmp_path: Path) -> None:
    scene = sample_scene(800_001, category="fighting", view="plaza", seconds=(3, 4), size=(160, 120), fps=8)
    path = write_scene(scene, tmp_path)
    made = from_scene(read_truth_file(tmp_path / "truth" / f"{path.stem}.json"), probe(path)[0])
    frames = made.drawn_frames()
    assert len(frames) >= 3
    for frame in frames:
        seen = set(np.unique(scene.render(frame).ids)) - {0}
        assert seen <= {entity.id for entity in made.entities if frame in entity.shapes}
    event = scene.truth.events[0]
    for frame in frames:
        if not event.start_frame <= frame < event.end_frame:
            assert not made.anomaly_mask(frame).any()


def test_a_mask_of_another_size_is_named() -> None:
    entity = Entity(4, "victim", "", "", True, 0, 9, {2: square(0, 0, size=(240, 320))})
    with pytest.raises(DataError, match="instance 4 on frame 2 of clip1 is 320×240, the clip 640×480"):
        clip(1, 1, entities=(entity,)).check_masks()


def test_the_gate_asks_where_somebody_has_drawn(tmp_path: Path) -> None:
    whole = drawn_clip(tmp_path, 0, abnormal=True)
    [entity] = whole.entities
    drawn = {frame: entity.masks[frame] for frame in range(*EVENT, 5)}
    sparse = replace(whole, entities=(replace(entity, masks=drawn),))
    eval_clip = held_out(sparse, tmp_path / "truth")
    assert eval_clip.truth_path is not None
    target = _pick_entity(read_truth_file(eval_clip.truth_path), every_frame=False)
    assert target == (entity.id, 13, EVENT[1]), "the middle, frame 14, has no mask; 13 has one"
