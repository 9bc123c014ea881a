"""Choosing a model stack on the page: the clip and the place in it stay, and nothing is fetched unasked."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser_support import ANSWER_LIMIT_MS, SAMPLES, Analyst, RunningApp, running_app
from tests.test_stacks import write_fusion

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, chromium_path: str) -> Iterator[RunningApp]:
    """An app that finds one adapter for the bundled stack, and no weights of other profiles."""
    assert chromium_path
    folder = tmp_path_factory.mktemp("stacks")
    write_fusion(folder / "adapters", "strict", threshold=0.99)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_ADAPTERS", str(folder / "adapters"))
        patch.setenv("HF_HUB_CACHE", str(folder / "hub"))
        with running_app(folder, SAMPLES) as running:
            yield running


def test_another_stack_looks_at_the_same_clip(analyst: Analyst) -> None:
    page, banner = analyst.page, analyst.page.get_by_role("banner")
    expect(banner).to_contain_text("check every one")
    analyst.pick_sample("fire")
    frame = analyst.frame()
    page.keyboard.press("ArrowLeft")
    analyst.expect_frame(frame - 1)
    banner.get_by_title("Choose another model stack").click()
    menu = page.get_by_role("group", name="Model stacks")
    expect(menu.get_by_role("button")).to_have_count(2)
    expect(menu.locator("[aria-current=true]")).to_contain_text("Bundled")
    expect(menu).to_contain_text("python -m workbench fetch holmesvau-2b")
    analyst.snap("stacks-menu")
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    banner.get_by_title("Choose another model stack").click()
    menu.get_by_role("button", name=re.compile("strict")).click()
    expect(banner).to_contain_text("adapter strict", timeout=ANSWER_LIMIT_MS)
    expect(analyst.timeline).to_contain_text("threshold 0.99")
    expect(page.locator("#aw-clip")).to_contain_text("fire_")
    analyst.expect_frame(frame - 1)
    page.get_by_role("tab", name="Library").click()  # the menu hides nothing of the top line
    page.get_by_role("tab", name="Review").click()
    expect(page.get_by_role("button", name="Your name")).to_be_visible()
    analyst.snap("stacks-switched")
