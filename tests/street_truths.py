"""Two hundred clips of the street world as records: what is true of them, drawn once and kept in a file.

Planning a scene draws it, which takes about a second; `python -m tests.street_truths` makes the file anew.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.masks import decode_rle, mask_box
from workbench.records import (
    CaptionedClip,
    ClipRecord,
    Instance,
    MaskRLE,
    Provenance,
    ReviewedClip,
    ReviewedEvent,
    ReviewedInstance,
    Texts,
)

FILE = Path(__file__).parent / "data" / "street200.jsonl.gz"
COUNT, SEED, STRIDE = 200, 860_000, 8  # masks of every eighth frame


def street_clips(format_name: str) -> Iterator[ReviewedClip]:
    """The clips as an import by `format_name` would make them: without media, all ids as formats number them."""
    with gzip.open(FILE, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield clip_of(json.loads(line), Provenance("import", format_name))


def clip_of(truth: dict[str, Any], made_by: Provenance) -> ReviewedClip:
    """One line of the file."""
    fps = float(truth["fps"])
    clip = ClipRecord(
        id=0,
        name=truth["name"],
        n_frames=truth["n_frames"],
        fps=fps,
        duration_s=truth["n_frames"] / fps,
        width=truth["width"],
        height=truth["height"],
    )
    events = tuple(_event(truth, i, made_by) for i in range(len(truth["events"])))
    blank = ReviewedClip(clip, "main", 0, "new", None, Texts(), (), (), (), (), made_by)
    return replace(
        blank,
        label=(truth["category"],) if truth["label"] else (),
        texts=_texts(truth["video"]),
        events=events,
        instances=tuple(_instances(truth, made_by)),
    )


def _texts(said: dict[str, Any]) -> Texts:
    return Texts(said["judgement"], said["description"], said["analysis"])


def _event(truth: dict[str, Any], number: int, made_by: Provenance) -> ReviewedEvent:
    event, fps = truth["events"][number], truth["fps"]
    first, end = event["start_frame"], event["end_frame"]
    inside = [c for c in truth["clips"] if c["start_frame"] < end and c["end_frame"] > first]
    parts = tuple(
        CaptionedClip(
            f"E{number}C{k}",
            max(part["start_frame"], first) / fps,
            min(part["end_frame"], end) / fps,
            part["caption"],
            made_by,
        )
        for k, part in enumerate(inside)
    )
    return ReviewedEvent(
        f"E{number}", first / fps, end / fps, None, None, event["category"], _texts(event), parts, made_by
    )


def _instances(truth: dict[str, Any], made_by: Provenance) -> Iterator[ReviewedInstance]:
    seen = [entity for entity in truth["entities"] if truth["masks"].get(str(entity["id"]))]
    for place, entity in enumerate(seen):
        masks = {int(frame): MaskRLE(**mask) for frame, mask in truth["masks"][str(entity["id"])].items()}
        boxes = {frame: mask_box(decode_rle(mask)) for frame, mask in masks.items()}
        instance = Instance(
            id=entity["id"],
            role=entity["role"],
            category=entity["kind"],
            appearance=entity["appearance"],
            motion=entity["motion"],
            first_frame=min(masks),
            last_frame=max(masks),
            boxes_xyxy={frame: box for frame, box in boxes.items() if box is not None},
            masks_rle=masks,
        )
        owner = next((f"E{i}" for i, e in enumerate(truth["events"]) if entity["id"] in e["entity_ids"]), None)
        yield ReviewedInstance(f"I{place}", instance, owner, made_by)


def draw(out: Path) -> None:
    """Plan the scenes and write what is true of them."""
    from finetune.scenes.scene import sample_scene
    from finetune.scenes.truth import truth_to_json
    from finetune.scenes.write import encode_mask

    with gzip.GzipFile(out, "wb", 9, mtime=0) as file:
        for k in range(COUNT):
            scene = sample_scene(SEED + k, seconds=(3, 5), size=(160, 120))
            masks: dict[int, dict[int, Any]] = {}
            for frame in range(0, scene.n_frames, STRIDE):
                ids = scene.render(frame).ids
                for entity in scene.truth.entities:
                    if (ids == entity.id).any():
                        masks.setdefault(entity.id, {})[frame] = encode_mask(ids == entity.id)
            file.write((truth_to_json(scene.truth, masks) + "\n").encode())


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
