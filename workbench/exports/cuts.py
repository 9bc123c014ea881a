"""Cutting spans of a clip into files of their own, and opening the very video that was reviewed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np

from workbench.decode import fit_size
from workbench.errors import ClipError, FormatError
from workbench.records import ClipRecord
from workbench.render import Progress, encode_mp4, even_rate
from workbench.video import Clip

Paint = Callable[[int, np.ndarray], np.ndarray]
END_SLACK_S = 1.0  # published annotations end up to a second after their video


def open_media(clip: ClipRecord, path: Path | None = None) -> Clip:
    """Open the video of a clip and make sure that it is the one the store knows.

    Args:
        path: where it is now; None: where it was when it was analysed.

    Raises:
        FormatError: the clip came without a video, its file is gone, or the file holds another video.
        ClipError: the file cannot be decoded.
    """
    if clip.sha256 is None:
        raise FormatError(f"{clip.name} came without its video (imported annotations); analyse the video first.")
    source = path or Path(clip.path or "")
    if not source.is_file():
        raise FormatError(f"The video of {clip.name} is no longer at {source}; put it back there.")
    opened = Clip.open(source)
    if opened.info.sha256 != clip.sha256:
        opened.close()
        raise FormatError(
            f"{source} is not the video of {clip.name} that was reviewed: its sha256 begins with "
            f"{opened.info.sha256[:12]}, that of the reviewed one with {clip.sha256[:12]}; put the right file there."
        )
    return opened


def cut_span(
    clip: Clip,
    start_s: float,
    end_s: float,
    out_path: Path,
    *,
    long_side: int | None = None,
    paint: Paint | None = None,
    progress: Progress | None = None,
) -> int:
    """Write what is on screen from `start_s` to `end_s` as an H.264 MP4 without sound. → frames written.

    The picture keeps its size (an odd side loses one row or column, as 4:2:0 video needs), the rate is even. A span
    shorter than a frame gives one frame; an end past that of the clip is taken for the clip's.

    Args:
        long_side: the longest side of the picture; larger ones are shrunk. paint: changes a picture, given its index.
        progress: told the share done, 0 to 1; what it raises ends the writing.

    Raises:
        ClipError: the span begins after the end of the clip, the clip does not decode, or writing failed.
    """
    if start_s >= clip.info.duration_s or end_s > clip.info.duration_s + END_SLACK_S:
        raise ClipError(
            f"{start_s:.2f} s to {end_s:.2f} s is not a part of {clip.path.name} ({clip.info.duration_s:.2f} s long); "
            "correct the times."
        )
    rate = even_rate(clip)
    count = max(1, round((min(end_s, clip.info.duration_s) - start_s) * rate))
    # Half a step in: safely inside the frame that is meant, whatever a clock's rounding did to its edges.
    wanted = [clip.index_at(start_s + (step + 0.5) / rate) for step in range(count)]
    width, height = fit_size(clip.info.width, clip.info.height, long_side)
    size = (max(2, width // 2 * 2), max(2, height // 2 * 2))
    out_path.parent.mkdir(parents=True, exist_ok=True)
    encode_mp4(_pictures(clip, wanted, size, long_side, paint), size, rate, count, out_path, progress)
    return count


def _pictures(
    clip: Clip, wanted: list[int], size: tuple[int, int], long_side: int | None, paint: Paint | None
) -> Generator[np.ndarray, None, None]:
    """The picture of each of `wanted` (ascending), decoding and painting each frame once."""
    shown = -1
    frames = clip.frames(wanted, long_side)
    for index in wanted:
        if index != shown:
            shown, rgb = next(frames)
            picture = _fitted(rgb if paint is None else paint(shown, rgb), size)
        yield picture


def _fitted(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cut to `size` = (width, height); a side of one pixel is doubled."""
    width, height = size
    rgb = np.pad(rgb, ((0, max(0, height - rgb.shape[0])), (0, max(0, width - rgb.shape[1])), (0, 0)), mode="edge")
    return np.ascontiguousarray(rgb[:height, :width])
