"""Hands on the keyboard: keys go on working after the mouse was used, and a choice by key is one step."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser_support import Analyst, RunningApp
from tests.editing_support import Settled, open_untouched, rows, stored, undo_all

pytestmark = pytest.mark.browser
CATEGORIES = "SELECT count(*) FROM history WHERE subject = 'event' AND field = 'category' AND action = 'edit'"


def test_a_pressed_button_does_not_keep_the_keyboard(analyst: Analyst, app: RunningApp) -> None:
    open_untouched(analyst, "fire")
    page, viewer = analyst.page, analyst.viewer
    page.keyboard.press("Home")
    analyst.expect_frame(0)
    with Settled(analyst):
        page.get_by_role("button", name="+ Event").click()
    assert len(stored(app, "fire")) == 2
    page.keyboard.press("Space")  # plays; it does not press the button again
    expect(viewer.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press("Space")
    expect(viewer.get_by_role("button", name="Play", exact=True)).to_be_visible()
    page.keyboard.press("Home")
    analyst.expect_frame(0)
    page.get_by_role("tab", name="Instances").click()
    page.keyboard.press("ArrowRight")  # steps; it does not turn to the next tab
    analyst.expect_frame(1)
    expect(page.get_by_role("tab", name="Instances")).to_have_attribute("aria-selected", "true")
    page.get_by_role("tab", name="Events").click()
    assert len(stored(app, "fire")) == 2
    analyst.ask("Judgement")
    analyst.expect_ready()
    asked = analyst.answers().count()
    page.locator(".aw-chip").first.click()
    page.keyboard.press("Space")  # plays from the evidence
    expect(viewer.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press("Space")
    expect(viewer.get_by_role("button", name="Play", exact=True)).to_be_visible()
    expect(analyst.answers()).to_have_count(asked)
    undo_all(analyst)


def test_whoever_comes_by_tab_presses_what_has_the_focus(analyst: Analyst, app: RunningApp) -> None:
    open_untouched(analyst, "fire")
    button = analyst.page.get_by_role("button", name="+ Event")
    button.focus()
    with Settled(analyst):
        analyst.page.keyboard.press("Space")
    expect(button).to_be_focused()
    assert len(stored(app, "fire")) == 2
    undo_all(analyst)


def test_the_question_is_left_by_escape_and_other_rooms_leave_the_clip_alone(analyst: Analyst, app: RunningApp) -> None:
    open_untouched(analyst, "fire")
    page, before = analyst.page, stored(app, "fire")
    page.keyboard.press("Home")
    analyst.expect_frame(0)
    page.keyboard.press("/")
    box = page.get_by_role("textbox", name="Question")
    expect(box).to_be_focused()
    page.keyboard.type("who is it? nx")
    page.keyboard.press("Escape")
    expect(box).to_have_value("who is it? nx")
    page.keyboard.press("ArrowRight")
    analyst.expect_frame(1)
    page.keyboard.press("g")
    expect(page.get_by_role("searchbox", name="Search the library")).to_be_visible()
    for key in ("ArrowRight", "x", "n"):  # steps, rejects and adds in the other room
        page.keyboard.press(key)
    page.keyboard.press("g")
    expect(analyst.viewer).to_be_visible()
    with Settled(analyst):
        page.keyboard.press("c")
    analyst.expect_frame(1)
    assert stored(app, "fire") == before
    undo_all(analyst)


def test_a_category_is_chosen_by_keys_as_one_step(analyst: Analyst, app: RunningApp) -> None:
    open_untouched(analyst, "fire")
    page, kind = analyst.page, analyst.page.get_by_label("Category", exact=True)
    [(before,)] = rows(app, CATEGORIES)
    page.keyboard.press("Home")
    analyst.expect_frame(0)
    page.keyboard.press("k")
    expect(kind).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    chosen = kind.input_value()
    with Settled(analyst):
        page.keyboard.press("Enter")
    expect(kind).not_to_be_focused()
    assert chosen != "fire"
    assert stored(app, "fire")[0][3] == chosen
    assert rows(app, CATEGORIES) == [(before + 1,)]
    page.keyboard.press("ArrowRight")  # steps; it does not choose another category
    analyst.expect_frame(1)
    assert stored(app, "fire")[0][3] == chosen
    undo_all(analyst)
