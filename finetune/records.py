"""One record type for everything that can be learned from: a clip, what is true of it, and what is said about it.

Corrections, HIVAU-70k annotations, the street world and folders of classes all become `TrainingClip`s
(`finetune.sources`); a frozen `Snapshot` of them is what a run trains on (`finetune.snapshot`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from workbench.errors import DataError
from workbench.masks import decode_rle
from workbench.records import MaskRLE

Source = Literal["corrections", "hivau", "scenes", "classes"]
Level = Literal["video", "event", "clip", "instance"]
TIME_SLACK_S = 5e-7
"""Times that went through decimal text must still find their own frame."""


@dataclass(frozen=True, slots=True)
class Said:
    """Questions and answers about a part of a clip: `span_s` (None: all of it), or the entity `entity`."""

    level: Level
    turns: tuple[tuple[str, str], ...]
    span_s: tuple[float, float] | None = None
    entity: int | None = None


@dataclass(frozen=True, slots=True)
class Entity:
    """Somebody or something with masks, by frame. `involved` says whether it belongs to an abnormal event.

    Between `first_frame` and `last_frame` a missing mask is one that nobody has drawn; elsewhere (everywhere, if the
    range is empty) it means that the entity cannot be seen. `calm` are masks of somebody involved from before and after
    the event: what is under them is not abnormal.
    """

    id: int
    role: str
    appearance: str
    motion: str
    involved: bool
    first_frame: int
    last_frame: int
    masks: dict[int, MaskRLE]
    calm: dict[int, MaskRLE] = field(default_factory=dict)

    @property
    def shapes(self) -> dict[int, MaskRLE]:
        """All masks, by frame."""
        return self.calm | self.masks

    def is_known(self, frame: int) -> bool:
        """Whether it is known where the entity is on a frame: it has a mask there, or cannot be seen."""
        return frame in self.masks or frame in self.calm or not self.first_frame <= frame <= self.last_frame


@dataclass(frozen=True, slots=True)
class TrainingClip:
    """One clip and all that may be learned from it.

    Attributes:
        sha256: of the video file; a clip is known, and put on its side of the split, by it.
        revision: of what was said about it: the history row, or the file, it was read from.
        label: 1 abnormal, 0 normal.
        spans_s: `[start, end)` of the abnormal events; empty for a normal clip, None when nobody has said when.
    """

    name: str
    sha256: str
    path: str
    source: Source
    revision: str
    n_frames: int
    fps: float
    width: int
    height: int
    label: int
    category: str | None
    spans_s: tuple[tuple[float, float], ...] | None
    entities: tuple[Entity, ...] = ()
    said: tuple[Said, ...] = ()

    def labels_at(self, time_s: np.ndarray) -> np.ndarray | None:
        """Frame labels `float32 [T]` at presentation times `[T]`; None when only the whole clip has a label."""
        if self.spans_s is None:
            return None
        inside = [(time_s >= start - TIME_SLACK_S) & (time_s < end - TIME_SLACK_S) for start, end in self.spans_s]
        return np.any(inside, axis=0).astype(np.float32) if inside else np.zeros(len(time_s), np.float32)

    def is_inside(self, time_s: float) -> bool:
        """Whether an event is going on."""
        labels = self.labels_at(np.array([time_s]))
        return labels is not None and bool(labels[0])

    def masked_frames(self) -> list[int]:
        """Frames on which every involved entity that is present has a mask, so that the rest is known to be calm."""
        involved = [entity for entity in self.entities if entity.involved]
        frames = sorted({frame for entity in involved for frame in entity.masks})
        return [
            frame
            for frame in frames
            if all(frame in e.masks or not e.first_frame <= frame <= e.last_frame for e in involved)
        ]

    def drawn_frames(self) -> list[int]:
        """Frames with a mask on which all entities are known, so that nobody is taken for ground."""
        frames = sorted({frame for entity in self.entities for frame in entity.shapes})
        return [frame for frame in frames if all(entity.is_known(frame) for entity in self.entities)]

    def anomaly_mask(self, frame: int) -> np.ndarray:
        """The union of the masks of involved entities on a frame, bool `[height, width]`.

        Raises:
            DataError: a mask is of another size than the clip.
        """
        union = np.zeros((self.height, self.width), bool)
        for entity in self.entities:
            if entity.involved and frame in entity.masks:
                union |= decode_rle(entity.masks[frame])
        return union

    def check_masks(self) -> None:
        """Refuse masks that do not lie on this clip.

        Raises:
            DataError: one is of another size, or of a frame that does not exist.
        """
        for entity in self.entities:
            for frame, rle in entity.shapes.items():
                if list(rle["size"]) != [self.height, self.width]:
                    raise DataError(
                        f"The mask of instance {entity.id} on frame {frame} of {self.name} is "
                        f"{rle['size'][1]}×{rle['size'][0]}, the clip {self.width}×{self.height}; draw it again."
                    )
                if not 0 <= frame < self.n_frames:
                    raise DataError(
                        f"Instance {entity.id} of {self.name} has a mask on frame {frame}, but the clip has "
                        f"{self.n_frames} frames; remove it."
                    )


def clip_to(clip: TrainingClip) -> dict[str, Any]:
    """Plain JSON of a clip."""
    document = asdict(clip)
    for entity in document["entities"]:
        for name in ("masks", "calm"):
            entity[name] = {str(frame): rle for frame, rle in entity[name].items()}
    return document


def clip_from(document: dict[str, Any]) -> TrainingClip:
    """A clip from its JSON. KeyError and TypeError when it is not one."""
    values = dict(document)
    entities = [
        Entity(**{**entity, **{name: _by_frame(entity.get(name, {})) for name in ("masks", "calm")}})
        for entity in values.pop("entities")
    ]
    said = [
        Said(
            row["level"],
            tuple((question, answer) for question, answer in row["turns"]),
            None if row["span_s"] is None else (row["span_s"][0], row["span_s"][1]),
            row["entity"],
        )
        for row in values.pop("said")
    ]
    spans = values.pop("spans_s")
    return TrainingClip(
        **values,
        entities=tuple(entities),
        said=tuple(said),
        spans_s=None if spans is None else tuple((start, end) for start, end in spans),
    )


def _by_frame(masks: dict[str, MaskRLE]) -> dict[int, MaskRLE]:
    return {int(frame): rle for frame, rle in masks.items()}


def counts(clips: list[TrainingClip]) -> dict[str, int]:
    """What a person wants to know of the data: clips of each kind, masks and dialogues."""
    return {
        "clips": len(clips),
        "abnormal": sum(clip.label for clip in clips),
        "normal": sum(not clip.label for clip in clips),
        "with_times": sum(clip.spans_s is not None for clip in clips),
        "masked_frames": sum(len(clip.masked_frames()) for clip in clips),
        "dialogues": sum(len(clip.said) for clip in clips),
    }


def categories(clips: list[TrainingClip]) -> Iterator[str]:
    """Categories named by the clips, each once, in alphabetical order."""
    yield from sorted({clip.category for clip in clips if clip.category})
