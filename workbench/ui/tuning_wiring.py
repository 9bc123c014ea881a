"""Which event of the Fine-tune room calls what, and how the page follows when another adapter comes into use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import gradio as gr

from workbench.errors import WorkbenchError
from workbench.ui import tuning
from workbench.ui.services import Services
from workbench.ui.session import Session
from workbench.ui.stack_wiring import header
from workbench.ui.toasts import as_toast, told_without_folder
from workbench.ui.wiring import QUIET

if TYPE_CHECKING:
    from workbench.ui.app import Page
    from workbench.ui.desk_wiring import Begin

Update = dict[Any, Any]


def tuning_servers(services: Services) -> list[Callable[[dict], Any]]:
    """What the room asks for directly, without the queue; it asks again while something runs."""

    def runs(request: dict) -> dict[str, Any]:
        try:
            services.sessions.get(str(request.get("sid")))
            return tuning.tuning_reply(services, request)
        except WorkbenchError as error:
            return {"error": told_without_folder(error)}

    return [runs]


def told(session: Session, job: int | None = None) -> str:
    """The room's value: whose it is, and that something has changed."""
    session.serial += 1
    return json.dumps({"sid": session.id, "serial": session.serial, "job": job})


def wire_tuning(page: Page, services: Services, begin: Begin) -> None:
    """Starting, stopping, adopting, rejecting."""

    def carried_out(session_id: str, work: Callable[[Session], Any]) -> Iterator[Update]:
        """The room as it stands after a command, also after one that was refused."""
        with as_toast():
            session = services.sessions.get(session_id)
            try:
                job = work(session)
            except WorkbenchError:
                yield {page.tuning: told(session)}
                raise
            yield {page.tuning: told(session, job)}

    def start(session_id: str, event: gr.EventData) -> Iterator[Update]:
        yield from carried_out(session_id, lambda session: tuning.begin(services, session, event._data))

    def control(session_id: str, event: gr.EventData) -> Iterator[Update]:
        yield from carried_out(session_id, lambda _: tuning.control(services, event._data))

    def decide(session_id: str, event: gr.EventData) -> Iterator[Update]:
        before = services.active_adapter()
        yield from carried_out(session_id, lambda session: tuning.decide(services, session, event._data))
        if services.active_adapter() != before:
            yield from follow(services.sessions.get(session_id))

    def follow(session: Session) -> Iterator[Update]:
        """Load the stack with what is in use now, say so, and judge the clip on the page again."""
        services.reload()
        yield {page.header: header(services, None)}
        yield {page.tuning: told(session)}
        if session.review is not None and session.review.file is not None:
            gr.Info(f"{session.review.name} is judged again with what is in use now.")
            yield {page.rooms: gr.Tabs(selected="review")}
            yield from begin(session.id, str(session.review.file), session.review.name)

    page.tuning.begin(start, page.session_id, page.tuning, **QUIET)
    page.tuning.control(control, page.session_id, page.tuning, **QUIET)
    outputs = [page.tuning, page.header, page.rooms, *page.outputs]
    page.tuning.decide(decide, page.session_id, outputs, **QUIET)
