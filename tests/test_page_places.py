"""Where a person is: reload, links, two browsers at once, the library, names."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.browser_support import ANSWER_LIMIT_MS, Analyst, RunningApp
from tests.drawn import write_clip
from tests.editing_support import Settled, open_sample, open_untouched, rows, stored, undo_all

pytestmark = pytest.mark.browser


def test_a_reload_brings_back_clip_time_and_selection(new_analyst: Callable[..., Analyst], app: RunningApp) -> None:
    analyst = new_analyst()
    open_untouched(analyst, "fire")
    analyst.viewer.focus()
    analyst.page.keyboard.press("Home")
    analyst.expect_frame(0)
    with Settled(analyst):
        analyst.page.keyboard.press("n")
    for expected in (1, 2, 3):
        analyst.page.keyboard.press("ArrowRight")
        analyst.expect_frame(expected)
    selected = analyst.page.locator(".aw-ev tr[aria-current=true]")
    event = selected.get_attribute("data-id")
    expect(analyst.page).to_have_url(re.compile(rf"clip=[0-9a-f]{{16}}&t=0\.2000&event={event}"))  # 3 / 15 fps
    analyst.page.reload()
    analyst.wait_until_analysed()
    analyst.expect_frame(3)
    expect(selected).to_have_attribute("data-id", event or "")
    expect(analyst.page.get_by_role("main")).to_contain_text("fire_")
    link = analyst.page.url
    other = new_analyst("desktop", "light", link.removeprefix(app.url))
    other.wait_until_analysed()
    other.expect_frame(3)
    expect(other.page.locator(".aw-ev tr")).to_have_count(3)  # the head, the model's event and the new one
    other.snap("editing-desktop-light")
    undo_all(other)


def test_a_place_that_is_on_its_way_survives_what_the_page_is_told_meanwhile(
    new_analyst: Callable[..., Analyst], tmp_path: Path
) -> None:
    analyst = new_analyst()
    analyst.upload(write_clip(tmp_path / "walk.mp4", n_frames=200))
    expect(analyst.page.locator("#aw-clip")).to_contain_text("walk", timeout=ANSWER_LIMIT_MS)
    expect(analyst.viewer).to_have_attribute("data-frame", "0", timeout=ANSWER_LIMIT_MS)
    held: list[Route] = []
    pictures = re.compile("component_server")
    analyst.page.route(pictures, lambda route: held.append(route))
    analyst.page.evaluate("window.aw.emit('seek', { frame: 61 })")
    # While the picture is on its way the analysis ends, which tells the viewer something new.
    expect(analyst.page.get_by_role("progressbar", name="Progress")).to_have_count(0, timeout=ANSWER_LIMIT_MS)
    expect(analyst.page.locator(".aw-ev")).to_have_attribute("data-serial", re.compile(r"\d"))
    assert held
    for route in held:
        route.continue_()
    analyst.page.unroute(pictures)
    analyst.expect_frame(61)


def test_a_link_to_a_clip_that_is_not_there_says_so(new_analyst: Callable[..., Analyst]) -> None:
    analyst = new_analyst(query="?clip=" + "0" * 16)
    expect(analyst.page.get_by_test_id("toast-body")).to_contain_text("not in this store")
    open_untouched(analyst, "fire")


def test_two_browsers_on_two_clips_do_not_mix_and_on_one_clip_nobody_is_overwritten(
    new_analyst: Callable[..., Analyst], app: RunningApp
) -> None:
    first, second = new_analyst(), new_analyst()
    open_untouched(first, "fire")
    open_untouched(second, "robbery")
    fire, robbery = stored(app, "fire"), stored(app, "robbery")
    with Settled(first):
        first.page.get_by_label("Category", exact=True).select_option("arson")
    assert stored(app, "robbery") == robbery
    assert stored(app, "fire")[0][3] == "arson"
    undo_all(first)
    open_sample(second, "fire")
    with Settled(first):
        first.page.get_by_role("button", name="Confirm").click()
    second.page.get_by_label("Category", exact=True).select_option("arson")
    expect(second.page.get_by_test_id("toast-body")).to_contain_text("make your change again")
    expect(second.page.get_by_role("status", name="Saved")).to_have_attribute("data-state", "refused")
    expect(second.page.get_by_role("button", name="Confirm")).to_have_attribute("aria-pressed", "true")
    assert stored(app, "fire") == fire
    undo_all(second)


def test_the_library_finds_opens_and_goes_on(analyst: Analyst, app: RunningApp) -> None:
    page = analyst.page
    for sample in ("fire", "normal life"):
        open_untouched(analyst, sample)
    page.get_by_role("tab", name="Library").click()
    cards = page.get_by_role("region", name="Library").get_by_role("listitem")
    expect(cards.filter(has_text="fire_")).to_have_count(1)
    expect(cards.filter(has_text="normal_")).to_have_attribute("data-status", "analysed")
    expect(cards.first.locator("img")).to_have_attribute("src", re.compile("^data:image/jpeg"))
    analyst.snap("library")
    both = cards.filter(has_text=re.compile("fire_|normal_"))
    for order, first in (("oldest", "fire_"), ("newest", "normal_"), ("highest score", "fire_")):
        page.get_by_label("Order").select_option(order)
        expect(both.first).to_contain_text(first)
    search = page.get_by_role("searchbox", name="Search the library")
    search.fill("no such words")
    expect(cards).to_have_count(0)
    search.fill("fire")
    expect(cards).to_have_count(1)
    cards.first.click()
    expect(page.get_by_role("tab", name="Review")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#aw-clip")).to_contain_text("fire_", timeout=ANSWER_LIMIT_MS)
    analyst.wait_until_analysed()
    page.get_by_role("button", name="Done, next").click()
    expect(page.locator("#aw-clip")).not_to_contain_text("fire_", timeout=ANSWER_LIMIT_MS)
    analyst.wait_until_analysed()
    assert rows(
        app, "SELECT count(*) FROM subjects WHERE subject = 'video' AND document LIKE '%\"state\":\"done\"%'"
    ) == [(1,)]


def test_the_sheet_of_keys_opens_and_names_change_the_history(analyst: Analyst, app: RunningApp) -> None:
    page = analyst.page
    open_untouched(analyst, "collision")
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(sheet).to_contain_text("undo")
    analyst.snap("keys")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    page.get_by_role("button", name="Your name").click()
    field = page.get_by_label("Your name in the history")
    field.fill("bea")
    field.press("Enter")
    expect(page.get_by_role("button", name="Your name")).to_have_text("bea")
    with Settled(analyst):
        page.keyboard.press("n")
    assert rows(app, "SELECT annotator FROM history ORDER BY seq DESC LIMIT 1") == [("bea",)]
    undo_all(analyst)
