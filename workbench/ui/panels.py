"""What Python writes as HTML: the clip's line, events, instances, evidence chips. Every string from outside is escaped.

Anything with `data-frame` or `data-seek-s` takes the viewer there when it is clicked (see `bus.js`).
"""

from __future__ import annotations

import html
from collections.abc import Iterable

from workbench.plots import clock
from workbench.records import Event, Evidence, Instance
from workbench.ui.runs import Progress
from workbench.ui.session import Review
from workbench.ui.timeline import peak_frame
from workbench.ui.viewer import role_colour

SEEK_JS = "window.aw.seekers(element);"
STAGES = {"encode": "reading the clip", "score": "scoring", "done": "finishing", "instances": "finding instances"}
NO_EVENTS = "Nothing here rises above the threshold. The curve and the heatmap still show where it came closest."
NO_EVIDENCE = "this answer names no evidence in the clip"


def _hint(text: str) -> str:
    return f'<p class="aw-hint">{html.escape(text)}</p>'


def header_html(stack_line: str, note: str) -> str:
    """Product name, profile and device, and the one honest line about the stack."""
    return (
        '<header class="aw-header" role="banner"><h1>Anomaly Workbench</h1>'
        f'<span class="aw-stack">{html.escape(stack_line)}</span>'
        f'<span class="aw-honest" title="{html.escape(note)}">{html.escape(note)}</span>'
        '<button type="button" data-theme-toggle aria-label="Dark or light">◐</button></header>'
    )


def clip_html(review: Review | None) -> str:
    """Name and numbers of the clip, then the verdict."""
    if review is None:
        return '<div class="aw-clip"><strong>No clip open</strong></div>'
    info = review.clip.info
    facts = [f"{info.width}×{info.height}", f"{info.fps:.4g} fps{' (variable)' if info.variable_rate else ''}"]
    facts += [f"{info.n_frames} frames", clock(info.duration_s, 1)]
    verdict = ""
    if review.analysis is not None:
        stride = review.analysis.dense.stride
        facts.append("every frame scored" if stride == 1 else f"every {ordinal(stride)} frame scored")
        verdict = verdict_html(review.analysis.events)
    warnings = "; ".join(review.analysis.warnings if review.analysis else info.warnings)
    mark = f'<abbr title="{html.escape(warnings)}">⚠</abbr>' if warnings else ""
    return (
        f'<div class="aw-clip"><strong title="{html.escape(review.name)}">{html.escape(review.name)}</strong>'
        f"{mark}<span>{html.escape(' · '.join(facts))}</span>{verdict}</div>"
    )


def ordinal(number: int) -> str:
    """2 → `2nd`, 11 → `11th`, 16 → `16th`."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def verdict_html(events: list[Event]) -> str:
    """The verdict in a word, with the highest score."""
    if not events:
        return '<b class="aw-verdict is-calm">nothing above threshold</b>'
    peak = max(event.peak_score for event in events)
    return f'<b class="aw-verdict is-hot">{len(events)} event{"s" * (len(events) > 1)} · peak {peak:.2f}</b>'


def progress_html(progress: Progress | None, note: str = "") -> str:
    """The progress bar with the name of its stage; an empty slot of the same height when nothing runs."""
    if progress is None:
        return f'<div class="aw-progress is-idle">{html.escape(note)}</div>'
    percent = round(100 * progress.fraction)
    stage = html.escape(STAGES.get(progress.stage, progress.stage))
    state = f'aria-valuenow="{percent}" aria-valuemin="0" aria-valuemax="100" aria-valuetext="{stage}"'
    return (
        f'<div class="aw-progress" role="progressbar" aria-label="Progress" {state}>'
        f'<span>{stage}</span><i style="width:{percent}%"></i><em>{percent} %</em></div>'
    )


def events_html(review: Review | None) -> str:
    """The events as a table; a row takes the viewer to its peak."""
    if review is None or review.analysis is None:
        return _hint("Events appear here once the clip is analysed.")
    events = review.analysis.events
    if not events:
        return _hint(NO_EVENTS)
    rows = []
    for number, event in enumerate(events, 1):
        cells = [
            str(number), event.category or "anomaly", clock(event.start_s, 2), clock(event.end_s, 2),
            f"{event.end_s - event.start_s:.2f} s", clock(event.peak_s, 2),
        ]  # fmt: skip
        bar = f'<i style="width:{100 * event.peak_score:.0f}%"></i><b>{event.peak_score:.2f}</b>'
        rows.append(
            f'<tr tabindex="0" data-frame="{peak_frame(review, event.peak_s)}" '
            f'aria-label="Event {number}: {html.escape(cells[1])}">'
            f"{''.join(f'<td>{html.escape(c)}</td>' for c in cells)}<td class='aw-meter'>{bar}</td></tr>"
        )
    head = "".join(f"<th>{h}</th>" for h in ("#", "Event", "From", "To", "Length", "Peak at", "Peak score"))
    return f'<table class="aw-table"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def instances_html(review: Review | None) -> str:
    """The instances as cards: role, looks, motion, when; a card takes the viewer there and marks its box."""
    if review is None or review.analysis is None:
        return _hint("People and objects that take part in the events appear here.")
    if not review.instances:
        return _hint("Press “Find instances” to look for who takes part, with masks, roles and a description each.")
    return f'<div class="aw-instances">{"".join(instance_card(review, i) for i in review.instances)}</div>'


def instance_card(review: Review, instance: Instance) -> str:
    """One instance."""
    times = review.clip.times_s
    first, last = (float(times[min(max(0, f), len(times) - 1)]) for f in (instance.first_frame, instance.last_frame))
    lines = [("looks", instance.appearance), ("moves", instance.motion)]
    texts = "".join(f"<p><i>{k}</i>{html.escape(v)}</p>" for k, v in lines if v)
    return (
        f'<article class="aw-instance" style="--role:{role_colour(instance.role)}" tabindex="0" '
        f'data-frame="{instance.first_frame}" data-instance="{instance.id}" '
        f'aria-label="Instance {instance.id}, {html.escape(instance.role)}">'
        f"<h3><b>{instance.id}</b>{html.escape(instance.role)}<span>{html.escape(instance.category)}</span>"
        f"<time>{clock(first, 1)}–{clock(last, 1)}</time></h3>{texts}</article>"
    )


def chips_html(evidence: Iterable[Evidence], *, answered: bool) -> str:
    """The evidence of the newest answer as chips that seek; an answer without any is marked so."""
    chips = []
    for item in dict.fromkeys(evidence):
        span = f"{clock(item.start_s, 1)}–{clock(item.end_s, 1)}"
        who = f"instance {item.instance_id} · " if item.instance_id is not None else ""
        extra = f' data-instance="{item.instance_id}"' if item.instance_id is not None else ""
        where = f'data-seek-s="{item.start_s:.4f}" data-until-s="{item.end_s:.4f}"{extra}'
        chips.append(f'<button type="button" class="aw-chip" {where}>{who}{span}</button>')
    if chips:
        return f'<div class="aw-chips"><span>rests on</span>{"".join(chips)}</div>'
    return f'<div class="aw-chips">{f"<span>{NO_EVIDENCE}</span>" if answered else ""}</div>'


def sampled_html(review: Review | None, session_id: str) -> str:
    """The frames the language model was shown, in order; pictures are fetched when they come into view."""
    if review is None or review.analysis is None:
        return _hint("The frames that the language model reads appear here.")
    scores = review.analysis.frame_score
    tiles = [
        f'<button type="button" class="aw-tile" data-frame="{frame}" aria-label="Frame {frame}"><img alt="">'
        f"<span>{clock(float(review.clip.times_s[frame]), 2)}<b>{float(scores[frame]):.2f}</b></span></button>"
        for frame in review.analysis.sampled_frames
    ]
    return f'<div class="aw-tiles" data-sid="{html.escape(session_id)}" data-key="{review.key}">{"".join(tiles)}</div>'


SAMPLED_JS = """
window.aw.seekers(element);
const fill = () => {
  const grid = element.querySelector('.aw-tiles');
  if (!grid) return;
  for (const tile of grid.querySelectorAll('.aw-tile')) {
    const image = tile.querySelector('img'), id = `${grid.dataset.key}/${tile.dataset.frame}`;
    if (image.dataset.id === id) continue;
    image.dataset.id = id;
    window.aw.thumbnail(server, grid.dataset.sid, grid.dataset.key, Number(tile.dataset.frame))
      .then((source) => { if (source && image.dataset.id === id) image.src = source; });
  }
};
watch('value', fill);
fill();
"""
