"""The real app in a process of its own, and what a person does with its page."""

from __future__ import annotations

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

REPOSITORY = Path(__file__).resolve().parent.parent
SAMPLES = REPOSITORY / "assets" / "samples"
SCREENSHOTS = REPOSITORY / "tests" / "screenshots"
SIZES = {"laptop": (1366, 768), "desktop": (1920, 1080)}
START_LIMIT_S = 120
ANSWER_LIMIT_MS = 150_000

# Runs in the page: the natural pixels of the picture on show, as PNG.
PIXELS_JS = """(image) => {
  const canvas = document.createElement('canvas');
  canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
  canvas.getContext('2d').drawImage(image, 0, 0);
  return canvas.toDataURL('image/png');
}"""
# Presses a button the moment it can be seen, which a test outside the page may be too slow for.
PRESS_WHEN_SEEN_JS = """(name) => {
  const watch = new MutationObserver(() => {
    const buttons = [...document.querySelectorAll('button')];
    const button = buttons.find((b) => b.textContent.trim() === name && b.offsetParent);
    if (button) { watch.disconnect(); button.click(); }
  });
  watch.observe(document.body, { childList: true, subtree: true, attributes: true });
}"""
# Notes, in every picture drawn, which stages of work are on show and where the parts of the page are.
RECORD_JS = """() => {
  const seen = window.seen = { stages: new Set(), places: new Set() };
  const look = () => {
    const bar = document.querySelector('[role=progressbar][aria-label=Progress]');
    if (bar) seen.stages.add(bar.getAttribute('aria-valuetext'));
    const boxes = ['#aw-left', '#aw-viewer', '#aw-timeline', '#aw-tabs', '#aw-chat'].map((part) => {
      const { x, y, width, height } = document.querySelector(part).getBoundingClientRect();
      return [x, y, width, height].map(Math.round);
    });
    seen.places.add(JSON.stringify(boxes));
    requestAnimationFrame(look);
  };
  look();
}"""


@dataclass(frozen=True)
class RunningApp:
    """Where the app answers, and the file its output goes to."""

    url: str
    log: Path


def free_port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_app(work_dir: Path, samples: Path, *extra: str) -> Iterator[RunningApp]:
    """`python app.py` until the block ends; fails with the app's own output when it does not come up."""
    port, log = free_port(), work_dir / "app.log"
    command = [sys.executable, "app.py", "--no-browser", "--port", str(port), "--device", "cpu"]
    command += ["--work-dir", str(work_dir), "--samples", str(samples), *extra]
    environment = os.environ | {"GRADIO_TEMP_DIR": str(work_dir / "gradio"), "OMP_NUM_THREADS": "1"}
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            _wait_until_up(process, f"http://127.0.0.1:{port}/", log)
            yield RunningApp(f"http://127.0.0.1:{port}/", log)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # a process lent a GPU outlives the app that was ended


def _wait_until_up(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"the app ended with {process.returncode}:\n{log.read_text()[-4000:]}")
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"the app did not answer within {START_LIMIT_S} s:\n{log.read_text()[-4000:]}")


class Analyst:
    """A person at the page: finds things by what they are called."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.viewer = page.get_by_role("group", name="Frame viewer")
        self.timeline = page.get_by_role("group", name="Timeline")
        self.chat = page.get_by_role("log", name="chatbot conversation")
        page.goto(url)
        expect(page.get_by_role("banner")).to_contain_text("· CPU", timeout=ANSWER_LIMIT_MS)

    def pick_sample(self, title: str) -> None:
        """Pick a sample by what happens in it, and wait until it is analysed."""
        self.page.get_by_role("button", name=f"Sample: {title}").first.click()
        self.wait_until_analysed()

    def upload(self, path: Path) -> None:
        """Put a file into the upload field."""
        self.page.locator("#aw-upload input[type=file]").set_input_files(path)

    def wait_until_analysed(self) -> None:
        """Until the curve is there, nothing runs any more, and the viewer shows where the analysis points to."""
        expect(self.timeline).to_have_attribute("data-points", re.compile(r"[1-9]\d*"), timeout=ANSWER_LIMIT_MS)
        expect(self.page.get_by_role("progressbar", name="Progress")).to_have_count(0, timeout=ANSWER_LIMIT_MS)
        expect(self.viewer).to_have_attribute("data-version", re.compile(":True:"))

    def record(self) -> None:
        """From now on note stages and places; see `recorded`."""
        self.page.evaluate(RECORD_JS)

    def recorded(self, what: str) -> list[str]:
        """The different `stages` of work, or `places` of the page's parts, seen since `record`."""
        return self.page.evaluate("(what) => [...window.seen[what]]", what)

    def frame(self) -> int:
        """The frame on show."""
        return int(self.viewer.get_attribute("data-frame") or -1)

    def expect_frame(self, index: int) -> None:
        """The viewer comes to show that frame, and the timeline's playhead follows."""
        expect(self.viewer).to_have_attribute("data-frame", str(index))
        expect(self.timeline).to_have_attribute("data-frame", str(index))

    def picture(self) -> np.ndarray:
        """The decoded frame as the browser shows it, without overlays, RGB."""
        uri = self.page.get_by_role("img", name="Decoded frame").evaluate(PIXELS_JS)
        raw = np.frombuffer(base64.b64decode(uri.split(",", 1)[1]), np.uint8)
        return cv2.cvtColor(cv2.imdecode(raw, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    def ask(self, button: str) -> Locator:
        """Press one of the three standard questions; returns the newest answer once it has begun."""
        before = self.answers().count()
        self.page.locator("#aw-kinds").get_by_role("button", name=button, exact=True).click()
        expect(self.answers()).to_have_count(before + 1, timeout=ANSWER_LIMIT_MS)
        return self.answers().last

    def answers(self) -> Locator:
        """All answers in the chat."""
        return self.chat.get_by_test_id("bot")

    def expect_ready(self) -> None:
        """The answer is finished: one can ask again."""
        expect(self.page.get_by_role("button", name="Ask", exact=True)).to_be_visible(timeout=ANSWER_LIMIT_MS)

    def snap(self, name: str) -> None:
        """Write a screenshot to look at; the one called `page` also becomes the README's when WORKBENCH_DOCS is 1."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")
        if name == "page" and os.environ.get("WORKBENCH_DOCS") == "1":
            self.page.screenshot(path=REPOSITORY / "docs" / "page.png")
