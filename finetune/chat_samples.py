"""Instruction dialogues of training clips, with the evidence a conversation would show the language model for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from finetune.chat import instance_prefix
from finetune.dense import Eye, Seen
from finetune.records import Said, TrainingClip
from workbench.analysis import score_parts
from workbench.conversation import MIN_SPAN_FRAMES
from workbench.events import smooth
from workbench.masks import decode_rle
from workbench.prompts import Segment
from workbench.stack.loading import ModelStack
from workbench.stack.sampler import sample_frames
from workbench.video import Clip
from workbench.views import close_up, highlight, pick_views


@dataclass(frozen=True, slots=True, eq=False)
class ChatSample:
    """One dialogue: prompt pieces, turns, and the frames of the clip that it is shown with.

    Visual tokens stay in the cache on disk until they are asked for, except those of instance views.
    """

    seen: Seen
    said: Said
    prefix: list[Segment]
    frames: tuple[int, ...]
    picked: np.ndarray | None
    views: np.ndarray | None = field(default=None, repr=False)

    def tokens(self) -> Tensor:
        """Visual tokens `float32 [N, n, D]`."""
        if self.views is not None:
            return torch.from_numpy(self.views).float()
        return torch.from_numpy(np.array(self.seen.dense.features.tokens[self.picked], np.float32))

    def class_maps(self) -> Tensor | None:
        """What the region encoder reads, `float32 [N, 2, gh, gw]`; None for an instance question."""
        if self.picked is None:
            return None
        return torch.from_numpy(np.asarray(self.seen.dense.features.class_maps[self.picked], np.float32))

    def listed(self) -> dict[str, Any]:
        """The sample in `samples.jsonl`."""
        return {
            "component": "chat",
            "clip": self.seen.clip.sha256,
            "level": self.said.level,
            "questions": [question for question, _ in self.said.turns],
            "frames": list(self.frames),
        }


def chat_samples(eye: Eye, seen: Sequence[Seen]) -> list[ChatSample]:
    """All dialogues of some clips, with the frames the stack's own sampler would choose for them."""
    samples = []
    for one in seen:
        curve = smooth(eye.stack.fusion(score_parts(eye.stack, one.dense)), one.dense.time_s)
        for said in one.clip.said:
            sample = _instance(eye, one, said) if said.level == "instance" else _moments(eye.stack, one, said, curve)
            if sample is not None and said.turns:
                samples.append(sample)
    return samples


def _moments(stack: ModelStack, seen: Seen, said: Said, curve: np.ndarray) -> ChatSample:
    time_s = seen.dense.time_s
    inside = np.arange(len(time_s))
    if said.span_s is not None:
        inside = np.flatnonzero((time_s >= said.span_s[0]) & (time_s <= said.span_s[1]))
        if len(inside) < MIN_SPAN_FRAMES:
            nearest = int(np.abs(time_s - sum(said.span_s) / 2).argmin())
            inside = np.arange(max(0, nearest - 1), min(len(time_s), nearest + 2))
    picked = inside[sample_frames(curve[inside], stack.profile.n_frames, "ats")]
    prefix = stack.profile.layout.prefix(time_s[picked].tolist(), with_anomaly=True)
    return ChatSample(seen, said, prefix, tuple(seen.dense.frame_index[picked].tolist()), picked)


def _instance(eye: Eye, seen: Seen, said: Said) -> ChatSample | None:
    """The question about one instance, shown as `workbench.instances.describe` shows it; None without masks."""
    entity = next((one for one in seen.clip.entities if one.id == said.entity and one.masks), None)
    if entity is None:
        return None
    frames, pictures = _views(seen.clip, entity.masks)
    tokens = eye.stack.backbone.encode(pictures).tokens
    layout = eye.stack.profile.layout
    views = tokens.to(torch.float16).cpu().numpy()
    return ChatSample(seen, said, instance_prefix(layout, len(pictures)), frames, None, views)


def _views(clip: TrainingClip, masks: Any) -> tuple[tuple[int, ...], np.ndarray]:
    wide, close = pick_views(sorted(masks))
    with Clip.open(clip.path) as video:
        rgb = {i: video.frame(i) for i in {*wide, *close}}
    shown = [highlight(rgb[i], decode_rle(masks[i])) for i in wide]
    shown += [close_up(rgb[i], decode_rle(masks[i])) for i in close]
    side = max(picture.shape[0] for picture in shown[: len(wide)])
    square = np.stack([cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) for picture in shown])
    return (*wide, *close), square
