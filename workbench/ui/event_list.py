"""The events panel and the bar of undo, saved and state: what they are told (plain), and the components."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from workbench.corrections import history
from workbench.records import REVIEW_STATES, Analysis, Event, ReviewedEvent
from workbench.ui.desk import Desk
from workbench.ui.editing import overlap
from workbench.ui.session import Review, Session
from workbench.ui.timeline import peak_frame

_HERE = Path(__file__).parent
NOTHING = "Nothing rises above the threshold. Lower it on the timeline, or add an event at the playhead (n)."
_EPSILON_S = 5e-3


def original(event: ReviewedEvent, analysis: Analysis) -> Event | None:
    """What the model said where the event is: the event of the analysis that it overlaps most, if any does."""
    nearest = max(analysis.events, key=lambda said: overlap(event, said), default=None)
    return nearest if nearest is not None and overlap(event, nearest) > 0 else None


def is_changed(event: ReviewedEvent, analysis: Analysis) -> bool:
    """Whether a person made it, or changed more of it than the verdict."""
    if event.provenance.kind == "human":
        return True
    if not event.provenance.edited_by:
        return False
    texts = event.texts
    if any((texts.judgement, texts.description, texts.analysis)):
        return True
    return not any(_same(event, said) for said in analysis.events)


def _same(event: ReviewedEvent, said: Event) -> bool:
    if event.start_s is None or event.end_s is None or event.category != said.category:
        return False
    return abs(event.start_s - said.start_s) < _EPSILON_S and abs(event.end_s - said.end_s) < _EPSILON_S


def event_row(number: int, event: ReviewedEvent, review: Review) -> dict[str, Any]:
    """One event as the page knows it."""
    analysis = review.analysis
    assert analysis is not None
    start, end = event.start_s or 0.0, event.end_s if event.end_s is not None else analysis.clip.duration_s
    peak_s = event.peak_s if event.peak_s is not None else (start + end) / 2
    changed = is_changed(event, analysis)
    said = original(event, analysis) if changed and event.provenance.kind == "model" else None
    moved = said is not None and (abs(said.start_s - start) > _EPSILON_S or abs(said.end_s - end) > _EPSILON_S)
    return {
        "id": event.id, "number": number, "start_s": round(start, 4), "end_s": round(end, 4),
        "peak_s": round(peak_s, 4), "peak_score": round(event.peak_score or 0.0, 4),
        "peak_frame": peak_frame(review, peak_s), "category": event.category,
        "judgement": event.texts.judgement, "description": event.texts.description, "analysis": event.texts.analysis,
        "source": event.provenance.kind, "by": ", ".join(event.provenance.edited_by) or event.provenance.name,
        "verdict": event.verdict, "changed": changed,
        "was": {"start_s": round(said.start_s, 4), "end_s": round(said.end_s, 4)} if said and moved else None,
    }  # fmt: skip


def payload(desk: Desk, session: Session, *, select: str | None = None, refused: bool = False) -> dict[str, Any] | None:
    """What the page knows of the events on it. `serial` grows, so that the same state is told again after an error."""
    review = session.review
    if review is None:
        return None
    session.serial += 1
    told: dict[str, Any] = {
        "key": review.key, "clip": review.clip.info.sha256[:16], "serial": session.serial, "analysed": False,
        "events": [], "rejected": [], "categories": [], "refused": refused, "select": select,
    }  # fmt: skip
    reviewed = review.reviewed
    if reviewed is None or review.analysis is None:
        return told
    by = session.annotator
    undo, redo = desk.turnable(review, by)
    newest = history.page(desk.store, clip=reviewed.clip.id, limit=1)
    ordered = sorted(reviewed.events, key=lambda e: (e.start_s or 0.0, e.id))
    threshold = reviewed.threshold if reviewed.threshold is not None else review.analysis.threshold
    return told | {
        "analysed": True, "revision": reviewed.revision, "state": reviewed.state, "undo": undo, "redo": redo,
        "saved_at": newest[0].at if newest else None, "threshold": round(float(threshold), 4), "nothing": NOTHING,
        "events": [event_row(number, event, review) for number, event in enumerate(ordered, 1)],
        "rejected": [
            {"id": r.event.id, "start_s": r.event.start_s, "end_s": r.event.end_s, "category": r.event.category}
            for r in desk.rejected(review, by)
        ],
        "categories": [
            {"id": c.id, "name": c.name, "parent": c.parent} for c in desk.taxonomy().offered()
        ],
    }  # fmt: skip


def build_events() -> gr.HTML:
    """The panel; its value is the payload as JSON text. It triggers `edit` (`key`, `command`) and `done` (`key`)."""
    return gr.HTML(
        value="", html_template=(_HERE / "event_list.html").read_text("utf-8"),
        js_on_load=(_HERE / "event_list.js").read_text("utf-8"), apply_default_css=False, elem_id="aw-events",
    )  # fmt: skip


def build_bar() -> gr.HTML:
    """Undo, redo, saved, state. It has no value of its own: it listens to the events panel."""
    states = "".join(f'<option value="{state}">{state}</option>' for state in REVIEW_STATES)
    template = (_HERE / "desk_bar.html").read_text("utf-8").replace("STATES", states)
    return gr.HTML(
        value="", html_template=template, js_on_load=(_HERE / "desk_bar.js").read_text("utf-8"),
        apply_default_css=False, elem_id="aw-desk",
    )  # fmt: skip
