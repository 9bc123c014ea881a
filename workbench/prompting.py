"""Instances by hand: prompts become a mask, a mask is followed through its event, and instances change, merge, end.

What changes an instance is a pure function from one `Instance` to the next, so that a caller can save the difference
as a correction. Masks are bool `[H, W]` at the clip's own size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from workbench.errors import InputError
from workbench.features import Progress
from workbench.instances import WORK_PX, describe, event_window, kind_of, resized_mask
from workbench.masks import decode_rle, encode_rle, mask_box
from workbench.records import Box, Event, Instance
from workbench.stack.loading import ModelStack
from workbench.stack.segmenter import Prompt
from workbench.video import Clip
from workbench.views import pick_views

FOLLOW_S = 2.0
"""How far an instance is followed to both sides of a frame that lies in no event."""
MIN_MASK_PX = 4


@dataclass(frozen=True, slots=True)
class Clicks:
    """What a person points at on one frame: a box, and points that are on the object (1) or not on it (0)."""

    frame: int
    box: Box | None = None
    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()


def prompted_mask(clip: Clip, stack: ModelStack, clicks: Clicks, instance: Instance | None) -> tuple[np.ndarray, float]:
    """The mask that clicks mean, and its estimated IoU.

    Raises:
        InputError: the clicks are empty or lie outside the picture, or no object was found there.
    """
    points = clicks.points or None
    mask, score = stack.segmenter.mask(
        clip.frame(clicks.frame),
        box=meant_box(clicks, instance),
        points=points,
        labels=clicks.labels if points else None,
    )
    if int(mask.sum()) < MIN_MASK_PX:
        raise InputError("No object was found there; draw a box around it, or click nearer to its middle.")
    return mask, score


def meant_box(clicks: Clicks, instance: Instance | None) -> Box | None:
    """The box that clicks speak of: the person's own, else that of the mask which `instance` has on that frame.

    The latter is stretched to the points that are on the object: clicks alone refine a mask.
    """
    if clicks.box is not None or instance is None or clicks.frame not in instance.masks_rle:
        return clicks.box
    box = mask_box(decode_rle(instance.masks_rle[clicks.frame]))
    on_it = [point for point, label in zip(clicks.points, clicks.labels, strict=True) if label == 1]
    return None if box is None else stretched(box, on_it)


def stretched(box: Box, points: Sequence[tuple[float, float]]) -> Box:
    """The box, enlarged to hold the points."""
    xs, ys = [box[0], box[2], *(p[0] for p in points)], [box[1], box[3], *(p[1] for p in points)]
    return min(xs), min(ys), max(xs), max(ys)


def event_around(clip: Clip, events: Sequence[Event], frame: int) -> Event:
    """The event that a frame lies in (the strongest of several), else a span of `FOLLOW_S` to both sides of it."""
    now = float(clip.times_s[frame])
    inside = [event for event in events if event.start_s - 1e-6 <= now <= event.end_s + 1e-6]
    if inside:
        return max(inside, key=lambda event: event.peak_score)
    return Event(max(0.0, now - FOLLOW_S), min(clip.info.duration_s, now + FOLLOW_S), now, 0.0)


def follow(
    clip: Clip, stack: ModelStack, event: Event, frame: int, mask: np.ndarray, progress: Progress | None = None
) -> dict[int, np.ndarray]:
    """Follow what `mask` covers on `frame` through an event: masks by frame, without those in which it is not seen.

    Args:
        progress: told of the stage `tracking`; what it raises ends the work.
    """
    window = event_window(clip, event, frame)
    frames = dict(clip.frames(window, long_side=WORK_PX))
    height, width = frames[frame].shape[:2]
    prompt = Prompt(1, frame, mask=resized_mask(mask, (width, height)))
    track: dict[int, np.ndarray] = {}
    for done, (index, seen) in enumerate(stack.segmenter.track([(i, frames[i]) for i in window], [prompt]), 1):
        full = resized_mask(seen[1], (clip.info.width, clip.info.height))
        if int(full.sum()) >= MIN_MASK_PX:
            track[index] = full
        if progress:
            progress("tracking", min(1.0, done / len(window)), None)
    track[frame] = mask  # what the person has drawn stands as it is
    return track


def described(clip: Clip, stack: ModelStack, instance: Instance, *, keep_role: bool) -> Instance:
    """The instance with what the language model says of it: kind, looks, motion, and its role unless that is kept.

    Raises:
        InputError: the instance has no mask to show.
    """
    if not instance.masks_rle:
        raise InputError(f"Instance {instance.id} has no mask to look at; prompt one on the picture first.")
    wide, close = pick_views(sorted(instance.masks_rle))
    wanted = sorted({*wide, *close})
    frames = dict(clip.frames(wanted, long_side=WORK_PX))
    masks = {i: resized_mask(decode_rle(instance.masks_rle[i]), frames[i].shape[1::-1]) for i in wanted}
    visible = {i: mask for i, mask in masks.items() if mask.any()}
    if not visible:
        raise InputError(f"The masks of instance {instance.id} are too small to describe; draw a larger one.")
    caption = describe(stack, frames, visible)
    return replace(
        instance,
        role=instance.role if keep_role else caption.role,
        category=kind_of(caption.appearance),
        appearance=caption.appearance,
        motion=caption.motion,
    )


def with_masks(instance: Instance, masks: dict[int, np.ndarray]) -> Instance:
    """The instance with these masks in place of those it has on their frames; its lifespan grows with them."""
    filled = {frame: mask for frame, mask in masks.items() if mask.any()}
    rle = instance.masks_rle | {frame: encode_rle(mask) for frame, mask in filled.items()}
    boxes = instance.boxes_xyxy | {frame: box for frame, mask in filled.items() if (box := mask_box(mask))}
    return _spanned(replace(instance, masks_rle=dict(sorted(rle.items())), boxes_xyxy=dict(sorted(boxes.items()))))


def merged(kept: Instance, other: Instance) -> Instance:
    """One instance of two: its number, role and words are those of `kept` (of `other` where it has none)."""
    masks = {**other.masks_rle, **kept.masks_rle}
    boxes = {**other.boxes_xyxy, **kept.boxes_xyxy}
    for frame in kept.masks_rle.keys() & other.masks_rle.keys():
        both = decode_rle(kept.masks_rle[frame]) | decode_rle(other.masks_rle[frame])
        masks[frame] = encode_rle(both)
    for frame in kept.boxes_xyxy.keys() & other.boxes_xyxy.keys():
        a, b = kept.boxes_xyxy[frame], other.boxes_xyxy[frame]
        boxes[frame] = stretched(a, [(b[0], b[1]), (b[2], b[3])])
    return replace(
        kept,
        category=kept.category if kept.category != "object" else other.category,
        appearance=kept.appearance or other.appearance,
        motion=kept.motion or other.motion,
        first_frame=min(kept.first_frame, other.first_frame),
        last_frame=max(kept.last_frame, other.last_frame),
        masks_rle=dict(sorted(masks.items())),
        boxes_xyxy=dict(sorted(boxes.items())),
    )


def trimmed(instance: Instance, *, first: int | None = None, last: int | None = None) -> Instance:
    """The instance with a new first or last frame; what it has outside is dropped.

    Raises:
        InputError: nothing of it would be left.
    """
    start, end = instance.first_frame if first is None else first, instance.last_frame if last is None else last
    if start > end:
        raise InputError(f"Instance {instance.id} cannot begin at frame {start} and end at frame {end}.")
    masks = {frame: mask for frame, mask in instance.masks_rle.items() if start <= frame <= end}
    boxes = {frame: box for frame, box in instance.boxes_xyxy.items() if start <= frame <= end}
    if (instance.masks_rle or instance.boxes_xyxy) and not (masks or boxes):
        raise InputError(f"Instance {instance.id} is not seen between frames {start} and {end}; nothing would be left.")
    return replace(instance, first_frame=start, last_frame=end, masks_rle=masks, boxes_xyxy=boxes)


def hit(instances: Sequence[tuple[Instance, int]], x: float, y: float) -> int | None:
    """The number of the instance at a point of the picture, or None: the smallest mask there, else the smallest box.

    Args:
        instances: each with the frame whose mask and box are on show.
        x: y: in pixels of the picture.
    """
    found: list[tuple[bool, float, int]] = []
    for instance, frame in instances:
        box, rle = instance.boxes_xyxy.get(frame), instance.masks_rle.get(frame)
        if rle is not None:
            mask = decode_rle(rle)
            row, column = int(y), int(x)
            inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1] and bool(near(mask, row, column))
            if inside:
                found.append((False, float(mask.sum()), instance.id))
        if box is not None and box[0] <= x < box[2] and box[1] <= y < box[3]:
            found.append((True, (box[2] - box[0]) * (box[3] - box[1]), instance.id))
    return min(found)[2] if found else None


def near(mask: np.ndarray, row: int, column: int, reach: int = 2) -> bool:
    """Whether a mask has a pixel within `reach` of a place: thin limbs are hard to hit exactly."""
    return bool(mask[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1].any())


def outlines(mask: np.ndarray, tolerance_px: float = 0.75) -> list[list[float]]:
    """The outlines of a mask as closed polygons `[x0, y0, x1, y1, …]` in pixels, for drawing many frames cheaply."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_TC89_L1)
    smooth = [cv2.approxPolyDP(contour, tolerance_px, True).reshape(-1, 2) for contour in contours]
    return [[float(v) + 0.5 for v in polygon.ravel()] for polygon in smooth if len(polygon) >= 3]


def _spanned(instance: Instance) -> Instance:
    frames = [*instance.masks_rle, *instance.boxes_xyxy]
    if not frames:
        return instance
    return replace(
        instance,
        first_frame=min(instance.first_frame, *frames),
        last_frame=max(instance.last_frame, *frames),
    )
