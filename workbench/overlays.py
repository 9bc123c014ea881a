"""Pictures over pictures: heatmaps, and instances with masks, boxes and labels. Pure functions, RGB in and RGB out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from workbench.errors import InputError
from workbench.labels import choose_places, place_all
from workbench.masks import decode_rle
from workbench.records import Box, Instance

# Okabe & Ito's palette: apart for all common kinds of colour blindness, and on dark as on bright footage.
ROLE_COLOURS: dict[str, str] = {
    "perpetrator": "#D55E00",
    "victim": "#56B4E9",
    "bystander": "#009E73",
    "object": "#F0E442",
}
OTHER_COLOUR = "#BBBBBB"
HEAT_CLEAR_BELOW = 0.15  # heat that stays invisible; a sigmoid map is never quite 0
HEAT_FULL_AT = 0.75
MASK_FILL = 0.38
MOST_HOLDS = 8  # an instance is never held longer than so many times what was asked for: it has moved on since
MOST_LOOKS = 20_000  # frames that are looked at to find places for labels
_SHADOW = (12, 14, 18)


def rgb_of(colour: str) -> tuple[int, int, int]:
    """`#RRGGBB` as red, green, blue."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def blend_heatmap(rgb: np.ndarray, heat: np.ndarray, opacity: float = 0.6) -> np.ndarray:
    """Lay a heatmap over a picture; a new picture.

    The colour (inferno, whose brightness rises evenly with heat) and the coverage both follow the heat, so cold areas
    stay clear and nothing is hidden where nothing is claimed.

    Args:
        rgb: uint8 `[H, W, 3]`. heat: `[h, w]` in [0, 1], covering the whole picture. opacity: of the hottest, 0 to 1.

    Raises:
        InputError: the opacity is out of range, or the heat is not a picture.
    """
    if not 0 <= opacity <= 1:
        raise InputError(f"Heatmap opacity must lie between 0 and 1, not {opacity}.")
    if heat.ndim != 2 or heat.size == 0:
        raise InputError(f"A heatmap must be a picture [h, w], not of shape {list(heat.shape)}.")
    height, width = rgb.shape[:2]
    fine = cv2.resize(np.nan_to_num(heat).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    fine = np.clip(fine, 0, 1)
    picture = rgb.copy()
    window = window_of(fine > HEAT_CLEAR_BELOW)
    if window is None:
        return picture
    fine, under = fine[window], rgb[window]
    # From a third up: inferno's dark end would shade the picture instead of marking it.
    levels = (255 * (0.35 + 0.65 * fine)).astype(np.uint8)
    colour = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    ramp = np.clip((fine - HEAT_CLEAR_BELOW) / (HEAT_FULL_AT - HEAT_CLEAR_BELOW), 0, 1)
    alpha = (opacity * ramp * ramp * (3 - 2 * ramp))[..., None]
    picture[window] = (under + (colour - under.astype(np.float32)) * alpha + 0.5).astype(np.uint8)
    return picture


def window_of(marked: np.ndarray, margin: int = 0) -> tuple[slice, slice] | None:
    """Rows and columns that hold all of bool `[H, W]`, and `margin` more on each side; None when nothing is marked.

    Most of a picture is left as it is; what is drawn is worked out inside such a window only.
    """
    rows, columns = np.flatnonzero(marked.any(1)), np.flatnonzero(marked.any(0))
    if rows.size == 0:
        return None
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + 1 + margin),
    )


def reach_of(instance: Instance, hold: int) -> int:
    """How many frames around a tracked one an instance is drawn: `hold`, or more where it is tracked at a stride.

    Then it is half its usual stride, so that it does not blink. A wider gap between its tracked frames is where it was
    looked for and not found, and stays empty. 0 when `hold` is 0: each frame shows what was tracked in it.
    """
    steps = np.diff(_tracked(instance))
    if hold == 0 or len(steps) < 2:  # two frames, perhaps marked by hand, make no stride
        return hold
    return max(hold, min(math.ceil(np.median(steps) / 2), MOST_HOLDS * hold))


def draw_instances(
    rgb: np.ndarray,
    instances: Iterable[Instance],
    frame_index: int,
    *,
    masks: bool = True,
    boxes: bool = True,
    labels: bool = True,
    clip_size: tuple[int, int] | None = None,
    hold: int = 0,
    places: Sequence[int] | None = None,
) -> np.ndarray:
    """Draw the instances seen in a frame; a new picture.

    Args:
        rgb: uint8 `[H, W, 3]`, the frame, possibly shrunk. frame_index: which frame it is.
        masks, boxes, labels: what to draw.
        clip_size: (width, height) that boxes are in; the picture's own size if None.
        hold: an instance not tracked in this very frame is drawn as in the nearest one at most this many frames away,
            or as far as `reach_of` says where it is tracked at a stride.
        places: of the labels, from `label_places`, for a clip that plays; found for this frame alone if None.
    """
    canvas = rgb.copy()
    height, width = rgb.shape[:2]
    full_width, full_height = clip_size or (width, height)
    line = max(1, round(min(height, width) / 260))
    shown = [(i, _nearest(i, frame_index, hold)) for i in instances]
    for instance, at in shown:
        if masks and at in instance.masks_rle:
            mask = decode_rle(instance.masks_rle[at]).astype(np.uint8)
            _draw_mask(canvas, mask, _colour(instance), line)
    found = [_scaled(i.boxes_xyxy.get(at), width / full_width, height / full_height) for i, at in shown]
    for (instance, _), box in zip(shown, found, strict=True):
        if boxes and box is not None:
            _draw_box(canvas, box, _colour(instance), line)
    if labels:
        chips = [_chip(instance, height) for instance, _ in shown]
        sizes = [_size(chip) for chip, _ in chips]
        if places is None:
            seen = [np.array([box or (np.nan,) * 4], float) for box in found]
            places = choose_places(seen, sizes, (width, height))
        for chip, place in zip(chips, place_all(found, sizes, (width, height), places), strict=True):
            _draw_label(canvas, *chip, place)
    return canvas


def label_places(
    instances: Sequence[Instance], size: tuple[int, int], clip_size: tuple[int, int], hold: int = 0
) -> list[int]:
    """The place of each instance's label that holds for the whole clip.

    Args:
        size: (width, height) of the pictures that will be drawn. clip_size, hold: as for `draw_instances`.
    """
    width, height = size
    tracked = sorted({frame for instance in instances for frame in instance.boxes_xyxy})
    if not tracked:
        return [0] * len(instances)
    reach = max(reach_of(instance, hold) for instance in instances)
    first, last = max(0, tracked[0] - reach), tracked[-1] + reach
    frames = np.arange(first, last + 1, 1 + (last - first) // MOST_LOOKS)
    boxes = [_boxes_at(instance, frames, hold, width / clip_size[0], height / clip_size[1]) for instance in instances]
    return choose_places(boxes, [_size(_chip(instance, height)[0]) for instance in instances], size)


def _boxes_at(instance: Instance, frames: np.ndarray, hold: int, across: float, down: float) -> np.ndarray:
    """Boxes `[F, 4]` as they are drawn in these frames, NaN where there is none."""
    own = np.array(_tracked(instance), int)
    found = np.full((len(frames), 4), np.nan)
    if len(own):
        right = np.searchsorted(own, frames).clip(0, len(own) - 1)
        left = (right - 1).clip(0)
        nearest = np.where(frames - own[left] <= np.abs(own[right] - frames), left, right)
        nothing = (np.nan,) * 4
        boxes = np.array([_scaled(instance.boxes_xyxy.get(frame), across, down) or nothing for frame in own.tolist()])
        near = np.abs(own[nearest] - frames) <= reach_of(instance, hold)
        found = np.where(near[:, None], boxes[nearest], found)
    return found


def _tracked(instance: Instance) -> list[int]:
    return sorted(instance.boxes_xyxy.keys() | instance.masks_rle.keys())


def _scaled(box: Box | None, across: float, down: float) -> Box | None:
    return None if box is None else (box[0] * across, box[1] * down, box[2] * across, box[3] * down)


def _colour(instance: Instance) -> tuple[int, int, int]:
    return rgb_of(ROLE_COLOURS.get(instance.role, OTHER_COLOUR))


def _chip(instance: Instance, height: int) -> tuple[np.ndarray, np.ndarray]:
    return label_chip(f"{instance.id} {instance.role}", _colour(instance), max(11, round(height / 30)))


def _size(chip: np.ndarray) -> tuple[int, int]:
    return chip.shape[1], chip.shape[0]


def _nearest(instance: Instance, frame_index: int, hold: int) -> int:
    """The tracked frame nearest to `frame_index` that reaches as far; -1 when there is none."""
    frames = instance.boxes_xyxy.keys() | instance.masks_rle.keys()
    if frame_index in frames:
        return frame_index
    reach = reach_of(instance, hold)
    near = [frame for frame in frames if abs(frame - frame_index) <= reach]
    return min(near, key=lambda frame: (abs(frame - frame_index), frame), default=-1)


def _draw_mask(canvas: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int], line: int) -> None:
    """Soft fill and a firm outline, dark outside so that it shows on any ground. Draws into `canvas`."""
    height, width = canvas.shape[:2]
    # Area averaging down and linear up keep the edge's position; the half level is then the smooth outline.
    how = cv2.INTER_AREA if mask.shape[1] > width else cv2.INTER_LINEAR
    soft = cv2.resize(mask * np.float32(1), (width, height), interpolation=how)
    window = window_of(soft > 0, margin=line + 4)  # the outline and its shadow lie just outside
    if window is None:
        return
    soft, part = soft[window], np.ascontiguousarray(canvas[window])
    part = (part + (np.asarray(colour, np.float32) - part) * (MASK_FILL * soft[..., None]) + 0.5).astype(np.uint8)
    outlines, _ = cv2.findContours((soft >= 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if line > 1:  # on a small picture the shadow would weigh more than the line
        cv2.drawContours(part, outlines, -1, _SHADOW, line + 2, cv2.LINE_AA)
    cv2.drawContours(part, outlines, -1, colour, line, cv2.LINE_AA)
    canvas[window] = part


def _draw_box(canvas: np.ndarray, box: Box, colour: tuple[int, int, int], line: int) -> None:
    """A thin frame with heavy corners. Draws into `canvas`."""
    height, width = canvas.shape[:2]
    x0, y0 = max(0, round(box[0])), max(0, round(box[1]))
    x1, y1 = min(width - 1, round(box[2]) - 1), min(height - 1, round(box[3]) - 1)
    if x1 <= x0 or y1 <= y0:
        return
    if line > 1:
        cv2.rectangle(canvas, (x0, y0), (x1, y1), _SHADOW, line + 2, cv2.LINE_AA)
    cv2.rectangle(canvas, (x0, y0), (x1, y1), colour, line, cv2.LINE_AA)
    reach = max(3, min(x1 - x0, y1 - y0) // 5)
    for x, dx in ((x0, reach), (x1, -reach)):
        for y, dy in ((y0, reach), (y1, -reach)):
            corner = np.array([[x + dx, y], [x, y], [x, y + dy]], np.int32)
            cv2.polylines(canvas, [corner], False, colour, line * 2 + 1, cv2.LINE_AA)


def _draw_label(canvas: np.ndarray, chip: np.ndarray, alpha: np.ndarray, place: Box) -> None:
    """Draws a chip into `canvas`; an empty place takes none."""
    x0, y0, x1, y1 = (int(side) for side in place)
    if x1 <= x0:
        return
    under = canvas[y0:y1, x0:x1].astype(np.float32)
    canvas[y0:y1, x0:x1] = (under + (chip - under) * alpha[..., None] + 0.5).astype(np.uint8)


@lru_cache(maxsize=256)
def label_chip(text: str, colour: tuple[int, int, int], size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Text on a rounded chip: float32 `[h, w, 3]` RGB and its coverage `[h, w]` in [0, 1]."""
    scale = 3  # drawn large and shrunk, so that the corners are as smooth as the letters
    font = ImageFont.load_default(size_px * scale)
    _, top, _, bottom = font.getbbox("Ag|" + text)
    text_width = font.getlength(text)
    pad_x, pad_y = round(0.45 * size_px * scale), round(0.22 * size_px * scale)
    size = (round(text_width) + 2 * pad_x, round(bottom - top) + 2 * pad_y)
    chip, cover = Image.new("RGB", size, colour), Image.new("L", size, 0)
    ImageDraw.Draw(cover).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), radius=size[1] // 4, fill=255)
    # Black or white, whichever contrasts more by relative luminance.
    red, green, blue = ((c / 255) ** 2.2 for c in colour)
    ink = (16, 18, 22) if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 else (255, 255, 255)
    ImageDraw.Draw(chip).text((pad_x, pad_y - top), text, font=font, fill=ink)
    final = (max(1, size[0] // scale), max(1, size[1] // scale))
    small = [np.asarray(image.resize(final, Image.Resampling.BOX), np.float32) for image in (chip, cover)]
    return small[0], small[1] / 255
