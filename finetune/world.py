"""The street world on disk, as training wants it: dense frames, patch targets, texts, and views of instances.

A clip is rendered once at the frames the analysis would score (`dense_stride`), kept as JPEG (small, and it brings
compression into the training pictures) and read back by index. Nothing here is needed at run time.
"""

from __future__ import annotations

import functools
import itertools
import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from finetune.parent import end_with_parent
from finetune.scenes import Scene, sample_scene
from finetune.scenes.truth import truth_to_json
from workbench.errors import DataError
from workbench.video import dense_stride
from workbench.views import close_up, highlight, pick_views

PATCH_PX = 14
VISIBLE_SHARE = 0.12
"""A patch belongs to the entity that covers most of it, if it covers at least this share."""


@dataclass(frozen=True, slots=True)
class CachedClip:
    """One clip of the cache. `T` dense frames, a `G`×`G` patch grid.

    Attributes:
        truth: the scene's ground truth as plain JSON.
        frame_index, time_s: `[T]`. label: `uint8 [T]`, 1 inside an event.
        owner: `uint8 [T, G, G]`, the entity a patch belongs to, 0 for background.
        heat: `uint8 [T, G, G]`, how much of a patch entities of a running event cover, 255 = all.
        views: for each instance question, entity id → JPEG views (wide ones first).
    """

    truth: dict
    frame_index: np.ndarray
    time_s: np.ndarray
    label: np.ndarray
    owner: np.ndarray
    heat: np.ndarray
    jpegs: list[bytes]
    views: dict[int, list[bytes]]

    def frame(self, i: int) -> np.ndarray:
        """The `i`-th dense frame, `uint8 [S, S, 3]` RGB."""
        return decode_jpeg(self.jpegs[i])


def decode_jpeg(data: bytes) -> np.ndarray:
    """JPEG bytes → `uint8 [H, W, 3]` RGB."""
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise DataError(f"A cached picture of {len(data)} bytes is not a JPEG; delete the cache and render it again.")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def _encode_jpeg(rgb: np.ndarray, size: int, quality: int) -> bytes:
    small = cv2.resize(rgb, (size, size), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[
        1
    ].tobytes()


def patch_targets(ids: np.ndarray, hot: set[int], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Entity ids `uint8 [H, W]` → (owner, heat) of the patch grid, both `uint8 [G, G]`."""
    grid = size // PATCH_PX
    square = cv2.resize(ids, (size, size), interpolation=cv2.INTER_NEAREST)
    present = np.flatnonzero(np.bincount(square.ravel(), minlength=256))
    present = present[present > 0]
    owner, best = np.zeros((grid, grid), np.uint8), np.full((grid, grid), VISIBLE_SHARE)
    heat = np.zeros((grid, grid))
    for entity in present:
        share = (square == entity).reshape(grid, PATCH_PX, grid, PATCH_PX).mean((1, 3))
        owner[share > best] = entity
        best = np.maximum(best, share)
        if int(entity) in hot:
            heat += share
    return owner, (heat * 255).astype(np.uint8)


def _running_entities(scene: Scene, frame: int) -> set[int]:
    return {e for event in scene.truth.events if event.start_frame <= frame < event.end_frame for e in event.entity_ids}


def _instance_views(scene: Scene, size: int, quality: int) -> dict[int, list[bytes]]:
    """Views of every entity of an event, and of one bystander, so that roles can be told apart."""
    views: dict[int, list[bytes]] = {}
    involved = {e for event in scene.truth.events for e in event.entity_ids}
    others = [e.id for e in scene.truth.entities if e.id not in involved][:1]
    for event_entity in sorted(involved) + others:
        spans = [(e.start_frame, e.end_frame) for e in scene.truth.events if event_entity in e.entity_ids]
        start, end = spans[0] if spans else (0, scene.n_frames)
        candidates = np.unique(np.linspace(start, end - 1, 9).astype(int))
        rendered = {int(i): scene.render(int(i)) for i in candidates}
        visible = [i for i, picture in rendered.items() if (picture.ids == event_entity).sum() >= 30]
        if not visible:
            continue
        wide, close = pick_views(visible)
        pictures = [highlight(rendered[i].rgb, rendered[i].ids == event_entity) for i in wide]
        pictures += [close_up(rendered[i].rgb, rendered[i].ids == event_entity) for i in close]
        views[event_entity] = [_encode_jpeg(picture, size, quality) for picture in pictures]
    return views


def _some_frames(scene: Scene, rng: np.random.Generator, count: int) -> np.ndarray:
    """`count` frames of a scene in order, half of them (where there are any) from inside an event."""
    label = np.asarray(scene.truth.frame_label).astype(bool)
    inside = np.flatnonzero(label)
    hot = rng.choice(inside, min(count // 2, len(inside)), replace=False)
    others = np.setdiff1d(np.arange(scene.n_frames), hot)
    return np.sort(np.concatenate([hot, rng.choice(others, min(count - len(hot), len(others)), replace=False)]))


def build_clip(
    path: Path, seed: int, frames: int | None = None, size: int = 224, wide: bool = False, rich: bool = False
) -> None:
    """Render scene `seed` and write it to `path` (replaced atomically).

    Args:
        frames: so many of its frames, without views of instances; if None, all that the analysis would score.
        wide: draw views of other benchmark families too. rich: more kinds of events, and more of normal life.
    """
    scene = sample_scene(seed, wide=wide, rich=rich)
    rng = np.random.default_rng((seed, 1))
    quality = int(rng.integers(45, 96))
    if frames is None:
        indices = np.arange(0, scene.n_frames, dense_stride(scene.n_frames))
    else:
        indices = _some_frames(scene, rng, frames)
    owners, heats, jpegs = [], [], []
    for i in indices:
        picture = scene.render(int(i))
        owner, heat = patch_targets(picture.ids, _running_entities(scene, int(i)), size)
        owners.append(owner)
        heats.append(heat)
        jpegs.append(_encode_jpeg(picture.rgb, size, quality))
    views = _instance_views(scene, size, quality) if frames is None else {}
    blobs = jpegs + [view for views_of in views.values() for view in views_of]
    arrays: dict[str, Any] = {
        "truth": np.frombuffer(truth_to_json(scene.truth, {}).encode(), np.uint8),
        "frame_index": indices,
        "time_s": indices / float(scene.fps),
        "label": np.asarray(scene.truth.frame_label)[indices].astype(np.uint8),
        "owner": np.stack(owners),
        "heat": np.stack(heats),
        "blob": np.frombuffer(b"".join(blobs), np.uint8),
        "blob_end": np.cumsum([len(b) for b in blobs]),
        "view_of": np.array([entity for entity, views_of in views.items() for _ in views_of], np.int64),
    }
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, **arrays)
    os.replace(partial, path)


def read_clip(path: Path) -> CachedClip:
    """Read one cached clip."""
    with np.load(path, allow_pickle=False) as arrays:
        ends = [0, *arrays["blob_end"].tolist()]
        data = arrays["blob"].tobytes()
        blobs = [data[a:b] for a, b in itertools.pairwise(ends)]
        n = len(arrays["frame_index"])
        views: dict[int, list[bytes]] = {}
        for entity, view in zip(arrays["view_of"].tolist(), blobs[n:], strict=True):
            views.setdefault(entity, []).append(view)
        return CachedClip(
            truth=json.loads(arrays["truth"].tobytes()),
            frame_index=arrays["frame_index"],
            time_s=arrays["time_s"],
            label=arrays["label"],
            owner=arrays["owner"],
            heat=arrays["heat"],
            jpegs=blobs[:n],
            views=views,
        )


@dataclass(frozen=True, slots=True)
class Scenes:
    """`clips` scenes of the street world, of seeds `seed … seed + clips - 1`.

    `wide`: mast, dashboard and all-round cameras are among the views. `rich`: the kinds of events of
    `finetune.scenes.rich`, and its normal life, are among what happens.
    """

    seed: int
    clips: int
    wide: bool = False
    rich: bool = False

    @property
    def seeds(self) -> range:
        """Of each scene."""
        return range(self.seed, self.seed + self.clips)

    def path(self, folder: Path, seed: int) -> Path:
        """Where the scene of a seed is cached; the same seed gives another scene where more is among it."""
        return folder / f"{'wide-' * self.wide}{'rich-' * self.rich}{seed:07d}.npz"


class WorldCache:
    """The cached clips of some scenes in `folder`; missing ones are rendered by `build`. Worlds can share a folder.

    With `frames` a clip is glimpsed: so many of its frames, half of them from inside an event. Planning a scene costs
    as much as drawing a hundred frames of it, and a vision tower learns more from many scenes than from many frames.
    """

    def __init__(self, folder: Path, *scenes: Scenes, frames: int | None = None) -> None:
        self.folder, self.frames = folder, frames
        self._plans = [(some.path(folder, seed), seed, some) for some in scenes for seed in some.seeds]
        self.paths = [path for path, _, _ in self._plans]

    def __len__(self) -> int:
        return len(self.paths)

    def build(self, *, workers: int | None = None) -> Iterator[int]:
        """Render what is missing on all cores; yields how many clips are there after each one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        todo = [plan for plan in self._plans if not plan[0].exists()]
        done = len(self.paths) - len(todo)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers or os.cpu_count() or 1, context, end_with_parent) as pool:
            for _ in pool.map(functools.partial(_build, frames=self.frames), todo, chunksize=8):
                done += 1
                yield done

    def read(self, i: int) -> CachedClip:
        """The `i`-th clip."""
        return read_clip(self.paths[i])


def _build(plan: tuple[Path, int, Scenes], frames: int | None) -> None:
    path, seed, scenes = plan
    build_clip(path, seed, frames, wide=scenes.wide, rich=scenes.rich)
