"""A `datasets` folder opens with the real `load_dataset`, offline, with the columns and values of the records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.case_support import NASTY, make_store
from workbench.corrections import clips
from workbench.errors import FormatError
from workbench.exports import get_format
from workbench.exports.drafts import blank
from workbench.exports.hf import split_of
from workbench.masks import decode_rle
from workbench.records import ClipRecord, MaskRLE, Provenance, ReviewedClip, Texts

HF = get_format("hf")

# In a process of its own: `datasets` reads its settings from the environment when it is imported.
LOAD = """
import json, sys
from datasets import get_dataset_config_names, load_dataset
folder, cache = sys.argv[1:]
tables = {}
for name in get_dataset_config_names(folder):
    for split, rows in load_dataset(folder, name, cache_dir=cache).items():
        tables[f"{name}/{split}"] = {"rows": rows.to_list(), "features": str(rows.features)}
tables["default"] = {split: rows.num_rows for split, rows in load_dataset(folder, cache_dir=cache).items()}
print(json.dumps(tables))
"""


def loaded(folder: Path, cache: Path) -> dict[str, Any]:
    pytest.importorskip("datasets", reason="the datasets package reads the folder back; see tests/requirements.txt")
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(cache)}
    command = [sys.executable, "-c", LOAD, str(folder), str(cache)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cache.parent, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture
def reviewed(tmp_path: Path) -> ReviewedClip:
    store, clip = make_store(tmp_path)
    return clips.current(store, clip.id)


def test_load_dataset_gives_back_what_was_written(reviewed: ReviewedClip, tmp_path: Path) -> None:
    made_by = Provenance("import", "hivau")
    test = ClipRecord(0, "Robbery001", origin="ucf-crime/videos/test/Robbery001.mp4", n_frames=300, fps=30.0)
    other = replace(blank(test, made_by), label=(), texts=Texts("No.", None, None, None))
    notes: list[str] = []
    assert HF.write([reviewed, other], tmp_path / "street set", media_notes=notes) == 2
    assert [note.split(":")[0] for note in notes] == ["no video of Robbery001"]
    tables = loaded(tmp_path / "street set", tmp_path / "cache")
    assert tables.keys() == {
        *("clips/train", "clips/test", "events/train", "instances/train", "instructions/train", "instructions/test"),
        "default",
    }
    assert tables["default"] == {"train": 1, "test": 1}
    _check_clips(tables["clips/train"]["rows"], tables["clips/test"]["rows"], reviewed)
    events = tables["events/train"]["rows"]
    assert [(row["clip"], row["start_s"], row["end_s"], row["category"]) for row in events] == [
        ("street", 0.4, 1.2, "robbery"),
        ("street", 1.4, 2.0, "falling"),
    ]
    assert events[0]["description"] == NASTY
    assert (events[0]["made_by"], events[0]["edited_by"], events[0]["clips"]) == ("model", ["ann"], [])
    assert events[1]["clips"] == [{"start_s": 1.4, "end_s": 1.8, "caption": "A man falls."}]
    _check_instances(tables["instances/train"]["rows"], reviewed)
    asked = {(row["type"], row["task"]): row["answer"] for row in tables["instructions/train"]["rows"]}
    assert asked["clip", "caption"] == "A man falls."
    assert asked["event", "analysis"] == "It is theft."


def _check_clips(train: list[dict[str, Any]], test: list[dict[str, Any]], reviewed: ReviewedClip) -> None:
    assert [row["name"] for row in [*train, *test]] == ["street", "Robbery001"]
    assert (train[0]["sha256"], train[0]["width"], train[0]["state"]) == (reviewed.clip.sha256, 320, "done")
    assert (train[0]["label"], test[0]["label"], test[0]["judgement"]) == (None, [], "No.")
    assert (train[0]["file_name"], test[0]["file_name"]) == ("media/street.mp4", None)


def _check_instances(rows: list[dict[str, Any]], reviewed: ReviewedClip) -> None:
    assert [(row["instance"], row["role"], row["event"]) for row in rows] == [
        (1, "perpetrator", 0),
        (2, "bystander", None),
    ]
    for row, item in zip(rows, reviewed.instances, strict=True):
        for seen in row["track"]:
            assert tuple(seen["box_xyxy"]) == item.instance.boxes_xyxy[seen["frame"]]
            mask = MaskRLE(size=seen["mask"]["size"], counts=seen["mask"]["counts"])
            assert (decode_rle(mask) == decode_rle(item.instance.masks_rle[seen["frame"]])).all()


def test_the_media_folder_is_a_videofolder(reviewed: ReviewedClip, tmp_path: Path) -> None:
    HF.write([reviewed], tmp_path / "set", media_notes=[])
    lines = (tmp_path / "set" / "media" / "metadata.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [(row["file_name"], row["name"]) for row in rows] == [("street.mp4", "street")]
    assert (tmp_path / "set" / "media" / "street.mp4").read_bytes() == (tmp_path / "street.mp4").read_bytes()


def test_the_card_says_what_is_there(reviewed: ReviewedClip, tmp_path: Path) -> None:
    HF.write([reviewed], tmp_path / "set")
    assert not (tmp_path / "set" / "media").exists()
    card = (tmp_path / "set" / "README.md").read_text("utf-8")
    _, head, body = card.split("---\n", 2)
    matter = yaml.safe_load(head)
    assert [item["config_name"] for item in matter["configs"]] == ["clips", "events", "instances", "instructions"]
    assert matter["size_categories"] == ["n<1K"]
    assert matter["license"] == "other"
    for item in matter["configs"]:
        assert all((tmp_path / "set" / part["path"]).is_file() for part in item["data_files"])
    assert "| events | train | 2 |" in body
    assert "The videos are not part of this folder" in body


def test_columns_of_the_card_are_those_of_the_rows(reviewed: ReviewedClip, tmp_path: Path) -> None:
    HF.write([reviewed], tmp_path / "set")
    matter = yaml.safe_load((tmp_path / "set" / "README.md").read_text("utf-8").split("---\n", 2)[1])
    for table in matter["dataset_info"]:
        path = tmp_path / "set" / "data" / f"{table['config_name']}-train.jsonl"
        row = json.loads(path.read_text("utf-8").splitlines()[0])
        assert [feature["name"] for feature in table["features"]] == list(row)


def test_a_folder_is_whole_or_not_there(reviewed: ReviewedClip, tmp_path: Path) -> None:
    out = tmp_path / "set"
    with pytest.raises(FormatError, match="Two clips are called 'street'"):
        HF.write([reviewed, reviewed], out)
    with pytest.raises(FormatError, match="no clip to make a data set of"):
        HF.write([], out)
    assert not out.exists()
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(FormatError, match="is there already"):
        HF.write([reviewed], out)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".partial")] == []


@pytest.mark.parametrize(
    ("origin", "split"),
    [
        (None, "train"),
        ("ucf-crime/videos/test/a.mp4", "test"),
        ("ucf-crime/videos/train/test.mp4", "train"),
        ("x/validation/y/a.mp4", "validation"),
    ],
)
def test_splits_are_told_by_folders(origin: str | None, split: str) -> None:
    assert split_of(origin) == split
