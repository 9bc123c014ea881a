"""Clips drawn for tests, each with a known truth. Written with PyAV; every function returns the path it wrote.

Frame `i` of a marked clip carries its number as 12 black or white blocks along the top, so that a decoded picture says
which frame it is whatever the codec did to it: see `number_in`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from workbench.h264 import SAME_BYTES

BITS = 12
SIZE = (192, 108)
Painter = Callable[[int], np.ndarray]


def marked(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A grey picture `[H, W, 3]` of `size` = (width, height) with its number along the top and a moving red square."""
    width, height = size
    picture = np.full((height, width, 3), 110, np.uint8)
    block, rows = width // BITS, max(4, height // 6)
    for bit in range(BITS):
        picture[:rows, bit * block : (bit + 1) * block] = 235 if index >> bit & 1 else 20
    side = max(4, height // 5)
    x = (3 * index) % max(1, width - side)
    picture[height // 2 : height // 2 + side, x : x + side] = (220, 40, 40)
    return picture


def number_in(picture: np.ndarray) -> int:
    """The number `marked` drew into an upright picture of any size."""
    height, width = picture.shape[:2]
    block, row = width / BITS, max(4, height // 6) // 2
    return sum(int(picture[row, int((bit + 0.5) * block)].mean() > 127) << bit for bit in range(BITS))


def moving_square(index: int, size: tuple[int, int] = (160, 120), step: int = 2, start: int = 10) -> np.ndarray:
    """A white 20 x 20 square on textured ground, `step` px further right in each frame: its left is start + step i."""
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    ground = 70 + 25 * np.sin(columns / 5.0) * np.cos(rows / 7.0)
    picture = np.repeat(ground[..., None], 3, axis=2).astype(np.uint8)
    left = start + step * index
    picture[50:70, left : left + 20] = 240
    return picture


def write_clip(
    path: Path,
    paint: Painter = marked,
    n_frames: int = 60,
    *,
    rate: int | Fraction = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    rotation: int = 0,
    mirror: bool = False,
    container_format: str | None = None,
    gop: int = 12,
) -> Path:
    """Encode `paint(0)` … `paint(n_frames - 1)`, at even times or at `pts` in `time_base`."""
    first = paint(0)
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(
            codec, rate=rate, options=(SAME_BYTES if codec == "libx264" else {}) | (options or {})
        )
        stream.width, stream.height, stream.pix_fmt = first.shape[1], first.shape[0], pix_fmt
        stream.codec_context.gop_size = gop
        unit = time_base or 1 / Fraction(rate)
        stream.codec_context.time_base = unit
        if rotation or mirror:
            stream.set_display_rotation(rotation, hflip=mirror)
        for i in range(n_frames):
            frame = av.VideoFrame.from_ndarray(paint(i), format="rgb24")
            frame.pts, frame.time_base = (i if pts is None else pts[i]), unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_variable_rate(path: Path, n_frames: int = 60) -> tuple[Path, np.ndarray]:
    """Irregular frame times (milliseconds, gaps of 20 to 400 ms). Returns the path and the true times in seconds."""
    gaps = np.random.default_rng(7).choice([20, 33, 40, 100, 400], n_frames - 1)
    pts = np.concatenate([[0], np.cumsum(gaps)])
    write_clip(path, n_frames=n_frames, pts=pts.tolist(), time_base=Fraction(1, 1000), options={"bf": "2"})
    return path, pts / 1000


def write_audio_only(path: Path) -> Path:
    """Half a second of silence and no pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for start in range(0, 8192, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_truncated(path: Path, share: float = 0.5, n_frames: int = 120, suffix: str = ".mp4") -> Path:
    """A clip whose file ends after `share` of its bytes (MP4 with its index in front)."""
    whole = path.with_name("whole" + suffix)
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 60, (n_frames, *SIZE[::-1], 1), dtype=np.uint8)  # so that bytes are spread evenly

    def paint(i: int) -> np.ndarray:
        picture = marked(i)
        picture[SIZE[1] // 4 :] += noise[i, SIZE[1] // 4 :] // 2
        return picture

    with av.open(str(whole), "w", options={"movflags": "faststart"} if suffix == ".mp4" else {}) as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "2", **SAME_BYTES})
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.gop_size = *SIZE, "yuv420p", 12
        for i in range(n_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(paint(i), format="rgb24")))
        container.mux(stream.encode())
    data = whole.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    whole.unlink()
    return path


def write_edit_list(path: Path, start_s: float = 0.6, length_s: float = 60.0, rate: int | Fraction = 25) -> Path:
    """An MP4 cut without re-encoding: packets before the cut are in the file but an edit list hides them."""
    from imageio_ffmpeg import get_ffmpeg_exe

    whole = write_clip(path.with_name("uncut.mp4"), n_frames=60, gop=50, rate=rate, options={"bf": "2"})
    command = [get_ffmpeg_exe(), "-v", "error", "-y", "-ss", str(start_s), "-t", str(length_s), "-i", str(whole)]
    subprocess.run([*command, "-c", "copy", "-movflags", "faststart", str(path)], check=True, capture_output=True)
    return path


def write_damaged(path: Path, n_frames: int = 60) -> Path:
    """A clip with a stretch of its middle overwritten: some packets there do not decode."""
    write_clip(path, n_frames=n_frames, container_format="avi", codec="mpeg4", gop=6)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 1500] = bytes(range(250)) * 6
    path.write_bytes(bytes(data))
    return path
