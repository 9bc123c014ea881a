"""Annotation files whose numbers no video can have: refused in a sentence, before memory is filled, and whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.store_support import empty_store, store_with_clip
from tests.test_exports_bad_annotations import assert_refused, put, spoiled_json
from workbench.cli import main
from workbench.corrections import clips
from workbench.errors import FormatError, InputError
from workbench.exports import get_format
from workbench.masks import decode_rle

HUGE = "1" + "0" * 400  # a whole number that no float can hold


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The drawn analysis in every format that says how long and how large a clip is."""
    folder = tmp_path_factory.mktemp("exports")
    store, _ = store_with_clip(folder)
    paths = {"coco": "coco.json", "labelstudio": "ls.json", "cvat": "street.xml", "datumaro": "dm", "iac": "iac.json"}
    paths |= {"hivau": "hivau.json", "yolo": "yolo"}
    for name, path in paths.items():
        get_format(name).write(clips.reviewed_clips(store), folder / path)
    return {name: folder / path for name, path in paths.items()}


CLIPS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "coco": ("", ("videos", 0)),
    "labelstudio": ("", (0, "data")),
    "datumaro": ("annotations/default.json", ("infos", "workbench_clips", 0)),
    "iac": ("", ("videos", 0)),
    "hivau": ("", ("street",)),
}
NUMBERS = [
    ("n_frames", "1000000000000", "n_frames"),
    ("n_frames", HUGE, "n_frames"),
    ("n_frames", "-3", "n_frames"),
    ("n_frames", "1e300", "n_frames"),
    ("n_frames", "2.5", "n_frames"),
    ("fps", "1e9", "fps"),
    ("fps", "-25", "fps"),
    ("fps", "0", "fps"),
    ("fps", "1e400", "fps"),
    ("fps", "1e-300", "last|lie"),
    ("fps", HUGE, "fps"),
    ("fps", "NaN", "no number of JSON"),
    ("fps", "-Infinity", "no number of JSON"),
    ("fps", '"25"', "fps"),
    ("fps", "9" * 5000, "is not JSON"),
]


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize(("field", "value", "says"), NUMBERS)
def test_lengths_and_rates(
    exports: dict[str, Path], tmp_path: Path, name: str, field: str, value: str, says: str
) -> None:
    inner, keys = CLIPS[name]
    path = tmp_path / "bad.json"

    def spoil(data: Any) -> None:
        put(*keys, field, to="VALUE")(data)
        if name != "hivau":
            put(*keys, "duration_s", to=None)(data)

    spoiled_json(exports[name] / inner if inner else exports[name], path, spoil)
    path.write_text(path.read_text("utf-8").replace('"VALUE"', value), encoding="utf-8")
    assert_refused(name, path, says, tmp_path)


@pytest.mark.parametrize("name", ["coco", "labelstudio", "datumaro", "iac"])
@pytest.mark.parametrize(
    ("field", "value"), [("duration_s", 1e12), ("duration_s", -1), ("width", 10**9), ("height", 10**400)]
)
def test_durations_and_sizes(exports: dict[str, Path], tmp_path: Path, name: str, field: str, value: float) -> None:
    inner, keys = CLIPS[name]
    source = exports[name] / inner if inner else exports[name]
    bad = spoiled_json(source, tmp_path / "bad.json", put(*keys, field, to=value))
    assert_refused(name, bad, "last|duration|width|height", tmp_path)


@pytest.mark.parametrize("value", ["1e12", "inf", "nan", "-5", "1e-300", ""])
@pytest.mark.parametrize(
    "place", ["<size>1200</size>", "<fps>24.0</fps>", "<width>640</width>", "<duration_s>50.0</duration_s>"]
)
def test_cvat_meta(exports: dict[str, Path], tmp_path: Path, place: str, value: str) -> None:
    text = exports["cvat"].read_text("utf-8")
    assert place in text
    start, end = place.index(">") + 1, place.index("</")
    text = text.replace("<duration_s>50.0</duration_s>", "") if "fps" in place else text
    path = tmp_path / "bad.xml"
    path.write_text(text.replace(place, place[:start] + value + place[end:]), encoding="utf-8")
    assert_refused("cvat", path, "bad.xml", tmp_path)


@pytest.mark.parametrize("line", ["n_frames: 1200", "fps: 24.0", "width: 640"])
@pytest.mark.parametrize("value", ["1e+12", ".inf", ".nan", "-5", "2026-99-99"])
def test_yolo_clips(exports: dict[str, Path], tmp_path: Path, line: str, value: str) -> None:
    folder = tmp_path / "yolo"
    (folder / "labels").mkdir(parents=True)
    (folder / "labels" / "street_000432.txt").write_text("0 0.1 0.1 0.2 0.2\n")
    text = (exports["yolo"] / "data.yaml").read_text("utf-8")
    assert line in text
    (folder / "data.yaml").write_text(text.replace(line, f"{line.split(':')[0]}: {value}"), encoding="utf-8")
    assert_refused("yolo", folder, "data.yaml", tmp_path)


def test_a_yaml_that_grows_is_not_read(tmp_path: Path) -> None:
    """Nine lines that stand for a thousand million names."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    (tmp_path / "data.yaml").write_text("\n".join([*lines, "names: [*a8]"]))
    assert_refused("yolo", tmp_path, "refers to itself", tmp_path)


REGION = (0, "annotations", 0, "result")


def test_a_box_that_never_ends_is_not_filled_in(exports: dict[str, Path], tmp_path: Path) -> None:
    """Label Studio's boxes hold until the next one; four weeks of that would be gigabytes."""

    def endless(data: Any) -> None:
        data[0]["data"] |= {"n_frames": 90_000_000, "fps": 30.0, "duration_s": 3_000_000.0}
        data[0]["annotations"][0]["result"][2]["value"]["sequence"][-1]["enabled"] = True

    assert_refused(
        "labelstudio", spoiled_json(exports["labelstudio"], tmp_path / "a.json", endless), "filled in", tmp_path
    )

    def far(data: Any) -> None:
        data[0]["data"] |= {"n_frames": None, "duration_s": None}
        keys = data[0]["annotations"][0]["result"][2]["value"]["sequence"]
        keys[0]["enabled"], keys[-1]["frame"] = True, 10**12
        del data[0]["annotations"][0]["result"][:2]
        del data[0]["annotations"][0]["result"][0]["value"]["framesCount"]

    assert_refused("labelstudio", spoiled_json(exports["labelstudio"], tmp_path / "b.json", far), "filled in", tmp_path)


def test_a_long_quiet_time_between_two_boxes_is_fine(exports: dict[str, Path], tmp_path: Path) -> None:
    def quiet(data: Any) -> None:
        data[0]["data"] |= {"n_frames": 90_000_000, "fps": 30.0, "duration_s": 3_000_000.0}
        keys = data[0]["annotations"][0]["result"][2]["value"]["sequence"]
        keys[-1]["frame"] = 80_000_000
        for key in keys:
            key["enabled"] = False

    (reviewed,) = get_format("labelstudio").read(spoiled_json(exports["labelstudio"], tmp_path / "a.json", quiet))
    assert max(reviewed.instances[0].instance.boxes_xyxy) == 79_999_999


TIMES = [
    ("coco", ("videos", 0, "events", 0, "end_s"), 1e300),
    ("iac", ("videos", 0, "events", 0, "end_s"), 1e9),
    ("labelstudio", (*REGION, 0, "meta", "event", "end_s"), 1e308),
]


@pytest.mark.parametrize(("name", "keys", "value"), TIMES)
def test_times_of_a_clip_whose_length_is_not_known(
    exports: dict[str, Path], tmp_path: Path, name: str, keys: tuple[Any, ...], value: float
) -> None:
    def spoil(data: Any) -> None:
        put(*keys, to=value)(data)
        if name != "labelstudio":
            put(*CLIPS[name][1], "duration_s", to=None)(data)
            put(*CLIPS[name][1], "fps", to=None)(data)

    assert_refused(name, spoiled_json(exports[name], tmp_path / "bad.json", spoil), "later than any clip", tmp_path)


@pytest.mark.parametrize("box", [[1e300, 0, 1e300, 5], [10**400, 0, 1, 5], [1e308, 0, 1e308, 5]])
def test_boxes_far_from_every_picture(exports: dict[str, Path], tmp_path: Path, box: list[float]) -> None:
    bad = spoiled_json(exports["coco"], tmp_path / "bad.json", put("annotations", 0, "bbox", to=box))
    assert_refused("coco", bad, "box", tmp_path)


def test_frames_whose_number_is_a_book(exports: dict[str, Path], tmp_path: Path) -> None:
    def spoil(data: Any) -> None:
        data["videos"][0]["instances"][0]["boxes_xyxy"] = {"9" * 5000: [0, 0, 1, 1]}

    assert_refused("iac", spoiled_json(exports["iac"], tmp_path / "a.json", spoil), "by number of frame", tmp_path)
    line = {"type": "event", "task": "judgement", "prompt": "?", "anwser": "!", "video": f"a_E{'9' * 5000}.mp4"}
    (tmp_path / "b.jsonl").write_text(json.dumps(line))
    assert_refused("hivau-jsonl", tmp_path / "b.jsonl", "is not that of a event", tmp_path)


def test_a_few_lines_do_not_make_millions_of_clips(tmp_path: Path) -> None:
    line = {"type": "clip", "task": "caption", "prompt": "?", "anwser": "!"}
    lines = [json.dumps({**line, "video": f"clips/a_E{i}C9998.mp4"}) for i in range(100)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert_refused("hivau-jsonl", tmp_path / "a.jsonl", "names 999900 clips of a", tmp_path)


def test_a_mask_of_a_picture_that_fits_no_memory() -> None:
    with pytest.raises(InputError, match="pixels"):
        decode_rle({"size": [10**6, 10**6], "counts": "P" * 8 + "0"})


def test_half_a_character_and_too_deep_a_nest(exports: dict[str, Path], tmp_path: Path) -> None:
    text = exports["coco"].read_text("utf-8")
    (tmp_path / "a.json").write_text(text.replace('"robbery"', '"\\ud800"'), encoding="utf-8")
    assert_refused("coco", tmp_path / "a.json", "half a character", tmp_path)
    (tmp_path / "whole.json").write_text(text.replace('"robbery"', '"\\ud83d\\udd0e"'), encoding="utf-8")
    assert next(get_format("coco").read(tmp_path / "whole.json")).events[0].category == "🔎"
    for depth in range(900, 1000, 3):
        (tmp_path / "b.json").write_text(json.dumps({"videos": "X"}).replace('"X"', "[" * depth + "]" * depth))
        with pytest.raises(FormatError):
            list(get_format("coco").read(tmp_path / "b.json"))


def test_a_refused_import_makes_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text('{"a": {"n_frames": 1000000000000, "fps": 25.0, "label": []}}')
    new = tmp_path / "new.db"
    assert main(["import", "--db", str(new), "--format", "hivau", str(tmp_path / "a.json")]) == 2
    assert "n_frames must be a whole number from 0 to 100,000,000" in capsys.readouterr().err
    assert not new.exists()
    known = empty_store(tmp_path).path
    assert main(["import", "--db", str(known), "--format", "hivau", str(tmp_path / "a.json")]) == 2
    assert known.exists()
