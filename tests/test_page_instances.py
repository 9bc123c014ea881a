"""Instances and answers on the page, as an analyst works on them: prompted, tracked, amended, undone, kept in history.

Each test uses a sample of its own, because what is corrected stays in the store of the app that they share.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser_support import ANSWER_LIMIT_MS, PIXELS_JS, REPOSITORY, Analyst, RunningApp, running_app
from workbench.corrections import history
from workbench.corrections.clips import current
from workbench.corrections.store import Store
from workbench.masks import decode_rle, mask_box
from workbench.records import ReviewedClip
from workbench.video import Clip

pytestmark = pytest.mark.browser
SAMPLES = REPOSITORY / "assets" / "samples"
LEAST_IOU = 0.5
COVERS, MOST_CLICKS = 0.7, 6
LEAST_TRACK_IOU = 0.4  # over all frames of the event, of the one sample in which nothing passes before the object


class Truth:
    """What a sample is known to show."""

    def __init__(self, title: str) -> None:
        self.path = next((SAMPLES / "truth").glob(f"{title}_*.json"))
        self.document: dict[str, Any] = json.loads(self.path.read_text("utf-8"))

    def tracks(self, kinds: tuple[str, ...], only: Collection[int] | None = None) -> list[dict[int, np.ndarray]]:
        """The masks by frame of every thing of these kinds."""
        found = [entity["id"] for entity in self.document["entities"] if entity["kind"] in kinds]
        ids = [str(i) for i in found if only is None or i in only]
        return [{int(i): decode_rle(rle) for i, rle in self.document["masks"].get(name, {}).items()} for name in ids]

    def clearest(
        self, kinds: tuple[str, ...], frames: range | None = None, only: Collection[int] | None = None
    ) -> tuple[int, dict[int, np.ndarray]]:
        """The frame on which such a thing is largest, and all masks of that thing; of the entities `only` if given."""
        sizes = {
            (int(mask.sum()), frame, number): track
            for number, track in enumerate(self.tracks(kinds, only))
            for frame, mask in track.items()
            if frames is None or frame in frames
        }
        best = max(sizes)
        return best[1], sizes[best]


class Kept:
    """What the app's store says of a sample."""

    def __init__(self, work_dir: Path, title: str) -> None:
        self.store = Store(work_dir / "corrections.db", read_only=True)
        with Clip.open(next((SAMPLES / "clips").glob(f"{title}_*.mp4"))) as clip:
            self.sha256 = clip.info.sha256

    def clip(self) -> ReviewedClip:
        return current(self.store, self.sha256)

    def rows(self, subject: str) -> list:
        """Rows about a kind of thing that a person wrote, newest first."""
        page = history.page(self.store, clip=self.clip().clip.id, limit=200)
        return [row for row in page if row.subject == subject and row.annotator != "workbench"]


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("instances-app")


@pytest.fixture(scope="module")
def app(work_dir: Path, chromium_path: str) -> Iterator[RunningApp]:
    assert chromium_path
    with running_app(work_dir, SAMPLES) as running:
        yield running


@pytest.fixture
def open_page(browser: Browser, app: RunningApp) -> Iterator[Callable[..., Analyst]]:
    """Opens the page; no script on it may fail."""
    contexts, faults = [], []

    def open_one(width: int = 1366, height: int = 768, theme: str = "dark") -> Analyst:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: message.type == "error" and faults.append(message.text))
        return Analyst(page, app.url)

    yield open_one
    for context in contexts:
        context.close()
    assert faults == []


def go_to(analyst: Analyst, frame: int) -> None:
    """Step to a frame with the keys."""
    analyst.viewer.focus()
    analyst.page.keyboard.press("Home")
    analyst.expect_frame(0)
    for _ in range(frame):
        analyst.page.keyboard.press("ArrowRight")
    analyst.expect_frame(frame)


def at(analyst: Analyst, x: float, y: float) -> tuple[float, float]:
    """A place of the picture (640 x 480) on the screen."""
    box = analyst.viewer.locator(".aw-sheet").bounding_box()
    assert box is not None
    return box["x"] + x / 640 * box["width"], box["y"] + y / 480 * box["height"]


def draw_box(analyst: Analyst, mask: np.ndarray, margin: float = 2) -> None:
    """Drag a box around a mask with the box tool."""
    box = mask_box(mask)
    assert box is not None
    analyst.viewer.get_by_role("button", name="Box around the object").click()
    mouse = analyst.page.mouse
    mouse.move(*at(analyst, box[0] - margin, box[1] - margin))
    mouse.down()
    mouse.move(*at(analyst, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
    mouse.move(*at(analyst, box[2] + margin, box[3] + margin))
    mouse.up()


def click_on(analyst: Analyst, tool: str, place: tuple[float, float]) -> None:
    """Click on the picture with a tool."""
    analyst.viewer.get_by_role("button", name=tool, exact=True).click()
    analyst.page.mouse.click(*at(analyst, *place))


def middle_of(mask: np.ndarray) -> tuple[float, float]:
    """A place well inside a mask."""
    import cv2

    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(column) + 0.5, float(row) + 0.5


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def card(analyst: Analyst, number: int) -> Locator:
    return analyst.page.get_by_role("article", name=re.compile(f"Instance {number},"))


def bar(analyst: Analyst) -> Locator:
    return analyst.viewer.get_by_role("group", name="Prompted mask")


def undo(analyst: Analyst) -> None:
    analyst.viewer.focus()
    analyst.page.keyboard.press("Control+z")


def test_a_box_becomes_a_mask_that_covers_the_object(open_page: Callable[..., Analyst], work_dir: Path) -> None:
    analyst, truth = open_page(), Truth("fire")
    analyst.pick_sample("fire")
    frame, track = truth.clearest(("fire",))
    mask = track[frame]
    go_to(analyst, frame)
    draw_box(analyst, mask)
    expect(analyst.viewer).to_have_attribute("data-draft", re.compile("[0-9a-f]{8}"))
    expect(bar(analyst)).to_contain_text("fit")
    analyst.snap("instances-draft")
    bar(analyst).get_by_role("button", name="Keep").click()
    expect(card(analyst, 1)).to_have_attribute("aria-current", "true")
    expect(bar(analyst)).to_be_hidden()
    kept = Kept(work_dir, "fire")
    [standing] = kept.clip().instances
    assert iou(decode_rle(standing.instance.masks_rle[frame]), mask) >= LEAST_IOU
    assert standing.provenance.kind == "human"
    assert [row.before for row in kept.rows("instance")] == [None]
    undo(analyst)
    expect(card(analyst, 1)).to_have_count(0)
    assert kept.clip().instances == ()


def draft(analyst: Analyst) -> np.ndarray:
    """The mask on show that is not kept yet, `bool [480, 640]`, read off the picture as a person sees it."""
    import base64

    import cv2

    uri = analyst.viewer.locator("img.aw-draft").evaluate(PIXELS_JS)
    raw = np.frombuffer(base64.b64decode(uri.split(",", 1)[1]), np.uint8)
    alpha = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED)[..., 3]
    shown = cv2.erode((alpha > 0).astype(np.uint8), np.ones((3, 3), np.uint8))  # the rim lies one pixel outside
    return cv2.resize(shown, (640, 480), interpolation=cv2.INTER_NEAREST) > 0


def worst_part(missed: np.ndarray) -> np.ndarray:
    """The largest connected part of a mask."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(missed.astype(np.uint8))
    return labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())


def test_a_box_and_clicks_where_it_is_wrong_cover_the_object(open_page: Callable[..., Analyst], work_dir: Path) -> None:
    analyst, truth = open_page(), Truth("abandoned-object")
    analyst.pick_sample("abandoned")
    frame, track = truth.clearest(("person",))
    mask = track[frame]
    go_to(analyst, frame)
    draw_box(analyst, mask)
    expect(analyst.viewer).to_have_attribute("data-draft", re.compile("[0-9a-f]{8}"))
    for _ in range(MOST_CLICKS):  # as a person does: + on the largest part left out, − on the largest part too much
        now, before = draft(analyst), analyst.viewer.get_attribute("data-draft")
        if iou(now, mask) >= COVERS:
            break
        left_out, too_much = mask & ~now, now & ~mask
        lacks = left_out.sum() >= too_much.sum()
        tool = "Point on the object" if lacks else "Point not on the object"
        click_on(analyst, tool, middle_of(worst_part(left_out if lacks else too_much)))
        expect(analyst.viewer).not_to_have_attribute("data-draft", str(before))
    bar(analyst).get_by_role("button", name="Keep").click()
    expect(card(analyst, 1)).to_have_attribute("aria-current", "true")
    [standing] = Kept(work_dir, "abandoned-object").clip().instances
    assert iou(decode_rle(standing.instance.masks_rle[frame]), mask) >= COVERS


def test_clicks_prompt_refine_and_select(open_page: Callable[..., Analyst], work_dir: Path) -> None:
    analyst, truth = open_page(), Truth("collision")
    analyst.pick_sample("collision")
    frame, track = truth.clearest(("person",))
    mask = track[frame]
    go_to(analyst, frame)
    click_on(analyst, "Point on the object", middle_of(mask))
    expect(analyst.viewer).to_have_attribute("data-draft", re.compile("[0-9a-f]{8}"))
    first = analyst.viewer.get_attribute("data-draft")
    box = mask_box(mask)
    assert box is not None
    click_on(analyst, "Point not on the object", (box[0] - 12, box[1] - 12))
    expect(analyst.viewer.locator(".aw-pen circle")).to_have_count(2)
    bar(analyst).get_by_role("button", name="Undo").click()
    expect(analyst.viewer.locator(".aw-pen circle")).to_have_count(1)
    expect(analyst.viewer).to_have_attribute("data-draft", str(first))
    draw_box(analyst, mask)
    expect(analyst.viewer.locator(".aw-pen rect")).to_have_count(1)
    expect(analyst.viewer).not_to_have_attribute("data-draft", str(first))
    analyst.viewer.focus()
    analyst.page.keyboard.press("Enter")
    expect(card(analyst, 1)).to_have_attribute("aria-current", "true")
    analyst.page.keyboard.press("Escape")
    expect(card(analyst, 1)).not_to_have_attribute("aria-current", "true")
    click_on(analyst, "Select an instance", middle_of(mask))
    expect(card(analyst, 1)).to_have_attribute("aria-current", "true")
    [standing] = Kept(work_dir, "collision").clip().instances
    assert iou(decode_rle(standing.instance.masks_rle[frame]), mask) >= LEAST_IOU


def test_an_instance_is_tracked_amended_and_merged(open_page: Callable[..., Analyst], work_dir: Path) -> None:
    analyst, truth = open_page(), Truth("falling")
    analyst.pick_sample("falling")
    event = truth.document["events"][0]
    # Of who takes part the truth keeps the mask of every frame of the event, of others of every eighth.
    inside = range(event["start_frame"] + 5, event["end_frame"] - 5)
    frame, known = truth.clearest(("person",), inside, event["entity_ids"])
    mask = known[frame]
    go_to(analyst, frame)
    draw_box(analyst, mask)
    expect(bar(analyst)).to_contain_text("fit")
    bar(analyst).get_by_role("button", name="Track").click()
    expect(card(analyst, 1)).to_have_attribute("aria-current", "true", timeout=ANSWER_LIMIT_MS)
    kept = Kept(work_dir, "falling")
    [standing] = kept.clip().instances
    assert len(standing.instance.masks_rle) > 5
    assert standing.instance.appearance
    both = [iou(decode_rle(rle), known[i]) for i, rle in standing.instance.masks_rle.items() if i in known]
    assert len(both) >= 5
    assert float(np.mean(both)) >= LEAST_TRACK_IOU
    one = card(analyst, 1)
    role = "bystander" if standing.instance.role == "perpetrator" else "perpetrator"  # not what the model said
    one.get_by_label("Role of instance 1").select_option(role)
    expect(card(analyst, 1)).to_have_attribute("aria-label", f"Instance 1, {role}")
    one.get_by_label("looks of instance 1").fill("a man in a red coat")
    one.get_by_label("looks of instance 1").press("Enter")
    expect(one).to_have_class(re.compile("is-edited"))
    analyst.snap("instances-cards")
    fields = {row.field for row in kept.rows("instance")}
    assert {"role", "appearance"} <= fields
    [now] = kept.clip().instances
    assert (now.instance.role, now.instance.appearance) == (role, "a man in a red coat")
    undo(analyst)
    expect(one.get_by_label("looks of instance 1")).not_to_have_value("a man in a red coat")
    one.get_by_role("button", name="Delete instance 1").click()
    expect(one).to_have_count(0)
    assert kept.clip().instances == ()


def test_cancel_ends_tracking(open_page: Callable[..., Analyst], work_dir: Path) -> None:
    analyst, truth = open_page(), Truth("robbery")
    analyst.pick_sample("robbery")
    frame, track = truth.clearest(("person",))
    go_to(analyst, frame)
    draw_box(analyst, track[frame])
    expect(bar(analyst)).to_contain_text("fit")
    bar(analyst).get_by_role("button", name="Keep").click()
    expect(card(analyst, 1)).to_be_visible()
    before = Kept(work_dir, "robbery").clip().instances
    card(analyst, 1).get_by_role("button", name="Track instance 1").click()
    analyst.page.get_by_role("button", name="Cancel").click()
    expect(analyst.page.get_by_role("main")).to_contain_text("cancelled", timeout=ANSWER_LIMIT_MS)
    assert Kept(work_dir, "robbery").clip().instances == before


def test_answers_are_edited_judged_and_lead_to_their_evidence(
    open_page: Callable[..., Analyst], work_dir: Path
) -> None:
    analyst = open_page()
    analyst.pick_sample("fire")
    analyst.ask("Judgement")
    analyst.expect_ready()
    said = Kept(work_dir, "fire").clip().dialogue[0].turn
    turn = analyst.chat.locator("section.aw-turn").first
    turn.get_by_role("button", name="Correct this answer").click()
    field = turn.get_by_role("textbox", name="Answer")
    expect(field).to_have_value(said.answer)
    field.fill("Yes, a car is on fire. The sky is grey.")
    field.press("Enter")
    expect(turn.get_by_test_id("bot")).to_contain_text("a car is on fire")
    expect(turn).to_contain_text("corrected by")
    kept = Kept(work_dir, "fire")
    row = next(row for row in kept.rows("turn") if row.field == "answer")
    assert (row.before, row.after) == (said.answer, "Yes, a car is on fire. The sky is grey.")
    expect(turn.locator(".aw-words .is-bare")).to_have_text("The sky is grey.")
    analyst.viewer.focus()
    analyst.page.keyboard.press("Home")
    analyst.expect_frame(0)
    turn.locator(".aw-chip").first.click()
    start = kept.clip().events[0].start_s
    assert start is not None
    with Clip.open(next((SAMPLES / "clips").glob("fire_*.mp4"))) as clip:
        analyst.expect_frame(clip.index_at(start + 1e-4))
    turn.get_by_role("button", name="Confirm this answer").click()
    expect(turn).to_have_class(re.compile("is-confirmed"))
    analyst.snap("dialogue-edited")
    turn.get_by_role("button", name="Reject this answer").click()
    expect(turn).to_have_class(re.compile("is-rejected"))
    assert kept.clip().dialogue == ()
    turn.get_by_role("button", name="Restore").click()
    expect(turn).not_to_have_class(re.compile("is-rejected"))
    assert kept.clip().dialogue[0].turn.answer == row.after


def test_asking_again_replaces_the_answer(open_page: Callable[..., Analyst], work_dir: Path) -> None:
    analyst = open_page()
    analyst.pick_sample("abandoned")
    for question in ("Judgement", "Description"):
        analyst.ask(question)
        analyst.expect_ready()
    before = Kept(work_dir, "abandoned-object").clip().dialogue
    analyst.chat.locator("section.aw-turn").last.get_by_role("button", name="Ask again").click()
    analyst.expect_ready()
    expect(analyst.chat.locator("section.aw-turn")).to_have_count(2)
    expect(analyst.chat.locator(f'section[data-id="{before[1].id}"]')).to_have_count(0)
    analyst.expect_ready()
    after = Kept(work_dir, "abandoned-object").clip().dialogue
    assert [said.turn.kind for said in after] == ["judgement", "description"]
    assert after[0].id == before[0].id


def test_the_event_plays_in_a_loop_with_its_overlays(open_page: Callable[..., Analyst]) -> None:
    analyst = open_page(1920, 1080, "light")
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
