"""A mark burnt into a corner of the picture, as recorders and broadcasters leave one."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

WORDS = ("CITYCAM", "LIVE", "SEC 24", "VIEW 1", "TVN", "GATE 3", "CH 04", "WATCH")
SHARE = 0.45  # of clips that have one


@dataclass(frozen=True)
class Logo:
    """`patch` float32 [h, w, 3] and its `alpha` [h, w, 1], burnt in at (x, y) pixels."""

    patch: np.ndarray
    alpha: np.ndarray
    x: int
    y: int

    @classmethod
    def of_chance(cls, rng: np.random.Generator, size: tuple[int, int]) -> Logo | None:
        """A mark for clips of `size`, or none. It keeps away from the upper left corner, where the clock is."""
        wanted, form, opacity = rng.random() < SHARE, int(rng.integers(3)), float(rng.uniform(0.45, 0.95))
        word, corner = str(rng.choice(WORDS)), int(rng.integers(3))
        colour = tuple(float(v) for v in rng.integers(120, 256, 3))
        if not wanted:
            return None
        k = size[1] / 240
        scale, thick = 0.42 * k, max(1, round(k))
        (w, h), base = cv2.getTextSize(word, cv2.FONT_HERSHEY_DUPLEX, scale, thick)
        side = round(h * 1.8) if form else 0
        wide, high, gap = w + side + round(10 * k), round(h + base + 8 * k), round(4 * k)
        patch, alpha = np.zeros((high, wide, 3), np.uint8), np.zeros((high, wide), np.uint8)
        if form == 2:
            patch[:], alpha[:] = (28, 34, 70), 190
        middle = (gap + side // 2, high // 2)
        if form:
            cv2.circle(patch, middle, side // 2, colour, -1, cv2.LINE_AA)
            cv2.circle(alpha, middle, side // 2, 255, -1, cv2.LINE_AA)
            cv2.circle(patch, middle, side // 4, (250, 250, 250), -1, cv2.LINE_AA)
        where = (gap + side + gap // 2, high - base - gap // 2)
        for canvas, paint in ((patch, (250.0, 250.0, 250.0) if form else colour), (alpha, (255.0, 255.0, 255.0))):
            cv2.putText(canvas, word, where, cv2.FONT_HERSHEY_DUPLEX, scale, paint, thick, cv2.LINE_AA)
        margin = round(6 * k)
        x = margin if corner == 1 else size[0] - wide - margin
        y = margin if corner == 0 else size[1] - high - margin
        return cls(patch.astype(np.float32), alpha[..., None].astype(np.float32) / 255 * opacity, x, y)

    def burn(self, rgb: np.ndarray) -> None:
        """Blend it into a frame, uint8 [H, W, 3], in place."""
        h, w = self.alpha.shape[:2]
        cut = rgb[self.y : self.y + h, self.x : self.x + w]
        cut[:] = (cut * (1 - self.alpha) + self.patch * self.alpha).astype(np.uint8)
