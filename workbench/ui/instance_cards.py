"""The cards of the instances: what they are told, and the component that draws and edits them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from workbench.records import ROLES, ReviewedInstance
from workbench.ui.instances import standing
from workbench.ui.session import Review
from workbench.ui.viewer import role_colour

TEMPLATE = """
<div class="aw-cast" tabindex="-1">
  <p class="aw-hint"></p>
  <div class="aw-instances" role="group" aria-label="Instances"></div>
</div>
"""
NOT_YET = "People and objects that take part in the events appear here once the clip is analysed."
NONE_FOUND = (
    "Press “Find instances” to look for who takes part, or draw a box around somebody on the picture (key r): "
    "masks, roles and a description each."
)
_HERE = Path(__file__).parent


def cards_payload(session_id: str, review: Review | None) -> dict[str, Any]:
    """What the cards show: `items`, in the order of their numbers, and a `hint` where there are none."""
    if review is None or review.analysis is None or review.reviewed is None:
        return {"sid": session_id, "key": "", "items": [], "roles": list(ROLES), "hint": NOT_YET}
    items = [_card(review, number, item) for number, item in sorted(standing(review).items())]
    hint = "" if items else NONE_FOUND
    return {"sid": session_id, "key": review.key, "items": items, "roles": list(ROLES), "hint": hint}


def _card(review: Review, number: int, item: ReviewedInstance) -> dict[str, Any]:
    instance, times = item.instance, review.clip.times_s
    first, last = (float(times[min(max(0, f), len(times) - 1)]) for f in (instance.first_frame, instance.last_frame))
    people = item.provenance.edited_by or ((item.provenance.name,) if item.provenance.kind == "human" else ())
    return {
        "id": number, "role": instance.role, "colour": role_colour(instance.role), "category": instance.category,
        "appearance": instance.appearance, "motion": instance.motion, "first_frame": instance.first_frame,
        "last_frame": instance.last_frame, "first_s": round(first, 4), "last_s": round(last, 4),
        "frames": len(instance.boxes_xyxy.keys() | instance.masks_rle.keys()), "by": ", ".join(people),
    }  # fmt: skip


def build_cards() -> gr.HTML:
    """The component; its value is `cards_payload` as JSON text, and `amend` is its event."""
    return gr.HTML(
        value="", html_template=TEMPLATE, js_on_load=(_HERE / "instances.js").read_text("utf-8"),
        apply_default_css=False, elem_id="aw-cast",
    )  # fmt: skip
