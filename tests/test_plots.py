"""The timeline figure says what the analysis says; the page works offline, in a real browser, and runs no text."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.sample_records import drawn_analysis
from workbench.plots import PALETTES, Theme, clock, time_ticks, timeline_figure
from workbench.records import Analysis, Event
from workbench.timeline_page import timeline_html

NASTY = "</script><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"


def trace(figure: go.Figure, meta: str) -> go.Scatter:
    (found,) = [item for item in figure.data if item.meta == meta]
    return found


def picture(shade: int) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (24, 18), (shade, 80, 120)).save(buffer, "JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize(
    ("seconds", "decimals", "text"),
    [
        (0, 0, "0:00"),
        (59.999, 0, "1:00"),
        (59.994, 2, "0:59.99"),
        (75.25, 2, "1:15.25"),
        (3600, 0, "1:00:00"),
        (3725.04, 1, "1:02:05.0"),
        (-0.001, 1, "0:00.0"),
    ],
)
def test_clock(seconds: float, decimals: int, text: str) -> None:
    assert clock(seconds, decimals) == text


@pytest.mark.parametrize("duration_s", [0.04, 1, 2, 4, 10, 101, 600, 1800, 7200, 90000])
def test_ticks_are_few_round_and_inside(duration_s: float) -> None:
    values, texts = time_ticks(duration_s)
    assert 1 <= len(values) <= 26
    assert values[0] == 0
    assert values[-1] <= duration_s
    assert len(set(texts)) == len(texts)


def test_curves_are_those_of_the_analysis() -> None:
    analysis = drawn_analysis()
    figure = timeline_figure(analysis)
    np.testing.assert_array_equal(trace(figure, "score").x, analysis.dense.time_s)
    np.testing.assert_array_equal(trace(figure, "score").y, analysis.dense.score)
    for name, part in analysis.dense.parts.items():
        np.testing.assert_array_equal(trace(figure, f"part:{name}").y, part)
    assert [shape.y0 for shape in figure.layout.shapes if shape.type == "line"] == [analysis.threshold]


def test_events_are_shaded_and_named() -> None:
    analysis = drawn_analysis()
    figure = timeline_figure(analysis)
    spans = [(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.type == "rect"]
    assert spans == [(event.start_s, event.end_s) for event in analysis.events]
    labels = " ".join(annotation.text for annotation in figure.layout.annotations)
    assert "robbery" in labels
    assert "abnormal" in labels


def test_crowded_events_are_all_shaded_but_not_all_labelled() -> None:
    analysis = drawn_analysis()
    analysis.events = [Event(t, t + 0.3, t + 0.1, 0.8, "running") for t in np.arange(0, 40, 0.5)]
    figure = timeline_figure(analysis)
    labels = [item for item in figure.layout.annotations if "running" in item.text]
    assert sum(shape.type == "rect" for shape in figure.layout.shapes) == 80
    assert 1 < len(labels) <= 12


def test_sampled_frames_sit_on_the_curve_with_their_pictures() -> None:
    analysis = drawn_analysis()
    uris = {frame: f"data:,{frame}" for frame in analysis.sampled_frames}
    markers = trace(timeline_figure(analysis, uris), "sampled")
    assert [row[0] for row in markers.customdata] == analysis.sampled_frames
    assert [row[2] for row in markers.customdata] == list(uris.values())
    rows = np.searchsorted(analysis.dense.frame_index, analysis.sampled_frames)
    np.testing.assert_allclose(markers.x, analysis.dense.time_s[rows])
    np.testing.assert_allclose(markers.y, analysis.dense.score[rows], atol=1e-6)
    lane = trace(timeline_figure(analysis), "lane:uniform")
    assert len(lane.x) == len(analysis.sampled_frames)
    np.testing.assert_allclose(np.diff(lane.x), np.diff(lane.x).mean(), atol=16 / 24 + 1e-6)


@pytest.mark.parametrize("n_frames", [1, 2, 15])
def test_the_shortest_clips_draw(n_frames: int) -> None:
    analysis = drawn_analysis(n_frames=n_frames)
    analysis.events = []
    figure = timeline_figure(analysis)
    assert figure.layout.xaxis.range[1] > 0
    assert len(trace(figure, "score").x) == 1


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb` (WCAG 2)."""
    channels = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("theme", list(PALETTES))
def test_every_line_and_text_stands_out_from_the_paper(theme: Theme) -> None:
    palette = PALETTES[theme]

    def contrast(colour: str) -> float:
        low, high = sorted([luminance(colour), luminance(palette.paper)])
        return (high + 0.05) / (low + 0.05)

    assert min(contrast(colour) for colour in (palette.score, palette.event, *palette.parts)) >= 3
    assert min(contrast(palette.text), contrast(palette.muted), contrast(palette.event)) >= 4.5


def nasty_analysis() -> Analysis:
    analysis = drawn_analysis(path=f"/clips/{NASTY.replace('/', '')}.mp4")
    analysis.events = [replace(analysis.events[0], category=NASTY)]
    analysis.instances = [replace(analysis.instances[0], appearance=NASTY, motion=NASTY, category=NASTY)]
    analysis.dialogue = [replace(turn, question=NASTY, answer=NASTY) for turn in analysis.dialogue]
    analysis.warnings = [NASTY]
    return analysis


def test_the_page_refers_to_nothing_outside_itself() -> None:
    analysis = drawn_analysis()
    page = timeline_html(analysis, {frame: picture(frame % 256) for frame in analysis.sampled_frames})
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?(https?:)?//""", markup)
    assert markup.count('<img src="data:image/jpeg;base64,') == len(analysis.sampled_frames)
    assert "{{" not in markup


def open_page(browser: Browser, path: Path, text: str, *, dark: bool = False) -> Page:
    """The page in a browser without a network; anything it complains about fails the test."""
    path.write_text(text, encoding="utf-8")
    context = browser.new_context(color_scheme="dark" if dark else "light", offline=True)
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"the page failed: {error}"))
    page.goto(path.as_uri())
    expect(page.locator("#plot .main-svg").first).to_be_visible()
    return page


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_hovering_a_sampled_frame_shows_its_picture(browser: Browser, tmp_path: Path, dark: bool) -> None:
    analysis = drawn_analysis()
    pictures = {frame: picture(frame % 256) for frame in analysis.sampled_frames}
    page = open_page(browser, tmp_path / "timeline ü.html", timeline_html(analysis, pictures), dark=dark)
    expect(page.locator("html")).to_have_attribute("data-theme", "dark" if dark else "light")
    x, y = page.evaluate(
        """() => {
          const plot = document.getElementById("plot"), { xaxis, yaxis } = plot._fullLayout;
          const trace = plot.data.find(item => item.meta === "sampled"), box = plot.getBoundingClientRect();
          const [x, y] = [plot.calcdata[plot.data.indexOf(trace)][5].x, plot.calcdata[plot.data.indexOf(trace)][5].y];
          return [box.left + xaxis._offset + xaxis.d2p(x), box.top + yaxis._offset + yaxis.d2p(y)];
        }"""
    )
    expect(page.locator("#card")).to_be_hidden()
    page.mouse.move(x, y)
    expect(page.locator("#card")).to_be_visible()
    expect(page.locator("#card img")).to_have_attribute("src", pictures[analysis.sampled_frames[5]])
    expect(page.locator("#card span")).to_contain_text(f"frame {analysis.sampled_frames[5]}")
    page.mouse.move(5, 5)
    expect(page.locator("#card")).to_be_hidden()
    page.get_by_role("button", name="Light" if dark else "Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light" if dark else "dark")


@pytest.mark.browser
def test_text_of_clips_and_models_shows_but_never_runs(browser: Browser, tmp_path: Path) -> None:
    analysis = nasty_analysis()
    page = open_page(browser, tmp_path / "timeline.html", timeline_html(analysis, {}))
    expect(page.get_by_role("heading", level=1)).to_contain_text("onerror")
    expect(page.get_by_text("</script>").first).to_be_visible()
    assert page.title() != "run"
    assert page.locator("main img[src=x]").count() == 0


@pytest.mark.browser
def test_zooming_brings_finer_ticks(browser: Browser, tmp_path: Path) -> None:
    page = open_page(browser, tmp_path / "timeline.html", timeline_html(drawn_analysis(), {}))
    expect(page.locator("#plot .xtick text").first).to_have_text("0:00")
    page.evaluate("Plotly.relayout('plot', {'xaxis.range[0]': 20.1, 'xaxis.range[1]': 22.9})")
    expect(page.locator("#plot .xtick text").first).to_have_text("0:20.5")
    page.evaluate("Plotly.relayout('plot', {'xaxis.autorange': true})")
    expect(page.locator("#plot .xtick text").nth(1)).to_have_text("0:10")
