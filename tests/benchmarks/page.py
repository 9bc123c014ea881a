"""The page as its visitors feel it: the real app and a real Chromium, times taken inside the browser."""

from __future__ import annotations

import argparse
import re
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.benchmarks.clips import draw_clip
from tests.benchmarks.process import BenchmarkError
from tests.benchmarks.table import Row
from tests.browser_support import SAMPLES, Analyst, running_app
from workbench.doctor import find_browser

LIMIT_MS = 900_000
SEEKS, KEYS, VISITORS = 15, 20, 8
LONG_S = 600

# From a press on the timeline to the new frame decoded and painted, in ms, one number a press.
SEEK_JS = """() => {
  const viewer = document.querySelector('.aw-viewer'), image = viewer.querySelector('.aw-base');
  let pressed = null;
  window.bench = [];
  document.addEventListener('pointerdown', () => { pressed = performance.now(); }, true);
  new MutationObserver(async () => {
    if (pressed === null) return;
    const began = pressed;
    pressed = null;
    await image.decode().catch(() => null);
    requestAnimationFrame(() => setTimeout(() => window.bench.push(performance.now() - began)));
  }).observe(viewer, { attributes: true, attributeFilter: ['data-frame'] });
}"""
# From the last byte of the answer to the upload to the first curve in the timeline, in ms.
CURVE_JS = """() => new Promise((done) => {
  const look = () => {
    if (!document.querySelector('.aw-tl-plot path.js-line')) return requestAnimationFrame(look);
    const uploads = performance.getEntriesByType('resource').filter((entry) => /\\/upload(\\?|$)/.test(entry.name));
    done(performance.now() - Math.max(...uploads.map((entry) => entry.responseEnd)));
  };
  look();
})"""
# How long each key press waited before a handler ran, in ms.
DELAY_JS = """() => {
  window.delays = [];
  document.addEventListener('keydown', (event) => window.delays.push(performance.now() - event.timeStamp), true);
}"""


def page_rows(folder: Path, _options: argparse.Namespace) -> list[Row]:
    """Start, seeking in a 1080p clip, the first curve of ten minutes, input delay meanwhile, eight at once."""
    large = draw_clip(folder / "large.mp4", seconds=10, size=(1920, 1080))
    long = draw_clip(folder / "long.mp4", seconds=LONG_S, size=(320, 240), seed=1)
    crowd = [draw_clip(folder / f"visitor-{n}.mp4", seconds=4, size=(320, 240), seed=10 + n) for n in range(VISITORS)]
    with _chromium() as browser:
        began = time.perf_counter()
        with running_app(folder, SAMPLES) as app:
            analyst = Analyst(_page(browser), app.url)
            rows = [Row("start to usable page", f"{time.perf_counter() - began:.1f} s", "at most 12 s")]
            rows += _seek_rows(analyst, large)
            rows += _long_rows(Analyst(_page(browser), app.url), long)
            rows += _crowd_rows(browser, app.url, crowd)
    return rows


@contextmanager
def _chromium() -> Iterator[Browser]:
    path = find_browser()
    if path is None:
        raise BenchmarkError("there is no Chromium; run: make chromium")
    expect.set_options(timeout=LIMIT_MS)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=["--no-sandbox"], timeout=LIMIT_MS)


def _page(browser: Browser) -> Page:
    page = browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
    page.set_default_timeout(LIMIT_MS)
    page.set_default_navigation_timeout(LIMIT_MS)
    return page


def _seek_rows(analyst: Analyst, clip: Path) -> list[Row]:
    analyst.upload(clip)
    analyst.wait_until_analysed()
    analyst.page.evaluate(SEEK_JS)
    curve = analyst.timeline.get_by_role("img", name="Anomaly score over time")
    box = curve.bounding_box()
    assert box is not None
    for n in range(SEEKS):  # far apart and never the same, so that no frame is in the page's cache
        share = 0.05 + 0.9 * ((n * 7) % SEEKS) / SEEKS
        curve.click(position={"x": share * box["width"], "y": box["height"] * 0.7})
        analyst.page.wait_for_function("(count) => window.bench.length >= count", arg=n + 1)
    times = analyst.page.evaluate("window.bench")
    worst = f"{max(times):.0f} ms worst of {len(times)}"
    return [
        Row(
            "click on the timeline to frame, 1080p",
            f"{statistics.median(times):.0f} ms median, {worst}",
            "at most 300 ms",
        )
    ]


def _long_rows(analyst: Analyst, clip: Path) -> list[Row]:
    page = analyst.page
    page.evaluate(DELAY_JS)
    analyst.upload(clip)
    first_ms = page.evaluate(CURVE_JS)
    progress = page.get_by_role("progressbar", name="Progress")
    analyst.viewer.focus()
    for _ in range(KEYS):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(150)
    busy = progress.count() == 1  # else the clip was done before the last key, and the delay says little
    delays = page.evaluate("window.delays")
    page.get_by_role("button", name="Cancel").click()
    expect(progress).to_have_count(0)
    note = "" if busy else ", but the analysis ended meanwhile"
    return [
        Row(f"{LONG_S // 60} min clip: upload to first curve", f"{first_ms / 1000:.1f} s", "at most 5 s"),
        Row("  input delay meanwhile", f"{max(delays):.0f} ms worst of {len(delays)}{note}", "under 200 ms"),
    ]


def _crowd_rows(browser: Browser, url: str, clips: list[Path]) -> list[Row]:
    visitors = [Analyst(_page(browser), url) for _ in clips]
    began = time.perf_counter()
    for visitor, clip in zip(visitors, clips, strict=True):
        visitor.upload(clip)
    mixed = 0
    for visitor, clip in zip(visitors, clips, strict=True):
        shown = visitor.page.locator("#aw-clip")
        expect(shown).to_contain_text(clip.stem)
        visitor.wait_until_analysed()
    wall_s = time.perf_counter() - began
    for visitor, clip in zip(visitors, clips, strict=True):
        seen = set(re.findall(r"visitor-\d", visitor.page.locator("#aw-main").inner_text()))
        mixed += seen != {clip.stem}
    said = f"all done after {wall_s:.1f} s, {mixed} saw another's"
    return [Row(f"{len(clips)} visitors at once, 4 s each", said, "all finish, 0")]
