"""Drawing into a picture and its id map at once. Coordinates are float pixels; shapes are anti-aliased in the picture
and hard-edged in the id map."""

from __future__ import annotations

import cv2
import numpy as np

SHIFT = 4
ONE = 1 << SHIFT
Colour = tuple[int, int, int]


def fixed(points: np.ndarray) -> np.ndarray:
    """Float pixels to OpenCV fixed point (int32), clipped to a range OpenCV can handle."""
    return np.clip(np.rint(points * ONE), -2_000_000, 2_000_000).astype(np.int32)


class Canvas:
    """`rgb` uint8 [H, W, 3] and `ids` uint8 [H, W], drawn together; `entity` is the id now drawn (-1: picture only)."""

    def __init__(self, rgb: np.ndarray, ids: np.ndarray) -> None:
        self.rgb = rgb
        self.ids = ids
        self.entity = -1

    def poly(self, points: np.ndarray, colour: Colour) -> None:
        """A filled convex polygon, `points` int32 [P, 2] in fixed point."""
        cv2.fillConvexPoly(self.rgb, points, colour, cv2.LINE_AA, SHIFT)
        if self.entity >= 0:
            cv2.fillConvexPoly(self.ids, points, self.entity, cv2.LINE_8, SHIFT)

    def disc(self, x: int, y: int, radius: float, colour: Colour) -> None:
        """A filled disc at fixed-point (x, y), radius in pixels."""
        r = max(int(radius * ONE), 6)
        cv2.circle(self.rgb, (x, y), r, colour, -1, cv2.LINE_AA, SHIFT)
        if self.entity >= 0:
            cv2.circle(self.ids, (x, y), r, self.entity, -1, cv2.LINE_8, SHIFT)

    def limb(self, a: tuple[int, int], b: tuple[int, int], ra: float, rb: float, colour: Colour) -> None:
        """A tapered capsule from fixed-point `a` to `b`, end radii in pixels."""
        ax, ay = a
        bx, by = b
        dx, dy = bx - ax, by - ay
        length = (dx * dx + dy * dy) ** 0.5
        if length > 1.0:
            nx, ny = -dy / length * ONE, dx / length * ONE
            quad = np.array(
                [
                    (ax + nx * ra, ay + ny * ra),
                    (bx + nx * rb, by + ny * rb),
                    (bx - nx * rb, by - ny * rb),
                    (ax - nx * ra, ay - ny * ra),
                ],
                dtype=np.int32,
            )
            self.poly(quad, colour)
        self.disc(ax, ay, ra, colour)
        self.disc(bx, by, rb, colour)

    def line(self, points: np.ndarray, colour: Colour, thickness: int = 1, closed: bool = False) -> None:
        """An open or closed poly-line through int32 fixed-point [P, 2]."""
        cv2.polylines(self.rgb, [points], closed, colour, thickness, cv2.LINE_AA, SHIFT)
        if self.entity >= 0:
            cv2.polylines(self.ids, [points], closed, self.entity, thickness, cv2.LINE_8, SHIFT)

    def shade(self, x: float, y: float, rx: float, ry: float, strength: float) -> None:
        """Darken a soft ellipse (a contact shadow); the id map is not touched."""
        w, h = max(int(rx * 2), 2), max(int(ry * 2), 2)
        mask = _shade_mask(w, h, round(strength * 20))
        x0, y0 = int(x - w / 2), int(y - h / 2)
        cx0, cy0 = max(x0, 0), max(y0, 0)
        cx1, cy1 = min(x0 + w, self.rgb.shape[1]), min(y0 + h, self.rgb.shape[0])
        if cx1 <= cx0 or cy1 <= cy0:
            return
        roi = self.rgb[cy0:cy1, cx0:cx1]
        cv2.multiply(roi, mask[cy0 - y0 : cy1 - y0, cx0 - x0 : cx1 - x0], dst=roi, scale=1 / 255)

    def puff(self, x: float, y: float, radius: float, colour: Colour, opacity: float, glow: bool = False) -> None:
        """A soft disc, blended (or added, when `glow`); opaque pixels (≥ 0.4) enter the id map."""
        r = max(int(radius), 2)
        x0, y0 = int(x) - r, int(y) - r
        cx0, cy0 = max(x0, 0), max(y0, 0)
        cx1, cy1 = min(x0 + 2 * r, self.rgb.shape[1]), min(y0 + 2 * r, self.rgb.shape[0])
        if cx1 <= cx0 or cy1 <= cy0 or opacity <= 0.01:
            return
        alpha = _puff_mask(r)[cy0 - y0 : cy1 - y0, cx0 - x0 : cx1 - x0] * np.float32(opacity)
        roi = self.rgb[cy0:cy1, cx0:cx1]
        paint = np.empty_like(roi)
        paint[:] = colour
        if glow:
            roi[:] = cv2.add(roi, cv2.multiply(paint, cv2.merge([alpha] * 3), dtype=cv2.CV_8U))
        else:
            roi[:] = cv2.blendLinear(paint, roi, alpha, 1 - alpha)
        if self.entity >= 0:
            self.ids[cy0:cy1, cx0:cx1][alpha >= 0.4] = self.entity


_SHADES: dict[tuple[int, int, int], np.ndarray] = {}
_PUFFS: dict[int, np.ndarray] = {}


def _shade_mask(w: int, h: int, strength: int) -> np.ndarray:
    """A cached multiplier picture uint8 [h, w, 3]; the cache is a pure function of its key."""
    key = (w, h, strength)
    if key not in _SHADES:
        yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
        d = ((xx + 0.5 - w / 2) / (w / 2)) ** 2 + ((yy + 0.5 - h / 2) / (h / 2)) ** 2
        fall = np.clip(1.4 * (1 - d), 0, 1) * strength / 20
        _SHADES[key] = np.repeat((255 * (1 - fall)).astype(np.uint8)[..., None], 3, axis=2)
    return _SHADES[key]


def _puff_mask(r: int) -> np.ndarray:
    """A cached soft disc float32 [2r, 2r] in [0, 1]."""
    if r not in _PUFFS:
        yy, xx = np.mgrid[0 : 2 * r, 0 : 2 * r].astype(np.float32)
        d = np.sqrt((xx + 0.5 - r) ** 2 + (yy + 0.5 - r) ** 2) / r
        _PUFFS[r] = np.clip((1 - d) * 1.6, 0, 1).astype(np.float32)
    return _PUFFS[r]
