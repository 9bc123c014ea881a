"""What a case says, as texts ready for its page: the template only places them and escapes every one."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from workbench.corrections.history import describe
from workbench.exports.case_data import PERSONAL, CaseFile
from workbench.exports.case_pictures import KeyFrame, Pictures
from workbench.plots import clock
from workbench.records import (
    CaptionedClip,
    Correction,
    Provenance,
    ReviewedEvent,
    ReviewedInstance,
    ReviewedTurn,
    Texts,
)

MAX_ROWS = 3000  # of the history in the page; all are in history.jsonl
_PACKAGES = ("torch", "transformers", "sam2", "av", "moviepy")
_LONG, _SHORT = 480, 36


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of the header."""

    name: str
    value: str
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class EventView:
    """An event: its number in the report from 1, what and when it was, what is said of it, and what shows it."""

    number: int
    id: str
    category: str
    when: str
    length: str
    peak: str
    made_by: str
    confirmed: bool
    texts: list[tuple[str, str]]
    captions: list[tuple[str, str]]
    key_frames: list[KeyFrame]
    poster: str
    clip: str


@dataclass(frozen=True, slots=True)
class InstanceView:
    """An instance: who takes part, what it looks like and how it moves, where it was seen."""

    number: int
    id: str
    role: str
    category: str
    appearance: str
    motion: str
    event: str
    seen: str
    made_by: str
    portrait: str


@dataclass(frozen=True, slots=True)
class RowView:
    """A row of the history. `before` and `after` are set where one text or number took the place of another."""

    number: int
    when: str
    who: str
    what: str
    before: str | None
    after: str | None
    reason: str
    layer: str
    previous: str
    hash: str
    is_short: bool
    is_personal: bool


def header(case: CaseFile, made_at: str) -> list[Fact]:
    """Clip, models, people and dates."""
    clip, analysis = case.reviewed.clip, case.analysis
    facts = [Fact("File", (clip.path or clip.origin or "no video").replace("\\", "/").rsplit("/", 1)[-1])]
    length = [clock(clip.duration_s, 1)] if clip.duration_s else []
    length += [f"{clip.n_frames} frames"] if clip.n_frames else []
    length += [f"{clip.fps:.5g} frames/s"] if clip.fps else []
    length += [f"{clip.width}×{clip.height}"] if clip.width else []
    facts.append(Fact("Length", " · ".join(length) or "unknown"))
    if analysis:
        facts.append(Fact("Profile", analysis.profile + (f" · adapter {analysis.adapter}" if analysis.adapter else "")))
        asked = case.reviewed.threshold
        changed = "" if asked is None else f" · reviewer's {asked:.2f}"
        facts.append(Fact("Threshold", f"{analysis.threshold:.2f}{changed}"))
    else:
        facts.append(Fact("Profile", "none: never analysed"))
    if case.analyses:
        facts.append(Fact("Analysed", when(case.analyses[-1].at)))
    facts.append(Fact("Reviewed by", ", ".join(case.reviewers) or "nobody yet"))
    rows = [row for row in case.history if row.action in PERSONAL]
    if rows:
        first, last = when(rows[0].at), when(rows[-1].at)
        facts.append(Fact("Corrections", f"{len(rows)}, {first}" + (f" to {last}" if last != first else "")))
    if case.reviewed.layer != "main":
        facts.append(Fact("Layer", case.reviewed.layer))
    facts.append(Fact("Report made", when(made_at)))
    facts.append(Fact("SHA-256", clip.sha256 or "unknown", is_code=True))
    return facts


def events(case: CaseFile, pictures: Pictures) -> list[EventView]:
    """All events, in the order in which they stand."""
    return [_event(i, event, pictures) for i, event in enumerate(case.reviewed.events, start=1)]


def _event(number: int, event: ReviewedEvent, pictures: Pictures) -> EventView:
    frames = pictures.key_frames.get(event.id, [])
    peak = "" if event.peak_score is None else f"{event.peak_score:.2f}"
    if event.peak_s is not None:
        peak = f"{peak} at {clock(event.peak_s, 1)}".strip()
    timed = event.start_s is not None and event.end_s is not None
    return EventView(
        number=number,
        id=event.id,
        category=event.category or "abnormal",
        when=span(event.start_s, event.end_s),
        length=f"{event.end_s - event.start_s:.1f} s" if timed else "",  # type: ignore[operator]
        peak=peak,
        made_by=made_by(event.provenance),
        confirmed=event.verdict == "confirmed",
        texts=texts(event.texts),
        captions=[(span(part.start_s, part.end_s), _caption(part)) for part in event.clips],
        key_frames=frames,
        poster=next((frame.large_uri for frame in frames if frame.large_uri), ""),
        clip=pictures.clips.get(event.id, ""),
    )


def instances(case: CaseFile, pictures: Pictures) -> list[InstanceView]:
    """All instances, in the order in which they stand."""
    places = {event.id: str(i) for i, event in enumerate(case.reviewed.events, start=1)}

    def seen(item: ReviewedInstance) -> str:
        first, last = item.instance.first_frame, item.instance.last_frame
        times = pictures.seen_s.get(item.id) or _times_of(case, first, last)
        return span(*times) if times else f"frames {first} – {last}"

    return [
        InstanceView(
            number=item.instance.id,
            id=item.id,
            role=item.instance.role,
            category=item.instance.category,
            appearance=item.instance.appearance,
            motion=item.instance.motion,
            event=places.get(item.event_id or "", ""),
            seen=seen(item),
            made_by=made_by(item.provenance),
            portrait=pictures.portraits.get(item.id, ""),
        )
        for item in case.reviewed.instances
    ]


def _times_of(case: CaseFile, first: int, last: int) -> tuple[float, float] | None:
    """When two frames were shown, told without the video; None where nobody can say."""
    analysis, fps = case.analysis, case.reviewed.clip.fps
    if analysis is None or not analysis.clip.variable_rate:
        return (first / fps, last / fps) if fps else None
    known = dict(zip(analysis.dense.frame_index.tolist(), analysis.dense.time_s.tolist(), strict=True))
    return (known[first], known[last]) if first in known and last in known else None


def dialogue(items: Iterable[ReviewedTurn]) -> list[tuple[str, str, str, str]]:
    """Question, answer, evidence and who says so of each turn."""
    rows = []
    for item in items:
        spans = [
            span(e.start_s, e.end_s) + (f", instance {e.instance_id}" if e.instance_id is not None else "")
            for e in item.turn.evidence
        ]
        rows.append((item.turn.question, item.turn.answer, " · ".join(spans), made_by(item.provenance)))
    return rows


def history(rows: Iterable[Correction]) -> list[RowView]:
    """Rows of the history, oldest first."""
    return [_row(row) for row in rows]


def _row(row: Correction) -> RowView:
    is_small = bool(row.field) and all(_is_plain(value) for value in (row.before, row.after))
    what = f"{row.field.replace('analysis_text', 'analysis')} of {row.subject} {row.subject_id}".replace(
        f" {row.subject} {row.subject}", f" the {row.subject}"
    )
    verb = {"undo": "undid: ", "redo": "redid: "}.get(row.action, "")
    return RowView(
        number=row.seq,
        when=when(row.at, seconds=True),
        who=row.annotator,
        what=verb + what if is_small else describe(row).removeprefix(f"{row.annotator} "),
        before=_said(row.before) if is_small else None,
        after=_said(row.after) if is_small else None,
        reason=row.reason or "",
        layer="" if row.layer == "main" else row.layer,
        previous=row.previous_hash,
        hash=row.hash,
        is_short=max(len(_said(row.before)), len(_said(row.after))) <= _SHORT,
        is_personal=row.action in PERSONAL,
    )


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float) or (isinstance(value, list) and len(value) < 20)


def _said(value: object) -> str:
    if value is None:
        return "nothing"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


def texts(said: Texts) -> list[tuple[str, str]]:
    """The three texts that were written, then the running text where it says something else."""
    named = {"Judgement": said.judgement, "Description": said.description, "Analysis": said.analysis}
    named["Summary"] = said.summary
    return [(name, text) for name, text in named.items() if text]


def made_by(source: Provenance) -> str:
    """Who says so: `model bundled, changed by ann and bob`."""
    adapter = f" with {source.adapter}" if source.adapter else ""
    name = {"model": f"model {source.name}", "import": f"imported from {source.name}"}.get(source.kind, source.name)
    changed = [person for person in source.edited_by if not (source.kind == "human" and person == source.name)]
    return name + adapter + (f", changed by {' and '.join(changed)}" if changed else "")


def span(start_s: float | None, end_s: float | None) -> str:
    """`1:02.5 – 1:08.0`."""
    return "no times" if start_s is None or end_s is None else f"{clock(start_s, 1)} – {clock(end_s, 1)}"


def when(at: str, *, seconds: bool = False) -> str:
    """A time of the store as `2026-03-01 14:05 UTC`."""
    layout = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M UTC"
    return datetime.fromisoformat(at).strftime(layout)


def versions() -> dict[str, str]:
    """Of Python and the packages that this report was made with."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _caption(part: CaptionedClip) -> str:
    return part.caption or "(no caption)"
