"""What the picture asks the server directly, without the queue: which instance is here, and what mask do marks mean."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any
from zlib import crc32

import cv2
import numpy as np

from workbench.errors import InputError
from workbench.masks import encode_rle
from workbench.prompting import Clicks, hit
from workbench.records import Box
from workbench.render import hold_frames
from workbench.ui.session import Review
from workbench.ui.viewer import MAX_WIDTH, data_uri, shrink, tracked_near

if TYPE_CHECKING:
    from workbench.ui.services import Services

MAX_POINTS = 64
DRAFT_RGB = (86, 222, 255)
DRAFT_FILL = 110


def prompt_reply(services: Services, review: Review, request: Mapping[str, Any]) -> dict[str, Any]:
    """The mask that marks mean, as a transparent picture, with its box, its area and how sure the segmenter is.

    Args:
        request: `frame`, `box` and/or `points` with `labels`, `instance` (the number of the one that is refined).

    Raises:
        InputError: unusable marks, or no object there.
    """
    number = request.get("instance")
    refined = next((instance for instance in review.instances if instance.id == number), None)
    asked = services.works.mask(review.choice, review.clip, clicks_of(review, request), refined)
    mask, score = services.at_once(asked)
    width = min(MAX_WIDTH, max(64, round(_number(request.get("width") or 1280))))
    rle = encode_rle(mask)
    return {
        "mask": data_uri(draft_picture(mask, width), "png"), "score": round(score, 4), "area": int(mask.sum()),
        "rle": rle["counts"], "digest": f"{crc32(rle['counts'].encode()):08x}",
    }  # fmt: skip


def pick_reply(review: Review, request: Mapping[str, Any]) -> dict[str, Any]:
    """The instance at `x`, `y` (pixels of the picture) on `frame`, or None."""
    frame, hold = frame_of(review, request), hold_frames(review.clip)
    shown = [(i, at) for i in review.instances if (at := tracked_near(i, frame, hold)) is not None]
    return {"instance": hit(shown, _number(request.get("x")), _number(request.get("y")))}


def clicks_of(review: Review, request: Mapping[str, Any]) -> Clicks:
    """What a request marks. Raises `InputError` for anything but a box and labelled points of numbers."""
    points = request.get("points") or []
    labels = request.get("labels") or []
    if not isinstance(points, list) or not isinstance(labels, list) or len(points) > MAX_POINTS:
        raise InputError(f"Marks are at most {MAX_POINTS} points, each with a label 1 or 0.")
    if len(points) != len(labels):
        raise InputError(f"There are {len(points)} points but {len(labels)} labels; every point needs one.")
    if any(not isinstance(point, list) or len(point) != 2 for point in points):
        raise InputError("A point is marked by two numbers, x and y.")
    pairs = tuple((_number(point[0]), _number(point[1])) for point in points)
    return Clicks(
        frame_of(review, request), _box(request.get("box")), pairs, tuple(int(_number(label)) for label in labels)
    )


def frame_of(review: Review, request: Mapping[str, Any]) -> int:
    """The frame that a request is about. Raises `InputError` when the clip has none of that number."""
    frame = request.get("frame")
    if not isinstance(frame, int) or not 0 <= frame < len(review.clip.times_s):
        raise InputError(f"This clip has no frame {frame!r}; it has frames 0 to {len(review.clip.times_s) - 1}.")
    return frame


def draft_picture(mask: np.ndarray, width: int) -> np.ndarray:
    """A mask that is not kept yet, as RGBA: a light fill with a firm rim in a colour no role has."""
    small = shrink(mask.astype(np.uint8), width, cv2.INTER_NEAREST)
    rim = cv2.dilate(small, np.ones((3, 3), np.uint8)) - cv2.erode(small, np.ones((3, 3), np.uint8), borderValue=0)
    picture = np.zeros((*small.shape, 4), np.uint8)
    picture[small > 0] = (*DRAFT_RGB, DRAFT_FILL)
    picture[rim > 0] = (255, 255, 255, 255)
    return picture


def _box(value: object) -> Box | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 4:
        raise InputError("A box is marked by four numbers: left, top, right and bottom.")
    left, top, right, bottom = (_number(side) for side in value)
    return left, top, right, bottom


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise InputError(f"A place on the picture is given in numbers, not as {value!r}.")
    return float(value)
