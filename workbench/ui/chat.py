"""The dialogue beside the picture: what is shown while an answer is written, and the panel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from workbench.errors import InputError
from workbench.prompts import STANDARD_QUESTIONS
from workbench.records import Evidence
from workbench.ui.panels import SEEK_JS, chips_html
from workbench.ui.session import Session

if TYPE_CHECKING:
    from workbench.conversation import Conversation

PLACEHOLDER = (
    "Ask for a judgement, a description or an analysis, or a question of your own. Answers name their evidence."
)
STOPPED = " …stopped."
KINDS = ("judgement", "description", "analysis")


@dataclass(frozen=True)
class ChatView:
    """The chat as shown: messages, evidence of the newest answer, and whether that answer is finished."""

    messages: list[dict[str, Any]]
    evidence: tuple[Evidence, ...] = ()
    done: bool = True


def shown_question(question: str) -> str:
    """The words of a question; a kind (`judgement` …) stands for its standard question."""
    return str(STANDARD_QUESTIONS.get(question, question)).strip()  # type: ignore[call-overload]


def answer(session: Session, conversation: Conversation, question: str) -> Iterator[ChatView]:
    """Ask, and yield the growing chat; `session.stop` ends the answer and keeps what was said.

    Raises:
        InputError: an answer is still being written, or the question is empty or too long.
    """
    review = session.require_review()
    if not session.answering.acquire(blocking=False):
        raise InputError("The last answer is still being written; wait for it or press Stop.")
    try:
        session.stop.clear()
        pieces = conversation.ask(question)
        review.messages += [{"role": "user", "content": shown_question(question)}, _said("…")]
        yield ChatView(list(review.messages), done=False)
        yield from _written(session, review.messages, pieces)
        turn = conversation.turns[-1]
        review.messages[-1] = _said((turn.answer or "(no words)") + (STOPPED if session.stop.is_set() else ""))
        if review.analysis is not None:
            review.analysis.dialogue = list(conversation.turns)
        yield ChatView(list(review.messages), turn.evidence)
    finally:
        session.answering.release()


def _said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def _written(session: Session, messages: list[dict[str, Any]], pieces: Iterator[str]) -> Iterator[ChatView]:
    said = ""
    try:
        for piece in pieces:
            said += piece
            messages[-1] = _said(said.lstrip() or "…")
            yield ChatView(list(messages), done=False)
            if session.stop.is_set():
                break
    finally:
        pieces.close()  # type: ignore[attr-defined]


@dataclass
class ChatPanel:
    """The right column."""

    chatbot: gr.Chatbot
    chips: gr.HTML
    kinds: dict[str, gr.Button]
    box: gr.Textbox
    send: gr.Button
    stop: gr.Button


def build_chat() -> ChatPanel:
    """Chat, chips, the three standard questions, free text, Send and Stop."""
    with gr.Column(elem_id="aw-right", min_width=280):
        chatbot = gr.Chatbot(
            label="Dialogue", show_label=False, height="100%", layout="bubble", buttons=["copy"],
            placeholder=PLACEHOLDER, render_markdown=False, allow_tags=False, feedback_options=None,
            elem_id="aw-chat",
        )  # fmt: skip
        chips = gr.HTML(
            chips_html((), answered=False), js_on_load=SEEK_JS, apply_default_css=False, elem_id="aw-evidence"
        )
        with gr.Row(elem_id="aw-kinds"):
            kinds = {k: gr.Button(k.capitalize(), size="sm", min_width=60) for k in KINDS}
        with gr.Row(elem_id="aw-ask"):
            box = gr.Textbox(
                placeholder="Ask about this clip", show_label=False, container=False, lines=1, max_lines=4, scale=1,
                label="Question", max_length=2000,
            )  # fmt: skip
            send = gr.Button("Ask", variant="primary", size="sm", min_width=64, scale=0)
            stop = gr.Button("Stop", variant="stop", size="sm", min_width=64, scale=0, visible=False)
    return ChatPanel(chatbot, chips, kinds, box, send, stop)
