"""Clips drawn for measuring: cheap to make at any length, with enough going on to be worth encoding."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

FPS = 25


def draw_clip(path: Path, *, seconds: float, size: tuple[int, int], seed: int = 0) -> Path:
    """Write an H.264 clip of `seconds` at 25 frames/s and `size` (width, height): boxes that cross a still street."""
    width, height = size
    rng = np.random.default_rng(seed)
    street = rng.integers(70, 130, (height // 8, width // 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    colours = rng.integers(0, 255, (4, 3), dtype=np.uint8)
    speeds = rng.uniform(0.1, 0.5, 4) * width
    side = height // 6
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "28"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        for index in range(round(seconds * FPS)):
            picture = street.copy()
            for lane, (colour, speed) in enumerate(zip(colours, speeds, strict=True)):
                left = int(index / FPS * speed) % (width - side)
                top = lane * height // 4
                picture[top : top + side, left : left + side] = colour
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
