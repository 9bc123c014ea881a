"""The dialogue as the page shows it: every answer in sentences, what each rests on, and the component that draws it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from workbench.analysis import motion_leads
from workbench.evidence import supported
from workbench.plots import clock
from workbench.records import Analysis, Evidence, ReviewedTurn
from workbench.ui import chat
from workbench.ui.session import Annotator, Review
from workbench.ui.standing import as_corrected
from workbench.ui.viewer import role_colour

if TYPE_CHECKING:
    from workbench.ui.desk import Desk

KINDS = ("judgement", "description", "analysis")
TEMPLATE = """
<div class="aw-talk" role="log" aria-label="chatbot conversation" aria-live="polite">
  <p class="aw-caution" role="note" hidden></p>
  <p class="aw-hint">Ask for a judgement, a description or an analysis, or a question of your own.
  Answers name the moments and instances they rest on.</p>
  <div class="aw-turns"></div>
</div>
"""
CAUTION = "This footage is unlike what the models learned on: what they say of it is a sketch. Check every word."
_HERE = Path(__file__).parent


def dialogue_payload(review: Review | None, desk: Desk, by: Annotator) -> dict[str, Any]:
    """What the dialogue shows: `turns` in the order they were asked (rejected ones too), and one being written."""
    if review is None or review.analysis is None or review.reviewed is None:
        return {"key": review.key if review else "", "turns": [], "pending": None}
    gone = {item.turn.id: item.turn for item in chat.rejected(desk, review, by)}
    said = sorted([*review.reviewed.dialogue, *gone.values()], key=lambda turn: (len(turn.id), turn.id))
    analysis = as_corrected(review)
    turns = [_turn(turn, analysis, is_rejected=turn.id in gone, stopped=turn.id in review.stopped) for turn in said]
    pending = review.pending
    return {
        "key": review.key, "turns": turns, "caution": CAUTION if motion_leads(analysis.dense.parts) else "",
        "pending": {"question": pending.question, "text": pending.text} if pending else None,
    }  # fmt: skip


def _turn(said: ReviewedTurn, analysis: Analysis, *, is_rejected: bool, stopped: bool) -> dict[str, Any]:
    chips = list(dict.fromkeys(said.turn.evidence))
    human = said.provenance.edited_by or ((said.provenance.name,) if said.provenance.kind == "human" else ())
    return {
        "id": said.id, "kind": said.turn.kind, "question": said.turn.question, "answer": said.turn.answer,
        "sentences": [
            {"text": s.text, "chips": [chips.index(item) for item in s.evidence]}
            for s in supported(said.turn, analysis)
        ],
        "chips": [_chip(item, analysis) for item in chips],
        "verdict": "rejected" if is_rejected else said.verdict, "by": ", ".join(human),
        "stopped": stopped,
    }  # fmt: skip


def _chip(item: Evidence, analysis: Analysis) -> dict[str, Any]:
    span = f"{clock(item.start_s, 1)}–{clock(item.end_s, 1)}"
    chip = {"start_s": round(item.start_s, 4), "end_s": round(item.end_s, 4), "instance": item.instance_id}
    if item.instance_id is None:
        return chip | {"label": span, "colour": None}
    named = next((i for i in analysis.instances if i.id == item.instance_id), None)
    role = named.role if named else "instance"
    return chip | {"label": f"{item.instance_id} {role}", "colour": role_colour(role), "title": span}


@dataclass
class ChatPanel:
    """The right column."""

    dialogue: gr.HTML
    kinds: dict[str, gr.Button]
    box: gr.Textbox
    send: gr.Button
    stop: gr.Button


def build_chat() -> ChatPanel:
    """The dialogue, the three standard questions, free text, Ask and Stop. Events of the dialogue: `amend`, `again`."""
    with gr.Column(elem_id="aw-right", min_width=280):
        dialogue = gr.HTML(
            value="", html_template=TEMPLATE, js_on_load=(_HERE / "dialogue.js").read_text("utf-8"),
            apply_default_css=False, elem_id="aw-chat",
        )  # fmt: skip
        with gr.Row(elem_id="aw-kinds"):
            kinds = {k: gr.Button(k.capitalize(), size="sm", min_width=60) for k in KINDS}
        with gr.Row(elem_id="aw-ask"):
            box = gr.Textbox(
                placeholder="Ask about this clip", show_label=False, container=False, lines=1, max_lines=4, scale=1,
                label="Question", max_length=2000,
            )  # fmt: skip
            send = gr.Button("Ask", variant="primary", size="sm", min_width=64, scale=0)
            stop = gr.Button("Stop", variant="stop", size="sm", min_width=64, scale=0, visible=False)
    return ChatPanel(dialogue, kinds, box, send, stop)
