"""Scenes as files: `clips/NAME.mp4` and `truth/NAME.json`, which `--data DIR` reads."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from pycocotools import mask as coco

from workbench.errors import InputError
from workbench.h264 import SAME_BYTES

from .scene import Scene, sample_scene
from .truth import SceneTruth, truth_to_json

OTHER_STRIDE = 8  # masks of entities outside events are kept every 8th frame
Rle = dict[str, object]


def encode_mask(mask: np.ndarray) -> Rle:
    """A bool mask [H, W] as COCO RLE with ASCII counts."""
    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(v) for v in rle["size"]], "counts": rle["counts"].decode("ascii")}


def frame_masks(truth: SceneTruth, i: int) -> list[int]:
    """Ids of the entities whose mask of frame `i` belongs into the truth file."""
    wanted = {e for event in truth.events if event.start_frame <= i < event.end_frame for e in event.entity_ids}
    if i % OTHER_STRIDE == 0:
        wanted |= {entity.id for entity in truth.entities}
    return sorted(wanted)


def write_scene(scene: Scene, out_dir: str | Path, *, crf: int = 23) -> Path:
    """Write the clip (h264, yuv420p, exact frame rate) and its truth with masks; returns the path of the clip."""
    out = Path(out_dir)
    for folder in ("clips", "truth"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    clip = out / "clips" / f"{scene.truth.name}.mp4"
    masks: dict[int, dict[int, Rle]] = {}
    width, height = scene.size
    with av.open(str(clip), "w") as container:
        options = {"crf": str(crf), "preset": "veryfast", **SAME_BYTES}
        stream = container.add_stream("libx264", rate=Fraction(scene.fps), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(scene.n_frames):
            rgb, ids = scene.render(i)
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")):
                container.mux(packet)
            for entity in frame_masks(scene.truth, i):
                mask = ids == entity
                if mask.any():
                    masks.setdefault(entity, {})[i] = encode_mask(mask)
        for packet in stream.encode():
            container.mux(packet)
    text = truth_to_json(scene.truth, masks)
    (out / "truth" / f"{scene.truth.name}.json").write_text(text, encoding="utf-8")
    return clip


def write_world(
    out_dir: str | Path,
    clips: int,
    seed: int = 0,
    *,
    seconds: tuple[float, float] = (6, 12),
    size: tuple[int, int] = (320, 240),
    category: str | None = None,
    view: str | None = None,
    wide: bool = False,
    rich: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write `clips` scenes with seeds `seed`, `seed + 1`, …; `progress(done, total)` after each. Returns the clips.

    The other options are those of `sample_scene`.
    """
    if clips < 1:
        raise InputError(f"{clips} clips were asked for; ask for 1 or more.")
    if seed < 0:
        raise InputError(f"The seed is {seed}; give a whole number from 0.")
    if size[0] % 2 or size[1] % 2:
        raise InputError(f"The size {size[0]}x{size[1]} is odd, which h264 cannot hold; use even numbers.")
    paths = []
    for k in range(clips):
        scene = sample_scene(seed + k, category=category, view=view, seconds=seconds, size=size, wide=wide, rich=rich)
        paths.append(write_scene(scene, out_dir))
        if progress is not None:
            progress(k + 1, clips)
    return paths
