"""Annotation files that are wrong: one sentence that names the place, and nothing in the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.store_support import empty_store, store_with_clip
from workbench.corrections import clips
from workbench.corrections.intake import take_in
from workbench.errors import FormatError
from workbench.exports import get_format

Spoil = Callable[[Any], None]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The drawn analysis in every format."""
    folder = tmp_path_factory.mktemp("exports")
    store, _ = store_with_clip(folder)
    paths = {"coco": "coco.json", "labelstudio": "ls.json", "cvat": "street.xml", "datumaro": "dm", "yolo": "yolo"}
    for name, path in paths.items():
        get_format(name).write(clips.reviewed_clips(store), folder / path)
    return {name: folder / path for name, path in paths.items()}


def assert_refused(name: str, path: Path, says: str, folder: Path) -> None:
    store = empty_store(folder)
    with pytest.raises(FormatError, match=says) as caught:
        take_in(store, get_format(name).read(path), annotator="ann")
    assert "\n" not in str(caught.value)
    assert store.info().counts["clips"] == 0


def spoiled_json(source: Path, target: Path, spoil: Spoil) -> Path:
    data = json.loads(source.read_text(encoding="utf-8"))
    spoil(data)
    target.write_text(json.dumps(data), encoding="utf-8")
    return target


def put(*keys: Any, to: Any) -> Spoil:
    def spoil(data: Any) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = to

    return spoil


def drop(*keys: Any) -> Spoil:
    def spoil(data: Any) -> None:
        for key in keys[:-1]:
            data = data[key]
        del data[keys[-1]]

    return spoil


def twice(*keys: Any) -> Spoil:
    def spoil(data: Any) -> None:
        for key in keys:
            data = data[key]
        data.append(data[-1])

    return spoil


COCO_FAULTS: list[tuple[Spoil, str]] = [
    (drop("videos"), "needs a list called 'videos'"),
    (drop("annotations"), "needs a list called 'annotations'"),
    (drop("images", 0, "frame_index"), r"images\[0\]: frame_index must be a whole number"),
    (drop("images", 0, "video_id"), r"images\[0\]: video_id must be a whole number"),
    (put("images", 0, "width", to=641), r"images\[0\] is 641x480, unlike its video"),
    (put("images", 0, "frame_index", to=1200), "has no frame 1200"),
    (put("annotations", 0, "image_id", to=77), "image_id 77 is not in the file"),
    (put("annotations", 0, "track_id", to="one"), "track_id must be a whole number"),
    (put("annotations", 0, "bbox", to=[1, 2, -3, 4]), "size -3 x 4"),
    (put("annotations", 0, "bbox", to=[1, 2, 3]), "x, y, width, height"),
    (put("annotations", 0, "segmentation", to={"size": [480, 641], "counts": "x"}), "is of size"),
    (put("annotations", 0, "segmentation", to={"size": [480, 640], "counts": "PPYo0"}), "cover"),
    (put("annotations", 0, "segmentation", to={"size": [480, 640], "counts": [3]}), "runs of 3 pixels"),
    (put("annotations", 0, "segmentation", to=[[1, 2, 3, 4]]), "at least three points"),
    (put("tracks", 0, "role", to="hero"), "role 'hero' is unknown"),
    (put("tracks", 0, "category_id", to=77), "category_id 77 is not in the file"),
    (put("videos", 0, "events", 0, "end_s", to=999.0), "after the end"),
    (put("videos", 0, "events", 0, "end_s", to=1.0), "lies before the start"),
    (put("videos", 0, "events", 0, "id", to="a1.e1"), "'a1.e1' of an event is there twice"),
    (put("videos", 0, "fps", to=-1), "fps must be above 0"),
    (put("videos", 0, "name", to=""), "name must be a text"),
    (twice("annotations"), "annotations has the id 2 twice"),
    (twice("videos"), "videos has the id 1 twice"),
    (put("annotations", 1, "image_id", to=1), "seen twice in frame 432"),
]


@pytest.mark.parametrize(("spoil", "says"), COCO_FAULTS)
def test_coco(exports: dict[str, Path], tmp_path: Path, spoil: Spoil, says: str) -> None:
    assert_refused("coco", spoiled_json(exports["coco"], tmp_path / "bad.json", spoil), says, tmp_path)


REGION = (0, "annotations", 0, "result")
BOX = (*REGION, 2, "value", "sequence", 0)
RANGE = (*REGION, 0, "value", "ranges", 0)
LABEL_STUDIO_FAULTS: list[tuple[Spoil, str]] = [
    (drop(0, "data"), "data must be an object"),
    (drop(0, "data", "video"), "data.video must be a text"),
    (drop(0, "data", "width"), "size of street is not known"),
    (put(0, "data", "fps", to=None), "frame rate of street is not known"),
    (put(*RANGE, "end", to=1201), "goes to frame 1200, but street has frames 0 to 1199"),
    (put(*RANGE, "end", to=1), "before it starts"),
    (put(*RANGE, "start", to=0), "start must be a whole number from 1"),
    (put(*BOX, "frame", to=1201), "no frame 1201"),
    (put(*BOX, "rotation", to=30), "rotated"),
    (drop(*BOX, "x"), "x must be a number"),
    (put(*REGION, 2, "value", "labels", to=[]), "has no label"),
    (twice(0, "annotations"), "has 2 annotations"),
    (twice(*REGION), "'a1.i1' of an instance is there twice"),
    (lambda data: data.append(data[0]), "the clip 'street' is there twice"),
]


@pytest.mark.parametrize(("spoil", "says"), LABEL_STUDIO_FAULTS)
def test_label_studio(exports: dict[str, Path], tmp_path: Path, spoil: Spoil, says: str) -> None:
    assert_refused("labelstudio", spoiled_json(exports["labelstudio"], tmp_path / "bad.json", spoil), says, tmp_path)


ITEM = ("items", 0)
DATUMARO_FAULTS: list[tuple[Spoil, str]] = [
    (drop("items"), "needs a list called 'items'"),
    (drop("categories"), "categories must be an object"),
    (drop(*ITEM, "video_frame"), "video_frame must be an object"),
    (put(*ITEM, "video_frame", "frame_index", to=-1), "frame_index must be a whole number"),
    (put(*ITEM, "video_frame", "frame_index", to=1200), "has no frame 1200"),
    (put(*ITEM, "annotations", 0, "label_id", to=9), "label_id 9 is not in the file"),
    (put(*ITEM, "annotations", 0, "bbox", to="all"), "x, y, width, height"),
    (put(*ITEM, "annotations", 1, "rle", "size", to=[10, 10]), "is of size"),
    (twice(*ITEM, "annotations"), "seen twice in frame 432"),
    (twice("infos", "workbench_clips", 0, "tracks"), "object_id 0 of another track"),
    (twice("infos", "workbench_clips"), "of another clip"),
]


@pytest.mark.parametrize(("spoil", "says"), DATUMARO_FAULTS)
def test_datumaro(exports: dict[str, Path], tmp_path: Path, spoil: Spoil, says: str) -> None:
    source = exports["datumaro"] / "annotations" / "default.json"
    assert_refused("datumaro", spoiled_json(source, tmp_path / "bad.json", spoil), says, tmp_path)


BOMB = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>\n<annotations>&c;'
CVAT_FAULTS = [
    ("<annotations>", BOMB, "declares a document type"),
    ("<annotations>", '<!DOCTYPE a SYSTEM "file:///etc/hostname"><annotations>', "declares a document type"),
    ("</annotations>", "", "is not XML"),
    ("<task>", "<project><task>", "is not XML"),
    ("annotations>", "notes>", "is not an export of CVAT for video"),
    ('frame="432"', 'frame="1200"', "past the end: street has frames 0 to 1199"),
    ('frame="432"', 'frame="x"', "frame must be a number"),
    ('xtl="10.0"', "", "xtl must be a number"),
    ('xtl="10.0"', 'xtl="90.0"', "lies before its start"),
    ('left="10"', 'left="620"', "is outside the 640x480 video"),
    ('rle="0, 1600"', 'rle="0, 1599"', "rle covers 1599 pixels of a mask that has 1600"),
    ('name="role">perpetrator', 'name="role">hero', "role 'hero' is unknown"),
    ('name="id">a1.e0', 'name="id">a1.e1', "'a1.e1' of another event"),
    ('name="start_s">18.0', 'name="start_s">-18.0', "time in seconds from 0"),
    ("<size>1200", "<size>many", "size must be a number"),
]


@pytest.mark.parametrize(("old", "new", "says"), CVAT_FAULTS)
def test_cvat(exports: dict[str, Path], tmp_path: Path, old: str, new: str, says: str) -> None:
    text = exports["cvat"].read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "bad.xml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    assert_refused("cvat", path, says, tmp_path)


YOLO_FAULTS = [
    ("0 0.1 0.1 0.2 0.2 0.3\n", "has 5 numbers"),
    ("7 0.1 0.1 0.2 0.2 0.3 0.1\n", "kind 7, which has no name"),
    ("0 0.1 0.1 0.2 0.2 0.3 1.1\n", "outside 0 to 1"),
    ("0 0.1 0.1 0.2 nan 0.3 0.1\n", "must be a number"),
    ("zero 0.1 0.1 0.2 0.2\n", "number of the kind must be a number"),
]


@pytest.mark.parametrize(("line", "says"), YOLO_FAULTS)
def test_yolo_lines(tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "data.yaml").write_text("names: [person]\nworkbench_clips: [{file: a, name: a, width: 9, height: 9}]")
    (tmp_path / "labels" / "a_000001.txt").write_text("0 0.1 0.1 0.2 0.2\n" + line)
    assert_refused("yolo", tmp_path, f"line 2.*{says}", tmp_path)


def test_yolo_folders(exports: dict[str, Path], tmp_path: Path) -> None:
    assert_refused("yolo", tmp_path / "none", "cannot be read", tmp_path)
    (tmp_path / "data.yaml").write_text("names: [")
    assert_refused("yolo", tmp_path, "is not YAML", tmp_path)
    (tmp_path / "data.yaml").write_text("names: [person]")
    assert_refused("yolo", tmp_path, "no folder", tmp_path)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a_1.txt").write_text("0 0.1 0.1 0.2 0.2\n")
    assert_refused("yolo", tmp_path, "The size of a_1 is not known", tmp_path)
    (tmp_path / "labels" / "a_01.txt").write_text("")
    assert_refused("yolo", tmp_path, "both frame 1 of a", tmp_path)
    late = exports["yolo"] / "labels" / "street_001200.txt"
    late.write_text("0 0.1 0.1 0.2 0.2\n")
    assert_refused("yolo", exports["yolo"], "past the end", tmp_path)
    late.unlink()


@pytest.mark.parametrize("name", ["coco", "cvat", "datumaro", "labelstudio"])
def test_files_that_are_something_else(name: str, tmp_path: Path) -> None:
    path = tmp_path / "other"
    assert_refused(name, path, "cannot be read", tmp_path)
    path.write_bytes(b"\xff\xfe\x00 not this")
    assert_refused(name, path, "cannot be read|is not XML", tmp_path)
    path.write_text("[1, 2" if name != "cvat" else "<a></b>")
    assert_refused(name, path, "is not JSON|is not XML", tmp_path)


def test_a_text_that_xml_cannot_hold(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    reviewed = clips.current(store, clip.id)
    event = reviewed.events[0]
    bad = replace(reviewed, events=(replace(event, texts=replace(event.texts, judgement="bell \x07")),))
    with pytest.raises(FormatError, match="x07"):
        get_format("cvat").write([bad], tmp_path / "out.xml")
    assert not (tmp_path / "out.xml").exists()
    left_out: list[str] = []
    assert get_format("cvat").write([bad, reviewed], tmp_path / "out.xml", left_out=left_out) == 1
    assert "XML cannot" in left_out[0]


def test_moved_in_another_tool(exports: dict[str, Path], tmp_path: Path) -> None:
    """An event whose frames were moved is moved; the end that was not keeps its exact time."""

    def move(data: Any) -> None:
        region = data[0]["annotations"][0]["result"][0]
        assert region["value"]["ranges"] == [{"start": 433, "end": 588}]
        region["value"]["ranges"][0]["start"] = 457
        region["value"]["timelinelabels"] = ["fighting"]

    path = spoiled_json(exports["labelstudio"], tmp_path / "moved.json", move)
    (reviewed,) = get_format("labelstudio").read(path)
    assert (reviewed.events[0].start_s, reviewed.events[0].end_s) == (19.0, 24.5)
    assert reviewed.events[0].category == "fighting"
    assert reviewed.events[1].start_s == 39.0


def test_label_studio_moves_boxes_between_keys(tmp_path: Path) -> None:
    keys = [
        {"frame": 1, "enabled": True, "x": 0, "y": 0, "width": 10, "height": 10},
        {"frame": 5, "enabled": False, "x": 40, "y": 0, "width": 10, "height": 20},
        {"frame": 8, "enabled": True, "x": 50, "y": 50, "width": 10, "height": 10},
    ]
    value = {"framesCount": 9, "duration": 0.36, "sequence": keys}
    results = [
        {"id": "r", "type": "videorectangle", "value": value},
        {"id": "r", "type": "labels", "value": {"labels": ["car"]}},
        {"id": "c", "type": "choices", "value": {"choices": ["x"]}},
    ]
    data = {"video": "/data/upload/1/a.mp4", "width": 200, "height": 100}
    path = tmp_path / "in.json"
    path.write_text(json.dumps([{"data": data, "annotations": [{"result": results}]}]))
    (reviewed,) = get_format("labelstudio").read(path)
    assert (reviewed.clip.name, reviewed.clip.fps) == ("a", 25.0)
    instance = reviewed.instances[0].instance
    assert (instance.category, instance.first_frame, instance.last_frame) == ("car", 0, 8)
    assert instance.boxes_xyxy == {
        0: (0, 0, 20, 10),
        1: (20, 0, 40, 12.5),
        2: (40, 0, 60, 15),
        3: (60, 0, 80, 17.5),
        4: (80, 0, 100, 20),
        7: (100, 50, 120, 60),
        8: (100, 50, 120, 60),
    }
