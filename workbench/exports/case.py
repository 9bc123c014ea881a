"""The case bundle: everything known of one clip in a folder or zip that opens anywhere, without a network or program.

    DIR/index.html      the report: timeline, key frames, texts, instances, dialogue, history
        clips/*.mp4     each event cut out, at most 1280 pixels long, without sound
        analysis.json   the latest analysis with its scores (if the clip was analysed)
        history.jsonl   every row of the clip's history with all its columns
        manifest.json   the sha256 of each of these files

What it cannot hold: the whole video (its sha256 says which one it was), heatmaps, and rows of other clips, so that the
chain of hashes has gaps where those stood. Pixelation hides bystanders in pictures and clips; the words about them
stay, and so do their outlines and the path of the video in analysis.json and history.jsonl. It is for export only.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from workbench import serial
from workbench.corrections.log import MAIN, now
from workbench.corrections.store import Store
from workbench.errors import FormatError
from workbench.exports import case_view as view
from workbench.exports.case_chart import draw_chart
from workbench.exports.case_data import CaseFile, check_history, find_clip, load_case, write_history
from workbench.exports.case_pictures import Pictures, make_pictures
from workbench.exports.cuts import open_media
from workbench.exports.folders import pack, refuse_existing
from workbench.exports.manifest import Bundle, read_file, verify_manifest, write_manifest
from workbench.exports.writing import FileNames, new_folder
from workbench.files import unwritable

KIND = "anomaly workbench case"
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class CaseOptions:
    """How a case is made.

    layer: whose view. pixelate: hide bystanders. video: where the video is now, if it was moved. without_video: make
    the case without pictures and clips. may_lack_video: do so, with a note, where the video is not to be found.
    """

    layer: str = MAIN
    pixelate: bool = False
    video: Path | None = None
    without_video: bool = False
    may_lack_video: bool = False


@dataclass(frozen=True, slots=True)
class CaseMade:
    """What was written: where, the manifest's own sha256 to note down, and what a person should know."""

    path: Path
    sha256: str
    events: int
    rows: int
    notes: list[str] = field(default_factory=list)


def write_case(store: Store, clip: str | int, out: Path, options: CaseOptions | None = None) -> CaseMade:
    """Write the case of a clip to a folder, or to a zip if `out` ends so; whole or not at all.

    Args:
        clip: name, sha256 or path of the clip, or its number.

    Raises:
        StoreError: the store does not know the clip. FormatError: something is at `out` already, or the video is not
            where it was. ClipError: the video does not decode.
    """
    options = options or CaseOptions()
    number = clip if isinstance(clip, int) else find_clip(store, clip).id
    case = load_case(store, number, options.layer)
    try:
        if out.suffix.lower() == ".zip":
            return _write_zip(case, out, options)
        out.parent.mkdir(parents=True, exist_ok=True)
        with new_folder(out) as folder:
            return _fill(case, folder, out, options)
    except OSError as error:
        raise FormatError(unwritable(out, error)) from error


def _write_zip(case: CaseFile, out: Path, options: CaseOptions) -> CaseMade:
    refuse_existing(out)
    with TemporaryDirectory(prefix="workbench-case-") as temporary:
        folder = Path(temporary) / "case"
        folder.mkdir()
        made = _fill(case, folder, out, options)
        out.parent.mkdir(parents=True, exist_ok=True)
        pack(folder, out, FileNames().give(out.stem))
    return made


def verify_case(path: Path, *, expect: str | None = None) -> Bundle:
    """Check every file of a case against its manifest, then the hashes of its history.

    Args:
        path: the folder or zip. expect: the sha256 that the manifest had when the case was made.

    Raises:
        FormatError: it is no case, or a file is missing, was changed or was added; the sentence names the first.
    """
    bundle = verify_manifest(path, KIND, expect=expect)
    with read_file(path, "history.jsonl") as lines:
        check_history(lines, f"{path}: history.jsonl")
    return bundle


def _fill(case: CaseFile, folder: Path, out: Path, options: CaseOptions) -> CaseMade:
    pictures = _pictures(case, folder, options)
    notes = list(pictures.notes)
    if case.fault:
        notes.insert(0, f"The history of the store is not as it was written: {case.fault}")
    if case.analysis:
        notes += [*case.analysis.clip.warnings, *case.analysis.warnings]
        (folder / "analysis.json").write_text(serial.to_json(case.analysis) + "\n", encoding="utf-8", newline="\n")
    rows = write_history(case.history, folder / "history.jsonl")
    made_at = now()
    page = render_page(case, pictures, made_at, notes=notes, pixelated=options.pixelate)
    (folder / "index.html").write_text(page, encoding="utf-8", newline="\n")
    clip = case.reviewed.clip
    about = {
        "made_at": made_at,
        "clip": {"name": clip.name, "sha256": clip.sha256},
        "layer": case.reviewed.layer,
        "revision": case.reviewed.revision,
        "history": {"rows": rows, "head_of_store": case.head, "intact": case.fault is None},
        "bystanders_pixelated": options.pixelate,
    }
    sha256 = write_manifest(folder, KIND, about)
    return CaseMade(out, sha256, len(case.reviewed.events), rows, notes)


def _pictures(case: CaseFile, folder: Path, options: CaseOptions) -> Pictures:
    reviewed = case.reviewed
    if options.without_video:
        return Pictures(notes=["This case was made without the video, so it has no pictures and no clips."])
    if reviewed.clip.sha256 is None:
        return Pictures(notes=["The clip was imported without its video, so there are no pictures and no clips."])
    try:
        video = open_media(reviewed.clip, options.video)
    except FormatError as error:
        if options.may_lack_video:
            return Pictures(notes=[str(error)])
        hint = "name where it is now (case --video FILE), or leave it out (case --without-video)"
        raise FormatError(f"{str(error).rpartition('; ')[0]}; {hint}.") from error
    with closing(video):
        return make_pictures(video, reviewed, folder, pixelate=options.pixelate)


def render_page(
    case: CaseFile, pictures: Pictures, made_at: str, *, notes: list[str] | None = None, pixelated: bool = False
) -> str:
    """The report as HTML. Everything that clips, models and people said is escaped: it can show, never run."""
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    rows = view.history(case.history[-view.MAX_ROWS :])
    bystanders = sum(item.instance.role == "bystander" for item in case.reviewed.instances)
    return environment.get_template("case_page.html").render(
        style=Markup((_HERE / "case_page.css").read_text(encoding="utf-8")),
        title=case.reviewed.clip.name,
        case=case,
        facts=view.header(case, made_at),
        verdict=_verdict(case),
        notes=list(dict.fromkeys(notes or ())),
        chart=Markup(draw_chart(case.reviewed, case.analysis)),
        texts=view.texts(case.reviewed.texts),
        events=view.events(case, pictures),
        instances=view.instances(case, pictures),
        dialogue=view.dialogue(case.reviewed.dialogue),
        rows=rows,
        rows_left_out=len(case.history) - len(rows),
        analyses=case.analyses,
        versions=view.versions(),
        made_at=view.when(made_at),
        when=view.when,
        pixelated=pixelated,
        bystanders=bystanders,
    )


def _verdict(case: CaseFile) -> str:
    count, label = len(case.reviewed.events), case.reviewed.label
    said = "No event" if count == 0 else "1 event" if count == 1 else f"{count} events"
    names = [name for name in label or dict.fromkeys(event.category or "" for event in case.reviewed.events) if name]
    words = ", ".join(dict.fromkeys(re.sub(r"\s+", " ", name) for name in names))
    return said + (f": {words}" if words else " · normal" if label == () else "")
