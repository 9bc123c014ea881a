"""A clip: what it is, when each frame is shown, and its pictures — streamed or any one by index.

Memory does not grow with length: one float64 and one int64 a frame for the time base, a bounded cache, one batch.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from types import TracebackType

import numpy as np

from workbench.decode import PictureMaker, fit_size
from workbench.errors import ClipError, InputError
from workbench.probe import TimeBase, probe
from workbench.reader import FrameReader, sequential_frames
from workbench.records import ClipInfo

DENSE_STRIDE = 16  # every 16th frame (Holmes-VAU 4.2)
DENSE_MINIMUM = 64  # a short clip gets a shorter stride, so that its curve still has a shape
MOTION_HEIGHT_PX = 96
MOTION_GAP_S = 1 / 12
BATCH_BYTES = 256 << 20  # an 8K picture is 100 MB; a batch shrinks rather than grows past this


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """`B` dense frames: `index` int64 `[B]`, `time_s` float64 `[B]`, `rgb` uint8 `[B, H, W, 3]` upright, and
    `motion_pair` uint8 `[B, 2, h, w]`: small grey pictures of a frame about 1/12 s earlier, then of the frame itself,
    `gap_s` float64 `[B]` apart: more where the clip has no frame so near, 0 for its first frame, which has none before.
    """

    index: np.ndarray
    time_s: np.ndarray
    rgb: np.ndarray
    motion_pair: np.ndarray
    gap_s: np.ndarray


def dense_stride(n_frames: int) -> int:
    """Frames between dense frames: 16, less on a short clip so that it has at least 64 of them (or all)."""
    return max(1, min(DENSE_STRIDE, n_frames // DENSE_MINIMUM))


class Clip:
    """One video file, opened and probed. Use `Clip.open(path)`, best in a `with`; safe to call from threads."""

    def __init__(self, path: Path, info: ClipInfo, base: TimeBase) -> None:
        self.path, self.info = path, info
        self.times_s: np.ndarray = base.times_s
        self._base = base
        self._size = (info.width, info.height)
        self._reader: FrameReader | None = None
        self._lock = Lock()

    @classmethod
    def open(cls, path: str | Path) -> Clip:
        """Probe `path`. `ClipError` when it is missing, empty, not a video, sound only, or nothing can be decoded."""
        path = Path(path)
        info, base = probe(path)
        return cls(path, info, base)

    def at(self, path: Path) -> Clip:
        """The same clip where a copy of its file lies; nothing is probed again."""
        return Clip(path, replace(self.info, path=str(path)), self._base)

    def __reduce__(self) -> tuple[type[Clip], tuple[Path, ClipInfo, TimeBase]]:
        """A clip may be sent to another process of this machine: it opens the file there, and need not probe it."""
        return Clip, (self.path, self.info, self._base)

    def __enter__(self) -> Clip:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Release the file. The clip can still be used; it opens the file again when a picture is asked for."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    @property
    def n_frames(self) -> int:
        """Number of frames that can be shown."""
        return self._base.n_frames

    def index_at(self, time_s: float) -> int:
        """The frame on screen at `time_s`; times outside the clip give its first or last frame."""
        # Half a microsecond of grace: a time that went through decimal text must find its own frame again.
        return max(0, int(np.searchsorted(self.times_s, time_s + 5e-7, side="right")) - 1)

    def frame(self, index: int, long_side: int | None = None) -> np.ndarray:
        """Frame `index` as uint8 `[H, W, 3]` RGB, upright; shrunk so that no side is longer than `long_side`."""
        return self._picture(index, fit_size(*self._size, long_side))

    def thumbnail(self, index: int, width: int = 160) -> np.ndarray:
        """Frame `index` as uint8 `[h, width, 3]` RGB (narrower where the clip itself is), for lists and timelines."""
        full_width, full_height = self._size
        width = min(width, full_width)
        return self._picture(index, (width, max(1, round(full_height * width / full_width))))

    def frames(self, indices: Sequence[int], long_side: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """The frames of `indices` as (index, RGB), ascending and without repeats, in one pass forward.

        Decodes on its own handle, so other threads may ask for frames meanwhile; groups of pictures in which nothing
        is wanted are skipped.
        """
        wanted = sorted({self._checked(index) for index in indices})
        maker = PictureMaker(self._base.orientation, fit_size(*self._size, long_side))
        reader = FrameReader(self.path, self._base)
        try:
            for index in wanted:
                yield index, maker.rgb(reader.read(index))
        finally:
            reader.close()

    def pictures(self, size: tuple[int, int]) -> Generator[tuple[int, np.ndarray], None, None]:
        """Every frame once from start to end, as (index, RGB of `size` = (width, height))."""
        maker = PictureMaker(self._base.orientation, size)
        frames = sequential_frames(self.path, self._base)
        try:
            for index, frame in frames:
                yield index, maker.rgb(frame)
        finally:
            frames.close()

    def dense(
        self, stride: int | None = None, *, batch: int = 16, long_side: int | None = None
    ) -> Generator[FrameBatch, None, None]:
        """Every `stride`-th frame (default `dense_stride`), decoded once from start to end, in batches.

        A batch holds up to `batch` frames, fewer where they would take more than 256 MB. `long_side` shrinks `rgb`.
        """
        stride = dense_stride(self.n_frames) if stride is None else stride
        if stride < 1 or batch < 1:
            raise InputError(f"Dense stride and batch must be at least 1, not {stride} and {batch}.")
        size = fit_size(*self._size, long_side)
        batch = max(1, min(batch, BATCH_BYTES // (size[0] * size[1] * 3)))
        dense = np.arange(0, self.n_frames, stride)
        earlier = self._earlier_frames(dense)
        collected: list[tuple[int, np.ndarray, np.ndarray]] = []
        for item in self._dense_items(dense, earlier, size):
            collected.append(item)
            if len(collected) == batch:
                yield self._batch(collected)
                collected = []
        if collected:
            yield self._batch(collected)

    def _dense_items(
        self, dense: np.ndarray, earlier: np.ndarray, size: tuple[int, int]
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """(index, rgb, motion pair) of each dense frame; grey pictures wait only until their partner has come."""
        partner = dict(zip(dense.tolist(), earlier.tolist(), strict=True))
        wanted_grey = set(earlier.tolist())
        greys: dict[int, np.ndarray] = {}
        colour = PictureMaker(self._base.orientation, size)
        small = PictureMaker(self._base.orientation, self._motion_size())
        frames = sequential_frames(self.path, self._base)
        try:
            for index, frame in frames:
                if index in wanted_grey:
                    greys[index] = small.grey(frame)
                if index not in partner:
                    continue
                now = greys[index] if index in greys else small.grey(frame)
                pair = np.stack([greys[partner[index]], now])
                yield index, colour.rgb(frame), pair
                for old in [key for key in greys if key < partner[index]]:
                    del greys[old]
        finally:
            frames.close()

    def _earlier_frames(self, dense: np.ndarray) -> np.ndarray:
        """For each dense frame the one nearest to 1/12 s before it, at least one frame back (frame 0: itself)."""
        target = self.times_s[dense] - MOTION_GAP_S
        right = np.clip(np.searchsorted(self.times_s, target), 1, max(1, self.n_frames - 1))
        left = right - 1
        right = np.minimum(right, self.n_frames - 1)
        nearer_left = target - self.times_s[left] <= self.times_s[right] - target
        return np.maximum(0, np.minimum(np.where(nearer_left, left, right), dense - 1))

    def _motion_size(self) -> tuple[int, int]:
        width, height = self._size
        return max(2, min(8 * MOTION_HEIGHT_PX, 2 * round(MOTION_HEIGHT_PX * width / height / 2))), MOTION_HEIGHT_PX

    def _batch(self, items: list[tuple[int, np.ndarray, np.ndarray]]) -> FrameBatch:
        index = np.array([item[0] for item in items], dtype=np.int64)
        time_s = self.times_s[index]
        return FrameBatch(
            index,
            time_s,
            np.stack([item[1] for item in items]),
            np.stack([item[2] for item in items]),
            time_s - self.times_s[self._earlier_frames(index)],
        )

    def _picture(self, index: int, size: tuple[int, int]) -> np.ndarray:
        index = self._checked(index)
        with self._lock:
            if self._reader is None:
                self._reader = FrameReader(self.path, self._base)
            frame = self._reader.read(index)
        return PictureMaker(self._base.orientation, size).rgb(frame)

    def _checked(self, index: int) -> int:
        if not 0 <= index < self.n_frames:
            raise ClipError(f"{self.path.name} has frames 0 to {self.n_frames - 1}; there is no frame {index}.")
        return int(index)
