"""Prompts to masks, masks to tracks: SAM2 on one picture or on a bounded window of frames.

    segmenter = Segmenter.load(SegmenterSpec.bundled(folder), "cpu")
    mask, score = segmenter.mask(rgb, box=(40, 60, 58, 110))
    for frame_index, masks in segmenter.track(frames, [Prompt(1, frame_index=80, box=(40, 60, 58, 110))]):
        ...

Published SAM2 sizes look at the whole picture. The bundled net looks at a square around the object (`ZoomConfig`):
a lone click is answered twice, first in a large view, then in one that fits the first answer.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.errors import InputError, StackError
from workbench.records import Box
from workbench.stack.segmenter_net import (
    PUBLISHED,
    SMALL_CONFIG,
    ImageFeatures,
    build_net,
    image_features,
    load_weights,
    published_config,
    read_config,
)
from workbench.stack.segmenter_view import Prompt, View, ZoomConfig, box_of, cut, paste_mean

__all__ = ["MAX_WINDOW", "Prompt", "Segmenter", "SegmenterSpec", "ZoomConfig"]

MAX_WINDOW = 256
"""Most frames one call of `track` takes; a window is held in memory."""
PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class SegmenterSpec:
    """Which net, which weights, and how it looks. `weights` None means random weights (training, tests)."""

    config: Path | dict[str, Any]
    weights: Path | None = None
    hub_repo: str | None = None
    """Repository on the hub that holds the file `hub_file`; used when `weights` is None."""
    hub_file: str | None = None
    hub_revision: str | None = None
    zoom: ZoomConfig | None = None
    """None: the whole picture is stretched to the input, as published SAM2 does."""
    max_side_px: int = 960
    """Frames of a window are held at most this long; only a zooming segmenter gains from more than its input size."""

    @classmethod
    def bundled(cls, folder: Path) -> SegmenterSpec:
        """A folder written by `finetune.segmenter`: `config.json` (net and zoom) and `model.safetensors`."""
        path = Path(folder) / "config.json"
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                config=dict(saved["net"]), weights=path.with_name("model.safetensors"), zoom=ZoomConfig(**saved["zoom"])
            )
        except FileNotFoundError as error:
            raise StackError(
                f"The segmenter folder {folder} has no config.json. Run: python -m finetune bundle."
            ) from error
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise StackError(f"{path} is not a segmenter config ({error}). Run: python -m finetune bundle.") from error

    @classmethod
    def published(cls, size: str, weights: Path | None = None) -> SegmenterSpec:
        """SAM 2.1 `tiny`, `small`, `base-plus` or `large`, from a local file or from the hub."""
        config = published_config(size)
        _, hub_file, hub_repo = PUBLISHED[size]
        return cls(config=config, weights=weights, hub_repo=hub_repo, hub_file=hub_file, max_side_px=1024)

    @classmethod
    def untrained(cls, zoom: ZoomConfig | None = None) -> SegmenterSpec:
        """The bundled net before training."""
        return cls(config=SMALL_CONFIG, zoom=zoom or ZoomConfig())


class Segmenter:
    """SAM2 behind two verbs, `mask` and `track`. Threads may share one: a lock is held for single steps of the net."""

    def __init__(self, net: Any, spec: SegmenterSpec, device: str | torch.device = "cpu") -> None:
        self.net = net.to(device).eval()
        self.spec = spec
        self.device = torch.device(device)
        self.size = int(net.image_size)
        self._lock = threading.RLock()
        # measured on two cores: the small net answers in 19 ms in float32 and in 25 ms in bfloat16, where casts prevail
        self._bf16 = _has_bf16(self.device) and (self.device.type == "cuda" or self.n_parameters > 10_000_000)
        self._mean = torch.tensor(PIXEL_MEAN, device=self.device).view(3, 1, 1)
        self._std = torch.tensor(PIXEL_STD, device=self.device).view(3, 1, 1)

    @classmethod
    def load(cls, spec: SegmenterSpec, device: str | torch.device = "cpu") -> Segmenter:
        """Build the net and load its weights; raises `StackError` naming every key that does not fit."""
        net = build_net(read_config(spec.config))
        weights = spec.weights
        if weights is None and spec.hub_repo and spec.hub_file:
            weights = _from_hub(spec.hub_repo, spec.hub_file, spec.hub_revision)
        if weights is not None:
            load_weights(net, weights)
        return cls(net, spec, device)

    @property
    def n_parameters(self) -> int:
        return sum(p.numel() for p in self.net.parameters())

    def mask(
        self,
        rgb: np.ndarray,
        *,
        box: Box | None = None,
        points: Sequence[tuple[float, float]] | None = None,
        labels: Sequence[int] | None = None,
        careful: bool = True,
    ) -> tuple[np.ndarray, float]:
        """The object that a box and/or clicks point at in one picture `[H, W, 3]` uint8: bool `[H, W]`, estimated IoU.

        `points` are `(x, y)`, `labels` 1 (on it) or 0 (not it), default all 1. `careful`: a zooming segmenter looks at
        several sizes, for two to three times the time. Raises `InputError` for unusable prompts.
        """
        if points is not None and labels is None:
            labels = [1] * len(points)
        prompt = Prompt(0, 0, box=box, points=points, labels=labels)
        check_picture(rgb)
        prompt.check(*rgb.shape[:2])
        return self.answer(rgb, prompt, careful=careful)

    def answer(self, rgb: np.ndarray, prompt: Prompt, *, careful: bool = True) -> tuple[np.ndarray, float]:
        """`mask` for a checked `Prompt` of a box or points."""
        zoom = self.spec.zoom
        view = self.first_view(prompt, (rgb.shape[0], rgb.shape[1]))
        if zoom is None:
            return self._mask_in(rgb, prompt, [view])
        looks = zoom.looks if careful else (1.0,)
        if prompt.box is not None:
            return self._mask_in(rgb, prompt, [view.resized(look) for look in looks])
        mask, score = self._mask_in(rgb, prompt, [view])
        found = box_of(mask)
        if found is None:
            return mask, score
        closer = View.around(found, zoom.context, zoom.min_side_px)
        boxed = replace(prompt, box=found)
        second, second_score = self._mask_in(rgb, boxed, [closer.resized(look) for look in looks])
        return (second, second_score) if second_score >= score else (mask, score)

    def first_view(self, prompt: Prompt, hw: tuple[int, int]) -> View:
        """Where to look for a prompt: around its box or mask, around its clicks, or at the whole picture."""
        zoom = self.spec.zoom
        if zoom is None:
            return View.whole(hw)
        box = prompt.box if prompt.mask is None else box_of(prompt.mask)
        coords, labels = prompt.clicks()
        if box is not None:
            # clicks outside the box widen the view, so that the net sees what they speak of
            box = (
                *np.minimum(box[:2], coords.min(0, initial=np.inf)),
                *np.maximum(box[2:], coords.max(0, initial=-np.inf)),
            )
            return View.around(box, zoom.context, zoom.min_side_px)
        positive = coords[labels == 1]
        center = (float(positive[:, 0].mean()), float(positive[:, 1].mean()))
        reach = 2.5 * float(np.abs(coords - np.array(center)).max())
        return View.square(center, max(zoom.click_side * min(hw), reach, zoom.min_side_px))

    def _mask_in(self, rgb: np.ndarray, prompt: Prompt, views: Sequence[View]) -> tuple[np.ndarray, float]:
        """The answer to a prompt, averaged over views of it."""
        low, ious = self.ask([cut(rgb, view, self.size) for view in views], prompt, views)
        mask = paste_mean(low, views, (rgb.shape[0], rgb.shape[1]))
        return mask, float(ious.mean().clamp(0, 1)) if mask.any() else 0.0

    def ask(self, pictures: Sequence[np.ndarray], prompt: Prompt, views: Sequence[View]) -> tuple[Tensor, Tensor]:
        """What the net says of a prompt, without memory: mask logits `[V, h, w]` and estimated IoUs `[V]`.

        Args:
            pictures: uint8 `[S, S, 3]` of the input size, what is seen in each of the views.
        """
        with self.step():
            features = self.encode(pictures)
            each = [self.point_inputs(prompt, view) for view in views]
            clicks = {name: torch.cat([inputs[name] for inputs in each]) for name in each[0]}
            _, _, ious, low, _, _, _ = self.net._forward_sam_heads(
                backbone_features=features.map2d(2) + self.net.no_mem_embed.view(1, -1, 1, 1),
                point_inputs=clicks,
                high_res_features=[features.map2d(0), features.map2d(1)],
                multimask_output=self.net._use_multimask(True, clicks),
            )
        return low[:, 0].float(), ious.float().amax(1)

    def track(
        self,
        frames: Iterable[tuple[int, np.ndarray]],
        prompts: Sequence[Prompt],
        progress: Callable[[float], None] | None = None,
        *,
        careful: bool = True,
    ) -> Iterator[tuple[int, dict[int, np.ndarray]]]:
        """Follow the prompted instances through a window, forward and then backward from their prompts.

        `frames` are `(frame_index, rgb)`, ascending, one size, at most `MAX_WINDOW` of them. Yields `(frame_index,
        {instance_id: bool [H, W]})`; an empty mask says that the object is not seen. Every pair of frame and
        instance comes once; a frame comes twice only where prompts lie on different frames (once on the way
        forward, once backward). It is a generator: close it to cancel. Its state is its own, so the segmenter stays
        usable. `progress` gets [0, 1]. `careful`: a zooming segmenter asks anew of every mask it has followed, at
        several sizes, for three times the time.
        """
        from workbench.stack.segmenter_track import track_window

        return track_window(self, frames, prompts, progress or (lambda _: None), careful=careful)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Inside: one thread, no gradients, bfloat16 where the processor or GPU computes in it."""
        with self._lock, torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            yield

    def encode(self, pictures: Sequence[np.ndarray]) -> ImageFeatures:
        """Image features of uint8 pictures `[S, S, 3]` of the input size (call within `step`)."""
        batch = torch.from_numpy(np.stack(pictures)).to(self.device).permute(0, 3, 1, 2).float().div_(255)
        return image_features(self.net, (batch - self._mean) / self._std)

    def point_inputs(self, prompt: Prompt, view: View) -> dict[str, Tensor]:
        """SAM2's `point_inputs` of one prompt in one view."""
        coords, labels = prompt.clicks()
        return {
            "point_coords": torch.from_numpy(view.points_in(coords, self.size))[None].to(self.device),
            "point_labels": torch.from_numpy(labels)[None].to(self.device),
        }


def check_picture(rgb: np.ndarray) -> None:
    """Raise `InputError` unless this is an RGB picture."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
        raise InputError(f"A picture must be uint8 [H, W, 3]; this one is {rgb.dtype} {list(rgb.shape)}.")


def _has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is computed, not emulated: emulation is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def _from_hub(repo: str, file: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repo_id=repo, filename=file, revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise StackError(
            f"The segmenter weights {file} could not be fetched from {repo} ({type(error).__name__}); "
            "connect to the network or give a local file."
        ) from error
