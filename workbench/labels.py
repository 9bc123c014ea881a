"""Where the labels of instances stand, so that none hides another and none jumps while the clip plays.

Each label has one place for the whole clip, beside its box: above, below, inside at the top, or further that way.
Going through the instances in their order, it is the first place where the label meets none of those before it in any
frame (else the one with the fewest meetings; in those frames it gives way). `viewer.js` does the same on the page.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.records import Box

# Steps of a label's height from where it first stands: (above the box, below it, inside it at its top).
PLACES: tuple[tuple[str, int], ...] = tuple((side, step) for step in range(5) for side in ("above", "below", "inside"))
GAP_PX = 2
Size = tuple[int, int]


def choose_places(boxes: Sequence[np.ndarray], sizes: Sequence[Size], picture: Size) -> list[int]:
    """The place of each label, a number into `PLACES`.

    Args:
        boxes: of each instance `[F, 4]` (x0, y0, x1, y1) in the same F frames, NaN where it is not seen.
        sizes: (width, height) of each label. picture: (width, height), in the same pixels.
    """
    chosen: list[int] = []
    standing: list[np.ndarray] = []
    for box, size in zip(boxes, sizes, strict=True):
        wanted = [rectangles(box, size, picture, place) for place in range(len(PLACES))]
        meetings = [sum(int(_meet(one, other).sum()) for other in standing) for one in wanted]
        chosen.append(meetings.index(min(meetings)))
        standing.append(wanted[chosen[-1]])
    return chosen


def rectangles(boxes: np.ndarray, size: Size, picture: Size, place: int) -> np.ndarray:
    """The label `[F, 4]` at a place beside boxes `[F, 4]`, moved into the picture."""
    (width, height), (side, step) = size, PLACES[place]
    away = GAP_PX + step * (height + GAP_PX)
    top = {
        "above": boxes[:, 1] - height - away, "below": boxes[:, 3] + away, "inside": boxes[:, 1] + away,
    }[side]  # fmt: skip
    left = np.clip(np.round(boxes[:, 0]), 0, max(0, picture[0] - width))
    top = np.clip(np.round(top), 0, max(0, picture[1] - height))
    return np.stack([left, top, left + width, top + height], axis=1)


def place_all(boxes: Sequence[Box | None], sizes: Sequence[Size], picture: Size, places: Sequence[int]) -> list[Box]:
    """The label of each box in one frame; one that has no box, or is larger than the picture, is empty (0, 0, 0, 0)."""
    placed: list[Box] = []
    for box, size, own in zip(boxes, sizes, places, strict=True):
        if box is None or size[0] > picture[0] or size[1] > picture[1]:
            placed.append((0, 0, 0, 0))
            continue
        order = [own, *(place for place in range(len(PLACES)) if place != own)]
        wanted = [rectangles(np.array([box], float), size, picture, place) for place in order]
        others = np.array([other for other in placed if other[2] > other[0]]).reshape(-1, 4)
        free = next((one for one in wanted if not _meet(one, others).any()), wanted[0])
        x0, y0, x1, y1 = free[0].tolist()
        placed.append((x0, y0, x1, y1))
    return placed


def _meet(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether rectangles share a pixel, row by row (one row of `a` with all of `b`); NaN meets nothing."""
    return np.asarray((a[:, 0] < b[:, 2]) & (b[:, 0] < a[:, 2]) & (a[:, 1] < b[:, 3]) & (b[:, 1] < a[:, 3]))
