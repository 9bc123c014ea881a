"""Videos beside HIVAU-70k exports: under the published names, frame for frame, whole or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests import drawn
from tests.case_support import make_store
from tests.store_support import empty_store
from workbench.cli import main
from workbench.corrections import clips
from workbench.corrections.intake import take_in
from workbench.errors import ClipError, FormatError
from workbench.exports import get_format
from workbench.exports.cuts import cut_span
from workbench.exports.media import write_media
from workbench.records import ReviewedClip
from workbench.video import Clip


def numbers(path: Path) -> list[int]:
    with Clip.open(path) as clip:
        return [drawn.number_in(rgb) for _, rgb in clip.frames(range(clip.n_frames))]


@pytest.fixture
def reviewed(tmp_path: Path) -> ReviewedClip:
    store, clip = make_store(tmp_path)
    return clips.current(store, clip.id)


@pytest.mark.parametrize("name", ["hivau", "hivau-jsonl", "hivau-conversations"])
def test_every_video_that_a_line_names_is_there(tmp_path: Path, name: str) -> None:
    store, _ = make_store(tmp_path)
    out = tmp_path / "set" / "annotations.jsonl"
    out.parent.mkdir()
    assert main(["export", "--db", str(store.path), "--format", name, "--media", "--out", str(out)]) == 0
    found = {path.relative_to(out.parent).as_posix(): path for path in out.parent.rglob("*.mp4")}
    assert found.keys() == {
        "videos/street.mp4",
        "events/street_E0.mp4",
        "events/street_E1.mp4",
        "clips/street_E1C0.mp4",
    }
    assert numbers(found["events/street_E0.mp4"]) == list(range(10, 30))
    assert numbers(found["events/street_E1.mp4"]) == list(range(35, 50))
    assert numbers(found["clips/street_E1C0.mp4"]) == list(range(35, 45))
    assert found["videos/street.mp4"].read_bytes() == (tmp_path / "street.mp4").read_bytes()
    if name != "hivau":
        assert {json.loads(line)["video"] for line in out.read_text("utf-8").splitlines()} <= found.keys()
    assert [path.name for path in out.parent.rglob(".*")] == []


def test_files_follow_the_folders_of_the_dataset(reviewed: ReviewedClip, tmp_path: Path) -> None:
    origin = "ucf-crime/videos/test/street.mp4"
    notes: list[str] = []
    placed = replace(reviewed, clip=replace(reviewed.clip, origin=origin))
    assert write_media(placed, tmp_path / "set", notes) == 4
    assert (tmp_path / "set" / origin).is_file()
    assert (tmp_path / "set" / "ucf-crime" / "events" / "test" / "street_E1.mp4").is_file()
    assert notes == []


@pytest.mark.parametrize("origin", ["../../street.mp4", "/srv/street.mp4", "a/../../b.mp4", "C:\\x.mp4", "..\\x.mp4"])
def test_no_name_leads_out_of_the_folder(reviewed: ReviewedClip, tmp_path: Path, origin: str) -> None:
    placed = replace(reviewed, clip=replace(reviewed.clip, origin=origin))
    (tmp_path / "set").mkdir()
    with pytest.raises(FormatError, match="leads out of its folder"):
        get_format("hivau-jsonl").write([placed], tmp_path / "set" / "a.jsonl", media_notes=[])
    assert list((tmp_path / "set").iterdir()) == []


def test_what_cannot_be_cut_is_noted_and_the_rest_is_cut(reviewed: ReviewedClip, tmp_path: Path) -> None:
    late = replace(reviewed.events[0], start_s=3.0, end_s=3.2)
    unknown = replace(reviewed.events[0], start_s=None, end_s=None)
    past = replace(reviewed.events[1], end_s=2.9, clips=())  # half a second after the end, as published ones are
    notes: list[str] = []
    assert write_media(replace(reviewed, events=(late, unknown, past)), tmp_path, notes) == 2
    assert [note.split(":")[0] for note in notes] == ["no file of event 0 of street", "no file of event 1 of street"]
    assert "after the end of the video (2.40 s)" in notes[0]
    assert numbers(tmp_path / "events" / "street_E2.mp4") == list(range(35, 60))
    gone = replace(reviewed, clip=replace(reviewed.clip, path=str(tmp_path / "gone.mp4")))
    assert write_media(gone, tmp_path / "b", notes) == 0
    assert "is no longer at" in notes[-1]
    assert not (tmp_path / "b").exists()


def far_past(reviewed: ReviewedClip) -> ReviewedClip:
    """The clip as it stands when a published annotation goes on long after the end of the video."""
    part = replace(reviewed.events[1].clips[0], end_s=9.0)
    return replace(reviewed, events=(reviewed.events[0], replace(reviewed.events[1], end_s=8.0, clips=(part,))))


def test_an_event_that_goes_on_after_the_video_is_cut_to_its_end_and_noted(
    reviewed: ReviewedClip, tmp_path: Path
) -> None:
    notes: list[str] = []
    (tmp_path / "set").mkdir()
    assert get_format("hivau").write([far_past(reviewed)], tmp_path / "set" / "a.json", media_notes=notes) == 1
    assert [note.split(",")[0] for note in notes] == [
        "the file of event 1 of street ends with the video",
        "the file of clip 0 of event 1 of street ends with the video",
    ]
    assert "at 2.40 s, not at 8 s; correct its times." in notes[0]
    assert numbers(tmp_path / "set" / "events" / "street_E1.mp4") == list(range(35, 60))


@pytest.mark.parametrize("name", ["coco", "iac", "datumaro", "cvat", "labelstudio"])
def test_an_event_that_goes_on_after_the_video_can_be_read_again(
    name: str, reviewed: ReviewedClip, tmp_path: Path
) -> None:
    out = tmp_path / {"datumaro": "dm", "cvat": "a.xml"}.get(name, "a.json")
    source = far_past(reviewed)
    get_format(name).write([source], out)
    store = empty_store(tmp_path, "other.db")
    take_in(store, get_format(name).read(out), annotator="import")
    (found,) = clips.reviewed_clips(store)
    assert [(e.start_s, e.end_s) for e in found.events] == [(e.start_s, e.end_s) for e in source.events]
    assert found.events[1].clips[0].end_s == 9.0


def test_an_export_with_videos_is_there_as_a_whole_or_not_at_all(reviewed: ReviewedClip, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    timeless = replace(reviewed.events[0], start_s=None, end_s=None)
    second = replace(reviewed, clip=replace(reviewed.clip, name="second"), events=(timeless,))
    with pytest.raises(FormatError, match="has no times"):
        get_format("hivau").write([reviewed, second], tmp_path / "set" / "a.json", media_notes=[])
    assert list((tmp_path / "set").iterdir()) == []


def test_a_video_of_others_is_not_replaced(reviewed: ReviewedClip, tmp_path: Path) -> None:
    theirs = tmp_path / "set" / "videos" / "street.mp4"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"another video")
    out = tmp_path / "set" / "a.json"
    with pytest.raises(FormatError, match=r"videos/street.mp4 is there already and is not .*; move it away, or name"):
        get_format("hivau").write([reviewed], out, media_notes=[])
    assert theirs.read_bytes() == b"another video"
    assert [path.name for path in out.parent.iterdir()] == ["videos"]
    theirs.unlink()
    for _ in range(2):  # what an earlier export has put there is no obstacle
        get_format("hivau").write([reviewed], out, media_notes=[])
    assert theirs.read_bytes() == (tmp_path / "street.mp4").read_bytes()
    twin = replace(reviewed, clip=replace(reviewed.clip, name="twin", origin="videos/b.mp4"))
    other = drawn.write_clip(tmp_path / "other.mp4", n_frames=60)
    with Clip.open(other) as clip:
        stranger = replace(twin.clip, name="stranger", path=str(other), sha256=clip.info.sha256)
    with pytest.raises(FormatError, match=r"b.mp4 is there already"):
        get_format("hivau").write([twin, replace(twin, clip=stranger)], out, media_notes=[])


def test_a_span_keeps_what_was_on_screen(tmp_path: Path) -> None:
    path, truth_s = drawn.write_variable_rate(tmp_path / "v.mp4")
    with Clip.open(path) as clip:
        cut_span(clip, float(truth_s[20]), float(truth_s[40]), tmp_path / "cut.mp4")
        assert set(numbers(tmp_path / "cut.mp4")) <= set(range(20, 40))
        with Clip.open(tmp_path / "cut.mp4") as cut:
            assert cut.info.duration_s == pytest.approx(truth_s[40] - truth_s[20], abs=2 / cut.info.fps)
        assert cut_span(clip, 0.5, 0.5, tmp_path / "moment.mp4") == 1
        with pytest.raises(ClipError, match="is not a part of"):
            cut_span(clip, 0.0, clip.info.duration_s + 2, tmp_path / "long.mp4")
    odd = drawn.write_clip(tmp_path / "odd.mkv", lambda i: drawn.marked(i, (131, 77)), 8, codec="ffv1", pix_fmt="bgr0")
    with Clip.open(odd) as clip:
        cut_span(clip, 0.0, clip.info.duration_s, tmp_path / "even.mp4")
    with Clip.open(tmp_path / "even.mp4") as even:
        assert (even.info.width, even.info.height, even.n_frames) == (130, 76, 8)


def test_formats_without_videos_say_so(reviewed: ReviewedClip, tmp_path: Path) -> None:
    with pytest.raises(
        FormatError, match="events as CSV go without videos; leave --media out, or choose one of: hivau"
    ):
        get_format("csv").write([reviewed], tmp_path / "a.csv", media_notes=[])
