"""How well a segmenter answers boxes and clicks, and how well it follows, on scenes whose truth is known."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from finetune.segmenter_data import SceneLike, inner_point, visible_ids
from workbench.stack.segmenter import Prompt, Segmenter
from workbench.stack.segmenter_view import box_of

WINDOW = 24
"""Frames of a tracked window."""


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two bool masks; 1 when both are empty."""
    either = int((a | b).sum())
    return float((a & b).sum() / either) if either else 1.0


def evaluate(
    segmenter: Segmenter, scenes: Iterable[SceneLike], *, per_scene: int = 4, seed: int = 0
) -> dict[str, float]:
    """Mean IoU in [0, 1]: `mask_iou_box`, `mask_iou_click` (one click), `track_iou`; how many as `…_n`.

    Every scene gives `per_scene` prompted objects (tight box; a click in the middle of the mask) and one window of
    up to 24 frames, about 1/8 s apart, in which up to two objects are followed from boxes on the middle frame. A
    track's IoU is the mean over the frames in which the object is visible or wrongly seen, the prompted frame left
    out.
    """
    rows: dict[str, list[float]] = {"mask_iou_box": [], "mask_iou_click": [], "track_iou": []}
    for n, scene in enumerate(scenes):
        rng = np.random.default_rng([seed, n])
        for _ in range(per_scene):
            frame = scene.render(int(rng.integers(scene.n_frames)))
            present = visible_ids(frame.ids)
            if present.size:
                truth = frame.ids == rng.choice(present)
                rows["mask_iou_box"].append(iou(segmenter.mask(frame.rgb, box=box_of(truth))[0], truth))
                click = inner_point(truth, rng, central=1.0)[0]
                mask, _ = segmenter.mask(frame.rgb, points=[(float(click[0]), float(click[1]))])
                rows["mask_iou_click"].append(iou(mask, truth))
        rows["track_iou"] += track_ious(segmenter, scene, rng)
    means = {name: float(np.mean(values)) if values else float("nan") for name, values in rows.items()}
    return means | {f"{name}_n": float(len(values)) for name, values in rows.items()}


def track_ious(segmenter: Segmenter, scene: SceneLike, rng: np.random.Generator) -> list[float]:
    """The IoU of up to two tracks through one window of a scene."""
    stride = max(1, round(float(scene.fps) / 8))
    span = min(WINDOW, 1 + (scene.n_frames - 1) // stride)
    start = int(rng.integers(scene.n_frames - stride * (span - 1)))
    frames = {start + k * stride: scene.render(start + k * stride) for k in range(span)}
    middle = start + (span // 2) * stride
    present = visible_ids(frames[middle].ids)
    chosen = rng.permutation(present)[:2]
    if chosen.size == 0:
        return []
    prompts = [Prompt(int(i), middle, box=box_of(frames[middle].ids == i)) for i in chosen]
    scores: dict[int, list[float]] = {int(i): [] for i in chosen}
    for index, masks in segmenter.track([(i, f.rgb) for i, f in frames.items()], prompts):
        for instance_id, mask in masks.items():
            truth = frames[index].ids == instance_id
            if index != middle and (truth.any() or mask.any()):
                scores[instance_id].append(iou(mask, truth))
    return [float(np.mean(values)) for values in scores.values() if values]
