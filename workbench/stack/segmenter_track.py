"""Tracking through a window of frames: SAM2's memory loop, streamed, with a bounded memory.

`SAM2VideoPredictor.init_state` reads a whole video, converts it to floats and keeps every output. Here the window
is held as uint8, each frame is encoded when its turn comes, and only the outputs that later frames can attend to
are kept. The net is called through `SAM2Base.track_step`; with the whole picture as view, the masks are those of
the predictor. Instances whose prompts lie on the same frames are stepped together, as one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.errors import InputError
from workbench.stack.segmenter_net import ImageFeatures
from workbench.stack.segmenter_view import Follower, Prompt, View, box_of, cut, paste, paste_mean

if TYPE_CHECKING:
    from workbench.stack.segmenter import Segmenter

Output = dict[str, Any]
"""What `track_step` gives and takes: `maskmem_features`, `maskmem_pos_enc`, `pred_masks`, `obj_ptr`, …"""


@dataclass
class Window:
    """The frames of one call, uint8, reduced to `scale` of their size where the net could not use more."""

    index: list[int] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)
    hw: tuple[int, int] = (0, 0)
    scale: float = 1.0

    def cut(self, position: int, view: View, size: int) -> np.ndarray:
        return cut(self.pictures[position], view, size, scale=self.scale)


@dataclass
class Group:
    """Instances prompted on the same frames (`cond` holds those positions), stepped as one batch."""

    ids: list[int]
    prompts: dict[int, list[Prompt]]
    cond: dict[int, Output] = field(default_factory=dict)
    cond_masks: dict[int, list[np.ndarray]] = field(default_factory=dict)
    recent: dict[int, Output] = field(default_factory=dict)
    opening: dict[int, Output] = field(default_factory=dict)
    followers: list[Follower] | None = None

    @property
    def first(self) -> int:
        return min(self.prompts)


def track_window(
    segmenter: Segmenter,
    frames: Iterable[tuple[int, np.ndarray]],
    prompts: Sequence[Prompt],
    progress: Callable[[float], None],
    *,
    careful: bool,
) -> Iterator[tuple[int, dict[int, np.ndarray]]]:
    """The body of `Segmenter.track`."""
    window = _read(segmenter, frames)
    groups = _group(window, prompts)
    tracker = Tracker(segmenter, window, careful=careful and segmenter.spec.zoom is not None)
    for group in groups:
        for position in group.prompts:
            tracker.condition(group, position)
    forward = range(min(g.first for g in groups), len(window.index))
    backward = range(max(g.first for g in groups) - 1, -1, -1)
    done, total = 0, len(forward) + len(backward)
    for order, reverse in ((forward, False), (backward, True)):
        for group in groups:
            tracker.turn(group, reverse)
        for position in order:
            active = [g for g in groups if (position < g.first if reverse else position >= g.first)]
            masks = {i: m for g in active for i, m in zip(g.ids, tracker.advance(g, position, reverse), strict=True)}
            done += 1
            progress(done / total)
            yield window.index[position], masks


class Tracker:
    """Steps groups through a window. Holds the whole-picture features of one frame, shared by all groups.

    A `careful` one puts carefully answered masks into the memory, and averages each mask it has followed with a fresh
    answer to its box: memory knows who it is, a look from nearby where it ends.
    """

    def __init__(self, segmenter: Segmenter, window: Window, *, careful: bool) -> None:
        self.segmenter = segmenter
        self.careful = careful
        self.net = segmenter.net
        self.window = window
        self.reach = max(self.net.num_maskmem, self.net.max_obj_ptrs_in_encoder) * max(
            1, self.net.memory_temporal_stride_for_eval
        )
        self._shared: tuple[int, ImageFeatures] | None = None

    def condition(self, group: Group, position: int) -> None:
        """Answer the prompts on one frame and put the answers into the memory."""
        outputs, masks = [], []
        for given in group.prompts[position]:
            prompt = self._answered(given, position) if self.careful else given
            view = self._prompt_view(prompt, position)
            with self.segmenter.step():
                features = self._features(position, [view])
                outputs.append(self._prompt_step(prompt, view, position, features))
            masks.append(paste(outputs[-1]["pred_masks"][0, 0], view, self.window.hw))
        group.cond[position] = _join(outputs)
        group.cond_masks[position] = masks

    def _prompt_view(self, prompt: Prompt, position: int) -> View:
        """For a lone click the view is that of its answer: memory of an object should show it at the usual size."""
        zoom = self.segmenter.spec.zoom
        if zoom is None or prompt.mask is not None or prompt.box is not None:
            return self.segmenter.first_view(prompt, self.window.hw)
        found = box_of(self.segmenter.answer(self._whole(position), prompt, careful=False)[0])
        if found is None:
            return self.segmenter.first_view(prompt, self.window.hw)
        return View.around(found, zoom.context, zoom.min_side_px)

    def _answered(self, prompt: Prompt, position: int) -> Prompt:
        """A prompt by the mask that answers a box or clicks; the prompt itself where nothing does."""
        if prompt.mask is not None:
            return prompt
        mask, _ = self.segmenter.answer(self._whole(position), prompt)
        return Prompt(prompt.instance_id, prompt.frame_index, mask=mask) if mask.any() else prompt

    def _whole(self, position: int) -> np.ndarray:
        """A frame at the size in which prompts speak of it."""
        picture = self.window.pictures[position]
        return picture if picture.shape[:2] == self.window.hw else cv2.resize(picture, self.window.hw[::-1])

    def _prompt_step(self, prompt: Prompt, view: View, position: int, features: ImageFeatures) -> Output:
        net, size = self.net, self.segmenter.size
        mask_inputs, point_inputs = None, None
        if prompt.mask is None:
            point_inputs = self.segmenter.point_inputs(prompt, view)
        else:
            cropped = cut(prompt.mask.astype(np.uint8) * 255, view, size) >= 128
            mask_inputs = torch.from_numpy(cropped)[None, None].float().to(self.segmenter.device)
        output: Output = net.track_step(
            frame_idx=position,
            is_init_cond_frame=True,
            current_vision_feats=features.maps,
            current_vision_pos_embeds=features.positions,
            feat_sizes=features.sizes,
            point_inputs=point_inputs,
            mask_inputs=mask_inputs,
            output_dict={"cond_frame_outputs": {}, "non_cond_frame_outputs": {}},
            num_frames=len(self.window.index),
            run_mem_encoder=False,
        )
        high = F.interpolate(output["pred_masks"].float(), size=(size, size), mode="bilinear", align_corners=False)
        memory, codes = net._encode_new_memory(
            current_vision_feats=features.maps,
            feat_sizes=features.sizes,
            pred_masks_high_res=high,
            object_score_logits=output["object_score_logits"],
            is_mask_from_pts=True,
        )
        return _compact(output | {"maskmem_features": memory, "maskmem_pos_enc": codes})

    def turn(self, group: Group, reverse: bool) -> None:
        """Set a group at its first prompt, before going forward or backward from it."""
        group.recent = dict(group.opening) if reverse else {}
        if self.segmenter.spec.zoom is not None:
            group.followers = None
            masks = group.cond_masks[group.first]
            boxes = [
                box_of(m) or p.box or (0, 0, *self.window.hw[::-1])
                for m, p in zip(masks, group.prompts[group.first], strict=True)
            ]
            group.followers = [Follower(box, self.segmenter.spec.zoom) for box in boxes]

    def advance(self, group: Group, position: int, reverse: bool) -> list[np.ndarray]:
        """The masks of a group on one frame; its memory takes note of them."""
        masks = group.cond_masks[position] if position in group.cond else self._memory_step(group, position, reverse)
        if group.followers is not None:
            for follower, mask in zip(group.followers, masks, strict=True):
                follower.update(box_of(mask))
        return masks

    def _memory_step(self, group: Group, position: int, reverse: bool) -> list[np.ndarray]:
        hw = self.window.hw
        views = [View.whole(hw)] * len(group.ids) if group.followers is None else [f.view() for f in group.followers]
        with self.segmenter.step():
            features = self._features(position, views)
            output: Output = self.net.track_step(
                frame_idx=position,
                is_init_cond_frame=False,
                current_vision_feats=features.maps,
                current_vision_pos_embeds=features.positions,
                feat_sizes=features.sizes,
                point_inputs=None,
                mask_inputs=None,
                output_dict={"cond_frame_outputs": group.cond, "non_cond_frame_outputs": group.recent},
                num_frames=len(self.window.index),
                track_in_reverse=reverse,
                run_mem_encoder=True,
            )
        group.recent[position] = _compact(output)
        for old in [p for p in group.recent if abs(p - position) > self.reach]:
            del group.recent[old]
        if not reverse and position - group.first <= self.reach:
            # going backward, the predictor still remembers the frames just after the prompt
            group.opening[position] = group.recent[position]
        followed = zip(output["pred_masks"][:, 0].float(), views, strict=True)
        return [self._looked_at_again(logits, view, position) for logits, view in followed]

    def _looked_at_again(self, logits: Tensor, view: View, position: int) -> np.ndarray:
        """The mask of followed logits `[h, w]`; with care, averaged with the answers to its box."""
        hw, zoom = self.window.hw, self.segmenter.spec.zoom
        mask = paste(logits, view, hw)
        box = box_of(mask) if self.careful else None
        if box is None or zoom is None:
            return mask
        near = View.around(box, zoom.context, zoom.min_side_px)
        looks = [near.resized(look) for look in zoom.looks]
        pictures = [self.window.cut(position, look, self.segmenter.size) for look in looks]
        answers, _ = self.segmenter.ask(pictures, Prompt(0, position, box=box), looks)
        return paste_mean(torch.cat([logits[None], answers]), [view, *looks], hw)

    def _features(self, position: int, views: list[View]) -> ImageFeatures:
        """Features of one frame in each view; whole-picture features are made once and shared."""
        size = self.segmenter.size
        if self.segmenter.spec.zoom is not None:
            return self.segmenter.encode([self.window.cut(position, view, size) for view in views])
        if self._shared is None or self._shared[0] != position:
            self._shared = (position, self.segmenter.encode([self.window.pictures[position]]))
        return self._shared[1].pick(torch.zeros(len(views), dtype=torch.long, device=self.segmenter.device))


def _compact(output: Output) -> Output:
    """What later frames need; memory in bfloat16, as the predictor keeps it."""
    return {
        "maskmem_features": output["maskmem_features"].to(torch.bfloat16),
        "maskmem_pos_enc": output["maskmem_pos_enc"],
        "pred_masks": output["pred_masks"].float(),
        "obj_ptr": output["obj_ptr"],
    }


def _join(outputs: list[Output]) -> Output:
    """Outputs of single instances as one batch."""

    def cat(name: str) -> Tensor:
        return torch.cat([o[name] for o in outputs])

    codes = [torch.cat(level) for level in zip(*(o["maskmem_pos_enc"] for o in outputs), strict=True)]
    return {name: cat(name) for name in ("maskmem_features", "pred_masks", "obj_ptr")} | {"maskmem_pos_enc": codes}


def _read(segmenter: Segmenter, frames: Iterable[tuple[int, np.ndarray]]) -> Window:
    """Take in the window, reduced to what the net can use; refuses what is too long, unordered or of mixed sizes."""
    from workbench.stack.segmenter import MAX_WINDOW, check_picture

    window = Window()
    for index, rgb in frames:
        check_picture(rgb)
        hw = (rgb.shape[0], rgb.shape[1])
        if not window.index:
            window.hw = hw
            window.scale = min(1.0, segmenter.spec.max_side_px / max(hw))
        if hw != window.hw:
            raise InputError(
                f"Frame {index} is {hw[1]}x{hw[0]}, the window began with {window.hw[1]}x{window.hw[0]}; use one size."
            )
        if window.index and index <= window.index[-1]:
            raise InputError(
                f"Frame {index} comes after frame {window.index[-1]}; give the frames of a window in order."
            )
        if len(window.index) == MAX_WINDOW:
            raise InputError(f"The window is longer than {MAX_WINDOW} frames; shorten it or take every second frame.")
        window.index.append(int(index))
        if segmenter.spec.zoom is None:
            window.pictures.append(cut(rgb, View.whole(hw), segmenter.size))
        elif window.scale < 1:
            window.pictures.append(
                cv2.resize(rgb, None, fx=window.scale, fy=window.scale, interpolation=cv2.INTER_AREA)
            )
        else:
            window.pictures.append(np.array(rgb))
    if not window.index:
        raise InputError("The window has no frames; choose a span that covers at least one.")
    return window


def _group(window: Window, prompts: Sequence[Prompt]) -> list[Group]:
    """Check the prompts against the window and gather the instances that are prompted on the same frames."""
    if not prompts:
        raise InputError("There is nothing to track; give at least one prompt.")
    position = {index: p for p, index in enumerate(window.index)}
    per_id: dict[int, dict[int, Prompt]] = {}
    for prompt in prompts:
        if prompt.frame_index not in position:
            raise InputError(
                f"The prompt of instance {prompt.instance_id} is on frame {prompt.frame_index}, which is not among the "
                f"{len(window.index)} frames from {window.index[0]} to {window.index[-1]}."
            )
        prompt.check(*window.hw)
        mine = per_id.setdefault(prompt.instance_id, {})
        if position[prompt.frame_index] in mine:
            raise InputError(
                f"Instance {prompt.instance_id} has two prompts on frame {prompt.frame_index}; put them into one."
            )
        mine[position[prompt.frame_index]] = prompt
    groups: dict[tuple[int, ...], Group] = {}
    for instance_id, mine in per_id.items():
        key = tuple(sorted(mine))
        group = groups.setdefault(key, Group(ids=[], prompts={p: [] for p in key}))
        group.ids.append(instance_id)
        for p in key:
            group.prompts[p].append(mine[p])
    return list(groups.values())
