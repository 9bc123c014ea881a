"""The street world: short surveillance-like clips, drawn from a script, with everything that is true of them."""

from .questions import QUESTIONS
from .rich import RICH
from .scene import Rendered, Scene, sample_scene
from .truth import ANOMALIES, CATEGORIES, QA, ClipCaption, EntityTruth, EventTruth, SceneTruth, read_truth
from .views import VIEWS
from .wide import WIDE_VIEWS
from .write import write_scene, write_world

__all__ = [
    "ANOMALIES", "CATEGORIES", "QA", "QUESTIONS", "RICH", "VIEWS", "WIDE_VIEWS", "ClipCaption", "EntityTruth",
    "EventTruth", "Rendered", "Scene", "SceneTruth", "read_truth", "sample_scene", "write_scene", "write_world",
]  # fmt: skip
