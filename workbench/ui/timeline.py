"""The timeline: what it is told (plain, tested without a browser) and the component that draws it."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import gradio as gr
import numpy as np
import plotly

from workbench.records import Analysis
from workbench.stack.fusion import FAMILIARITY
from workbench.ui.session import Review

if TYPE_CHECKING:
    from workbench.features import PartialCurve

MAX_POINTS = 4000
SCRIPTS = ("timeline.js", "timeline_plot.js", "timeline_view.js", "timeline_spans.js")
PLOTLY = Path(plotly.__file__).resolve().parent / "package_data" / "plotly.min.js"
"""Plotly.js as the installed package has it; the server must be allowed to hand it out."""
_HERE = Path(__file__).parent


def thin(count: int, limit: int = MAX_POINTS) -> np.ndarray:
    """Indices `int64 [<= limit]` that keep the first and last of `count` points, evenly spaced between."""
    if count <= limit:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, limit).round().astype(np.int64))


def peak_frame(review: Review, peak_s: float) -> int:
    """The frame on screen at a peak; a hair is added since a peak time is rounded when it goes through JSON."""
    return review.clip.index_at(peak_s + 1e-4)


def uniform_frames(n_frames: int, count: int) -> list[int]:
    """The frames an even sampling would have read: centres of `count` equal parts."""
    return sorted({int((i + 0.5) * n_frames / count) for i in range(count)}) if n_frames and count else []


def _rounded(values: Sequence[float] | np.ndarray, digits: int = 4) -> list[float]:
    return [round(float(v), digits) for v in np.nan_to_num(np.asarray(values, dtype=np.float64))]


def _base(session_id: str, review: Review) -> dict[str, Any]:
    info = review.clip.info
    truth = [{"start_s": s, "end_s": e, "category": c} for s, e, c in review.truth]
    return {
        "sid": session_id, "key": review.key, "fps": round(info.fps, 4),
        "duration_s": round(max(info.duration_s, 1e-3), 4),
        "time_s": [], "score": [], "parts": {}, "threshold": None, "events": [], "sampled": [], "uniform": [],
        "truth": truth,
    }  # fmt: skip


def partial_payload(session_id: str, review: Review, partial: PartialCurve | None) -> dict[str, Any]:
    """The timeline while scoring runs: the axis, and as much of the motion curve as is known."""
    data = _base(session_id, review)
    if partial is not None and len(partial.time_s):
        keep = thin(len(partial.time_s))
        data["time_s"] = _rounded(partial.time_s[keep])
        data["parts"] = {"motion": _rounded(partial.score[keep])}
    return data


def payload(session_id: str, review: Review, analysis: Analysis) -> dict[str, Any]:
    """Everything the timeline draws for a finished analysis."""
    dense, times = analysis.dense, review.clip.times_s
    keep = thin(len(dense.time_s))
    curves = {name: values for name, values in dense.parts.items() if name != FAMILIARITY}
    data = _base(session_id, review)
    marks = lambda frames: [{"frame": int(i), "t": round(float(times[i]), 4)} for i in frames]  # noqa: E731
    data.update(
        time_s=_rounded(dense.time_s[keep]),
        score=_rounded(dense.score[keep]),
        parts={name: _rounded(values[keep]) for name, values in curves.items() if len(curves) > 1},
        threshold=round(float(analysis.threshold), 4),
        sampled=marks(analysis.sampled_frames),
        uniform=marks(uniform_frames(len(times), len(analysis.sampled_frames))),
        events=[
            {
                "start_s": round(e.start_s, 4), "end_s": round(e.end_s, 4), "peak_s": round(e.peak_s, 4),
                "peak_score": round(e.peak_score, 4), "peak_frame": peak_frame(review, e.peak_s),
                "category": e.category,
            }
            for e in analysis.events
        ],
    )  # fmt: skip
    return data


def build_timeline(thumbnail: Any) -> gr.HTML:
    """The component; its value is the payload as JSON text. `thumbnail` answers the markers' hover."""
    template = (_HERE / "timeline.html").read_text("utf-8")
    source = html.escape(f"gradio_api/file={quote(str(PLOTLY))}")
    return gr.HTML(
        value="", html_template=template.replace("PLOTLY", source),
        js_on_load="\n".join((_HERE / name).read_text("utf-8") for name in SCRIPTS),
        apply_default_css=False, server_functions=[thumbnail], elem_id="aw-timeline",
    )  # fmt: skip


def encode(data: dict[str, Any] | None) -> str:
    """Payload → the text a component carries; `<` is escaped so that no value can look like a tag."""
    return "" if data is None else json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
