"""YOLO for segmentation: a folder that Ultralytics trains on.

    data.yaml              names of the kinds of instances by number, and the clips (name, size, rate) for reading back
    labels/NAME_000012.txt a line a part of an instance seen in frame 12: number of its kind, then x y x y … in [0, 1]
    images/NAME_000012.jpg the frame, where the clip's file is at hand

A line is the outer contour of one connected part of a mask, through the centres of its outermost pixels, written a
quarter of a pixel inside them: readers that cut off and readers that round then both fill exactly the same pixels. A
frame with a box alone gets its rectangle. `train` and `val` are the same frames; split them by clip before training.

What it cannot hold: which lines are one instance or one track, holes in masks, role, appearance and motion, events and
all texts, the dialogue, questions, who wrote what, review states, origin, path and content hash of the video; clips in
which nothing is seen; two clips of one name. Read back, every line is an instance of its own, seen in one frame.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from workbench.errors import FormatError
from workbench.exports import moments, tracks
from workbench.exports.writing import FileNames, distinct, new_folder
from workbench.masks import decode_rle
from workbench.records import Box, MaskRLE, ReviewedClip

if TYPE_CHECKING:
    from workbench.records import ClipRecord

FORMAT = "yolo"
CLIPS = "workbench_clips"
SIZES = ("width", "height", "n_frames", "fps", "duration_s")
_INSIDE = 0.25  # of a pixel
_QUALITY = 92  # of the JPEG pictures


def unfit(reviewed: ReviewedClip) -> str | None:
    """Why a clip cannot be written in this format, None when it can."""
    return moments.lacking(reviewed)


def write_yolo(clips: Iterable[ReviewedClip], out: Path) -> int:
    """Write clips as a folder that is not there yet, with pictures where the video file is at hand. → how many.

    Raises:
        FormatError: a clip has no width and height, an instance no category, or a video file is another one by now.
        ClipError: a video file cannot be decoded.
    """
    names, kinds, written, count = FileNames(), dict[str, int](), list[dict[str, Any]](), 0
    with new_folder(out) as folder:
        for name in ("images", "labels"):
            (folder / name).mkdir()
        for count, reviewed in enumerate(distinct(clips), start=1):  # noqa: B007 - counts
            moments.require(unfit(reviewed))
            stem = names.give(reviewed.clip.name)
            frames = _lines(reviewed, kinds)
            for frame, lines in frames.items():
                (folder / "labels" / f"{stem}_{frame:06d}.txt").write_text("".join(lines), encoding="ascii")
            if frames:
                document = moments.clip_to(reviewed)
                written.append({"file": stem, "name": reviewed.clip.name, **{key: document[key] for key in SIZES}})
                _write_pictures(reviewed.clip, sorted(frames), folder / "images", stem)
        _write_yaml(folder / "data.yaml", kinds, written)
    return count


def read_yolo(path: Path) -> Iterator[ReviewedClip]:
    """Clips of such a folder (or its data.yaml), all without media; see `yolo_reading`."""
    from workbench.exports.yolo_reading import read_folder

    return read_folder(path)


def contours(picture: np.ndarray) -> list[np.ndarray]:
    """Outer contours of the connected parts of a mask `[H, W]`: int `[n, 2]` x, y of pixels, top left part first."""
    found, _ = cv2.findContours(picture.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    parts = [contour.reshape(-1, 2) for contour in found]
    return sorted(parts, key=lambda part: (part[:, 1].min(), part[:, 0].min(), len(part), part.tolist()))


def fill(polygon: np.ndarray, height: int, width: int) -> np.ndarray:
    """The mask `[H, W]` inside a polygon of pixels `[n, 2]`, its line included and without holes."""
    (left, top), (right, bottom) = polygon.min(axis=0), polygon.max(axis=0)
    picture = np.zeros((bottom - top + 1, right - left + 1), dtype=np.uint8)  # its own box: a part is often small
    cv2.fillPoly(picture, [(polygon - (left, top)).astype(np.int32)], 1)
    outer, _ = cv2.findContours(picture, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(picture, outer, -1, 1, thickness=cv2.FILLED)
    filled = np.zeros((height, width), dtype=bool)
    filled[top : bottom + 1, left : right + 1] = picture
    return filled


def _lines(reviewed: ReviewedClip, kinds: dict[str, int]) -> dict[int, list[str]]:
    """The lines of each frame; new kinds of instances are added to `kinds`."""
    frames: dict[int, list[str]] = {}
    for item in reviewed.instances:
        for frame, box, mask in tracks.sightings(item.instance):
            number = kinds.setdefault(item.instance.category, len(kinds))
            for part in _parts(box, mask, reviewed.clip):
                frames.setdefault(frame, []).append(_line(number, part, reviewed.clip))
    return frames


def _parts(box: Box | None, mask: MaskRLE | None, clip: ClipRecord) -> list[np.ndarray]:
    if mask is not None:
        return contours(decode_rle(mask))
    assert clip.width
    assert clip.height
    if box is None:
        return []
    left, right = (int(np.clip(round(side), 0, clip.width)) for side in (box[0], box[2]))
    top, bottom = (int(np.clip(round(side), 0, clip.height)) for side in (box[1], box[3]))
    if right <= left or bottom <= top:
        return []
    corners = [(left, top), (right - 1, top), (right - 1, bottom - 1), (left, bottom - 1)]
    return [np.array(corners)]


def _line(number: int, part: np.ndarray, clip: ClipRecord) -> str:
    points = part.tolist()
    points += [points[-1]] * (3 - len(points))  # one or two pixels are still a polygon
    assert clip.width
    assert clip.height
    values = [f"{(x + _INSIDE) / clip.width:.8f} {(y + _INSIDE) / clip.height:.8f}" for x, y in points]
    return f"{number} {' '.join(values)}\n"


def _write_pictures(clip: ClipRecord, frames: list[int], folder: Path, stem: str) -> None:
    if clip.path is None or not os.path.isfile(clip.path):
        return
    from PIL import Image

    from workbench.video import Clip

    with Clip.open(clip.path) as video:
        size, n_frames = (video.info.width, video.info.height), video.n_frames
        other = clip.sha256 is not None and video.info.sha256 != clip.sha256
        if other or size != (clip.width, clip.height) or frames[-1] >= n_frames:
            raise FormatError(
                f"{clip.path} has {n_frames} frames of {size[0]}x{size[1]}, unlike {clip.name} when it was analysed; "
                "put the former file back, or move this one away to export without pictures."
            )
        for frame, picture in video.frames(frames):
            Image.fromarray(picture).save(folder / f"{stem}_{frame:06d}.jpg", quality=_QUALITY)


def _write_yaml(path: Path, kinds: dict[str, int], clips: list[dict[str, Any]]) -> None:
    import yaml

    # Without `path`, Ultralytics takes the folder that data.yaml is in; "." it takes for the one it was started in.
    document = {"train": "images", "val": "images", "names": {i: name for name, i in kinds.items()}}
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # libyaml, where it was built in, writes many times faster
    text = yaml.dump({**document, CLIPS: clips}, Dumper=dumper, allow_unicode=True, sort_keys=False)
    path.write_text(text, encoding="utf-8")
