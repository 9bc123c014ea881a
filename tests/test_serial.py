"""analysis.json and heatmaps.npz read back equal, say what is wrong, and never hold NaN."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.sample_records import drawn_analysis
from workbench.errors import DataError
from workbench.records import Analysis, Event, Evidence, Heatmaps, Turn
from workbench.serial import (
    from_json,
    load_analysis,
    load_heatmaps,
    save_analysis,
    save_heatmaps,
    to_document,
    to_json,
)

finite = st.floats(0, 1e7, allow_nan=False)
unit32 = hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(0, 1, width=32))
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
events = st.builds(Event, finite, finite, finite, finite, st.none() | words)
evidence = st.builds(Evidence, finite, finite, st.none() | st.integers(0, 999))
turns = st.builds(
    Turn,
    st.sampled_from(["judgement", "description", "analysis", "caption", "free"]),
    words,
    words,
    st.lists(evidence, max_size=3).map(tuple),
)


def assert_equal(a: Analysis, b: Analysis) -> None:
    for field in fields(Analysis):
        if field.name not in {"dense", "frame_score", "heatmaps"}:
            assert getattr(a, field.name) == getattr(b, field.name), field.name
    np.testing.assert_array_equal(a.frame_score, b.frame_score)
    assert a.dense.stride == b.dense.stride
    for name in ("frame_index", "time_s", "score"):
        np.testing.assert_array_equal(getattr(a.dense, name), getattr(b.dense, name))
    assert a.dense.parts.keys() == b.dense.parts.keys()
    for name, part in a.dense.parts.items():
        np.testing.assert_array_equal(part, b.dense.parts[name])


def test_a_full_analysis_reads_back_equal() -> None:
    analysis = drawn_analysis()
    assert_equal(from_json(to_json(analysis)), analysis)


@settings(max_examples=60, deadline=None)
@given(st.lists(events, max_size=4), st.lists(turns, max_size=4), unit32, st.none() | words)
def test_any_records_read_back_equal(
    event_list: list[Event], turn_list: list[Turn], scores: np.ndarray, adapter: str | None
) -> None:
    analysis = drawn_analysis()
    analysis.events, analysis.dialogue = event_list, turn_list
    analysis.frame_score, analysis.adapter = scores, adapter
    assert_equal(from_json(to_json(analysis)), analysis)


def test_the_document_is_the_published_contract() -> None:
    document = to_document(drawn_analysis())
    assert document["schema_version"] == "1"
    assert {"path", "sha256", "n_frames", "fps", "duration_s", "width", "height"} <= document["clip"].keys()
    assert document["dense"].keys() == {"stride", "frame_index", "time_s", "score", "parts"}
    assert document["dense"]["parts"].keys() == {"scorer", "motion"}
    assert len(document["frame_score"]) == document["clip"]["n_frames"]
    assert document["instances"][0].keys() == {
        *("id", "role", "category", "appearance", "motion", "first_frame", "last_frame", "boxes_xyxy", "masks_rle")
    }
    assert document["events"][0].keys() == {"start_s", "end_s", "peak_s", "peak_score", "category"}
    assert "category" not in document["events"][1]
    assert "instance_id" not in document["dialogue"][0]["evidence"][0]


def test_numbers_are_short_and_exact() -> None:
    analysis = drawn_analysis()
    analysis.frame_score = np.array([0.1, 1 / 3], dtype=np.float32)
    assert to_document(analysis)["frame_score"] == [0.1, 0.33333334]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_refused(bad: float) -> None:
    analysis = drawn_analysis()
    analysis.frame_score = np.array([0.5, bad], dtype=np.float32)
    with pytest.raises(DataError, match="not finite"):
        to_json(analysis)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "analysis.json"
    good, bad = drawn_analysis(), drawn_analysis()
    save_analysis(good, path)
    before = path.read_bytes()
    bad.threshold = float("nan")
    with pytest.raises(DataError):
        save_analysis(bad, path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["analysis.json"]


def test_heatmaps_read_back_beside_the_analysis(tmp_path: Path) -> None:
    heat = np.random.default_rng(0).random((5, 7, 7)).astype(np.float16)
    save_analysis(drawn_analysis(), tmp_path / "analysis.json")
    assert load_analysis(tmp_path / "analysis.json").heatmaps is None
    save_heatmaps(Heatmaps(np.arange(5), heat), tmp_path / "heatmaps.npz")
    loaded = load_analysis(tmp_path / "analysis.json").heatmaps
    assert loaded is not None
    assert loaded.heatmap.dtype == np.float16
    np.testing.assert_array_equal(loaded.heatmap, heat)
    np.testing.assert_array_equal(loaded.frame_index, np.arange(5))


def without(field: str) -> str:
    document = to_document(drawn_analysis())
    del document[field]
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("[1]", "no schema_version"),
        ("{}", "no schema_version"),
        ('{"schema_version": "99"}', "schema version '99'"),
        (without("events"), "lacks the field 'events'"),
        (without("clip"), "lacks the field 'clip'"),
        (to_json(drawn_analysis()).replace('"stride":16', '"stride":"x"'), "wrong kind"),
    ],
)
def test_a_bad_file_is_named_with_its_cause(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad one.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=says) as caught:
        load_analysis(path)
    assert "bad one.json" in str(caught.value)


def test_bad_heatmaps_and_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "heatmaps.npz").write_bytes(b"not a zip")
    with pytest.raises(DataError, match="not a heatmap file"):
        load_heatmaps(tmp_path / "heatmaps.npz")
    with pytest.raises(DataError, match="cannot be read"):
        load_analysis(tmp_path / "absent.json")
