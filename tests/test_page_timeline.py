"""The timeline on the page: what it shows while and after a clip is analysed, and which stretch of it is on show."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Locator, expect

from tests import drawn
from tests.browser_support import ANSWER_LIMIT_MS, SAMPLES, Analyst
from tests.editing_support import LEFT, RIGHT, duration_s, open_sample
from workbench.video import Clip

pytestmark = pytest.mark.browser
# Notes, in every picture drawn, how many points the curve has while the clip is still being analysed.
GROWTH_JS = """() => {
  const seen = window.grown = [];
  const look = () => {
    const plot = document.querySelector('.aw-tl-plot'), drawn = plot?.querySelector('path.js-line') ? plot.data : [];
    const part = drawn.find((trace) => trace.name === 'motion'), done = drawn.some((trace) => trace.name === 'score');
    if (!done && document.querySelector('[role=progressbar][aria-label=Progress]')) {
      const points = part ? part.x.length : 0;
      if (points !== seen.at(-1)) seen.push(points);
    }
    requestAnimationFrame(look);
  };
  look();
}"""


def view(analyst: Analyst) -> tuple[float, float]:
    """The stretch on show, in seconds."""
    start, end = (analyst.timeline.get_attribute("data-view") or "").split()
    return float(start), float(end)


def span(analyst: Analyst) -> float:
    start, end = view(analyst)
    return end - start


def curve(analyst: Analyst) -> Locator:
    return analyst.timeline.get_by_role("img", name="Anomaly score over time")


def first_event(analyst: Analyst) -> dict:
    return analyst.page.evaluate("new Promise((done) => window.aw.on('events', (value) => done(value.events[0])))")


def fire() -> Clip:
    return Clip.open(next((SAMPLES / "clips").glob("fire_*.mp4")))


def test_the_curve_grows_while_the_clip_is_analysed(analyst: Analyst, tmp_path: Path) -> None:
    analyst.page.evaluate(GROWTH_JS)
    analyst.upload(drawn.write_clip(tmp_path / "growing.mp4", drawn.moving_square, n_frames=1450))
    analyst.wait_until_analysed()
    grown = analyst.page.evaluate("window.grown")
    assert len([points for points in grown if points]) >= 2
    assert grown == sorted(grown)  # and it stays while later stages run
    assert int(analyst.timeline.get_attribute("data-points") or 0) >= grown[-1]


def test_a_marker_shows_the_frame_that_was_read(analyst: Analyst) -> None:
    open_sample(analyst, "fire")
    marks = analyst.timeline.get_by_role("button", name=re.compile("Sampled frame"))
    expect(analyst.timeline.locator(".aw-uniform")).to_have_count(marks.count())
    mark = marks.nth(marks.count() // 2)
    frame = int(mark.get_attribute("data-mark") or -1)
    mark.hover()
    tip = analyst.timeline.locator(".aw-tip")
    expect(tip).to_contain_text(f"frame {frame} ")
    expect(tip.locator("img")).to_have_attribute("src", re.compile("^data:image/jpeg"))
    analyst.snap("timeline-hover")
    raw = base64.b64decode((tip.locator("img").get_attribute("src") or "").split(",", 1)[1])
    picture = cv2.cvtColor(cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    with fire() as clip:
        far = {at: np.abs(picture - clip.thumbnail(at, 160).astype(int)).mean() for at in (0, frame)}
    assert far[frame] < min(6, far[0])
    mark.click()
    analyst.expect_frame(frame)
    analyst.page.mouse.move(5, 5)
    expect(tip).to_be_hidden()


def test_the_view_zooms_and_goes_along_with_the_playhead(analyst: Analyst) -> None:
    open_sample(analyst, "fire")
    zoom, playhead = analyst.timeline.get_by_role("group", name="Zoom"), analyst.timeline.locator(".aw-playhead")
    expect(zoom.get_by_role("button", name="Whole clip")).to_be_disabled()
    event = first_event(analyst)
    analyst.viewer.focus()
    analyst.page.keyboard.press("z")
    start, end = view(analyst)
    assert 0 < start < event["start_s"] < event["end_s"] <= end
    analyst.snap("timeline-zoomed")
    analyst.page.keyboard.press("Home")
    analyst.expect_frame(0)
    assert view(analyst) == pytest.approx((0, end - start), abs=0.01)
    expect(playhead).to_have_attribute("visibility", "visible")
    for _ in range(3):
        analyst.page.keyboard.press(".")
    near = span(analyst)
    assert near == pytest.approx((end - start) / 8, abs=0.01)
    frames = int(near * 15) + 2  # one more than the view holds: the playhead leaves it at its right
    for _ in range(frames):
        analyst.page.keyboard.press("ArrowRight")
    analyst.expect_frame(frames)
    assert view(analyst)[0] > 0
    assert span(analyst) == pytest.approx(near, abs=0.01)
    expect(playhead).to_have_attribute("visibility", "visible")
    analyst.page.keyboard.press(",")
    assert span(analyst) == pytest.approx(2 * near, abs=0.01)
    zoom.get_by_role("button", name="Whole clip").click()
    assert view(analyst) == pytest.approx((0, duration_s(analyst)), abs=0.05)
    expect(analyst.timeline.locator(".aw-strip-view")).to_have_count(0)


def test_the_view_is_moved_by_strip_and_wheel_and_a_click_still_means_its_time(analyst: Analyst) -> None:
    open_sample(analyst, "fire")
    zoom, mouse = analyst.timeline.get_by_role("group", name="Zoom"), analyst.page.mouse
    analyst.viewer.focus()
    analyst.page.keyboard.press("Home")
    analyst.expect_frame(0)
    zoom.get_by_role("button", name="Zoom in").click()
    zoom.get_by_role("button", name="Zoom in").click()
    near, duration = span(analyst), duration_s(analyst)
    assert near == pytest.approx(duration / 4, abs=0.05)
    box, window = curve(analyst).bounding_box(), analyst.timeline.locator(".aw-strip-view").bounding_box()
    assert box
    assert window
    width = box["width"] - LEFT - RIGHT
    x, y = window["x"] + window["width"] / 2, window["y"] + window["height"] / 2
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 50, y)
    mouse.move(x + 100, y)
    mouse.up()
    assert view(analyst)[0] == pytest.approx(100 / width * duration, abs=0.05)
    assert analyst.frame() == 0  # the picture stays
    mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    before = view(analyst)[0]
    mouse.wheel(0, 120)
    expect(analyst.timeline).not_to_have_attribute("data-view", re.compile(f"^{before:.3f} "))
    start, end = view(analyst)
    assert start == pytest.approx(before + 120 / width * near, abs=0.05)
    curve(analyst).click(position={"x": LEFT + 0.25 * width, "y": 0.6 * box["height"]})
    with fire() as clip:
        analyst.expect_frame(clip.index_at(start + 0.25 * (end - start)))
    analyst.page.keyboard.down("Control")
    mouse.wheel(0, -200)
    analyst.page.keyboard.up("Control")
    expect(analyst.timeline).not_to_have_attribute("data-view", f"{start:.3f} {end:.3f}")
    assert span(analyst) < near


def test_evidence_of_an_answer_is_marked_on_the_timeline(analyst: Analyst) -> None:
    open_sample(analyst, "fire")
    analyst.page.get_by_role("tab", name="Instances").click()
    analyst.page.get_by_role("button", name="Find instances").click()
    expect(analyst.page.get_by_role("article", name="Instance 1,")).to_be_visible(timeout=ANSWER_LIMIT_MS)
    analyst.ask("Judgement")
    analyst.expect_ready()
    chips, cited = analyst.chat.locator(".aw-chip"), analyst.timeline.locator(".aw-cited rect")
    expect(cited).to_have_count(0)
    said = re.split("–", chips.first.inner_text())
    chips.first.click()
    expect(cited.locator("title")).to_have_text(f"Evidence: {said[0]} to {said[1]}")
    analyst.snap("timeline-evidence")
    marked, event = cited.bounding_box(), analyst.timeline.locator(".aw-span-band").first.bounding_box()
    assert marked
    assert event
    assert marked["x"] == pytest.approx(event["x"], abs=3)
    who = chips.and_(analyst.page.locator(".is-who")).first
    number = who.inner_text().split()[0]
    who.click()
    expect(analyst.page.get_by_role("article", name=f"Instance {number},")).to_have_attribute("aria-current", "true")
    expect(analyst.viewer.locator(".aw-boxes .is-current")).to_have_count(1)
    analyst.page.get_by_role("article", name=f"Instance {number},").click(position={"x": 6, "y": 6})
    analyst.page.keyboard.press("Space")
    expect(analyst.viewer.get_by_role("button", name="Pause")).to_be_visible()
    analyst.page.keyboard.press("Space")
    expect(analyst.viewer.get_by_role("button", name="Play", exact=True)).to_be_visible()
    analyst.page.keyboard.press("Home")
    curve(analyst).click(position={"x": LEFT + 20, "y": 90})
    expect(cited).to_have_count(0)


def test_another_clip_is_shown_as_a_whole(new_analyst: Callable[..., Analyst]) -> None:
    analyst = new_analyst("desktop", "light")
    open_sample(analyst, "fire")
    analyst.viewer.focus()
    analyst.page.keyboard.press("z")
    assert view(analyst)[0] > 0
    analyst.snap("timeline-zoomed-light")
    open_sample(analyst, "robbery")
    assert view(analyst) == pytest.approx((0, duration_s(analyst)), abs=0.05)
