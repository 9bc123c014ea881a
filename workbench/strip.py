"""The score strip under an overlay video: the curve, the threshold, the events, and a playhead."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from workbench.records import Analysis

_SCALE = 3  # drawn large once and shrunk, so that every edge is smooth
_GROUND = (18, 22, 29)
_PLOT = (24, 29, 38)
_RULE = (52, 61, 75)
_MUTED = (152, 163, 179)
_INK = (232, 236, 242)
_CURVE = (86, 180, 233)
_FILL = (35, 62, 82)
_EVENT = (255, 138, 61)
_EVENT_GROUND = (58, 40, 33)
_PLAYED = (14, 16, 21)


class ScoreStrip:
    """Draws the strip for any moment: the still part once, then only a playhead, a time and a score.

    Args:
        analysis: what to show. width, height: size in pixels.
    """

    def __init__(self, analysis: Analysis, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._duration_s = max(analysis.clip.duration_s, 1e-6)
        self._time_s = analysis.dense.time_s
        self._score = np.nan_to_num(analysis.dense.score)
        self._events = [(event.start_s, event.end_s) for event in analysis.events]
        self._threshold = analysis.threshold
        # Sizes follow the strip's height, but a narrow video must still fit its text.
        self._text_px = max(7, min(round(0.17 * height), width // 24))
        self._margin = max(4, round(0.09 * height))
        self._top = self._margin + round(1.55 * self._text_px)
        self._bottom = height - self._margin
        self._font = ImageFont.load_default(self._text_px * _SCALE)
        self._digits = max(self._font.getlength(digit) for digit in "0123456789")
        self._still = self._draw_still()

    def draw(self, time_s: float) -> np.ndarray:
        """The strip at `time_s`: uint8 `[height, width, 3]` RGB."""
        picture = self._still.copy()
        x = self._x(time_s)
        at = int(np.clip(round(x), self._margin, self.width - self._margin - 1))
        ahead = picture[self._top : self._bottom, at : self.width - self._margin]
        # What is still to come is dimmed by 45 %: enough to read as "ahead", little enough to stay legible.
        ahead[:] = (ahead * 0.55 + np.array(_PLAYED) * 0.45).astype(np.uint8)
        half = max(1, round(self.height / 90))
        picture[self._top - 2 : self._bottom + 1, max(0, at - half + 1) : at + half] = _INK
        self._header(picture, time_s)
        return picture

    def _x(self, time_s: float) -> float:
        inner = self.width - 2 * self._margin
        return self._margin + inner * float(np.clip(time_s / self._duration_s, 0, 1))

    def _y(self, score: float) -> float:
        return self._bottom - (self._bottom - self._top) * float(np.clip(score, 0, 1))

    def _draw_still(self) -> np.ndarray:
        s = _SCALE
        image = Image.new("RGB", (self.width * s, self.height * s), _GROUND)
        pen = ImageDraw.Draw(image)
        left, right = self._margin * s, (self.width - self._margin) * s
        top, bottom = self._top * s, self._bottom * s
        pen.rectangle((left, top, right, bottom), fill=_PLOT)
        for start_s, end_s in self._events:
            x0, x1 = self._x(start_s) * s, max(self._x(end_s), self._x(start_s) + 1) * s
            pen.rectangle((x0, top, x1, bottom), fill=_EVENT_GROUND)
        points = [(self._x(t) * s, self._y(v) * s) for t, v in zip(self._time_s, self._score, strict=True)]
        if points:
            points = [(left, points[0][1]), *points, (right, points[-1][1])]  # held to both ends of the clip
            pen.polygon([(left, bottom), *points, (right, bottom)], fill=_FILL)
        y = self._y(self._threshold) * s
        dash = max(2, self.height // 30) * s
        for x in range(int(left), int(right), 2 * dash):
            pen.line((x, y, min(x + dash, right), y), fill=_MUTED, width=s)
        if points:
            pen.line(points, fill=_CURVE, width=max(s, round(self.height / 60 * s)), joint="curve")
        for start_s, end_s in self._events:
            x0, x1 = self._x(start_s) * s, max(self._x(end_s), self._x(start_s) + 1) * s
            pen.rectangle((x0, top, x1, top + max(2, self.height // 32) * s), fill=_EVENT)
        pen.line((left, bottom, right, bottom), fill=_RULE, width=s)
        small = image.resize((self.width, self.height), Image.Resampling.BOX)
        return np.asarray(small).copy()

    def _header(self, picture: np.ndarray, time_s: float) -> None:
        """Write time and score above the plot, into `picture`."""
        s = _SCALE
        rows = self._top - 2
        image = Image.new("RGB", (self.width * s, rows * s), _GROUND)
        pen = ImageDraw.Draw(image)
        y = round(0.55 * self._margin) * s
        now, total = clock(time_s), clock(self._duration_s)
        end = self._write(pen, self._margin * s, y, now, _INK)
        self._write(pen, end, y, f" / {total}", _MUTED)
        inside = any(start_s <= time_s < end_s for start_s, end_s in self._events)
        score = float(np.interp(time_s, self._time_s, self._score)) if len(self._score) else 0.0
        label, value = ("event  " if inside else "score  "), f"{score:.2f}"
        colour = _EVENT if inside else _CURVE
        x = (self.width - self._margin) * s - self._length(label + value)
        self._write(pen, self._write(pen, x, y, label, colour if inside else _MUTED), y, value, colour)
        small = image.resize((self.width, rows), Image.Resampling.BOX)
        picture[:rows] = np.asarray(small)

    def _length(self, text: str) -> float:
        return sum(self._digits if c.isdigit() else self._font.getlength(c) for c in text)

    def _write(self, pen: ImageDraw.ImageDraw, x: float, y: float, text: str, colour: tuple[int, int, int]) -> float:
        """Write with digits of one width, so that a running time does not tremble; returns where the text ends."""
        for character in text:
            if character.isdigit():
                pen.text((x + (self._digits - self._font.getlength(character)) / 2, y), character, colour, self._font)
                x += self._digits
            else:
                pen.text((x, y), character, colour, self._font)
                x += self._font.getlength(character)
        return x


def clock(time_s: float) -> str:
    """`75.25` → `01:15.2`; hours appear when there are any. Tenths are cut, not rounded: a clock never runs ahead."""
    tenths = int(max(0.0, time_s) * 10 + 1e-6)
    minutes, seconds = divmod(tenths // 10, 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:" if hours else "") + f"{minutes:02d}:{seconds:02d}.{tenths % 10}"
