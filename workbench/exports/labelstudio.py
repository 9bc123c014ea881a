"""Label Studio JSON: a task a clip, events as `timelinelabels`, instances as `videorectangle`, frames counted from 1.

    {"data": {"video": "…/NAME.mp4", "name": "NAME", "fps": 25.0, "n_frames": 500, …},
     "annotations": [{"result": [
        {"type": "timelinelabels", "value": {"ranges": [{"start": 26, "end": 75}], "timelinelabels": ["Robbery"]}, …},
        {"type": "videorectangle", "value": {"labels": ["person"], "framesCount": 500, "duration": 20.0, "sequence":
            [{"frame": 26, "time": 1.04, "enabled": true, "x": 1.5, "y": 2.0, "width": 3.0, "height": 9.0}]}, …}]}]}

x, y, width and height are percent of the picture. A box holds until the next one of its sequence, moving evenly, unless
it is not `enabled`. `meta` of a region keeps exact times, texts and captioned clips of an event, role and words of an
instance. The labelling configuration for a project that shows all this is written beside the file (`.config.xml`); it
takes the frame rate from `fps` of each task.

What it cannot hold: masks (their boxes are written), an instance that is never seen, events and captioned clips without
times, the dialogue, questions, who wrote what, review states and verdicts, thresholds, path and content hash of the
video; two clips of one name. Box corners are kept to a millionth of a pixel. Where one task was annotated by several
people one of them has to be chosen before the import.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from workbench.errors import FormatError
from workbench.exports import drafts, fields, moments, tracks
from workbench.exports.writing import distinct, dumps
from workbench.files import replacing
from workbench.records import Box, ClipRecord, ReviewedClip, ReviewedEvent, ReviewedInstance

FORMAT = "labelstudio"
_MOST_BOXES = 500_000  # that are made of a task's keys, at 30 frames a second four hours of one thing
_EVENTS, _BOXES, _KINDS, _VIDEO = "events", "box", "kinds", "video"


def unfit(reviewed: ReviewedClip) -> str | None:
    """Why a clip cannot be written in this format, None when it can."""
    return moments.lacking(reviewed, spans=True)


def write_labelstudio(clips: Iterable[ReviewedClip], out: Path) -> int:
    """Write clips as one JSON file of tasks, and the labelling configuration beside it. → how many.

    Raises:
        FormatError: a clip has no frame rate, size or times where they are needed, or two clips one name.
    """
    count = 0
    kinds: dict[str, None] = {}
    events: dict[str, None] = {moments.UNNAMED: None}
    config = out.with_suffix(".config.xml")
    with replacing(config) as temporary_config, replacing(out) as temporary:
        with temporary.open("w", encoding="utf-8") as file:
            for count, reviewed in enumerate(distinct(clips), start=1):
                moments.require(unfit(reviewed))
                file.write(("[\n" if count == 1 else ",\n") + dumps(_task(reviewed)))
                kinds |= {item.instance.category: None for item in reviewed.instances}
                events |= {event.category: None for event in reviewed.events if event.category}
            file.write("\n]\n" if count else "[]\n")
        temporary_config.write_text(labelling_config(events, kinds), encoding="utf-8")
    return count


def read_labelstudio(path: Path) -> Iterator[ReviewedClip]:
    """Clips of a JSON export (not JSON-MIN), all without media. Regions of other kinds are passed over.

    Raises:
        FormatError: the file is not such JSON, a frame lies outside its clip, or a task has several annotations.
    """
    data = drafts.parse(drafts.read_text(path), str(path))
    if not isinstance(data, list):
        raise FormatError(f"{path} is not a list of tasks; export from Label Studio as JSON.")
    names: set[str] = set()
    for i, value in enumerate(data):
        where = f"{path}: task {i}"
        reviewed = _read_task(fields.mapping(value, where), where)
        fields.once(reviewed.clip.name, names, f"{path}: the clip {reviewed.clip.name!r}")
        yield reviewed


def labelling_config(events: Iterable[str], kinds: Iterable[str]) -> str:
    """The configuration of a project for these categories of events and kinds of instances."""

    def labels(tag: str, name: str, values: Iterable[str]) -> str:
        rows = "".join(f"    <Label value={quoteattr(value)}/>\n" for value in values)
        return f'  <{tag} name="{name}" toName="{_VIDEO}">\n{rows}  </{tag}>\n'

    # Label Studio takes every video for one of 24 frames a second unless it is told.
    video = f'  <Video name="{_VIDEO}" value="$video" frameRate="$fps"/>\n'
    boxes = f'  <VideoRectangle name="{_BOXES}" toName="{_VIDEO}"/>\n'
    shown = labels("TimelineLabels", _EVENTS, events) + video + boxes + labels("Labels", _KINDS, kinds)
    return f"<View>\n{shown}</View>\n"


def _task(reviewed: ReviewedClip) -> dict[str, Any]:
    clip = reviewed.clip
    results = [_event_region(event, clip) for event in reviewed.events]
    results += [_box_region(item, clip) for item in reviewed.instances if not _is_unseen(item)]
    data = {"video": clip.origin or f"{clip.name}.mp4", **moments.clip_to(reviewed)}
    return {"data": data, "annotations": [{"result": results}]}


def _is_unseen(item: ReviewedInstance) -> bool:
    return all(box is None for _, box, _ in tracks.sightings(item.instance))


def _event_region(event: ReviewedEvent, clip: ClipRecord) -> dict[str, Any]:
    assert event.start_s is not None
    assert event.end_s is not None
    first, last = moments.frames_of(event.start_s, event.end_s, clip)
    label = event.category or moments.UNNAMED
    value = {"ranges": [{"start": first + 1, "end": last + 1}], "timelinelabels": [label]}
    head = {"id": f"event-{event.id}", "from_name": _EVENTS, "to_name": _VIDEO, "type": "timelinelabels"}
    return {**head, "origin": "manual", "value": value, "meta": {"event": moments.event_to(event)}}


def _box_region(item: ReviewedInstance, clip: ClipRecord) -> dict[str, Any]:
    assert clip.fps
    assert clip.width
    assert clip.height
    boxes = [(frame, box) for frame, box, _ in tracks.sightings(item.instance) if box is not None]
    frames = {frame for frame, _ in boxes}
    sequence = []
    for frame, box in boxes:
        x, y, width, height = tracks.to_xywh(box)
        place = {"x": 100 * x / clip.width, "y": 100 * y / clip.height}
        size = {"width": 100 * width / clip.width, "height": 100 * height / clip.height}
        # A box that is not enabled ends there; without that it would be shown until the next one, or to the end.
        key = {"frame": frame + 1, "time": (frame + 1) / clip.fps, "enabled": frame + 1 in frames, "rotation": 0}
        sequence.append({**key, **place, **size})
    value = {
        "framesCount": clip.n_frames,
        "duration": clip.duration_s or (clip.n_frames or 0) / clip.fps,
        "sequence": sequence,
    }
    head = {"id": f"instance-{item.id}", "from_name": _BOXES, "to_name": _VIDEO, "type": "videorectangle"}
    meta = {"instance": tracks.attributes_to(item)}
    return {**head, "origin": "manual", "value": {**value, "labels": [item.instance.category]}, "meta": meta}


def _read_task(task: dict[str, Any], where: str) -> ReviewedClip:
    data = fields.mapping(task.get("data"), f"{where}: data")
    results = _results(task, where)
    document = {"name": Path(fields.text(data.get(_VIDEO), f"{where}: data.video")).stem, **data}
    boxes = [fields.mapping(r.get("value"), f"{where}: value") for r, _ in results if r.get("type") == "videorectangle"]
    if boxes and document.get("n_frames") is None and boxes[0].get("framesCount"):
        document["n_frames"] = boxes[0]["framesCount"]
        duration = fields.number(boxes[0].get("duration"), f"{where}: duration")
        document["duration_s"] = document.get("duration_s") or duration
        if duration > 0:
            frames = fields.whole(document["n_frames"], f"{where}: framesCount", 1)
            document["fps"] = document.get("fps") or frames / duration
    reviewed = moments.clip_from(document, FORMAT, where)
    labels = _labels(results, where)
    events: list[dict[str, Any]] = []
    found: list[tracks.Track] = []
    for result, place in results:
        if result.get("type") == "timelinelabels":
            events.append(_read_event(result, reviewed, place))
        elif result.get("type") == "videorectangle":
            found.append(_read_track(result, reviewed.clip, labels, len(found), place))
            if sum(len(track.boxes) for track in found) > _MOST_BOXES:
                raise FormatError(f"{where} has more than {_MOST_BOXES:,} boxes, between keys too; import it in parts.")
    reviewed = moments.events_from(events, reviewed, where)
    return replace(reviewed, instances=tracks.finish_all(found, reviewed, where))


def _results(task: dict[str, Any], where: str) -> list[tuple[dict[str, Any], str]]:
    annotations = [
        fields.mapping(value, f"{where}: annotation {i}")
        for i, value in enumerate(fields.items(task, "annotations", where, optional=True))
    ]
    annotations = [annotation for annotation in annotations if not annotation.get("was_cancelled")]
    if len(annotations) > 1:
        raise FormatError(f"{where} has {len(annotations)} annotations; delete all but the one to import.")
    values = fields.items(annotations[0], "result", f"{where}: annotation 0") if annotations else []
    return [(fields.mapping(value, f"{where}: result {i}"), f"{where}: result {i}") for i, value in enumerate(values)]


def _labels(results: list[tuple[dict[str, Any], str]], where: str) -> dict[str, str]:
    """Label of each region by its id: older exports put it into a result of its own with the same id."""
    labels: dict[str, str] = {}
    for result, place in results:
        if result.get("type") in ("labels", "videorectangle"):
            value = fields.mapping(result.get("value"), f"{place}: value")
            for label in fields.items(value, "labels", place, optional=True)[:1]:
                labels[str(result.get("id"))] = fields.text(label, f"{where}: label")
    return labels


def _read_event(result: dict[str, Any], reviewed: ReviewedClip, where: str) -> dict[str, Any]:
    """An event as `moments.event_to` writes it; label and frames of the region count more than its `meta`."""
    value = fields.mapping(result.get("value"), f"{where}: value")
    if not reviewed.clip.fps:
        raise FormatError(
            f"{where}: the frame rate of {reviewed.clip.name} is not known; put fps into the task's data."
        )
    ranges = fields.items(value, "ranges", where)
    if len(ranges) != 1:
        raise FormatError(f"{where} must have one range of frames, not {len(ranges)}.")
    span = fields.mapping(ranges[0], f"{where}: range")
    first, last = (fields.whole(span.get(name), f"{where}: {name}", 1) - 1 for name in ("start", "end"))
    meta = fields.mapping(result.get("meta") or {}, f"{where}: meta")
    said = fields.mapping(meta.get("event") or {}, f"{where}: event")
    exact = None
    if said.get("start_s") is not None and said.get("end_s") is not None:
        exact = (
            drafts.seconds(said["start_s"], f"{where}: start_s"),
            drafts.seconds(said["end_s"], f"{where}: end_s"),
        )
    start_s, end_s = moments.times_of(first, last, reviewed.clip, exact, where)
    labels = fields.items(value, "timelinelabels", where)
    label = fields.text(labels[0], f"{where}: label") if labels else moments.UNNAMED
    category = None if label == moments.UNNAMED and not said.get("category") else label
    return {**said, "start_s": start_s, "end_s": end_s, "category": category}


def _read_track(
    result: dict[str, Any], clip: ClipRecord, labels: dict[str, str], number: int, where: str
) -> tracks.Track:
    value = fields.mapping(result.get("value"), f"{where}: value")
    if not clip.width or not clip.height:
        raise FormatError(f"{where}: the size of {clip.name} is not known; put width and height into the task's data.")
    label = labels.get(str(result.get("id")))
    if label is None:
        raise FormatError(f"{where} has no label; give the region one.")
    meta = fields.mapping(result.get("meta") or {}, f"{where}: meta")
    said = fields.mapping(meta.get("instance") or {}, f"{where}: instance")
    track = tracks.Track(number, label, said, where)
    keys = [_read_key(key, clip, where) for key in fields.items(value, "sequence", where)]
    keys.sort(key=lambda key: key[0])
    ends = [*(key[0] for key in keys[1:]), clip.n_frames or 0]
    if sum(end - key[0] for key, end in zip(keys, ends, strict=False) if key[2]) > _MOST_BOXES:
        raise FormatError(
            f"{where}: more than {_MOST_BOXES:,} boxes would have to be filled in between its keys; end the region "
            "where the thing is gone."
        )
    for (frame, box, enabled), following in zip(keys, [*keys[1:], None], strict=True):
        track.see(frame, box, None)
        if not enabled:
            continue
        until, after = (clip.n_frames or frame + 1, box) if following is None else following[:2]
        for between in range(frame + 1, until):
            share = (between - frame) / (until - frame)
            moved = [round(a + (b - a) * share, 6) for a, b in zip(box, after, strict=True)]
            track.see(between, (moved[0], moved[1], moved[2], moved[3]), None)
    return track


def _read_key(key: Any, clip: ClipRecord, where: str) -> tuple[int, Box, bool]:
    """Frame from 0, box and whether it holds on."""
    document = fields.mapping(key, f"{where}: sequence")
    assert clip.width
    assert clip.height
    frame = fields.whole(document.get("frame"), f"{where}: frame", 1) - 1
    if clip.n_frames is not None and frame >= clip.n_frames:
        raise FormatError(f"{where}: {clip.name} has frames 1 to {clip.n_frames}; there is no frame {frame + 1}.")
    if fields.number(document.get("rotation") or 0, f"{where}: rotation") % 360:
        raise FormatError(f"{where}: the box of frame {frame + 1} is rotated; boxes here stand upright.")
    sides = zip(("x", "y", "width", "height"), (clip.width, clip.height) * 2, strict=True)
    percent = [fields.number(document.get(name), f"{where}: {name}") * side / 100 for name, side in sides]
    box = tracks.from_xywh(percent, f"{where}: box")
    if box is None:
        raise FormatError(f"{where}: the box of frame {frame + 1} has no size; delete it.")
    return frame, box, bool(document.get("enabled", True))
