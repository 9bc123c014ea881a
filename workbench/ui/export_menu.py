"""Export: the menu beside the tabs (plain), and what it asks for directly: a file, a case, a push to the Hub.

What may take long (files cut, a push) is a job of `outgoing`, with progress and a way to cancel it.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from workbench import hub
from workbench.corrections import clips
from workbench.errors import InputError, WorkbenchError
from workbench.exports import FORMATS, get_format
from workbench.ui import outgoing
from workbench.ui.api_store import write_case_file, write_export
from workbench.ui.runs import Report
from workbench.ui.services import Services
from workbench.ui.session import Session
from workbench.ui.toasts import told_without_folder

FIRST = ("csv", "hivau", "coco")  # what most people want comes first
CASES = {"case": "case report (zip)", "case-pixelated": "case report, bystanders pixelated (zip)"}  # of one clip
WITH_FILES = ("hivau", "hivau-jsonl", "hivau-conversations")  # videos cut under the names that their lines use
_HERE = Path(__file__).parent


def menu_html(*, public: bool) -> str:
    """The menu: which clips, then a button a format."""
    rows = sorted(FORMATS.values(), key=lambda row: FIRST.index(row.name) if row.name in FIRST else len(FIRST))
    titles = {row.name: row.title for row in rows} | CASES
    buttons = "".join(
        f'<button type="button" data-format="{html.escape(name)}">{html.escape(title)}</button>'
        for name, title in titles.items()
    )
    every = "" if public else '<label><input type="radio" name="aw-export-of" value="all">all clips</label>'
    template = (_HERE / "export_menu.html").read_text("utf-8")
    return template.replace("FORMATS", buttons).replace("EVERY", every)


def export_reply(services: Services, request: Mapping[str, Any]) -> dict[str, Any]:
    """Write `{format, all}` for a session. → the address and the name of the file.

    Raises:
        InputError: no clip is open. FormatError: no such format, or something does not fit. ClipError: the video of
            a case does not decode.
    """
    session = services.sessions.get(str(request.get("sid")))
    clip = _which(services, session, request)
    name, layer = str(request.get("format")), session.annotator.layer
    if name in CASES:
        if not clip:
            raise InputError("A case is of one clip: choose “this clip”.")
        return _told(write_case_file(services, clip, layer=layer, pixelate=name != "case"))
    return _told(write_export(services, name, clip, layer=layer))


def begin_media(services: Services, session: Session, request: Mapping[str, Any]) -> None:
    """Begin a job that writes `{format, all}` with the videos cut into events and clips.

    Raises:
        InputError: no clip is open, or another job runs. FormatError: there is no such format, or it has no videos.
    """
    clip, layer = _which(services, session, request), session.annotator.layer
    target = get_format(str(request.get("format")))
    if target.name not in WITH_FILES:
        raise InputError(f"{target.title} go without videos; choose one of the HIVAU-70k formats.")

    def work(report: Report) -> dict[str, Any]:
        notes: list[str] = []
        path = write_export(services, target.name, clip, layer=layer, media_notes=notes, report=report)
        return _told(path) | {"notes": notes[:20]}

    outgoing.begin(services, session, f"the export as {target.title}", work, nothing="nothing was written")


def begin_push(services: Services, session: Session, request: Mapping[str, Any]) -> None:
    """Begin a job that pushes `{repo, all}`.

    Raises:
        HubError: there is no token. InputError: no clip is open, `repo` is no name, or another job runs.
    """
    desk, layer = services.desk, session.annotator.layer
    if desk.public:
        raise InputError("This page is shared, so nothing is pushed from it; run the workbench on your own.")
    reason = hub.why_not()
    if reason is not None:
        raise hub.HubError(reason)
    repo = hub.check_repo(str(request.get("repo") or ""))
    number = None if request.get("all") else session.require_review().require_reviewed().clip.id

    def work(report: Report) -> dict[str, Any]:
        if number is None:
            chosen = clips.reviewed_clips(desk.store, layer)
        else:
            chosen = iter([clips.current(desk.store, number, layer)])
        return {"url": hub.push_dataset(chosen, repo, report=report), "repo": repo}

    outgoing.begin(services, session, f"the push to {repo}", work, nothing="nothing was published")


def _which(services: Services, session: Session, request: Mapping[str, Any]) -> str:
    """The content hash of the clip that is asked for; empty: all. Raises InputError as `export_reply`."""
    if request.get("all"):
        if services.desk.public:
            raise InputError("This page is shared, so only the clip on it is handed out.")
        return ""
    review = session.require_review()
    review.require_reviewed()
    return review.clip.info.sha256


def _told(path: Path) -> dict[str, Any]:
    return {"url": f"gradio_api/file={quote(str(path.resolve()))}", "name": path.name}


def build_export(services: Services) -> gr.HTML:
    """The menu; its value is the session's id."""
    starts = {
        "media": lambda session, request: begin_media(services, session, request),
        "push": lambda session, request: begin_push(services, session, request),
    }

    def write(request: dict) -> dict[str, Any]:
        try:
            return export_reply(services, request)
        except WorkbenchError as error:
            return {"error": told_without_folder(error)}

    def send(request: dict) -> dict[str, Any]:
        try:
            return outgoing.outgoing_reply(services, request, starts)
        except WorkbenchError as error:
            return {"error": told_without_folder(error)}

    return gr.HTML(
        value="", html_template=menu_html(public=services.desk.public),
        js_on_load=(_HERE / "export_menu.js").read_text("utf-8"), apply_default_css=False,
        server_functions=[write, send], elem_id="aw-export",
    )  # fmt: skip
