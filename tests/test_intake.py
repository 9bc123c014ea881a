"""What an import leaves alone: persons' masks and words, other people's instances, and itself the second time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.store_support import square, store_with_clip
from workbench.corrections import clips, history
from workbench.corrections.documents import event_to
from workbench.corrections.intake import take_in
from workbench.corrections.log import Change
from workbench.corrections.store import Store
from workbench.exports import get_format
from workbench.records import (
    ClipRecord,
    Instance,
    Provenance,
    ReviewedClip,
    ReviewedEvent,
    ReviewedInstance,
    Texts,
)

ANN = Provenance("human", "ann")


def with_a_person(folder: Path) -> tuple[Store, ClipRecord, ReviewedClip]:
    """A clip on which ann has drawn somebody: number 0, three boxes, three masks, and words."""
    store, clip = store_with_clip(folder)
    frames = (432, 440, 448)
    drawn = Instance(
        0, "perpetrator", "person", "in a red jacket", "runs away", 432, 448,
        dict.fromkeys(frames, (10.0, 20.0, 50.0, 60.0)), {frame: square(10, 20) for frame in frames},
    )  # fmt: skip
    history.save(store, clip.id, history.add(ReviewedInstance("mine", drawn, None, ANN)), annotator="ann")
    return store, clip, clips.current(store, clip.id)


def two_events(folder: Path, clip: ClipRecord) -> Path:
    """An instruction file that judges two events of a clip and knows no times: "Yes, 0." and "Yes, 1."."""
    line = {"type": "event", "task": "judgement", "prompt": "Is anything abnormal?"}
    lines = [{**line, "id": k, "video": f"events/{clip.name}_E{k}.mp4", "anwser": f"Yes, {k}."} for k in range(2)]
    path = folder / "in.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


@pytest.mark.parametrize("name", ["labelstudio", "cvat", "coco", "iac", "datumaro"])
def test_ones_own_export_taken_in_again_changes_nothing(name: str, tmp_path: Path) -> None:
    """Some formats hold no masks, and Label Studio's is one of them: the file says nothing of them."""
    store, clip, before = with_a_person(tmp_path)
    out = tmp_path / "out.json" if name in ("labelstudio", "coco", "iac") else tmp_path / "out"
    get_format(name).write([before], out)
    assert take_in(store, get_format(name).read(out), annotator="import").rows == 0
    assert clips.current(store, clip.id) == before
    assert history.undo(store, clip.id, annotator="ann") is not None


def test_tracks_that_count_from_0_are_others_than_the_instances_with_these_numbers(tmp_path: Path) -> None:
    store, clip, before = with_a_person(tmp_path)
    get_format("yolo").write([before], tmp_path / "yolo")
    said = get_format("yolo").read(tmp_path / "yolo")
    report = take_in(store, said, annotator="import")
    after = clips.current(store, clip.id).instances
    assert all(item in after for item in before.instances)
    new = [item for item in after if item not in before.instances]
    assert len(new) == report.rows > 0
    numbers = [item.instance.id for item in after]
    assert len(set(numbers)) == len(numbers), "a number names one instance of a clip"
    assert take_in(store, get_format("yolo").read(tmp_path / "yolo"), annotator="import").rows == 0


def test_words_that_a_person_gave_a_foreign_track_stay(tmp_path: Path) -> None:
    store, clip, before = with_a_person(tmp_path)
    get_format("yolo").write([before], tmp_path / "yolo")
    take_in(store, get_format("yolo").read(tmp_path / "yolo"), annotator="import")
    track = next(i for i in clips.current(store, clip.id).instances if i.provenance.kind == "import")
    changes = [
        history.edit("instance", track.id, "role", "victim"),
        history.edit("instance", track.id, "motion", "falls"),
    ]
    history.save(store, clip.id, changes, annotator="ann")
    take_in(store, get_format("yolo").read(tmp_path / "yolo"), annotator="import")
    again = next(i for i in clips.current(store, clip.id).instances if i.id == track.id).instance
    assert (again.role, again.motion) == ("victim", "falls")


def test_events_without_times_come_in_once_whatever_else_the_clip_has(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    path = two_events(tmp_path, clip)
    counts = []
    for _ in range(3):
        take_in(store, get_format("hivau-jsonl").read(path), annotator="import")
        between = ReviewedEvent(history.new_id(), 1.0, 2.0, None, None, None, Texts(), (), ANN)
        history.save(store, clip.id, [Change("event", between.id, "", event_to(between, 0))], annotator="ann")
        counts.append(sum(e.provenance.kind == "import" for e in clips.current(store, clip.id).events))
    assert counts == [2, 2, 2]


def test_of_events_one_of_which_a_person_removed_the_other_keeps_its_words(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    path = two_events(tmp_path, clip)
    take_in(store, get_format("hivau-jsonl").read(path), annotator="import")
    first, second = (e for e in clips.current(store, clip.id).events if e.provenance.kind == "import")
    history.save(store, clip.id, [history.remove("event", first.id)], annotator="ann")
    take_in(store, get_format("hivau-jsonl").read(path), annotator="import")
    said = {e.id: e.texts.judgement for e in clips.current(store, clip.id).events if e.provenance.kind == "import"}
    assert said[second.id] == "Yes, 1."
