"""Reading what `cvat` writes, and what CVAT itself exports as "CVAT for video 1.1".

A document type declaration is refused before anything is expanded. Shapes between key frames are taken as they are in
the file, which has all of them when CVAT wrote it; nothing is interpolated here. Polygons become masks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np

from workbench.errors import FormatError
from workbench.exports import drafts, fields, moments, tracks
from workbench.exports.cvat import CAPTION, EVENT, META_FIELDS, TEXT_FIELDS
from workbench.masks import encode_rle
from workbench.records import MaskRLE, ReviewedClip

FORMAT = "cvat"
_SHAPES = ("box", "mask", "polygon")
_NUMBERS = ("start_s", "end_s", "peak_s", "peak_score", "fps")
_COUNTS = ("number", "first_frame", "last_frame")


def read_files(path: Path) -> Iterator[ReviewedClip]:
    """Clips of an XML file, or of all XML files in a folder, all without media.

    Raises:
        FormatError: a file is not such XML, a frame lies outside its clip, or two files are about one clip.
    """
    files = sorted(path.glob("*.xml")) if path.is_dir() else [path]
    if not files:
        raise FormatError(f"There is no XML file in {path}; name an export of CVAT for video 1.1.")
    names: set[str] = set()
    for file in files:
        reviewed = _read(file)
        fields.once(reviewed.clip.name, names, f"{path}: the clip {reviewed.clip.name!r}")
        yield reviewed


class _Builder(Xml.TreeBuilder):
    def doctype(self, name: str, *_: str | None) -> None:
        """Called before the declarations inside are read, so no entity of theirs is ever known."""
        raise FormatError(f"declares a document type ({name}), which an annotation file never does; export it again.")


def parse_xml(path: Path) -> Xml.Element:
    """The root of an XML file. Raises FormatError when it cannot be read or has a document type."""
    try:
        return Xml.fromstring(path.read_bytes(), parser=Xml.XMLParser(target=_Builder()))
    except OSError as error:
        raise FormatError(f"{path} cannot be read ({error.strerror}); name an exported file.") from error
    except FormatError as error:
        raise FormatError(f"{path} {error}") from error
    except (Xml.ParseError, ValueError, LookupError) as error:
        raise FormatError(f"{path} is not XML ({error}); export it again as CVAT for video 1.1.") from error


def _read(path: Path) -> ReviewedClip:
    root = parse_xml(path)
    if root.tag != "annotations" or root.find("image") is not None:
        raise FormatError(f"{path} is not an export of CVAT for video 1.1; CVAT for images has no tracks.")
    reviewed = moments.clip_from(_clip(root, path), FORMAT, str(path))
    events: dict[str | int, dict[str, Any]] = {}  # by id, else by the number of the track, which is no text
    captions: list[dict[str, Any]] = []
    found: dict[str | int, tracks.Track] = {}
    for number, track in enumerate(root.iter("track")):
        where = f"{path}: track {track.get('id', number)}"
        shapes = [_shape(shape, reviewed, where) for shape in track if shape.tag in _SHAPES]
        shapes = [shape for shape in shapes if not shape.outside]
        said = _said(track, where)
        label = fields.text(track.get("label"), f"{where}: label")
        if label in (EVENT, CAPTION) and "role" not in said and shapes:
            document = _moment(said, [shape.frame for shape in shapes], reviewed, where)
            if label == CAPTION:
                captions.append({**document, "where": where})
            elif document.get("id") in events:
                raise FormatError(f"{where} has the id {document['id']!r} of another event; give each its own.")
            else:
                events[document.get("id", number)] = document
        elif shapes:
            key = said.get("instance", number)
            if key not in found:
                found[key] = tracks.Track(number, label, said, where)
            for shape in shapes:
                found[key].see(shape.frame, shape.box, shape.mask)
    for caption in captions:
        where = caption.pop("where")
        if caption.get("event") not in events:
            raise FormatError(f"{where} is a caption of the event {caption.get('event')!r}, which is not in the file.")
        events[caption["event"]]["clips"].append(caption)
    reviewed = moments.events_from(list(events.values()), reviewed, str(path))
    return replace(reviewed, instances=tracks.finish_all(list(found.values()), reviewed, str(path)))


def _clip(root: Xml.Element, path: Path) -> dict[str, Any]:
    """The clip as `moments.clip_to` writes it; a file by CVAT of a job has its meta under `job`."""
    task = next((found for tag in ("task", "job") if (found := root.find(f"meta/{tag}")) is not None), None)
    if task is None:
        raise FormatError(f"{path} has no meta data of one task; export a task, not a project.")
    document: dict[str, Any] = {"name": task.findtext("name") or task.findtext("source") or path.stem}
    for name, place in (("n_frames", "size"), ("width", "original_size/width"), ("height", "original_size/height")):
        value = task.findtext(place)
        document[name] = None if value is None else fields.integer(value, f"{path}: {place}")
    ours = root.find("meta/workbench")
    if ours is not None:
        for name in META_FIELDS:
            value = ours.findtext(name)
            if value is not None:
                document[name] = value if name in TEXT_FIELDS else fields.decimal(value, f"{path}: {name}")
        label = ours.find("categories")
        document["label"] = None if label is None else [name.text or "" for name in label.iter("name")]
    return document


class _Shape:
    """A shape of a track: frame, box or mask, and whether it says that there is nothing."""

    __slots__ = ("box", "frame", "mask", "outside")

    def __init__(self, frame: int, outside: bool) -> None:
        self.frame, self.outside = frame, outside
        self.box: tuple[float, float, float, float] | None = None
        self.mask: MaskRLE | None = None


def _shape(element: Xml.Element, reviewed: ReviewedClip, where: str) -> _Shape:
    clip = reviewed.clip
    shape = _Shape(fields.integer(element.get("frame"), f"{where}: frame"), element.get("outside") == "1")
    place = f"{where}, frame {shape.frame}"
    if clip.n_frames is not None and shape.frame >= clip.n_frames:
        raise FormatError(f"{place} lies past the end: {clip.name} has frames 0 to {clip.n_frames - 1}.")
    if shape.outside:
        return shape
    if element.tag == "box":
        if fields.decimal(element.get("rotation", "0"), f"{place}: rotation") % 360:
            raise FormatError(f"{place} is a rotated box; boxes here stand upright.")
        sides = [fields.decimal(element.get(name), f"{place}: {name}") for name in ("xtl", "ytl", "xbr", "ybr")]
        shape.box = (sides[0], sides[1], sides[2], sides[3])
        if sides[2] < sides[0] or sides[3] < sides[1]:
            raise FormatError(f"{place} is a box whose end lies before its start.")
        return shape
    if not clip.width or not clip.height:
        raise FormatError(f"{place} is a {element.tag}, but the file has no original_size to put it into.")
    if element.tag == "polygon":
        pairs = (element.get("points") or "").replace(";", ",").split(",")
        points = [fields.decimal(value, f"{place}: points") for value in pairs]
        shape.mask = tracks.polygons_to_mask([points], clip.height, clip.width, place)
    else:
        shape.mask = _mask(element, clip.height, clip.width, place)
    return shape


def _mask(element: Xml.Element, height: int, width: int, where: str) -> MaskRLE:
    left, top, columns, rows = (
        fields.integer(element.get(name), f"{where}: {name}") for name in ("left", "top", "width", "height")
    )
    if left + columns > width or top + rows > height:
        raise FormatError(
            f"{where}: a mask of {columns}x{rows} at ({left}, {top}) is outside the {width}x{height} video."
        )
    runs = [fields.integer(run, f"{where}: rle") for run in (element.get("rle") or "").split(",")]
    if sum(runs) != columns * rows:
        raise FormatError(f"{where}: rle covers {sum(runs)} pixels of a mask that has {columns * rows}.")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    picture = np.zeros((height, width), dtype=bool)
    picture[top : top + rows, left : left + columns] = flat.reshape(rows, columns)
    return encode_rle(picture)


def _said(track: Xml.Element, where: str) -> dict[str, Any]:
    """The attributes of the first shape; they do not change within a track."""
    said: dict[str, Any] = {}
    shape = next((shape for shape in track if shape.tag in _SHAPES), None)
    for attribute in () if shape is None else shape.iter("attribute"):
        name, value = attribute.get("name", ""), attribute.text
        if value is None or value == "":
            continue
        said[name] = value
        if name in _NUMBERS:
            said[name] = fields.decimal(value, f"{where}: {name}")
        elif name in _COUNTS:
            said[name] = fields.integer(value, f"{where}: {name}")
    return said


def _moment(said: dict[str, Any], frames: list[int], reviewed: ReviewedClip, where: str) -> dict[str, Any]:
    """An event or captioned clip as `moments.event_to` writes them."""
    clip = reviewed.clip
    if not clip.fps and said.get("fps"):
        clip = replace(clip, fps=said["fps"])
    exact = None
    if "start_s" in said and "end_s" in said:
        exact = (
            drafts.seconds(said["start_s"], f"{where}: start_s"),
            drafts.seconds(said["end_s"], f"{where}: end_s"),
        )
    if not clip.fps:
        raise FormatError(f"{where} is an event, but the file has no frame rate; give it the attribute fps.")
    start_s, end_s = moments.times_of(min(frames), max(frames), clip, exact, where)
    return {**said, "start_s": start_s, "end_s": end_s, "clips": []}
