"""Instance-aligned captions (IAC 3.2), a JSON file a dataset: who did what to whom, and where.

    {"format": "instance-aligned-captions", "version": 1, "dataset": "ucf-crime", "videos": [
        {"name": "Robbery048_x264", "n_frames": 1500, "fps": 30.0, "width": 320, "height": 240, "label": ["Robbery"],
         "reference_caption": "…",                                             stage 1: the video as a whole
         "events": [{"id": "E0", "start_s": 5.5, "end_s": 8.0, "category": "Robbery", …}],
         "instances": [{"number": 1, "role": "perpetrator", "category": "person", "event": "E0",   stage 2
             "appearance": "…", "motion": "…",                                 stage 4: what is said of this instance
             "first_frame": 165, "last_frame": 240, "boxes_xyxy": {"165": [x0, y0, x1, y1]},
             "masks": {"165": {"size": [height, width], "counts": "COCO run lengths"}}}]}]}        stage 3

The paper publishes what is annotated and in which stages, not a file layout; names of fields are the workbench's.
Roles are perpetrator and victim (or target) as there, and bystander and object besides. The dataset of a clip is the
first folder of its `origin`.

What it cannot hold: the dialogue, questions, who wrote what, review states and verdicts, thresholds, path and content
hash of the video; two clips of one name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from workbench.errors import FormatError
from workbench.exports import drafts, fields, moments, tracks
from workbench.exports.writing import FileNames, JsonLists, distinct, new_folder
from workbench.files import replacing
from workbench.records import Box, ClipRecord, ReviewedClip, ReviewedInstance

FORMAT = "iac"
KIND = "instance-aligned-captions"
VERSION = 1
_MOST_DIGITS = 12  # of the number of a frame
_NO_DATASET = "clips"  # file name for clips that are of no dataset


def unfit(reviewed: ReviewedClip) -> str | None:
    """Why a clip cannot be written in this format, None when it can."""
    return moments.lacking(reviewed)


def write_iac(clips: Iterable[ReviewedClip], out: Path) -> int:
    """Write a file a dataset into the folder `out`, or one file if `out` ends in .json. → how many clips.

    Raises:
        FormatError: a clip does not fit, two have one name, or `out` is one file and the clips are of two datasets.
    """
    one_file = out.suffix.lower() == ".json"
    count = 0
    with ExitStack() as stack:
        lists: dict[str | None, JsonLists] = {}
        for count, reviewed in enumerate(distinct(clips), start=1):  # noqa: B007 - counts
            moments.require(unfit(reviewed))
            dataset = dataset_of(reviewed.clip)
            if one_file and lists and dataset not in lists:
                raise FormatError(
                    f"{out.name} can hold one dataset only, but {reviewed.clip.name} is of another; name a folder."
                )
            if dataset not in lists:
                lists[dataset] = stack.enter_context(JsonLists("videos"))
            lists[dataset].add("videos", to_document(reviewed))
        if one_file:
            lists = lists or {None: stack.enter_context(JsonLists("videos"))}
            _write(out, *next(iter(lists.items())))
        else:
            names = FileNames()
            with new_folder(out) as folder:
                for dataset, videos in lists.items():
                    _write(folder / f"{names.give(dataset or _NO_DATASET)}.json", dataset, videos)
    return count


def read_iac(path: Path) -> Iterator[ReviewedClip]:
    """Clips of a file, or of all .json files in a folder, all without media.

    Raises:
        FormatError: a file is not of this format, or says what cannot be; the sentence names video and field.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise FormatError(f"The folder {path} holds no .json file; name one with instance-aligned captions.")
    for file in files:
        document = fields.mapping(drafts.parse(drafts.read_text(file), str(file)), str(file))
        if document.get("format") != KIND or document.get("version") != VERSION:
            raise FormatError(
                f"{file} is not a file of instance-aligned captions of version {VERSION} (its format is "
                f"{document.get('format')!r:.40}, its version {document.get('version')!r:.20}); name another."
            )
        for i, video in enumerate(fields.items(document, "videos", str(file))):
            yield from_document(video, f"{file}: video {i}")


def dataset_of(clip: ClipRecord) -> str | None:
    """The dataset that a clip came from: the first folder of its path inside it, None where there is none."""
    parts = PurePosixPath(clip.origin or "").parts
    return parts[0] if len(parts) > 1 and parts[0] not in ("videos", "/", "..", ".") else None


def to_document(reviewed: ReviewedClip) -> dict[str, Any]:
    """One video as the format has it."""
    said = moments.clip_to(reviewed)
    del said["summary"]
    return {
        **said,
        "reference_caption": drafts.full_summary(reviewed.texts),
        "events": [moments.event_to(event) for event in reviewed.events],
        "instances": [_instance_to(item) for item in reviewed.instances],
    }


def from_document(value: Any, where: str) -> ReviewedClip:
    """One video as records. Raises FormatError when it says what cannot be."""
    document = fields.mapping(value, where)
    name = fields.text(document.get("name"), f"{where}: name")
    reviewed = moments.clip_from(document, FORMAT, f"{where} ({name})")
    caption = drafts.text_or_none(document.get("reference_caption"), f"{where} ({name}): reference_caption") or ""
    reviewed = replace(reviewed, texts=drafts.shorten(reviewed.texts, caption))
    reviewed = moments.events_from(fields.items(document, "events", where), reviewed, f"{where} ({name})")
    found = [
        _track(item, i, reviewed, f"{where} ({name}), instance {i}")
        for i, item in enumerate(fields.items(document, "instances", where))
    ]
    return replace(reviewed, instances=tracks.finish_all(found, reviewed, f"{where} ({name})"))


def _write(path: Path, dataset: str | None, videos: JsonLists) -> None:
    with replacing(path) as temporary:
        videos.write(temporary, {"format": KIND, "version": VERSION, "dataset": dataset})


def _instance_to(item: ReviewedInstance) -> dict[str, Any]:
    instance = item.instance
    return {
        **tracks.attributes_to(item),
        "category": instance.category,
        "boxes_xyxy": {str(frame): [float(side) for side in box] for frame, box in instance.boxes_xyxy.items()},
        "masks": {str(frame): dict(mask) for frame, mask in instance.masks_rle.items()},
    }


def _track(value: Any, position: int, reviewed: ReviewedClip, where: str) -> tracks.Track:
    document = fields.mapping(value, where)
    category = fields.text(document.get("category"), f"{where}: category")
    track = tracks.Track(position + 1, category, document, where)
    for text, box in _frames(document, "boxes_xyxy", where):
        track.see(int(text), _box(box, f"{where}: box of frame {text}"), None)
    clip = reviewed.clip
    for text, mask in _frames(document, "masks", where):
        if clip.height is None or clip.width is None:
            raise FormatError(f"{where} has masks, but the video no width and height; add them.")
        track.see(int(text), None, tracks.mask_from(mask, clip.height, clip.width, f"{where}: mask of frame {text}"))
    return track


def _frames(document: dict[str, Any], name: str, where: str) -> Iterator[tuple[str, Any]]:
    for text, value in fields.mapping(document.get(name, {}), f"{where}: {name}").items():
        if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
            raise FormatError(f"{where}: {name} must be by number of frame, not {text!r:.40}.")
        yield text, value


def _box(values: Any, where: str) -> Box:
    if not isinstance(values, list) or len(values) != 4:
        raise FormatError(f"{where} must be [x0, y0, x1, y1] in pixels, not {values!r:.60}.")
    x0, y0, x1, y1 = (fields.number(value, where) for value in values)
    if x1 < x0 or y1 < y0:
        raise FormatError(f"{where} ends before it starts: {values!r:.80}.")
    return x0, y0, x1, y1
