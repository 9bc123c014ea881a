"""Correcting events on the timeline, in the table and by keys: the real app, Chromium, and the store looked into."""

from __future__ import annotations

import re
from contextlib import closing

import pytest
from playwright.sync_api import expect

from tests.browser_support import Analyst, RunningApp
from tests.editing_support import (
    LEFT,
    RIGHT,
    Settled,
    drag_edge,
    duration_s,
    expect_saved,
    open_untouched,
    rows,
    serial,
    spans,
    stored,
    undo_all,
)
from workbench.corrections import history
from workbench.corrections.store import Store

pytestmark = pytest.mark.browser
# Whether the row of the selected event is on show, and nothing lies over it.
CURRENT_IS_SEEN_JS = """() => {
  const row = document.querySelector('.aw-ev tr[aria-current=true]'), { x, y, height } = row.getBoundingClientRect();
  return row.contains(document.elementFromPoint(x + 50, y + height / 2));
}"""


def test_an_edge_is_dragged_and_the_stored_value_changes(analyst: Analyst, app: RunningApp) -> None:
    open_untouched(analyst, "fire")
    [(event_id, start, end, _)] = stored(app, "fire")
    axis = analyst.timeline.get_by_role("img", name="Anomaly score over time").bounding_box()
    assert axis is not None
    seconds_a_pixel = duration_s(analyst) / (axis["width"] - LEFT - RIGHT)
    with Settled(analyst):
        drag_edge(analyst, spans(analyst).first, "start", 60)
    [(same_id, moved, same_end, _)] = stored(app, "fire")
    assert (same_id, same_end) == (event_id, end)
    assert moved - start == pytest.approx(60 * seconds_a_pixel, abs=0.1)
    expect(analyst.timeline.locator(".aw-span.is-mine")).to_have_count(1)
    expect(analyst.timeline.locator(".aw-span-was")).to_have_count(1)
    analyst.snap("editing-dragged")
    [(action, annotator, field)] = rows(
        app, "SELECT action, annotator, field FROM history WHERE subject_id = ? AND field = 'start_s'", event_id
    )
    assert (action, annotator, field) == ("edit", "ann", "start_s")
    with Settled(analyst):
        analyst.page.keyboard.press("Control+z")
    assert stored(app, "fire")[0][1] == start
    assert rows(app, "SELECT action FROM history ORDER BY seq DESC LIMIT 1") == [("undo",)]
    with Settled(analyst):
        analyst.page.get_by_role("button", name="Redo").click()
    assert stored(app, "fire")[0][1] == moved
    undo_all(analyst)


def test_a_bar_moves_the_whole_event_and_a_click_on_it_only_selects(analyst: Analyst, app: RunningApp) -> None:
    open_untouched(analyst, "robbery")
    before = stored(app, "robbery")
    bar = spans(analyst).first.locator(".aw-span-bar").bounding_box()
    assert bar is not None
    x, y = bar["x"] + bar["width"] / 2, bar["y"] + bar["height"] / 2
    analyst.page.mouse.click(x, y)
    assert stored(app, "robbery") == before
    with Settled(analyst):
        analyst.page.mouse.move(x, y)
        analyst.page.mouse.down()
        analyst.page.mouse.move(x - 20, y)
        analyst.page.mouse.move(x - 40, y)
        analyst.page.mouse.up()
    moved, old = stored(app, "robbery")[0], before[0]
    assert moved[1] < old[1]
    assert moved[2] - moved[1] == pytest.approx(old[2] - old[1], abs=0.15)
    undo_all(analyst)
    assert stored(app, "robbery") == before


def test_keys_add_split_join_confirm_and_delete(analyst: Analyst, app: RunningApp) -> None:
    open_untouched(analyst, "fire")
    before = stored(app, "fire")
    press = analyst.page.keyboard.press
    analyst.viewer.focus()
    press("Home")
    analyst.expect_frame(0)
    with Settled(analyst):
        press("n")
    assert len(stored(app, "fire")) == 2
    for _ in range(4):
        press("ArrowRight")
    analyst.expect_frame(4)
    with Settled(analyst):
        press("s")
    assert len(stored(app, "fire")) == 3
    expect(analyst.page.get_by_role("row", name=re.compile("Event 2"))).to_have_attribute("aria-current", "true")
    press("PageUp")
    with Settled(analyst):
        press("j")
    assert len(stored(app, "fire")) == 2
    with Settled(analyst):
        press("c")
    expect(analyst.page.get_by_role("button", name="Confirm")).to_have_attribute("aria-pressed", "true")
    with Settled(analyst):
        press("x")
    assert stored(app, "fire") == before
    with Settled(analyst):
        press("u")
    assert len(stored(app, "fire")) == 2
    undo_all(analyst)
    assert stored(app, "fire") == before


def test_category_texts_and_verdict_are_saved_as_they_are_given(analyst: Analyst, app: RunningApp) -> None:
    open_untouched(analyst, "robbery")
    with Settled(analyst):
        analyst.page.get_by_label("Category", exact=True).select_option("shoplifting")
    assert stored(app, "robbery")[0][3] == "shoplifting"
    with Settled(analyst):
        analyst.page.get_by_label("Category", exact=True).select_option("new category…")
        analyst.page.get_by_label("New category").fill("bag snatching")
        analyst.page.get_by_label("New category").press("Enter")
    assert stored(app, "robbery")[0][3] == "bag snatching"
    box = analyst.page.get_by_label("Judgement of the event")
    box.fill("Yes, a bag is taken. x n s [ ]")  # letters that are keys elsewhere
    expect(analyst.page.get_by_role("status", name="Saved")).to_have_attribute("data-state", "unsaved")
    with Settled(analyst):
        box.press("Control+Enter")
    assert rows(app, "SELECT judgement FROM events WHERE category = 'bag snatching'") == [
        ("Yes, a bag is taken. x n s [ ]",)
    ]
    analyst.snap("editing-texts")
    with Settled(analyst):
        analyst.page.get_by_role("button", name="Reject").click()
    expect(analyst.page.get_by_role("row", name=re.compile("rejected"))).to_have_count(1)
    analyst.snap("editing-rejected")
    with Settled(analyst):
        analyst.page.get_by_role("button", name=re.compile("Restore")).click()
    assert stored(app, "robbery")[0][3] == "bag snatching"
    undo_all(analyst)


def seconds_of(events: list[tuple]) -> float:
    """How long stored events are in all."""
    return float(sum(end - start for _, start, end, _ in events))


def test_the_threshold_is_dragged_and_events_follow(analyst: Analyst, app: RunningApp) -> None:
    open_untouched(analyst, "fire")
    before = stored(app, "fire")
    grip = analyst.timeline.locator(".aw-threshold-grip").bounding_box()
    assert grip is not None
    x, y = grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2
    with Settled(analyst):
        analyst.page.mouse.move(x, y)
        analyst.page.mouse.down()
        analyst.page.mouse.move(x, y - 300)
        analyst.page.mouse.move(x, y - 400)
        analyst.page.mouse.up()
    after = stored(app, "fire")
    assert seconds_of(after) < seconds_of(before)
    expect(spans(analyst)).to_have_count(len(after))
    analyst.snap("editing-threshold")
    with Settled(analyst):
        analyst.page.keyboard.press("Control+z")
    assert stored(app, "fire") == before


def test_a_long_list_shows_the_event_that_was_just_made(analyst: Analyst, app: RunningApp) -> None:
    open_untouched(analyst, "robbery")
    before = stored(app, "robbery")
    analyst.viewer.focus()
    analyst.page.keyboard.press("Home")
    analyst.expect_frame(0)
    for made in range(1, 9):
        with Settled(analyst):
            analyst.page.keyboard.press("n")
        analyst.page.wait_for_function(CURRENT_IS_SEEN_JS)
        analyst.page.keyboard.press("ArrowRight")
        analyst.expect_frame(made)
    assert len(stored(app, "robbery")) == len(before) + 8
    analyst.page.keyboard.press("Home")
    analyst.expect_frame(0)
    with Settled(analyst):
        analyst.page.keyboard.press("n")
    analyst.page.wait_for_function(CURRENT_IS_SEEN_JS)
    expect(analyst.timeline.locator(".aw-peak")).not_to_have_count(len(before) + 9)  # many would hide each other
    analyst.snap("editing-many")
    undo_all(analyst)
    assert stored(app, "robbery") == before


def test_a_text_typed_at_once_is_that_of_the_new_event(analyst: Analyst, app: RunningApp) -> None:
    open_untouched(analyst, "fire")
    [(old, *_)] = stored(app, "fire")
    analyst.viewer.focus()
    analyst.page.keyboard.press("Home")
    analyst.expect_frame(0)
    with Settled(analyst):
        analyst.page.keyboard.press("n")
        analyst.page.keyboard.press("w")
        analyst.page.keyboard.type("A man falls.")
    analyst.page.keyboard.press("Escape")
    expect(analyst.page.get_by_label("Judgement of the event")).to_have_value("A man falls.")
    expect_saved(analyst)
    assert rows(app, "SELECT judgement FROM events WHERE judgement IS NOT NULL AND id != ?", old) == [("A man falls.",)]
    undo_all(analyst)


def test_one_press_rejects_one_event_however_long_it_is_held(analyst: Analyst, app: RunningApp) -> None:
    open_untouched(analyst, "robbery")
    analyst.viewer.focus()
    analyst.page.keyboard.press("Home")
    for _ in range(3):
        with Settled(analyst):
            analyst.page.keyboard.press("n")
    before = len(stored(app, "robbery"))
    with Settled(analyst):
        for _ in range(5):
            analyst.page.keyboard.down("x")
            analyst.page.wait_for_timeout(150)
        analyst.page.keyboard.up("x")
    assert len(stored(app, "robbery")) == before - 1
    undo_all(analyst)


def test_a_text_that_was_refused_stays_and_is_saved_when_the_box_is_left(analyst: Analyst, app: RunningApp) -> None:
    open_untouched(analyst, "fire")
    [(event, *_)] = stored(app, "fire")
    box = analyst.page.get_by_label("Judgement of the event")
    box.click()
    analyst.page.keyboard.type("A car burns.")
    with closing(Store(app.log.parent / "corrections.db")) as store:
        [(clip,)] = rows(app, "SELECT clip_id FROM events WHERE id = ?", event)
        history.save(store, clip, [history.edit("event", event, "judgement", "A lorry burns.")], annotator="bea")
    analyst.page.keyboard.press("Escape")
    expect(analyst.page.get_by_text("bea changed judgement")).to_be_visible()
    expect(analyst.page.get_by_role("status", name="Saved")).to_have_attribute("data-state", "unsaved")
    expect(box).to_have_value("A car burns.")
    box.click()
    analyst.page.keyboard.press("Escape")
    expect_saved(analyst)
    assert rows(app, "SELECT judgement FROM events WHERE id = ?", event) == [("A car burns.",)]
    undo_all(analyst)
    with closing(Store(app.log.parent / "corrections.db")) as store:
        history.undo(store, clip, annotator="bea")
    assert rows(app, "SELECT judgement FROM events WHERE id = ?", event) == [(None,)]


def test_whoever_leaves_before_a_text_is_saved_is_asked(analyst: Analyst, app: RunningApp) -> None:
    open_untouched(analyst, "fire")
    page, box = analyst.page, analyst.page.get_by_label("Judgement of the event")
    box.click()
    before = serial(analyst)
    with page.expect_event("dialog") as asked:
        page.keyboard.type("A car burns.")
        page.close(run_before_unload=True)
    assert asked.value.type == "beforeunload"
    asked.value.dismiss()  # they stay, and the text is saved after a pause
    expect(page.locator(".aw-ev")).not_to_have_attribute("data-serial", before)
    expect_saved(analyst)
    assert ("A car burns.",) in rows(app, "SELECT judgement FROM events")
    page.keyboard.press("Escape")
    undo_all(analyst)
