"""The loop closes on the page: correct, train, compare, adopt, and the same clip is judged right."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser_support import ANSWER_LIMIT_MS, SAMPLES, Analyst, RunningApp, running_app
from tests.corrected_store import approve, platform_clips, truth_of
from tests.editing_support import Settled
from workbench.corrections.taxonomy import open_store

pytestmark = pytest.mark.browser
CLIPS, STEPS = 32, 80
"""So many clips that the gate can tell better from chance."""
MISTAKEN = 1
"""The clip that a person corrects: people run for a train, which the bundled stack takes for an event."""
TRAINING_LIMIT_MS = 240_000
POLL_MS = 200


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Clips of a camera and a kind of event that nothing was trained on."""
    return platform_clips(tmp_path_factory.mktemp("platform"), CLIPS)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, world: list[Path], chromium_path: str) -> Iterator[RunningApp]:
    """An app over a store in which all clips but one are approved."""
    assert chromium_path
    folder = tmp_path_factory.mktemp("tuning")
    store = open_store(folder / "corrections.db")
    for path in (*world[:MISTAKEN], *world[MISTAKEN + 1 :]):
        approve(store, path)
    store.close()
    with running_app(folder, SAMPLES, "--annotator", "ann") as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    faults: list[str] = []
    context = browser.new_context(viewport={"width": 1366, "height": 768}, color_scheme="dark")
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    context.close()
    assert faults == []


def rows(app: RunningApp, sql: str, *values: object) -> list[tuple]:
    with closing(sqlite3.connect(f"file:{app.log.parent / 'corrections.db'}?mode=ro", uri=True)) as db:
        return db.execute(sql, values).fetchall()


def judged(app: RunningApp, clip: str) -> tuple[str | None, list[tuple[float, float]]]:
    """What the model said of a clip last: under which adapter, and the events it found."""
    adapter, document = rows(
        app, "SELECT a.adapter, a.document FROM analyses a JOIN clips c ON c.id = a.clip_id "
        "WHERE c.name LIKE ? ORDER BY a.id DESC LIMIT 1", f"{clip}%",
    )[0]  # fmt: skip
    return adapter, [(event["start_s"], event["end_s"]) for event in json.loads(document)["events"]]


def test_correct_train_compare_adopt_and_the_clip_is_judged_right(
    page: Page, app: RunningApp, world: list[Path]
) -> None:
    clip = world[MISTAKEN]
    assert truth_of(clip).events == []
    analyst = Analyst(page, app.url)

    # Correct: the stack sees an event where people only run for their train; a person rejects it.
    analyst.upload(clip)
    expect(page.locator("#aw-clip")).to_contain_text(clip.stem, timeout=ANSWER_LIMIT_MS)
    analyst.wait_until_analysed()
    adapter, alarms = judged(app, clip.stem)
    assert adapter is None
    assert alarms, "a false alarm"
    for _ in alarms:
        page.get_by_role("row", name=re.compile("Event 1")).click()
        analyst.viewer.focus()
        with Settled(analyst):
            page.keyboard.press("x")
    page.get_by_role("button", name="Done, next").click()
    expect(page.get_by_text("Every other clip of the library is done.")).to_be_visible()

    # Train: the room counts what is approved; a reload finds the run again.
    page.get_by_role("tab", name="Fine-tune").click()
    room = page.get_by_role("region", name="Fine-tune")
    expect(room.get_by_role("group", name="Approved corrections")).to_contain_text(f"{CLIPS}clips done")
    expect(room.get_by_role("checkbox", name="Heatmap")).to_be_disabled()
    expect(room.get_by_role("checkbox", name="Scorer")).to_be_checked()
    room.get_by_text("Numbers").click()
    room.get_by_label("Steps").fill(str(STEPS))
    room.get_by_label("Held out").select_option("0.4")
    room.get_by_label("Bundled scenes").fill("0")
    room.get_by_label("Replay", exact=True).select_option("none")
    room.get_by_role("button", name="Start training").click()
    expect(room.get_by_role("listitem", name="Run 1, Scorer, training")).to_be_visible(timeout=ANSWER_LIMIT_MS)
    page.reload()
    page.get_by_role("tab", name="Fine-tune").click()
    expect(room.get_by_role("listitem", name="Run 1, Scorer")).to_be_visible(timeout=ANSWER_LIMIT_MS)
    expect(room).to_have_attribute("data-state", "done", timeout=TRAINING_LIMIT_MS)

    # Before and after, side by side; nothing is in use yet.
    table = room.get_by_role("table", name="Your held-out clips")
    expect(table.locator("[data-metric=frame_auc]")).to_have_attribute("data-way", "up")
    expect(room.get_by_role("group", name="Before and after")).to_have_attribute("data-adopt", "true")
    expect(room.get_by_role("img", name="Curves of Scorer")).to_be_visible()
    analyst.snap("tuning")
    assert rows(app, "SELECT state, decision FROM jobs") == [("done", None)]

    # Adopt, and the same clip is judged again, right this time.
    page.get_by_role("tab", name="Review").click()
    analyst.upload(clip)
    expect(page.locator("#aw-clip")).to_contain_text(clip.stem, timeout=ANSWER_LIMIT_MS)
    analyst.wait_until_analysed()
    shown = analyst.viewer.get_attribute("data-version") or ""
    page.get_by_role("tab", name="Fine-tune").click()
    room.get_by_role("button", name="Adopt", exact=True).click()
    expect(page.get_by_role("banner")).to_contain_text("adapter scorer-", timeout=ANSWER_LIMIT_MS)
    expect(page.get_by_role("tab", name="Review")).to_have_attribute("aria-selected", "true")
    expect(analyst.viewer).not_to_have_attribute("data-version", shown, timeout=ANSWER_LIMIT_MS)
    analyst.wait_until_analysed()
    [(learned,)] = rows(app, "SELECT adapter FROM jobs WHERE decision = 'adopted' AND decided_by = 'ann'")
    for _ in range(ANSWER_LIMIT_MS // POLL_MS):  # the page is calm between the old judgement and the new one, too
        if judged(app, clip.stem)[0] == learned:
            break
        page.wait_for_timeout(POLL_MS)
    assert judged(app, clip.stem) == (learned, [])
    expect(page.get_by_role("progressbar", name="Progress")).to_have_count(0, timeout=ANSWER_LIMIT_MS)
    expect(page.locator("#aw-clip")).to_contain_text("no event")
