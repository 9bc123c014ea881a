"""Pictures over pictures: heatmaps, and instances with masks, boxes and labels. Pure functions, RGB in and RGB out."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from workbench.errors import InputError
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
) -> np.ndarray:
    """Draw the instances seen in a frame; a new picture.

    Args:
        rgb: uint8 `[H, W, 3]`, the frame, possibly shrunk. frame_index: which frame it is.
        masks, boxes, labels: what to draw.
        clip_size: (width, height) that boxes are in; the picture's own size if None.
        hold: an instance not tracked in this very frame is drawn as in the nearest one at most this many frames away.
    """
    canvas = rgb.copy()
    height, width = rgb.shape[:2]
    full_width, full_height = clip_size or (width, height)
    line = max(1, round(min(height, width) / 260))
    taken: list[Box] = []
    shown = [(i, _nearest(i, frame_index, hold)) for i in instances]
    for instance, at in shown:
        if masks and at in instance.masks_rle:
            mask = decode_rle(instance.masks_rle[at]).astype(np.uint8)
            _draw_mask(canvas, mask, rgb_of(ROLE_COLOURS.get(instance.role, OTHER_COLOUR)), line)
    for instance, at in shown:
        if at not in instance.boxes_xyxy:
            continue
        x0, y0, x1, y1 = instance.boxes_xyxy[at]
        box = (x0 * width / full_width, y0 * height / full_height, x1 * width / full_width, y1 * height / full_height)
        colour = rgb_of(ROLE_COLOURS.get(instance.role, OTHER_COLOUR))
        if boxes:
            _draw_box(canvas, box, colour, line)
        if labels:
            _draw_label(canvas, box, f"{instance.id} {instance.role}", colour, taken)
    return canvas


def _nearest(instance: Instance, frame_index: int, hold: int) -> int:
    """The tracked frame nearest to `frame_index` within `hold`; -1 when there is none."""
    frames = instance.boxes_xyxy.keys() | instance.masks_rle.keys()
    if frame_index in frames:
        return frame_index
    near = [frame for frame in frames if abs(frame - frame_index) <= hold]
    return min(near, key=lambda frame: abs(frame - frame_index), default=-1)


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


def _draw_label(canvas: np.ndarray, box: Box, text: str, colour: tuple[int, int, int], taken: list[Box]) -> None:
    """A chip above the box (below or inside where there is no room), clear of chips already there."""
    height, width = canvas.shape[:2]
    chip, alpha = label_chip(text, colour, max(11, round(height / 30)))
    h, w = chip.shape[:2]
    if h > height or w > width:
        return
    x = int(np.clip(round(box[0]), 0, width - w))
    tops = [round(box[1]) - h - 2, round(box[3]) + 2, round(box[1]) + 2]
    tops += [tops[0] - k * (h + 2) for k in (1, 2, 3)] + [tops[1] + k * (h + 2) for k in (1, 2, 3)]
    free = [y for y in tops if 0 <= y <= height - h and not any(_overlap((x, y, x + w, y + h), t) for t in taken)]
    y = free[0] if free else int(np.clip(tops[0], 0, height - h))
    taken.append((x, y, x + w, y + h))
    under = canvas[y : y + h, x : x + w].astype(np.float32)
    canvas[y : y + h, x : x + w] = (under + (chip - under) * alpha[..., None] + 0.5).astype(np.uint8)


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


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
