"""What was corrected leaves the page, by its menu and through the endpoints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser_support import Analyst, RunningApp
from tests.editing_support import Settled, open_untouched, rows, stored, undo_all

pytestmark = pytest.mark.browser


def test_a_corrected_category_is_exported_from_the_page(analyst: Analyst, tmp_path: Path) -> None:
    page = analyst.page
    open_untouched(analyst, "fire")
    with Settled(analyst):
        page.get_by_label("Category", exact=True).select_option("arson")
    page.get_by_text("Export", exact=True).click()
    menu = page.get_by_role("group", name="Export")
    expect(menu.get_by_role("radio", name="this clip")).to_be_checked()
    analyst.snap("export-menu")
    button = menu.get_by_role("button", name="events as CSV")
    place = button.bounding_box()
    with page.expect_download() as coming:
        button.click()
    coming.value.save_as(tmp_path / "out.csv")
    said = (tmp_path / "out.csv").read_text("utf-8")
    assert "arson" in said
    assert "fire_" in said
    assert "robbery_" not in said
    expect(menu.get_by_role("status")).to_contain_text(re.compile(r"saved as fire_[\w-]+-events\.csv"))
    assert button.bounding_box() == place  # a second press means the same
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
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
