"""Corrections, annotations and folders become the same training clips."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetune.sources import from_folder, from_store
from tests.drawn import write_clip
from tests.store_support import empty_store, square
from workbench.__main__ import main
from workbench.corrections.clips import ensure_clip, record_of
from workbench.corrections.history import add, add_caption, edit, save, undo
from workbench.corrections.log import ensure_annotator
from workbench.corrections.store import Store
from workbench.corrections.verify import verify
from workbench.errors import DataError
from workbench.probe import probe
from workbench.prompts import INSTANCE_QUESTION, STANDARD_QUESTIONS
from workbench.records import (
    CaptionedClip,
    Instance,
    Provenance,
    ReviewedEvent,
    ReviewedInstance,
    ReviewedTurn,
    Texts,
    Turn,
)
from workbench.training import count_data

ANN = Provenance("human", "ann")


def stored(store: Store, path: Path, *, state: str = "done", changes: list | None = None) -> int:
    """A clip in a store, with a person's changes and review state."""
    info, _ = probe(path)
    with store.writing() as db:
        ensure_annotator(db, "ann")
        ensure_annotator(db, "workbench")
        number = ensure_clip(db, record_of(info), ANN).id
    save(store, number, [*(changes or []), edit("video", "video", "state", state)], annotator="ann")
    return number


def event(start_s: float, end_s: float, category: str) -> list:
    texts = Texts(description="Two people hit each other.")
    return add(ReviewedEvent("E1", start_s, end_s, None, None, category, texts, (), ANN))


def test_approved_corrections_become_labels_masks_and_dialogues(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    masks = {10: square(5, 5, side=20, size=(108, 192)), 12: square(7, 5, side=20, size=(108, 192))}
    person = Instance(1, "perpetrator", "person", "a person in red", "strikes", 10, 12, {}, masks)
    free = ReviewedTurn("T1", Turn("free", "Is it raining?", "No, it is dry."), ANN)
    changes = [*event(0.4, 1.2, "Fighting"), *add(ReviewedInstance("I1", person, "E1", ANN)), *add(free)]
    stored(store, write_clip(tmp_path / "a.mp4"), changes=changes)
    stored(store, write_clip(tmp_path / "b.mp4", n_frames=50))
    stored(store, write_clip(tmp_path / "c.mp4", n_frames=40), state="in review")
    by_name = {clip.name: clip for clip in from_store(store).clips}
    assert sorted(by_name) == ["a", "b"], "what is not approved teaches nothing"
    fight, calm = by_name["a"], by_name["b"]
    assert (fight.label, fight.category, fight.spans_s) == (1, "fighting", ((0.4, 1.2),))
    assert fight.masked_frames() == [10, 12]
    assert (calm.label, calm.spans_s) == (0, ())
    said = {(row.level, question): answer for row in fight.said for question, answer in row.turns}
    assert said["event", STANDARD_QUESTIONS["judgement"]] == "Yes, something abnormal happens: Fighting."
    assert said["event", STANDARD_QUESTIONS["description"]] == "Two people hit each other."
    assert said["video", "Is it raining?"] == "No, it is dry."
    assert said["instance", INSTANCE_QUESTION].startswith("Role: perpetrator. Appearance: a person in red.")
    assert calm.said[0].turns[0][1].startswith("No,")


def test_what_the_model_said_and_nobody_touched_is_not_taught_back(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    model = Provenance("model", "bundled")
    unread = ReviewedTurn("T1", Turn("free", "Who is it?", "A dog."), model)
    confirmed = ReviewedTurn("T2", Turn("free", "Where?", "On the left."), model, "confirmed")
    stored(store, write_clip(tmp_path / "a.mp4"), changes=[*add(unread), *add(confirmed)])
    (clip,) = from_store(store).clips
    questions = {question for row in clip.said for question, _ in row.turns}
    assert "Where?" in questions
    assert "Who is it?" not in questions


def test_what_was_written_by_a_model_is_taught_only_where_a_person_touched_it(tmp_path: Path) -> None:
    """As `workbench annotate` writes: texts under its own name, captions that bear it, instances of an analysis."""
    store, model = empty_store(tmp_path), Provenance("model", "bundled")
    number = stored(store, write_clip(tmp_path / "a.mp4"), changes=event(0.4, 1.2, "Fighting"))
    parts = [CaptionedClip(f"C{k}", 0.4 + k / 5, 0.6 + k / 5, f"A model's caption {k}.", model) for k in range(2)]
    seen = {10: square(5, 5, side=20, size=(108, 192))}
    found = [Instance(k, "victim", "person", f"a model's look {k}", "falls", 10, 12, {}, dict(seen)) for k in range(3)]
    rows = [add_caption(part, "E1", k) for k, part in enumerate(parts)]
    for one in found:
        rows += add(ReviewedInstance(f"I{one.id}", one, "E1", model))
    rows += [edit("event", "E1", "judgement", "A model's judgement.")]
    rows += [edit("video", "video", "description", "A model's description.")]
    save(store, number, rows, annotator="workbench", reason="written by bundled")
    touched = [
        edit("caption", "C1", "caption", "A person's caption."),
        edit("instance", "I1", "last_frame", 14),
        edit("instance", "I2", "role", "perpetrator"),
    ]
    save(store, number, touched, annotator="ann")
    (clip,) = from_store(store).clips
    answers = [answer for row in clip.said for _, answer in row.turns]
    assert "Two people hit each other." in answers, "ann's own description of the event"
    assert "A person's caption." in answers
    assert any("a model's look 2" in answer for answer in answers), "whoever corrects the role stands for the rest"
    assert [a for a in answers if "model's" in a and "look 2" not in a] == []
    assert [entity.masks for entity in clip.entities] == [seen] * 3, "masks of an approved clip are all learned from"
    assert count_data(store).texts == 2
    save(store, number, [edit("event", "E1", "judgement", "Ann's judgement.")], annotator="ann")
    assert any(a == "Ann's judgement." for row in from_store(store).clips[0].said for _, a in row.turns)
    undo(store, number, annotator="ann")
    assert count_data(store).texts == 2, "what was undone is the model's again"


def test_a_judgement_that_was_given_as_an_answer_is_the_only_one(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    question = STANDARD_QUESTIONS["judgement"]
    answer = ReviewedTurn("T1", Turn("judgement", question, "Yes, something abnormal happens: robbery."), ANN)
    stored(store, write_clip(tmp_path / "a.mp4"), changes=add(answer))
    (clip,) = from_store(store).clips
    said = [a for row in clip.said for q, a in row.turns if q == question]
    assert said == ["Yes, something abnormal happens: robbery."]


def test_a_file_that_is_gone_is_left_out_and_named(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    stored(store, write_clip(tmp_path / "a.mp4"))
    gone = write_clip(tmp_path / "b.mp4", n_frames=50)
    stored(store, gone)
    gone.unlink()
    found = from_store(store)
    assert [clip.name for clip in found.clips] == ["a"]
    [why] = found.left_out
    assert why.startswith(f"b: its file is not in {tmp_path} any more; open it again on the page")
    assert "python -m workbench db attach FOLDER" in why


def test_clips_that_have_moved_are_found_again_by_their_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, names = empty_store(tmp_path), ("a", "b", "c")
    clips = [write_clip(tmp_path / f"{name}.mp4", n_frames=20 + k) for k, name in enumerate(names)]
    for clip in clips:
        stored(store, clip)
    moved = tmp_path / "elsewhere" / "deep"
    moved.mkdir(parents=True)
    clips[0].rename(moved / "another name.mp4")
    clips[1].unlink()
    (moved / "b.mp4").write_bytes(b"not what it was")
    assert [clip.name for clip in from_store(store).clips] == ["c"]
    assert main(["db", "attach", "--db", str(store.path), str(tmp_path / "elsewhere")]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"found      a: {moved / 'another name.mp4'}",
        f"still gone b: it was {clips[1]}",
    ]
    found = {clip.name: clip.path for clip in from_store(store).clips}
    assert found == {"a": str(moved / "another name.mp4"), "c": str(clips[2])}
    assert verify(store).fault is None
    assert main(["db", "attach", "--db", str(store.path), str(tmp_path / "nowhere")]) == 2
    assert "There is no folder" in capsys.readouterr().err


def test_all_files_gone_names_one_and_the_way_back(tmp_path: Path) -> None:
    store, clip = empty_store(tmp_path), write_clip(tmp_path / "a.mp4")
    stored(store, clip)
    clip.unlink()
    with pytest.raises(DataError, match=r"No approved clip of .* can be read. The first is a: .* db attach FOLDER"):
        from_store(store)


def test_no_approved_corrections_is_a_sentence(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    stored(store, write_clip(tmp_path / "a.mp4"), state="in review")
    with pytest.raises(DataError, match=r"no approved corrections .* 1 clips wait"):
        from_store(store)


def test_a_hivau_tree_is_read_with_the_videos_it_holds(tmp_path: Path) -> None:
    split = {"judgement": "Yes, a fight.", "description": "They fight.", "analysis": "Fights hurt."}
    row = {
        "n_frames": 60,
        "fps": 25.0,
        "label": ["Fighting"],
        "events": [[0.5, 1.5]],
        "clips": [[[0.5, 1.0]]],
        "clips_caption": [["A man strikes."]],
        "events_summary": ["They fight."],
        "video_summary": "They fight.",
        "events_summary_split": [split],
        "video_summary_split": split,
    }
    (tmp_path / "raw").mkdir()
    (tmp_path / "videos").mkdir()
    (tmp_path / "raw" / "train.json").write_text(json.dumps({"Fight1": row, "Fight2": row}))
    write_clip(tmp_path / "videos" / "Fight1.mp4")
    found = from_folder(tmp_path)
    (clip,) = found.clips
    assert (clip.name, clip.source, clip.category, clip.spans_s) == ("Fight1", "hivau", "fighting", ((0.5, 1.5),))
    assert [row.level for row in clip.said] == ["video", "event", "clip"]
    assert "Fight2" in found.left_out[0]
    (tmp_path / "videos" / "Fight1.mp4").unlink()
    with pytest.raises(DataError, match="describes 2 videos"):
        from_folder(tmp_path)


def test_folders_of_classes_know_no_times(tmp_path: Path) -> None:
    for name in ("fight", "normal"):
        (tmp_path / name).mkdir()
        write_clip(tmp_path / name / "a.mp4", n_frames=30 + len(name))
    (tmp_path / "normal" / "broken.mp4").write_bytes(b"nothing")
    found = from_folder(tmp_path)
    assert [(clip.label, clip.category, clip.spans_s) for clip in found.clips] == [(1, "fight", None), (0, None, ())]
    assert "broken.mp4" in found.left_out[0]


def test_a_scene_brings_its_whole_truth() -> None:
    samples = Path(__file__).resolve().parent.parent / "assets" / "samples"
    by_name = {clip.name: clip for clip in from_folder(samples).clips}
    assert len(by_name) == 7
    fight = next(clip for name, clip in by_name.items() if name.startswith("fighting"))
    (span,) = fight.spans_s or ()
    inside = [frame for frame in fight.masked_frames() if fight.is_inside(frame / fight.fps)]
    assert len(inside) == len(fight.masked_frames()) > 0.8 * (span[1] - span[0]) * fight.fps
    assert fight.anomaly_mask(inside[0]).any()
    assert {row.level for row in fight.said} == {"video", "event", "clip"}
    fight.check_masks()
