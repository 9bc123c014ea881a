"""Colours and ways that are measured under a mask, so that what is said of an instance is what can be seen of it.

A small language model guesses the colour of a jacket; the pixels under the mask know it. So the words of a caption that
name colours and directions are replaced by measured ones, and nothing else of it is touched.

Colours are named pixel by pixel in HSV (hue borders between the basic colour terms of English; Berlin and Kay, 1969)
and put to the vote, after the picture's brightest parts are brought to full brightness, so that dusk does not make
orange brown. A picture without colour (infra-red) has light and dark.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import cv2
import numpy as np

Part = Literal["upper", "lower", "whole"]
BANDS: dict[Part, tuple[float, float]] = {"upper": (0.2, 0.5), "lower": (0.58, 0.88), "whole": (0.1, 0.9)}
"""Which share of a mask's height shows a part: the trunk below the head, the legs above the shoes."""
HUES = (
    *((14, "red"), (42, "orange"), (68, "yellow"), (170, "green"), (258, "blue"), (305, "purple"), (345, "pink")),
    (361, "red"),
)
"""Upper borders of the hues, degrees."""
COLOUR_WORDS = (*dict.fromkeys(name for _, name in HUES), "brown", "white", "grey", "gray", "black", "light", "dark")
GARMENTS: dict[Part, tuple[str, ...]] = {
    "upper": ("jacket", "coat", "shirt", "t-shirt", "hoodie", "sweater", "pullover", "top", "vest", "clothes"),
    "lower": ("trousers", "pants", "jeans", "skirt", "shorts", "leggings"),
    "whole": ("car", "van", "truck", "lorry", "bus", "bag", "suitcase", "bicycle", "bike"),
}
COLOURLESS = 12  # difference of the channels below which a picture has no colour, grey levels
LIGHT = 105  # grey level above which something is light
FULL = 235.0  # what the brightest parts are brought to
MIN_PIXELS = 6
WAYS = ("from left to right", "from right to left", "towards the camera", "away from the camera")
STILL_BODIES = 0.45
"""Way in body heights below which an instance stays where it is."""
_WAY = re.compile("|".join(f"(?:{way})" for way in WAYS))


@dataclass(frozen=True, slots=True)
class Measured:
    """What the pixels say of an instance: colours by part (only those that could be measured) and its way, one of
    `WAYS`, None where it stays in place or is seen too shortly to tell."""

    colours: Mapping[Part, str]
    way: str | None


def measure(frames: Mapping[int, np.ndarray], track: Mapping[int, np.ndarray]) -> Measured:
    """Measure an instance over the frames in which it is seen.

    Args:
        frames: pictures `uint8 [H, W, 3]` by frame index. track: masks `bool [H, W]` by frame index.
    """
    votes: dict[Part, Counter[str]] = {part: Counter() for part in BANDS}
    for index, mask in track.items():
        if mask.any():
            picture = frames[index]
            names: Callable[[np.ndarray], Counter[str]] = _light_or_dark
            if not is_colourless(picture):
                names = partial(_colours, gain=gain_of(picture))
            box = _surroundings(mask)
            for part, counts in votes.items():
                counts.update(names(picture[box][_band(mask[box], part)]))
    named = {part: counts.most_common(1)[0][0] for part, counts in votes.items() if counts.total() >= MIN_PIXELS}
    return Measured(named, way_of(track))


def is_colourless(rgb: np.ndarray) -> bool:
    """Whether a picture is grey all over, as an infra-red camera's is."""
    small = cv2.resize(rgb, (40, 30), interpolation=cv2.INTER_AREA)  # noise has colours of its own, but averages out
    return bool(np.percentile(small.max(-1).astype(int) - small.min(-1), 99) < COLOURLESS)


def gain_of(rgb: np.ndarray) -> float:
    """What a picture is multiplied with, so that its brightest 3 % are bright."""
    brightest = np.maximum(np.maximum(rgb[..., 0], rgb[..., 1]), rgb[..., 2])  # many times faster than max(-1)
    return FULL / max(float(np.percentile(brightest, 97)), 60.0)


def way_of(track: Mapping[int, np.ndarray]) -> str | None:
    """Where an instance goes, from the first to the last of its masks: one of `WAYS`, or None.

    Across, it is the way of its foot in body heights; along, the growth of its height, which is that of 1/distance.
    """
    masks = [mask for _, mask in sorted(track.items()) if mask.any()]
    boxes = [(cv2.boundingRect(mask.astype(np.uint8)), mask.shape) for mask in masks]
    whole = [box for box, (_, width) in boxes if box[0] > 0 and box[0] + box[2] < width]
    some = whole if len(whole) >= 2 else [box for box, _ in boxes]  # who is half out of the picture has no size
    if len(some) < 2:
        return None
    ends = []
    count = max(1, len(some) // 6)
    for end in (some[:count], some[-count:]):
        x, _, width, height = np.median(np.array(end, np.float64), axis=0)
        ends.append((x + width / 2, max(height, width)))  # who falls is as long as before
    (x0, h0), (x1, h1) = ends
    across = (x1 - x0) / ((h0 + h1) / 2)
    along = ALONG * np.log(h1 / h0)
    if max(abs(across), abs(along)) < STILL_BODIES:
        return None
    if abs(across) > abs(along):
        return WAYS[0] if across > 0 else WAYS[1]
    return WAYS[2] if along > 0 else WAYS[3]


ALONG = 4.0
"""A typical distance from the camera in body heights: a way that long changes the height by a factor of e."""


def said_rightly(text: str, measured: Measured) -> str:
    """A caption with its words for colours and directions replaced by the measured ones, where there are such."""
    for part, colour in measured.colours.items():
        text = _recoloured(text, GARMENTS[part], colour)
    if _WAY.search(text):
        text = _WAY.sub(measured.way, text) if measured.way else re.sub(rf" ?(?:{_WAY.pattern})", "", text)
    return text


def _recoloured(text: str, nouns: tuple[str, ...], colour: str) -> str:
    """The text with the colour before any of the nouns (with at most one word between) replaced."""
    pattern = rf"(?P<article>\ban? )?\b(?:{'|'.join(COLOUR_WORDS)})(?P<noun> (?:\w+ )?(?:{'|'.join(nouns)})\b)"

    def rewritten(found: re.Match[str]) -> str:
        return _article(found["article"], colour) + colour + found["noun"]

    return re.sub(pattern, rewritten, text)


def _article(written: str | None, following: str) -> str:
    return "" if written is None else "an " if following[0] in "aeiou" else "a "


def _surroundings(mask: np.ndarray) -> tuple[slice, slice]:
    """The box of a mask and one pixel around it: all that its bands and their edges are about."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return slice(max(y - 1, 0), y + height + 1), slice(max(x - 1, 0), x + width + 1)


def _band(mask: np.ndarray, part: Part) -> np.ndarray:
    """The pixels of a part, away from the mask's edge where there are enough of them."""
    rows = np.flatnonzero(mask.any(1))
    top, height = rows[0], rows[-1] - rows[0] + 1
    low, high = BANDS[part]
    band = np.zeros_like(mask)
    band[int(top + low * height) : max(int(top + high * height), int(top + low * height) + 1)] = True
    band &= mask
    inner = band & (cv2.erode(mask.astype(np.uint8), np.ones((3, 3))) > 0)
    return inner if inner.sum() >= MIN_PIXELS else band


def _light_or_dark(pixels: np.ndarray) -> Counter[str]:
    """How many pixels `uint8 [N, 3]` are light, how many dark."""
    light = int((pixels.mean(-1) > LIGHT).sum())
    return Counter({"light": light, "dark": len(pixels) - light})


def _colours(pixels: np.ndarray, gain: float) -> Counter[str]:
    """How many pixels `uint8 [N, 3]`, brightened by a gain, bear which name."""
    if not len(pixels):
        return Counter()
    bright = np.clip(pixels * gain, 0, 255).astype(np.uint8)
    hue, saturation, value = cv2.cvtColor(bright[None].astype(np.float32) / 255, cv2.COLOR_RGB2HSV)[0].T
    names = np.array([name for _, name in HUES])[np.searchsorted([border for border, _ in HUES], hue, side="right")]
    names = names.astype("<U8")
    names[(hue >= 12) & (hue < 45) & (value < 0.58)] = "brown"
    names[((hue < 14) | (hue >= 330)) & (saturation < 0.55) & (value > 0.6)] = "pink"
    plain = (saturation < 0.2) | (value < 0.16)
    names[plain] = "grey"
    names[plain & (value > 0.72)] = "white"
    names[plain & (value <= 0.28)] = "black"
    return Counter(names.tolist())
