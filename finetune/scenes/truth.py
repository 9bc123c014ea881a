"""What is true of a scene, as plain data, and its JSON form.

Frames are indices from 0; `end_frame` and every other end are exclusive unless the field says "last".
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import DataError

SCHEMA_VERSION = 1
CATEGORIES = (
    "normal",
    "running",
    "cycling",
    "driving",
    "fighting",
    "assault",
    "robbery",
    "falling",
    "collision",
    "explosion",
    "fire",
    "abandoned object",
)
ANOMALIES = CATEGORIES[1:]


@dataclass
class EntityTruth:
    """One thing that moves, or matters. `id` is its value in `Rendered.ids` (1…255).

    `role` is perpetrator, victim, bystander or object. `facts` holds kind, upper, lower, colour, verb, direction,
    speed ("slow", "normal", "fast"), position and, where it applies, victim_id or victim_of (entity ids).
    `first_frame` and `last_frame` (inclusive) bound the frames in which it can be seen; -1 when it never is.
    `path` is its trajectory in the picture: a few points of (seconds, x, y), in shares of width and height from the
    upper left, where it stands on the ground; empty in files written before there were paths.
    """

    id: int
    kind: str
    role: str
    appearance: str
    motion: str
    facts: dict[str, Any] = field(default_factory=dict)
    first_frame: int = -1
    last_frame: int = -1
    path: list[list[float]] = field(default_factory=list)


@dataclass
class EventTruth:
    """One abnormal event in frames `start_frame` ≤ i < `end_frame`.

    `facts` holds category, who, whom (or None), direction, position ("left", "centre", "right") and
    when ("beginning", "middle", "end" of the clip: where the event begins).
    """

    category: str
    start_frame: int
    end_frame: int
    entity_ids: list[int]
    judgement: str = ""
    description: str = ""
    analysis: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class ClipCaption:
    """A plain caption of the frames `start_frame` ≤ i < `end_frame`."""

    start_frame: int
    end_frame: int
    caption: str


@dataclass
class VideoText:
    """The three answers about the whole video."""

    judgement: str
    description: str
    analysis: str


@dataclass
class QA:
    """A question and its true answer; `kind` is judgement, description, analysis, caption or free."""

    kind: str
    question: str
    answer: str


@dataclass
class SceneTruth:
    """Everything true of one scene. `label` is 1 when anything abnormal happens; `frame_label` is uint8 [n_frames]."""

    name: str
    seed: int
    width: int
    height: int
    fps: int
    n_frames: int
    view: str
    conditions: dict[str, Any]
    label: int
    frame_label: np.ndarray
    category: str
    events: list[EventTruth]
    entities: list[EntityTruth]
    clips: list[ClipCaption]
    video: VideoText
    dialogue: list[QA]

    def entity(self, entity_id: int) -> EntityTruth:
        """The entity with this id; `DataError` when there is none."""
        for entity in self.entities:
            if entity.id == entity_id:
                return entity
        known = ", ".join(str(e.id) for e in self.entities) or "none"
        raise DataError(f"Scene {self.name} has no entity {entity_id}; known ids: {known}.")


@dataclass
class TruthFile:
    """A truth file as read back: the scene and its masks, `masks[entity_id][frame]` = COCO RLE dict."""

    truth: SceneTruth
    masks: dict[int, dict[int, dict[str, Any]]]


def truth_to_json(truth: SceneTruth, masks: dict[int, dict[int, dict[str, Any]]]) -> str:
    """One JSON document; `frame_label` becomes a list of 0/1."""
    document = asdict(truth)
    document["frame_label"] = [int(v) for v in truth.frame_label]
    document["schema"] = SCHEMA_VERSION
    document["masks"] = {str(e): {str(f): rle for f, rle in frames.items()} for e, frames in masks.items()}
    return json.dumps(document, separators=(",", ":"))


def read_truth_file(path: str | Path) -> TruthFile:
    """Read a truth file with its masks. Raises `DataError` when it is missing, no JSON, or of another schema."""
    path = Path(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"There is no truth file {path}; write one with `python -m finetune scenes`.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a truth file (invalid JSON: {error}); render the scene again.") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA_VERSION:
        found = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise DataError(f"{path} has truth schema {found}, expected {SCHEMA_VERSION}; render the scene again.")
    masks = {int(e): {int(f): rle for f, rle in m.items()} for e, m in document.pop("masks").items()}
    document.pop("schema")
    try:
        document["frame_label"] = np.array(document["frame_label"], dtype=np.uint8)
        document["events"] = [EventTruth(**e) for e in document["events"]]
        document["entities"] = [EntityTruth(**e) for e in document["entities"]]
        document["clips"] = [ClipCaption(**c) for c in document["clips"]]
        document["video"] = VideoText(**document["video"])
        document["dialogue"] = [QA(**q) for q in document["dialogue"]]
        return TruthFile(SceneTruth(**document), masks)
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} lacks a field of a truth file ({error}); render the scene again.") from error


def read_truth(path: str | Path) -> SceneTruth:
    """The scene truth of a file without its masks (see `read_truth_file`)."""
    return read_truth_file(path).truth
