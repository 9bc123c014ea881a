"""Longer work from the page, as a person begins it: texts written as a job, cases, and a push to the Hub."""

from __future__ import annotations

import json
import re
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser_support import ANSWER_LIMIT_MS, SAMPLES, SCREENSHOTS, SIZES, Analyst, RunningApp, running_app
from tests.hub_stand_in import StandIn, standing_in
from workbench.exports.case import verify_case
from workbench.video import Clip

pytestmark = pytest.mark.browser
TOKEN = "hf_" + "x" * 34


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    with standing_in() as hub:
        yield hub


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, chromium_path: str, stand_in: StandIn) -> Iterator[RunningApp]:
    """An app that takes the stand-in for the Hub, and finds no token until one is kept in its own `home`."""
    assert chromium_path
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
            patch.delenv(name, raising=False)
        patch.setenv("HF_HOME", str(folder / "home"))
        patch.setenv("HF_ENDPOINT", stand_in.url)
        with running_app(folder, SAMPLES, "--annotator", "ann") as app:
            yield app


@pytest.fixture(scope="module")
def page(browser: Browser, app: RunningApp) -> Iterator[Page]:
    """One page for all: each test goes on where the one before it ended."""
    faults: list[str] = []
    context = browser.new_context(viewport={"width": 1366, "height": 768}, color_scheme="dark")
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
    page.on("console", lambda told: faults.append(told.text) if "Error in" in told.text else None)
    Analyst(page, app.url).pick_sample("Robbery")
    yield page
    context.close()
    assert faults == []


def rows(app: RunningApp, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(f"file:{app.log.parent / 'corrections.db'}?mode=ro", uri=True)) as db:
        return db.execute(sql).fetchall()


def snap_all(page: Page, name: str) -> None:
    """Pictures to look at, of both sizes and both themes."""
    SCREENSHOTS.mkdir(exist_ok=True)
    for size, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        for theme in ("dark", "light"):
            page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", theme == "dark")
            page.screenshot(path=SCREENSHOTS / f"{name}-{size}-{theme}.png")
    page.set_viewport_size({"width": 1366, "height": 768})


def open_menu(page: Page, word: str, within: str) -> Locator:
    page.locator(f"{within} summary").click()
    menu = page.locator(within).get_by_role("group", name=word)
    expect(menu).to_be_visible()
    return menu


def expect_in_view(page: Page, box: Locator) -> None:
    """Nothing of it is cut off by the edge of the window."""
    found, window = box.bounding_box(), page.viewport_size
    assert found
    assert window
    assert min(found["x"], found["y"]) >= 0
    assert found["x"] + found["width"] <= window["width"]
    assert found["y"] + found["height"] <= window["height"]


def test_a_push_without_a_token_explains_itself(page: Page, stand_in: StandIn) -> None:
    menu = open_menu(page, "Export", "#aw-export")
    menu.get_by_label("Data set on the Hub").fill("team/set")
    menu.get_by_role("button", name="Push to the Hub").click()
    expect(menu.get_by_role("status")).to_contain_text("needs a token: set HF_TOKEN")
    expect_in_view(page, menu)
    snap_all(page, "push-without-token")
    assert stand_in.came == []
    page.keyboard.press("Escape")


def test_a_push_with_a_token_goes_to_the_hub(page: Page, app: RunningApp, stand_in: StandIn) -> None:
    home = app.log.parent / "home"
    home.mkdir(exist_ok=True)
    (home / "token").write_text(TOKEN)
    menu = open_menu(page, "Export", "#aw-export")
    repo, said = menu.get_by_label("Data set on the Hub"), menu.get_by_role("status")
    repo.fill("set")
    repo.press("Enter")
    expect(said).to_contain_text("OWNER/NAME")
    repo.fill("team/set")
    menu.get_by_role("button", name="Push to the Hub").click()
    expect(said).to_contain_text("pushed to team/set", timeout=ANSWER_LIMIT_MS)
    expect(said.get_by_role("link")).to_have_attribute("href", f"{stand_in.url}/datasets/team/set/commit/1")
    (files,) = stand_in.commits
    assert b"robbery" in files["data/events-train.jsonl"]
    stand_in.refuses = 403
    menu.get_by_role("button", name="Push to the Hub").click()
    expect(said).to_contain_text("The Hub refused to take team/set (403)", timeout=ANSWER_LIMIT_MS)
    stand_in.refuses = None
    assert TOKEN not in page.content()
    page.keyboard.press("Escape")


def test_a_push_is_cancelled_while_it_uploads(page: Page, stand_in: StandIn) -> None:
    before = len(stand_in.commits)
    stand_in.holds = "/preupload/"
    menu = open_menu(page, "Export", "#aw-export")
    menu.get_by_label("Data set on the Hub").fill("team/set")
    menu.get_by_role("button", name="Push to the Hub").click()
    bar = menu.get_by_role("progressbar", name="Export under way")
    expect(bar).to_have_attribute("aria-valuetext", "uploading to team/set", timeout=ANSWER_LIMIT_MS)
    expect_in_view(page, menu)
    snap_all(page, "push-running")
    menu.get_by_role("button", name="Push to the Hub").click()
    expect(menu.get_by_role("status")).to_contain_text("the push to team/set is under way")
    menu.get_by_role("button", name="Cancel").click()
    expect(menu.get_by_role("status")).to_have_text("cancelled; nothing was published", timeout=ANSWER_LIMIT_MS)
    expect(bar).to_be_hidden()
    stand_in.holds = None
    stand_in.released.set()
    assert len(stand_in.commits) == before
    menu.get_by_role("button", name="Push to the Hub").click()
    expect(menu.get_by_role("status")).to_contain_text("pushed to team/set", timeout=ANSWER_LIMIT_MS)
    assert len(stand_in.commits) == before + 1
    page.keyboard.press("Escape")


def test_hivau_leaves_the_page_with_its_files_cut(page: Page, app: RunningApp, tmp_path: Path) -> None:
    menu = open_menu(page, "Export", "#aw-export")
    menu.get_by_role("radio", name="this clip").check()
    menu.get_by_label("with clip and event files cut").check()
    expect_in_view(page, menu)
    snap_all(page, "export-cut")
    with page.expect_download(timeout=ANSWER_LIMIT_MS) as coming:
        menu.get_by_role("button", name="HIVAU-70k instructions (conversations)").click()
    assert re.fullmatch(r"robbery_[\w-]+-hivau-conversations\.zip", coming.value.suggested_filename)
    coming.value.save_as(tmp_path / "out.zip")
    ((events,),) = rows(
        app, "SELECT count(*) FROM events e JOIN clips c ON c.id = e.clip_id WHERE c.name LIKE 'robbery%'"
    )
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        names = [name.partition("/")[2] for name in archive.namelist()]
        (lines,) = [name for name in archive.namelist() if name.endswith(".jsonl")]
        named = {json.loads(line)["video"] for line in archive.read(lines).splitlines()}
        archive.extract(next(name for name in archive.namelist() if "/events/" in name), tmp_path)
    assert events > 0
    assert sum(bool(re.fullmatch(r"events/robbery_\w+_E\d+\.mp4", name)) for name in names) == events
    assert named <= set(names)
    (cut,) = tmp_path.rglob("*_E*.mp4")
    with Clip.open(cut) as clip:
        assert clip.n_frames > 1
    menu.get_by_label("with clip and event files cut").uncheck()
    page.keyboard.press("Escape")


def test_files_are_called_after_the_clip_or_the_store(page: Page, tmp_path: Path) -> None:
    menu = open_menu(page, "Export", "#aw-export")
    for button, whole, name in (
        ("events as CSV", False, r"robbery_[\w-]+-events\.csv"),
        ("YOLO segmentation (folder)", False, r"robbery_[\w-]+-yolo\.zip"),
        ("COCO with video fields (JSON)", True, r"corrections-coco\.json"),
    ):
        menu.get_by_role("radio", name="all clips" if whole else "this clip").check()
        with page.expect_download() as coming:
            menu.get_by_role("button", name=button).click()
        assert re.fullmatch(name, coming.value.suggested_filename)
    menu.get_by_role("button", name="case report (zip)").click()
    expect(menu.get_by_role("status")).to_contain_text("A case is of one clip")
    menu.get_by_role("radio", name="this clip").check()
    with page.expect_download(timeout=ANSWER_LIMIT_MS) as coming:
        menu.get_by_role("button", name="case report (zip)").click()
    coming.value.save_as(tmp_path / coming.value.suggested_filename)
    assert verify_case(tmp_path / coming.value.suggested_filename).files >= 3
    with zipfile.ZipFile(tmp_path / coming.value.suggested_filename) as archive:
        assert any(re.fullmatch(r"robbery_[\w-]+-case/index.html", name) for name in archive.namelist())
    page.keyboard.press("Escape")


def test_texts_of_a_clip_are_written_with_progress_and_shown(page: Page, app: RunningApp) -> None:
    judgement = page.get_by_label("Judgement of the event")
    expect(judgement).to_have_value("")
    menu = open_menu(page, "Write texts", "#aw-annotate")
    expect_in_view(page, menu)
    snap_all(page, "write-texts")
    menu.get_by_role("button", name="Start").click()
    bar = menu.get_by_role("progressbar", name="Writing texts")
    expect(bar).to_be_visible()
    expect(page.locator("#aw-annotate summary")).to_have_text(re.compile(r"Writing texts \d+ %"))
    page.screenshot(path=SCREENSHOTS / "write-texts-running.png")
    expect(menu.get_by_role("status")).to_contain_text(re.compile(r"\d+ texts written on 1 clip"), timeout=300_000)
    expect(judgement).not_to_have_value("")
    ((written,),) = rows(app, "SELECT count(*) FROM captions WHERE caption != ''")
    assert written > 0
    assert {by for (by,) in rows(app, "SELECT DISTINCT annotator FROM history WHERE subject = 'caption'")} == {
        "workbench"
    }
    snap_all(page, "write-texts-done")
    page.keyboard.press("Escape")


def test_texts_of_the_library_are_written_as_a_job_that_can_be_cancelled(page: Page, app: RunningApp) -> None:
    page.get_by_role("button", name="Sample: Fire").first.click()
    expect(page.locator("#aw-clip")).to_contain_text("fire_", timeout=ANSWER_LIMIT_MS)
    expect(page.get_by_role("progressbar", name="Progress")).to_have_count(0, timeout=ANSWER_LIMIT_MS)
    page.get_by_role("tab", name="Library").click()
    menu = open_menu(page, "Write texts", "#aw-annotate-all")
    expect(menu.get_by_role("radio", name="all clips")).to_be_checked()
    expect_in_view(page, menu)
    snap_all(page, "write-texts-library")
    menu.get_by_label("write anew what a model wrote").check()
    menu.get_by_role("button", name="Start").click()
    expect(menu.get_by_role("progressbar", name="Writing texts")).to_have_attribute(
        "aria-valuetext", re.compile("clip 1 of 2"), timeout=ANSWER_LIMIT_MS
    )
    expect(page.locator("#aw-annotate summary")).to_have_text(re.compile("Writing texts"))  # in the other room too
    menu.get_by_role("button", name="Cancel").click()
    expect(menu.get_by_role("status")).to_contain_text("cancelled", timeout=ANSWER_LIMIT_MS)
    expect(menu.get_by_role("button", name="Start")).to_be_visible()
    assert rows(app, "SELECT count(*) FROM clips c JOIN captions k ON k.clip_id = c.id WHERE c.name LIKE 'fire%'") == [
        (0,)
    ]
