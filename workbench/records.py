"""The record types every stage speaks. Plain data: no torch, no Gradio, no files.

Units: times in seconds (`_s`) are presentation times of the container; frame indices count decoded frames from 0;
boxes are `(x0, y0, x1, y1)` in pixels of the upright picture, `x1`/`y1` exclusive; scores are in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypedDict

import numpy as np

Role = Literal["perpetrator", "victim", "bystander", "object"]
ROLES: tuple[Role, ...] = ("perpetrator", "victim", "bystander", "object")
TurnKind = Literal["judgement", "description", "analysis", "caption", "free"]
Box = tuple[float, float, float, float]


class MaskRLE(TypedDict):
    """A binary mask as COCO compressed run lengths: `size` is [height, width], `counts` is ASCII text."""

    size: list[int]
    counts: str


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """What a probe of the file tells; `width` and `height` are those of the upright (rotated) picture."""

    path: str
    sha256: str
    n_frames: int
    fps: float
    duration_s: float
    width: int
    height: int
    variable_rate: bool = False
    rotation: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DenseScores:
    """Scores of the dense frames, `T` of them, one every `stride` frames.

    `score` is the fused score; `parts` holds what it was fused from (`scorer`, `motion`), all `[T]` in [0, 1].
    """

    stride: int
    frame_index: np.ndarray
    time_s: np.ndarray
    score: np.ndarray
    parts: dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Heatmaps:
    """Anomaly heatmaps of dense frames: `frame_index [T]`, `heatmap float16 [T, h, w]` in [0, 1], whole picture."""

    frame_index: np.ndarray
    heatmap: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What the dense pass computed once and everything later reuses; `T` dense frames, stored as float16.

    cls: `[T, C]` class tokens. tokens: `[T, n, D]` visual tokens (on disk, memory-mapped).
    class_maps: `[T, 2, gh, gw]` similarity to normal and abnormal before the softmax.
    heatmap: `[T, gh, gw]` in [0, 1]. saliency: `[T, gh, gw]` motion saliency in [0, 1].
    """

    cls: np.ndarray
    tokens: np.ndarray
    class_maps: np.ndarray
    heatmap: np.ndarray
    saliency: np.ndarray


@dataclass(frozen=True, slots=True)
class Event:
    """A span of time judged abnormal, with its highest score."""

    start_s: float
    end_s: float
    peak_s: float
    peak_score: float
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """One entity tracked through an event: who (`role`), what it looks like, how it moves, and where (masks)."""

    id: int
    role: Role
    category: str
    appearance: str
    motion: str
    first_frame: int
    last_frame: int
    boxes_xyxy: dict[int, Box]
    masks_rle: dict[int, MaskRLE]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A span of the clip, and perhaps an instance in it, that a sentence rests on."""

    start_s: float
    end_s: float
    instance_id: int | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its answer."""

    kind: TurnKind
    question: str
    answer: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(slots=True)
class Analysis:
    """Everything the stack says of one clip. `to_json` is the `analysis.json` contract (see `workbench.serial`)."""

    clip: ClipInfo
    profile: str
    adapter: str | None
    dense: DenseScores
    frame_score: np.ndarray
    sampled_frames: list[int]
    sampler: str
    threshold: float
    events: list[Event]
    instances: list[Instance] = field(default_factory=list)
    dialogue: list[Turn] = field(default_factory=list)
    heatmaps: Heatmaps | None = None
    timings_s: dict[str, float] = field(default_factory=dict)
    peak_rss_mb: float = 0.0
    warnings: list[str] = field(default_factory=list)
    features: Features | None = field(default=None, repr=False, compare=False)

    @property
    def is_abnormal(self) -> bool:
        """Whether any event stands above the threshold."""
        return bool(self.events)
