"""Making bystanders unrecognisable in pictures and cut clips.

What is hidden is the whole box of a bystander with a margin, not the mask: a mask that misses a face by a few pixels
would show it. Between two frames in which a bystander was tracked, everything from the one box to the other is
hidden; for a second before the first and after the last, the nearest box, with a wider margin. People whom nobody has
marked as bystanders are not known, and stay as they are.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

import cv2
import numpy as np

from workbench.masks import decode_rle, mask_box
from workbench.records import Box, Instance

MARGIN = 0.15  # of the box's size, on each side
FAR_MARGIN = 0.5  # where the bystander was tracked only near that moment
MIN_MARGIN_PX = 4
REACH_S = 1.0
BLOCKS = 7  # along the longer side of what is hidden: a head is one block of a standing person
MIN_BLOCK_PX = 8


class Pixelation:
    """Hides the bystanders among `instances` in any frame of their clip.

    Args:
        clip_size: (width, height) that boxes and masks are in. fps: frames a second.
    """

    def __init__(self, instances: Iterable[Instance], clip_size: tuple[int, int], fps: float) -> None:
        self.clip_size = clip_size
        self._reach = max(1, round(REACH_S * fps))
        chosen = [item for item in instances if item.role == "bystander"]
        self.count = len(chosen)
        self._tracks = [track for track in map(_track, chosen) if track]

    def paint(self, frame: int, rgb: np.ndarray) -> np.ndarray:
        """The picture of `frame` (uint8 `[H, W, 3]`, possibly shrunk) with its bystanders pixelated; a new picture."""
        boxes = self.boxes(frame)
        return pixelate(rgb, boxes, self.clip_size) if boxes else rgb

    def boxes(self, frame: int) -> list[Box]:
        """What is hidden in `frame`, margins included; may stand over the edges of the picture."""
        found = [_box_at(track, frame, self._reach) for track in self._tracks]
        return [box for box in found if box is not None]


def pixelate(rgb: np.ndarray, boxes: Iterable[Box], clip_size: tuple[int, int]) -> np.ndarray:
    """Replace what lies in the boxes by blocks of its mean colour; a new picture."""
    canvas = rgb.copy()
    height, width = rgb.shape[:2]
    across, down = width / clip_size[0], height / clip_size[1]
    for box in boxes:
        x0, y0 = max(0, int(box[0] * across)), max(0, int(box[1] * down))
        x1, y1 = min(width, int(np.ceil(box[2] * across))), min(height, int(np.ceil(box[3] * down)))
        if x1 <= x0 or y1 <= y0:
            continue
        block = max(MIN_BLOCK_PX * across, max(x1 - x0, y1 - y0) / BLOCKS)
        grid = (max(1, round((x1 - x0) / block)), max(1, round((y1 - y0) / block)))
        coarse = cv2.resize(canvas[y0:y1, x0:x1], grid, interpolation=cv2.INTER_AREA)
        canvas[y0:y1, x0:x1] = cv2.resize(coarse, (x1 - x0, y1 - y0), interpolation=cv2.INTER_NEAREST)
    return canvas


def _track(instance: Instance) -> dict[int, Box]:
    """A box for every frame in which there is a box or a mask, in the order of frames."""
    boxes = dict(instance.boxes_xyxy)
    for frame, mask in instance.masks_rle.items():
        found = mask_box(decode_rle(mask))
        if found is not None:
            boxes[frame] = _union(boxes[frame], found) if frame in boxes else found
    return dict(sorted(boxes.items()))


def _box_at(track: dict[int, Box], frame: int, reach: int) -> Box | None:
    frames = list(track)
    right = bisect_left(frames, frame)
    if right < len(frames) and frames[right] == frame:
        return _grown(track[frame], MARGIN)
    if 0 < right < len(frames):
        return _grown(_union(track[frames[right - 1]], track[frames[right]]), MARGIN)
    nearest = frames[min(right, len(frames) - 1)]
    return _grown(track[nearest], FAR_MARGIN) if abs(nearest - frame) <= reach else None


def _union(a: Box, b: Box) -> Box:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _grown(box: Box, margin: float) -> Box:
    dx = max(MIN_MARGIN_PX, margin * (box[2] - box[0]))
    dy = max(MIN_MARGIN_PX, margin * (box[3] - box[1]))
    return box[0] - dx, box[1] - dy, box[2] + dx, box[3] + dy
