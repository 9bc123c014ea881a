"""The timeline as a Plotly figure: score, parts, threshold, events, and which frames the model saw.

Colours are of the Okabe-Ito set, so they stay apart for colour-blind eyes, in a light and a dark variant.
`workbench.timeline_page` puts the figure into a page of its own.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from workbench.records import Analysis, Event
from workbench.stack.fusion import FAMILIARITY
from workbench.stack.sampler import sample_frames

Theme = Literal["light", "dark"]
FONT = 'Inter, "Segoe UI", "Helvetica Neue", Helvetica, Arial, sans-serif'
# A label needs about this share of the width; an event nearer than that to a labelled one stays unlabelled.
LABEL_SPACING = 0.09
TICK_STEPS_S = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of one variant, as CSS colours."""

    paper: str
    text: str
    muted: str
    grid: str
    score: str
    score_fill: str
    parts: tuple[str, ...]
    event: str
    event_fill: str
    frame: str
    frame_edge: str


PALETTES: dict[Theme, Palette] = {
    "light": Palette(
        paper="#ffffff",
        text="#1c2430",
        muted="#66707f",
        grid="#e8ebf0",
        score="#0072B2",
        score_fill="rgba(0,114,178,0.14)",
        parts=("#B3578D", "#007D5A", "#8A6D00"),
        event="#B84E00",
        event_fill="rgba(213,94,0,0.13)",
        frame="#E69F00",
        frame_edge="#ffffff",
    ),
    "dark": Palette(
        paper="#12161d",
        text="#e8ecf2",
        muted="#98a3b3",
        grid="#262d38",
        score="#56B4E9",
        score_fill="rgba(86,180,233,0.18)",
        parts=("#CC79A7", "#1FB58A", "#D8C64A"),
        event="#FF8A3D",
        event_fill="rgba(255,138,61,0.18)",
        frame="#F0B429",
        frame_edge="#12161d",
    ),
}


def clock(seconds: float, decimals: int = 0) -> str:
    """`75.25` → `1:15` (or `1:15.25` with two decimals); hours appear when there are any."""
    ticks = round(max(0.0, seconds) * 10**decimals)
    whole, rest = divmod(ticks, 10**decimals)
    minutes, second = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02d}:{second:02d}" if hours else f"{minutes}:{second:02d}"
    return f"{text}.{rest:0{decimals}d}" if decimals else text


def timeline_figure(
    analysis: Analysis, thumbnails: Mapping[int, str] | None = None, *, theme: Theme = "light"
) -> go.Figure:
    """Draw the timeline of an analysis.

    Args:
        analysis: what to draw; the curve has one point per dense frame.
        thumbnails: data URIs by frame index. The marker of a sampled frame carries `[frame, clock text, data URI]` in
            its `customdata`, for a page that shows the picture on hover (Plotly's own hover text cannot). Points of
            the score begin with `[frame, clock text]` too.
        theme: colours for a light or a dark page.

    Returns:
        A figure with time in seconds on x. Traces are found by their `meta`: `score`, `part:NAME`, `events`,
        `sampled`, `lane:sampled`, `lane:uniform`.
    """
    palette = PALETTES[theme]
    figure = go.Figure()
    _add_parts(figure, analysis, palette)
    _add_score(figure, analysis, palette)
    _add_threshold(figure, analysis, palette)
    _add_events(figure, analysis, palette)
    _add_sampled(figure, analysis, thumbnails or {}, palette)
    _lay_out(figure, analysis, palette)
    return figure


def _times_of(analysis: Analysis, frames: Sequence[int]) -> np.ndarray:
    """Times of dense frames given by frame index; float64 [len(frames)]."""
    dense = analysis.dense
    return dense.time_s[np.searchsorted(dense.frame_index, frames).clip(max=len(dense.time_s) - 1)]


def _add_parts(figure: go.Figure, analysis: Analysis, palette: Palette) -> None:
    curves = {name: values for name, values in analysis.dense.parts.items() if name != FAMILIARITY}
    for position, (name, values) in enumerate(curves.items()):
        figure.add_scatter(
            x=analysis.dense.time_s,
            y=values,
            mode="lines",
            name=html.escape(name),
            meta=f"part:{name}",
            line={"color": palette.parts[position % len(palette.parts)], "width": 1.1},
            opacity=0.85,
            hoverinfo="skip",
        )


def _add_score(figure: go.Figure, analysis: Analysis, palette: Palette) -> None:
    dense = analysis.dense
    names = [html.escape(name) for name in dense.parts]
    columns = [dense.frame_index.tolist(), [clock(time, 2) for time in dense.time_s]]
    columns += [[f"{value:.2f}" for value in part] for part in dense.parts.values()]
    parts = "".join(f"<br>{name} %{{customdata[{2 + position}]}}" for position, name in enumerate(names))
    figure.add_scatter(
        x=dense.time_s,
        y=dense.score,
        mode="lines" if len(dense.time_s) > 1 else "markers",
        name="score",
        meta="score",
        legendrank=1,
        line={"color": palette.score, "width": 2.2},
        fill="tozeroy",
        fillcolor=palette.score_fill,
        customdata=[list(row) for row in zip(*columns, strict=True)],
        hovertemplate="<b>%{customdata[1]}</b> · frame %{customdata[0]}<br><b>score %{y:.2f}</b>"
        + parts
        + "<extra></extra>",
    )


def _add_threshold(figure: go.Figure, analysis: Analysis, palette: Palette) -> None:
    figure.add_hline(
        y=analysis.threshold,
        line={"color": palette.muted, "width": 1, "dash": "dash"},
        annotation={
            "text": f"threshold {analysis.threshold:.2f}",
            "font": {"size": 11, "color": palette.muted},
            "xanchor": "right",
            "yanchor": "bottom",
            "bgcolor": palette.paper,
            "opacity": 0.9,
        },
    )


def event_label(event: Event) -> str:
    """What to call an event where there is little room."""
    return event.category or "abnormal"


def _add_events(figure: go.Figure, analysis: Analysis, palette: Palette) -> None:
    if not analysis.events:
        return
    spacing = LABEL_SPACING * max(analysis.clip.duration_s, 1e-6)
    labelled_until = -np.inf
    for event in analysis.events:
        figure.add_shape(
            type="rect",
            x0=event.start_s,
            x1=event.end_s,
            y0=0,
            y1=1,
            yref="y domain",
            fillcolor=palette.event_fill,
            line_width=0,
            layer="below",
        )
        middle = (event.start_s + event.end_s) / 2
        if middle - labelled_until < spacing:
            continue
        labelled_until = middle
        figure.add_annotation(
            x=middle,
            y=1.0,
            yref="y domain",
            yanchor="bottom",
            text=f"<b>{html.escape(event_label(event))}</b>",
            font={"size": 12, "color": palette.event},
            showarrow=False,
        )
    outline = {"width": 1.5, "color": palette.paper}
    figure.add_scatter(
        x=[event.peak_s for event in analysis.events],
        y=[event.peak_score for event in analysis.events],
        mode="markers",
        name="event peak",
        meta="events",
        marker={"symbol": "diamond", "size": 14, "color": palette.event, "line": outline},
        customdata=[
            [html.escape(event_label(event)), clock(event.start_s, 1), clock(event.end_s, 1), clock(event.peak_s, 2)]
            for event in analysis.events
        ],
        hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]} to %{customdata[2]}"
        "<br>peak %{y:.2f} at %{customdata[3]}<extra></extra>",
    )


def sampler_label(sampler: str) -> str:
    """The name of a sampler as a person writes it."""
    return {"ats": "ATS", "topk": "top-K"}.get(sampler, sampler)


def _add_sampled(figure: go.Figure, analysis: Analysis, thumbnails: Mapping[int, str], palette: Palette) -> None:
    """Markers on the curve, and two lanes below it: the chosen frames above the uniform ones they stand against."""
    dense = analysis.dense
    frames = analysis.sampled_frames
    times = _times_of(analysis, frames)
    heights = np.interp(times, dense.time_s, dense.score)
    name = f"frames seen ({html.escape(sampler_label(analysis.sampler))})"
    data = [[frame, clock(time, 2), thumbnails.get(frame, "")] for frame, time in zip(frames, times, strict=True)]
    hover = "frame %{customdata[0]} · %{customdata[1]}<extra></extra>"
    figure.add_scatter(
        x=times,
        y=heights,
        mode="markers",
        name=name,
        meta="sampled",
        marker={"size": 9, "color": palette.frame, "line": {"width": 1.5, "color": palette.frame_edge}},
        customdata=data,
        hovertemplate="<b>seen by the model</b><br>" + hover,
    )
    uniform = sample_frames(dense.score, max(1, len(frames)), method="uniform")
    for lane, at, colour, width in (
        ("sampled", times, palette.frame, 2.5),
        ("uniform", dense.time_s[uniform], palette.muted, 1.2),
    ):
        figure.add_scatter(
            x=at,
            y=[1 if lane == "sampled" else 0] * len(at),
            yaxis="y2",
            mode="markers",
            name=lane,
            meta=f"lane:{lane}",
            showlegend=False,
            marker={"symbol": "line-ns", "size": 11, "line": {"width": width, "color": colour}},
            customdata=data if lane == "sampled" else None,
            hoverinfo=None if lane == "sampled" else "skip",
            hovertemplate=hover if lane == "sampled" else None,
        )


def time_ticks(duration_s: float, wanted: int = 8) -> tuple[list[float], list[str]]:
    """Round times for an axis of `duration_s` seconds, at most about `wanted` of them, and their texts."""
    step = next((step for step in TICK_STEPS_S if duration_s / step <= wanted), TICK_STEPS_S[-1])
    values = np.arange(0, duration_s + step * 1e-6, step).tolist()
    return values, [clock(value, 1 if step < 1 else 0) for value in values]


def _lay_out(figure: go.Figure, analysis: Analysis, palette: Palette) -> None:
    end_s = max(analysis.clip.duration_s, float(analysis.dense.time_s[-1]) if len(analysis.dense.time_s) else 0.0, 1e-3)
    tick_values, tick_texts = time_ticks(end_s)
    axis = {"gridcolor": palette.grid, "zeroline": False, "tickfont": {"size": 11, "color": palette.muted}}
    figure.update_layout(
        paper_bgcolor=palette.paper,
        plot_bgcolor=palette.paper,
        font={"family": FONT, "size": 13, "color": palette.text},
        margin={"l": 64, "r": 20, "t": 58, "b": 34},
        height=420,
        hovermode="closest",
        hoverdistance=24,
        hoverlabel={
            "bgcolor": palette.paper,
            "bordercolor": palette.muted,
            "font": {"family": FONT, "color": palette.text},
        },
        legend={
            "orientation": "h",
            "x": 0,
            "y": 1.12,
            "yanchor": "bottom",
            "font": {"size": 12},
            "bgcolor": "rgba(0,0,0,0)",
        },
        xaxis={
            **axis,
            "range": [-0.006 * end_s, 1.006 * end_s],
            "tickvals": tick_values,
            "ticktext": tick_texts,
            "showspikes": True,
            "spikemode": "across",
            "spikethickness": 1,
            "spikedash": "solid",
            "spikecolor": palette.muted,
            "anchor": "y2",
        },
        yaxis={
            **axis,
            "range": [-0.03, 1.04],
            "domain": [0.22, 1],
            "tickvals": [0, 0.25, 0.5, 0.75, 1],
            "fixedrange": True,
        },
        yaxis2={
            **axis,
            "range": [-0.7, 1.7],
            "domain": [0, 0.15],
            "tickvals": [0, 1],
            "ticktext": ["uniform", html.escape(sampler_label(analysis.sampler))],
            "showgrid": False,
            "fixedrange": True,
        },
    )
