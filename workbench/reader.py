"""Frames by index out of a container: in one pass, or at random with frame accuracy."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame

from workbench.decode import decoded_frames, open_container, sought, video_stream
from workbench.errors import ClipError
from workbench.probe import TimeBase

CACHE_BYTES = 64 << 20  # decoded YUV pictures kept for stepping back; at least one is always kept
BEGINNING = -(1 << 62)  # before every stream time


def sequential_frames(path: Path, base: TimeBase) -> Generator[tuple[int, VideoFrame], None, None]:
    """Every frame once, as (index, picture), index 0 … n-1.

    Where a damaged packet leaves a gap, the picture before it stays on screen (the first picture fills a gap at the
    start), so that an index always means the same moment. Release: the container closes when the iterator does.
    """
    container = open_container(path)
    try:
        due, held = 0, None
        for position, frame in enumerate(decoded_frames(container, video_stream(container, path))):
            index = _index_of(frame, position, base)
            if index is None or index < due:
                continue
            for gap in range(due, min(index, base.n_frames)):
                yield gap, held or frame
            if index >= base.n_frames:
                return
            yield index, frame
            due, held = index + 1, frame
        if held is None:
            raise ClipError(f"{path} could be decoded before and cannot now; check that the file is unchanged.")
        for gap in range(due, base.n_frames):
            yield gap, held
    finally:
        container.close()


def _index_of(frame: VideoFrame, position: int, base: TimeBase) -> int | None:
    """The frame's index; None for a picture the time base does not know."""
    if base.pts is None:
        return position
    if frame.pts is None:
        return None
    index = int(np.searchsorted(base.pts, frame.pts))
    return index if index < base.n_frames and base.pts[index] == frame.pts else None


class FrameReader:
    """Random access to one clip. Not thread-safe: its owner holds a lock.

    A request decodes forward from where the last one stopped when that is nearer than the key frame before the
    target; else it seeks to that key frame. Containers disagree on whether a seek goes by decoding or presentation
    time, and some cannot seek exactly at all, so a landing counts only once the key frame itself has been decoded;
    else an earlier start is taken, at last the beginning.
    """

    def __init__(self, path: Path, base: TimeBase) -> None:
        self._path, self._base = path, base
        self._container = open_container(path)
        self._stream = video_stream(self._container, path)
        self._frames = decoded_frames(self._container, self._stream)
        self._position = 0  # how many frames were decoded since the beginning; used where frames can only be counted
        self._last_index = -1
        self._last_frame: VideoFrame | None = None
        self._landed = True  # whether the key frame sought to has been seen
        self._trusted_from = BEGINNING  # stream time; pictures before the key frame sought to may lack references
        self._cache: OrderedDict[int, VideoFrame] = OrderedDict()
        keys = base.keys if base.pts is not None else ()
        self._keys = [key for key in keys if base.pts is not None and key.pts >= base.pts[0]]
        self._key_pts = np.array([key.pts for key in self._keys], dtype=np.int64)

    def read(self, index: int) -> VideoFrame:
        """The picture of frame `index`; the picture on screen at that moment when that frame is damaged."""
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        for start, trusted_from in self._starts(index):
            if not self._go(start, trusted_from):
                continue
            held = self._forward(index)
            if index in self._cache:
                return self._cache[index]
            if held is not None:
                return held
        raise ClipError(f"{self._path}: frame {index} cannot be decoded; the file is damaged or was changed.")

    def close(self) -> None:
        """Release the container; a second call does nothing."""
        self._cache.clear()
        self._frames.close()
        self._container.close()

    def _starts(self, index: int) -> Iterator[tuple[int | None, int]]:
        """Where to decode from, best first, and the stream time from which pictures are whole.

        None means "go on from here", BEGINNING means a fresh start, anything else is a stream time to seek to.
        """
        pts = self._base.pts
        if pts is None:
            if index > self._last_index:
                yield None, BEGINNING
            yield BEGINNING, BEGINNING
            return
        key = int(np.searchsorted(self._key_pts, pts[index], side="right")) - 1
        if self._last_index < index and (key < 0 or self._last_pts() >= self._key_pts[key]):
            yield None, self._trusted_from
        for candidate in range(key, max(key - 2, -1), -1):
            key_pts, key_dts = self._keys[candidate]
            yield key_pts, key_pts
            if key_dts is not None:
                yield key_dts, key_pts
        yield BEGINNING, BEGINNING

    def _last_pts(self) -> int:
        pts = self._base.pts
        return int(pts[self._last_index]) if pts is not None and self._last_index >= 0 else BEGINNING

    def _go(self, start: int | None, trusted_from: int) -> bool:
        """Be where decoding shall start. False: the container cannot go there."""
        self._trusted_from = trusted_from
        if start is None:
            return True
        self._frames.close()
        if start == BEGINNING:
            self._container.close()
            self._container = open_container(self._path)
            self._stream = video_stream(self._container, self._path)
            self._position = 0
        elif not sought(self._container, self._stream, start):
            return False
        self._frames = decoded_frames(self._container, self._stream)
        self._last_index, self._last_frame = -1, None
        self._landed = start == BEGINNING
        return True

    def _forward(self, index: int) -> VideoFrame | None:
        """Decode up to `index`; the last whole picture at or before it, None when this start gives none."""
        held = self._last_frame
        for frame in self._frames:
            found = _index_of(frame, self._position, self._base)
            self._position += 1
            if found is None or (frame.pts is not None and frame.pts < self._trusted_from):
                continue
            if not self._landed and frame.pts != self._trusted_from:
                return None  # after the key frame: what is decoded now lacks its references
            self._landed = True
            self._last_index, self._last_frame = found, frame
            self._keep(found, frame)
            if found > index:
                return held
            held = frame
            if found == index:
                return held
        return held

    def _keep(self, index: int, frame: VideoFrame) -> None:
        self._cache[index] = frame
        self._cache.move_to_end(index)
        size = sum(plane.buffer_size for plane in frame.planes)
        while len(self._cache) > max(1, CACHE_BYTES // max(1, size)):
            self._cache.popitem(last=False)
