"""COCO with the fields for video that TAO and BURST use: one JSON object of five lists and the categories.

    videos       id, name, width, height, and what is known of the clip; events with their texts and captioned clips
    images       id, video_id, frame_index (from 0), file_name, width, height: the frames in which something is seen
    tracks       id, video_id, category_id, and what is said of the instance: role, appearance, motion, event
    annotations  id, image_id, video_id, track_id, category_id, bbox [x, y, width, height], area, iscrowd,
                 segmentation: COCO compressed run lengths
    categories   id, name: kinds of instances

`events`, `label` and the texts of a video, and the words of a track, are additions that other readers pass over.

What it cannot hold: pictures (`file_name` says how the frames would be called), the dialogue, questions, who wrote
what, review states and verdicts, thresholds, path and content hash of the video; two clips of one name. A frame with a
mask alone gets the box of the mask. Box corners are kept to a millionth of a pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.errors import FormatError
from workbench.exports import drafts, fields, moments, tracks
from workbench.exports.writing import FileNames, JsonLists, distinct
from workbench.files import replacing
from workbench.masks import mask_area
from workbench.records import ReviewedClip

FORMAT = "coco"
_LISTS = ("videos", "images", "tracks", "annotations", "categories")
_SIDES = ("height", "width")


def unfit(reviewed: ReviewedClip) -> str | None:
    """Why a clip cannot be written in this format, None when it can."""
    return moments.lacking(reviewed)


def write_coco(clips: Iterable[ReviewedClip], out: Path) -> int:
    """Write clips as one JSON file. → how many.

    Raises:
        FormatError: a clip with instances has no width and height, an instance no category, or two clips one name.
    """
    count = 0
    with replacing(out) as temporary, JsonLists(*_LISTS) as lists:
        writer = _Writer(lists)
        for count, reviewed in enumerate(distinct(clips), start=1):  # noqa: B007 - counts
            moments.require(unfit(reviewed))
            writer.add(reviewed)
        lists.write(temporary, {"info": {"description": "Anomaly Workbench", "version": "1"}, "licenses": []})
    return count


def read_coco(path: Path) -> Iterator[ReviewedClip]:
    """Clips of a COCO file with video fields, all without media. Masks may also be plain run lengths or polygons.

    Raises:
        FormatError: the file is not such JSON; the sentence names the list and the entry.
    """
    data = fields.mapping(drafts.parse(drafts.read_text(path), str(path)), str(path))
    reader = _Reader(data, str(path))
    names: set[str] = set()
    for video_id, (document, where) in reader.videos.items():
        reviewed = moments.clip_from(document, FORMAT, where)
        fields.once(reviewed.clip.name, names, f"{path}: the video {reviewed.clip.name!r}")
        reviewed = moments.events_from(fields.items(document, "events", where, optional=True), reviewed, where)
        found = tracks.finish_all(reader.tracks_of(video_id), reviewed, where)
        yield replace(reviewed, instances=found)


class _Writer:
    """Numbers everything from 1 over all clips."""

    def __init__(self, lists: JsonLists) -> None:
        self.lists = lists
        self.names = FileNames()
        self.categories: dict[str, int] = {}

    def add(self, reviewed: ReviewedClip) -> None:
        events = [moments.event_to(event) for event in reviewed.events]
        document = moments.clip_to(reviewed)
        video_id = self.lists.add_numbered("videos", {**document, "events": events})
        folder = self.names.give(reviewed.clip.name)
        size = {"width": reviewed.clip.width, "height": reviewed.clip.height}
        images: dict[int, int] = {}
        for item in reviewed.instances:
            category = {"category_id": self._category(item.instance.category)}
            attributes = tracks.attributes_to(item)
            track_id = self.lists.add_numbered("tracks", {"video_id": video_id, **category, **attributes})
            for frame, box, mask in tracks.sightings(item.instance):
                if frame not in images:
                    image = {"video_id": video_id, "frame_index": frame, "file_name": f"{folder}/{frame:06d}.jpg"}
                    images[frame] = self.lists.add_numbered("images", {**image, **size})
                x, y, width, height = tracks.to_xywh(box)
                annotation: dict[str, Any] = {"image_id": images[frame], "video_id": video_id, "track_id": track_id}
                annotation |= {**category, "bbox": [x, y, width, height], "iscrowd": 0}
                annotation["area"] = width * height if mask is None else mask_area(mask)
                annotation["segmentation"] = [] if mask is None else dict(mask)
                self.lists.add_numbered("annotations", annotation)

    def _category(self, name: str) -> int:
        if name not in self.categories:
            self.categories[name] = self.lists.add_numbered("categories", {"name": name})
        return self.categories[name]


class _Reader:
    """The lists of a file, by their ids."""

    def __init__(self, data: dict[str, Any], path: str) -> None:
        self.path = path
        self.videos = self._by_id(data, "videos")
        self.images = self._by_id(data, "images")
        self.categories = {
            key: fields.text(document.get("name"), f"{where}: name")
            for key, (document, where) in self._by_id(data, "categories").items()
        }
        self.found: dict[int, list[tracks.Track]] = {}
        known: dict[int, tuple[int, tracks.Track]] = {}
        for key, (document, where) in self._by_id(data, "tracks", optional=True).items():
            video_id = self._link(document, "video_id", self.videos, where)
            known[key] = video_id, self._begin(key, document, video_id, document, where)
        for key, (document, where) in self._by_id(data, "annotations").items():
            self._see(key, document, known, where)

    def tracks_of(self, video_id: int) -> list[tracks.Track]:
        return self.found.get(video_id, [])

    def _see(self, key: int, document: dict[str, Any], known: dict[int, tuple[int, tracks.Track]], where: str) -> None:
        image_id = self._link(document, "image_id", self.images, where)
        image, image_where = self.images[image_id]
        video_id = self._link(image, "video_id", self.videos, image_where)
        track_id = document.get("track_id")
        if track_id is None:  # seen once and never again
            track = self._begin(key, document, video_id, {}, where)
        else:
            track_id = fields.whole(track_id, f"{where}: track_id")
            if track_id not in known:
                known[track_id] = video_id, self._begin(track_id, document, video_id, {}, where)
            track_video, track = known[track_id]
            if track_video != video_id:
                raise FormatError(f"{where} is of track {track_id}, which is in video {track_video}, not {video_id}.")
        frame = fields.whole(image.get("frame_index"), f"{image_where}: frame_index")
        video = self.videos[video_id][0]
        size = [fields.whole(image.get(name, video.get(name)), f"{image_where}: {name}", 1) for name in _SIDES]
        if any(video.get(name) not in (None, side) for name, side in zip(_SIDES, size, strict=True)):
            raise FormatError(f"{image_where} is {size[1]}x{size[0]}, unlike its video.")
        box = tracks.from_xywh(document["bbox"], f"{where}: bbox") if "bbox" in document else None
        shape = document.get("segmentation")
        mask = tracks.mask_from(shape, size[0], size[1], f"{where}: segmentation") if shape else None
        track.see(frame, box, mask)

    def _begin(
        self, number: int, document: dict[str, Any], video_id: int, said: dict[str, Any], where: str
    ) -> tracks.Track:
        category = self.categories[self._link(document, "category_id", self.categories, where)]
        track = tracks.Track(number, category, said, where)
        self.found.setdefault(video_id, []).append(track)
        return track

    def _by_id(
        self, data: dict[str, Any], name: str, *, optional: bool = False
    ) -> dict[int, tuple[dict[str, Any], str]]:
        entries: dict[int, tuple[dict[str, Any], str]] = {}
        for i, value in enumerate(fields.items(data, name, self.path, optional=optional)):
            where = f"{self.path}: {name}[{i}]"
            document = fields.mapping(value, where)
            key = fields.whole(document.get("id"), f"{where}: id")
            if key in entries:
                raise FormatError(f"{self.path}: {name} has the id {key} twice; give each its own.")
            entries[key] = document, where
        return entries

    def _link(self, document: dict[str, Any], name: str, targets: dict[int, Any], where: str) -> int:
        key = fields.whole(document.get(name), f"{where}: {name}")
        if key not in targets:
            raise FormatError(f"{where}: {name} {key} is not in the file.")
        return key
