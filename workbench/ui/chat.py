"""The dialogue beside the picture: asking, and what a person makes of the answers. No Gradio here; see `dialogue.py`.

What was said stands in the store, so the dialogue is read from there; only the answer being written is not in it yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from workbench.conversation import evidence_for
from workbench.corrections import clips, documents, history
from workbench.corrections.changes import turn_changes
from workbench.corrections.log import MAIN, Change
from workbench.errors import InputError, WorkbenchError
from workbench.prompts import STANDARD_QUESTIONS
from workbench.records import ReviewedTurn
from workbench.ui.editing import MAX_TEXT_CHARS, REJECTED, Plan
from workbench.ui.session import Annotator, Review, Session
from workbench.ui.standing import as_corrected

if TYPE_CHECKING:
    from workbench.conversation import Conversation
    from workbench.ui.desk import Desk

AGAIN = "asked again"


@dataclass(frozen=True)
class Pending:
    """An answer that is being written."""

    question: str
    text: str = ""


@dataclass(frozen=True)
class Rejected:
    """An answer that a person rejected, and what brings it back."""

    turn: ReviewedTurn
    change: Change


def shown_question(question: str) -> str:
    """The words of a question; a kind (`judgement` …) stands for its standard question."""
    return str(STANDARD_QUESTIONS.get(question, question)).strip()  # type: ignore[call-overload]


def answer(session: Session, conversation: Conversation, question: str, desk: Desk) -> Iterator[Pending | None]:
    """Ask, and yield the growing answer, at last None: it is in the store. `session.stop` ends it, what was said stays.

    Raises:
        InputError: an answer is still being written, or the question is empty or too long.
    """
    review = session.require_review()
    if not session.answering.acquire(blocking=False):
        raise InputError("The last answer is still being written; wait for it or press Stop.")
    try:
        session.stop.clear()
        yield from _written(session, review, conversation.ask(question), shown_question(question))
        turn = conversation.turns[-1]
        turn = replace(turn, evidence=evidence_for(turn.answer, turn.kind, as_corrected(review)))
        turn_id = desk.add_turn(review, session.annotator, turn)
        review.live_turn = turn_id
        if session.stop.is_set():
            review.stopped.add(turn_id)
        if review.analysis is not None:
            review.analysis.dialogue = list(conversation.turns)
        yield None
    finally:
        session.answering.release()


def _written(session: Session, review: Review, pieces: Iterator[str], question: str) -> Iterator[Pending]:
    said = ""
    try:
        review.pending = Pending(question)
        yield review.pending
        for piece in pieces:
            said += piece
            review.pending = Pending(question, said.lstrip())
            yield review.pending
            if session.stop.is_set():
                break
    finally:
        review.pending = None
        pieces.close()  # type: ignore[attr-defined]


def ask_again(session: Session, conversation: Conversation, turn_id: object, desk: Desk) -> Iterator[Pending | None]:
    """Ask the question of a turn once more; the new answer, once there is one, takes the place of the old one.

    Raises:
        InputError: the turn is gone, or as `answer`.
    """
    review = session.require_review()
    old = find(review, turn_id)
    if session.answering.locked():
        raise InputError("The last answer is still being written; wait for it or press Stop.")
    taken_back = conversation.retract() if review.live_turn == old.id else None
    try:
        for pending in answer(session, conversation, old.turn.question, desk):
            if pending is None:
                desk.save(review, session.annotator, Plan([history.remove("turn", old.id)], None, AGAIN))
            yield pending
    except WorkbenchError:
        if taken_back is not None:
            conversation.resume([taken_back])
        raise


def find(review: Review, turn_id: object) -> ReviewedTurn:
    """The turn of that id. Raises `InputError` when it is not there."""
    for said in review.require_reviewed().dialogue:
        if said.id == turn_id:
            return said
    raise InputError("This answer is not there any more; it was removed meanwhile.")


def edit(desk: Desk, review: Review, by: Annotator, command: Mapping[str, Any]) -> None:
    """Carry out what a person says of an answer: `answer` (new words), `confirm`, `reject`, `restore`; saved as a step.

    Raises:
        InputError: an unknown command, an empty or too long answer, or a turn that is gone. Else as `Desk.save`.
    """
    operation = command.get("op")
    if operation == "restore":
        desk.save(review, by, Plan([_restored(desk, review, by, command.get("id"))], None, "restored"))
        return
    said = find(review, command.get("id"))
    if operation == "reject":
        made = Plan([history.remove("turn", said.id)], None, REJECTED)
    elif operation == "confirm":
        made = Plan(turn_changes(said, replace(said, verdict=None if said.verdict else "confirmed")))
    elif operation == "answer":
        made = Plan(turn_changes(said, reworded(review, said, str(command.get("value") or "").strip())))
    else:
        raise InputError(f"An answer knows no command {operation!r}; use answer, confirm, reject or restore.")
    desk.save(review, by, made)


def reworded(review: Review, said: ReviewedTurn, text: str) -> ReviewedTurn:
    """The turn with new words, and the evidence that these rest on."""
    if not text:
        raise InputError("The answer is empty; write one, or reject it.")
    if len(text) > MAX_TEXT_CHARS:
        raise InputError(f"The answer is {len(text)} characters long; shorten it to {MAX_TEXT_CHARS}.")
    if text == said.turn.answer:
        return said
    evidence = evidence_for(text, said.turn.kind, as_corrected(review))
    return replace(said, turn=replace(said.turn, answer=text, evidence=evidence), verdict=None)


def rejected(desk: Desk, review: Review, by: Annotator) -> list[Rejected]:
    """Answers that were rejected and not brought back."""
    reviewed = review.require_reviewed()
    standing = {said.id for said in reviewed.dialogue}
    with desk.store.reading() as db:
        layer = by.layer if clips.has_layer(db, reviewed.clip.id, by.layer) else MAIN
        rows = db.conn.execute(
            "SELECT subject_id, before, coalesce(reason, (SELECT reason FROM history AS undone "
            "WHERE undone.seq = history.undoes)) FROM history WHERE seq IN (SELECT max(seq) FROM history "
            "WHERE clip_id = ? AND layer = ? AND subject = 'turn' AND field = '' AND after IS NULL "
            "GROUP BY subject_id) AND action IN ('edit', 'redo')",
            [reviewed.clip.id, layer],
        ).fetchall()
    gone = [(i, json.loads(before)) for i, before, reason in rows if reason == REJECTED and i not in standing]
    return [Rejected(documents.turn_from(i, document), Change("turn", i, "", document)) for i, document in gone]


def _restored(desk: Desk, review: Review, by: Annotator, turn_id: object) -> Change:
    for item in rejected(desk, review, by):
        if item.turn.id == turn_id:
            return item.change
    raise InputError("This answer is not among the rejected ones any more.")
