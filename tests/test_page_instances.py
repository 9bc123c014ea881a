"""Instances on the page, as an analyst works on them: prompted, tracked, amended, undone, kept in history.

Each test uses a sample of its own, because what is corrected stays in the store of the app that they share.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser_support import ANSWER_LIMIT_MS, Analyst, RunningApp
from tests.instances_support import (
    Kept,
    Truth,
    bar,
    card,
    click_on,
    draft,
    draw_box,
    go_to,
    iou,
    middle_of,
    undo,
    worst_part,
)  # fmt: skip
from workbench.masks import decode_rle, mask_box

pytestmark = pytest.mark.browser
LEAST_IOU = 0.5
COVERS, MOST_CLICKS = 0.7, 6
LEAST_TRACK_IOU = 0.4  # over all frames of the event, of the one sample in which nothing passes before the object


def click_until_covered(analyst: Analyst, mask: np.ndarray) -> None:
    """As a person does: + on the largest part left out, − on the largest part too much."""
    for _ in range(MOST_CLICKS):
        now, before = draft(analyst), analyst.viewer.get_attribute("data-draft")
        if iou(now, mask) >= COVERS:
            break
        left_out, too_much = mask & ~now, now & ~mask
        lacks = left_out.sum() >= too_much.sum()
        tool = "Point on the object" if lacks else "Point not on the object"
        click_on(analyst, tool, middle_of(worst_part(left_out if lacks else too_much)))
        expect(analyst.viewer).not_to_have_attribute("data-draft", str(before))


def test_a_box_becomes_a_mask_that_covers_the_object(analyst: Analyst, app: RunningApp) -> None:
    truth = Truth("fire")
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
    kept = Kept(app, "fire")
    [standing] = kept.clip().instances
    assert iou(decode_rle(standing.instance.masks_rle[frame]), mask) >= LEAST_IOU
    assert standing.provenance.kind == "human"
    assert [row.before for row in kept.rows("instance")] == [None]
    undo(analyst)
    expect(card(analyst, 1)).to_have_count(0)
    assert kept.clip().instances == ()


def test_a_box_and_clicks_where_it_is_wrong_cover_the_object(analyst: Analyst, app: RunningApp) -> None:
    truth = Truth("abandoned-object")
    analyst.pick_sample("abandoned")
    frame, track = truth.clearest(("person",))
    mask = track[frame]
    go_to(analyst, frame)
    draw_box(analyst, mask)
    expect(analyst.viewer).to_have_attribute("data-draft", re.compile("[0-9a-f]{8}"))
    click_until_covered(analyst, mask)
    bar(analyst).get_by_role("button", name="Keep").click()
    expect(card(analyst, 1)).to_have_attribute("aria-current", "true")
    [standing] = Kept(app, "abandoned-object").clip().instances
    assert iou(decode_rle(standing.instance.masks_rle[frame]), mask) >= COVERS


def test_clicks_alone_cover_the_object(analyst: Analyst, app: RunningApp) -> None:
    truth = Truth("normal")
    analyst.pick_sample("normal")
    frame, track = truth.clearest(("person",))
    mask = track[frame]
    go_to(analyst, frame)
    click_on(analyst, "Point on the object", middle_of(mask))
    expect(analyst.viewer).to_have_attribute("data-draft", re.compile("[0-9a-f]{8}"))
    click_until_covered(analyst, mask)
    bar(analyst).get_by_role("button", name="Keep").click()
    expect(card(analyst, 1)).to_have_attribute("aria-current", "true")
    [standing] = Kept(app, "normal").clip().instances
    assert iou(decode_rle(standing.instance.masks_rle[frame]), mask) >= COVERS


def test_clicks_prompt_refine_and_select(analyst: Analyst, app: RunningApp) -> None:
    truth = Truth("collision")
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
    [standing] = Kept(app, "collision").clip().instances
    assert iou(decode_rle(standing.instance.masks_rle[frame]), mask) >= LEAST_IOU


def test_an_instance_is_tracked_amended_and_deleted(analyst: Analyst, app: RunningApp) -> None:
    truth = Truth("falling")
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
    kept = Kept(app, "falling")
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


def test_cancel_ends_tracking(analyst: Analyst, app: RunningApp) -> None:
    truth = Truth("robbery")
    analyst.pick_sample("robbery")
    frame, track = truth.clearest(("person",))
    go_to(analyst, frame)
    draw_box(analyst, track[frame])
    expect(bar(analyst)).to_contain_text("fit")
    bar(analyst).get_by_role("button", name="Keep").click()
    expect(card(analyst, 1)).to_be_visible()
    before = Kept(app, "robbery").clip().instances
    card(analyst, 1).get_by_role("button", name="Track instance 1").click()
    analyst.page.get_by_role("button", name="Cancel").click()
    expect(analyst.page.get_by_role("main")).to_contain_text("cancelled", timeout=ANSWER_LIMIT_MS)
    assert Kept(app, "robbery").clip().instances == before


def two_people(truth: Truth) -> tuple[int, dict[int, np.ndarray], dict[int, np.ndarray]]:
    """The frame on which the smaller of two people is largest, and the masks of both; they do not touch there."""
    tracks = truth.tracks(("person",))
    found = {}
    for i, one in enumerate(tracks):
        for j, other in enumerate(tracks[:i]):
            for frame in one.keys() & other.keys():
                if frame + 8 in one and not (grown(one[frame]) & grown(other[frame])).any():
                    found[min(int(one[frame].sum()), int(other[frame].sum())), frame, i, j] = one, other
    best = max(found)
    return best[1], *found[best]


def grown(mask: np.ndarray) -> np.ndarray:
    """The box around a mask and some pixels more."""
    box, around = mask_box(mask), np.zeros_like(mask)
    if box is not None:
        left, top, right, bottom = (int(side) for side in box)
        around[max(0, top - 12) : bottom + 12, max(0, left - 12) : right + 12] = True
    return around


def test_two_instances_are_merged_and_a_life_is_cut(analyst: Analyst, app: RunningApp) -> None:
    truth = Truth("fighting")
    analyst.pick_sample("fighting")
    frame, one, other = two_people(truth)
    go_to(analyst, frame)
    for number, mask in enumerate((one[frame], other[frame]), 1):
        draw_box(analyst, mask)
        expect(bar(analyst)).to_contain_text("fit")
        bar(analyst).get_by_role("button", name="Keep").click()
        expect(card(analyst, number)).to_have_attribute("aria-current", "true")
    kept = Kept(app, "fighting")
    apart = [decode_rle(item.instance.masks_rle[frame]) for item in kept.clip().instances]
    card(analyst, 1).get_by_label("Merge another instance into 1").select_option("2")
    expect(card(analyst, 2)).to_have_count(0)
    [merged] = kept.clip().instances
    assert iou(decode_rle(merged.instance.masks_rle[frame]), apart[0] | apart[1]) > 0.99
    undo(analyst)
    expect(card(analyst, 2)).to_be_visible()
    assert len(kept.clip().instances) == 2
    card(analyst, 1).click(position={"x": 6, "y": 6})
    expect(card(analyst, 1)).to_have_attribute("aria-current", "true")
    later = frame + 8
    go_to(analyst, later)
    draw_box(analyst, one[later])
    expect(bar(analyst)).to_contain_text("fit")
    bar(analyst).get_by_label("Which instance").select_option("1")
    expect(bar(analyst)).to_contain_text("fit")
    bar(analyst).get_by_role("button", name="Keep").click()
    expect(bar(analyst)).to_be_hidden()

    def life() -> tuple[int, int]:
        first = next(item.instance for item in kept.clip().instances if item.instance.id == 1)
        return first.first_frame, first.last_frame

    assert life() == (frame, later)
    card(analyst, 1).get_by_role("button", name="Instance 1 begins at this frame").click()
    expect(card(analyst, 1).locator("time")).to_have_attribute("title", re.compile(f"frames {later} to {later}"))
    assert life() == (later, later)
    undo(analyst)
    expect(card(analyst, 1).locator("time")).to_have_attribute("title", re.compile(f"frames {frame} to {later}"))
    card(analyst, 1).get_by_role("button", name="Describe instance 1 again").click()
    expect(card(analyst, 1).get_by_label("looks of instance 1")).not_to_have_value("", timeout=ANSWER_LIMIT_MS)
    described = {row.field for row in kept.rows("instance") if row.reason == "described again"}
    assert "appearance" in described
