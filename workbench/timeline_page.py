"""`timeline.html`: the timeline in one file that opens anywhere, without a network.

Plotly.js, the pictures and the styles are all inside, and the page's content security policy forbids it to load
anything else. Text from clips, models and people is escaped: it can show, never run.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

import plotly.offline
from PIL import Image

from workbench.files import replacing
from workbench.plots import PALETTES, TICK_STEPS_S, clock, event_label, timeline_figure
from workbench.records import Analysis, Event, Evidence
from workbench.video import Clip

TEMPLATE = Path(__file__).with_name("timeline_page.html")
PICTURE_WIDTH_PX = 240
# A page for half an hour with 32 pictures stays near 5 MB; a few hundred frames would make it unwieldy.
MAX_PICTURES = 96
SUB_SECOND_STEPS = (0.02, 0.05, 0.1, 0.2)


def write_timeline_html(analysis: Analysis, clip: Clip, path: str | Path) -> None:
    """Write the page of an analysis of `clip` to `path`, whole or not at all."""
    pictures = picture_uris(clip, analysis.sampled_frames)
    with replacing(path) as temporary:
        temporary.write_text(timeline_html(analysis, pictures), encoding="utf-8", errors="backslashreplace")


def picture_uris(clip: Clip, frames: Sequence[int], *, width: int = PICTURE_WIDTH_PX) -> dict[int, str]:
    """JPEG data URIs by frame index, at most `MAX_PICTURES` of them, evenly chosen."""
    step = max(1, -(-len(frames) // MAX_PICTURES))
    return {int(frame): jpeg_uri(clip, int(frame), width) for frame in frames[::step]}


def jpeg_uri(clip: Clip, frame: int, width: int) -> str:
    """One frame, `width` pixels wide, as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(clip.thumbnail(frame, width)).save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def timeline_html(analysis: Analysis, pictures: dict[int, str]) -> str:
    """The page as text; `pictures` are data URIs by frame index."""
    name = Path(analysis.clip.path).name
    figures = {theme: json.loads(timeline_figure(analysis, theme=theme).to_json()) for theme in PALETTES}
    for figure in figures.values():
        figure["layout"].pop("template", None)
    data = json.dumps({"figures": figures, "pictures": pictures, "steps": [*SUB_SECOND_STEPS, *TICK_STEPS_S]})
    values = {
        "title": html.escape(name),
        "facts": html.escape(_facts(analysis)),
        "verdict": _verdict(analysis),
        "sections": "\n".join(filter(None, _sections(analysis, pictures))),
        "footer": html.escape(f"{analysis.clip.path} · sha256 {analysis.clip.sha256}"),
        "plotly_js": plotly.offline.get_plotlyjs(),
        # Inside <script> only "<" could end the data early; JSON may write it as an escape.
        "data": data.replace("<", "\\u003c"),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], TEMPLATE.read_text(encoding="utf-8"))


def _facts(analysis: Analysis) -> str:
    clip = analysis.clip
    rate = f"{clip.fps:.5g} frames/s" + (" on average" if clip.variable_rate else "")
    facts = [clock(clip.duration_s, 1), f"{clip.n_frames} frames", rate, f"{clip.width}×{clip.height}"]
    facts += [f"scored every {analysis.dense.stride} frames" if analysis.dense.stride > 1 else "every frame scored"]
    facts += [f"profile {analysis.profile}"] + ([f"adapter {analysis.adapter}"] if analysis.adapter else [])
    return " · ".join(facts)


def _verdict(analysis: Analysis) -> str:
    count = len(analysis.events)
    if not count:
        return f'<p class="verdict">Nothing above the threshold of {analysis.threshold:.2f}</p>'
    peak = max(analysis.events, key=lambda event: event.peak_score)
    events = "1 event" if count == 1 else f"{count} events"
    return (
        f'<p class="verdict abnormal">{events} above the threshold of {analysis.threshold:.2f}, '
        f"the highest ({peak.peak_score:.2f}) at {clock(peak.peak_s, 1)}</p>"
    )


def _sections(analysis: Analysis, pictures: dict[int, str]) -> list[str]:
    return [
        _section("Note", _list([*analysis.clip.warnings, *analysis.warnings])),
        _section("Events", _events(analysis)),
        _section("Frames the model saw", _strip(analysis, pictures)),
        _section("Who", _instances(analysis)),
        _section("Questions and answers", _dialogue(analysis)),
    ]


def _section(title: str, body: str) -> str:
    return f"<section><h2>{html.escape(title)}</h2>{body}</section>" if body else ""


def _list(items: Sequence[str]) -> str:
    unique = dict.fromkeys(items)
    return '<ul class="notes">' + "".join(f"<li>{html.escape(item)}</li>" for item in unique) + "</ul>" if items else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    if not rows:
        return ""
    head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _events(analysis: Analysis) -> str:
    def row(event: Event) -> list[str]:
        span = f"{clock(event.start_s, 1)} – {clock(event.end_s, 1)}"
        length = f"{event.end_s - event.start_s:.1f} s"
        return [html.escape(event_label(event)), span, length, f"{event.peak_score:.2f} at {clock(event.peak_s, 1)}"]

    return _table(["What", "When", "Length", "Peak"], [row(event) for event in analysis.events])


def _strip(analysis: Analysis, pictures: dict[int, str]) -> str:
    times = dict(zip(analysis.dense.frame_index.tolist(), analysis.dense.time_s.tolist(), strict=True))
    cells = []
    for position, frame in enumerate(analysis.sampled_frames):
        if frame not in pictures:
            continue
        time_s = times[frame]
        inside = any(event.start_s <= time_s <= event.end_s for event in analysis.events)
        cells.append(
            f'<figure data-index="{position}"{" class=inside" if inside else ""}>'
            f'<img src="{pictures[frame]}" alt="Frame {frame}">'
            f"<figcaption><span>{clock(time_s, 1)}</span><span>{frame}</span></figcaption></figure>"
        )
    return f'<div class="strip">{"".join(cells)}</div>' if cells else ""


def _instances(analysis: Analysis) -> str:
    rows = [
        [
            f'<span class="role {html.escape(item.role)}">{html.escape(item.role)} {item.id}</span>',
            html.escape(item.category),
            html.escape(item.appearance),
            html.escape(item.motion),
            f"frames {item.first_frame} – {item.last_frame}",
        ]
        for item in analysis.instances
    ]
    return _table(["Role", "Kind", "Appearance", "Motion", "Seen"], rows)


def _dialogue(analysis: Analysis) -> str:
    def evidence(item: Evidence) -> str:
        span = f"{clock(item.start_s, 1)} – {clock(item.end_s, 1)}"
        return span if item.instance_id is None else f"{span}, instance {item.instance_id}"

    turns = []
    for turn in analysis.dialogue:
        spans = " · ".join(evidence(item) for item in turn.evidence)
        small = f"<br><small>{html.escape(spans)}</small>" if spans else ""
        turns.append(f"<dt>{html.escape(turn.question)}</dt><dd>{html.escape(turn.answer)}{small}</dd>")
    return f"<dl>{''.join(turns)}</dl>" if turns else ""
