"""Videos out: the analysis drawn over the clip, and a copy that every browser plays. Streamed, one frame at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np

from workbench.decode import fit_size, open_container, reason, video_stream
from workbench.errors import ClipError, InputError
from workbench.files import replacing
from workbench.h264 import SAME_BYTES
from workbench.overlays import blend_heatmap, draw_instances, label_places
from workbench.records import Analysis, Heatmaps
from workbench.strip import ScoreStrip
from workbench.video import Clip

HEAT_OPACITY = 0.6
STRIP_SHARE = 0.2  # of the picture's height
STRIP_MIN_PX, STRIP_MAX_PX = 48, 132
MIN_RATE, MAX_RATE = 1.0, 120.0  # of what is written; encoders and players fail outside
MAX_VARIABLE_RATE = 60.0
HOLD_S = 0.25  # how long an instance stays drawn beside a tracked frame, at least
PROXY_LONG_SIDE = 1280
Progress = Callable[[float], None]


def render_overlay(
    clip: Clip, analysis: Analysis, out_path: str | Path, *, long_side: int = 854, progress: Progress | None = None
) -> None:
    """Write the clip with heatmap, instances and a score strip below as an H.264 MP4 without sound.

    Args:
        clip, analysis: of the same video. out_path: replaced if it exists.
        long_side: longest side of the picture part; a smaller clip keeps its size.
        progress: told the share done, 0 to 1; what it raises ends the writing.

    Raises:
        ClipError: the clip does not decode, or the file cannot be written. InputError: `long_side` is below 16.
    """
    if long_side < 16:
        raise InputError(f"The overlay's long side must be at least 16 pixels, not {long_side}.")
    size = _even(fit_size(clip.info.width, clip.info.height, long_side))
    strip_height = 2 * round(np.clip(STRIP_SHARE * size[1], STRIP_MIN_PX, STRIP_MAX_PX) / 2)
    strip = ScoreStrip(analysis, size[0], strip_height)
    hold = hold_frames(clip)
    clip_size = (clip.info.width, clip.info.height)

    places = label_places(analysis.instances, size, clip_size, hold)

    def paint(index: int, rgb: np.ndarray) -> np.ndarray:
        heat = heat_at(analysis.heatmaps, index)
        if heat is not None:
            rgb = blend_heatmap(rgb, heat, HEAT_OPACITY)
        rgb = draw_instances(rgb, analysis.instances, index, clip_size=clip_size, hold=hold, places=places)
        return np.vstack([rgb, strip.draw(float(clip.times_s[index]))])

    _write(clip, size, (size[0], size[1] + strip_height), paint, Path(out_path), progress)


def transcode_proxy(clip: Clip, out_path: str | Path, progress: Progress | None = None) -> None:
    """Write an H.264 4:2:0 MP4 of the clip, upright, without sound, at most 1280 pixels long: any browser plays it.

    The frame rate is even: where the source's varies, each written frame shows what was on screen at its time.
    """
    size = _even(fit_size(clip.info.width, clip.info.height, PROXY_LONG_SIDE))
    _write(clip, size, size, lambda _, rgb: rgb, Path(out_path), progress, same_again=False)


def heat_at(heatmaps: Heatmaps | None, index: int) -> np.ndarray | None:
    """The heat `[h, w]` at frame `index`, between dense frames in proportion; None when there is none."""
    if heatmaps is None or len(heatmaps.frame_index) == 0:
        return None
    frames = heatmaps.frame_index
    right = int(np.searchsorted(frames, index, side="left"))
    if right == 0 or right == len(frames):
        return np.asarray(heatmaps.heatmap[min(right, len(frames) - 1)], np.float32)
    share = (index - frames[right - 1]) / (frames[right] - frames[right - 1])
    before, after = (np.asarray(heatmaps.heatmap[i], np.float32) for i in (right - 1, right))
    return before + (after - before) * np.float32(share)


def hold_frames(clip: Clip) -> int:
    """How many frames an instance stays drawn beside a tracked one, at least: `HOLD_S`, but no less than one."""
    return max(1, round(HOLD_S * clip.info.fps))


def even_rate(clip: Clip) -> float:
    """Frames a second to write: the source's, or one quick enough for nearly every frame where its rate varies.

    Rounded to hundredths because moviepy passes no more to ffmpeg; frames are chosen by time, so nothing drifts.
    """
    rate = clip.info.fps
    if clip.info.variable_rate:
        rate = min(MAX_VARIABLE_RATE, 1 / max(float(np.percentile(np.diff(clip.times_s), 10)), 1e-3))
    return round(float(np.clip(rate, MIN_RATE, MAX_RATE)), 2)


def _write(
    clip: Clip,
    size: tuple[int, int],
    written_size: tuple[int, int],
    paint: Callable[[int, np.ndarray], np.ndarray],
    out_path: Path,
    progress: Progress | None,
    *,
    same_again: bool = True,
) -> None:
    rate = even_rate(clip)
    count = max(1, round(clip.info.duration_s * rate))
    pictures = _painted(clip, size, rate, count, paint)
    encode_mp4(pictures, written_size, rate, count, out_path, progress, same_again=same_again)


def encode_mp4(
    pictures: Generator[np.ndarray, None, None],
    size: tuple[int, int],
    rate: float,
    count: int,
    out_path: Path,
    progress: Progress | None = None,
    *,
    same_again: bool = True,
) -> None:
    """Stream `count` pictures of `size` = (width, height), both even, into moviepy's ffmpeg as H.264 without sound.

    `out_path` appears only when it is whole; `pictures` is closed either way.

    Args:
        same_again: the same pictures give the same bytes each time, for which the encoder keeps to one thread.

    Raises:
        ClipError: the file cannot be written.
    """
    from moviepy import VideoClip  # pulls in half a second of imports, which only writing needs

    picture = np.zeros((size[1], size[0], 3), np.uint8)
    drawn = 0

    def frame_at(time_s: float) -> np.ndarray:
        # moviepy looks at time 0 once more for the size; only a step forward may draw from the stream.
        nonlocal picture, drawn
        while drawn <= round(time_s * rate):
            picture, drawn = next(pictures, picture), drawn + 1
            if progress:
                progress(drawn / count)
        return picture

    # A key frame each second makes scrubbing quick; the index in front lets a browser start before it has it all.
    options = ["-crf", "20", "-g", str(max(1, round(rate))), "-movflags", "+faststart", "-f", "mp4"]
    if same_again:
        options += [word for name, value in SAME_BYTES.items() for word in (f"-{name}", value)]
    try:
        out_path.parent.mkdir(parents=True, exist_ok=True)
        # Resolved, because ffmpeg takes a relative name with a colon for a protocol.
        with replacing(out_path.resolve()) as temporary:
            # Half a frame over the true length, because moviepy truncates duration x rate to whole frames.
            video = VideoClip(frame_function=frame_at, duration=(count + 0.5) / rate)
            video.write_videofile(
                str(temporary),
                fps=rate,
                codec="libx264",
                audio=False,
                preset="veryfast",
                ffmpeg_params=options,
                logger=None,
            )
            _check_written(temporary, out_path, count)
    except OSError as error:
        raise ClipError(f"{out_path} cannot be written ({reason(error)}); check the folder and free space.") from error
    finally:
        pictures.close()


def _painted(
    clip: Clip,
    size: tuple[int, int],
    rate: float,
    count: int,
    paint: Callable[[int, np.ndarray], np.ndarray],
) -> Generator[np.ndarray, None, None]:
    """The painted picture on screen at each of `count` even steps, decoding the clip once."""
    source = clip.pictures(size)
    try:
        index, rgb = next(source)
        painted = paint(index, rgb)
        for step in range(count):
            # Half a step in: safely inside the frame that is meant, whatever a clock's rounding did to its edges.
            wanted = clip.index_at((step + 0.5) / rate)
            if index < wanted:
                while index < wanted:
                    index, rgb = next(source)
                painted = paint(index, rgb)
            yield painted
    finally:
        source.close()


def _check_written(path: Path, name: Path, count: int) -> None:
    """moviepy does not look at ffmpeg's exit status, so a full disk would pass for success."""
    container = open_container(path)
    try:
        found = video_stream(container, path).frames
    finally:
        container.close()
    if found != count:
        raise ClipError(f"{name} came out with {found} of {count} frames; check the free space and write it again.")


def _even(size: tuple[int, int]) -> tuple[int, int]:
    """4:2:0 video needs even sides."""
    return max(2, size[0] // 2 * 2), max(2, size[1] // 2 * 2)
