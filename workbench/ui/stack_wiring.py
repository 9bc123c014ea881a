"""The header's events: another model stack for the clip on the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import gradio as gr

from workbench.errors import WorkbenchError
from workbench.ui import review, stack_menu
from workbench.ui.services import Services
from workbench.ui.session import Session
from workbench.ui.stacks import Choice
from workbench.ui.toasts import as_toast
from workbench.ui.wiring import QUIET

if TYPE_CHECKING:
    from workbench.ui.app import Page

Update = dict[Any, Any]
Show = Callable[[str, review.PageView], Update]


def header(services: Services, choice: Choice | None, *, loading: bool = False) -> str:
    """The header for a choice. Waits until the stack is loaded, unless it says that it is `loading`."""
    profile = services.profile_of(choice)
    if loading:
        return stack_menu.header_html(f"{profile.title} · loading…", profile.note)
    line = services.stack_line(choice)
    menu = stack_menu.menu_html(services.stacks.options(), choice or services.stacks.first)
    return stack_menu.header_html(line, profile.note, menu)


def wire_stacks(page: Page, services: Services, show: Show) -> None:
    """Choosing a stack: loaded, then the clip on the page is analysed with it; refused or cancelled, the old stays."""

    def choose(session_id: str, event: gr.EventData) -> Iterator[Update]:
        with as_toast():
            session = services.sessions.get(session_id)
            try:
                choice = services.stacks.check(event._data.get("profile"), event._data.get("adapter"))
                yield {page.header: header(services, choice, loading=True)}
                yield from (show(session_id, view) for view in review.switch(services, session, choice))
            except WorkbenchError:
                yield stays(session)
                raise
        yield {page.header: header(services, session.choice)}

    def stays(session: Session) -> Update:
        shown = {} if _busy(session) else show(session.id, review.current(session))
        return {page.header: header(services, session.choice)} | shown

    page.header.choose(choose, page.session_id, [page.header, *page.outputs], trigger_mode="multiple", **QUIET)


def _busy(session: Session) -> bool:
    return session.run is not None and session.run.active
