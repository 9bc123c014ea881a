"""How the page looks: system fonts, quiet greys, one blue; the colours of the plots. Nothing comes from other hosts."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

_HERE = Path(__file__).parent
FONT = ["Inter", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
MONO = ["ui-monospace", "SF Mono", "Cascadia Mono", "Menlo", "Consolas", "monospace"]


def theme() -> gr.themes.Base:
    """The Gradio theme: small type, tight spacing, flat surfaces."""
    return gr.themes.Base(
        primary_hue="sky", secondary_hue="slate", neutral_hue="slate", text_size="sm", spacing_size="sm",
        radius_size="sm", font=FONT, font_mono=MONO,
    ).set(
        body_background_fill="#f3f5f8", body_background_fill_dark="#0d1117",
        block_background_fill="#ffffff", block_background_fill_dark="#141a22",
        background_fill_primary_dark="#141a22", background_fill_secondary_dark="#0f141b",
        border_color_primary="#dde2e9", border_color_primary_dark="#242c38",
        block_border_width="1px", block_shadow="none", block_shadow_dark="none",
        button_primary_background_fill="#0b6aa8", button_primary_background_fill_hover="#0a5c92",
        button_primary_background_fill_dark="#1f7fbd", button_primary_background_fill_hover_dark="#2b8fd0",
        button_primary_text_color="#ffffff", button_primary_text_color_dark="#ffffff",
    )  # fmt: skip


STYLES = (
    "page.css", "viewer.css", "timeline.css", "event_list.css", "shelf.css", "stack_menu.css", "instances.css",
    "dialogue.css", "export_menu.css", "tuning.css", "annotating.css", "narrow.css",
)  # fmt: skip
SCRIPTS = ("bus.js", "keys.js", "place.js", "curves.js")


def css() -> str:
    """All style sheets of the page in one text."""
    return "\n".join((_HERE / name).read_text("utf-8") for name in STYLES)


def head() -> str:
    """What goes into `<head>`: the scripts that the parts of the page share, in the order they need each other."""
    return "".join(f"<script>{(_HERE / name).read_text('utf-8')}</script>" for name in SCRIPTS)
