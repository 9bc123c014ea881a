"""What one training step of the segmenter computes: SAM2's losses over its picture heads and its memory loop.

The predictor's own methods run without gradients, so the heads and `track_step` of the net are called directly, as
SAM2's training does. Weights as in SAM2's appendix: dice 1, IoU 1 (L1), object presence 1; of several candidate masks
only the best one is pulled towards the target, while the IoU estimate of each is. Two things differ, because this net
starts from nothing: cross-entropy (5) stands for focal loss (20), which holds such a net at "no object" for hundreds of
steps; and the picture features are taught to tell things from ground at every pixel (`ThingsHead`), which a prompt
teaches only through one token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from finetune.segmenter_data import PictureBatch, VideoBatch
from workbench.stack.segmenter import PIXEL_MEAN, PIXEL_STD
from workbench.stack.segmenter_net import ImageFeatures, image_features

CROSS, DICE, IOU, PRESENCE = 5.0, 1.0, 1.0, 1.0


def normalised(pictures: np.ndarray) -> Tensor:
    """uint8 `[B, S, S, 3]` -> float `[B, 3, S, S]` as the segmenter feeds it."""
    images = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float().div_(255)
    return (images - torch.tensor(PIXEL_MEAN).view(3, 1, 1)) / torch.tensor(PIXEL_STD).view(3, 1, 1)


def mask_loss(logits: Tensor, ious: Tensor, presence: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Logits `[B, M, h, w]`, IoU estimates `[B, M]`, presence `[B, 1]`, targets bool `[B, S, S]` -> loss, mean IoU.

    Masks are compared at the size of the target. Where the object is absent only the presence is taught, as in SAM2.
    """
    truth = targets[:, None].float()
    full = F.interpolate(logits.float().clamp(-32, 32), size=targets.shape[-2:], mode="bilinear", align_corners=False)
    truth = truth.expand_as(full)
    chance = full.sigmoid()
    cross = F.binary_cross_entropy_with_logits(full, truth, reduction="none").mean((-2, -1))
    overlap = (chance * truth).sum((-2, -1))
    dice = 1 - (2 * overlap + 1) / (chance.sum((-2, -1)) + truth.sum((-2, -1)) + 1)
    with torch.no_grad():
        found = full > 0
        both, either = (found & (truth > 0)).sum((-2, -1)), (found | (truth > 0)).sum((-2, -1))
        real_iou = both / either.clamp(min=1)
    mask_terms = CROSS * cross + DICE * dice
    best = mask_terms.argmin(1)
    rows = torch.arange(len(best))
    present = targets.flatten(1).any(1).float()
    count = present.sum().clamp(min=1)
    shape = (mask_terms[rows, best] * present).sum() / count
    estimate = ((ious.float() - real_iou).abs().mean(1) * present).sum() / count
    there = F.binary_cross_entropy_with_logits(presence.float()[:, 0], present)
    mean_iou = (real_iou[rows, best] * present).sum() / count
    return shape + IOU * estimate + PRESENCE * there, mean_iou.detach()


class ThingsHead(nn.Module):
    """Things or ground, read linearly from the three feature levels; a training aid, no part of the saved net."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.readers = nn.ModuleList(nn.Conv2d(c, 1, 1) for c in channels)

    def forward(self, features: ImageFeatures) -> Tensor:
        """Logits `[B, 1, h, w]` on the finest grid."""
        parts = [reader(features.map2d(level)) for level, reader in enumerate(self.readers)]
        fine = parts[0].shape[-2:]
        coarse = [F.interpolate(p, size=fine, mode="bilinear", align_corners=False) for p in parts[1:]]
        return parts[0] + coarse[0] + coarse[1]


def things_loss(logits: Tensor, things: Tensor) -> Tensor:
    """Cross-entropy and dice of things against ground: logits `[B, 1, h, w]`, truth bool `[B, S, S]`."""
    full = F.interpolate(logits, size=things.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    truth = things.float()
    chance = full.sigmoid()
    dice = 1 - (2 * (chance * truth).sum((-2, -1)) + 1) / (chance.sum((-2, -1)) + truth.sum((-2, -1)) + 1)
    return CROSS * F.binary_cross_entropy_with_logits(full, truth) + DICE * dice.mean()


def _points(coords: np.ndarray, labels: list[int]) -> dict[str, Tensor]:
    tensor = torch.from_numpy(np.ascontiguousarray(coords)).float()
    return {"point_coords": tensor, "point_labels": torch.tensor(labels, dtype=torch.int32).expand(len(tensor), -1)}


def _heads(net: Any, features: ImageFeatures, points: dict[str, Tensor], previous: Tensor | None, many: bool) -> Any:
    return net._forward_sam_heads(
        backbone_features=features.map2d(2) + net.no_mem_embed.view(1, -1, 1, 1),
        point_inputs=points,
        mask_inputs=previous,
        high_res_features=[features.map2d(0), features.map2d(1)],
        multimask_output=many,
    )


def picture_loss(
    net: Any, batch: PictureBatch, things_head: ThingsHead, *, correct: bool
) -> tuple[Tensor, dict[str, float]]:
    """Box and click on every view, from features made once; with `correct`, one more click where the mask erred."""
    features = image_features(net, normalised(batch.images))
    box_targets, click_targets = (
        torch.from_numpy(batch.box_targets.copy()),
        torch.from_numpy(batch.click_targets.copy()),
    )
    low, _, ious, _, _, _, presence = _heads(net, features, _points(batch.boxes, [2, 3]), None, False)
    box_loss, box_iou = mask_loss(low, ious, presence, box_targets)
    clicks = _points(batch.clicks, [1])
    low, _, ious, chosen, _, _, presence = _heads(net, features, clicks, None, True)
    click_loss, click_iou = mask_loss(low, ious, presence, click_targets)
    loss = box_loss + click_loss + things_loss(things_head(features), torch.from_numpy(batch.things.copy()))
    if correct:
        more = _corrected(clicks, chosen.detach(), click_targets)
        low, _, ious, _, _, _, presence = _heads(net, features, more, chosen.detach().clamp(-32, 32), False)
        loss = loss + mask_loss(low, ious, presence, click_targets)[0]
    return loss, {"iou_box": float(box_iou), "iou_click": float(click_iou)}


def _corrected(clicks: dict[str, Tensor], logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """The clicks with one more each, in the middle of the largest error: on the object if it was missed there."""
    from sam2.modeling.sam2_utils import sample_one_point_from_error_center

    full = F.interpolate(logits.float(), size=targets.shape[-2:], mode="bilinear", align_corners=False) > 0
    coords, labels = sample_one_point_from_error_center(targets[:, None], full)
    return {
        "point_coords": torch.cat([clicks["point_coords"], coords + 0.5], 1),
        "point_labels": torch.cat([clicks["point_labels"], labels.to(torch.int32)], 1),
    }


def video_loss(net: Any, batch: VideoBatch, kind: str, *, freeze_trunk: bool) -> tuple[Tensor, dict[str, float]]:
    """A prompt (`box`, `click` or `mask`) on the first frame, then memory alone; mean loss of all predicted frames."""
    length, count = batch.targets.shape[:2]
    with torch.set_grad_enabled(not freeze_trunk):
        features = image_features(net, normalised(batch.images.reshape(-1, *batch.images.shape[2:])))
    targets = torch.from_numpy(batch.targets.copy())
    memory: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    losses, overlaps = [], []
    for t in range(length):
        here = features.pick(torch.arange(t * count, (t + 1) * count))
        points = (
            {"box": _points(batch.boxes, [2, 3]), "click": _points(batch.clicks, [1])}.get(kind) if t == 0 else None
        )
        _, heads, _, _ = net._track_step(
            frame_idx=t,
            is_init_cond_frame=t == 0,
            current_vision_feats=here.maps,
            current_vision_pos_embeds=here.positions,
            feat_sizes=here.sizes,
            point_inputs=points,
            mask_inputs=targets[0, :, None].float() if t == 0 and kind == "mask" else None,
            output_dict=memory,
            num_frames=length,
            track_in_reverse=False,
            prev_sam_mask_logits=None,
        )
        candidates, _, ious, _, high, pointer, presence = heads
        if not (t == 0 and kind == "mask"):
            loss, overlap = mask_loss(candidates, ious, presence, targets[t])
            losses.append(loss)
            overlaps.append(float(overlap))
        codes, places = net._encode_new_memory(here.maps, here.sizes, high, presence, points is not None)
        out = {"maskmem_features": codes, "maskmem_pos_enc": places, "obj_ptr": pointer}
        memory["cond_frame_outputs" if t == 0 else "non_cond_frame_outputs"][t] = out
    return torch.stack(losses).mean(), {"iou_track": float(np.mean(overlaps[-(length - 1) :]))}
