"""Reading what `yolo` writes, and other folders for YOLO: polygons, or boxes (which are read as their rectangles).

Names of files that end in a number (`NAME_000012.txt`) are frames of the clip NAME; others are clips of one frame. The
size of a clip is what data.yaml says, else that of its picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import FormatError
from workbench.exports import drafts, fields, moments, tracks
from workbench.exports.yolo import CLIPS, FORMAT, fill
from workbench.masks import encode_rle, mask_box
from workbench.records import ReviewedClip

_FRAME = re.compile(r"(?P<name>.+)_(?P<frame>\d+)")
_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_BOX, _POLYGON = 4, 6  # numbers after that of the kind: exactly, at least


def read_folder(path: Path) -> Iterator[ReviewedClip]:
    """Clips of a folder (or of its data.yaml), in the order of their names, all without media.

    Raises:
        FormatError: the file and the line that is wrong, a kind without a name, or a clip of unknown size.
    """
    file = path / "data.yaml" if path.is_dir() else path
    data = _read_yaml(file)
    kinds = _kinds(data, str(file))
    known: dict[str, dict[str, Any]] = {}
    for i, value in enumerate(fields.items(data, CLIPS, str(file), optional=True)):
        document = fields.mapping(value, f"{file}: clip {i}")
        stem = fields.text(document.get("file"), f"{file}: file of clip {i}")
        fields.once(stem, set(known), f"{file}: the clip {stem!r}")
        known[stem] = document
    names: set[str] = set()
    for stem, frames in _label_files(file.parent).items():
        document = known.get(stem) or {"name": stem, **_picture_size(file.parent, next(iter(frames.values())))}
        reviewed = moments.clip_from(document, FORMAT, f"{file}: {stem}")
        fields.once(reviewed.clip.name, names, f"{file}: the clip {reviewed.clip.name!r}")
        found = [track for frame, label in frames.items() for track in _tracks(label, frame, kinds, reviewed)]
        for number, track in enumerate(found):
            track.number = number
        yield replace(reviewed, instances=tracks.finish_all(found, reviewed, str(file)))


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    class Plain(yaml.SafeLoader):
        """Takes no alias (`*name`): a few lines of them grow beyond any memory."""

        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("it refers to itself with *, which an export never does")
            return super().compose_node(parent, index)

    try:
        return fields.mapping(yaml.load(drafts.read_text(path), Plain), str(path))
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a date or number that is none
        reason = " ".join(str(error).split())
        raise FormatError(f"{path} is not YAML ({reason:.120}); name the folder of an export.") from error


def _kinds(data: dict[str, Any], where: str) -> dict[int, str]:
    names = data.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    names = fields.mapping(names, f"{where}: names")
    return {
        fields.whole(number, f"{where}: names"): fields.text(name, f"{where}: name of {number}")
        for number, name in names.items()
    }


def _label_files(folder: Path) -> dict[str, dict[int, Path]]:
    """Files of labels by clip and frame, also those of subsets (`labels/train/…`)."""
    if not (folder / "labels").is_dir():
        raise FormatError(f"There is no folder {folder / 'labels'}; name the folder that holds data.yaml and labels.")
    clips: dict[str, dict[int, Path]] = {}
    for path in sorted((folder / "labels").rglob("*.txt")):
        match = _FRAME.fullmatch(path.stem)
        stem, frame = (match["name"], int(match["frame"])) if match else (path.stem, 0)
        if frame in clips.setdefault(stem, {}):
            raise FormatError(f"{path} and {clips[stem][frame]} are both frame {frame} of {stem}; keep one of the two.")
        clips[stem][frame] = path
    return clips


def _picture_size(folder: Path, label: Path) -> dict[str, int]:
    from PIL import Image, UnidentifiedImageError

    base = folder / "images" / label.relative_to(folder / "labels")
    for suffix in _PICTURES:
        picture = base.with_suffix(suffix)
        if picture.is_file():
            try:
                with Image.open(picture) as image:
                    return {"width": image.width, "height": image.height}
            except (OSError, UnidentifiedImageError) as error:
                raise FormatError(f"{picture} is not a picture; put the frame of {label.name} there.") from error
    raise FormatError(f"The size of {label.stem} is not known: there is no picture {base.with_suffix('.jpg')}.")


def _tracks(path: Path, frame: int, kinds: dict[int, str], reviewed: ReviewedClip) -> Iterator[tracks.Track]:
    clip = reviewed.clip
    if not clip.width or not clip.height:
        raise FormatError(f"The size of {clip.name} is not known; give its width and height in data.yaml.")
    if clip.n_frames is not None and frame >= clip.n_frames:
        raise FormatError(f"{path} lies past the end: {clip.name} has frames 0 to {clip.n_frames - 1}.")
    for number, line in drafts.read_lines(path):
        where = f"{path}, line {number}"
        kind, *values = line.split()
        kind_number = fields.integer(kind, f"{where}: number of the kind")
        if kind_number not in kinds:
            raise FormatError(f"{where} is of kind {kind_number}, which has no name in data.yaml.")
        polygon = _polygon([fields.decimal(value, where) for value in values], clip.height, clip.width, where)
        picture = fill(polygon, clip.height, clip.width)
        track = tracks.Track(0, kinds[kind_number], {}, where)
        track.see(frame, mask_box(picture), encode_rle(picture))
        yield track


def _polygon(values: list[float], height: int, width: int, where: str) -> np.ndarray:
    """Points `[n, 2]` in whole pixels of a polygon or a box (centre, size)."""
    if len(values) != _BOX and (len(values) < _POLYGON or len(values) % 2):
        raise FormatError(
            f"{where} has {len(values)} numbers; a box has four, a polygon x and y of three points or more."
        )
    if not all(0 <= value <= 1 for value in values):
        raise FormatError(f"{where} has a number outside 0 to 1; divide x by the width and y by the height.")
    if len(values) == _BOX:
        x, y, across, down = values
        left, right = round((x - across / 2) * width), max(round((x + across / 2) * width) - 1, 0)
        top, bottom = round((y - down / 2) * height), max(round((y + down / 2) * height) - 1, 0)
        points = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    else:
        points = np.floor(np.array(values).reshape(-1, 2) * (width, height)).astype(int)
    return np.clip(points, 0, (width - 1, height - 1))
