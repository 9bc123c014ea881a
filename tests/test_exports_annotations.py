"""COCO, CVAT, Datumaro, Label Studio and YOLO: what a format holds comes back, and other people's readers open it."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from pycocotools.coco import COCO

from tests.annotated_clips import drawn_clip
from tests.drawn import marked, write_clip
from tests.readers import reader
from tests.store_support import empty_store, store_with_clip
from workbench.cli import main
from workbench.corrections import clips as store_clips
from workbench.corrections.intake import take_in
from workbench.errors import FormatError
from workbench.exports import get_format
from workbench.exports.yolo import contours, fill
from workbench.masks import decode_rle, mask_box
from workbench.records import ClipRecord, Instance, ReviewedClip, Texts

SUFFIX = {"coco": ".json", "labelstudio": ".json", "cvat": "", "datumaro": "", "yolo": ""}
HOLDS_ALL = ("coco", "datumaro", "labelstudio", "cvat")
SEEDS = range(60)


def write(name: str, clips: list[ReviewedClip], folder: Path, stem: str = "out") -> Path:
    path = folder / f"{stem}{SUFFIX[name]}"
    assert get_format(name).write(clips, path) == len(clips)
    return path


def held(reviewed: ReviewedClip, name: str) -> ReviewedClip:
    """What is left of a clip according to the docstring of the format."""
    items = [replace(item, instance=held_instance(item.instance, name)) for item in reviewed.instances]
    if name in ("labelstudio", "cvat"):
        items = [item for item in items if item.instance.boxes_xyxy or item.instance.masks_rle]
    reviewed = replace(reviewed, instances=tuple(items))
    if name != "cvat":
        return reviewed
    events = tuple(replace(event, texts=written(event.texts)) for event in reviewed.events)
    return replace(reviewed, clip=replace(reviewed.clip, origin=None), texts=written(reviewed.texts), events=events)


def written(texts: Texts) -> Texts:
    return Texts(*(text or None for text in (texts.judgement, texts.description, texts.analysis, texts.summary)))


def held_instance(instance: Instance, name: str) -> Instance:
    pictures = {frame: mask_box(decode_rle(mask)) for frame, mask in instance.masks_rle.items()}
    boxes = {frame: box for frame, box in pictures.items() if box is not None}
    if name == "cvat":
        return replace(instance, masks_rle={f: mask for f, mask in instance.masks_rle.items() if f in boxes})
    merged = dict(sorted({**boxes, **instance.boxes_xyxy}.items()))
    return replace(instance, boxes_xyxy=merged, masks_rle={} if name == "labelstudio" else instance.masks_rle)


@pytest.mark.parametrize("name", HOLDS_ALL)
def test_what_a_format_holds_comes_back(name: str, tmp_path: Path) -> None:
    drawn = {clip.clip.name: clip for clip in (drawn_clip(seed, name) for seed in SEEDS)}
    first = list(get_format(name).read(write(name, list(drawn.values()), tmp_path)))
    assert {clip.clip.name for clip in first} == set(drawn)
    for clip in first:
        assert clip == held(drawn[clip.clip.name], name)
    again = get_format(name).read(write(name, first, tmp_path, "again"))
    assert {clip.clip.name: clip for clip in again} == {clip.clip.name: clip for clip in first}


def test_yolo_keeps_every_pixel_but_holes(tmp_path: Path) -> None:
    clips = (drawn_clip(seed, "yolo") for seed in SEEDS)
    drawn = {clip.clip.name: clip for clip in clips if clip.clip.width < 60}  # noise has a thousand parts
    first = list(get_format("yolo").read(write("yolo", list(drawn.values()), tmp_path)))
    again = get_format("yolo").read(write("yolo", first, tmp_path, "again"))
    assert {clip.clip.name: clip for clip in again} == {clip.clip.name: clip for clip in first}
    assert {clip.clip.name for clip in first} == {name for name, clip in drawn.items() if seen(clip)}
    for clip in first:
        assert replace(clip.clip, origin=drawn[clip.clip.name].clip.origin) == drawn[clip.clip.name].clip
        assert seen(clip).keys() == seen(drawn[clip.clip.name]).keys()
        for key, picture in seen(drawn[clip.clip.name]).items():
            assert (seen(clip)[key] == picture).all()


def seen(reviewed: ReviewedClip) -> dict[tuple[int, str], np.ndarray]:
    """By frame and kind: all pixels of masks, holes filled, and of boxes without a mask, rounded."""
    clip = reviewed.clip
    found: dict[tuple[int, str], np.ndarray] = defaultdict(lambda: np.zeros((clip.height, clip.width), bool))
    for instance in (item.instance for item in reviewed.instances):
        for frame in {*instance.boxes_xyxy, *instance.masks_rle}:
            if frame in instance.masks_rle:
                pictures = contours(decode_rle(instance.masks_rle[frame]))
                picture = np.any([fill(part, clip.height, clip.width) for part in pictures], axis=0)
            else:
                picture = np.zeros((clip.height, clip.width), bool)
                x0, y0, x1, y1 = (round(side) for side in instance.boxes_xyxy[frame])
                picture[y0:y1, x0:x1] = True
            if picture.any():
                found[frame, instance.category] |= picture
    return found


def test_a_simple_mask_is_its_polygon_exactly() -> None:
    for seed in range(300):
        chance = np.random.default_rng(seed)
        height, width = chance.integers(1, 40, 2)
        for part in contours(chance.random((height, width)) < 0.55):
            picture = fill(part, height, width)
            (again,) = contours(picture)
            assert (fill(again, height, width) == picture).all()


def test_through_a_store_and_back(tmp_path: Path) -> None:
    source = [drawn_clip(seed, "coco") for seed in range(12)]
    path = write("coco", source, tmp_path)
    store = empty_store(tmp_path)
    assert take_in(store, get_format("coco").read(path), annotator="ann").new_clips == 12
    again = write("coco", list(store_clips.reviewed_clips(store)), tmp_path, "again")
    assert json.loads(again.read_text(encoding="utf-8")) == json.loads(path.read_text(encoding="utf-8"))
    assert take_in(store, get_format("coco").read(again), annotator="bob").rows == 0


def test_pycocotools_opens_coco(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = [drawn_clip(seed, "coco") for seed in SEEDS]
    opened = COCO(str(write("coco", source, tmp_path)))
    capsys.readouterr()
    masks = {}
    for annotation in opened.loadAnns(opened.getAnnIds()):
        image = opened.imgs[annotation["image_id"]]
        if annotation["segmentation"]:
            picture = opened.annToMask(annotation)
            assert picture.shape == (image["height"], image["width"])
            assert annotation["area"] == picture.sum()
            masks[annotation["track_id"], image["frame_index"]] = picture
    tracks = [item.instance for clip in source for item in clip.instances]
    expected = {(i, f): m for i, track in enumerate(tracks, start=1) for f, m in track.masks_rle.items()}
    assert masks.keys() == expected.keys()
    assert all((decode_rle(mask) == masks[key]).all() for key, mask in expected.items())
    assert {opened.cats[track["category_id"]]["name"] for track in opened.dataset["tracks"]} == {
        track.category for track in tracks
    }


def test_datumaro_opens_its_folder(tmp_path: Path) -> None:
    datumaro = reader("datumaro")
    source = [drawn_clip(seed, "datumaro") for seed in SEEDS]
    path = write("datumaro", source, tmp_path)
    opened = datumaro.Dataset.import_from(str(path), "datumaro")
    frames = {(c.clip.name, f) for c in source for i in c.instances for f in seen_frames(held_instance(i.instance, ""))}
    assert len(opened) == len(frames)
    assert len(opened.infos()["workbench_clips"]) == len(source)
    total, labels = 0, opened.categories()[datumaro.AnnotationType.label]
    for item in opened:
        assert item.media.index == int(item.id.rsplit("/", 1)[1])
        for annotation in item.annotations:
            assert labels[annotation.label].name
            total += annotation.type == datumaro.AnnotationType.mask and int(annotation.image.sum())
    masks = [decode_rle(m) for c in source for i in c.instances for m in i.instance.masks_rle.values()]
    assert total == sum(int(mask.sum()) for mask in masks)


def seen_frames(instance: Instance) -> set[int]:
    return {*instance.boxes_xyxy, *instance.masks_rle}


def test_datumaro_opens_boxes_of_cvat(tmp_path: Path) -> None:
    datumaro = reader("datumaro")
    # Its reader knows masks in the variant for images only.
    drawn = (drawn_clip(seed, "cvat") for seed in SEEDS)
    source = next(clip for clip in drawn if len(clip.instances) > 2 and len(clip.events) > 1)
    items = tuple(replace(item, instance=replace(item.instance, masks_rle={})) for item in source.instances)
    source = replace(source, instances=items)
    (tmp_path / "task").mkdir()
    get_format("cvat").write([source], tmp_path / "task" / "annotations.xml")
    opened = datumaro.Dataset.import_from(str(tmp_path / "task"), "cvat")
    labels = opened.categories()[datumaro.AnnotationType.label]
    found = {
        (item.attributes["frame"], labels[a.label].name, a.attributes["role"], tuple(a.points))
        for item in opened
        for a in item.annotations
        if not a.attributes["outside"] and "role" in a.attributes
    }
    boxes = [(f, i.category, i.role, b) for i in (item.instance for item in items) for f, b in i.boxes_xyxy.items()]
    assert {place[:3] for place in found} == {place[:3] for place in boxes}
    for mine, theirs in zip(sorted(boxes), sorted(found), strict=True):
        assert mine[:3] == theirs[:3]
        assert mine[3] == pytest.approx(theirs[3], abs=0.0051)  # it rounds to a hundredth of a pixel


def test_label_studio_accepts_its_tasks(tmp_path: Path) -> None:
    interface = reader("label_studio_sdk.label_interface")
    path = write("labelstudio", [drawn_clip(seed, "labelstudio") for seed in SEEDS], tmp_path)
    config = interface.LabelInterface(path.with_suffix(".config.xml").read_text(encoding="utf-8"))
    regions = 0
    for task in json.loads(path.read_text(encoding="utf-8")):
        assert config.validate_task({"data": task["data"]})
        (annotation,) = task["annotations"]
        assert config.validate_prediction(annotation, return_errors=True) == []
        regions += len(annotation["result"])
    assert regions > len(SEEDS)


def test_label_studio_is_told_the_rate_of_each_video(tmp_path: Path) -> None:
    path = write("labelstudio", [drawn_clip(seed, "labelstudio") for seed in SEEDS], tmp_path)
    (video,) = ElementTree.parse(path.with_suffix(".config.xml")).iter("Video")
    assert (video.get("value"), video.get("frameRate")) == ("$video", "$fps")
    assert all(task["data"]["fps"] > 0 for task in json.loads(path.read_text(encoding="utf-8")))


def test_yolo_is_found_wherever_the_training_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("yolo", [drawn_clip(seed, "yolo") for seed in SEEDS], tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    text = (path / "data.yaml").read_text(encoding="utf-8")
    data = yaml.safe_load(text)
    base = Path(data.get("path") or path)  # as `check_det_dataset` of Ultralytics has it
    assert (base / data["train"]).is_dir()
    plain = list(get_format("yolo").read(path))
    (path / "data.yaml").write_text(f"path: .\n{text}", encoding="utf-8")  # as it was written before
    assert list(get_format("yolo").read(path)) == plain


def test_supervision_reads_yolo_with_pictures(tmp_path: Path) -> None:
    import supervision

    video = write_clip(tmp_path / "marked.mp4", marked, 30)
    clips = (drawn_clip(seed, "yolo") for seed in range(500))
    drawn = next(c for c in clips if c.clip.width > 99 and sum(len(i.instance.boxes_xyxy) for i in c.instances) > 4)
    items = [replace(item, instance=scaled(item.instance, drawn.clip)) for item in drawn.instances]
    clip = replace(drawn.clip, path=str(video), width=192, height=108, n_frames=30)
    source = replace(drawn, clip=clip, instances=tuple(items))
    path = write("yolo", [source], tmp_path)
    opened = supervision.DetectionDataset.from_yolo(
        str(path / "images"), str(path / "labels"), str(path / "data.yaml"), force_masks=True
    )
    expected = seen(source)
    assert len(opened) == len({frame for frame, _ in expected})
    for name, picture, found in opened:
        assert picture.shape == (108, 192, 3)
        frame = int(Path(name).stem.rsplit("_", 1)[1])
        for kind in set(found.class_id):
            masks = found.mask[found.class_id == kind]
            assert (masks.any(axis=0) == expected[frame, opened.classes[kind]]).all()


def scaled(instance: Instance, clip: ClipRecord) -> Instance:
    """The boxes in a picture of 192 x 108, in frames 0 to 29, without masks."""
    assert clip.width is not None
    assert clip.height is not None
    x, y = 192 / clip.width, 108 / clip.height
    boxes = {
        f % 30: (b[0] * x, b[1] * y, b[2] * x, b[3] * y) for f, b in held_instance(instance, "").boxes_xyxy.items()
    }
    return replace(instance, boxes_xyxy=boxes, masks_rle={}, first_frame=0, last_frame=29)


@pytest.mark.parametrize("name", [*HOLDS_ALL, "yolo"])
def test_the_command_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, clip = store_with_clip(tmp_path)
    out, db = tmp_path / f"street{SUFFIX[name]}", str(tmp_path / "other.db")
    assert main(["export", "--db", str(store.path), "--format", name, "--out", str(out)]) == 0
    assert main(["import", "--db", db, "--format", name, str(out)]) == 0
    assert "read 1 clips (1 new, 1 without media)" in capsys.readouterr().out
    assert main(["db", "verify", "--db", db]) == 0
    again = tmp_path / f"again{SUFFIX[name]}"
    assert main(["export", "--db", db, "--format", name, "--out", str(again)]) == 0
    (here,), (there,) = (list(get_format(name).read(path)) for path in (out, again))
    assert replace(here, clip=clip) == replace(there, clip=clip)
    assert here.instances[0].instance.category == "person"
    assert [event.category for event in here.events] == ([] if name == "yolo" else ["robbery", None])


@pytest.mark.parametrize("name", [*HOLDS_ALL, "yolo"])
def test_what_does_not_fit_is_told_and_nothing_is_left(name: str, tmp_path: Path) -> None:
    drawn = (drawn_clip(seed, name) for seed in range(500))
    good = next(clip for clip in drawn if clip.clip.width < 60 and seen(clip) and clip.events)
    sizeless = replace(good, clip=replace(good.clip, name="sizeless", width=None))
    blank = replace(good.instances[0], instance=replace(good.instances[0].instance, category=""))
    path = tmp_path / f"out{SUFFIX[name]}"
    for bad, says in (
        (sizeless, "width and height"),
        (replace(good, clip=replace(good.clip, name="b"), instances=(blank,)), "no category"),
        (good, "Two clips are called"),
    ):
        with pytest.raises(FormatError, match=says):
            get_format(name).write([good, bad], path)
        assert list(tmp_path.iterdir()) == []
    left_out: list[str] = []
    assert get_format(name).write([sizeless, good], path, left_out=left_out) == 1
    assert len(left_out) == 1
    if not SUFFIX[name]:
        with pytest.raises(FormatError, match="is there already"):
            get_format(name).write([good], path)
