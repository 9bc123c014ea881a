"""Correcting events as a person does it: what tests of the page do again and again, and what the store says then."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

from playwright.sync_api import Locator, expect

from tests.browser_support import ANSWER_LIMIT_MS, Analyst, RunningApp

LEFT, RIGHT = 34, 12  # margins of the timeline's drawing, as in timeline.js


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
