"""The dense pass: every `stride`-th frame once through the vision tower, streamed, and kept on disk by content.

Memory does not grow with the clip: frames come in batches, visual tokens go to a memory-mapped file, and what stays
in memory is a few hundred numbers a frame.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from workbench.ahead import ahead
from workbench.errors import InputError
from workbench.files import cache_root, unwritable
from workbench.records import Features
from workbench.side_by_side import side_by_side
from workbench.stack.backbone import VisionFeatures
from workbench.stack.loading import ModelStack
from workbench.stack.memory import enough_memory
from workbench.stack.motion import MotionBatch, MotionScorer
from workbench.stack.sources import fingerprint
from workbench.video import Clip, FrameBatch, dense_stride

logger = logging.getLogger(__name__)
CACHE_VERSION = 2
CACHE_LIMIT_BYTES = 8 * 1024**3
RESERVE_BYTES = 1024**3
"""Left free on the disk beside a large entry; beside a small one, a quarter of its size."""
UNFINISHED = "partial-"
LONGEST_PASS_S = 86_400.0
"""A pass that was begun longer ago has been given up."""
CPU_BATCH = 8
"""So many frames keep a core busy; with fewer the first are through earlier and less is in memory at once."""


class PartialCurve(NamedTuple):
    """What is known of the curve while the pass runs: times and motion scores so far."""

    time_s: np.ndarray
    score: np.ndarray


Progress = Callable[[str, float, PartialCurve | None], None]
"""Called with a stage name, how much of it is done (0 to 1) and the curve so far. May raise to cancel."""


@dataclass(frozen=True, slots=True, eq=False)
class DensePass:
    """Result of the pass over `T` dense frames: where they are, how much moves, and their features."""

    stride: int
    frame_index: np.ndarray
    time_s: np.ndarray
    motion: np.ndarray
    features: Features


def stack_fingerprint(stack: ModelStack) -> str:
    """Changes whenever a weight that features depend on does; by names, sizes and times, so that it costs nothing.

    Weights in fewer bits are other weights: a quantised stack has a fingerprint of its own.
    """
    parts = [stack.profile.name, fingerprint(stack.files), *([stack.quantise] if stack.quantise else [])]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def dense_pass(
    clip: Clip, stack: ModelStack, *, cache_dir: Path | None = None, progress: Progress | None = None
) -> DensePass:
    """Run the pass, or read it from the cache where the same content met the same stack before.

    Args:
        cache_dir: folder of the cache; the user's own if None. Oldest entries go where it would outgrow its limit,
            or the disk; a clip whose features alone are larger than the limit is kept all the same, alone.
        progress: told about stage `encode`.

    Raises:
        InputError: the cache cannot be written, or the features do not fit on its disk.
        ClipError: the clip does not decode.
    """
    root = cache_dir or cache_root() / "features"
    stride = dense_stride(clip.info.n_frames)
    entry = root / f"{clip.info.sha256[:24]}-{stack_fingerprint(stack)}-s{stride}-v{CACHE_VERSION}"
    if entry.exists():
        try:
            found = _read(entry, stride)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):  # cut off or damaged: made anew
            shutil.rmtree(entry, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):  # one that may only be read is as good
                os.utime(entry)
            return found
    with _room(root):
        root.mkdir(parents=True, exist_ok=True)
        _make_room(root, clip, _token_bytes(clip, stack, stride))
        partial = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=root))
    try:
        with enough_memory(stack.profile):
            _compute(clip, stack, stride, partial, progress)
        try:
            os.replace(partial, entry)
        except OSError:  # another session finished the same clip first; its result is as good
            shutil.rmtree(partial, ignore_errors=True)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _evict(root, beyond=CACHE_LIMIT_BYTES, keep=entry)
    with _room(root):
        return _read(entry, stride)


@contextlib.contextmanager
def _room(root: Path) -> Iterator[None]:
    """Say in a sentence that the cache cannot be written. Raises InputError."""
    try:
        yield
    except OSError as error:
        way_out = "let WORKBENCH_CACHE name another folder"
        raise InputError(unwritable(f"The features in the cache {root}", error, way_out)) from error


def _token_bytes(clip: Clip, stack: ModelStack, stride: int) -> int:
    """How much the visual tokens of a clip take, which are nearly all of its features."""
    total = len(range(0, clip.info.n_frames, stride))
    return total * stack.backbone.tokens_per_frame * stack.backbone.token_dim * np.dtype(np.float16).itemsize


def _make_room(root: Path, clip: Clip, needed: int) -> None:
    """Let older entries make way for a new one. Raises InputError, with all in its place, where that is not enough."""
    wanted = needed + min(RESERVE_BYTES, needed // 4)
    free, held = shutil.disk_usage(root).free, sum(size for size, _ in _entries(root).values())
    if wanted > free + held:
        raise InputError(
            f"The features of {clip.path.name} take {needed / 1e9:.3g} GB, and the cache {root} has room for "
            f"{(free + held) / 1e9:.3g} GB; free some space, let WORKBENCH_CACHE name a folder on a larger disk, "
            "or cut the clip into parts."
        )
    if needed > CACHE_LIMIT_BYTES:
        logger.warning(
            "The features of %s take %.3g GB, more than the %.3g GB that the cache %s is meant to hold; they are kept "
            "until another clip is analysed.",
            clip.path.name,
            needed / 1e9,
            CACHE_LIMIT_BYTES / 1e9,
            root,
        )
    _evict(root, beyond=min(CACHE_LIMIT_BYTES - needed, held - (wanted - free)))


def _token_file(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """A new array on disk, its room taken at once: a disk that fills up later would end the program without a word."""
    tokens = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return tokens


def _compute(clip: Clip, stack: ModelStack, stride: int, folder: Path, progress: Progress | None) -> None:
    total = len(range(0, clip.info.n_frames, stride))
    backbone = stack.backbone
    shape = (total, backbone.tokens_per_frame, backbone.token_dim)
    with _room(folder.parent):
        tokens = _token_file(folder / "tokens.npy", shape)
    rows: dict[str, list[np.ndarray]] = {k: [] for k in ("index", "time", "motion", "cls", "maps", "heat", "saliency")}
    done = 0

    def look(watched: tuple[FrameBatch, MotionBatch]) -> tuple[FrameBatch, MotionBatch, VisionFeatures, Tensor, Tensor]:
        seen = backbone.encode(watched[0].rgb)
        return *watched, seen, *_heat(stack, seen, watched[1].saliency)

    for batch, moved, seen, maps, heat in side_by_side(ahead(_watch(clip, stack, stride)), look, stack.device):
        count = min(len(batch.index), total - done)
        tokens[done : done + count] = _half(seen.tokens[:count])
        rows["index"].append(batch.index)
        rows["time"].append(batch.time_s)
        rows["motion"].append(moved.score)
        rows["saliency"].append(moved.saliency.astype(np.float16))
        for key, value in (("cls", seen.cls), ("maps", maps), ("heat", heat)):
            rows[key].append(_half(value))
        done += count
        if progress:
            curve = PartialCurve(np.concatenate(rows["time"]), np.concatenate(rows["motion"]))
            progress("encode", done / total, curve)
    arrays: dict[str, Any] = {key: np.concatenate(parts)[:total] for key, parts in rows.items()}
    with _room(folder.parent):
        tokens.flush()
        np.savez(folder / "dense.npz", **arrays)


def _watch(clip: Clip, stack: ModelStack, stride: int) -> Generator[tuple[FrameBatch, MotionBatch], None, None]:
    """Dense frames in batches, and what moves in them: all that needs no model.

    Decoding has a thread of its own, so that the decoder never stands still while motion is measured.
    """
    motion = MotionScorer()
    size = min(CPU_BATCH, stack.profile.batch) if stack.device.type == "cpu" else stack.profile.batch
    # Frames much larger than the tower's square only cost memory; three times its side keeps all it can see.
    frames = clip.dense(stride, batch=size, long_side=3 * stack.backbone.image_size)
    with contextlib.closing(ahead(frames)) as batches:
        for batch in batches:
            yield batch, motion.update(batch.motion_pair, batch.gap_s)


@torch.inference_mode()
def _heat(stack: ModelStack, seen: VisionFeatures, saliency: np.ndarray) -> tuple[Tensor, Tensor]:
    """Class maps and heatmaps of a batch; where no decoder was trained, motion saliency and no class maps."""
    if stack.heatmap is not None:
        with stack.backbone.precision():
            decoded = stack.heatmap(seen.taps)
        return decoded.class_maps, decoded.heatmap
    salient = torch.from_numpy(saliency)[:, None]
    heat = functional.interpolate(salient, stack.backbone.grid_hw, mode="bilinear", align_corners=False)[:, 0]
    return torch.zeros(len(heat), 2, 0, 0), heat


def _half(values: Tensor) -> np.ndarray:
    """As float16; what is too large for it (some towers have such features) becomes its largest number."""
    largest = torch.finfo(torch.float16).max
    return values.clamp(-largest, largest).to(torch.float16).cpu().numpy()


def _read(entry: Path, stride: int) -> DensePass:
    with np.load(entry / "dense.npz", allow_pickle=False) as arrays:
        count = len(arrays["index"])
        features = Features(
            cls=arrays["cls"],
            tokens=np.load(entry / "tokens.npy", mmap_mode="r", allow_pickle=False)[:count],
            class_maps=arrays["maps"],
            heatmap=arrays["heat"],
            saliency=arrays["saliency"],
        )
        return DensePass(stride, arrays["index"], arrays["time"], arrays["motion"], features)


def _entries(root: Path) -> dict[Path, tuple[int, float]]:
    """Size in bytes and last use of the entries that may be removed."""
    found: dict[Path, tuple[int, float]] = {}
    for entry in root.iterdir():
        with contextlib.suppress(OSError):  # another process has just taken it away
            if entry.is_dir():
                used = entry.stat().st_mtime
                if entry.name.startswith(UNFINISHED) and time.time() - used < LONGEST_PASS_S:
                    continue  # being made in another process
                found[entry] = sum(file.stat().st_size for file in entry.iterdir()), used
    return found


def _evict(root: Path, *, beyond: int, keep: Path | None = None) -> None:
    """Remove the entries longest unused until no more than `beyond` bytes are held."""
    entries = _entries(root)
    total = sum(size for size, _ in entries.values())
    for entry in sorted(entries, key=lambda e: entries[e][1]):
        if total <= beyond:
            return
        if entry != keep:
            shutil.rmtree(entry, ignore_errors=True)
            total -= entries[entry][0]
