"""Instances as the annotation formats write them: what holds for a whole track, and what is seen in each frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, cast

import numpy as np
from pycocotools import mask as coco

from workbench.corrections import documents, naming
from workbench.errors import FormatError, InputError
from workbench.exports import drafts, fields, moments
from workbench.masks import check_size, decode_rle, mask_box
from workbench.records import Box, Instance, MaskRLE, ReviewedClip, ReviewedInstance, Role

_DIGITS = 6  # boxes are written as x, y, width, height; their sums come back to a millionth of a pixel


def sightings(instance: Instance) -> Iterator[tuple[int, Box | None, MaskRLE | None]]:
    """Frame, box and mask wherever an instance is seen, in order. Where only a mask is known the box is the mask's."""
    for frame in sorted({*instance.boxes_xyxy, *instance.masks_rle}):
        box, mask = instance.boxes_xyxy.get(frame), instance.masks_rle.get(frame)
        if box is None and mask is not None:
            box = mask_box(decode_rle(mask))
        yield frame, box, mask


def attributes_to(item: ReviewedInstance) -> dict[str, Any]:
    """What is said of the whole track, without its category, which every format has a place for."""
    instance = item.instance
    return {
        "instance": item.id,
        "number": instance.id,
        "role": instance.role,
        "appearance": instance.appearance,
        "motion": instance.motion,
        "first_frame": int(instance.first_frame),
        "last_frame": int(instance.last_frame),
        "event": item.event_id,
    }


def to_xywh(box: Box | None) -> list[float]:
    """A box as x, y, width, height; four zeros where there is none."""
    if box is None:
        return [0.0, 0.0, 0.0, 0.0]
    x0, y0, x1, y1 = (float(side) for side in box)
    return [round(value, _DIGITS) for value in (x0, y0, x1 - x0, y1 - y0)]


def from_xywh(values: Any, where: str) -> Box | None:
    """A box `(x0, y0, x1, y1)`, None for four zeros. Raises FormatError when it is no box."""
    if not isinstance(values, list) or len(values) != 4:
        raise FormatError(f"{where} must be [x, y, width, height] in pixels, not {values!r:.60}.")
    x, y, width, height = (fields.number(value, where) for value in values)
    if width < 0 or height < 0:
        raise FormatError(f"{where} has the size {width:g} x {height:g}; both sides must be from 0.")
    if width == height == 0:
        return None
    x0, y0, x1, y1 = (round(value, _DIGITS) for value in (x, y, x + width, y + height))
    return x0, y0, x1, y1


def mask_from(value: Any, height: int, width: int, where: str) -> MaskRLE:
    """A mask of compressed or plain run lengths, or of polygons, in the picture `height` x `width`.

    Raises:
        FormatError: it is none of these, or of another size.
    """
    if isinstance(value, list):
        return polygons_to_mask(value, height, width, where)
    document = fields.mapping(value, where)
    size, counts = document.get("size"), document.get("counts")
    _checked_size(height, width, where)
    if size != [height, width]:
        raise FormatError(f"{where} is of size {size!r:.40}, but the picture is {height} x {width} (height x width).")
    if isinstance(counts, list):
        runs = [fields.whole(run, f"{where}: a run") for run in counts]
        if sum(runs) != height * width:
            raise FormatError(f"{where} has runs of {sum(runs)} pixels for a picture of {height * width}.")
        counts = coco.frPyObjects({"size": size, "counts": runs}, height, width)["counts"].decode("ascii")
    mask = cast(MaskRLE, {"size": [height, width], "counts": counts})
    try:
        documents.check_mask(mask)
    except InputError as error:
        raise FormatError(f"{where}: {error}") from error
    return mask


def _checked_size(height: int, width: int, where: str) -> None:
    try:
        check_size(height, width)
    except InputError as error:
        raise FormatError(f"{where}: {error}") from error


def polygons_to_mask(polygons: list[Any], height: int, width: int, where: str) -> MaskRLE:
    """The union of polygons `[x, y, x, y, …]` in pixels, filled as pycocotools fills them. Raises FormatError."""
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise FormatError(f"{where} must be polygons of at least three points, not {polygon!r:.60}.")
        for value in polygon:
            fields.number(value, where)
    _checked_size(height, width, where)
    inside = np.clip(np.array([value for polygon in polygons for value in polygon]), 0, max(height, width))
    lengths = np.cumsum([len(polygon) for polygon in polygons])[:-1]
    parts = [part.tolist() for part in np.split(inside, lengths)]
    rle = coco.merge(coco.frPyObjects(parts, height, width))
    return MaskRLE(size=[height, width], counts=rle["counts"].decode("ascii"))


@dataclass(slots=True)
class Track:
    """A track that is being read; `attributes` as `attributes_to` wrote them, whatever of it is there."""

    number: int
    category: str
    attributes: dict[str, Any]
    where: str
    boxes: dict[int, Box] = field(default_factory=dict)
    masks: dict[int, MaskRLE] = field(default_factory=dict)

    @property
    def said_id(self) -> str | None:
        """The id that the file gives the instance, None where it gives none."""
        said = self.attributes.get("instance")
        return fields.text(said, f"{self.where}: instance") if said else None

    @property
    def said_number(self) -> int | None:
        """The number that the file gives the instance, None where it gives none."""
        said = self.attributes.get("number")
        return None if said is None else fields.whole(said, f"{self.where}: number")

    def see(self, frame: int, box: Box | None, mask: MaskRLE | None) -> None:
        """Add what is seen in a frame. Raises FormatError when that frame was there already."""
        if (box is not None and frame in self.boxes) or (mask is not None and frame in self.masks):
            raise FormatError(f"{self.where} is seen twice in frame {frame}; keep one of the two.")
        if box is not None:
            self.boxes[frame] = box
        if mask is not None:
            self.masks[frame] = mask

    def finish(self, reviewed: ReviewedClip, ids: set[str], numbers: set[int]) -> ReviewedInstance:
        """The instance; an id or number that the file does not give it is none of those that are taken.

        Raises:
            FormatError: it cannot be true of its clip.
        """
        said, where = self.attributes, self.where
        frames = sorted({*self.boxes, *self.masks})
        ends = [
            None if said.get(name) is None else fields.whole(said[name], f"{where}: {name}")
            for name in ("first_frame", "last_frame")
        ]
        first = min((frame for frame in (ends[0], *frames[:1]) if frame is not None), default=0)
        last = max((frame for frame in (ends[1], *frames[-1:]) if frame is not None), default=first)
        instance = Instance(
            id=self._free_number(numbers) if self.said_number is None else self.said_number,
            role=cast(Role, said.get("role") or "object"),
            category=self.category,
            appearance=drafts.text_or_none(said.get("appearance"), f"{where}: appearance") or "",
            motion=drafts.text_or_none(said.get("motion"), f"{where}: motion") or "",
            first_frame=first,
            last_frame=last,
            boxes_xyxy=dict(sorted(self.boxes.items())),
            masks_rle=dict(sorted(self.masks.items())),
        )
        event_id = drafts.text_or_none(said.get("event"), f"{where}: event")
        item = ReviewedInstance(self.said_id or "", instance, event_id, reviewed.provenance)
        moments.checked("instance", documents.instance_to(item, 0), reviewed.clip, where)
        return item if item.id else replace(item, id=naming.untaken(naming.of_instance(instance), ids))

    def _free_number(self, taken: set[int]) -> int:
        number = next(number for number in count(self.number) if number not in taken)
        taken.add(number)
        return number


def finish_all(tracks: list[Track], reviewed: ReviewedClip, where: str) -> tuple[ReviewedInstance, ...]:
    """All instances of a clip. Raises FormatError when two have the same id."""
    ids: set[str] = set()
    for track in tracks:
        if track.said_id is not None:
            fields.once(track.said_id, ids, f"{where}: the id {track.said_id!r} of an instance")
    numbers = {track.said_number for track in tracks if track.said_number is not None}
    return tuple(track.finish(reviewed, ids, numbers) for track in tracks)
