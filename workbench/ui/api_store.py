"""The named endpoints about the store: `correct` writes a correction, `export` hands out what was reviewed.

client.predict("3fa9…", "event", "a1.e0", "end_s", 12.5, "ann", "", api_name="/correct")
path = client.predict("csv", "", api_name="/export")
"""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.corrections import clips, history
from workbench.corrections.log import MAIN
from workbench.errors import InputError, WorkbenchError
from workbench.exports import get_format
from workbench.records import ClipRecord, SubjectKind
from workbench.ui.desk import Desk
from workbench.ui.services import Services

EDITABLE: tuple[SubjectKind, ...] = ("video", "event", "caption", "instance", "turn")
# The suffix of formats that are one file, and of those that are one file a clip; all others make a folder.
SUFFIXES = {
    "hivau": ".json", "hivau-jsonl": ".jsonl", "hivau-conversations": ".jsonl", "iac": ".json", "coco": ".json",
    "labelstudio": ".json", "csv": ".csv",
}  # fmt: skip
CLIP_SUFFIXES = {"vtt": ".vtt", "srt": ".srt", "cvat": ".xml"}


def _any_value() -> gr.JSON:
    """A JSON value of any kind, told to agents in a valid schema: `gr.JSON` itself says `{"type": {}}`, which is none.

    No subclass: Gradio writes a stub beside every module that has one.
    """
    kinds: list[dict[str, Any]] = [{"type": kind} for kind in ("string", "number", "boolean", "object", "null")]
    schema = {"anyOf": [*kinds, {"type": "array", "items": {}}], "description": "any valid json"}
    value = gr.JSON(label="value")
    value.api_info = lambda: schema  # type: ignore[method-assign]
    return value


def add_store_endpoints(services: Services) -> None:
    """Add the endpoints to the Blocks being built."""
    desk = services.desk

    def correct(
        clip: str, subject: str, subject_id: str, field: str, value: Any, annotator: str, reason: str = ""
    ) -> dict[str, Any]:
        """Correct one field of what is known of a clip; the change is a row of the history before this returns.

        Args:
            clip: the beginning of the clip's sha256 (12 digits or more), or its name.
            subject: video, event, caption, instance or turn.
            subject_id: which one; ignored for video.
            field: such as start_s, end_s, category, judgement, description, role, answer or state.
            value: the new value as JSON: a number, a text, a list, or null to empty it.
            annotator: whose name the history bears.
            reason: why, in a few words; may be empty.
        """
        try:
            kind = next((name for name in EDITABLE if name == subject), None)
            if kind is None:
                raise InputError(f"There is no subject {subject!r}; choose one of {', '.join(EDITABLE)}.")
            by = desk.annotator(annotator)
            record = find(desk, clip)
            change = history.edit(kind, "video" if kind == "video" else subject_id, field, value)
            revision = history.save(
                desk.store, record.id, [change], annotator=by.name, layer=by.layer, reason=reason or None
            )
        except WorkbenchError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return {"clip": record.name, "sha256": record.sha256, "revision": revision}

    def export(format: str, clip: str = "") -> str:  # noqa: A002 (the name that callers use)
        """Write what was reviewed as a file of a format that other programs read.

        Args:
            format: hivau, hivau-jsonl, hivau-conversations, iac, hf, coco, yolo, cvat, datumaro, labelstudio, csv,
                vtt or srt.
            clip: the beginning of one clip's sha256, or its name; empty: the whole store.
        """
        try:
            return str(write_export(services, format, clip))
        except WorkbenchError as error:
            raise gr.Error(str(error), print_exception=False) from error

    with gr.Row(visible=False):
        words = {name: gr.Textbox(label=name) for name in ("clip", "subject", "subject_id", "field", "annotator")}
        value, reason, said = _any_value(), gr.Textbox(label="reason", value=""), gr.JSON(label="saved")
        name, one = gr.Textbox(label="format"), gr.Textbox(label="clip", value="")
        written = gr.File(label="export")
        start = gr.Button("run")
    asked = [words["clip"], words["subject"], words["subject_id"], words["field"], value, words["annotator"], reason]
    start.click(correct, asked, said, api_name="correct")
    start.click(export, [name, one], written, api_name="export")


def find(desk: Desk, clip: str) -> ClipRecord:
    """The clip that a program means, by hash or name; among strangers by hash only. Raises StoreError, InputError."""
    wanted = clip.strip()
    with desk.store.reading() as db:
        named = None if desk.public else clips.find_by_name(db, wanted)
    if named is not None:
        return named
    return desk.record_of(wanted)


def write_export(services: Services, format_name: str, clip: str, *, layer: str = MAIN) -> Path:
    """Write one clip, or all, into the work folder. → the file; a zip where the format makes several.

    Raises:
        FormatError: no such format, or something does not fit. StoreError: no such clip.
        InputError: strangers share the page and no clip is named.
    """
    desk, target = services.desk, get_format(format_name.strip())
    if not clip.strip() and desk.public:
        raise InputError("Name the clip to export: this page is shared, so the whole store is not handed out.")
    suffix = SUFFIXES.get(target.name, "")
    if clip.strip():
        chosen = iter([clips.current(desk.store, find(desk, clip).id, layer)])
        suffix = suffix or CLIP_SUFFIXES.get(target.name, "")
    else:
        chosen = clips.reviewed_clips(desk.store, layer)
    folder = services.exports_dir / secrets.token_hex(8)
    out = folder / "reviewed" / f"{target.name}{suffix}"
    out.parent.mkdir(parents=True)
    target.write(chosen, out)
    written = list(out.parent.iterdir())
    if written == [out] and out.is_file():
        return out
    return Path(shutil.make_archive(str(folder / f"reviewed-{target.name}"), "zip", out.parent))
