"""The picture on the page: layers, speed, the player beside it, and the loop around an event."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests import drawn
from tests.browser_support import ANSWER_LIMIT_MS, Analyst
from workbench.video import Clip

pytestmark = pytest.mark.browser
# Notes the frame and the time that are told while the clip plays and what is drawn over it is there.
TOLD_JS = """() => {
  const told = window.told = [], text = (name) => document.querySelector(name).textContent;
  let ready = null;
  const look = () => {
    ready ??= performance.now() + 500;
    if (performance.now() > ready && document.querySelector('.aw-stage.is-playing'))
      told.push([text('.aw-count').split(' /')[0], text('.aw-time')]);
    requestAnimationFrame(look);
  };
  look();
}"""
# Notes everything that the line beside the clip's name says.
NOTES_JS = """() => {
  const seen = window.notes = new Set(), line = document.querySelector('#aw-progress');
  const look = new MutationObserver(() => seen.add(line.textContent.trim()));
  look.observe(line, { childList: true, subtree: true, characterData: true });
}"""


def test_the_player_follows_the_picture_and_play_goes_on_from_there(analyst: Analyst) -> None:
    analyst.pick_sample("fire")
    analyst.viewer.focus()
    analyst.page.keyboard.press("Home")
    for _ in range(30):
        analyst.page.keyboard.press("ArrowRight")
    analyst.expect_frame(30)
    near = "(t) => Math.abs(document.querySelector('#aw-video video').currentTime - t) < 0.03"
    analyst.page.wait_for_function(near, arg=30 / 15)
    analyst.page.get_by_label("Playback speed").select_option("0.25")
    analyst.viewer.focus()
    analyst.page.keyboard.press("Space")
    analyst.page.wait_for_function("document.querySelector('#aw-video video').currentTime > 2.2")
    assert analyst.page.evaluate("document.querySelector('#aw-video video').playbackRate") == 0.25
    analyst.page.keyboard.press("Space")
    expect(analyst.viewer.get_by_role("button", name="Play", exact=True)).to_be_visible()
    stopped_at = analyst.page.evaluate("document.querySelector('#aw-video video').currentTime")
    analyst.expect_frame(int(stopped_at * 15 + 0.01))
    assert analyst.frame() >= 33


def test_who_goes_elsewhere_while_it_plays_gets_there(analyst: Analyst) -> None:
    analyst.pick_sample("fire")
    stage, row = analyst.page.locator(".aw-stage"), analyst.page.locator(".aw-ev tbody tr").first
    row.click()
    expect(analyst.viewer).not_to_have_attribute("data-frame", "0")
    there = analyst.frame()
    analyst.page.keyboard.press("Home")
    analyst.expect_frame(0)
    analyst.page.keyboard.press("Space")
    expect(stage).to_have_class(re.compile("is-playing"))
    row.click()
    expect(stage).not_to_have_class(re.compile("is-playing"))
    analyst.page.wait_for_timeout(500)  # what the player says of its pause comes later
    analyst.expect_frame(there)
    assert analyst.page.locator(".aw-count").inner_text().startswith(f"{there} /")


def test_a_clip_that_is_opened_while_another_plays_is_shown(analyst: Analyst) -> None:
    analyst.pick_sample("fire")
    analyst.viewer.focus()
    analyst.page.keyboard.press("Home")
    analyst.page.keyboard.press("Space")
    expect(analyst.page.locator(".aw-stage")).to_have_class(re.compile("is-playing"))
    analyst.page.get_by_role("button", name="Sample: robbery").first.click()
    expect(analyst.page.locator("#aw-clip")).to_contain_text("robbery_", timeout=ANSWER_LIMIT_MS)
    analyst.wait_until_analysed()
    expect(analyst.page.locator(".aw-stage")).not_to_have_class(re.compile("is-playing"))
    expect(analyst.viewer.get_by_role("button", name="Play", exact=True)).to_be_visible()
    analyst.viewer.focus()
    analyst.page.keyboard.press("Home")
    analyst.expect_frame(0)
    analyst.page.keyboard.press("ArrowRight")
    analyst.expect_frame(1)
    expect(analyst.page.locator(".aw-count")).to_have_text(re.compile(r"^1 /"))


def test_a_playing_clip_of_uneven_frames_tells_the_frame_on_screen(analyst: Analyst, tmp_path: Path) -> None:
    pts = [200 * i for i in range(10)] + [2000 + 40 * i for i in range(70)]
    path = drawn.write_clip(tmp_path / "uneven.mp4", n_frames=80, pts=pts, time_base=Fraction(1, 1000))
    analyst.upload(path)
    analyst.wait_until_analysed()
    analyst.viewer.focus()
    analyst.page.keyboard.press("Home")
    analyst.expect_frame(0)
    analyst.page.keyboard.press("Space")
    analyst.page.evaluate(TOLD_JS)
    analyst.page.wait_for_function("document.querySelector('#aw-video video').currentTime > 3")
    analyst.page.keyboard.press("Space")
    told = [(int(frame), float(time.split(":")[1])) for frame, time in analyst.page.evaluate("window.told")]
    assert len(told) > 10
    with Clip.open(path) as clip:
        assert all(frame in {clip.index_at(t - 2e-3), clip.index_at(t + 2e-3)} for frame, t in told)
        assert {frame for frame, _ in told} & set(range(10, 80))


def test_heat_is_as_strong_as_it_is_set(analyst: Analyst) -> None:
    analyst.pick_sample("fire")
    heat = analyst.viewer.locator("img.aw-heat")
    expect(heat).to_be_visible()
    expect(heat).to_have_css("opacity", "0.6")
    analyst.viewer.get_by_label("Heatmap opacity").fill("25")
    expect(heat).to_have_css("opacity", "0.25")
    analyst.viewer.get_by_role("button", name="Heat", exact=True).click()
    expect(heat).to_be_hidden()
    analyst.page.keyboard.press("h")
    expect(heat).to_be_visible()


@pytest.mark.parametrize(
    ("name", "codec"),
    [("old camera.avi", "mpeg4"), ("new camera.mkv", "libx265")],
)
def test_a_clip_browsers_cannot_play_gets_a_copy_they_can(
    analyst: Analyst, tmp_path: Path, name: str, codec: str
) -> None:
    analyst.page.evaluate(NOTES_JS)
    path = drawn.write_clip(tmp_path / name, n_frames=90 + len(codec), codec=codec)
    analyst.upload(path)
    analyst.wait_until_analysed()
    video = analyst.page.locator("#aw-video video")
    expect(video).to_have_attribute("src", re.compile(r"\.mp4"), timeout=ANSWER_LIMIT_MS)
    assert any(note.startswith("preparing the player") for note in analyst.page.evaluate("[...window.notes]"))
    analyst.viewer.focus()
    analyst.page.keyboard.press("Home")
    analyst.page.keyboard.press("ArrowRight")
    analyst.expect_frame(1)
    assert drawn.number_in(analyst.picture()) == 1  # of the original
    analyst.page.keyboard.press("Space")
    analyst.page.wait_for_function("document.querySelector('#aw-video video').currentTime > 0.1")


def test_play_says_why_when_there_is_nothing_to_play_yet(analyst: Analyst, tmp_path: Path) -> None:
    analyst.upload(drawn.write_clip(tmp_path / "long.avi", drawn.moving_square, n_frames=1460, codec="mpeg4"))
    analyst.expect_frame(0)
    analyst.viewer.focus()
    analyst.page.keyboard.press("Space")
    expect(analyst.viewer.locator(".aw-note")).to_contain_text("still being made")
    analyst.page.get_by_role("button", name="Cancel").click()


def test_the_event_plays_in_a_loop_with_its_overlays(new_analyst: Callable[..., Analyst]) -> None:
    analyst = new_analyst("desktop", "light")
    analyst.pick_sample("robbery")
    analyst.page.get_by_label("Playback speed").select_option("8")
    span = analyst.page.evaluate("new Promise((done) => window.aw.on('events', (value) => done(value.events[0])))")
    analyst.viewer.get_by_role("button", name="Loop the event").click()
    expect(analyst.viewer.get_by_role("button", name="Pause")).to_be_visible()
    # The playhead comes back to the start: a later moment is seen before an earlier one, and none outside.
    seen = analyst.page.evaluate(
        """() => new Promise((done) => {
          const video = document.querySelector('#aw-video video'), times = [];
          const look = () => {
            times.push(video.currentTime);
            const back = times.findIndex((t, i) => i && t < times[i - 1] - 0.1);
            if (back > 0 && times.length > back + 5) done(times); else requestAnimationFrame(look);
          };
          look();
        })"""
    )
    assert min(seen) >= span["start_s"] - 0.1
    assert max(seen) <= span["end_s"] + 1.0  # one picture at eight times the speed may overshoot on a busy machine
    analyst.snap("loop-light")
    analyst.viewer.get_by_role("button", name="Pause").click()
    expect(analyst.viewer.get_by_role("button", name="Play", exact=True)).to_be_visible()
