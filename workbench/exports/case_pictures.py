"""Pictures and cut clips of a case: key frames of events with their overlays, portraits of instances, event clips."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from workbench.errors import ClipError
from workbench.exports.cuts import cut_span
from workbench.exports.privacy import Pixelation
from workbench.overlays import draw_instances
from workbench.records import Box, Instance, ReviewedClip, ReviewedEvent
from workbench.render import hold_frames
from workbench.video import Clip

LONG_SIDE_PX = 1280  # of what is decoded and of cut clips
KEY_WIDTH_PX = 540
POSTER_WIDTH_PX = 960
PORTRAIT_PX = 176
JPEG_QUALITY = 86
MAX_FULL_EVENTS = 40  # more events than that get one picture each, so that the page stays a page
CLIP_FOLDER = "clips"
MAIN_MOMENTS = ("peak", "middle")


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """A frame of an event as a data URI, and which moment of it is shown; the main one is there larger too."""

    uri: str
    large_uri: str
    frame: int
    time_s: float
    moment: str


@dataclass(slots=True)
class Pictures:
    """What was made of the video, by event and instance id; paths of clips are relative to the case.

    `seen_s` has the presentation times of the first and last frame of an instance.
    """

    key_frames: dict[str, list[KeyFrame]] = field(default_factory=dict)
    portraits: dict[str, str] = field(default_factory=dict)
    clips: dict[str, str] = field(default_factory=dict)
    seen_s: dict[str, tuple[float, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def make_pictures(clip: Clip, reviewed: ReviewedClip, folder: Path, *, pixelate: bool) -> Pictures:
    """Draw all pictures in one pass over the video and cut the events into `folder`/clips.

    An event that cannot be cut is named in `notes`; the others are cut.

    Args:
        pixelate: hide the bystanders in everything that is shown.

    Raises:
        ClipError: the video does not decode, or writing failed for lack of space.
    """
    size = (clip.info.width, clip.info.height)
    instances = [item.instance for item in reviewed.instances]
    hide = Pixelation(instances, size, clip.info.fps) if pixelate else None
    made = Pictures(seen_s=_seen(reviewed, clip))
    moments = {event.id: _moments(event, clip, len(reviewed.events)) for event in reviewed.events}
    faces = {item.id: _best_frame(item.instance, clip.n_frames) for item in reviewed.instances}
    wanted = {frame for found in moments.values() for frame in found}
    wanted |= {frame for frame in faces.values() if frame is not None}
    for frame, plain in clip.frames(sorted(wanted), LONG_SIDE_PX):
        rgb = hide.paint(frame, plain) if hide else plain
        for event_id, found in moments.items():
            if frame in found:
                picture = _key_frame(clip, rgb, instances, frame, found[frame])
                made.key_frames.setdefault(event_id, []).append(picture)
        for item in reviewed.instances:
            if faces[item.id] == frame:
                made.portraits[item.id] = _portrait(rgb, item.instance, frame, size)
    _cut_events(clip, reviewed, folder, hide, made)
    return made


def _key_frame(clip: Clip, rgb: np.ndarray, instances: list[Instance], frame: int, moment: str) -> KeyFrame:
    """Overlays are drawn at the size that is shown, so that labels can be read in it."""

    def draw(width: int) -> str:
        small = shrunk(rgb, width)
        size, hold = (clip.info.width, clip.info.height), hold_frames(clip)
        return jpeg(draw_instances(small, instances, frame, clip_size=size, hold=hold))

    large = draw(POSTER_WIDTH_PX) if moment in MAIN_MOMENTS else ""
    return KeyFrame(draw(KEY_WIDTH_PX), large, frame, float(clip.times_s[frame]), moment)


def shrunk(rgb: np.ndarray, width: int) -> np.ndarray:
    """The picture, at most `width` pixels wide."""
    height = max(1, round(rgb.shape[0] * width / rgb.shape[1]))
    return rgb if rgb.shape[1] <= width else cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)


def jpeg(rgb: np.ndarray) -> str:
    """A picture as a JPEG data URI."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _cut_events(clip: Clip, reviewed: ReviewedClip, folder: Path, hide: Pixelation | None, made: Pictures) -> None:
    for number, event in enumerate(reviewed.events, start=1):
        if event.start_s is None or event.end_s is None:
            continue
        relative = f"{CLIP_FOLDER}/event-{number}.mp4"
        if event.start_s >= clip.info.duration_s:
            made.notes.append(
                f"Event {number} begins at {event.start_s:g} s, after the end of the video "
                f"({clip.info.duration_s:.2f} s), so it has no clip; correct its times."
            )
            continue
        try:
            paint = hide.paint if hide else None
            cut_span(clip, event.start_s, event.end_s, folder / relative, long_side=LONG_SIDE_PX, paint=paint)
        except ClipError as error:
            made.notes.append(f"Event {number} could not be cut: {error}")
            continue
        made.clips[event.id] = relative


def _moments(event: ReviewedEvent, clip: Clip, n_events: int) -> dict[int, str]:
    """Frames to show of an event and what each is, in the order of time."""
    if event.start_s is None or event.end_s is None or event.start_s >= clip.info.duration_s:
        return {}
    start, end = event.start_s, min(event.end_s, clip.info.duration_s)
    peak = event.peak_s if event.peak_s is not None and start <= event.peak_s <= end else None
    centre = (start + end) / 2 if peak is None else peak
    named = {clip.index_at(centre): "middle" if peak is None else "peak"}
    if n_events <= MAX_FULL_EVENTS:
        for time_s, moment in ((start, "start"), (end, "end")):
            named.setdefault(clip.index_at(time_s), moment)
    return dict(sorted(named.items()))


def _seen(reviewed: ReviewedClip, clip: Clip) -> dict[str, tuple[float, float]]:
    ends = {item.id: (item.instance.first_frame, item.instance.last_frame) for item in reviewed.instances}
    return {
        name: (float(clip.times_s[first]), float(clip.times_s[last]))
        for name, (first, last) in ends.items()
        if last < clip.n_frames
    }


def _best_frame(instance: Instance, n_frames: int) -> int | None:
    """The frame in which the instance is largest; None when it was tracked nowhere."""

    def area(frame: int) -> float:
        x0, y0, x1, y1 = instance.boxes_xyxy[frame]
        return (x1 - x0) * (y1 - y0)

    return max((frame for frame in instance.boxes_xyxy if frame < n_frames), key=area, default=None)


def _portrait(rgb: np.ndarray, instance: Instance, frame: int, clip_size: tuple[int, int]) -> str:
    """A square around the instance, its mask outlined."""
    marked = draw_instances(rgb, [instance], frame, boxes=False, labels=False, clip_size=clip_size)
    height, width = rgb.shape[:2]
    box: Box = instance.boxes_xyxy[frame]
    x0, y0, x1, y1 = (
        side * full / own for side, full, own in zip(box, (width, height) * 2, clip_size * 2, strict=True)
    )
    half = max(12.0, 0.62 * max(x1 - x0, y1 - y0))
    side = min(2 * half, width, height)
    left = int(np.clip((x0 + x1) / 2 - side / 2, 0, width - side))
    top = int(np.clip((y0 + y1) / 2 - side / 2, 0, height - side))
    return jpeg(shrunk(np.ascontiguousarray(marked[top : top + int(side), left : left + int(side)]), PORTRAIT_PX))
