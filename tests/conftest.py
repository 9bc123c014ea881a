"""What tests share: where data is, drawn clips, stacks, a browser. Nothing here is loaded until a test asks for it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Before anything imports the workbench: tests neither read nor fill the user's cache.
_CACHE = tempfile.TemporaryDirectory(prefix="workbench-tests-")
os.environ["WORKBENCH_CACHE"] = _CACHE.name
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

    from tests.browser_support import Analyst, RunningApp
    from workbench.stack.loading import ModelStack

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests share one worker, since they share a server; GPU tests are skipped where there is none."""
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.xdist_group("browser"))
        if item.get_closest_marker("gpu") and not _has_cuda():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def pytest_unconfigure() -> None:
    _CACHE.cleanup()


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder of the real clips and published data, which are not part of the repository."""
    folder = Path(os.environ.get("WORKBENCH_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared data in {folder}; point WORKBENCH_SHARED at it")
    return folder


@pytest.fixture(scope="session")
def tiny_stack(tmp_path_factory: pytest.TempPathFactory) -> ModelStack:
    """A stack with random weights: the real classes in a second, for what does not depend on what they learned."""
    from tests.tiny_stack import tiny_stack as build

    return build(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def bundled_stack() -> ModelStack:
    """The stack that is shipped, on the CPU."""
    from workbench.stack.loading import ModelStack

    return ModelStack.load("bundled", device="cpu")


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Path of the system's Chromium. Where browser tests are expected (`make test`), its absence is a failure."""
    from workbench.doctor import find_browser

    path = find_browser()
    if path is None:
        message = "no Chromium on PATH; run: make chromium"
        if os.environ.get("WORKBENCH_REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture(scope="session")
def browser(chromium_path: str) -> Iterator[Browser]:
    """One headless Chromium for the session; open a context of your own in it."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=20_000)  # a busy machine paints late; waiting ends as soon as the page is right
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, chromium_path: str) -> Iterator[RunningApp]:
    """An app for the tests of one file, which write into its store and leave the clips as the model said them."""
    from tests.browser_support import SAMPLES, running_app

    assert chromium_path
    with running_app(tmp_path_factory.mktemp("app"), SAMPLES, "--annotator", "ann") as app:
        yield app


@pytest.fixture
def new_analyst(browser: Browser, app: RunningApp) -> Iterator[Callable[..., Analyst]]:
    """Opens a page of its own each time; nothing may fail in its console or leave this machine."""
    from playwright.sync_api import expect

    from tests.browser_support import SIZES, Analyst

    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def open_page(size: str = "laptop", theme: str = "dark", query: str = "") -> Analyst:
        width, height = SIZES[size]
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
        page.on("console", lambda told: told.type == "error" and faults.append(told.text))
        page.on("request", lambda asked: _stays(asked.url, app.url) or faults.append(f"foreign: {asked.url}"))
        return Analyst(page, app.url + query)

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def _stays(url: str, own: str) -> bool:
    return url.startswith((own, "data:", "blob:"))


@pytest.fixture
def analyst(new_analyst: Callable[..., Analyst]) -> Analyst:
    """A person at that app."""
    return new_analyst()
