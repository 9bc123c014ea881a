"""Datumaro's own JSON layout: a folder with `annotations/default.json`; videos may be put into `videos/default/`.

    dm_format_version, media_type   "1.0", 4 (frames of videos)
    items        a frame in which something is seen: id NAME/FRAME, video_frame {video_path, frame_index} and
                 annotations: bbox [x, y, width, height] and mask (COCO compressed run lengths), both with label_id,
                 object_id (the track, unique in the file), group and attributes (track_id, role, appearance, motion)
    categories   label: kinds of instances
    infos        workbench_clips: what is known of each clip, its tracks, events with their texts and captioned clips

What it cannot hold: an event as an annotation (Datumaro has no spans of time; `infos` keeps them), the dialogue,
questions, who wrote what, review states and verdicts, thresholds, path and content hash of the video; two clips of one
name. Box corners are kept to a millionth of a pixel. Reading, `infos` may be missing: the clips are then those that
`video_path` names, the tracks those of `object_id` or the attribute `track_id`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from workbench.errors import FormatError
from workbench.exports import drafts, fields, moments, tracks
from workbench.exports.writing import FileNames, JsonLists, distinct, new_folder
from workbench.records import ReviewedClip

FORMAT = "datumaro"
CLIPS = "workbench_clips"
_FILE = PurePosixPath("annotations/default.json")
_VERSION, _VIDEO_FRAME = "1.0", 4
_SHAPES = ("bbox", "mask", "polygon")


def unfit(reviewed: ReviewedClip) -> str | None:
    """Why a clip cannot be written in this format, None when it can."""
    return moments.lacking(reviewed)


def write_datumaro(clips: Iterable[ReviewedClip], out: Path) -> int:
    """Write clips as a dataset folder that is not there yet. → how many.

    Raises:
        FormatError: a clip with instances has no width and height, an instance no category, or two clips one name.
    """
    names, labels, infos = FileNames(), dict[str, int](), list[dict[str, Any]]()
    total = 0
    with new_folder(out) as folder, JsonLists("items") as lists:
        for reviewed in distinct(clips):
            moments.require(unfit(reviewed))
            name = names.give(reviewed.clip.name)
            video = _video_name(reviewed, name)
            head = {**moments.clip_to(reviewed), "video_path": video}
            events = [moments.event_to(event) for event in reviewed.events]
            found = [
                {"object_id": total + i, "category": item.instance.category, **tracks.attributes_to(item)}
                for i, item in enumerate(reviewed.instances)
            ]
            infos.append({**head, "events": events, "tracks": found})
            for frame, annotations in _frames(reviewed, total, labels):
                media = {"video_path": video, "frame_index": frame}
                lists.add("items", {"id": f"{name}/{frame:06d}", "annotations": annotations, "video_frame": media})
            total += len(found)
        names_of = [{"name": label, "parent": "", "attributes": []} for label in labels]
        categories = {"label": {"labels": names_of, "label_groups": [], "attributes": []}}
        (folder / _FILE).parent.mkdir()
        document = {"dm_format_version": _VERSION, "media_type": _VIDEO_FRAME, "infos": {CLIPS: infos}}
        lists.write(folder / _FILE, {**document, "categories": categories})
    return len(infos)


def read_datumaro(path: Path) -> Iterator[ReviewedClip]:
    """Clips of a dataset folder, or of one of its annotation files, all without media. Polygons become masks.

    Raises:
        FormatError: the file is not such JSON; the sentence names the entry.
    """
    file = path / _FILE if path.is_dir() else path
    data = fields.mapping(drafts.parse(drafts.read_text(file), str(file)), str(file))
    reader = _Reader(data, str(file))
    names: set[str] = set()
    for video, (document, where) in reader.clips.items():
        reviewed = moments.clip_from(document, FORMAT, where)
        fields.once(reviewed.clip.name, names, f"{file}: the clip {reviewed.clip.name!r}")
        reviewed = moments.events_from(fields.items(document, "events", where, optional=True), reviewed, where)
        yield replace(reviewed, instances=tracks.finish_all(reader.tracks_of(video), reviewed, where))


def _frames(
    reviewed: ReviewedClip, first_object: int, labels: dict[str, int]
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Every frame in which something is seen, with its annotations; new kinds of instances are added to `labels`."""
    frames: dict[int, list[dict[str, Any]]] = {}
    for i, item in enumerate(reviewed.instances):
        label = labels.setdefault(item.instance.category, len(labels))
        number = first_object + i
        said = {name: value for name, value in tracks.attributes_to(item).items() if value is not None}
        for frame, box, mask in tracks.sightings(item.instance):
            annotations = frames.setdefault(frame, [])
            # A group joins box and mask of one thing; 0 would mean that it stands alone.
            head = {"attributes": {"track_id": number, **said}, "group": number + 1, "object_id": number}
            head |= {"label_id": label, "z_order": 0}
            if box is not None:
                annotations.append({"id": len(annotations), "type": "bbox", **head, "bbox": tracks.to_xywh(box)})
            if mask is not None:
                annotations.append({"id": len(annotations), "type": "mask", **head, "rle": dict(mask)})
    yield from sorted(frames.items())


def _video_name(reviewed: ReviewedClip, name: str) -> str:
    """The file that somebody would put into `videos/default/`; a name of our own, so that no two clips share it."""
    source = reviewed.clip.path or reviewed.clip.origin or ""
    return name + (PurePosixPath(source).suffix or ".mp4")


class _Reader:
    """Items of a file sorted into the tracks of its clips."""

    def __init__(self, data: dict[str, Any], path: str) -> None:
        self.path = path
        categories = fields.mapping(data.get("categories"), f"{path}: categories")
        labels = fields.mapping(categories.get("label", {"labels": []}), f"{path}: label categories")
        self.labels = [
            fields.text(fields.mapping(item, f"{path}: label {i}").get("name"), f"{path}: label {i}")
            for i, item in enumerate(fields.items(labels, "labels", f"{path}: label categories"))
        ]
        self.clips: dict[str, tuple[dict[str, Any], str]] = {}
        self.found: dict[str, dict[Any, tracks.Track]] = {}
        infos = fields.mapping(data.get("infos") or {}, f"{path}: infos")
        for i, value in enumerate(fields.items(infos, CLIPS, f"{path}: infos", optional=True)):
            self._begin_clip(fields.mapping(value, f"{path}: clip {i}"), f"{path}: clip {i}")
        for i, value in enumerate(fields.items(data, "items", path)):
            item = fields.mapping(value, f"{path}: item {i}")
            self._see_item(item, f"{path}: item {item.get('id', i)!r:.80}")

    def tracks_of(self, video: str) -> list[tracks.Track]:
        return list(self.found.get(video, {}).values())

    def _begin_clip(self, document: dict[str, Any], where: str) -> None:
        video = fields.text(document.get("video_path"), f"{where}: video_path")
        if video in self.clips:
            raise FormatError(f"{where} has the video {video!r} of another clip; give each its own.")
        self.clips[video] = document, where
        for k, value in enumerate(fields.items(document, "tracks", where, optional=True)):
            place = f"{where}, track {k}"
            said = fields.mapping(value, place)
            key = fields.whole(said.get("object_id"), f"{place}: object_id")
            if key in self.found.setdefault(video, {}):
                raise FormatError(f"{place} has the object_id {key} of another track; give each its own.")
            category = fields.text(said.get("category"), f"{place}: category")
            self.found[video][key] = tracks.Track(key, category, said, place)

    def _see_item(self, item: dict[str, Any], where: str) -> None:
        annotations = fields.items(item, "annotations", where)
        media = item.get("video_frame")
        if media is None and not annotations:
            return
        media = fields.mapping(media, f"{where}: video_frame")
        video = fields.text(media.get("video_path"), f"{where}: video_path")
        frame = fields.whole(media.get("frame_index"), f"{where}: frame_index")
        if video not in self.clips:
            self.clips[video] = {"name": PurePosixPath(video).stem}, f"{self.path}: {video}"
        for k, value in enumerate(annotations):
            place = f"{where}, annotation {k}"
            annotation = fields.mapping(value, place)
            if annotation.get("type") in _SHAPES:
                self._see(annotation, video, frame, place)

    def _see(self, annotation: dict[str, Any], video: str, frame: int, where: str) -> None:
        said = fields.mapping(annotation.get("attributes") or {}, f"{where}: attributes")
        label = fields.whole(annotation.get("label_id"), f"{where}: label_id")
        if label >= len(self.labels):
            raise FormatError(f"{where}: label_id {label} is not in the file; it has {len(self.labels)} labels.")
        key = annotation.get("object_id", said.get("track_id"))
        found = self.found.setdefault(video, {})
        if key is None or key == -1:  # Datumaro's way to say that it belongs to no track
            key = ("alone", frame, annotation.get("group") or where)
        else:
            key = fields.whole(key, f"{where}: object_id")
        if key not in found:
            number = key if isinstance(key, int) else len(found)
            found[key] = tracks.Track(number, self.labels[label], said, where)
        if annotation["type"] == "bbox":
            found[key].see(frame, tracks.from_xywh(annotation.get("bbox"), f"{where}: bbox"), None)
            return
        clip = self.clips[video][0]
        shape = annotation.get("rle") if annotation["type"] == "mask" else [annotation.get("points")]
        size = [clip.get("height"), clip.get("width")]
        if None in size and isinstance(shape, dict) and isinstance(shape.get("size"), list):
            size = [*shape["size"], None, None][:2]
        height, width = (fields.whole(side, f"{where}: the height and width of its video", 1) for side in size)
        found[key].see(frame, None, tracks.mask_from(shape, height, width, where))
