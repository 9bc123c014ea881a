"""The library: what its cards are told (plain), and the component. Its lines come from the catalogue of the store."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.corrections import catalogue
from workbench.corrections.catalogue import Line
from workbench.errors import InputError, StoreError
from workbench.ui.desk import Desk
from workbench.ui.session import Session

MAX_LINES = 500
_HERE = Path(__file__).parent


def visible(desk: Desk, session: Session) -> set[str] | None:
    """Content hashes of the clips that a visitor may see; None: all."""
    return set(session.opened) if desk.public else None


def shelf_reply(desk: Desk, session: Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """The lines for `{search, status, order}`, and how many clips there are of each status. Raises `InputError`."""
    status = str(request.get("status") or "all")
    found = catalogue.lines(
        desk.store, layer=session.annotator.layer, search=str(request.get("search") or ""),
        order=_order(request), only=visible(desk, session),
    )  # fmt: skip
    if status not in ("all", *catalogue.STATUSES):
        raise InputError(f"There is no status {status!r}; choose one of {', '.join(catalogue.STATUSES)}.")
    counts = Counter(line.status for line in found)
    shown = [line for line in found if status in ("all", line.status)]
    return {"lines": [_line(line) for line in shown[:MAX_LINES]], "counts": counts, "total": len(found)}


def next_line(desk: Desk, session: Session, order: object) -> Line | None:
    """The clip to open next in an order: not done, with its video, and not the one on the page."""
    current = session.review.clip.info.sha256 if session.review else None
    found = catalogue.lines(
        desk.store, layer=session.annotator.layer, order=_order({"order": order}), only=visible(desk, session)
    )
    return catalogue.next_clip((line for line in found if _has_file(desk, line)), current)


def picture_uri(desk: Desk, session: Session, request: Mapping[str, Any]) -> str | None:
    """The small picture of a clip as a `data:` URI; None where there is none."""
    clip = str(request.get("clip"))
    allowed = visible(desk, session)
    if not clip.isalnum() or (allowed is not None and clip not in allowed):
        return None
    path = desk.thumbnail_path(clip)
    if not path.is_file():
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _order(request: Mapping[str, Any]) -> catalogue.Order:
    wanted = request.get("order")
    return next((order for order in catalogue.ORDERS if order == wanted), "score")


def _has_file(desk: Desk, line: Line) -> bool:
    try:
        desk.file_of(line.clip)
    except StoreError:
        return False
    return True


def _line(line: Line) -> dict[str, Any]:
    return {
        "clip": line.clip.sha256, "name": line.clip.name, "status": line.status, "events": line.events,
        "top_score": None if line.top_score is None else round(line.top_score, 4), "doubt": round(line.doubt, 4),
        "categories": list(line.categories), "corrections": line.corrections, "duration_s": line.clip.duration_s,
    }  # fmt: skip


def build_shelf(*servers: Callable[[dict], Any]) -> gr.HTML:
    """The library; its value is `{"sid": …}` as JSON text. It triggers `open` (`clip`) and `next` (`order`)."""
    return gr.HTML(
        value="", html_template=(_HERE / "shelf.html").read_text("utf-8"),
        js_on_load=(_HERE / "shelf.js").read_text("utf-8"), apply_default_css=False, server_functions=list(servers),
        elem_id="aw-shelf",
    )  # fmt: skip


def build_who() -> gr.HTML:
    """Whose name the history bears; triggers `rename` (`name`)."""
    return gr.HTML(
        value="", html_template=(_HERE / "who.html").read_text("utf-8"),
        js_on_load=(_HERE / "who.js").read_text("utf-8"), apply_default_css=False, elem_id="aw-who",
    )  # fmt: skip
