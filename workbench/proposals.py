"""From evidence to masks: who stands at the peaks of an evidence map (IAC 3.2, the automatic form "VLM + SAM2").

A cell of the evidence is larger than a person, so no box can be read off it. Its peaks are clicked on instead, on the
finer grid of the picture; the mask of a click gives a box, and the box a better mask.
"""

from __future__ import annotations

import cv2
import numpy as np

from workbench.masks import mask_box
from workbench.stack.segmenter import Segmenter

MAX_CLICKS = 12
MIN_EVIDENCE = 0.15
LEAST_SHARE = 0.1
"""A peak counts if it has at least this share of the highest evidence."""
APART = (0.03, 0.07)
"""Two peaks closer than this share of the picture's width and height are one: about half a person."""
REFINEMENTS = 1
MIN_PX, MAX_SHARE = 24, 0.25
"""Smaller masks are specks, larger ones the ground."""
MIN_QUALITY = 0.4
"""Least IoU that the segmenter expects of its own mask."""
SAME_IOU = 0.5


def peaks_of(evidence: np.ndarray, width: int, height: int) -> list[tuple[int, int]]:
    """Pixels (x, y) of the peaks of an evidence map `[gh, gw]` in a picture of that size, strongest first."""
    if float(evidence.max()) < MIN_EVIDENCE:
        return []
    left = cv2.resize(evidence.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    least, found = LEAST_SHARE * float(left.max()), []
    rows, columns = np.mgrid[:height, :width]
    for _ in range(MAX_CLICKS):
        y, x = np.unravel_index(int(left.argmax()), left.shape)
        if left[y, x] < least:
            break
        found.append((int(x), int(y)))
        near = ((columns - x) / (width * APART[0])) ** 2 + ((rows - y) / (height * APART[1])) ** 2 < 1
        left[near] = -1.0
    return found


def propose(segmenter: Segmenter, picture: np.ndarray, evidence: np.ndarray, limit: int) -> list[np.ndarray]:
    """Masks bool `[H, W]` of what stands at the peaks of the evidence, those with most evidence in them first.

    Args:
        picture: `uint8 [H, W, 3]`. evidence: `[gh, gw]` in [0, 1], over the whole picture. limit: most masks.
    """
    height, width = picture.shape[:2]
    fine = cv2.resize(evidence.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    found: list[tuple[float, np.ndarray]] = []
    for x, y in peaks_of(evidence, width, height):
        if any(mask[y, x] for _, mask in found):
            continue
        mask, quality = segmenter.mask(picture, points=[(x + 0.5, y + 0.5)], careful=False)
        for _ in range(REFINEMENTS if segmenter.spec.zoom else 0):  # a published one sees the whole picture at once
            if (box := mask_box(mask)) is not None and mask.sum() >= MIN_PX:
                mask, quality = segmenter.mask(picture, box=box, careful=False)
        if quality < MIN_QUALITY or not MIN_PX <= mask.sum() <= MAX_SHARE * mask.size:
            continue
        if all(overlap(mask, other) < SAME_IOU for _, other in found):
            found.append((quality * float(fine[mask].mean()), mask))
    found.sort(key=lambda pair: -pair[0])
    return [mask for _, mask in found[:limit]]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """IoU of two masks."""
    return float((a & b).sum() / max(1, (a | b).sum()))
