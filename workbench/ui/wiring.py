"""Which event of the dialogue, the cards and the picture calls which flow; `app.py` wires the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import gradio as gr

from workbench.errors import WorkbenchError
from workbench.ui import chat, event_list, film, instances, marks, panels, viewer
from workbench.ui.dialogue import dialogue_payload
from workbench.ui.instance_cards import cards_payload
from workbench.ui.review import can_find
from workbench.ui.runs import TELL_EVERY_S
from workbench.ui.services import Services
from workbench.ui.session import Session
from workbench.ui.timeline import encode
from workbench.ui.toasts import as_toast, told_without_folder

if TYPE_CHECKING:
    from workbench.ui.app import Page

Update = dict[Any, Any]
VISITORS_AT_ONCE = 16
QUIET: dict[str, Any] = {
    "api_visibility": "private", "show_progress": "hidden", "concurrency_limit": VISITORS_AT_ONCE,
}  # fmt: skip


def stands(page: Page, services: Services, session: Session, *, select: int | None = None) -> Update:
    """All that a saved step may have changed, told as it stands: picture, cards, dialogue, and what can be undone."""
    review = session.review
    shown = viewer.viewer_payload(session.id, review) | {"select": select} if review else None
    return {
        page.viewer: encode(shown),
        page.instances: encode(cards_payload(session.id, review)),
        page.events: encode(event_list.payload(services.desk, session)),
        page.chat.dialogue: encode(dialogue_payload(review, services.desk, session.annotator)),
        page.find: gr.update(interactive=can_find(review)),
    }


def changed_by_steps(page: Page) -> list[Any]:
    """The components that `stands` speaks of."""
    return [page.viewer, page.instances, page.events, page.chat.dialogue, page.find]


def picture_servers(services: Services) -> list[Callable[[dict], Any]]:
    """What the picture asks for directly, without the queue: the instance at a place, a mask of marks, the film."""

    def pick(request: dict) -> dict[str, Any]:
        return told(lambda session: marks.pick_reply(session.showing(request), request), request)

    def prompt(request: dict) -> dict[str, Any]:
        def masked(session: Session) -> dict[str, Any]:
            shown = session.showing(request)
            return marks.prompt_reply(services, shown, request)

        return told(masked, request)

    def film_of(request: dict) -> dict[str, Any]:
        return told(lambda session: film.film_reply(session.showing(request)), request)

    def told(answer: Callable[[Session], dict[str, Any]], request: dict) -> dict[str, Any]:
        try:
            return answer(services.sessions.get(str(request.get("sid"))))
        except WorkbenchError as error:
            return {"error": told_without_folder(error)}

    return [pick, prompt, film_of]


def wire_instances(page: Page, services: Services) -> None:
    """Marks on the picture and commands of the cards."""

    def follow(session: Session, views: Iterator[instances.InstanceView]) -> Iterator[Update]:
        for view in views:
            running = view.progress is not None
            update = {
                page.progress: panels.progress_html(view.progress, view.note), page.cancel: gr.update(visible=running),
            }  # fmt: skip
            yield update | (stands(page, services, session, select=view.select) if view.done else {})

    def idle(page_session: Session) -> Update:
        return {
            page.progress: panels.progress_html(None), page.cancel: gr.update(visible=False),
            **stands(page, services, page_session),
        }  # fmt: skip

    def carry_out(
        session_id: str, event: gr.EventData, make: Callable[[Session], Iterator[instances.InstanceView]]
    ) -> Iterator[Update]:
        with as_toast():
            session = services.sessions.get(session_id)
            session.showing(event._data)
            try:
                yield from follow(session, make(session))
            except WorkbenchError:
                if session.run is None or not session.run.active:
                    yield idle(session)
                raise

    def mark(session_id: str, event: gr.EventData) -> Iterator[Update]:
        yield from carry_out(session_id, event, lambda session: instances.mark(services, session, event._data))

    def amend(session_id: str, event: gr.EventData) -> Iterator[Update]:
        command = dict(event._data)

        def make(session: Session) -> Iterator[instances.InstanceView]:
            if command.get("op") == "track":
                marked = {"frame": command.get("frame"), "instance": command.get("id"), "follow": True}
                yield from instances.mark(services, session, marked)
            elif command.get("op") == "describe":
                yield from instances.redescribe(services, session, command)
            else:
                yield instances.edit(services, session, command)

        yield from carry_out(session_id, event, make)

    outputs = [*changed_by_steps(page), page.progress, page.cancel]
    page.viewer.mark(mark, page.session_id, outputs, trigger_mode="multiple", **QUIET)
    page.instances.amend(amend, page.session_id, outputs, trigger_mode="multiple", **QUIET)


def wire_chat(page: Page, services: Services) -> None:
    """Questions, Stop, asking again, and what a person makes of an answer."""
    talk = page.chat
    outputs = [*changed_by_steps(page), talk.box, talk.send, talk.stop, *talk.kinds.values()]

    def buttons(*, done: bool) -> Update:
        return {talk.send: gr.update(visible=done), talk.stop: gr.update(visible=not done)} | {
            button: gr.update(interactive=done) for button in talk.kinds.values()
        }

    def show(session: Session, answers: Iterator[chat.Pending | None]) -> Iterator[Update]:
        about, told_at = session.require_review(), -TELL_EVERY_S
        for number, pending in enumerate(answers):
            if session.review is not about or (pending and time.monotonic() < told_at + TELL_EVERY_S):
                continue
            told = dialogue_payload(about, services.desk, session.annotator)
            update = {talk.dialogue: encode(told)} if pending else stands(page, services, session)
            yield update | buttons(done=pending is None) | ({talk.box: ""} if number == 0 else {})
            told_at = time.monotonic()
        if session.review is not about:  # another clip came meanwhile
            yield buttons(done=True)

    def shown(session: Session, answers: Iterator[chat.Pending | None]) -> Iterator[Update]:
        try:
            yield from show(session, answers)
        except WorkbenchError:
            if not session.answering.locked():  # else the buttons are those of the answer that is being written
                yield stands(page, services, session) | buttons(done=True)
            raise

    def ask(session_id: str, question: str) -> Iterator[Update]:
        with as_toast():
            session = services.sessions.get(session_id)
            talked = services.conversation(session)
            yield from shown(session, chat.answer(session, talked, question, services.desk))
            services.look_ahead(talked)

    def ask_kind(kind: str) -> Callable[[str], Iterator[Update]]:
        def ask_this(session_id: str) -> Iterator[Update]:
            yield from ask(session_id, kind)

        return ask_this

    def again(session_id: str, event: gr.EventData) -> Iterator[Update]:
        with as_toast():
            session = services.sessions.get(session_id)
            session.showing(event._data)
            talked = services.conversation(session)
            yield from shown(session, chat.ask_again(session, talked, event._data.get("id"), services.desk))

    def amend(session_id: str, event: gr.EventData) -> Update:
        with as_toast():
            session = services.sessions.get(session_id)
            chat.edit(services.desk, session.showing(event._data), session.annotator, event._data)
        return stands(page, services, session)

    def stop(session_id: str) -> None:
        services.sessions.get(session_id).stop.set()

    gr.on([talk.send.click, talk.box.submit], ask, [page.session_id, talk.box], outputs, **QUIET)
    for kind, button in talk.kinds.items():
        button.click(ask_kind(kind), page.session_id, outputs, **QUIET)
    talk.dialogue.again(again, page.session_id, outputs, **QUIET)
    talk.dialogue.amend(amend, page.session_id, changed_by_steps(page), trigger_mode="multiple", **QUIET)
    talk.stop.click(stop, page.session_id, None, queue=False, api_visibility="private")
