"""Files that people hand in by mistake, and odd ones that are fine, drawn on the spot."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image


def video(
    path: Path,
    *,
    n_frames: int = 50,
    size: tuple[int, int] = (160, 120),
    codec: str = "libx264",
    zero_time: bool = False,
) -> Path:
    """A white square that crosses a grey street at 25 frames/s; with `zero_time` every frame is shown at 0 s."""
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        for index in range(n_frames):
            picture = np.full((height, width, 3), 90, np.uint8)
            left = (index * width) // max(1, n_frames)
            picture[height // 3 : height // 2, left : left + width // 8] = 240
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = index
            for packet in stream.encode(frame):
                _mux(container, packet, zero_time)
        for packet in stream.encode():
            _mux(container, packet, zero_time)
    return path


def _mux(container: av.container.OutputContainer, packet: av.Packet, zero_time: bool) -> None:
    if zero_time:
        packet.pts = packet.dts = packet.duration = 0
    container.mux(packet)


def sound_only(path: Path) -> Path:
    """Half a second of silence in an MP4."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for start in range(0, 8192, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def truncated(path: Path, *, keep: float) -> Path:
    """A clip whose file ends after the share `keep` of its bytes, as after a broken copy."""
    data = video(path, n_frames=200).read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def gif(path: Path) -> Path:
    """Ten pictures of 80 ms."""
    pictures = [Image.new("RGB", (64, 48), (20 * k, 80, 120)) for k in range(10)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=80, loop=0)
    return path
