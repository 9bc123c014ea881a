"""The page as a person uses it: the real app, a real Chromium, clips with known truth."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from tests import bad_clips, drawn
from tests.browser_support import ANSWER_LIMIT_MS, PRESS_WHEN_SEEN_JS, SAMPLES, Analyst, RunningApp
from workbench.video import Clip

pytestmark = pytest.mark.browser
# Whether any of these lies over another one.
OVERLAP_JS = """(nodes) => {
  const boxes = nodes.map((node) => node.getBoundingClientRect());
  const before = (a, b) => a.right <= b.left + 1 || a.bottom <= b.top + 1;
  const apart = (a, b) => before(a, b) || before(b, a);
  return boxes.some((a, i) => boxes.slice(0, i).some((b) => !apart(a, b)));
}"""
# Notes, in every picture drawn while work runs, how much of the line the name of the clip has.
WIDTHS_JS = """() => {
  const widths = window.widths = [];
  const look = () => {
    const name = document.querySelector('#aw-clip strong');
    if (document.querySelector('[role=progressbar][aria-label=Progress]')) widths.push(name.clientWidth);
    requestAnimationFrame(look);
  };
  look();
}"""


def sample_clip(name: str) -> Clip:
    return Clip.open(next((SAMPLES / "clips").glob(f"{name}*.mp4")))


def assert_shows(picture: np.ndarray, clip: Clip, index: int) -> None:
    """`picture` is that frame up to what JPEG does to it, and nearer to it than to its neighbours."""
    around = range(max(0, index - 1), min(clip.n_frames, index + 2))
    far = {i: float(np.abs(picture - clip.frame(i).astype(int)).mean()) for i in around}
    assert far[index] < 2
    assert min(far, key=lambda i: far[i]) == index


def test_the_address_is_told_at_once_in_a_log_too(app: RunningApp) -> None:
    """Its output goes to a file here, as under a service: nobody waits there for a buffer to fill."""
    deadline = time.monotonic() + 20
    while not app.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert f"The Anomaly Workbench is at {app.url} (Ctrl-C ends it)." in app.log.read_text()


def test_a_sample_is_analysed_and_its_curve_appears(analyst: Analyst) -> None:
    analyst.snap("empty")
    analyst.record()
    analyst.pick_sample("fire")
    assert analyst.recorded("stages")
    expect(analyst.timeline.locator(".aw-tl-plot path.js-line").first).to_be_visible()
    drawn = analyst.page.evaluate("document.querySelector('.aw-tl-plot').data.map((trace) => trace.name)")
    assert {"score", "scorer", "motion", "heatmap", "above"} <= set(drawn)
    assert len(analyst.timeline.get_by_role("button", name=re.compile("Sampled frame")).all()) > 0
    expect(analyst.page.get_by_role("button", name="Cancel")).to_be_hidden()
    analyst.snap("analysed")


def test_the_peak_shows_exactly_that_frame(analyst: Analyst) -> None:
    analyst.pick_sample("fire")
    analyst.page.keyboard.press("Home")
    analyst.expect_frame(0)
    peak = analyst.timeline.get_by_role("button", name="Peak of event 1")
    peak.click()
    expect(analyst.viewer).not_to_have_attribute("data-frame", "0")
    index = analyst.frame()
    analyst.expect_frame(index)
    with sample_clip("fire") as clip:
        assert_shows(analyst.picture(), clip, index)


def test_a_click_on_the_timeline_goes_to_that_time(analyst: Analyst) -> None:
    analyst.pick_sample("fire")
    curve = analyst.timeline.get_by_role("img", name="Anomaly score over time")
    box = curve.bounding_box()
    assert box is not None
    with sample_clip("fire") as clip:
        left, right = 34, 12  # margins of the drawing, as in timeline.js
        x = left + 0.3 * (box["width"] - left - right)
        curve.click(position={"x": x, "y": box["height"] * 0.75})
        analyst.expect_frame(clip.index_at(0.3 * clip.info.duration_s))


def test_arrow_keys_step_exactly_one_frame(analyst: Analyst) -> None:
    analyst.pick_sample("fire")
    analyst.viewer.focus()
    analyst.page.keyboard.press("Home")
    analyst.expect_frame(0)
    for expected in (1, 2, 3):
        analyst.page.keyboard.press("ArrowRight")
        analyst.expect_frame(expected)
    analyst.page.keyboard.press("ArrowLeft")
    analyst.expect_frame(2)
    with sample_clip("fire") as clip:
        assert_shows(analyst.picture(), clip, 2)
        analyst.page.keyboard.press("End")
        analyst.expect_frame(clip.n_frames - 1)
        analyst.page.keyboard.press("ArrowRight")
        analyst.expect_frame(clip.n_frames - 1)


def test_typing_a_question_does_not_move_the_picture(analyst: Analyst) -> None:
    analyst.pick_sample("fire")
    expect(analyst.viewer).not_to_have_attribute("data-frame", "0")  # the page goes to the peak by itself
    before = analyst.frame()
    box = analyst.page.get_by_role("textbox", name="Question")
    box.fill("him")
    box.press("ArrowLeft")
    box.press("Home")
    analyst.expect_frame(before)


def test_an_answer_streams_and_names_its_evidence(analyst: Analyst) -> None:
    analyst.pick_sample("fire")
    answer = analyst.ask("Judgement")
    expect(answer).to_have_text(re.compile(r"\w{2,}"), timeout=ANSWER_LIMIT_MS)
    analyst.expect_ready()
    chip = analyst.page.locator(".aw-chip").first
    expect(chip).to_be_visible()
    analyst.viewer.focus()
    analyst.page.keyboard.press("End")
    last = analyst.frame()
    chip.click()
    expect(analyst.viewer).not_to_have_attribute("data-frame", str(last))
    analyst.ask("Description")
    analyst.expect_ready()
    analyst.snap("chat")


def test_stop_ends_the_answer(analyst: Analyst) -> None:
    analyst.pick_sample("robbery")
    for _ in range(8):  # the small stack can finish an answer before the click arrives; it does not win every time
        analyst.page.evaluate(PRESS_WHEN_SEEN_JS, "Stop")
        answer = analyst.ask("Description")  # the longest of the three
        analyst.expect_ready()
        if "stopped" in answer.inner_text():
            break
    expect(answer).to_contain_text("stopped")
    analyst.ask("Judgement")
    analyst.expect_ready()


def test_instances_get_cards_masks_and_boxes(analyst: Analyst) -> None:
    analyst.pick_sample("fire")
    analyst.page.get_by_role("tab", name="Instances").click()
    analyst.page.get_by_role("button", name="Find instances").click()
    card = analyst.page.get_by_role("article", name=re.compile("Instance 1")).first
    expect(card).to_be_visible(timeout=ANSWER_LIMIT_MS)
    card.click()
    expect(analyst.viewer.locator(".aw-boxes text").first).to_be_visible()
    expect(analyst.viewer.locator("img.aw-masks")).to_be_visible()
    analyst.viewer.focus()
    analyst.page.keyboard.press("m")
    expect(analyst.viewer.locator("img.aw-masks")).to_be_hidden()
    analyst.page.keyboard.press("m")
    for question in ("Judgement", "Description"):
        analyst.ask(question)
        analyst.expect_ready()
    analyst.timeline.get_by_role("button", name="Peak of event 1").click()
    expect(analyst.viewer.locator(".aw-boxes text").first).to_be_visible()
    assert not analyst.viewer.locator(".aw-boxes .aw-tag").evaluate_all(OVERLAP_JS)
    analyst.page.mouse.move(400, 700)
    analyst.snap("page")


TAGS_JS = """() => {
  const tags = [...document.querySelectorAll('#aw-viewer .aw-tag')].map((node) => node.getBoundingClientRect());
  const before = (a, b) => a.left < b.right - 0.5 && a.top < b.bottom - 0.5;
  const meet = (a, b) => before(a, b) && before(b, a);
  return [tags.length, tags.some((a, i) => tags.slice(i + 1).some((b) => meet(a, b)))];
}"""


def test_labels_hide_each_other_in_no_frame(analyst: Analyst) -> None:
    analyst.pick_sample("robbery")
    analyst.page.get_by_role("tab", name="Instances").click()
    analyst.page.get_by_role("button", name="Find instances").click()
    expect(analyst.page.get_by_role("article", name=re.compile("Instance 2")).first).to_be_visible(
        timeout=ANSWER_LIMIT_MS
    )
    analyst.timeline.get_by_role("button", name="Peak of event 1").click()
    expect(analyst.viewer.locator(".aw-boxes text").nth(1)).to_be_visible()
    analyst.snap("labels")
    analyst.viewer.focus()
    most = 0
    for _ in range(15):
        count, meet = analyst.page.evaluate(TAGS_JS)
        assert not meet
        most = max(most, count)
        here = analyst.frame()
        analyst.page.keyboard.press("ArrowLeft")
        analyst.expect_frame(here - 1)
    assert most >= 2


def test_two_visitors_do_not_mix(new_analyst: Callable[..., Analyst]) -> None:
    first, second = new_analyst(), new_analyst("desktop", "light")
    first.page.get_by_role("button", name="Sample: fire").click()
    second.page.get_by_role("button", name="Sample: robbery").click()
    first.wait_until_analysed()
    second.wait_until_analysed()
    second.snap("desktop-light")
    expect(first.page.get_by_role("main")).to_contain_text("fire_")
    expect(second.page.get_by_role("main")).to_contain_text("robbery_")
    mine, theirs = first.answers().count(), second.answers().count()  # the store keeps what earlier tests asked
    first.ask("Judgement")
    first.expect_ready()
    expect(first.answers()).to_have_count(mine + 1)
    expect(second.answers()).to_have_count(theirs)
    assert first.picture().tobytes() != second.picture().tobytes()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda path: path.write_text("no film") and path, "video", id="text renamed to .mp4"),
        pytest.param(lambda path: path.write_bytes(b"") == 0 and path, "empty", id="empty file"),
        pytest.param(bad_clips.sound_only, "picture|video", id="sound only"),
    ],
)
def test_a_bad_upload_is_told_and_loses_nothing(
    analyst: Analyst, tmp_path: Path, make: Callable[[Path], Path], said: str
) -> None:
    analyst.pick_sample("normal life")
    before = analyst.frame()
    analyst.upload(make(tmp_path / "broken clip.mp4"))
    toast = analyst.page.get_by_test_id("toast-body")
    expect(toast).to_contain_text("broken clip.mp4")
    expect(toast).not_to_contain_text("/")
    expect(toast).to_contain_text(re.compile(said, re.IGNORECASE))
    analyst.expect_frame(before)
    assert int(analyst.timeline.get_attribute("data-points") or 0) > 0
    expect(analyst.page.get_by_text("Error", exact=True).locator("visible=true")).to_have_count(1)
    analyst.snap("toast")


def test_an_uploaded_clip_with_spaces_and_umlauts_is_analysed(analyst: Analyst, tmp_path: Path) -> None:
    path = drawn.write_clip(tmp_path / "Straße am Abend.mp4", n_frames=50)
    analyst.record()
    analyst.upload(path)
    analyst.wait_until_analysed()
    assert analyst.recorded("stages")
    analyst.viewer.focus()
    analyst.page.keyboard.press("Home")
    for expected in (1, 2):
        analyst.page.keyboard.press("ArrowRight")
        analyst.expect_frame(expected)
    assert drawn.number_in(analyst.picture()) == 2


def test_cancel_brings_the_page_back(analyst: Analyst, tmp_path: Path) -> None:
    analyst.pick_sample("normal life")
    before = analyst.frame()
    analyst.page.evaluate(PRESS_WHEN_SEEN_JS, "Cancel")
    analyst.upload(drawn.write_clip(tmp_path / "long.mp4", drawn.moving_square, n_frames=1500))
    expect(analyst.page.get_by_role("main")).to_contain_text("cancelled", timeout=ANSWER_LIMIT_MS)
    expect(analyst.page.get_by_role("main")).to_contain_text("normal_")
    analyst.expect_frame(before)


def test_nothing_moves_while_a_clip_is_analysed(analyst: Analyst) -> None:
    analyst.record()
    analyst.pick_sample("robbery")
    analyst.ask("Judgement")
    analyst.expect_ready()
    assert len(analyst.recorded("places")) == 1
    assert analyst.page.evaluate("document.documentElement.scrollHeight <= innerHeight && scrollX === 0")


def test_the_name_of_the_clip_can_be_read_while_work_runs(analyst: Analyst) -> None:
    analyst.pick_sample("collision")
    analyst.page.evaluate(WIDTHS_JS)
    analyst.page.get_by_role("tab", name="Instances").click()
    analyst.page.get_by_role("button", name="Find instances").click()
    expect(analyst.page.get_by_role("article", name="Instance 1,")).to_be_visible(timeout=ANSWER_LIMIT_MS)
    widths = analyst.page.evaluate("window.widths")
    assert widths
    assert min(widths) > 110


def test_no_visitor_is_counted_and_no_clip_stays_in_a_browser(analyst: Analyst) -> None:
    settings = analyst.page.evaluate("window.gradio_config")
    assert (settings["analytics_enabled"], settings["run_history"]) == (False, False)


def test_programs_can_analyse_and_ask(app: RunningApp) -> None:
    from gradio_client import Client, handle_file

    client = Client(app.url, verbose=False)
    named = {"/analyze", "/ask", "/correct", "/export", "/train_status", "/annotate", "/push"}
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == named
    assert client.predict("", api_name="/train_status")["state"] == "none"
    clip = handle_file(str(next((SAMPLES / "clips").glob("fire*.mp4"))))
    document = client.predict(clip, api_name="/analyze")
    assert len(document["frame_score"]) == document["clip"]["n_frames"]
    assert document["clip"]["name"].startswith("fire_")
    assert "path" not in document["clip"]
    answer = client.predict(clip, "judgement", api_name="/ask")
    assert answer["kind"] == "judgement"
    assert answer["answer"]
