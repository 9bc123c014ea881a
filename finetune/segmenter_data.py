"""Training samples of the segmenter: a cache of rendered frames, and views cut from it with prompts and targets.

Rendering is quick but not free, and every frame is used many times: short sequences of many scenes are drawn once
into a memory-mapped file. Sampling is by step number, so a resumed run sees what an uninterrupted one would have
seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from finetune.world import decode_jpeg
from workbench.errors import DataError
from workbench.stack.segmenter_view import View, box_of, cut

MIN_AREA_PX = 40
"""An object with fewer visible pixels is not prompted: its mask is mostly border."""


class SceneLike(Protocol):
    """What the recipe needs of a scene: `finetune.scenes.Scene`, or anything drawn in a test."""

    n_frames: int
    fps: Any

    def render(self, i: int) -> Any:
        """A frame with `rgb` uint8 `[H, W, 3]` and `ids` uint8 `[H, W]` (0 background, else the visible entity)."""


@dataclass(frozen=True)
class FrameCache:
    """Sequences of rendered frames: `rgb` uint8 `[N, L, H, W, 3]` and `ids` uint8 `[N, L, H, W]`."""

    rgb: np.ndarray
    ids: np.ndarray

    @classmethod
    def open(cls, folder: Path) -> FrameCache:
        path = folder / "cache.json"
        if not path.is_file():
            raise DataError(f"{folder} holds no frame cache; build it with FrameCache.build.")
        shape = tuple(json.loads(path.read_text(encoding="utf-8"))["shape"])
        rgb = np.memmap(folder / "rgb.u8", np.uint8, "r", shape=(*shape, 3))
        return cls(rgb, np.memmap(folder / "ids.u8", np.uint8, "r", shape=shape))

    @classmethod
    def build(
        cls,
        folder: Path,
        make_scene: Callable[[int], SceneLike],
        seeds: Sequence[int],
        *,
        per_scene: int,
        length: int,
        progress: Callable[[float], None] | None = None,
    ) -> FrameCache:
        """Draw `per_scene` sequences of `length` frames, 1/12 to 1/5 s apart, of every seed; reuse a finished cache."""
        wanted = {"seeds": [int(seeds[0]), len(seeds)], "per_scene": per_scene, "length": length}
        done = folder / "cache.json"
        if done.is_file() and {k: v for k, v in json.loads(done.read_text()).items() if k != "shape"} == wanted:
            return cls.open(folder)
        folder.mkdir(parents=True, exist_ok=True)
        done.unlink(missing_ok=True)
        height, width = make_scene(int(seeds[0])).render(0).ids.shape
        shape = (len(seeds) * per_scene, length, height, width)
        rgb = np.memmap(folder / "rgb.u8", np.uint8, "w+", shape=(*shape, 3))
        ids = np.memmap(folder / "ids.u8", np.uint8, "w+", shape=shape)
        for n, seed in enumerate(seeds):
            scene, rng = make_scene(int(seed)), np.random.default_rng([int(seed), 7])
            for k in range(per_scene):
                _draw_sequence(scene, rng, rgb[n * per_scene + k], ids[n * per_scene + k])
            if progress is not None:
                progress((n + 1) / len(seeds))
        rgb.flush()
        ids.flush()
        done.write_text(json.dumps(wanted | {"shape": shape}), encoding="utf-8")
        return cls.open(folder)


def _draw_sequence(scene: SceneLike, rng: np.random.Generator, rgb: np.ndarray, ids: np.ndarray) -> None:
    """One sequence; the emptiest of three starts is never taken, since empty streets teach nothing."""
    length = len(rgb)
    stride = max(1, round(float(scene.fps) * rng.uniform(1 / 12, 1 / 5)))
    stride = max(1, min(stride, (scene.n_frames - 1) // max(length - 1, 1)))
    last = max(0, scene.n_frames - 1 - stride * (length - 1))
    starts = rng.integers(0, last + 1, 3)
    filled = [int((scene.render(int(s)).ids > 0).sum()) for s in starts]
    start = int(starts[int(rng.choice(np.argsort(filled)[1:]))])
    for t in range(length):
        frame = scene.render(min(start + t * stride, scene.n_frames - 1))
        rgb[t], ids[t] = frame.rgb, frame.ids


def visible_ids(ids: np.ndarray) -> np.ndarray:
    """Entities with enough visible pixels to be prompted."""
    counts = np.bincount(ids.ravel(), minlength=256)
    counts[0] = 0
    return np.flatnonzero(counts >= MIN_AREA_PX)


@dataclass(frozen=True)
class PictureBatch:
    """B views, each with a box prompt and a click prompt (perhaps of another object): targets bool `[B, S, S]`.

    `things` marks every entity of the view, prompted or not.
    """

    images: np.ndarray
    boxes: np.ndarray
    box_targets: np.ndarray
    clicks: np.ndarray
    click_targets: np.ndarray
    things: np.ndarray


@dataclass(frozen=True)
class VideoBatch:
    """B sequences of T views that follow one object: images `[T, B, S, S, 3]`, targets bool `[T, B, S, S]`.

    The prompts lie on frame 0: boxes `[B, 2, 2]`, clicks `[B, 1, 2]`, both in input pixels.
    """

    images: np.ndarray
    targets: np.ndarray
    boxes: np.ndarray
    clicks: np.ndarray


def jittered_box(mask: np.ndarray, rng: np.random.Generator, noise: float = 0.1) -> np.ndarray:
    """The box of a mask as corners `[2, 2]`, each moved by up to `noise` of the box's extent (SAM2: 0.1, <= 20 px)."""
    x0, y0, x1, y1 = box_of(mask) or (0.0, 0.0, 1.0, 1.0)
    reach = np.minimum(np.array([x1 - x0, y1 - y0]) * noise, 20)
    return np.array([[x0, y0], [x1, y1]], np.float32) + rng.uniform(-1, 1, (2, 2)).astype(np.float32) * reach


def inner_point(mask: np.ndarray, rng: np.random.Generator, central: float = 0.5) -> np.ndarray:
    """A point `[1, 2]` on a mask, with probability `central` one of the farthest from its border."""
    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    least = 0.7 * depth.max() if rng.random() < central else 0.0
    rows, columns = np.nonzero((depth >= least) & mask)
    k = int(rng.integers(len(rows)))
    return np.array([[columns[k] + 0.5, rows[k] + 0.5]], np.float32)


def augment(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Camera differences for uint8 pictures `[..., 3]`, the same for all: gain, gamma, colour cast, grey, blur."""
    table = np.arange(256, dtype=np.float32) / 255
    gain, gamma = rng.uniform(0.8, 1.2, 3 if rng.random() < 0.3 else 1), np.exp(rng.uniform(-0.2, 0.2))
    lut = np.clip(table[:, None] ** gamma * gain + rng.uniform(-0.05, 0.05), 0, 1) * 255
    lut = np.broadcast_to(lut, (256, 3)).astype(np.uint8)
    out = np.stack([lut[images[..., c], c] for c in range(3)], -1)
    if rng.random() < 0.1:
        out[:] = out.mean(-1, keepdims=True).astype(np.uint8)
    if rng.random() < 0.15:
        out = out.reshape(-1, *images.shape[-3:])
        out = np.stack([cv2.GaussianBlur(p, (0, 0), 0.8) for p in out]).reshape(images.shape)
    return out


def compressed(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 frames `[..., H, W, 3]`, half the time as a camera's file would keep them: all at one JPEG quality.

    A cut-out is many times enlarged, and with it the blocks that compression leaves round a small object.
    """
    if rng.random() < 0.5:
        return frames
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 86))]
    flat = frames.reshape(-1, *frames.shape[-3:])
    kept = [decode_jpeg(cv2.imencode(".jpg", cv2.cvtColor(f, cv2.COLOR_RGB2BGR), quality)[1].tobytes()) for f in flat]
    return np.stack(kept).reshape(frames.shape)


class Sampler:
    """Draws batches from a cache; the batch of a step depends on the seed and the step alone."""

    def __init__(self, cache: FrameCache, size: int, seed: int) -> None:
        self.cache = cache
        self.size = size
        self.seed = seed

    def pictures(self, step: int, batch: int) -> PictureBatch:
        rng = np.random.default_rng([self.seed, 1, step])
        rows = [self._picture(rng) for _ in range(batch)]
        return PictureBatch(*(np.stack(column) for column in zip(*rows, strict=True)))

    def _picture(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        while True:
            n, t = int(rng.integers(self.cache.rgb.shape[0])), int(rng.integers(self.cache.rgb.shape[1]))
            present = visible_ids(self.cache.ids[n, t])
            if present.size == 0:
                continue
            entity = rng.choice(present)
            view = self._picture_view(self.cache.ids[n, t] == entity, rng)
            ids = _cut_ids(self.cache.ids[n, t], view, self.size)
            inside = visible_ids(ids)
            if inside.size == 0:
                continue
            rgb = cut(compressed(self.cache.rgb[n, t], rng), view, self.size)
            if rng.random() < 0.5:
                rgb, ids = rgb[:, ::-1], ids[:, ::-1]
            # mostly the object that the view was made for, as in use; sometimes any other, so that prompts matter
            asked = [entity if entity in inside and rng.random() < 0.75 else rng.choice(inside) for _ in range(2)]
            first, second = ids == asked[0], ids == asked[1]
            image = augment(rgb, rng)
            return image, jittered_box(first, rng), first, inner_point(second, rng), second, ids > 0

    def _picture_view(self, mask: np.ndarray, rng: np.random.Generator) -> View:
        """Mostly around the object at the size `mask()` looks at it, else at the size of a lone click's first view."""
        x0, y0, x1, y1 = box_of(mask) or (0.0, 0.0, 1.0, 1.0)
        extent = max(x1 - x0, y1 - y0)
        if rng.random() < 0.7:
            side = max(extent * float(np.exp(rng.uniform(np.log(1.6), np.log(2.4)))), 30.0)
        else:
            side = max(float(rng.uniform(0.3, 0.6)) * min(mask.shape), 1.2 * extent)
        spread = 0.05 * side
        center = ((x0 + x1) / 2 + rng.uniform(-spread, spread), (y0 + y1) / 2 + rng.uniform(-spread, spread))
        return View.square(center, side)

    def videos(self, step: int, batch: int, length: int) -> VideoBatch:
        rng = np.random.default_rng([self.seed, 2, step])
        rows = [self._video(rng, length) for _ in range(batch)]
        images, targets, boxes, clicks = (np.stack(column) for column in zip(*rows, strict=True))
        return VideoBatch(images.swapaxes(0, 1), targets.swapaxes(0, 1), boxes, clicks)

    def _video(self, rng: np.random.Generator, length: int) -> tuple[np.ndarray, ...]:
        while True:
            n = int(rng.integers(self.cache.rgb.shape[0]))
            order = np.arange(length) + int(rng.integers(self.cache.rgb.shape[1] - length + 1))
            if rng.random() < 0.5:
                order = order[::-1]
            present = visible_ids(self.cache.ids[n, order[0]])
            if present.size == 0:
                continue
            entity = int(rng.choice(present))
            views = self._follow(self.cache.ids[n, order] == entity, rng)
            frames = compressed(self.cache.rgb[n, order], rng)
            images = np.stack([cut(frame, v, self.size) for frame, v in zip(frames, views, strict=True)])
            targets = np.stack(
                [_cut_ids(self.cache.ids[n, t], v, self.size) == entity for t, v in zip(order, views, strict=True)]
            )
            if not targets[0].any():
                continue
            if rng.random() < 0.5:
                images, targets = images[:, :, ::-1], targets[:, :, ::-1]
            return augment(images, rng), targets, jittered_box(targets[0], rng), inner_point(targets[0], rng)

    def _follow(self, masks: np.ndarray, rng: np.random.Generator) -> list[View]:
        """Views as a tracker would choose them: behind by one frame, off by a little, at a slowly changing size."""
        factor = float(np.exp(rng.uniform(np.log(1.8), np.log(3.0))))
        box = box_of(masks[0])
        assert box is not None
        views = [View.around(box, factor, 30)]
        side = float(views[0].width)
        for mask in masks[:-1]:
            box = box_of(mask) or box
            center = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]) + rng.normal(0, 0.05, 2) * side
            side *= float(np.exp(rng.normal(0, 0.03)))
            views.append(View.square((float(center[0]), float(center[1])), side))
        return views


def _cut_ids(ids: np.ndarray, view: View, size: int) -> np.ndarray:
    """The view of an id map: nearest pixel, nothing outside the picture."""
    columns = np.floor(view.x0 + (np.arange(size) + 0.5) * view.width / size).astype(int)
    rows = np.floor(view.y0 + (np.arange(size) + 0.5) * view.height / size).astype(int)
    inside = ((rows >= 0) & (rows < ids.shape[0]))[:, None] & ((columns >= 0) & (columns < ids.shape[1]))
    taken = ids[np.clip(rows, 0, ids.shape[0] - 1)][:, np.clip(columns, 0, ids.shape[1] - 1)]
    return np.where(inside, taken, 0).astype(np.uint8)
