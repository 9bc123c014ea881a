"""HIVAU-70k files: the published ones load whole and come out as they went in; bad ones are named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.store_support import analysis, empty_store, store_with_clip
from workbench.cli import main
from workbench.corrections import clips, history
from workbench.corrections.intake import take_in
from workbench.corrections.store import Store
from workbench.corrections.verify import verify
from workbench.errors import FormatError
from workbench.exports import get_format
from workbench.exports.hivau_jsonl import media_name
from workbench.records import ReviewedClip

DOCUMENT = {
    "n_frames": 300,
    "fps": 30.0,
    "label": ["Robbery"],
    "events": [[1.0, 4.5], [5.0, 9.0]],
    "clips": [[[1.0, 2.0], [2.0, 4.5]], []],
    "clips_caption": [["A man runs.", ""], []],
    "events_summary": ["Yes, a robbery. A man runs.", "All quiet."],
    "video_summary": "Yes. A man runs. He has a bag.",
    "events_summary_split": [{"judgement": 'Yes, a "robbery".', "description": "A man runs."}, {}],
    "video_summary_split": {"judgement": "Yes.", "description": "A man runs.", "analysis": "He has a bag."},
}


def published(shared_dir: Path) -> Path:
    folder = shared_dir / "data" / "holmesvau"
    if not folder.is_dir():
        pytest.skip(f"no published annotations in {folder}")
    return folder


def write_json(path: Path, data: object) -> Path:
    path.write_text(json.dumps(data, indent=4), encoding="utf-8")
    return path


def imported(folder: Path, source: Path, name: str = "hivau") -> Store:
    store = empty_store(folder, "imported.db")
    take_in(store, get_format(name).read(source), annotator="ann")
    return store


def exported(store: Store, path: Path, name: str = "hivau") -> str:
    get_format(name).write(clips.reviewed_clips(store), path)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "file", "count"),
    [("hivau", "ucf_database_test.json", 251), ("hivau-jsonl", "merge_instruction_test_final.jsonl", 150)],
)
def test_published_files_come_out_byte_for_byte(
    shared_dir: Path, tmp_path: Path, name: str, file: str, count: int
) -> None:
    source = published(shared_dir) / file
    store = imported(tmp_path, source, name)
    assert get_format(name).write(clips.reviewed_clips(store), tmp_path / file) == count
    assert (tmp_path / file).read_bytes() == source.read_bytes()
    again = take_in(store, get_format(name).read(source), annotator="bob")
    assert (again.clips, again.new_clips, again.without_media, again.rows) == (count, 0, count, 0)
    assert again.warnings == []
    assert verify(store).is_intact


def test_events_without_categories_are_abnormal_and_stay_so(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    made = analysis()
    made.events = [replace(event, category=None) for event in made.events]
    clip = clips.save_analysis(store, made)
    was = clips.current(store, clip.id)
    text = exported(store, tmp_path / "a.json")
    assert json.loads(text)["street"]["label"] == ["abnormal"]
    again = take_in(store, get_format("hivau").read(tmp_path / "a.json"), annotator="import")
    assert (again.rows, again.warnings) == (0, [])
    assert clips.current(store, clip.id) == was
    other = imported(tmp_path, tmp_path / "a.json")
    (found,) = clips.reviewed_clips(other)
    assert (found.label, [event.category for event in found.events]) == (None, [None] * len(made.events))
    assert exported(other, tmp_path / "b.json") == text
    bare = {**DOCUMENT, "label": ["abnormal"], "events": [], "clips": [], "clips_caption": [], "events_summary": []}
    source = write_json(tmp_path / "bare.json", {"a": {**bare, "events_summary_split": []}})
    (found,) = get_format("hivau").read(source)
    assert found.label == ("abnormal",)  # without events nothing else says so


@pytest.mark.parametrize("name", ["coco", "iac"])
def test_a_video_without_a_frame_count_goes_through_other_formats(name: str, tmp_path: Path) -> None:
    events: dict[str, list[object]] = {"events": [], "clips": [], "clips_caption": [], "events_summary": []}
    empty = {**DOCUMENT, **events, "n_frames": 0, "events_summary_split": []}
    store = imported(tmp_path, write_json(tmp_path / "a.json", {"a": empty}))
    exported(store, tmp_path / "b.json", name)
    again = take_in(store, get_format(name).read(tmp_path / "b.json"), annotator="ann")
    assert (again.clips, again.new_clips, again.rows) == (1, 0, 0)


def test_both_dialects_say_the_same(shared_dir: Path, tmp_path: Path) -> None:
    source = published(shared_dir) / "merge_instruction_test_final.jsonl"
    talk = get_format("hivau-conversations")
    talk.write(get_format("hivau-jsonl").read(source), tmp_path / "talk.jsonl")
    assert get_format("hivau-jsonl").write(talk.read(tmp_path / "talk.jsonl"), tmp_path / "prompts.jsonl") == 150
    assert (tmp_path / "prompts.jsonl").read_bytes() == source.read_bytes()
    first = json.loads((tmp_path / "talk.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first.keys() == {"id", "type", "task", "video", "conversations"}
    assert [turn["from"] for turn in first["conversations"]] == ["human", "gpt"] * 3
    assert first["conversations"][0]["value"].startswith("<video>\n")


def test_annotations_and_instructions_of_a_video_meet(shared_dir: Path, tmp_path: Path) -> None:
    folder = published(shared_dir)
    store = imported(tmp_path, folder / "ucf_database_test.json")
    report = take_in(
        store, get_format("hivau-jsonl").read(folder / "merge_instruction_test_final.jsonl"), annotator="ann"
    )
    assert (report.clips, report.new_clips) == (150, 90)
    assert (
        exported_named(store, "Abuse028_x264", tmp_path)
        == json.loads((folder / "ucf_database_test.json").read_text(encoding="utf-8"))["Abuse028_x264"]
    )
    left_out: list[str] = []
    count = get_format("hivau").write(clips.reviewed_clips(store), tmp_path / "all.json", left_out=left_out)
    assert (count, len(left_out)) == (251, 90)  # instructions alone have no times
    with pytest.raises(FormatError, match="no frame count and rate"):
        exported(store, tmp_path / "none.json")
    assert not (tmp_path / "none.json").exists()


def exported_named(store: Store, name: str, folder: Path) -> object:
    chosen = [item for item in clips.reviewed_clips(store) if item.clip.name == name]
    get_format("hivau").write(chosen, folder / "one.json")
    return json.loads((folder / "one.json").read_text(encoding="utf-8"))[name]


def test_everything_the_format_holds_comes_back(tmp_path: Path) -> None:
    videos = {"a": DOCUMENT, "ünïcode ☃": {**DOCUMENT, "label": []}}
    source = write_json(tmp_path / "in.json", videos)
    store = imported(tmp_path, source)
    assert json.loads(exported(store, tmp_path / "out.json")) == videos
    view = next(clips.reviewed_clips(store))
    assert not view.clip.has_media
    assert view.label == ("Robbery",)
    assert view.texts.summary is None  # the three texts say it
    assert view.events[0].texts.summary == "Yes, a robbery. A man runs."
    assert view.events[0].provenance.kind == "import"
    assert list(get_format("hivau").read(tmp_path / "out.json")) == list(get_format("hivau").read(source))


def test_an_edited_event_changes_only_its_own_lines(tmp_path: Path) -> None:
    store = imported(tmp_path, write_json(tmp_path / "in.json", {"a": DOCUMENT, "b": DOCUMENT}))
    before = {name: exported(store, tmp_path / "before", name) for name in ("hivau", "hivau-jsonl")}
    clip = next(clips.reviewed_clips(store)).clip
    history.save(store, clip.id, [history.edit("event", "E0", "judgement", "No.")], annotator="ann")
    history.save(store, clip.id, [history.edit("event", "E0", "start_s", 1.25)], annotator="ann")
    after = {name: exported(store, tmp_path / "after", name) for name in before}
    changed = [
        (old, new)
        for old, new in zip(*(text["hivau"].splitlines() for text in (before, after)), strict=True)
        if old != new
    ]
    assert [new.strip() for _, new in changed] == ["1.25,", '"judgement": "No.",']
    lines = [text["hivau-jsonl"].splitlines() for text in (before, after)]
    changed = [(old, new) for old, new in zip(*lines, strict=True) if old != new]
    assert [json.loads(new)["anwser"] for _, new in changed] == ["No."]
    assert take_in(store, get_format("hivau").read(tmp_path / "in.json"), annotator="bob").rows == 2


def test_our_own_analysis_is_exported_with_standard_questions(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    texts = [history.edit("event", "a1.e0", name, f"{name}.") for name in ("judgement", "analysis_text")]
    history.save(store, clip.id, texts, annotator="ann")
    data = json.loads(exported(store, tmp_path / "out.json"))["street"]
    assert (data["label"], data["events"]) == (["robbery"], [[18.0, 24.5], [39.0, 41.0]])
    assert data["events_summary"] == ["judgement. analysis_text.", ""]
    assert data["events_summary_split"] == [{"judgement": "judgement.", "analysis": "analysis_text."}, {}]
    lines = [json.loads(line) for line in exported(store, tmp_path / "out.jsonl", "hivau-jsonl").splitlines()]
    assert [(line["id"], line["type"], line["task"], line["video"]) for line in lines] == [
        (0, "event", "judgement", "events/street_E0.mp4"),
        (1, "event", "analysis", "events/street_E0.mp4"),
    ]


def test_a_video_that_arrives_later_joins_its_annotations(tmp_path: Path) -> None:
    store = imported(tmp_path, write_json(tmp_path / "in.json", {"street": {**DOCUMENT, "n_frames": 1200}}))
    clip = clips.save_analysis(store, analysis()).id
    view = clips.current(store, "0" * 64)
    assert (view.clip.id, view.clip.has_media, len(list(clips.reviewed_clips(store)))) == (clip, True, 1)
    assert {event.provenance.kind for event in view.events} == {"import", "model"}
    assert verify(store).is_intact


def test_names_in_the_published_layout(tmp_path: Path) -> None:
    view: ReviewedClip = next(get_format("hivau").read(write_json(tmp_path / "in.json", {"a.b": DOCUMENT})))
    clip = replace(view.clip, origin="ucf-crime/videos/test/a.b.mp4")
    assert media_name(clip) == "ucf-crime/videos/test/a.b.mp4"
    assert media_name(clip, 0) == "ucf-crime/events/test/a.b_E0.mp4"
    assert media_name(clip, 0, 2) == "ucf-crime/clips/test/a.b_E0C2.mp4"


BAD: list[tuple[object, str]] = [
    ("{", "not JSON"),
    ('{"a": {}, "a": {}}', "'a' twice"),
    ('{"a": NaN}', "NaN"),
    ("[]", "not an object of videos"),
    ({"a": []}, "must be an object"),
    ({"a": {**DOCUMENT, "n_frames": "many"}}, "n_frames must be a whole number"),
    ({"a": {**DOCUMENT, "fps": 0}}, "fps must be above 0"),
    ({"a": {**DOCUMENT, "fps": None}}, "fps must be a time|not None"),
    ({"a": {**DOCUMENT, "label": "Robbery"}}, "label must be a list"),
    ({"a": {**DOCUMENT, "clips": [[]]}}, "clips has 1 entries for 2 events"),
    ({"a": {**DOCUMENT, "clips_caption": [["x"], []]}}, "event 0 needs as many captions"),
    ({"a": {**DOCUMENT, "events": [[4.0, 1.0], [5, 9]]}}, "event 0 ends at 1 s, before it starts at 4 s"),
    ({"a": {**DOCUMENT, "events": [[-4.0, 1.0], [5, 9]]}}, "time in seconds from 0"),
    ({"a": {**DOCUMENT, "events": [[1.0, 99.0], [5, 9]]}}, "after the end of a"),
    ({"a": {**DOCUMENT, "video_summary_split": {"verdict": "x"}}}, "video_summary_split must be"),
    ({"a": {**DOCUMENT, "video_summary": 3}}, "must be text"),
]


@pytest.mark.parametrize(("content", "says"), BAD)
def test_a_bad_annotation_file_is_named_and_leaves_no_trace(tmp_path: Path, content: object, says: str) -> None:
    good = {"fine": DOCUMENT, **content} if isinstance(content, dict) else content
    path = tmp_path / "in.json"
    path.write_text(good if isinstance(good, str) else json.dumps(good), encoding="utf-8")
    store = empty_store(tmp_path)
    with pytest.raises(FormatError, match=says):
        take_in(store, get_format("hivau").read(path), annotator="ann")
    assert store.info().counts["clips"] == 0


LINE = {"id": 0, "type": "event", "task": "judgement", "video": "events/a_E0.mp4", "prompt": "?", "anwser": "!"}
TALK = {"type": "video", "video": "videos/a.mp4"}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({**LINE, "type": "film"}, "line 2 needs a type"),
        ({**LINE, "video": 3}, "path of its video"),
        ({**LINE, "video": "events/a.mp4"}, "not.*a event"),
        ({**LINE, "task": "gossip"}, "task 'gossip'"),
        ({**LINE, "anwser": None}, "prompt and anwser"),
        ({**LINE, "anwser": "something else"}, "another judgement of events/a_E0.mp4"),
        ({**LINE, "video": "events/a_E99999999999.mp4"}, "no video has that many"),
        ({**TALK, "conversations": [{"from": "human", "value": "?"}]}, "question and answer in turn"),
        ({**TALK, "conversations": [{"from": "gpt", "value": "?"}] * 2}, "must be from human"),
        ({**TALK, "conversations": [{"from": f, "value": "?"} for f in ("human", "gpt")] * 4}, "4 questions"),
        ("{", "line 2 is not JSON"),
    ],
)
def test_a_bad_line_is_named_and_leaves_no_trace(tmp_path: Path, line: object, says: str) -> None:
    path = tmp_path / "in.jsonl"
    text = line if isinstance(line, str) else json.dumps(line)
    path.write_text(json.dumps(LINE) + "\n" + text + "\n", encoding="utf-8")
    store = empty_store(tmp_path)
    with pytest.raises(FormatError, match=says):
        take_in(store, get_format("hivau-jsonl").read(path), annotator="ann")
    assert store.info().counts["clips"] == 0


def test_unknown_categories_are_kept_and_told(tmp_path: Path) -> None:
    source = write_json(tmp_path / "in.json", {"a": {**DOCUMENT, "label": ["Juggling", "Robbery"]}})
    store = empty_store(tmp_path)
    report = take_in(store, get_format("hivau").read(source), annotator="ann")
    assert "Juggling" in report.warnings[0]
    assert next(clips.reviewed_clips(store)).label == ("Juggling", "Robbery")


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, db = write_json(tmp_path / "in.json", {"a": DOCUMENT, "b": DOCUMENT}), str(tmp_path / "s.db")
    assert main(["import", "--db", db, "--format", "hivau", str(source)]) == 0
    assert "read 2 clips (2 new, 2 without media)" in capsys.readouterr().out
    out = tmp_path / "out.json"
    assert main(["export", "--db", db, "--format", "hivau", "--out", str(out)]) == 0
    assert out.read_text() == source.read_text()
    assert main(["export", "--db", db, "--format", "hivau", "--out", str(out), "--clip", "b"]) == 0
    assert list(json.loads(out.read_text())) == ["b"]
    assert main(["db", "verify", "--db", db]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("ok ")
    assert main(["db", "backup", "--db", db, str(tmp_path / "copy.db")]) == 0
    assert main(["db", "info", "--db", db]) == 0
    assert "clips       2" in capsys.readouterr().out
    for bad, says in (
        (["export", "--db", db, "--format", "nope", "--out", "x"], "no format 'nope'"),
        (["export", "--db", db, "--format", "hivau", "--out", str(tmp_path / "no" / "x.json")], "cannot be written"),
        (["export", "--db", db, "--format", "hivau", "--out", str(out), "--clip", "z"], "no clip 'z'"),
        (["import", "--db", db, "--format", "csv", str(source)], "export only"),
        (["import", "--db", db, "--format", "hivau", str(tmp_path / "none")], "cannot be read"),
        (["db", "info", "--db", str(tmp_path / "none.db")], "There is no store"),
    ):
        assert main(bad) == 2
        err = capsys.readouterr().err
        assert says in err
        assert err.count("\n") == 1
