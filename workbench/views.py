"""The pictures of one instance that the language model sees when it is asked who that is (IAC 3.2, step 4).

Wide views keep the whole picture, so that motion shows; close-ups crop around the instance, so that clothes show.
Everything but the instance is dimmed in both.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

WIDE_VIEWS = 3
CLOSE_VIEWS = 2
_DIM = 0.45
_CONTOUR_RGB = (255, 220, 0)


def pick_views(frame_indices: Sequence[int]) -> tuple[list[int], list[int]]:
    """Frames for the wide views (first, middle, last) and for the close-ups (a quarter and three quarters in).

    Args:
        frame_indices: frames in which the instance is visible, ascending, at least one.
    """

    def at(fraction: float) -> int:
        return frame_indices[round(fraction * (len(frame_indices) - 1))]

    wide = [at(i / (WIDE_VIEWS - 1)) for i in range(WIDE_VIEWS)]
    close = [at((i + 0.5) / CLOSE_VIEWS) for i in range(CLOSE_VIEWS)]
    return wide, close


def highlight(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Dim `uint8 [H, W, 3]` outside `bool [H, W]` and draw the mask's outline."""
    picture = np.where(mask[..., None], rgb, (rgb * _DIM).astype(np.uint8))
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    thickness = max(1, round(min(rgb.shape[:2]) / 240))
    return cv2.drawContours(np.ascontiguousarray(picture), outlines, -1, _CONTOUR_RGB, thickness)


def close_up(rgb: np.ndarray, mask: np.ndarray, *, margin: float = 0.25, min_px: int = 24) -> np.ndarray:
    """A square crop around the mask, `margin` of its longer side added on each side; edges are repeated."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return rgb
    side = max(rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1, min_px)
    half = int(side * (0.5 + margin))
    cy, cx = (rows[0] + rows[-1]) // 2, (columns[0] + columns[-1]) // 2
    lit = highlight(rgb, mask)
    padded = cv2.copyMakeBorder(lit, half, half, half, half, cv2.BORDER_REPLICATE)
    return padded[cy : cy + 2 * half + 1, cx : cx + 2 * half + 1]
