"""Correcting events as a person does it: the real app, a real Chromium, and the store looked into afterwards."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, expect

from tests.browser_support import ANSWER_LIMIT_MS, REPOSITORY, Analyst, RunningApp, running_app

pytestmark = pytest.mark.browser
SIZES = {"laptop": (1366, 768), "desktop": (1920, 1080)}
LEFT, RIGHT = 34, 12  # margins of the timeline's drawing, as in timeline.js
PEAK = re.compile("Peak of event 1")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, chromium_path: str) -> Iterator[RunningApp]:
    """An app of its own: what these tests write would change what others see."""
    assert chromium_path
    with running_app(
        tmp_path_factory.mktemp("editing"), REPOSITORY / "assets" / "samples", "--annotator", "ann"
    ) as app:
        yield app


@pytest.fixture
def new_analyst(browser: Browser, app: RunningApp) -> Iterator[Callable[..., Analyst]]:
    """Opens a page of its own each time; nothing may fail in its console."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def open_page(size: str = "laptop", theme: str = "dark", query: str = "") -> Analyst:
        width, height = SIZES[size]
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        expect.set_options(timeout=30_000)
        page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
        page.on("console", lambda told: faults.append(told.text) if "Error in" in told.text else None)
        return Analyst(page, app.url + query)

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def analyst(new_analyst: Callable[..., Analyst]) -> Analyst:
    return new_analyst()


def rows(app: RunningApp, sql: str, *values: object) -> list[tuple]:
    """What the store's file says, read by another program than the app."""
    with closing(sqlite3.connect(f"file:{app.log.parent / 'corrections.db'}?mode=ro", uri=True)) as db:
        return db.execute(sql, values).fetchall()


def stored(app: RunningApp, clip: str) -> list[tuple]:
    """Id, start, end and category of the events of the clip whose name begins so, as they stand."""
    return rows(
        app, "SELECT e.id, e.start_s, e.end_s, e.category FROM events e JOIN clips c ON c.id = e.clip_id "
        "WHERE e.layer = 'main' AND c.name LIKE ? ORDER BY e.start_s", f"{clip}%",
    )  # fmt: skip


def expect_saved(analyst: Analyst) -> None:
    expect(analyst.page.get_by_role("status", name="Saved")).to_have_attribute("data-state", "saved")


def serial(analyst: Analyst) -> str:
    return analyst.page.locator(".aw-ev").get_attribute("data-serial") or ""


class Settled:
    """Waits at its end until the store has answered what was done inside."""

    def __init__(self, analyst: Analyst) -> None:
        self.analyst = analyst

    def __enter__(self) -> None:
        self.before = serial(self.analyst)

    def __exit__(self, *error: object) -> None:
        expect(self.analyst.page.locator(".aw-ev")).not_to_have_attribute("data-serial", self.before)
        expect_saved(self.analyst)


def duration_s(analyst: Analyst) -> float:
    """The length of the clip on show, as the axis of the timeline has it."""
    return float(analyst.page.evaluate("document.querySelector('#aw-video video').duration"))


def drag_edge(analyst: Analyst, event: Locator, side: str, by_px: float) -> None:
    """Take an edge of a span below its bar and drag it."""
    box = event.locator(".aw-span-band").bounding_box()
    assert box is not None
    x = box["x"] + (box["width"] if side == "end" else 0)
    y = box["y"] + 0.8 * box["height"]
    mouse = analyst.page.mouse
    mouse.move(x, y)
    mouse.down()
    for step in range(1, 6):
        mouse.move(x + by_px * step / 5, y)
    mouse.up()


def open_sample(analyst: Analyst, sample: str) -> None:
    """Pick a sample, also when another clip is on the page already."""
    analyst.page.get_by_role("button", name=f"Sample: {sample}").first.click()
    expect(analyst.page.locator("#aw-clip")).to_contain_text(f"{sample.split()[0]}_", timeout=ANSWER_LIMIT_MS)
    analyst.wait_until_analysed()


def open_untouched(analyst: Analyst, sample: str) -> None:
    """Pick a sample and take back whatever an earlier test may have left."""
    open_sample(analyst, sample)
    expect(analyst.page.get_by_role("toolbar", name="Review")).not_to_have_class(re.compile("is-empty"))
    undo_all(analyst)


def undo_all(analyst: Analyst) -> None:
    """Leave the clip as the model said it, for the tests that follow."""
    button = analyst.page.get_by_role("button", name="Undo")
    while button.is_enabled():
        with Settled(analyst):
            button.click()


def spans(analyst: Analyst) -> Locator:
    return analyst.timeline.locator(".aw-span")


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


def test_a_corrected_category_is_exported_from_the_page(analyst: Analyst, tmp_path: Path) -> None:
    page = analyst.page
    open_untouched(analyst, "fire")
    with Settled(analyst):
        page.get_by_label("Category", exact=True).select_option("arson")
    page.get_by_text("Export", exact=True).click()
    menu = page.get_by_role("group", name="Export")
    expect(menu.get_by_role("radio", name="this clip")).to_be_checked()
    analyst.snap("export-menu")
    with page.expect_download() as coming:
        menu.get_by_role("button", name="events as CSV").click()
    coming.value.save_as(tmp_path / "out.csv")
    said = (tmp_path / "out.csv").read_text("utf-8")
    assert "arson" in said
    assert "fire_" in said
    assert "robbery_" not in said
    expect(menu.get_by_role("status")).to_contain_text(re.compile(r"saved as fire_[\w-]+-events\.csv"))
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    undo_all(analyst)


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


def test_programs_correct_and_export(analyst: Analyst, app: RunningApp) -> None:
    from gradio_client import Client

    open_untouched(analyst, "fire")
    [(event_id, *_)] = stored(app, "fire")
    sha = rows(app, "SELECT sha256 FROM clips WHERE name LIKE 'fire%'")[0][0]
    client = Client(app.url, verbose=False)
    assert set(client.view_api(return_format="dict")["named_endpoints"]) >= {"/correct", "/export"}
    client.predict(sha[:16], "event", event_id, "category", "arson", "a program", "", api_name="/correct")
    assert stored(app, "fire")[0][3] == "arson"
    assert rows(app, "SELECT annotator FROM history ORDER BY seq DESC LIMIT 1") == [("a program",)]
    exported = Path(client.predict("csv", sha[:16], api_name="/export"))
    assert "arson" in exported.read_text("utf-8")
