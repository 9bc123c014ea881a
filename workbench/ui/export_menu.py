"""Export: the menu beside the tabs (plain), and what it asks for directly: a file, a case, a push to the Hub."""

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
from workbench.exports import FORMATS
from workbench.ui.api_store import write_case_file, write_export
from workbench.ui.services import Services

FIRST = ("csv", "hivau", "coco")  # what most people want comes first
CASES = {"case": "case report (zip)", "case-pixelated": "case report, bystanders pixelated (zip)"}  # of one clip
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
    clip = "" if request.get("all") else session.require_review().clip.info.sha256
    if clip:
        session.require_review().require_reviewed()
    elif services.desk.public:
        raise InputError("This page is shared, so only the clip on it is handed out.")
    name, layer = str(request.get("format")), session.annotator.layer
    if name in CASES:
        if not clip:
            raise InputError("A case is of one clip: choose “this clip”.")
        path = write_case_file(services, clip, layer=layer, pixelate=name != "case")
    else:
        path = write_export(services, name, clip, layer=layer)
    return {"url": f"gradio_api/file={quote(str(path.resolve()))}", "name": path.name}


def push_reply(services: Services, request: Mapping[str, Any]) -> dict[str, Any]:
    """Push `{repo, all}` for a session. → the repository and the address of the commit.

    Raises:
        HubError: there is no token, no network, or the Hub refuses. InputError: no clip is open, or `repo` is no name.
    """
    session = services.sessions.get(str(request.get("sid")))
    desk, layer = services.desk, session.annotator.layer
    if desk.public:
        raise InputError("This page is shared, so nothing is pushed from it; run the workbench on your own.")
    reason = hub.why_not()
    if reason is not None:
        raise hub.HubError(reason)
    repo = hub.check_repo(str(request.get("repo") or ""))
    chosen = clips.reviewed_clips(desk.store, layer)
    if not request.get("all"):
        chosen = iter([clips.current(desk.store, session.require_review().require_reviewed().clip.id, layer)])
    return {"url": hub.push_dataset(chosen, repo), "repo": repo}


def build_export(services: Services) -> gr.HTML:
    """The menu; its value is the session's id."""

    def write(request: dict) -> dict[str, Any]:
        try:
            return export_reply(services, request)
        except WorkbenchError as error:
            return {"error": str(error)}

    def push(request: dict) -> dict[str, Any]:
        try:
            return push_reply(services, request)
        except WorkbenchError as error:
            return {"error": str(error)}

    return gr.HTML(
        value="", html_template=menu_html(public=services.desk.public),
        js_on_load=(_HERE / "export_menu.js").read_text("utf-8"), apply_default_css=False,
        server_functions=[write, push], elem_id="aw-export",
    )  # fmt: skip
