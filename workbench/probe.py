"""Probing a file: what it is, and the exact presentation time of every frame.

The time base comes from demuxing alone (no picture is decoded), then is checked against the decoder where the two may
part: at the first frames (a stream cut inside a group of pictures) and in the last group (a truncated file). Where
packets carry no usable times, everything is decoded once and counted.
"""

from __future__ import annotations

import errno
import hashlib
import stat
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from workbench.decode import Orientation, decoded_frames, open_container, orientation_of, reason, sought, video_stream
from workbench.errors import ClipError
from workbench.records import ClipInfo

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".3gp", ".ogv"}
)
"""What video files in a folder are called."""
HIDDEN_FRAME_CODECS = frozenset({"vp8"})  # some of its packets are references that are never shown
HEAD_FRAMES = 4  # enough to pass the leading pictures that a cut group of pictures loses
DEFAULT_RATE = Fraction(25)
VARIABLE_SHARE = 0.2  # a step this far from the median is a change of rate, not the rounding of a coarse clock
MISSING_SHARE, MISSING_S = 0.02, 0.5  # what a header may promise beyond the last frame before we call the file cut
MISSING_STEPS = 0.9  # of a frame: the least that can be missing, less what a coarse clock rounds away


class KeyFrame(NamedTuple):
    """A place decoding can start: stream time stamps of the packet."""

    pts: int
    dts: int | None


@dataclass(frozen=True, slots=True)
class TimeBase:
    """Which frame is where. `pts` is ascending stream time `[n_frames]`, or None when frames can only be counted."""

    n_frames: int
    times_s: np.ndarray
    duration_s: float
    pts: np.ndarray | None
    keys: tuple[KeyFrame, ...]
    orientation: Orientation
    size: tuple[int, int]  # upright (width, height)


class _Packets(NamedTuple):
    """What demuxing one video stream tells."""

    pts: list[int | None]
    keys: list[KeyFrame]
    hidden: int  # packets that an edit list marks as not to be shown
    last_duration: int
    in_order: bool  # decoding times never step back; they do where recordings were glued together


def probe(path: Path) -> tuple[ClipInfo, TimeBase]:
    """Identify a clip and its time base. `ClipError` when it is missing, not a video, or nothing can be decoded."""
    _check_file(path)
    container = open_container(path)
    try:
        stream = video_stream(container, path)
        packets = _read_packets(container, stream)
        base = _time_base(container, stream, packets, path)
        promised_frames = stream.frames - packets.hidden
        promised_s = _promised_seconds(container, stream, base)
    finally:
        container.close()
    steps = np.diff(base.times_s)
    info = ClipInfo(
        path=str(path),
        sha256=content_hash(path),
        n_frames=base.n_frames,
        fps=float(base.n_frames / base.duration_s),
        duration_s=base.duration_s,
        width=base.size[0],
        height=base.size[1],
        variable_rate=_is_variable(steps),
        rotation=_rotation(base.orientation),
        warnings=_warnings(path, base, promised_frames, promised_s),
    )
    return info, base


def content_hash(path: Path) -> str:
    """SHA-256 of the file as hex, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _check_file(path: Path) -> None:
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise ClipError(f"{path} is a folder, not a video file; give one file in it.")
        if not stat.S_ISREG(kind):
            raise ClipError(f"{path} is a pipe or a device, not a video file; write the video to a file first.")
        with path.open("rb") as file:
            empty = not file.read(1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ClipError(f"{path} does not exist; check the path.") from error
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) or error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise ClipError(
                f"{str(path)!a:.80} cannot be the name of a file ({reason(error)}); check the path."
            ) from error
        raise ClipError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    if empty:
        raise ClipError(f"{path} is empty (0 bytes); copy or record it again.")


def _time_base(container: InputContainer, stream: VideoStream, packets: _Packets, path: Path) -> TimeBase:
    head = _decode_head(path)
    if not head:
        raise ClipError(f"{path} has a video stream but no frame in it can be decoded; record or convert it again.")
    unit, rate = stream.time_base or Fraction(1, 1000), _rate(stream)
    orientation = orientation_of(head[0])
    size = orientation.size(head[0].width, head[0].height)
    pts = None if stream.codec_context.name in HIDDEN_FRAME_CODECS else _checked_pts(packets, head, path)
    if pts is None:
        counted = _decode_all_pts(path)
        n_frames, pts = len(counted), _strictly_ascending(counted)
    else:
        n_frames = len(pts)
    step_s = float(1 / rate)
    times_s = np.arange(n_frames) * step_s if pts is None else (pts - pts[0]) * float(unit)
    if pts is not None and n_frames > 1:
        step_s = float(np.median(np.diff(times_s)))
    last_s = packets.last_duration * float(unit) if pts is not None and packets.last_duration > 0 else step_s
    keys = tuple(sorted(packets.keys, key=lambda key: key.pts))
    if keys and not (_seeks_exactly(container, stream, n_frames) and sought(container, stream, keys[-1].pts)):
        keys = ()
    return TimeBase(n_frames, times_s, float(times_s[-1]) + last_s, pts, keys, orientation, size)


def _read_packets(container: InputContainer, stream: VideoStream) -> _Packets:
    """Times of the packets that will be shown (an edit list marks the others as discarded), and the key frames."""
    pts: list[int | None] = []
    keys: list[KeyFrame] = []
    last_pts = last_dts = -(1 << 62)
    hidden, last_duration, in_order = 0, 0, True
    try:
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            in_order &= packet.dts is None or packet.dts >= last_dts
            last_dts = last_dts if packet.dts is None else packet.dts
            if packet.is_keyframe and packet.pts is not None:
                keys.append(KeyFrame(packet.pts, packet.dts))
            if packet.is_discard:
                hidden += 1
                continue
            pts.append(packet.pts)
            if packet.pts is not None and packet.pts > last_pts:
                last_pts, last_duration = packet.pts, packet.duration or 0
    except av.error.FFmpegError:  # the file ends inside a packet: what came before counts
        pass
    return _Packets(pts, keys, hidden, last_duration, in_order)


def _decode_head(path: Path) -> list[VideoFrame]:
    container = open_container(path)
    try:
        return list(islice(decoded_frames(container, video_stream(container, path)), HEAD_FRAMES))
    finally:
        container.close()


def _decode_all_pts(path: Path, start: KeyFrame | None = None) -> list[int | None]:
    """Time stamps of all decoded frames, from the beginning or from about a key frame on."""
    container = open_container(path)
    try:
        stream = video_stream(container, path)
        if start is None or sought(container, stream, start.pts if start.dts is None else start.dts):
            return [frame.pts for frame in decoded_frames(container, stream)]
    finally:
        container.close()
    return _decode_all_pts(path)


def _strictly_ascending(stamps: list[int | None]) -> np.ndarray | None:
    """The stamps as int64, or None when one is missing or they do not ascend."""
    if not stamps or any(stamp is None for stamp in stamps):
        return None
    array = np.asarray(stamps, dtype=np.int64)
    return array if np.all(np.diff(array) > 0) else None


def _checked_pts(packets: _Packets, head: list[VideoFrame], path: Path) -> np.ndarray | None:
    """Packet times ascending, cut to what the decoder yields; None when the two do not tell the same story."""
    if not packets.in_order or any(stamp is None for stamp in packets.pts):
        return None
    pts = _strictly_ascending(sorted(packets.pts))  # type: ignore[type-var]
    if pts is None or head[0].pts is None:
        return None
    first = int(np.searchsorted(pts, head[0].pts))
    pts = pts[first:]  # leading pictures of a cut group: their references are gone
    if [int(stamp) for stamp in pts[: len(head)]] != [frame.pts for frame in head]:
        return None
    keys = [key for key in packets.keys if key.pts >= pts[0]]
    tail = _decode_all_pts(path, max(keys, key=lambda key: key.pts) if keys else None)
    if not tail or tail[-1] is None:
        return None
    last = int(np.searchsorted(pts, tail[-1]))
    if last >= len(pts) or pts[last] != tail[-1]:
        return None
    return pts[: last + 1]


def _seeks_exactly(container: InputContainer, stream: VideoStream, n_frames: int) -> bool:
    """Whether a frame has the same time stamp after a seek as when read from the start."""
    if container.format.name == "avi":
        # It has no time stamps but counts packets; after damage, its index and the count disagree.
        return stream.frames == n_frames
    # A program stream stamps only some frames; the times of the others are guessed from where reading began.
    return container.format.name != "mpeg"


def _rate(stream: VideoStream) -> Fraction:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate:
            return rate
    return DEFAULT_RATE


def _promised_seconds(container: InputContainer, stream: VideoStream, base: TimeBase) -> float:
    """How long the header says the pictures last; 0 when it does not say, or may be speaking of the sound."""
    unit = stream.time_base or Fraction(0)
    if stream.duration is not None:
        return float(stream.duration * unit)
    if container.duration is not None and len(container.streams) == 1:
        # Matroska counts from 0 even where the first frame comes later.
        start_s = 0.0 if base.pts is None else max(0.0, float(base.pts[0]) * float(unit))
        return container.duration / av.time_base - start_s
    return 0.0


def _is_variable(steps_s: np.ndarray) -> bool:
    if len(steps_s) < 2:
        return False
    median = float(np.median(steps_s))
    return bool(np.max(np.abs(steps_s - median)) > max(VARIABLE_SHARE * median, 0.0021))


def _rotation(orientation: Orientation) -> int:
    """Counter-clockwise degrees that make the stored picture upright, mirroring aside."""
    transpose, flip_x, flip_y = orientation
    if transpose:
        return 270 if flip_x else 90
    return 180 if flip_y else 0


def _warnings(path: Path, base: TimeBase, promised_frames: int, promised_s: float) -> tuple[str, ...]:
    found: list[str] = []
    missing_s = promised_s - base.duration_s
    # Fewer frames alone may be an edit list at work, an early end alone a header that counts to the end of the sound or
    # rounds; both together, by a frame or more, are a file that was cut. Size speaks for itself.
    step_s = float(np.median(np.diff(base.times_s))) if base.n_frames > 1 else base.duration_s
    cut = missing_s > max(MISSING_S, MISSING_SHARE * promised_s) or (
        missing_s > MISSING_STEPS * step_s and promised_frames > base.n_frames
    )
    if cut:
        found.append(
            f"{path.name} ends early: {base.duration_s:.2f} s of {promised_s:.2f} s can be decoded "
            f"({base.n_frames} frames); the analysis covers that part, so copy the file again if you need the rest."
        )
    if base.pts is None:
        found.append(
            f"{path.name} carries no usable time stamps; "
            f"its {base.n_frames} frames are spaced by the stated frame rate."
        )
    return tuple(found)
