"""The record types every stage speaks. Plain data: no torch, no Gradio, no files.

Units: times in seconds (`_s`) are presentation times of the container; frame indices count decoded frames from 0;
boxes are `(x0, y0, x1, y1)` in pixels of the upright picture, `x1`/`y1` exclusive; scores are in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

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

    `score` is the fused score; `parts` holds what it was fused from (`scorer` or `zero-shot`,
    `motion`, `heatmap`), all `[T]` in [0, 1].
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


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
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
    """Everything the stack says of one clip. `to_json` is the `analysis.json` contract (see `workbench.serial`).

    `stand_ins` says what was used in place of parts that nobody has trained for the profile, by part.
    """

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
    stand_ins: dict[str, str] = field(default_factory=dict)
    features: Features | None = field(default=None, repr=False, compare=False)

    @property
    def is_abnormal(self) -> bool:
        """Whether any event stands above the threshold."""
        return bool(self.events)


ReviewState = Literal["new", "in review", "done", "disputed"]
REVIEW_STATES: tuple[ReviewState, ...] = ("new", "in review", "done", "disputed")
SubjectKind = Literal[
    "clip", "video", "event", "caption", "instance", "turn", "question", "analysis", "layer", "category"
]
Action = Literal["create", "edit", "remove", "undo", "redo", "adopt", "import", "analysis", "fork"]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who says so.

    `name` is the profile of a model (with its `adapter`), the name of a person, or the format that was imported.
    `edited_by` names the people whose changes to it stand, in alphabetical order.
    """

    kind: Literal["model", "human", "import"]
    name: str
    adapter: str | None = None
    edited_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Texts:
    """What is said of an event or a whole video (Holmes-VAU 3.2); None where nothing was written.

    `summary` is the running text of the three. None there means that it is exactly the three, one after another.
    """

    judgement: str | None = None
    description: str | None = None
    analysis: str | None = None
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class CaptionedClip:
    """A part of an event with its caption; times are None where a file named the part but not its times."""

    id: str
    start_s: float | None
    end_s: float | None
    caption: str
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class ReviewedEvent:
    """An event as it stands after all corrections. `id` is unique within its clip and never given twice.

    `verdict` is a person's word on it; an event that was rejected is not there any more, its removal is.
    """

    id: str
    start_s: float | None
    end_s: float | None
    peak_s: float | None
    peak_score: float | None
    category: str | None
    texts: Texts
    clips: tuple[CaptionedClip, ...]
    provenance: Provenance
    verdict: Literal["confirmed"] | None = None


@dataclass(frozen=True, slots=True)
class ReviewedInstance:
    """An instance as it stands after all corrections, and the event it takes part in (None: not known)."""

    id: str
    instance: Instance
    event_id: str | None
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class ReviewedTurn:
    """A turn of the dialogue as it stands after all corrections; `verdict` as for an event."""

    id: str
    turn: Turn
    provenance: Provenance
    verdict: Literal["confirmed"] | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A question of an instruction set; the text of what it is about answers it, so there is only one truth.

    `about` is the id of an event or of a captioned clip, None for the whole video.
    """

    id: str
    kind: TurnKind
    about: str | None
    text: str


@dataclass(frozen=True, slots=True)
class ClipRecord:
    """A clip the store knows. Without media (imported annotations) `sha256` and `path` are None.

    `origin` is its path inside the dataset it came from, such as `ucf-crime/videos/test/Abuse028_x264.mp4`.
    """

    id: int
    name: str
    sha256: str | None = None
    path: str | None = None
    origin: str | None = None
    n_frames: int | None = None
    fps: float | None = None
    duration_s: float | None = None
    width: int | None = None
    height: int | None = None

    @property
    def has_media(self) -> bool:
        """Whether there is a video file, or only what somebody wrote about one."""
        return self.sha256 is not None


@dataclass(frozen=True, slots=True)
class ReviewedClip:
    """All that is known of a clip after all corrections of one layer.

    `revision` is the number of the last history row in it: a save hands it back, and is refused if it has moved on.
    `label` lists the categories of the whole video; empty: normal; None: nobody has said.
    `threshold` is the score from which a person wants events proposed; None: where the analysis put it.
    """

    clip: ClipRecord
    layer: str
    revision: int
    state: ReviewState
    label: tuple[str, ...] | None
    texts: Texts
    events: tuple[ReviewedEvent, ...]
    instances: tuple[ReviewedInstance, ...]
    dialogue: tuple[ReviewedTurn, ...]
    questions: tuple[Question, ...]
    provenance: Provenance
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Correction:
    """One row of the history: who changed what of which subject, when and why.

    `before` and `after` are JSON values: of the one `field`, or of the whole subject where `field` is empty (None
    before: it was made, None after: it was removed). Rows of one `step` were saved, and are undone, together.
    `analysis_id` is the analysis (model, adapter, frames) that is corrected; `undoes` the step an undo or redo is of.
    """

    seq: int
    step: int
    at: str
    annotator: str
    layer: str
    clip_id: int | None
    subject: SubjectKind
    subject_id: str
    action: Action
    field: str
    before: Any
    after: Any
    reason: str | None
    analysis_id: int | None
    undoes: int | None
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of event in the taxonomy. `id` stays when the name changes; the former name becomes a synonym."""

    id: str
    name: str
    parent: str | None = None
    synonyms: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    retired: bool = False
