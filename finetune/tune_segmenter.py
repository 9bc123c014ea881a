"""Fine-tuning the segmenter on masks that people drew or corrected, mixed with the street world.

The recipe is that of `finetune.segmenter` (a view, a jittered box and a click; then short sequences through the
memory loop), started from the profile's weights. A corrected clip takes the place of a drawn scene: its frames are
those that have masks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from finetune.errors import TrainingError
from finetune.guard import Progress, with_less_memory
from finetune.records import TrainingClip
from finetune.segmenter import SegmenterRecipe, train
from finetune.segmenter_data import SceneLike
from workbench.masks import decode_rle
from workbench.video import Clip

MIN_FRAMES = 2
"""A clip with fewer masked frames cannot show how something moves."""


@dataclass(frozen=True, slots=True)
class SegmenterTuning:
    """Numbers of the recipe; `size` (width, height) is what all clips are brought to, edges filled with black."""

    picture_steps: int = 120
    video_steps: int = 40
    batch: int = 8
    lr: float = 2e-4
    per_clip: int = 4
    size: tuple[int, int] = (480, 360)
    threads: int = 1
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame as `finetune.segmenter_data` wants it."""

    rgb: np.ndarray
    ids: np.ndarray


class OneOpen:
    """Opens clips one at a time: an open one holds a file, a decoder and some pictures."""

    def __init__(self) -> None:
        self._video: Clip | None = None
        self._path = ""

    def __call__(self, path: str) -> Clip:
        """The clip of that path, open until another one is asked for."""
        if self._video is None or path != self._path:
            if self._video is not None:
                self._video.close()
            self._video, self._path = Clip.open(path), path
        return self._video


class MaskedClip:
    """A clip with masks in the form of a scene: frame `k` is the `k`-th on which all are drawn who are there."""

    def __init__(self, clip: TrainingClip, size: tuple[int, int], opened: OneOpen) -> None:
        self.clip, self.size, self._opened = clip, size, opened
        self.frames = clip.drawn_frames()
        self.n_frames = len(self.frames)
        steps = np.diff(self.frames)
        self.fps = Fraction(clip.fps / float(np.median(steps))).limit_denominator(1000) if len(steps) else 1

    def render(self, i: int) -> Picture:
        """The picture and who is where on it: `rgb` uint8 `[H, W, 3]`, `ids` uint8 `[H, W]`."""
        video = self._opened(self.clip.path)
        frame = self.frames[i]
        ids = np.zeros((self.clip.height, self.clip.width), np.uint8)
        for number, entity in enumerate(self.clip.entities[:255], start=1):
            if (mask := entity.shapes.get(frame)) is not None:
                ids[decode_rle(mask)] = number
        return Picture(_fitted(video.frame(frame), self.size, smooth=True), _fitted(ids, self.size, smooth=False))


def masked_clips(clips: Sequence[TrainingClip], size: tuple[int, int]) -> list[MaskedClip]:
    """The clips with enough masks to learn from.

    Raises:
        DataError: a mask is of another size than its clip.
    """
    for clip in clips:
        clip.check_masks()
    opened = OneOpen()
    made = [MaskedClip(clip, size, opened) for clip in clips]
    return [scene for scene in made if scene.n_frames >= MIN_FRAMES]


def tune_segmenter(
    start: Path,
    new: Sequence[TrainingClip],
    replay: Sequence[TrainingClip],
    tuning: SegmenterTuning,
    out_dir: Path,
    *,
    progress: Progress | None = None,
) -> Path:
    """Tune a segmenter; returns the folder with its `model.safetensors` and `config.json`.

    Args:
        start: folder of the segmenter to go on from.

    Raises:
        TrainingError: no clip has masks on two frames or more.
    """
    scenes = [*masked_clips(new, tuning.size), *masked_clips(replay, tuning.size)]
    if not scenes:
        raise TrainingError(
            f"No clip has masks on {MIN_FRAMES} frames or more, so the segmenter has nothing to learn; draw some, or "
            "train other components."
        )

    def make_scene(k: int) -> SceneLike:
        return scenes[k]

    def run(batch: int) -> Path:
        recipe = SegmenterRecipe(
            seed=tuning.seed,
            start=str(start),
            n_scenes=len(scenes),
            per_scene=tuning.per_clip,
            picture_steps=tuning.picture_steps,
            picture_batch=batch,
            video_steps=tuning.video_steps,
            video_batch=max(1, batch // 2),
            lr=tuning.lr,
            video_lr=tuning.lr,
            warmup_steps=10,
            save_every=20,
            threads=tuning.threads,
        )
        steps = tuning.picture_steps + tuning.video_steps
        # A recipe with another batch is another run: its state lies in a folder of its own.
        folder = out_dir / "segmenter" / f"batch{batch}"
        train(recipe, folder, progress=_teller(progress, steps), make_scene=make_scene)
        return folder

    return with_less_memory(run, tuning.batch)


def _teller(progress: Progress | None, steps: int) -> Callable[[dict[str, float]], None]:
    def tell(line: dict[str, float]) -> None:
        if progress:
            progress.tell("segmenter", step=int(line["step"]), steps=steps, loss=round(line["loss"], 5))

    return tell


def _fitted(picture: np.ndarray, size: tuple[int, int], *, smooth: bool) -> np.ndarray:
    """A picture or id map brought into `size` (width, height) at its own aspect, in the middle of black."""
    width, height = size
    scale = min(width / picture.shape[1], height / picture.shape[0])
    inner = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    small = cv2.resize(picture, inner, interpolation=cv2.INTER_AREA if smooth else cv2.INTER_NEAREST)
    out = np.zeros((height, width, *picture.shape[2:]), np.uint8)
    y, x = (height - inner[1]) // 2, (width - inner[0]) // 2
    out[y : y + inner[1], x : x + inner[0]] = small
    return out
