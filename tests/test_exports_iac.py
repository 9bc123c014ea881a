"""Instance-aligned captions: what is written comes back, a file a dataset; what cannot be is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.case_support import make_store
from tests.store_support import empty_store
from workbench.cli import main
from workbench.corrections import clips
from workbench.corrections.intake import take_in
from workbench.corrections.verify import verify
from workbench.errors import FormatError
from workbench.exports import get_format
from workbench.exports.iac import from_document, to_document
from workbench.records import ClipRecord, Provenance, ReviewedClip

IAC = get_format("iac")


@pytest.fixture
def reviewed(tmp_path: Path) -> ReviewedClip:
    store, clip = make_store(tmp_path)
    return clips.current(store, clip.id)


def test_import_and_export_are_the_identity(reviewed: ReviewedClip, tmp_path: Path) -> None:
    assert IAC.write([reviewed], tmp_path / "one.json") == 1
    store = empty_store(tmp_path, "second.db")
    report = take_in(store, IAC.read(tmp_path / "one.json"), annotator="ann")
    assert (report.clips, report.without_media) == (1, 1)
    assert IAC.write(clips.reviewed_clips(store), tmp_path / "two.json") == 1
    assert (tmp_path / "two.json").read_bytes() == (tmp_path / "one.json").read_bytes()
    again = take_in(store, IAC.read(tmp_path / "one.json"), annotator="bob")
    assert (again.rows, verify(store).is_intact) == (0, True)


def test_records_come_back_but_for_who_wrote_them(reviewed: ReviewedClip) -> None:
    back = from_document(json.loads(json.dumps(to_document(reviewed))), "here")
    assert [item.instance for item in back.instances] == [item.instance for item in reviewed.instances]
    assert [item.event_id for item in back.instances] == ["a1.e0", None]
    assert {item.provenance for item in back.instances} == {Provenance("import", "iac")}
    for mine, theirs in zip(back.events, reviewed.events, strict=True):
        assert (mine.id, mine.start_s, mine.end_s, mine.texts) == (
            theirs.id,
            theirs.start_s,
            theirs.end_s,
            theirs.texts,
        )
    assert back.texts == reviewed.texts


def test_the_file_says_who_did_what_and_where(reviewed: ReviewedClip, tmp_path: Path) -> None:
    IAC.write([reviewed], tmp_path / "one.json")
    document = json.loads((tmp_path / "one.json").read_text(encoding="utf-8"))
    assert (document["format"], document["version"], document["dataset"]) == ("instance-aligned-captions", 1, None)
    first = document["videos"][0]["instances"][0]
    assert (first["role"], first["appearance"], first["motion"]) == ("perpetrator", "a striped perpetrator", "stands")
    assert first["boxes_xyxy"]["10"] == [220.0, 70.0, 270.0, 170.0]
    assert first["masks"]["10"]["size"] == [180, 320]


def test_each_dataset_has_its_file(reviewed: ReviewedClip, tmp_path: Path) -> None:
    def of(name: str, origin: str | None) -> ReviewedClip:
        return replace(reviewed, clip=replace(reviewed.clip, name=name, origin=origin))

    three = [
        of("a", "ucf-crime/videos/test/a.mp4"),
        of("b", "view360/videos/b.mp4"),
        of("c", "ucf-crime/videos/c.mp4"),
        of("d", None),
    ]
    assert IAC.write(three, tmp_path / "all") == 4
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == [
        "clips.json",
        "ucf-crime.json",
        "view360.json",
    ]
    assert sorted(item.clip.name for item in IAC.read(tmp_path / "all")) == ["a", "b", "c", "d"]
    with pytest.raises(FormatError, match=r"one\.json can hold one dataset only, but b is of another"):
        IAC.write(three, tmp_path / "one.json")
    assert sorted(path.name for path in tmp_path.iterdir() if "one" in path.name) == []


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("version",), 2, "of version 1"),
        (("videos", 0, "name"), 7, "video 0: name"),
        (("videos", 0, "width"), -1, "width"),
        (("videos", 0, "instances", 0, "role"), "ghost", "role 'ghost'"),
        (("videos", 0, "instances", 0, "category"), None, "category"),
        (("videos", 0, "instances", 0, "boxes_xyxy"), {"x": [0, 0, 1, 1]}, "number of frame"),
        (("videos", 0, "instances", 0, "boxes_xyxy"), {"5": [9, 0, 1, 1]}, "ends before it starts"),
        (("videos", 0, "instances", 0, "boxes_xyxy"), {"900": [0, 0, 1, 1]}, "no frame 900"),
        (("videos", 0, "instances", 0, "masks"), {"5": {"size": [9, 9], "counts": "Q2"}}, "of size"),
        (("videos", 0, "instances", 0, "masks"), {"5": {"size": [180, 320], "counts": "Q2"}}, "cover"),
        (("videos", 0, "instances", 1, "instance"), "a1.i1", "a1.i1"),
        (("videos", 0, "events", 0, "end_s"), 99.0, "99"),
    ],
)
def test_what_cannot_be_is_named_and_nothing_is_imported(
    reviewed: ReviewedClip, tmp_path: Path, path: tuple[str | int, ...], value: object, says: str
) -> None:
    IAC.write([reviewed], tmp_path / "one.json")
    document = json.loads((tmp_path / "one.json").read_text(encoding="utf-8"))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (tmp_path / "bad.json").write_text(json.dumps(document))
    store = empty_store(tmp_path, "bad.db")
    with pytest.raises(FormatError, match=says):
        take_in(store, IAC.read(tmp_path / "bad.json"), annotator="ann")
    assert list(clips.reviewed_clips(store)) == []


def test_clips_without_instances_and_texts_are_held_too(tmp_path: Path) -> None:
    from workbench.exports.drafts import blank

    empty = blank(ClipRecord(0, "empty"), Provenance("import", "iac"))
    assert IAC.write([empty], tmp_path / "e.json") == 1
    assert list(IAC.read(tmp_path / "e.json")) == [empty]
    assert IAC.write([], tmp_path / "none.json") == 0
    assert list(IAC.read(tmp_path / "none.json")) == []
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(FormatError, match=r"holds no \.json file"):
        list(IAC.read(folder))


def test_the_command_line_goes_there_and_back(tmp_path: Path) -> None:
    store, _ = make_store(tmp_path)
    out, second = str(tmp_path / "iac"), str(tmp_path / "second.db")
    assert main(["export", "--db", str(store.path), "--format", "iac", "--out", out]) == 0
    assert main(["import", "--db", second, "--format", "iac", out]) == 0
    assert main(["export", "--db", second, "--format", "iac", "--out", str(tmp_path / "back")]) == 0
    assert (tmp_path / "back" / "clips.json").read_bytes() == (tmp_path / "iac" / "clips.json").read_bytes()
    assert main(["export", "--db", second, "--format", "iac", "--media", "--out", out]) == 2
