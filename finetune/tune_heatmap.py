"""Fine-tuning the heatmap decoder: AHD alone, encoder and text side frozen, focal + Dice (T-VAU 3.2.1)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from finetune.dense import Eye, Tell
from finetune.errors import TrainingError
from finetune.guard import EarlyStop, Progress, both, with_less_memory
from finetune.launch import parts_for
from finetune.loop import LoopConfig, fit, step_generator
from finetune.losses import FocalDiceWeights, focal_dice_loss, mask_to_grid
from finetune.records import TrainingClip
from finetune.starting import keep_some
from workbench.stack.heatmap import HeatmapDecoder
from workbench.video import Clip, dense_stride


@dataclass(frozen=True, slots=True)
class HeatmapTuning:
    """Numbers of the recipe. `per_clip` frames of each kind (masked, calm) enter from each clip; a step takes `batch`
    of them in `parts`, which several processes share. With replay, the share `keep` of the weights stays."""

    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=240, lr=2e-4, save_every=40, log_every=10))
    batch: int = 32
    parts: int = 2
    per_clip: int = 8
    loss: FocalDiceWeights = field(default_factory=lambda: FocalDiceWeights(alpha=0.7))
    check_every: int = 20
    patience: int = 4
    keep: float = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class HeatRow:
    """Frames of one clip: taps, one `float16 [n, gh, gw, C]` each, and covered share of each cell `[n, gh, gw]`."""

    frames: tuple[int, ...]
    taps: list[np.ndarray]
    target: np.ndarray


def chosen_frames(clip: TrainingClip, per_clip: int) -> tuple[list[int], list[bool]]:
    """The frames of a clip that teach where, and whether each is inside an event.

    They are masked ones inside events, and as many calm ones outside.

    Frames inside an event that nobody has masked teach nothing, since what is abnormal on them is not known.
    """
    if clip.spans_s is None:
        return [], []
    with Clip.open(clip.path) as video:
        inside = np.asarray(clip.labels_at(video.times_s), bool)
    masked = [frame for frame in clip.masked_frames() if frame < len(inside) and inside[frame]]
    calm = [i for i in range(0, len(inside), dense_stride(clip.n_frames)) if not inside[i]]
    frames = sorted({*_spread(masked, per_clip), *_spread(calm, per_clip)})
    return frames, [bool(inside[i]) for i in frames]


def rows_of(eye: Eye, clips: Sequence[TrainingClip], per_clip: int, tell: Tell | None = None) -> list[HeatRow]:
    """What the decoder learns of each clip; clips that cannot say where are left out.

    Raises:
        DataError: a mask is of another size than its clip.
    """
    rows, grid = [], eye.stack.backbone.grid_hw
    for number, clip in enumerate(clips):
        if tell:
            tell("taps", number, len(clips))
        frames, inside = chosen_frames(clip, per_clip)
        if not frames:
            continue
        masks = [
            clip.anomaly_mask(i) if hot else np.zeros((clip.height, clip.width), bool)
            for i, hot in zip(frames, inside, strict=True)
        ]
        target = torch.cat([mask_to_grid(torch.from_numpy(mask)[None], grid) for mask in masks])
        rows.append(HeatRow(tuple(frames), eye.taps(clip, frames), target.numpy().astype(np.float32)))
    return rows


class HeatDraw:
    """Draws frames: a share from the replay, half of them (where there are any) with something abnormal."""

    def __init__(self, new: Sequence[HeatRow], replay: Sequence[HeatRow], share: float) -> None:
        self.rows = [*new, *replay]
        index = [(i, k) for i, row in enumerate(self.rows) for k in range(len(row.frames))]
        weight = np.zeros(len(index))
        for is_replay, total in ((False, 1 - share if replay else 1.0), (True, share)):
            for hot in (False, True):
                chosen = [
                    n
                    for n, (i, k) in enumerate(index)
                    if (i >= len(new)) == is_replay and bool(self.rows[i].target[k].any()) == hot
                ]
                weight[chosen] = total / 2 / max(1, len(chosen))
        self.index, self.weight = index, weight / weight.sum()

    def __call__(self, rng: np.random.Generator, size: int) -> tuple[list[Tensor], Tensor]:
        """Taps, each `[B, gh, gw, C]`, and targets `[B, gh, gw]`; mirrored together half the time."""
        chosen = [self.index[n] for n in rng.choice(len(self.index), size, p=self.weight)]
        taps, target = stacked(self.rows, chosen)
        flip = torch.from_numpy(rng.random(size) < 0.5)
        taps = [torch.where(flip[:, None, None, None], tap.flip(2), tap) for tap in taps]
        return taps, torch.where(flip[:, None, None], target.flip(2), target)


def stacked(rows: Sequence[HeatRow], chosen: Sequence[tuple[int, int]]) -> tuple[list[Tensor], Tensor]:
    """Chosen frames (row, place in it) as a batch."""
    count = len(rows[0].taps)
    taps = [torch.from_numpy(np.stack([rows[i].taps[t][k] for i, k in chosen])).float() for t in range(count)]
    return taps, torch.from_numpy(np.stack([rows[i].target[k] for i, k in chosen]))


def tune_heatmap(
    start: HeatmapDecoder,
    new: Sequence[HeatRow],
    replay: Sequence[HeatRow],
    valid: Sequence[HeatRow],
    tuning: HeatmapTuning,
    out_dir: Path,
    *,
    share: float = 0.5,
    progress: Progress | None = None,
) -> HeatmapDecoder:
    """A tuned copy of a decoder; the one given, and the text prototypes of both, stay as they are.

    Raises:
        TrainingError: no frame has a mask inside an event.
    """
    if not any(row.target.any() for row in (*new, *replay)):
        raise TrainingError(
            "No frame of the clips has a mask inside an event, so there is nothing to learn where; draw some masks, "
            "or train other components."
        )
    draw = HeatDraw(new, replay, share)

    def train(micro: int) -> HeatmapDecoder:
        decoder = copy.deepcopy(start).float().requires_grad_(True).train()
        device = decoder.tap_weights.device
        loop = replace(tuning.loop, parts=parts_for(tuning.batch, micro, tuning.parts))

        def loss(number: int) -> tuple[Tensor, dict[str, float]]:
            taps, target = draw(step_generator(loop.seed, number), micro)
            heatmap = decoder([tap.to(device) for tap in taps]).heatmap
            parts = focal_dice_loss(heatmap, target.to(device), weights=tuning.loss)
            return parts.total, {"dice": parts.dice.item()}

        stop = None
        if any(row.target.any() for row in valid):
            validate = validation_loss(decoder, valid, tuning.loss)
            folder = out_dir / "heatmap"
            folder.mkdir(parents=True, exist_ok=True)
            stop = EarlyStop(
                *({"heatmap": decoder}, validate, folder),
                every=tuning.check_every, patience=tuning.patience,
                tell=progress.looked("heatmap", loop.steps) if progress else None,
            )  # fmt: skip
        watch = progress.watch("heatmap", loop.steps) if progress else None
        if stop is None or not stop.is_over:
            fit({"heatmap": decoder}, loss, loop, out_dir, name="heatmap", after=both(watch, stop))
        if stop is not None:
            stop.restore()
        if replay:
            keep_some(decoder, start, tuning.keep)
        return decoder.eval().requires_grad_(False)

    return with_less_memory(train, max(1, tuning.batch // tuning.parts))


def validation_loss(decoder: HeatmapDecoder, rows: Sequence[HeatRow], weights: FocalDiceWeights) -> Callable[[], float]:
    """Focal + Dice over all frames of some clips."""

    @torch.no_grad()
    def validate() -> float:
        device, losses = decoder.tap_weights.device, []
        for number, row in enumerate(rows):
            taps, target = stacked(rows, [(number, k) for k in range(len(row.frames))])
            heatmap = decoder([tap.to(device) for tap in taps]).heatmap
            losses.append(float(focal_dice_loss(heatmap, target.to(device), weights=weights).total))
        return float(np.mean(losses))

    return validate


def _spread(frames: Sequence[int], count: int) -> list[int]:
    """Up to `count` of the frames, evenly spread."""
    if len(frames) <= count:
        return list(frames)
    return [frames[i] for i in np.linspace(0, len(frames) - 1, count).round().astype(int)]
