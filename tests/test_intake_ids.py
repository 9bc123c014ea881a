"""What has no id in a file is taken for nothing else: not for what the file also has, not for what the store knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.store_support import empty_store
from workbench.corrections import clips
from workbench.corrections.intake import take_in
from workbench.corrections.store import Store
from workbench.exports import get_format
from workbench.records import Box, ReviewedClip

BOX: Box = (10.0, 20.0, 40.0, 80.0)
EVENT = "timelinelabels"


def tracked(path: Path, category: str, corners: Sequence[int], *, frame: int = 0) -> Path:
    """A COCO file by another program: things of one category, numbered from 1, ten frames from `frame` on."""
    ids = range(1, len(corners) + 1)
    document = {
        "videos": [{"id": 1, "name": "street", "width": 640, "height": 480, "n_frames": 100, "fps": 25.0}],
        "images": [{"id": 1 + k, "video_id": 1, "frame_index": frame + k} for k in range(10)],
        "categories": [{"id": 1, "name": category}],
        "tracks": [{"id": i, "video_id": 1, "category_id": 1} for i in ids],
        "annotations": [
            {"id": 10 * i + k, "image_id": 1 + k, "track_id": i, "category_id": 1, "bbox": [left, 20, 30, 60]}
            for i, left in zip(ids, corners, strict=True)
            for k in range(10)
        ],
    }
    path.write_text(json.dumps(document))
    return path


def judged(folder: Path) -> Path:
    """A HIVAU file of three events of the same clip, known there by their place alone."""
    video = {"n_frames": 100, "fps": 25.0, "label": ["Abuse"], "events": [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]}
    video |= {"clips": [[], [], []], "clips_caption": [[], [], []], "events_summary": ["a", "b", "c"]}
    video |= {"video_summary": "", "events_summary_split": [{}, {}, {}], "video_summary_split": {}}
    path = folder / "events.json"
    path.write_text(json.dumps({"street": video}))
    return path


def imported(folder: Path, name: str, path: Path) -> Store:
    store = empty_store(folder)
    take_in(store, get_format(name).read(path), annotator="import")
    return store


def taken_in(store: Store, name: str, path: Path) -> ReviewedClip:
    """The clip after a file was read, which says nothing new the second time."""
    take_in(store, get_format(name).read(path), annotator="import")
    assert take_in(store, get_format(name).read(path), annotator="import").rows == 0
    return clips.current(store, 1)


def drawn_in_cvat(reviewed: ReviewedClip, path: Path, label: str, first: int, last: int, gone: int | None) -> None:
    """Our export as CVAT hands it back when somebody has deleted the track `gone` and drawn one."""
    get_format("cvat").write([reviewed], path)
    head, *tracks = path.read_text(encoding="utf-8").removesuffix("</annotations>\n").split("  <track ")
    kept = [track for number, track in enumerate(tracks) if number != gone]
    place = 'keyframe="1" occluded="0" xtl="300" ytl="300" xbr="390" ybr="360" z_order="0"'
    new = f'id="99" label="{label}" source="manual">'
    new += "".join(f'<box frame="{frame}" outside="0" {place}></box>' for frame in range(first, last + 1))
    path.write_text("  <track ".join([head, *kept, f"{new}</track>\n"]) + "</annotations>\n", encoding="utf-8")


def edited_in_label_studio(reviewed: ReviewedClip, path: Path, edit: Callable[[list[Any]], None]) -> None:
    """Our export as Label Studio hands it back after an edit of its regions."""
    get_format("labelstudio").write([reviewed], path)
    tasks = json.loads(path.read_text(encoding="utf-8"))
    edit(tasks[0]["annotations"][0]["result"])
    path.write_text(json.dumps(tasks))


def draw_car(regions: list[Any]) -> None:
    key = {"frame": 6, "enabled": False, "rotation": 0, "x": 50, "y": 50, "width": 10, "height": 10}
    value = {"framesCount": 100, "duration": 4.0, "labels": ["car"], "sequence": [key]}
    regions.append({"id": "new", "from_name": "box", "to_name": "video", "type": "videorectangle", "value": value})


@pytest.mark.parametrize("name", ["cvat", "labelstudio"])
def test_a_track_that_is_drawn_in_another_tool_is_a_new_instance(name: str, tmp_path: Path) -> None:
    """Its place in the file is the number that somebody else has in the store, and it is seen in the same frames."""
    store = imported(tmp_path, "coco", tracked(tmp_path / "persons.json", "person", [10, 210]))
    before = clips.current(store, 1)
    path = tmp_path / ("out.xml" if name == "cvat" else "out.json")
    if name == "cvat":
        drawn_in_cvat(before, path, "car", 5, 5, None)
    else:
        edited_in_label_studio(before, path, draw_car)
    after = taken_in(store, name, path).instances
    (new,) = [item for item in after if item not in before.instances]
    assert len(after) == 3
    assert (new.instance.category, list(new.instance.boxes_xyxy)) == ("car", [5])
    assert len({item.instance.id for item in after}) == 3, "a number names one instance of a clip"


@pytest.mark.parametrize("gone", [0, 2])
@pytest.mark.parametrize("name", ["cvat", "labelstudio"])
def test_an_event_that_is_drawn_where_another_was_deleted_is_a_new_one(name: str, gone: int, tmp_path: Path) -> None:
    store = imported(tmp_path, "hivau", judged(tmp_path))
    before = clips.current(store, 1)
    sized = replace(before, clip=replace(before.clip, width=640, height=480))

    def redraw(regions: list[Any]) -> None:
        del regions[gone]
        value = {"ranges": [{"start": 81, "end": 90}], EVENT: ["abnormal"]}
        regions.append({"id": "new", "from_name": "events", "to_name": "video", "type": EVENT, "value": value})

    path = tmp_path / ("out.xml" if name == "cvat" else "out.json")
    if name == "cvat":
        drawn_in_cvat(sized, path, "event", 80, 89, gone)
    else:
        edited_in_label_studio(sized, path, redraw)
    after = taken_in(store, name, path).events
    assert [event for event in after if event.id in ("E0", "E1", "E2")] == list(before.events)
    assert [(e.start_s, e.end_s) for e in after if e not in before.events] == [(3.2, 3.6)]


@pytest.mark.parametrize("category", ["car", "person"])
def test_tracks_of_two_files_that_count_from_1_are_different_things(category: str, tmp_path: Path) -> None:
    store = imported(tmp_path, "coco", tracked(tmp_path / "persons.json", "person", [10, 210]))
    before = clips.current(store, 1)
    after = taken_in(store, "coco", tracked(tmp_path / "others.json", category, [410], frame=12)).instances
    assert set(before.instances[0].instance.boxes_xyxy) == set(range(10))
    assert all(item in after for item in before.instances)
    assert [item.instance.category for item in after if item not in before.instances] == [category]


def test_an_event_of_another_file_takes_nobodys_place(tmp_path: Path) -> None:
    store = imported(tmp_path, "hivau", judged(tmp_path))
    before = clips.current(store, 1)
    video = {"id": 1, "name": "street", "events": [{"start_s": 3.2, "end_s": 3.6, "clips": []}]}
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"videos": [video], "images": [], "annotations": [], "categories": []}))
    after = taken_in(store, "coco", path).events
    assert [event for event in after if event in before.events] == list(before.events)
    assert len(after) == 4


def test_what_an_import_named_by_its_place_is_known_by_where_it_is_first_seen(tmp_path: Path) -> None:
    """Stores of earlier versions hold tracks of foreign files as T1, T2."""
    path = tracked(tmp_path / "persons.json", "person", [10, 210])
    (draft,) = get_format("coco").read(path)
    named = tuple(replace(item, id=f"T{item.instance.id}") for item in draft.instances)
    store = empty_store(tmp_path)
    take_in(store, [replace(draft, instances=named)], annotator="import")
    assert [item.id for item in taken_in(store, "coco", path).instances] == ["T1", "T2"]


def test_two_things_that_are_first_seen_in_one_place_stay_two(tmp_path: Path) -> None:
    path = tracked(tmp_path / "persons.json", "person", [10, 10])
    store = imported(tmp_path, "coco", path)
    assert len(taken_in(store, "coco", path).instances) == 2


def test_a_captioned_clip_without_an_id_beside_one_that_has_one(tmp_path: Path) -> None:
    parts = [{"id": "E0C1", "start_s": 0.0, "end_s": 1.0}, {"start_s": 1.0, "end_s": 2.0}, {"start_s": 1.0, "end_s": 2}]
    video = {"id": 1, "name": "street", "events": [{"id": "E0", "start_s": 0.0, "end_s": 3.0, "clips": parts}]}
    path = tmp_path / "in.json"
    path.write_text(json.dumps({"videos": [video], "images": [], "annotations": [], "categories": []}))
    (reviewed,) = get_format("coco").read(path)
    assert len({part.id for part in reviewed.events[0].clips}) == 3
