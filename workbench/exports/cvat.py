"""CVAT for video 1.1: an XML file a clip, in which everything is a track; frames are counted from 0.

    instance      a track of boxes (label: its category), and its masks as tracks of one frame each, which is how CVAT
                  itself writes and reads masks in a video; one group_id, and the attribute `instance` joins them
    event         a track of a box around the whole picture with the label `event`, since CVAT knows no spans of time
    captioned clip  the same with the label `clip caption`

Attributes keep exact times, texts, role and words; what concerns the whole video is in `<meta><workbench>`, which CVAT
passes over. A shape that is `outside` ends its track, so that nothing is interpolated.

What it cannot hold: an instance that is never seen, masks without a pixel, events and captioned clips without times,
texts that are empty (they count as not written) or hold control characters, the dialogue, questions, who wrote what,
review states and verdicts, thresholds, origin, path and content hash of the video; two clips of one name. An export
from CVAT itself has no frame rate: events made there need their attribute `fps`, or the times are taken from the clip
that is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from workbench.errors import FormatError
from workbench.exports import moments, tracks
from workbench.exports.writing import FileNames, distinct, new_folder
from workbench.files import replacing
from workbench.masks import decode_rle, mask_box
from workbench.records import ROLES, MaskRLE, ReviewedClip, ReviewedEvent, ReviewedInstance

EVENT, CAPTION = "event", "clip caption"
EVENT_FIELDS = ("id", "category", "start_s", "end_s", "peak_s", "peak_score")
TEXT_FIELDS = ("judgement", "description", "analysis", "summary")
CAPTION_FIELDS = ("id", "event", "start_s", "end_s", "caption")
INSTANCE_FIELDS = ("instance", "number", "role", "appearance", "motion", "first_frame", "last_frame", "event")
META_FIELDS = ("fps", "duration_s", *TEXT_FIELDS)
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2


def unfit(reviewed: ReviewedClip) -> str | None:
    """Why a clip cannot be written in this format, None when it can."""
    clip = reviewed.clip
    if not clip.width or not clip.height:
        return f"The width and height of {clip.name} are not known; import its video first."
    reason = moments.lacking(reviewed, spans=True)
    if reason is None and (found := _ILLEGAL.search("".join(_strings(_said(reviewed))))):
        return f"A text of {clip.name} holds the character {found[0]!r}, which XML cannot; delete it."
    return reason


def write_cvat(clips: Iterable[ReviewedClip], out: Path) -> int:
    """Write to `out` if that ends in .xml (one clip only), else to a file a clip in the new folder `out`. → how many.

    Raises:
        FormatError: a clip has no size, frame rate or times, or a text that XML cannot hold.
    """
    if out.suffix.lower() == ".xml":
        return _write_one(clips, out)
    names, count = FileNames(), 0
    with new_folder(out) as folder:
        for count, reviewed in enumerate(distinct(clips), start=1):  # noqa: B007 - counts
            moments.require(unfit(reviewed))
            _put(folder / f"{names.give(reviewed.clip.name)}.xml", reviewed)
    return count


def read_cvat(path: Path) -> Iterator[ReviewedClip]:
    """Clips of an XML file, or of all XML files in a folder, all without media; see `cvat_reading`."""
    from workbench.exports.cvat_reading import read_files

    return read_files(path)


def _write_one(clips: Iterable[ReviewedClip], out: Path) -> int:
    count = 0
    with replacing(out) as temporary:
        for count, reviewed in enumerate(clips, start=1):
            if count > 1:
                raise FormatError(f"{out.name} can hold one clip only; name a folder, or one clip with --clip.")
            moments.require(unfit(reviewed))
            _put(temporary, reviewed)
        if not count:
            raise FormatError("There is no clip to write; analyse or import one first.")
    return count


def _said(reviewed: ReviewedClip) -> list[Any]:
    kinds: list[Any] = [item.instance.category for item in reviewed.instances]
    words = [tracks.attributes_to(item) for item in reviewed.instances]
    return [moments.clip_to(reviewed), *map(moments.event_to, reviewed.events), *kinds, *words]


def _strings(value: Any) -> Iterator[str]:
    """All texts anywhere in objects and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _put(path: Path, reviewed: ReviewedClip) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(_parts(reviewed))


def _parts(reviewed: ReviewedClip) -> Iterator[str]:
    """The text of a file, a piece at a time."""
    yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
    yield from _meta(reviewed)
    number = 0
    for event in reviewed.events:
        for text in _event_tracks(event, reviewed, number):
            yield text
            number += 1
    for group, item in enumerate(reviewed.instances, start=1):
        for text in _instance_tracks(item, reviewed, number, group):
            yield text
            number += 1
    yield "</annotations>\n"


def _meta(reviewed: ReviewedClip) -> Iterator[str]:
    clip = reviewed.clip
    yield f"  <meta>\n    <task>\n      {_element('name', clip.name)}      {_element('size', clip.n_frames)}"
    yield "      <mode>interpolation</mode>\n      <overlap>0</overlap>\n      <flipped>False</flipped>\n"
    yield "      <labels>\n"
    labels: dict[str, tuple[str, ...]] = {
        EVENT: (*EVENT_FIELDS, *TEXT_FIELDS, "fps"),
        CAPTION: (*CAPTION_FIELDS, "fps"),
    }
    for label in (*labels, *dict.fromkeys(item.instance.category for item in reviewed.instances)):
        if label not in (EVENT, CAPTION):
            labels[label] = INSTANCE_FIELDS
        elif any(item.instance.category == label for item in reviewed.instances):
            labels[label] = tuple(dict.fromkeys((*labels[label], *INSTANCE_FIELDS)))
    for label, names in labels.items():
        yield f"        <label>\n          {_element('name', label)}          <attributes>\n"
        for name in names:
            yield _attribute_kind(name, str(clip.fps) if name == "fps" else "")
        yield "          </attributes>\n        </label>\n"
    yield f"      </labels>\n      <original_size>\n        {_element('width', clip.width)}"
    yield f"        {_element('height', clip.height)}      </original_size>\n    </task>\n    <workbench>\n"
    document = moments.clip_to(reviewed)
    for name in META_FIELDS:
        if document[name] not in (None, ""):
            yield f"      {_element(name, document[name])}"
    if reviewed.label is not None:
        said = "".join(_element("name", name).strip() for name in reviewed.label)
        yield f"      <categories>{said}</categories>\n"  # not <label>: readers look for those anywhere
    yield "    </workbench>\n  </meta>\n"


def _attribute_kind(name: str, default: str) -> str:
    kind, values = ("select", "\n".join(ROLES)) if name == "role" else ("text", "")
    rows = [("name", name), ("mutable", "False"), ("input_type", kind)]
    rows += [("default_value", "object" if name == "role" else default), ("values", values)]
    body = "".join(f"              {_element(*row)}" for row in rows)
    return f"            <attribute>\n{body}            </attribute>\n"


def _event_tracks(event: ReviewedEvent, reviewed: ReviewedClip, number: int) -> Iterator[str]:
    document = moments.event_to(event)
    said = {name: document[name] for name in (*EVENT_FIELDS, *TEXT_FIELDS)}
    yield _whole_picture(EVENT, said, reviewed, number)
    for k, part in enumerate(document["clips"], start=1):
        yield _whole_picture(CAPTION, {**part, "event": event.id}, reviewed, number + k)


def _whole_picture(label: str, said: dict[str, Any], reviewed: ReviewedClip, number: int) -> str:
    clip = reviewed.clip
    assert clip.n_frames
    first, last = moments.frames_of(said["start_s"], said["end_s"], clip)
    place = f'xtl="0.0" ytl="0.0" xbr="{float(clip.width or 0)}" ybr="{float(clip.height or 0)}"'
    attributes = _attributes({**said, "fps": clip.fps})
    shapes = [_shape("box", first, place, attributes)]
    if last > first:
        shapes.append(_shape("box", last, place, attributes))
    if last + 1 < clip.n_frames:
        shapes.append(_shape("box", last + 1, place, attributes, outside=True))
    return _track(label, number, 0, shapes)


def _instance_tracks(item: ReviewedInstance, reviewed: ReviewedClip, number: int, group: int) -> Iterator[str]:
    """A track of all boxes, if there are any, then one of each mask."""
    instance, end = item.instance, reviewed.clip.n_frames or 0
    attributes = _attributes(tracks.attributes_to(item))
    shapes = []
    for frame, box in sorted(instance.boxes_xyxy.items()):
        x0, y0, x1, y1 = (float(side) for side in box)
        place = f'xtl="{x0!r}" ytl="{y0!r}" xbr="{x1!r}" ybr="{y1!r}"'
        shapes.append(_shape("box", frame, place, attributes))
        if frame + 1 not in instance.boxes_xyxy and frame + 1 < end:
            shapes.append(_shape("box", frame + 1, place, attributes, outside=True))
    if shapes:
        yield _track(instance.category, number, group, shapes)
        number += 1
    for frame, mask in sorted(instance.masks_rle.items()):
        rle = _mask_place(mask)
        if rle is None:
            continue
        shapes = [_shape("mask", frame, rle, attributes)]
        if frame + 1 < end:
            shapes.append(_shape("mask", frame + 1, rle, attributes, outside=True))
        yield _track(instance.category, number, group, shapes)
        number += 1


def _mask_place(mask: MaskRLE) -> str | None:
    """A mask as CVAT's run lengths: row by row inside its box, beginning with what is outside; None: no pixel."""
    picture = decode_rle(mask)
    box = mask_box(picture)
    if box is None:
        return None
    left, top, right, bottom = (int(side) for side in box)
    flat = picture[top:bottom, left:right].ravel()
    ends = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    runs = np.diff([0, *ends.tolist(), len(flat)]).tolist()
    counts = ", ".join(str(run) for run in ([0, *runs] if flat[0] else runs))
    return f'rle="{counts}" left="{left}" top="{top}" width="{right - left}" height="{bottom - top}"'


def _track(label: str, number: int, group: int, shapes: list[str]) -> str:
    head = f'id="{number}" label={quoteattr(label)} source="manual"' + (f' group_id="{group}"' if group else "")
    return f"  <track {head}>\n{''.join(shapes)}  </track>\n"


def _shape(kind: str, frame: int, place: str, attributes: str, *, outside: bool = False) -> str:
    flags = f'frame="{frame}" keyframe="1" outside="{int(outside)}" occluded="0"'
    return f'    <{kind} {flags} {place} z_order="0">\n{attributes}    </{kind}>\n'


def _attributes(said: dict[str, Any]) -> str:
    return "".join(
        f"      <attribute name={quoteattr(name)}>{_escaped(value)}</attribute>\n"
        for name, value in said.items()
        if value not in (None, "")
    )


def _element(name: str, value: object) -> str:
    return f"<{name}>{_escaped(value)}</{name}>\n"


def _escaped(value: object) -> str:
    # A parser turns a bare carriage return into a line feed (XML 1.0, 2.11).
    return escape(repr(value) if isinstance(value, float) else str(value), {"\r": "&#13;"})
