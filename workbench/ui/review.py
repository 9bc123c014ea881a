"""The flows of the page, told as plain values: open and analyse a clip, find instances. No Gradio here.

A clip that fails, or is cancelled, leaves the page as it was: the clip before it comes back, nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.errors import InputError
from workbench.ui import timeline, viewer
from workbench.ui.runs import Cancelled, Progress
from workbench.ui.services import Services
from workbench.ui.session import Review, Session
from workbench.ui.stacks import Choice
from workbench.ui.standing import as_corrected


@dataclass(frozen=True)
class PageView:
    """What changes on the page. `review_changed`: another clip came, or its analysis; else only progress moved."""

    review: Review | None
    progress: Progress | None
    curve: dict[str, Any] | None = None
    review_changed: bool = False
    player_changed: bool = False
    note: str = ""


def _curve(session: Session, review: Review | None) -> dict[str, Any] | None:
    if review is None:
        return None
    if review.analysis is None:
        return timeline.partial_payload(session.id, review, None)
    return timeline.payload(session.id, review, review.analysis)


def current(session: Session, note: str = "") -> PageView:
    """The page as the session stands."""
    return PageView(session.review, None, _curve(session, session.review), review_changed=True, note=note)


def open_and_analyse(
    services: Services, session: Session, path: str | Path, name: str | None = None
) -> Iterator[PageView]:
    """Open `path`, show its first frame, then its curve as it grows, then everything.

    Raises:
        WorkbenchError: the clip cannot be read or analysed; the last analysed clip is on the page again.
    """
    review = services.open_review(path, name)
    review.choice = session.choice
    session.cancel()
    session.review = review
    session.opened.add(review.clip.info.sha256)
    yield replace(current(session), progress=Progress("opening", 0.0))
    run = session.run = services.analyse(review)
    known = None
    try:
        for progress in run.updates():
            known = known if progress.partial is None else progress.partial  # later stages tell nothing of the curve
            yield PageView(review, progress, timeline.partial_payload(session.id, review, known))
        review.analysis = run.result()
        services.desk.enter(review, session.annotator)
    except Cancelled:
        pass
    finally:
        run.cancel()
        session.settle(review)
    if session.review is not session.settled:
        return  # a newer clip has taken the page meanwhile
    yield current(session, "" if review.analysis else "cancelled")
    if review.analysis and review.player is None:
        yield from _make_player(services, session, review)


def switch(services: Services, session: Session, choice: Choice) -> Iterator[PageView]:
    """Let another stack look at the clip on the page; the clip, the place in it and all corrections stay.

    Cancelled or failed, nothing has changed. Without a clip the choice is for the next one.

    Raises:
        InputError: other work is still running. StackError: the stack cannot be loaded.
    """
    if session.answering.locked():
        raise InputError("An answer is still being written; wait for it or press Stop.")
    if session.run is not None and session.run.active:
        raise InputError("This clip is still being worked on; wait for it or cancel it.")
    services.stack(choice)
    review = session.review
    if review is None:
        session.choice = choice
        return
    run = session.run = services.analyse(review, choice)
    try:
        for progress in run.updates():
            yield PageView(review, progress)
        analysis = run.result()
    except Cancelled:
        yield current(session, "cancelled")
        return
    finally:
        run.cancel()
    session.choice = review.choice = choice
    review.analysis, review.conversation, review.live_turn = analysis, None, None
    services.desk.enter(review, session.annotator)
    if session.review is review:
        yield current(session)


def _make_player(services: Services, session: Session, review: Review) -> Iterator[PageView]:
    """Make the browser-playable copy. The analysis is on the page and in use already, so this only leaves notes."""
    run = session.media = services.make_player_file(review)
    try:
        for progress in run.updates():
            if session.run is None or not session.run.active:
                yield PageView(review, None, note=f"preparing the player {progress.fraction:.0%}")
        review.player = run.result()
    except Cancelled:
        return
    finally:
        run.cancel()
    if session.review is review:
        yield PageView(review, None, player_changed=True)


def can_find(review: Review | None) -> bool:
    """Whether there is an event, of the model's or a person's, whose instances could be looked for."""
    return bool(review and review.analysis and review.reviewed and review.reviewed.events)


def find_instances(services: Services, session: Session) -> Iterator[PageView]:
    """Look for the instances of the clip on the page.

    Raises:
        InputError: no analysed clip, or other work is still running.
    """
    review = session.require_review()
    session.require_analysis()
    review.require_reviewed()
    if session.run is not None and session.run.active:
        raise InputError("This clip is still being worked on; wait for it or cancel it.")
    run = session.run = services.find_instances(review, as_corrected(review))
    note = ""
    try:
        for progress in run.updates():
            yield PageView(review, progress)
        found = run.result()
        note = "" if found else "no instance found"
        services.desk.replace_instances(review, session.annotator, found)
    except Cancelled:
        note = "cancelled"
    finally:
        run.cancel()
    yield current(session, note)


def viewer_value(session: Session, review: Review | None) -> str:
    """The viewer's value for a clip, or for none."""
    return timeline.encode(viewer.viewer_payload(session.id, review) if review else None)
