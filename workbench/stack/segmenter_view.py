"""Where the segmenter looks: prompts, views (rectangles of the picture) and the way there and back.

A SAM2 net sees a square of fixed size. A person of 15x45 px is lost in it when it shows the whole picture, so a net
that was trained for it gets a *view*: a square around the prompted object. A view that is the whole picture is what
published SAM2 does (the picture is stretched to the square). Coordinates are continuous pixels of the upright
picture: pixel `i` covers `[i, i + 1)`, boxes are `(x0, y0, x1, y1)` with exclusive ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from workbench.errors import InputError
from workbench.records import Box

SURE_LOGIT = 20.0
"""Bound of a mask logit in a mean: "no object" is -1024 to the net, and would overrule every other look."""


@dataclass(frozen=True)
class ZoomConfig:
    """How a view follows an object. Lengths are pixels of the picture, factors multiples of the longer box side."""

    context: float = 1.9
    """Side of the view of a prompted box."""
    looks: tuple[float, ...] = (0.8, 1.0, 1.25)
    """Sizes, relative to that view, at which a prompt is answered when care is taken; the answers are averaged."""
    track_context: float = 2.3
    """Side of the view while tracking: larger, because the object has moved since the last mask."""
    min_side_px: int = 32
    click_side: float = 0.7
    """Side of the first view of a lone click, as a fraction of the shorter side of the picture."""
    lost_growth: float = 1.12
    """Growth of the view for every frame in which the object was not found, up to `lost_limit` times its side."""
    lost_limit: float = 2.0

    def __post_init__(self) -> None:
        for name in ("context", "track_context", "lost_growth", "lost_limit"):
            if getattr(self, name) < 1.0:
                raise InputError(f"ZoomConfig.{name} is {getattr(self, name)}; it must be at least 1.")
        if not self.looks or min(self.looks) < 0.5 or max(self.looks) > 2.0:
            raise InputError(f"ZoomConfig.looks is {self.looks}; it must hold at least one size, each in [0.5, 2].")
        if not 0.05 <= self.click_side <= 1.0:
            raise InputError(f"ZoomConfig.click_side is {self.click_side}; it must lie in [0.05, 1].")


@dataclass(frozen=True)
class Prompt:
    """What the analyst (or the model) says of one instance on one frame: a box, clicks, both, or a mask alone.

    `points` are `(x, y)` in pixels, `labels` 1 for "on the object" and 0 for "not the object"; `mask` is bool `[H, W]`.
    """

    instance_id: int
    frame_index: int
    box: Box | None = None
    points: Sequence[tuple[float, float]] | None = None
    labels: Sequence[int] | None = None
    mask: np.ndarray | None = None

    def check(self, height: int, width: int) -> None:
        """Raise `InputError` unless the prompt is complete and touches a picture of this size."""
        where = f"The prompt of instance {self.instance_id} on frame {self.frame_index}"
        if self.mask is not None:
            if self.box is not None or self.points is not None:
                raise InputError(f"{where} has a mask and a box or points; give either a mask or the others.")
            if self.mask.shape != (height, width) or not self.mask.any():
                raise InputError(
                    f"{where} has a mask of shape {self.mask.shape} with {int(self.mask.sum())} pixels set; "
                    f"it must be [{height}, {width}] and not empty."
                )
            return
        points, labels = list(self.points or ()), list(self.labels or ())
        if self.box is None and not points:
            raise InputError(f"{where} is empty; give a box, at least one point, or a mask.")
        if len(points) != len(labels) or any(label not in (0, 1) for label in labels):
            raise InputError(f"{where} has {len(points)} points and labels {labels}; every point needs a label 0 or 1.")
        if self.box is None and 1 not in labels:
            raise InputError(f"{where} has only negative points; add a positive point or a box.")
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            if not np.isfinite(self.box).all() or min(x1, width) - max(x0, 0) < 1 or min(y1, height) - max(y0, 0) < 1:
                raise InputError(
                    f"{where} has the box {self.box}, which covers no pixel of a {width}x{height} picture."
                )
        for x, y in points:
            if not (0 <= x <= width and 0 <= y <= height):
                raise InputError(f"{where} has the point ({x}, {y}) outside the {width}x{height} picture.")

    def clicks(self) -> tuple[np.ndarray, np.ndarray]:
        """SAM's points: coordinates float32 `[P, 2]`, labels int32 `[P]`; a box is two points labelled 2 and 3."""
        coords: list[tuple[float, float]] = []
        labels: list[int] = []
        if self.box is not None:
            coords += [(self.box[0], self.box[1]), (self.box[2], self.box[3])]
            labels += [2, 3]
        coords += list(self.points or ())
        labels += list(self.labels or ())
        return np.array(coords, np.float32).reshape(-1, 2), np.array(labels, np.int32)


@dataclass(frozen=True)
class View:
    """A rectangle of the picture, in whole pixels; it may reach beyond the picture."""

    x0: int
    y0: int
    width: int
    height: int

    @classmethod
    def whole(cls, picture_hw: tuple[int, int]) -> View:
        return cls(0, 0, picture_hw[1], picture_hw[0])

    @classmethod
    def square(cls, center: tuple[float, float], side: float) -> View:
        side_px = max(2, round(side))
        return cls(round(center[0] - side_px / 2), round(center[1] - side_px / 2), side_px, side_px)

    def resized(self, factor: float) -> View:
        """The view with the same middle and sides so many times as long."""
        middle = (self.x0 + self.width / 2, self.y0 + self.height / 2)
        width, height = max(2, round(self.width * factor)), max(2, round(self.height * factor))
        return View(round(middle[0] - width / 2), round(middle[1] - height / 2), width, height)

    @classmethod
    def around(cls, box: Box, factor: float, min_side_px: int) -> View:
        """A square of `factor` times the longer side of the box, centred on it."""
        x0, y0, x1, y1 = box
        side = max(factor * max(x1 - x0, y1 - y0), min_side_px)
        return cls.square(((x0 + x1) / 2, (y0 + y1) / 2), side)

    def points_in(self, coords: np.ndarray, size: int) -> np.ndarray:
        """Picture coordinates `[P, 2]` -> coordinates in the `size` x `size` input."""
        scale = np.array([size / self.width, size / self.height], np.float32)
        return (coords.astype(np.float32) - np.array([self.x0, self.y0], np.float32)) * scale


def cut(picture: np.ndarray, view: View, size: int, *, scale: float = 1.0) -> np.ndarray:
    """The view of a uint8 picture `[H, W]` or `[H, W, 3]`, resized to `size` x `size`; border pixels go on outside.

    `scale` is the size of `picture` relative to the one the view is expressed in (a window may hold reduced frames).
    """
    height, width = picture.shape[:2]
    x0, y0 = round(view.x0 * scale), round(view.y0 * scale)
    x1, y1 = x0 + max(1, round(view.width * scale)), y0 + max(1, round(view.height * scale))
    inner = picture[max(y0, 0) : max(min(y1, height), 0), max(x0, 0) : max(min(x1, width), 0)]
    if inner.size == 0:
        return np.zeros((size, size, *picture.shape[2:]), picture.dtype)
    top, left, bottom, right = max(-y0, 0), max(-x0, 0), max(y1 - height, 0), max(x1 - width, 0)
    if top or left or bottom or right:
        inner = cv2.copyMakeBorder(inner, top, bottom, left, right, cv2.BORDER_REPLICATE)
    shrinks = inner.shape[0] > size or inner.shape[1] > size
    return cv2.resize(inner, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def paste(logits: torch.Tensor, view: View, picture_hw: tuple[int, int]) -> np.ndarray:
    """Mask logits `[h, w]` of a view -> bool mask `[H, W]` of the picture (logit above 0)."""
    return paste_mean(logits[None], [view], picture_hw)


def paste_mean(logits: torch.Tensor, views: Sequence[View], picture_hw: tuple[int, int]) -> np.ndarray:
    """Mask logits `[V, h, w]` of views of one object -> bool mask `[H, W]` (mean of those that see a pixel above 0)."""
    height, width = picture_hw
    total = np.zeros((height, width), np.float32)
    for low, view in zip(logits, views, strict=True):
        x0, y0 = max(view.x0, 0), max(view.y0, 0)
        x1, y1 = min(view.x0 + view.width, width), min(view.y0 + view.height, height)
        if x1 <= x0 or y1 <= y0:
            continue
        full = F.interpolate(
            low[None, None].float().clamp(-SURE_LOGIT, SURE_LOGIT),
            size=(view.height, view.width),
            mode="bilinear",
            align_corners=False,
        )
        total[y0:y1, x0:x1] += full[0, 0, y0 - view.y0 : y1 - view.y0, x0 - view.x0 : x1 - view.x0].cpu().numpy()
    return total > 0


def box_of(mask: np.ndarray) -> Box | None:
    """The tight box of a bool mask `[H, W]`, or None when it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if rows.size == 0:
        return None
    return (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))


class Follower:
    """The view of one tracked object from frame to frame: it keeps the pace and roughly the size of the masks."""

    def __init__(self, box: Box, zoom: ZoomConfig) -> None:
        self._zoom = zoom
        self._center = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        self._extent = max(box[2] - box[0], box[3] - box[1])
        self._pace = (0.0, 0.0)
        self._lost = 0

    def view(self) -> View:
        """The view of the next frame."""
        growth = min(self._zoom.lost_growth**self._lost, self._zoom.lost_limit)
        side = max(self._zoom.track_context * self._extent, self._zoom.min_side_px) * growth
        return View.square((self._center[0] + self._pace[0], self._center[1] + self._pace[1]), side)

    def update(self, box: Box | None) -> None:
        """Take note of the box of the newest mask; None when the object was not found."""
        if box is None:
            self._lost += 1
            self._center = (self._center[0] + self._pace[0], self._center[1] + self._pace[1])
            self._pace = (self._pace[0] * 0.7, self._pace[1] * 0.7)
            return
        center = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        moved = (center[0] - self._center[0], center[1] - self._center[1])
        self._pace = (0.5 * self._pace[0] + 0.5 * moved[0], 0.5 * self._pace[1] + 0.5 * moved[1])
        # a mask may flicker by a limb; the view changes slowly, so that the net sees a steady scale
        self._extent = 0.8 * self._extent + 0.2 * max(box[2] - box[0], box[3] - box[1])
        self._center, self._lost = center, 0
