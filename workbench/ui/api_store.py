"""The named endpoints about the store: `correct` writes a correction, `export` hands out what was reviewed.

client.predict("3fa9…", "event", "a1.e0", "end_s", 12.5, "ann", "", api_name="/correct")
path = client.predict("csv", "", api_name="/export")
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.corrections import clips, history
from workbench.corrections.log import MAIN
from workbench.errors import FormatError, InputError, WorkbenchError
from workbench.exports import get_format
from workbench.exports.case import CaseOptions, write_case
from workbench.exports.folders import pack
from workbench.files import unwritable
from workbench.records import ClipRecord, ReviewedClip, SubjectKind
from workbench.ui.desk import Desk
from workbench.ui.services import Services

EDITABLE: tuple[SubjectKind, ...] = ("video", "event", "caption", "instance", "turn")
# The suffix of formats that are one file, and of those that are one file a clip; all others make a folder.
SUFFIXES = {
    "hivau": ".json", "hivau-jsonl": ".jsonl", "hivau-conversations": ".jsonl", "coco": ".json",
    "labelstudio": ".json", "csv": ".csv",
}  # fmt: skip
CLIP_SUFFIXES = {"vtt": ".vtt", "srt": ".srt", "cvat": ".xml", "iac": ".json"}
_HOLDS = {"csv": "events", "vtt": "events", "srt": "events"}  # what a file holds, where its format does not say it
_MOST_BYTES = 100  # of the clip's part of a name


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


def write_export(
    services: Services,
    format_name: str,
    clip: str,
    *,
    layer: str = MAIN,
    media_notes: list[str] | None = None,
    report: Callable[..., None] | None = None,
) -> Path:
    """Write one clip, or all, into the work folder. → the file; a zip where the format makes several.

    Args:
        media_notes: put the videos in too; takes a sentence for each file that could not be. None: no videos.
        report: told what is being written and the share done; what it raises ends the writing.

    Raises:
        FormatError: no such format, or something does not fit. StoreError: no such clip.
        InputError: strangers share the page and no clip is named.
    """
    desk, target = services.desk, get_format(format_name.strip())
    if not clip.strip() and desk.public:
        raise InputError("Name the clip to export: this page is shared, so the whole store is not handed out.")
    suffix = SUFFIXES.get(target.name, "")
    named = desk.store.path.stem
    if clip.strip():
        record = find(desk, clip)
        named, suffix = record.name, suffix or CLIP_SUFFIXES.get(target.name, "")
        chosen, count = iter([clips.current(desk.store, record.id, layer)]), 1
    else:
        chosen, count = clips.reviewed_clips(desk.store, layer), desk.store.info().counts["clips"]
    stem = export_name(named, target.name)
    place = 0

    def counted() -> Iterator[ReviewedClip]:
        nonlocal place
        for place, reviewed in enumerate(chosen):  # noqa: B007 - counts
            watch(f"writing {reviewed.clip.name}", 0.0)
            yield reviewed

    def watch(what: str, share: float) -> None:
        if report is not None:
            report(what, (place + share) / max(1, count))

    with _new_folder(services) as folder:
        out = folder / "files" / f"{stem}{suffix}"
        out.parent.mkdir(parents=True)
        target.write(counted(), out, media_notes=media_notes, watch=watch)
        written = list(out.parent.iterdir())
        if written == [out]:
            if out.is_file():
                return out
            whole = out
        else:
            whole = out.parent
        if report is not None:
            report("packing", 1.0)
        pack(whole, folder / f"{stem}.zip", stem)
        shutil.rmtree(out.parent)
        return folder / f"{stem}.zip"


def write_case_file(services: Services, clip: str, *, layer: str = MAIN, pixelate: bool = False) -> Path:
    """Write the case of one clip into the work folder. → the zip. Raises as `write_export`, and `ClipError`."""
    record = find(services.desk, clip)
    options = CaseOptions(layer, pixelate=pixelate, may_lack_video=True)
    with _new_folder(services) as folder:
        out = folder / f"{export_name(record.name, 'case')}.zip"
        return write_case(services.desk.store, record.id, out, options).path


def export_name(named: str, format_name: str) -> str:
    """The name of an exported file without its suffix: the clip's or the store's, then what it holds.

    Letters, digits, dots, dashes and underscores only, so that any file system takes it and a shell needs no quotes.
    """
    safe = re.sub(r"[^\w.-]+", "-", named).strip("-._")
    safe = safe.encode()[:_MOST_BYTES].decode(errors="ignore").strip("-._") or "clip"
    return f"{safe}-{_HOLDS.get(format_name, format_name)}"


@contextmanager
def _new_folder(services: Services) -> Iterator[Path]:
    """A folder for one export, gone again where it fails. Raises FormatError where the disk refuses."""
    folder = services.exports_dir / secrets.token_hex(8)
    try:
        folder.mkdir(parents=True)
        yield folder
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise FormatError(unwritable("The export", error, "check the folder for exports of the workbench")) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
