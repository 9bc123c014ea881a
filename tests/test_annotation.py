"""The annotation engine: what it writes, whose words it leaves alone, that it can be cancelled and goes on."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests import bad_clips
from tests.tiny_stack import tiny_stack
from workbench.analysis import analyse
from workbench.annotation import Options, annotate_clip, annotate_library, split_span
from workbench.cli import main
from workbench.corrections import clips, history
from workbench.corrections.authorship import written_by
from workbench.corrections.store import Store
from workbench.corrections.taxonomy import open_store
from workbench.corrections.verify import verify
from workbench.errors import FormatError, InputError
from workbench.profiles import ASSETS
from workbench.prompts import summary_question
from workbench.records import Event, Provenance, ReviewedEvent, Texts
from workbench.stack.loading import ModelStack
from workbench.video import Clip


def begun(folder: Path, stack: ModelStack, *names: str) -> Store:
    """A store with two-second clips, each with a model's event from 0 s to 1 s and a person's from 1 s to 1.8 s."""
    store = open_store(folder / "s.db")
    for number, name in enumerate(names):
        with Clip.open(bad_clips.video(folder / name, n_frames=50 + number)) as clip:
            analysis = analyse(clip, stack)
        clip_id = clips.save_analysis(store, replace(analysis, events=[Event(0.0, 1.0, 0.5, 0.9, "fire")])).id
        mine = ReviewedEvent("own", 1.0, 1.8, None, None, "robbery", Texts(), (), Provenance("human", "ann"))
        history.save(store, clip_id, history.add(mine), annotator="ann")
    return store


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> ModelStack:
    """A tiny stack whose random weights happen to say something; the usual one's answers are empty."""
    return tiny_stack(tmp_path_factory.mktemp("talking"), seed=7)


def test_events_become_clips_captions_and_texts_with_their_provenance(talking: ModelStack, tmp_path: Path) -> None:
    store = begun(tmp_path, talking, "a.mp4")
    stages: list[tuple[str, float]] = []
    done = annotate_clip(
        store, 1, talking, Options(clip_s=0.5), progress=lambda stage, part, _: stages.append((stage, part))
    )
    view = clips.current(store, 1)
    model, person = view.events
    assert [(part.start_s, part.end_s) for part in model.clips] == [(0.0, 0.5), (0.5, 1.0)]
    assert [(part.start_s, part.end_s) for part in person.clips] == [(1.0, 1.4), (1.4, 1.8)]
    assert {part.provenance for event in view.events for part in event.clips} == {Provenance("model", "tiny")}
    for texts in (view.texts, model.texts, person.texts):
        assert all(text is not None for text in (texts.judgement, texts.description, texts.analysis))
    assert (person.provenance.kind, person.category, person.start_s) == ("human", "robbery", 1.0)
    assert person.provenance.edited_by == ()  # no person wrote its texts
    assert written_by(store, 1, "event", "own", "judgement") == (False, "written by tiny")
    assert (done.clips, done.events, done.texts) == (1, 2, 4 + 3 * 3)
    assert {"captions", "video"} <= {stage for stage, _ in stages}
    assert all(0 <= part <= 1 for _, part in stages)
    assert history.undoable(store, 1, annotator="ann") == (1, 0)  # only what ann did herself
    assert verify(store).is_intact


def test_what_a_person_wrote_is_never_replaced(talking: ModelStack, tmp_path: Path) -> None:
    store = begun(tmp_path, talking, "a.mp4")
    annotate_clip(store, 1, talking)
    first = clips.current(store, 1)
    part = first.events[0].clips[0]
    words = [history.edit("event", "own", "judgement", "Mine."), history.edit("caption", part.id, "caption", "Mine.")]
    history.save(store, 1, words, annotator="ann")
    again = annotate_clip(store, 1, talking)
    assert again.texts == 0  # all is written
    annotate_clip(store, 1, talking, Options(again=True))
    view = clips.current(store, 1)
    assert view.events[1].texts.judgement == "Mine."
    assert view.events[0].clips[0].caption == "Mine."
    assert len(view.events[0].clips) == len(first.events[0].clips)
    assert written_by(store, 1, "event", "own", "judgement") == (True, "ann")
    assert written_by(store, 1, "caption", part.id, "caption") == (True, "ann")


def test_a_person_who_writes_meanwhile_goes_first(talking: ModelStack, tmp_path: Path) -> None:
    store = begun(tmp_path, talking, "a.mp4")

    def interrupt(stage: str, _fraction: float, _partial: object) -> None:
        if stage == "captions" and clips.current(store, 1).texts.judgement is None:
            changes = [
                history.edit("video", "video", "judgement", "Mine."),
                history.edit("event", "own", "description", "Mine."),
            ]
            history.save(store, 1, changes, annotator="ann")

    annotate_clip(store, 1, talking, progress=interrupt)
    view = clips.current(store, 1)
    assert (view.texts.judgement, view.events[1].texts.description) == ("Mine.", "Mine.")
    assert view.texts.description
    assert view.events[1].texts.judgement


def test_a_library_is_annotated_cancelled_and_gone_on_with(talking: ModelStack, tmp_path: Path) -> None:
    store = begun(tmp_path, talking, "a.mp4", "b.mp4", "c.mp4")
    (tmp_path / "c.mp4").unlink()

    class Cancelled(Exception):
        pass

    def cancel_in_second(stage: str, _fraction: float, _partial: object) -> None:
        if stage.startswith("clip 2 of 3") and "captions" in stage:
            raise Cancelled

    with pytest.raises(Cancelled):
        annotate_library(store, talking, progress=cancel_in_second)
    assert clips.current(store, 1).texts.analysis
    assert clips.current(store, 2).events[0].clips == ()
    rows = store.info().counts["history"]
    done = annotate_library(store, talking)
    assert (done.clips, done.events) == (2, 4)
    assert clips.current(store, 2).texts.analysis
    assert re.search("video of c is no longer at", done.notes[0])
    written = history.page(store, clip=1, limit=500)
    assert store.info().counts["history"] > rows
    assert all(row.seq <= rows for row in written)  # the first clip was finished already


def test_a_new_analysis_keeps_the_captions_of_a_persons_event(talking: ModelStack, tmp_path: Path) -> None:
    store = begun(tmp_path, talking, "a.mp4")
    annotate_clip(store, 1, talking)
    analysis = clips.load_analysis(store, 1)
    clips.save_analysis(store, replace(analysis, events=[Event(0.2, 0.4, 0.3, 0.9, None)]))
    view = clips.current(store, 1)
    captioned = {event.id: bool(event.clips) for event in view.events}
    assert captioned == {"own": True, "a2.e0": False}


def test_spans_and_questions() -> None:
    assert split_span(0, 0.3) == [(0, 0.3)]
    assert split_span(1.0, 6.0) == [(1.0, 3.5), (3.5, 6.0)]
    parts = split_span(0, 10_000)
    assert len(parts) == 40
    assert [a[1] for a in parts[:-1]] == [b[0] for b in parts[1:]]
    question = summary_question("analysis", ["robbery"], ["A man runs.", "", "x" * 5000])
    assert question.startswith("It is labelled: robbery. Its parts, in order:\n1. A man runs.\n2. xxx")
    assert question.endswith("Why is this abnormal or normal?")
    assert len(question) < 2000
    with pytest.raises(InputError, match="0 s are not possible"):
        Options(clip_s=0)


def test_a_clip_without_its_video_is_told(talking: ModelStack, tmp_path: Path) -> None:
    store = begun(tmp_path, talking, "a.mp4")
    (tmp_path / "a.mp4").rename(tmp_path / "moved.mp4")
    with pytest.raises(FormatError, match="no longer at"):
        annotate_clip(store, 1, talking)


def test_the_command_line_names_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(tmp_path / "s.db")
    for arguments, says in (
        (["--db", str(tmp_path / "none.db")], "There is no store"),
        (["nobody", "--db", str(store.path)], "no clip 'nobody'"),
        (["--clip-seconds", "0", "--db", str(store.path)], "0 s are not possible"),
        (["--profile", "nonsense", "--db", str(store.path)], "no profile 'nonsense'"),
    ):
        assert main(["annotate", *arguments]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1


def test_the_command_line_does_not_pass_over_the_one_clip_it_was_given(
    talking: ModelStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = begun(tmp_path, talking, "a.mp4")
    (tmp_path / "a.mp4").unlink()
    assert main(["annotate", "a", "--db", str(store.path), "--device", "cpu"]) == 2
    error = capsys.readouterr().err
    assert "video of a is no longer at" in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_the_command_line_annotates_a_video_that_is_new_to_the_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = ASSETS / "samples" / "clips" / "fire_parking_800003.mp4"
    db = tmp_path / "s.db"
    assert main(["annotate", str(sample), "--db", str(db), "--device", "cpu", "--clip-seconds", "20"]) == 0
    assert f"in 1 clips to {db}" in capsys.readouterr().out
    view = clips.current(Store(db), 1)
    assert view.texts.judgement
    assert all(part.caption for event in view.events for part in event.clips)
