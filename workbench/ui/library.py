"""Where a clip comes from: the upload field, and the samples that are shipped."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from workbench.errors import ClipError, InputError
from workbench.plots import clock
from workbench.ui.media import truth_of
from workbench.ui.viewer import data_uri
from workbench.video import Clip

SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".gif", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".3gp", ".ogv",
)  # fmt: skip
THUMBNAIL_WIDTH = 216

PICK_JS = """
element.addEventListener('click', (event) => {
  const card = event.target.closest('[data-sample]');
  if (card) trigger('pick', { sample: card.dataset.sample });
});
"""


@dataclass(frozen=True)
class Sample:
    """A shipped clip: file stem, what happens in it, how long it is, and a picture of it."""

    name: str
    title: str
    duration_s: float
    picture: str


def sample_path(folder: Path, name: str) -> Path:
    """The file of a sample. Raises `InputError` for a name that is not one of them, whatever it looks like."""
    for path in sorted(folder.rglob("*.mp4")):
        if path.stem == name:
            return path
    raise InputError(f"There is no sample '{name}'; pick one of those shown.")


def read_samples(folder: Path) -> list[Sample]:
    """The samples of a folder with a picture taken where something happens; unreadable files are left out."""
    samples = []
    for path in sorted(folder.rglob("*.mp4")):
        truth = truth_of(path)
        try:
            with Clip.open(path) as clip:
                at = sum(truth[0][:2]) / 2 if truth else clip.info.duration_s / 2
                picture = data_uri(clip.thumbnail(clip.index_at(at), THUMBNAIL_WIDTH), quality=82)
                duration_s = clip.info.duration_s
        except ClipError:
            continue
        title = ", ".join(dict.fromkeys(category for _, _, category in truth)) or "normal life"
        samples.append(Sample(path.stem, title, duration_s, picture))
    return samples


def samples_html(samples: list[Sample]) -> str:
    """The samples as a grid of buttons."""
    if not samples:
        return '<p class="aw-hint">No sample clips are installed; upload one of yours.</p>'
    cards = [
        f'<button type="button" class="aw-card" data-sample="{html.escape(s.name)}" '
        f'aria-label="Sample: {html.escape(s.title)}"><img src="{s.picture}" alt="" loading="lazy">'
        f"<span>{html.escape(s.title)}</span><small>{clock(s.duration_s)}</small></button>"
        for s in samples
    ]
    return f'<div class="aw-cards">{"".join(cards)}</div>'


@dataclass
class LibraryPanel:
    """The left column."""

    upload: gr.File
    samples: gr.HTML
    video: gr.Video


def build_library(samples: list[Sample]) -> LibraryPanel:
    """Upload field, samples, and the player for context."""
    with gr.Column(elem_id="aw-left", min_width=200):
        upload = gr.File(
            label="Upload a clip", file_types=list(SUFFIXES), height=104, elem_id="aw-upload", show_label=False,
        )  # fmt: skip
        gr.HTML('<h2 class="aw-h">Samples</h2>', apply_default_css=False)
        cards = gr.HTML(samples_html(samples), js_on_load=PICK_JS, apply_default_css=False, elem_id="aw-samples")
        gr.HTML('<h2 class="aw-h">Player</h2>', apply_default_css=False, elem_classes="aw-push")
        video = gr.Video(
            label="Player", show_label=False, interactive=False, height=150, elem_id="aw-video", buttons=[],
        )  # fmt: skip
    return LibraryPanel(upload, cards, video)
