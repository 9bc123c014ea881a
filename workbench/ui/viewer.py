"""The frame viewer: exact decoded frames with the evidence on top, and where instances are pointed at.

A frame travels as one JSON reply: the picture as PNG (JPEG when it is large), the heatmap as a tiny picture with the
heat in its alpha, so that the page changes opacity without asking again, masks as one transparent PNG, boxes and
labels as numbers.
"""

from __future__ import annotations

import base64
from bisect import bisect_left
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any
from zlib import crc32

import cv2
import gradio as gr
import numpy as np

from workbench.errors import InputError
from workbench.masks import decode_rle
from workbench.overlays import HEAT_CLEAR_BELOW, HEAT_FULL_AT, OTHER_COLOUR, ROLE_COLOURS, reach_of, rgb_of
from workbench.records import Instance
from workbench.render import heat_at, hold_frames
from workbench.ui.session import Review
from workbench.ui.timeline import peak_frame, thin

JPEG_QUALITY = 95
LOSSLESS_PX = 200_000  # a picture up to this size costs no more as PNG than it is worth
MAX_WIDTH = 1920
MASK_ALPHA = 97
LABEL_LOOKS = 240  # boxes of an instance that the page looks at to place its label
SCRIPTS = ("viewer.js", "viewer_labels.js", "viewer_play.js", "viewer_prompts.js", "viewer_end.js")
_HERE = Path(__file__).parent


def data_uri(picture: np.ndarray, kind: str = "jpeg", quality: int = JPEG_QUALITY) -> str:
    """RGB `uint8 [H,W,3]` or RGBA `uint8 [H,W,4]` → `data:` URI. PNG keeps alpha; JPEG does not."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    if kind == "jpeg":
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]  # 4:4:4
    _, encoded = cv2.imencode(".png" if kind == "png" else ".jpg", bgr, options)
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode('ascii')}"


def shrink(picture: np.ndarray, width: int, how: int = cv2.INTER_AREA) -> np.ndarray:
    """A picture no wider than `width` pixels; smaller ones stay as they are."""
    height, now = picture.shape[:2]
    if now <= width:
        return picture
    return np.asarray(cv2.resize(picture, (width, max(1, round(height * width / now))), interpolation=how))


def heat_picture(heat: np.ndarray, side: int = 96) -> np.ndarray:
    """Heat `[h, w]` in [0, 1] → small RGBA `uint8`; the same colours and coverage as in rendered videos."""
    height, width = heat.shape
    scale = max(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    fine = np.clip(cv2.resize(np.nan_to_num(heat).astype(np.float32), size, interpolation=cv2.INTER_CUBIC), 0, 1)
    levels = (255 * (0.35 + 0.65 * fine)).astype(np.uint8)
    colour = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    ramp = np.clip((fine - HEAT_CLEAR_BELOW) / (HEAT_FULL_AT - HEAT_CLEAR_BELOW), 0, 1)
    return np.dstack([colour, (255 * ramp * ramp * (3 - 2 * ramp)).astype(np.uint8)])


def role_colour(role: str) -> str:
    """The role's colour as CSS hex."""
    return ROLE_COLOURS.get(role, OTHER_COLOUR)


def tracked_near(instance: Instance, frame: int, hold: int) -> int | None:
    """The tracked frame nearest to `frame`, at most `hold` frames away, or half the stride that it is tracked at."""
    reach = reach_of(instance, hold)
    frames = sorted(instance.boxes_xyxy.keys() | instance.masks_rle.keys())
    at = bisect_left(frames, frame)
    near = [f for f in frames[max(0, at - 1) : at + 1] if abs(f - frame) <= reach]
    return min(near, key=lambda f: abs(f - frame), default=None)


def mask_picture(masks: list[tuple[str, np.ndarray]], width: int) -> np.ndarray | None:
    """Masks `(colour, bool [H, W])` as one RGBA `uint8` picture, filled softly with an opaque rim; None without any."""
    layer: np.ndarray | None = None
    for colour, mask in masks:
        small = shrink(mask.astype(np.uint8), width, cv2.INTER_NEAREST)
        if layer is None:
            layer = np.zeros((*small.shape, 4), np.uint8)
        rim = small - cv2.erode(small, np.ones((3, 3), np.uint8), borderValue=0)
        layer[small > 0] = (*rgb_of(colour), MASK_ALPHA)
        layer[rim > 0] = (*rgb_of(colour), 255)
    return layer


def instance_layers(review: Review, frame: int, width: int) -> tuple[list[dict[str, Any]], np.ndarray | None]:
    """What is drawn of the instances at `frame`: boxes and labels (`id`, `box` in pixels, `label`, `colour`), masks."""
    hold = hold_frames(review.clip)
    marks, masks = [], []
    for instance in review.instances:
        at = tracked_near(instance, frame, hold)
        if at is None:
            continue
        colour = role_colour(instance.role)
        if at in instance.masks_rle:
            masks.append((colour, decode_rle(instance.masks_rle[at])))
        if at in instance.boxes_xyxy:
            box = [round(float(v), 1) for v in instance.boxes_xyxy[at]]
            marks.append({"id": instance.id, "box": box, "label": label_of(instance), "colour": colour})
    return marks, mask_picture(masks, width)


def resolve(review: Review, request: dict[str, Any]) -> int:
    """The frame index a request means: `frame`, or the one on screen at `t` seconds; clamped to the clip."""
    by_frame = "frame" in request
    try:
        wish = float(request["frame" if by_frame else "t"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"A frame is asked for by its number or its time, not by {request!r}.") from error
    if not isfinite(wish):
        raise InputError(f"A frame is asked for by its number or its time, not by {request!r}.")
    last = len(review.clip.times_s) - 1
    index = int(wish) if by_frame else review.clip.index_at(wish)
    return min(last, max(0, index))


def frame_reply(review: Review, request: dict[str, Any]) -> dict[str, Any]:
    """What the viewer gets for `{frame | t, width}`: the exact decoded frame with its overlays."""
    index = resolve(review, request)
    width = min(MAX_WIDTH, max(64, round(float(request.get("width") or 1280))))
    picture = shrink(review.clip.frame(index), width)
    analysis = review.analysis
    heat = heat_at(analysis.heatmaps, index) if analysis else None
    marks, masks = instance_layers(review, index, width)
    return {
        "frame": index,
        "time_s": float(review.clip.times_s[index]),
        "score": float(analysis.frame_score[index]) if analysis and index < len(analysis.frame_score) else None,
        "image": data_uri(picture, "png" if picture.shape[0] * picture.shape[1] <= LOSSLESS_PX else "jpeg"),
        "heat": data_uri(heat_picture(heat), "png") if heat is not None else None,
        "masks": data_uri(masks, "png") if masks is not None else None,
        "instances": marks,
    }


def thumbnail_uri(review: Review, request: dict[str, Any], width: int = 160) -> str:
    """A small picture of the frame `{frame}`, as a `data:` URI."""
    return data_uri(review.clip.thumbnail(resolve(review, request), width), quality=82)


def overlay_version(review: Review) -> str:
    """Changes when what is drawn over the pictures does: the analysis, or any instance."""
    by = (review.analysis.profile, review.analysis.adapter) if review.analysis else ()
    drawn = [by, *((i.id, i.role, sorted(i.boxes_xyxy.items()), [m["counts"] for _, m in sorted(i.masks_rle.items())])
             for i in review.instances)]  # fmt: skip
    return f"{review.key}:{bool(review.analysis)}:{crc32(repr(drawn).encode()):08x}"


def viewer_payload(session_id: str, review: Review) -> dict[str, Any]:
    """What the viewer is told of a clip; `version` changes when the overlays did, so that it forgets old frames."""
    info, analysis = review.clip.info, review.analysis
    best = max(analysis.events, key=lambda e: e.peak_score, default=None) if analysis else None
    has_heat = bool(analysis and analysis.heatmaps is not None)
    least = hold_frames(review.clip)
    # The page has one number for all while it plays; a frame that is asked for has each instance's own.
    hold = max((reach_of(instance, least) for instance in review.instances), default=least)
    return {
        "sid": session_id, "key": review.key, "version": overlay_version(review),
        "n_frames": len(review.clip.times_s), "fps": info.fps, "width": info.width, "height": info.height,
        "stride": analysis.dense.stride if analysis else 1,
        "threshold": float(analysis.threshold) if analysis else None,
        "start_frame": peak_frame(review, best.peak_s) if best else 0,
        "has_heat": has_heat, "has_instances": bool(review.instances), "can_prompt": analysis is not None,
        "has_film": has_heat or bool(review.instances) or info.variable_rate, "hold": hold,
        "instances": [_payload_of(instance) for instance in review.instances],
    }  # fmt: skip


def _payload_of(instance: Instance) -> dict[str, Any]:
    """An instance with some of its boxes, from which the page finds a place for its label."""
    frames = sorted(instance.boxes_xyxy)
    frames = [frames[i] for i in thin(len(frames), LABEL_LOOKS)]
    boxes = [[round(float(side)) for side in instance.boxes_xyxy[frame]] for frame in frames]
    label = label_of(instance)
    return {"id": instance.id, "role": instance.role, "label": label, "frames": frames, "boxes": boxes}


def label_of(instance: Instance) -> str:
    """What the label says."""
    return f"{instance.id} {instance.role}"


def build_viewer(*servers: Callable[[dict], Any]) -> gr.HTML:
    """The component; its value is `viewer_payload` as JSON text. `servers` answer its requests, each by its name."""
    script = "\n".join((_HERE / name).read_text("utf-8") for name in SCRIPTS)
    return gr.HTML(
        value="", html_template=(_HERE / "viewer.html").read_text("utf-8"), js_on_load=script,
        apply_default_css=False, server_functions=list(servers), elem_id="aw-viewer",
    )  # fmt: skip
