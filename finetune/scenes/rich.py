"""The rich world: more kinds of events and more of normal life, drawn when asked for.

`rich=True` adds all of it; a category alone can be drawn by its name. It stands apart from `stories.py` because a seed
must always give the scene it gave when weights were trained on it.
"""

from __future__ import annotations

from . import rich_harm, rich_theft, rich_trouble, rich_violence
from .stories import Story
from .tale import Tale

TALES: dict[str, Tale] = {**rich_violence.TALES, **rich_theft.TALES, **rich_harm.TALES, **rich_trouble.TALES}
RICH = tuple(TALES)
"""The categories of the rich world beside `ANOMALIES`."""
RICH_STORIES: dict[str, tuple[Story, tuple[str, ...]]] = {name: (t.story, t.views) for name, t in TALES.items()}
"""As `STORIES`: the story of a kind of event, and the views in which it can happen."""
RICH_PLACES: dict[str, tuple[str, ...]] = {name: tale.wide for name, tale in TALES.items()}
"""As `WIDE_PLACES`: the views of `wide.py` in which it can happen."""
RICH_DESCRIPTIONS = {
    f"{name}/{variant}" if variant else name: words
    for name, tale in TALES.items()
    for variant, words in tale.descriptions.items()
}
RICH_ANALYSES = {name: tale.analyses for name, tale in TALES.items()}
CONTAINED = {"arson": ("fire",), "bumping": ("falling",), "traffic": ("driving",), "riot": ("running", "fire")}
"""Kinds that would be taken for a part of such an event, and do not follow in the same scene."""
LIVELY_ANALYSES = (
    "It is normal: whoever runs {place} does so in play or so as not to be late, and nobody is in danger.",
    "There is no anomaly {place}: people may be lively, but nobody is attacked, hurt or afraid.",
    "There is no reason for an alarm: lively as it is, everybody behaves as expected {place}.",
)
"""Why a scene is normal in which somebody runs."""
STILL = frozenset({
    "shooting", "threatening", "riot", "abuse", "shoplifting", "burglary", "glance", "vandalism", "throwing", "teasing",
    "bumping",
})  # fmt: skip
"""Those whose direction says nothing of the event."""
