"""What the frozen backbone says of training clips, computed once and kept on disk; epochs then cost little.

Two kinds: the dense pass that an analysis makes anyway (class tokens, visual tokens, class maps; shared with the
analyst's cache, so a corrected clip has usually been read already), and the tapped blocks of chosen frames, which
the heatmap decoder learns from and nobody else needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from finetune.errors import TrainingError
from finetune.records import TrainingClip
from workbench.features import DensePass, dense_pass, stack_fingerprint
from workbench.files import replacing
from workbench.stack.loading import ModelStack
from workbench.video import Clip

Tell = Callable[[str, int, int], None]
"""Told of a stage, how many of its items are done, and of how many."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A training clip and what the backbone saw of it; `labels` is `float32 [T]`, None with a label of the clip only.

    `T` dense frames, whose numbers are `dense.frame_index`: the exact frames that enter a sample.
    """

    clip: TrainingClip
    dense: DensePass
    labels: np.ndarray | None

    @property
    def cls(self) -> np.ndarray:
        """Class tokens `float32 [T, C]`."""
        return np.asarray(self.dense.features.cls, np.float32)


class Eye:
    """The frozen backbone of a stack, with a memory on disk."""

    def __init__(self, stack: ModelStack, folder: Path | None = None) -> None:
        self.stack = stack
        self.folder = folder

    def look(self, clip: TrainingClip) -> Seen:
        """The dense pass of a clip, from the cache where there is one.

        Raises:
            TrainingError: the file is not the one that was frozen. ClipError: it does not decode.
        """
        with Clip.open(clip.path) as video:
            refuse_other_content(clip, video.info.sha256)
            dense = dense_pass(video, self.stack, cache_dir=self.folder)
        return Seen(clip, dense, clip.labels_at(dense.time_s))

    def look_at_all(self, clips: Sequence[TrainingClip], tell: Tell | None = None) -> list[Seen]:
        """The dense passes of several clips; memory grows by some tens of kilobytes each (tokens stay on disk)."""
        seen = []
        for number, clip in enumerate(clips):
            if tell:
                tell("encode", number, len(clips))
            seen.append(self.look(clip))
        if tell:
            tell("encode", len(clips), len(clips))
        return seen

    def taps(self, clip: TrainingClip, frames: Sequence[int]) -> list[np.ndarray]:
        """Tapped blocks of chosen frames: one `float16 [n, gh, gw, C]` per tap, in the order of `frames`."""
        if self.folder is None:
            return self._taps(clip, frames)
        key = hashlib.sha256(f"{clip.sha256} {stack_fingerprint(self.stack)} {list(frames)}".encode()).hexdigest()[:32]
        path = self.folder / f"taps-{key}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            taps = self._taps(clip, frames)
            with replacing(path) as temporary:
                arrays: dict[str, Any] = {f"tap{i}": tap for i, tap in enumerate(taps)}
                np.savez(temporary, **arrays)
            return taps
        with np.load(path, allow_pickle=False) as read:
            return [read[f"tap{i}"] for i in range(len(read.files))]

    def _taps(self, clip: TrainingClip, frames: Sequence[int]) -> list[np.ndarray]:
        rows: dict[int, list[np.ndarray]] = {}
        size = 3 * self.stack.backbone.image_size
        with Clip.open(clip.path) as video:
            refuse_other_content(clip, video.info.sha256)
            for index, rgb in video.frames(frames, long_side=size):
                taps = self.stack.backbone.encode(rgb[None]).taps
                rows[index] = [tap[0].to(torch.float16).cpu().numpy() for tap in taps]
        return [np.stack(tap) for tap in zip(*(rows[frame] for frame in frames), strict=True)]


def refuse_other_content(clip: TrainingClip, sha256: str) -> None:
    """Refuse a file that changed since the snapshot was frozen."""
    if sha256 != clip.sha256:
        raise TrainingError(f"{clip.path} is no longer the clip that was frozen; start a new run, or bring it back.")
