"""Corrections: saved as steps, undone and redone, refused when stale, verified row by row; layers and agreement."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.store_support import square, store_with_clip
from workbench.corrections import clips, history, layers, log
from workbench.corrections.authorship import words_of_people, written_by
from workbench.corrections.history import StaleError
from workbench.corrections.log import Author, Change
from workbench.corrections.store import Store
from workbench.corrections.taxonomy import open_store
from workbench.corrections.verify import verify
from workbench.errors import InputError, StoreError
from workbench.masks import decode_rle
from workbench.records import CaptionedClip, Instance, Provenance, ReviewedEvent, Texts

STEPS = 52
ANN = Provenance("human", "ann")


def new_event(event_id: str = "mine", *, start_s: float = 2.0, end_s: float = 3.0) -> ReviewedEvent:
    parts = (CaptionedClip(f"{event_id}.c", start_s, end_s, "A man runs.", ANN),)
    return ReviewedEvent(event_id, start_s, end_s, None, None, "running", Texts("Yes."), parts, ANN)


def test_a_correction_says_who_what_when_why_and_of_which_analysis(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    change = history.edit("event", "a1.e0", "start_s", 1.5)
    seen = clips.current(store, clip.id).revision
    revision = history.save(store, clip.id, [change], annotator="ann", seen=seen, reason="too late")
    (row,) = history.page(store, clip=clip.id, limit=1)
    assert (row.seq, row.annotator, row.reason, row.analysis_id, row.action) == (revision, "ann", "too late", 1, "edit")
    assert (row.subject, row.subject_id, row.field, row.before, row.after) == ("event", "a1.e0", "start_s", 18.0, 1.5)
    event = clips.current(store, clip.id).events[0]
    assert event.start_s == 1.5
    assert event.provenance == Provenance("model", "bundled", None, ("ann",))


def test_adding_changing_and_removing_every_kind(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    history.save(store, clip.id, history.add(new_event()), annotator="ann")
    mask = square(50, 60)
    changes = [
        history.edit("video", "video", "label", ["Robbery"]),
        history.edit("video", "video", "state", "done"),
        history.edit("caption", "mine.c", "caption", "A woman runs."),
        history.edit("instance", "a1.i1", "role", "victim"),
        history.edit("instance", "a1.i1", "masks_rle.440", mask),
        history.edit("instance", "a1.i1", "masks_rle.448", None),
        history.edit("turn", "a1.t0", "answer", "No."),
    ]
    history.save(store, clip.id, changes, annotator="ann")
    view = clips.current(store, clip.id)
    assert (view.label, view.state) == (("Robbery",), "done")
    assert view.events[-1].clips[0].caption == "A woman runs."
    assert view.instances[0].instance.role == "victim"
    assert sorted(view.instances[0].instance.masks_rle) == [432, 440]
    assert view.dialogue[0].turn.answer == "No."
    assert clips.list_clips(store)[0].state == "done"
    history.save(store, clip.id, [history.remove("event", "mine")], annotator="ann")
    assert [row.subject for row in history.page(store, limit=2)] == ["event", "caption"]
    history.undo(store, clip.id, annotator="ann")
    assert clips.current(store, clip.id).events == view.events
    assert verify(store).is_intact


def test_undo_and_redo_all_steps(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    luck, views = random.Random(3), [clips.current(store, clip.id)]
    for i in range(STEPS):
        change = luck.choice(
            [
                [
                    history.edit("event", "a1.e0", "start_s", i / 10),
                    history.edit("event", "a1.e0", "end_s", i / 2 + 20),
                ],
                [history.edit("turn", "a1.t1", "answer", f"answer {i}")],
                [history.edit("instance", "a1.i1", f"masks_rle.{i}", square(i, i))],
                history.add(new_event(f"event {i}")),
            ]
        )
        history.save(store, clip.id, change, annotator="ann")
        views.append(clips.current(store, clip.id))

    def same(expected: int) -> bool:
        return replace(clips.current(store, clip.id), revision=0) == replace(views[expected], revision=0)

    for i in reversed(range(STEPS)):
        assert history.undo(store, clip.id, annotator="ann") is not None
        assert same(i)
    assert history.undo(store, clip.id, annotator="ann") is None
    for _ in range(STEPS):
        assert history.redo(store, clip.id, annotator="ann") is not None
    assert same(STEPS)
    assert history.redo(store, clip.id, annotator="ann") is None
    history.undo(store, clip.id, annotator="ann")
    assert history.undoable(store, clip.id, annotator="ann") == (STEPS - 1, 1)
    history.save(store, clip.id, [history.edit("video", "video", "state", "done")], annotator="ann")
    assert history.undoable(store, clip.id, annotator="ann") == (STEPS, 0)
    assert verify(store).is_intact


def test_who_wrote_a_text_follows_undo_and_redo(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    place = ("event", "a1.e0", "judgement")
    history.save(
        store, clip.id, [history.edit(*place, "Yes, robbery.")],
        annotator=clips.WORKBENCH, reason="written by bundled", action="analysis",
    )  # fmt: skip
    history.save(store, clip.id, [history.edit(*place, "Ann's words.")], annotator="ann")
    for turn, text, person in (
        (history.undo, "Yes, robbery.", False),
        (history.redo, "Ann's words.", True),
        (history.undo, "Yes, robbery.", False),
        (history.redo, "Ann's words.", True),
    ):
        turn(store, clip.id, annotator="ann")
        reviewed = clips.current(store, clip.id)
        assert reviewed.events[0].texts.judgement == text
        assert written_by(store, clip.id, *place) == ((True, "ann") if person else (False, "written by bundled"))
        assert words_of_people(store, reviewed).events[0].texts.judgement == (text if person else None)


def test_undo_takes_back_only_ones_own_and_never_what_others_built_on(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    history.save(store, clip.id, [history.edit("event", "a1.e0", "category", "stealing")], annotator="ann")
    history.save(store, clip.id, [history.edit("event", "a1.e1", "category", "fire")], annotator="bob")
    history.undo(store, clip.id, annotator="ann")
    assert [event.category for event in clips.current(store, clip.id).events] == ["robbery", "fire"]
    history.redo(store, clip.id, annotator="ann")
    history.save(store, clip.id, [history.edit("event", "a1.e0", "category", "assault")], annotator="bob")
    with pytest.raises(StoreError, match=r"Not undone: category of event a1\.e0"):
        history.undo(store, clip.id, annotator="ann")


def test_a_stale_save_is_refused_with_what_changed(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    seen = clips.current(store, clip.id).revision
    history.save(store, clip.id, [history.edit("event", "a1.e0", "start_s", 1.5)], annotator="ann", seen=seen)
    rows = verify(store).rows
    with pytest.raises(StaleError, match=r"ann changed start_s of event a1\.e0 from 18\.0 to 1\.5 at .* opened street"):
        history.save(store, clip.id, [history.remove("event", "a1.e0")], annotator="bob", seen=seen)
    with pytest.raises(StaleError) as caught:
        history.save(store, clip.id, [history.remove("event", "a1.e0")], annotator="bob", seen=seen)
    assert [row.annotator for row in caught.value.changes] == ["ann"]
    assert verify(store).rows == rows


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("event", "a1.e0", "start_s", -1), "time in seconds"),
        (("event", "a1.e0", "start_s", 30), "lies before the start"),
        (("event", "a1.e0", "end_s", 99), "after the end of street"),
        (("event", "a1.e0", "end_s", None), "both its start and its end"),
        (("event", "a1.e0", "peak_score", 1.5), "from 0 to 1"),
        (("instance", "a1.i1", "role", "hero"), "role 'hero'"),
        (("instance", "a1.i1", "masks_rle.440", square(0, 0, size=(240, 320))), "is 320x240"),
        (("instance", "a1.i1", "masks_rle.9999", square(0, 0)), "no frame 9999"),
        (("instance", "a1.i1", "masks_rle.440", {"size": [480, 640], "counts": "x"}), "mask|Mask"),
        (("video", "video", "state", "nearly"), "no review state"),
        (("turn", "a1.t0", "kind", "gossip"), "kind of question"),
        (("turn", "a1.t0", "evidence", [{"start": 1}]), "evidence of an answer must be a list of objects"),
        (("turn", "a1.t0", "evidence", [{"start_s": 1, "end_s": 2, "instance_id": "one"}]), "evidence of an answer"),
        (("turn", "a1.t0", "answer", None), "answer of a turn must be text"),
        (("event", "a1.e0", "description", 12.5), "description of an event must be text, not 12.5"),
        (("event", "a1.e0", "category", {"a": 1}), "category of an event must be text"),
        (("instance", "a1.i1", "category", None), "category of an instance must be text"),
        (("instance", "a1.i1", "first_frame", "ten"), "must be the number of a frame, not 'ten'"),
        (("instance", "a1.i1", "masks_rle", None), "must be an object by number of frame"),
        (("instance", "a1.i1", "masks_rle", [1]), "must be an object by number of frame"),
        (("instance", "a1.i1", "masks_rle.440", 5), "A mask must be an object with size"),
        (("instance", "a1.i1", "masks_rle.440", {"size": [480, 640]}), "A mask must be an object with size"),
        (("instance", "a1.i1", "boxes_xyxy.440", 7), "box of frame 440 is not four numbers"),
        (("video", "video", "summary", ["a"]), "summary of a video must be text"),
    ],
)
def test_what_cannot_be_true_is_refused_and_nothing_is_written(
    tmp_path: Path, change: tuple[str, str, str, object], says: str
) -> None:
    store, clip = store_with_clip(tmp_path)
    before, rows = clips.current(store, clip.id), verify(store).rows
    fine = history.edit("event", "a1.e1", "category", "fire")
    with pytest.raises(InputError, match=says):
        history.save(store, clip.id, [fine, history.edit(*change)], annotator="ann")  # type: ignore[arg-type]
    assert clips.current(store, clip.id) == before
    assert verify(store).rows == rows


def test_changes_of_what_is_not_there_are_refused(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    with pytest.raises(InputError, match="no field 'colour'"):
        history.edit("event", "a1.e0", "colour", "red")
    for changes in ([history.edit("event", "gone", "start_s", 1.0)], history.add(replace(new_event(), id="a1.e0"))):
        with pytest.raises(StoreError, match="There is"):
            history.save(store, clip.id, changes, annotator="ann")
    with pytest.raises(StoreError, match="no clip"):
        history.save(store, 99, [history.remove("event", "a1.e0")], annotator="ann")
    with pytest.raises(StoreError, match="name of who"):
        history.save(store, clip.id, [history.remove("event", "a1.e0")], annotator=" ")
    assert history.save(store, clip.id, [history.edit("event", "a1.e0", "start_s", 18.0)], annotator="ann") == (
        clips.current(store, clip.id).revision
    )


def tamper(store: Store, *statements: str, guards: bool = True) -> None:
    """Write past the workbench, as somebody with an SQLite shell would."""
    connection = sqlite3.connect(store.path, isolation_level=None)
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    for _, sql in triggers if guards else ():
        connection.execute(sql)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "says", "named"),
    [
        ("UPDATE history SET after = '17.0' WHERE seq = {last}", "was changed after", 0),
        ("UPDATE history SET annotator = 'workbench' WHERE seq = {last} - 1", "was changed after", -1),
        ("UPDATE history SET reason = 'x' WHERE seq IN ({last}, {last} - 2)", "was changed after", -2),
        ("DELETE FROM history WHERE seq = {last} - 1", "is missing", -1),
        ("DELETE FROM history WHERE seq >= {last} - 1", "is missing, and all after", -1),
        ("UPDATE subjects SET document = replace(document, 'robbery', 'arson')", "does not follow", None),
        ("DELETE FROM subjects WHERE subject_id = 'a1.e1'", "event a1.e1 of clip 1", None),
        ("DELETE FROM subjects WHERE clip_id = 1; DELETE FROM clips", "Clip 1 is not in the store any more", None),
        ("UPDATE clips SET name = 'other'", "name or content hash of clip 1", None),
        ("UPDATE clips SET sha256 = 'f00d'", "name or content hash of clip 1", None),
        ("INSERT INTO clips VALUES (2, 'f00d', 'other', '')", "does not tell how clip 2", None),
        ("UPDATE analyses SET document = replace(document, 'ats', 'top')", "Analysis 1 is not the one", None),
    ],
)
def test_verify_names_what_was_tampered_with(tmp_path: Path, statement: str, says: str, named: int | None) -> None:
    store, clip = store_with_clip(tmp_path)
    for i in range(4):
        history.save(store, clip.id, [history.edit("event", "a1.e0", "start_s", i)], annotator="ann")
    last = verify(store).rows
    tamper(store, *statement.format(last=last).split("; "))
    found = verify(store)
    assert not found.is_intact
    assert says in str(found.fault)
    if named is not None:
        assert found.seq == last + named


def test_verify_notices_removed_guards_and_a_history_written_anew(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    head = verify(store).head
    history.save(store, clip.id, [history.edit("event", "a1.e0", "start_s", 1)], annotator="ann")
    assert verify(store, expect_head=head).is_intact
    other = open_store(tmp_path / "other.db")  # the same taxonomy, written at another moment
    assert "rewritten" in str(verify(other, expect_head=head).fault)
    tamper(store, guards=False)
    assert "guard" in str(verify(store).fault)


def test_layers_are_apart_until_something_is_adopted(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    main = clips.current(store, clip.id)
    seen = clips.current(store, clip.id, "bob").revision
    changes = [history.edit("event", "a1.e0", "category", "assault"), *history.add(new_event())]
    history.save(store, clip.id, changes, annotator="bob", layer="bob", seen=seen)
    history.save(store, clip.id, [history.edit("event", "a1.e1", "category", "fire")], annotator="ann")
    assert [event.category for event in clips.current(store, clip.id, "bob").events] == ["assault", None, "running"]
    assert [event.category for event in clips.current(store, clip.id).events] == ["robbery", "fire"]
    assert layers.list_layers(store, clip.id) == ["main", "bob"]
    layers.adopt(store, clip.id, "event", "mine", source="bob", annotator="ann")
    layers.adopt(store, clip.id, "event", "a1.e0", source="bob", annotator="ann")
    adopted = clips.current(store, clip.id).events
    assert [event.category for event in adopted] == ["assault", "fire", "running"]
    assert adopted[2].clips == new_event().clips
    history.undo(store, clip.id, annotator="ann")
    history.undo(store, clip.id, annotator="ann")
    history.undo(store, clip.id, annotator="ann")
    assert clips.current(store, clip.id).events == main.events
    with pytest.raises(StoreError, match="no event nowhere"):
        layers.adopt(store, clip.id, "event", "nowhere", source="bob", annotator="ann")
    assert verify(store).is_intact


def test_agreement_of_layers(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    view = clips.current(store, clip.id)
    assert layers.agreement(view, view) == layers.Agreement(1.0, 1.0, 1.0)
    change = [history.remove("event", "a1.e1"), history.edit("instance", "a1.i1", "masks_rle.448", square(50, 20))]
    history.save(store, clip.id, change, annotator="bob", layer="bob")
    found = layers.agreement(view, clips.current(store, clip.id, "bob"))
    assert found.event_iou == pytest.approx(6.5 / 8.5)
    assert found.mask_iou == pytest.approx((1 + 1 / 3) / 2)
    assert found.kappa is not None
    assert 0 < found.kappa < 1


def test_agreement_by_hand() -> None:
    assert layers.temporal_iou([(0, 4), (3, 6)], [(5, 10)]) == pytest.approx(0.1)
    assert layers.temporal_iou([], []) is None
    assert layers.temporal_iou([(0, 1)], []) == 0
    # Cohen 1960: 50 cases, 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no give kappa 0.4.
    a, b = ["yes"] * 25 + ["no"] * 25, ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert layers.cohens_kappa(a, b) == pytest.approx(0.4)
    assert layers.cohens_kappa(["x"] * 3, ["x"] * 3) == 1
    assert layers.cohens_kappa([], []) is None
    with pytest.raises(InputError, match="as many judgements"):
        layers.cohens_kappa(["x"], [])
    instance = Instance(1, "victim", "person", "", "", 0, 1, {}, {0: square(0, 0), 1: square(0, 0)})
    other = replace(instance, masks_rle={0: square(20, 0)})
    assert layers.mask_iou(instance, other) == pytest.approx((1 / 3 + 0) / 2)
    assert np.count_nonzero(decode_rle(square(0, 0))) == 1600


def fill(store: Store, clip_id: int, count: int) -> None:
    """Many corrections in one transaction, each a row as `save` writes it."""
    with store.writing() as db:
        log.ensure_annotator(db, "ann")
        author = Author("ann", clip_id)
        for i in range(count):
            log.append(db, author, Change("event", "a1.e0", "judgement", f"text {i}"))


def test_pages_follow_an_index_however_long_the_history_is(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    fill(store, clip.id, 500)
    rows, before = [], None
    while found := history.page(store, clip=clip.id, before=before, limit=120):
        rows += found
        before = found[-1].seq
    assert [row.seq for row in rows] == sorted((row.seq for row in rows), reverse=True)
    assert len(rows) == 500 + 8
    with store.reading() as db:
        for condition in ("clip_id = 1 AND seq < 400", "annotator = 'ann'", "clip_id = 1 AND layer = 'main'"):
            plan = db.execute(f"EXPLAIN QUERY PLAN SELECT * FROM history WHERE {condition} ORDER BY seq DESC LIMIT 9")
            text = " ".join(str(row[3]) for row in plan)
            assert "USING INDEX" in text
            assert "TEMP B-TREE" not in text


@pytest.mark.slow
def test_fifty_thousand_corrections(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    fill(store, clip.id, 50_000)
    assert len(history.page(store, clip=clip.id, before=40_000, limit=50)) == 50
    assert clips.current(store, clip.id).events[0].texts.judgement == "text 49999"
    assert verify(store).is_intact
