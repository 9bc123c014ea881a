"""What Python writes as HTML: the clip's line, progress, the frames that were read. Every string is escaped.

Anything with `data-frame` or `data-seek-s` takes the viewer there when it is clicked (see `bus.js`).
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from workbench.analysis import motion_leads
from workbench.plots import clock
from workbench.records import Event, ReviewedEvent
from workbench.ui.runs import Progress
from workbench.ui.session import Review

STAGES = {"encode": "reading the clip", "score": "scoring", "done": "finishing", "instances": "finding instances"}


def _hint(text: str) -> str:
    return f'<p class="aw-hint">{html.escape(text)}</p>'


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
        reviewed = review.reviewed
        begun = reviewed is not None and reviewed.state != "new"
        events = reviewed.events if reviewed else review.analysis.events
        verdict = verdict_html(events, "no event" if begun else "nothing above threshold")
    told = " · ".join([review.name, *facts])
    warnings = "; ".join(review.analysis.warnings if review.analysis else info.warnings)
    word = " motion leads" if review.analysis and motion_leads(review.analysis.dense.parts) else ""
    mark = f'<abbr title="{html.escape(warnings)}">⚠{word}</abbr>' if warnings else ""
    return (
        f'<div class="aw-clip"><strong title="{html.escape(told)}">{html.escape(review.name)}</strong>'
        f"{mark}<span>{html.escape(' · '.join(facts))}</span>{verdict}</div>"
    )


def ordinal(number: int) -> str:
    """2 → `2nd`, 11 → `11th`, 16 → `16th`."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def verdict_html(events: Sequence[Event | ReviewedEvent], nothing: str) -> str:
    """The verdict in a word, with the highest score; `nothing` where there is no event."""
    if not events:
        return f'<b class="aw-verdict is-calm">{html.escape(nothing)}</b>'
    peak = max(event.peak_score or 0.0 for event in events)
    return f'<b class="aw-verdict is-hot">{len(events)} event{"s" * (len(events) > 1)} · peak {peak:.2f}</b>'


def progress_html(progress: Progress | None, note: str = "") -> str:
    """The progress bar with the name of its stage; an empty slot of the same height when nothing runs."""
    if progress is None:
        return f'<div class="aw-progress is-idle" title="{html.escape(note)}">{html.escape(note)}</div>'
    percent = round(100 * progress.fraction)
    stage = html.escape(STAGES.get(progress.stage, progress.stage))
    state = f'aria-valuenow="{percent}" aria-valuemin="0" aria-valuemax="100" aria-valuetext="{stage}"'
    return (
        f'<div class="aw-progress" role="progressbar" aria-label="Progress" {state}>'
        f'<span>{stage}</span><i style="width:{percent}%"></i><em>{percent} %</em></div>'
    )


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
