"""Differences of instances and turns as rows of the history."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.store_support import square, store_with_clip
from workbench.corrections import history
from workbench.corrections.changes import instance_changes, next_number, numbered, turn_changes
from workbench.corrections.clips import current
from workbench.records import Provenance, ReviewedInstance

ANN = Provenance("human", "ann")


def test_a_new_role_is_one_row_with_before_and_after(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    before = numbered(current(store, clip.id).instances)
    after = [replace(item.instance, role="victim") for item in before.values()]
    history.save(store, clip.id, instance_changes(before, after, ANN), annotator="ann")
    [row] = history.page(store, annotator="ann")
    assert (row.subject, row.field, row.before, row.after) == ("instance", "role", "perpetrator", "victim")


def test_a_touched_up_mask_is_one_row_and_a_track_is_one_row_too(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    before = numbered(current(store, clip.id).instances)
    old = before[1].instance
    touched = replace(old, masks_rle=old.masks_rle | {432: square(100, 100)})
    assert [change.field for change in instance_changes(before, [touched], ANN)] == ["masks_rle.432"]
    tracked = replace(old, masks_rle={frame: square(frame - 400, 50) for frame in range(420, 440)})
    [change] = instance_changes(before, [tracked], ANN)
    assert change.field == "masks_rle"
    history.save(store, clip.id, [change], annotator="ann")
    assert sorted(numbered(current(store, clip.id).instances)[1].instance.masks_rle) == list(range(420, 440))
    history.undo(store, clip.id, annotator="ann")
    assert current(store, clip.id).instances == tuple(before.values())


def test_new_and_removed_instances(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    before = numbered(current(store, clip.id).instances)
    new = replace(before[1].instance, id=next_number(before), role="victim")
    changes = instance_changes(before, [new], ANN, "a1.e0")
    history.save(store, clip.id, changes, annotator="ann")
    [standing] = current(store, clip.id).instances
    assert (standing.instance, standing.event_id, standing.provenance.kind) == (new, "a1.e0", "human")


def test_a_number_that_is_taken_gets_the_next_free_one() -> None:
    instance = numbered(())
    assert instance == {}
    assert next_number(()) == 1


def test_two_instances_with_one_number_are_both_kept(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    [first] = current(store, clip.id).instances
    second = ReviewedInstance("x", first.instance, None, ANN)
    found = numbered([first, second])
    assert {number: item.id for number, item in found.items()} == {1: first.id, 2: "x"}
    assert found[2].instance.id == 2


def test_an_edited_answer_changes_its_words_and_no_more(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    turn = current(store, clip.id).dialogue[0]
    after = replace(turn, turn=replace(turn.turn, answer="No."), verdict="confirmed")
    changes = turn_changes(turn, after)
    assert {change.field: change.value for change in changes} == {"answer": "No.", "verdict": "confirmed"}
    history.save(store, clip.id, changes, annotator="ann")
    now = current(store, clip.id).dialogue[0]
    assert (now.turn.answer, now.verdict, now.provenance.edited_by) == ("No.", "confirmed", ("ann",))
