"""The dialogue on the page: asked, stopped, edited, judged, asked again, and every answer kept in the store.

Each test uses a sample of its own, because what is said stays in the store of the app that they share.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser_support import ANSWER_LIMIT_MS, PRESS_WHEN_SEEN_JS, SAMPLES, Analyst, RunningApp
from tests.instances_support import Kept
from workbench.video import Clip

pytestmark = pytest.mark.browser


def test_answers_are_edited_judged_and_lead_to_their_evidence(analyst: Analyst, app: RunningApp) -> None:
    analyst.pick_sample("fire")
    analyst.ask("Judgement")
    analyst.expect_ready()
    said = Kept(app, "fire").clip().dialogue[0].turn
    turn = analyst.chat.locator("section.aw-turn").first
    turn.get_by_role("button", name="Correct this answer").click()
    field = turn.get_by_role("textbox", name="Answer")
    expect(field).to_have_value(said.answer)
    field.fill("Yes, a car is on fire. The sky is grey.")
    field.press("Enter")
    expect(turn.get_by_test_id("bot")).to_contain_text("a car is on fire")
    expect(turn).to_contain_text("corrected by")
    kept = Kept(app, "fire")
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


def test_asking_again_replaces_the_answer(analyst: Analyst, app: RunningApp) -> None:
    analyst.pick_sample("abandoned")
    for question in ("Judgement", "Description"):
        analyst.ask(question)
        analyst.expect_ready()
    before = Kept(app, "abandoned-object").clip().dialogue
    analyst.chat.locator("section.aw-turn").last.get_by_role("button", name="Ask again").click()
    analyst.expect_ready()
    expect(analyst.chat.locator("section.aw-turn")).to_have_count(2)
    expect(analyst.chat.locator(f'section[data-id="{before[1].id}"]')).to_have_count(0)
    analyst.expect_ready()
    after = Kept(app, "abandoned-object").clip().dialogue
    assert [said.turn.kind for said in after] == ["judgement", "description"]
    assert after[0].id == before[0].id


def test_three_turns_one_of_them_free_and_one_stopped(analyst: Analyst, app: RunningApp) -> None:
    analyst.pick_sample("collision")
    analyst.ask("Judgement")
    analyst.expect_ready()
    box = analyst.page.get_by_role("textbox", name="Question")
    box.fill("What colour is the car?")
    box.press("Enter")
    expect(analyst.answers()).to_have_count(2, timeout=ANSWER_LIMIT_MS)
    expect(box).to_have_value("")
    analyst.expect_ready()
    expect(analyst.answers().last).to_have_text(re.compile(r"\w{2,}"))
    for _ in range(8):  # the small stack can finish an answer before the click arrives; it does not win every time
        analyst.page.evaluate(PRESS_WHEN_SEEN_JS, "Stop")
        answer = analyst.ask("Description")
        analyst.expect_ready()
        if "stopped" in answer.inner_text():
            break
    expect(answer).to_contain_text("stopped")
    said = [said.turn for said in Kept(app, "collision").clip().dialogue]
    assert [turn.kind for turn in said[:3]] == ["judgement", "free", "description"]
    assert said[1].question == "What colour is the car?"
    assert said[-1].answer in answer.inner_text()
    analyst.snap("dialogue-three-turns")
