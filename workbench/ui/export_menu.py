"""Export: the menu beside the tabs (plain), and what it asks for directly. The file is written when it is asked for."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from workbench.errors import InputError, WorkbenchError
from workbench.exports import FORMATS
from workbench.ui.api_store import write_export
from workbench.ui.services import Services

FIRST = ("csv", "hivau", "coco")  # what most people want comes first
_HERE = Path(__file__).parent


def menu_html(*, public: bool) -> str:
    """The menu: which clips, then a button a format."""
    rows = sorted(FORMATS.values(), key=lambda row: FIRST.index(row.name) if row.name in FIRST else len(FIRST))
    buttons = "".join(
        f'<button type="button" data-format="{html.escape(row.name)}">{html.escape(row.title)}</button>' for row in rows
    )
    every = "" if public else '<label><input type="radio" name="aw-export-of" value="all">all clips</label>'
    template = (_HERE / "export_menu.html").read_text("utf-8")
    return template.replace("FORMATS", buttons).replace("EVERY", every)


def export_reply(services: Services, request: Mapping[str, Any]) -> dict[str, Any]:
    """Write `{format, all}` for a session. → the address and the name of the file.

    Raises:
        InputError: no clip is open. FormatError: no such format, or something does not fit.
    """
    session = services.sessions.get(str(request.get("sid")))
    clip = "" if request.get("all") else session.require_review().clip.info.sha256
    if clip:
        session.require_review().require_reviewed()
    elif services.desk.public:
        raise InputError("This page is shared, so only the clip on it is handed out.")
    path = write_export(services, str(request.get("format")), clip, layer=session.annotator.layer)
    name = download_name(session.require_review().name if clip else "", str(request.get("format")), path)
    return {"url": f"gradio_api/file={quote(str(path.resolve()))}", "name": name}


def download_name(clip: str, format_name: str, path: Path) -> str:
    """What the browser calls the file: after the clip, and after the format where the ending does not tell it."""
    stem, ending = Path(clip).stem[:80] or "reviewed", path.suffix
    return f"{stem}{ending}" if ending == f".{format_name}" else f"{stem}-{format_name}{ending}"


def build_export(services: Services) -> gr.HTML:
    """The menu; its value is the session's id."""

    def write(request: dict) -> dict[str, Any]:
        try:
            return export_reply(services, request)
        except WorkbenchError as error:
            return {"error": str(error)}

    return gr.HTML(
        value="", html_template=menu_html(public=services.desk.public),
        js_on_load=(_HERE / "export_menu.js").read_text("utf-8"), apply_default_css=False, server_functions=[write],
        elem_id="aw-export",
    )  # fmt: skip
