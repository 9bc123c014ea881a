"""Colours with names, and the light they are seen in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .canvas import Colour

COLOURS: dict[str, Colour] = {
    "red": (196, 34, 38),
    "orange": (236, 122, 26),
    "yellow": (232, 206, 48),
    "green": (40, 132, 58),
    "blue": (36, 74, 178),
    "purple": (118, 50, 148),
    "pink": (238, 142, 176),
    "brown": (112, 70, 38),
    "white": (238, 238, 236),
    "grey": (132, 132, 134),
    "black": (26, 26, 30),
}
UPPER = tuple(COLOURS)
LOWER = ("black", "blue", "grey", "brown", "white", "green")
VEHICLE = ("red", "blue", "white", "black", "yellow", "grey", "green")
BAG = ("black", "brown", "red", "blue", "green")
SKIN: tuple[Colour, ...] = ((236, 196, 168), (214, 164, 126), (166, 114, 78), (104, 70, 48))
HAIR: tuple[Colour, ...] = ((32, 26, 22), (70, 44, 26), (150, 112, 60), (128, 126, 124))


def to_colour(values: Iterable[float]) -> Colour:
    """Three numbers as a colour, clipped to 0…255."""
    r, g, b = (int(min(max(v, 0), 255)) for v in values)
    return r, g, b


def shaded(colour: Colour, k: float) -> Colour:
    """A colour made darker (k < 1) or lighter."""
    return to_colour(c * k for c in colour)


@dataclass(frozen=True)
class Light:
    """The light of a scene: `name` is day, dusk, night or infra-red; `gain` per channel; `grey` drops the colours."""

    name: str
    gain: tuple[float, float, float]
    grey: bool = False
    shadow: float = 0.45

    def tone(self, colour: Colour, shade: float = 1.0) -> Colour:
        """The colour as this light shows it, times `shade`."""
        r, g, b = colour
        if self.grey:
            r = g = b = int(0.3 * r + 0.55 * g + 0.15 * b)
        out = [int(min(255.0, c * k * shade)) for c, k in zip((r, g, b), self.gain, strict=True)]
        return out[0], out[1], out[2]

    def picture(self, rgb: np.ndarray) -> np.ndarray:
        """A whole picture uint8 [H, W, 3] as this light shows it."""
        work = rgb.astype(np.float32)
        if self.grey:
            work = np.repeat((work @ np.array([0.3, 0.55, 0.15], np.float32))[..., None], 3, axis=2)
        return np.clip(work * np.array(self.gain, np.float32), 0, 255).astype(np.uint8)

    def names(self, colour: str) -> str:
        """The word an observer can use: the colour itself, or light/dark where colours cannot be seen."""
        if not self.grey:
            return colour
        r, g, b = COLOURS[colour]
        return "light" if 0.3 * r + 0.55 * g + 0.15 * b > 105 else "dark"


def sample_light(rng: np.random.Generator, indoor: bool) -> Light:
    """Day most often; dusk, night and infra-red otherwise (indoors: day or infra-red)."""
    roll = rng.random()
    if indoor:
        roll = roll * 0.62 if roll < 0.9 else 0.99
    if roll < 0.62:
        k = rng.uniform(0.88, 1.08)
        warm = rng.uniform(-0.05, 0.05)
        return Light("day", (k * (1 + warm), k, k * (1 - warm)), shadow=rng.uniform(0.3, 0.6))
    if roll < 0.76:
        return Light("dusk", (0.84, 0.72, 0.68), shadow=0.35)
    if roll < 0.89:
        return Light("night", (0.60, 0.60, 0.70), shadow=0.4)
    return Light("infra-red", (0.85, 0.85, 0.85), grey=True, shadow=0.35)
