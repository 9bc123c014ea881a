"""The page follows what the annotation engine has written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.corrections import clips
from workbench.ui.services import Services
from workbench.ui.toasts import as_toast
from workbench.ui.wiring import QUIET, changed_by_steps, stands

if TYPE_CHECKING:
    from workbench.ui.app import Page

Update = dict[Any, Any]


def wire_annotation(page: Page, services: Services) -> None:
    """Whenever a clip is finished, the one on the page is told as it stands, if it has moved on."""

    def written(session_id: str) -> Update:
        with as_toast():
            session = services.sessions.get(session_id)
            review, by = session.review, session.annotator
            if review is None or review.reviewed is None:
                return {}
            with services.desk.store.reading() as db:
                newest = clips.revision(db, review.reviewed.clip.id, by.layer)
            if newest == review.reviewed.revision:
                return {}
            services.desk.refresh(review, by)
            return stands(page, services, session)

    for menu in (page.annotate, page.annotate_all):
        menu.written(written, page.session_id, changed_by_steps(page), trigger_mode="multiple", **QUIET)
