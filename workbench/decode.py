"""Reading pictures out of a container: opening it, orienting its frames, and turning them into arrays.

Everything that touches libav is here and in `workbench.probe`; the rest of the workbench sees numpy arrays. PyAV keeps
libav's own log off unless a program turns it on, so broken files speak through `ClipError` alone.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from workbench.errors import ClipError

# Formats libav would happily "play" although they are not a video file: text drawn as ANSI art, and lists that point
# at other files (a clip must be self-contained, or its content hash would mean nothing).
NOT_A_CLIP = frozenset({"tty", "bin", "xbin", "adf", "idf", "hls", "concat", "dash", "sdp", "ffmetadata", "imf"})
# Frame threads each hold a few pictures; on 8K that is gigabytes on a many-core machine.
BIG_PICTURE_PX = 4096 * 2304
BIG_PICTURE_THREADS = 2
# Handing a small picture from thread to thread costs a quarter more work and, on two cores, gains a tenth of the time;
# what uses the pictures has more need of the cores.
SMALL_PICTURE_PX = 1280 * 720


class Orientation(NamedTuple):
    """How stored pictures become upright: transpose first, then mirror. Covers all eight display matrices."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """`[H, W, ...]` as stored -> contiguous upright picture."""
        if self == UPRIGHT:
            return picture
        if self.transpose:
            picture = picture.swapaxes(0, 1)
        if self.flip_x:
            picture = picture[:, ::-1]
        if self.flip_y:
            picture = picture[::-1]
        return np.ascontiguousarray(picture)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) after orienting; its own inverse."""
        return (height, width) if self.transpose else (width, height)


UPRIGHT = Orientation()


def orientation_of(frame: VideoFrame) -> Orientation:
    """Read the display matrix libav attaches to a frame (x' = a x + c y, y' = b x + d y, 16.16 fixed point)."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return UPRIGHT
    a, b, _, c, d = (int(v) for v in np.frombuffer(data, dtype=np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


def open_container(path: Path) -> InputContainer:
    """Open for reading. `ClipError` when the file is not a self-contained video."""
    try:
        # "file:" keeps names such as "a:b.mp4" from being taken for a network protocol.
        container = av.open(f"file:{path}", metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise ClipError(f"{path} is not a video this program can read ({reason(error)}); convert it to MP4.") from error
    if not isinstance(container, InputContainer) or NOT_A_CLIP & set(container.format.name.split(",")):
        container.close()
        raise ClipError(f"{path} holds text or a playlist, not a video; give the video file itself.")
    return container


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The clip's moving picture: the first video stream that is not cover art, set to decode on several threads."""
    attached = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & attached]
    if not streams:
        raise ClipError(f"{path} has no video stream, only sound or data; choose a file with pictures.")
    stream = streams[0]
    try:
        context = stream.codec_context
        context.thread_type = "AUTO"
        size_px = context.width * context.height
        if size_px > BIG_PICTURE_PX:
            context.thread_count = BIG_PICTURE_THREADS
        elif size_px <= SMALL_PICTURE_PX:
            context.thread_count = max(1, (os.cpu_count() or 1) // 2)
    except (AttributeError, av.error.FFmpegError) as error:
        raise ClipError(f"{path} uses a video codec this program cannot decode; convert it to H.264 MP4.") from error
    return stream


def reason(error: Exception) -> str:
    """libav's short reason, without the path it repeats."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower().rstrip(".")


def sought(container: InputContainer, stream: VideoStream, pts: int) -> bool:
    """Go to about a stream time. False where that fails: some containers can only be read from the beginning."""
    try:
        container.seek(pts, stream=stream)
    except av.error.FFmpegError:
        return False
    return True


def decoded_frames(container: InputContainer, stream: VideoStream) -> Generator[VideoFrame, None, None]:
    """Frames from the container's present position, in presentation order; damaged packets are passed over."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            if packet.dts is None and packet.size == 0:  # the flushing packet: nothing follows it
                return


class PictureMaker:
    """Turns decoded frames into upright arrays of one size. Keeps its scaler between frames; use one per thread.

    Without a kept scaler, and with libav's default of a thread pool each, a frame costs ten times as much.
    """

    def __init__(self, orientation: Orientation, size: tuple[int, int]) -> None:
        self._orientation = orientation
        self._stored_size = orientation.size(*size)
        self._scaler = VideoReformatter()

    def rgb(self, frame: VideoFrame) -> np.ndarray:
        """Uint8 `[height, width, 3]`; transparency lies on black."""
        if any(component.is_alpha for component in frame.format.components) or frame.format.has_palette:
            rgba = self._scaled(frame, "rgba")
            # uint8 * uint8 needs 16 bits
            rgb = (rgba[..., :3].astype(np.uint16) * rgba[..., 3:] // 255).astype(np.uint8)
        else:
            rgb = self._scaled(frame, "rgb24")
        return self._orientation.apply(rgb)

    def grey(self, frame: VideoFrame) -> np.ndarray:
        """Uint8 `[height, width]`, area-averaged when shrunk (sensor noise averages out)."""
        return self._orientation.apply(self._scaled(frame, "gray"))

    def _scaled(self, frame: VideoFrame, pixel_format: str) -> np.ndarray:
        width, height = self._stored_size
        shrink = width * height < frame.width * frame.height
        how = "AREA" if shrink else "BILINEAR"
        return self._scaler.reformat(frame, width, height, pixel_format, interpolation=how, threads=1).to_ndarray()


def fit_size(width: int, height: int, long_side: int | None) -> tuple[int, int]:
    """(width, height) shrunk so that the longer side is at most `long_side`; never enlarged, never below 1."""
    longest = max(width, height)
    if long_side is None or longest <= long_side:
        return width, height
    return max(1, round(width * long_side / longest)), max(1, round(height * long_side / longest))
