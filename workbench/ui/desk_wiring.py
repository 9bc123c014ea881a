"""What the page does with the store: edits of events, undo, "done, next", the library, names, and the way back in.

A step is told as it stands in the store afterwards, refused ones too, so that the page never shows what is not saved.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import gradio as gr

from workbench.errors import InputError, WorkbenchError
from workbench.ui import event_list, panels, shelf
from workbench.ui.review import can_find
from workbench.ui.services import Services
from workbench.ui.session import Session
from workbench.ui.stack_wiring import header
from workbench.ui.timeline import encode
from workbench.ui.toasts import as_toast, told_without_folder
from workbench.ui.wiring import QUIET, changed_by_steps, stands

if TYPE_CHECKING:
    from workbench.ui.app import Page

Update = dict[Any, Any]
Begin = Callable[..., Iterator[Update]]
HELLO_JS = """() => {
  if (!localStorage.getItem('aw-key')) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    localStorage.setItem('aw-key', Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join(''));
  }
  return [JSON.stringify({
    name: localStorage.getItem('aw-name') || '', clip: new URLSearchParams(location.search).get('clip') || '',
    key: localStorage.getItem('aw-key'),
  })];
}"""
KEY_LENGTH = 32  # of a browser's key, hexadecimal digits
TURNS = ("undo", "redo")
# One at a time and in order: a step knows the one before it. Each takes some milliseconds.
IN_ORDER: dict[str, Any] = QUIET | {"concurrency_limit": 1, "concurrency_id": "steps", "trigger_mode": "multiple"}


def _carried_out(services: Services, session: Session, command: dict[str, Any]) -> str | None:
    """Write what a command means. → the event to select."""
    review = session.require_review()
    if command.get("op") not in TURNS:
        return services.desk.edit(review, session.annotator, command).select
    if not services.desk.turn_back(review, session.annotator, redo=command["op"] == "redo"):
        gr.Info(f"There is nothing to {command['op']}.")
    return None


def wire_events(page: Page, services: Services) -> None:
    """Edits of events, undo and redo."""

    def edit(session_id: str, event: gr.EventData) -> Iterator[Update]:
        with as_toast():
            session = services.sessions.get(session_id)
            command = dict(event._data.get("command") or {})
            if session.review is None or session.review.key != event._data.get("key"):
                return  # meant for a clip that has left the page
            try:
                select = _carried_out(services, session, command)
            except WorkbenchError:
                yield {page.events: encode(event_list.payload(services.desk, session, refused=True))}
                raise
        told = {page.events: encode(event_list.payload(services.desk, session, select=select))}
        if command.get("op") in TURNS:
            told = stands(page, services, session)
        found = gr.update(interactive=can_find(session.review))
        yield told | {page.clip: panels.clip_html(session.review), page.find: found}

    page.events.edit(edit, page.session_id, [*changed_by_steps(page), page.clip], **IN_ORDER)


def wire_library(page: Page, services: Services, begin: Begin) -> None:
    """Opening a clip of the library, and "done, next"."""

    def open_clip(session_id: str, event: gr.EventData) -> Iterator[Update]:
        with as_toast():
            _, path = services.desk.find(str(event._data.get("clip")))
        yield {page.rooms: gr.Tabs(selected="review")}
        yield from begin(session_id, str(path))

    def open_next(session_id: str, order: object) -> Iterator[Update]:
        with as_toast():
            session = services.sessions.get(session_id)
            line = shelf.next_line(services.desk, session, order)
            path = services.desk.file_of(line.clip) if line else None
        if path is None:
            gr.Info("Every other clip of the library is done.")
            return
        yield {page.rooms: gr.Tabs(selected="review")}
        yield from begin(session_id, str(path))

    def next_clip(session_id: str, event: gr.EventData) -> Iterator[Update]:
        yield from open_next(session_id, event._data.get("order"))

    def done(session_id: str, event: gr.EventData) -> Iterator[Update]:
        with as_toast():
            session = services.sessions.get(session_id)
            if session.review is None or session.review.key != event._data.get("key"):
                return
            try:
                services.desk.edit(session.review, session.annotator, {"op": "state", "value": "done"})
            except WorkbenchError:
                yield {page.events: encode(event_list.payload(services.desk, session, refused=True))}
                raise
        yield {page.events: encode(event_list.payload(services.desk, session))}
        yield from open_next(session_id, event._data.get("order"))

    outputs = [*page.outputs, page.rooms]
    page.shelf.open(open_clip, page.session_id, outputs, trigger_mode="multiple", **QUIET)
    page.shelf.next(next_clip, page.session_id, outputs, trigger_mode="multiple", **QUIET)
    page.events.done(done, page.session_id, outputs, trigger_mode="multiple", **QUIET)


def wire_arrival(blocks: gr.Blocks, page: Page, services: Services, begin: Begin) -> None:
    """A visitor comes: a session of their own, their name, and the clip that the address names."""

    def arrive(hello: str) -> Iterator[Update]:
        said = _parsed(hello)
        session = services.new_session()
        if len(str(said.get("key", ""))) >= KEY_LENGTH:
            services.recognise(session, str(said["key"]))
        if said.get("name"):
            try:
                services.name(session, str(said["name"]))
            except InputError as error:
                gr.Warning(str(error))
        yield {
            page.session_id: session.id, page.who: session.annotator.name,
            page.shelf: json.dumps({"sid": session.id}), page.tuning: json.dumps({"sid": session.id}),
            page.export: session.id, page.annotate: session.id, page.annotate_all: session.id,
        }  # fmt: skip
        yield {page.header: header(services, session.choice)}
        if said.get("clip"):
            with as_toast():
                _, path = services.desk.find(str(said["clip"]))
            yield from begin(session.id, str(path))

    def rename(session_id: str, event: gr.EventData) -> Update:
        with as_toast():
            session = services.sessions.get(session_id)
            services.name(session, str(event._data.get("name")))
            if session.review is not None and session.review.reviewed is not None:
                services.desk.refresh(session.review, session.annotator)
        return stands(page, services, session) | {page.who: session.annotator.name}

    rooms = [page.rooms, page.shelf, page.tuning, page.export, page.annotate, page.annotate_all]
    coming = [page.session_id, page.who, page.header, *rooms, *page.outputs]
    blocks.load(
        arrive, page.hello, coming, js=HELLO_JS, api_visibility="private", show_progress="hidden",
        concurrency_limit=QUIET["concurrency_limit"],
    )  # fmt: skip
    page.who.rename(rename, page.session_id, [*changed_by_steps(page), page.who], **QUIET)


def _parsed(hello: str) -> dict[str, Any]:
    try:
        said = json.loads(hello or "{}")
    except json.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def shelf_servers(services: Services) -> list[Callable[[dict], Any]]:
    """What the library asks for directly, without the queue: lines and small pictures."""

    def lines(request: dict) -> dict[str, Any]:
        try:
            return shelf.shelf_reply(services.desk, services.sessions.get(str(request.get("sid"))), request)
        except WorkbenchError as error:
            return {"error": told_without_folder(error)}

    def picture(request: dict) -> str | None:
        try:
            return shelf.picture_uri(services.desk, services.sessions.get(str(request.get("sid"))), request)
        except WorkbenchError:
            return None

    return [lines, picture]
