"""The score timeline of a case as one inline SVG: no script, sharp on paper, its colours are the page's.

Classes, not colours, are in the drawing: `case_page.css` decides how they look on a light or dark screen and in print.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from workbench.plots import clock, time_ticks
from workbench.records import Analysis, Event, ReviewedClip

WIDTH = 1060
LEFT, RIGHT, TOP = 92, 14, 26
PLOT_HEIGHT = 168
LANE_HEIGHT, LANE_GAP = 15, 9
MAX_POINTS = 1200  # more than the picture has pixels; longer curves keep the highest score of each stretch


@dataclass(frozen=True, slots=True)
class Span:
    """A bar of a lane: from, to (seconds), what it says, and the number of its event in the report (0: none)."""

    start_s: float
    end_s: float
    label: str
    number: int = 0


def draw_chart(reviewed: ReviewedClip, analysis: Analysis | None) -> str:
    """The timeline as SVG text; empty when nobody knows how long the clip is."""
    duration_s = analysis.clip.duration_s if analysis else reviewed.clip.duration_s
    if not duration_s:
        return ""
    chart = _Chart(duration_s)
    bottom = TOP + PLOT_HEIGHT if analysis else TOP
    parts = []
    spans = _reviewed_spans(reviewed)
    lanes = [("reviewed", "reviewed", spans)]
    if analysis:
        lanes.insert(0, ("model", "model", [_model_span(event) for event in analysis.events]))
        parts += [chart.scale(), *chart.bands(spans, bottom), *chart.curves(analysis), chart.threshold(analysis)]
        parts.append(chart.sampled(analysis, bottom))
    end = bottom + LANE_GAP
    for name, label, bars in lanes:
        rows = _apart(bars)
        parts += [
            chart.lane(name, label if i == 0 else "", row, end + i * (LANE_HEIGHT + 2)) for i, row in enumerate(rows)
        ]
        end += len(rows) * (LANE_HEIGHT + 2) - 2 + LANE_GAP
    parts.append(chart.ticks(end))
    title = f"Score over {clock(duration_s)} with {len(spans)} reviewed events"
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {end + 20}" role="img" aria-label="{escape(title)}">'
        + "".join(parts)
        + "</svg>"
    )


def _reviewed_spans(reviewed: ReviewedClip) -> list[Span]:
    return [
        Span(event.start_s, event.end_s, f"{i} · {event.category or 'abnormal'}", i)
        for i, event in enumerate(reviewed.events, start=1)
        if event.start_s is not None and event.end_s is not None
    ]


def _apart(spans: Sequence[Span]) -> list[list[Span]]:
    """Rows in which no span covers another, as few as possible; one empty row for no spans."""
    rows: list[list[Span]] = [[]]
    for span in sorted(spans, key=lambda item: item.start_s):
        free = next((row for row in rows if not row or row[-1].end_s <= span.start_s), None)
        if free is None:
            rows.append(free := [])
        free.append(span)
    return rows


def _model_span(event: Event) -> Span:
    return Span(event.start_s, event.end_s, event.category or "abnormal")


class _Chart:
    """Seconds and scores to places in the drawing."""

    def __init__(self, duration_s: float) -> None:
        self.duration_s = duration_s

    def x(self, time_s: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * float(np.clip(time_s / self.duration_s, 0, 1))

    def y(self, score: float) -> float:
        return TOP + PLOT_HEIGHT * (1 - float(np.clip(score, 0, 1)))

    def scale(self) -> str:
        lines = []
        for value in (0, 0.25, 0.5, 0.75, 1):
            y = self.y(value)
            lines.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            lines.append(f'<text class="axis end" x="{LEFT - 10}" y="{y + 4:.1f}">{value:g}</text>')
        return "".join(lines)

    def bands(self, spans: Sequence[Span], bottom: int) -> list[str]:
        """Tints behind the curve, with the events' numbers above it."""
        drawn = []
        for span in spans:
            x0, x1 = self.x(span.start_s), max(self.x(span.end_s), self.x(span.start_s) + 1.5)
            drawn.append(f'<rect class="band" x="{x0:.1f}" y="{TOP}" width="{x1 - x0:.1f}" height="{bottom - TOP}"/>')
            middle = (x0 + x1) / 2
            drawn.append(
                f'<a href="#event-{span.number}"><circle class="number" cx="{middle:.1f}" cy="12" r="9"/>'
                f'<text class="digit" x="{middle:.1f}" y="16">{span.number}</text></a>'
            )
        return drawn

    def curves(self, analysis: Analysis) -> list[str]:
        time_s = analysis.dense.time_s
        drawn = []
        for name, values in analysis.dense.parts.items():
            points = self._points(time_s, values)
            drawn.append(f'<polyline class="part" points="{points}"><title>{escape(name)}</title></polyline>')
        points = self._points(time_s, analysis.dense.score)
        if points:
            first, last = self.x(0), self.x(self.duration_s)
            drawn.append(f'<polygon class="area" points="{first:.1f},{self.y(0)} {points} {last:.1f},{self.y(0)}"/>')
            drawn.append(f'<polyline class="score" points="{points}"><title>score</title></polyline>')
        return drawn

    def threshold(self, analysis: Analysis) -> str:
        y = self.y(analysis.threshold)
        return (
            f'<line class="threshold" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="axis" x="{LEFT + 4}" y="{y - 5:.1f}">threshold {analysis.threshold:.2f}</text>'
        )

    def sampled(self, analysis: Analysis, bottom: int) -> str:
        """A tick below the curve for each frame the language model saw."""
        dense = analysis.dense
        places = np.searchsorted(dense.frame_index, analysis.sampled_frames).clip(max=max(0, len(dense.time_s) - 1))
        times = dense.time_s[places] if len(dense.time_s) else []
        return "".join(
            f'<line class="saw" x1="{self.x(t):.1f}" x2="{self.x(t):.1f}" y1="{bottom - 6}" y2="{bottom}">'
            f"<title>the model saw {clock(float(t), 1)}</title></line>"
            for t in times
        )

    def lane(self, name: str, label: str, spans: Sequence[Span], top: float) -> str:
        width = WIDTH - RIGHT - LEFT
        drawn = [
            f'<rect class="lane" x="{LEFT}" y="{top}" width="{width}" height="{LANE_HEIGHT}" rx="3"/>',
            f'<text class="axis end" x="{LEFT - 10}" y="{top + 12}">{escape(label)}</text>',
        ]
        for span in spans:
            x0, x1 = self.x(span.start_s), max(self.x(span.end_s), self.x(span.start_s) + 2)
            said = f"{span.label}: {clock(span.start_s, 1)} – {clock(span.end_s, 1)}"
            drawn.append(
                f'<rect class="bar {name}" x="{x0:.1f}" y="{top}" width="{x1 - x0:.1f}" height="{LANE_HEIGHT}" rx="3">'
                f"<title>{escape(said)}</title></rect>"
            )
            if x1 - x0 > 6.6 * len(span.label) + 10:  # about what the text needs
                drawn.append(
                    f'<text class="inbar {name}" x="{x0 + 6:.1f}" y="{top + 11.5}">{escape(span.label)}</text>'
                )
        return "".join(drawn)

    def ticks(self, bottom: float) -> str:
        values, texts = time_ticks(self.duration_s)
        return "".join(
            f'<line class="tick" x1="{self.x(v):.1f}" x2="{self.x(v):.1f}" y1="{bottom - LANE_GAP + 2:.1f}" '
            f'y2="{bottom - LANE_GAP + 7:.1f}"/>'
            f'<text class="axis mid" x="{self.x(v):.1f}" y="{bottom + 12:.1f}">{escape(text)}</text>'
            for v, text in zip(values, texts, strict=True)
        )

    def _points(self, time_s: np.ndarray, values: np.ndarray) -> str:
        """Held to both ends of the clip; of a long curve the highest value of each stretch."""
        values = np.nan_to_num(np.asarray(values, np.float64))
        if not len(values):
            return ""
        step = -(-len(values) // MAX_POINTS)
        starts = np.arange(0, len(values), step)
        highest = np.maximum.reduceat(values, starts)
        pairs = [(0.0, highest[0]), *zip(time_s[starts], highest, strict=True), (self.duration_s, highest[-1])]
        return " ".join(f"{self.x(float(t)):.1f},{self.y(float(v)):.1f}" for t, v in pairs)
