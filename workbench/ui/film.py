"""What the viewer draws over a picture that plays: outlines and boxes of the instances, and the heat, in one reply.

Asking for every frame's overlays while a clip plays would be slower than the clip. Outlines are polygons and heat is
one sheet of small pictures, so that a clip's worth of both is some hundred kilobytes, fetched when playing begins.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.masks import decode_rle
from workbench.prompting import outlines
from workbench.records import Heatmaps, Instance
from workbench.ui.session import Review
from workbench.ui.timeline import thin
from workbench.ui.viewer import data_uri, heat_picture, label_of, role_colour

MAX_HEATS = 160
HEAT_SIDE = 48
COLUMNS = 16


def film_reply(review: Review) -> dict[str, Any]:
    """`tracks`: one per instance; `heat`: a sheet of pictures with the frames they are of, or None.

    `times`: when each frame comes, in seconds, where frames do not come evenly; else None.
    """
    heatmaps = review.analysis.heatmaps if review.analysis else None
    times = [round(float(t), 4) for t in review.clip.times_s] if review.clip.info.variable_rate else None
    tracks = [_track(instance) for instance in review.instances]
    return {"tracks": tracks, "heat": _heat_sheet(heatmaps), "times": times}


def _track(instance: Instance) -> dict[str, Any]:
    frames = sorted(instance.boxes_xyxy.keys() | instance.masks_rle.keys())
    masks = [instance.masks_rle.get(frame) for frame in frames]
    boxes = [instance.boxes_xyxy.get(frame) for frame in frames]
    return {
        "id": instance.id, "label": label_of(instance), "colour": role_colour(instance.role),
        "frames": frames,
        "boxes": [None if box is None else [round(float(v), 1) for v in box] for box in boxes],
        "outlines": [None if rle is None else outlines(decode_rle(rle)) for rle in masks],
    }  # fmt: skip


def _heat_sheet(heatmaps: Heatmaps | None) -> dict[str, Any] | None:
    if heatmaps is None or len(heatmaps.frame_index) == 0:
        return None
    kept = thin(len(heatmaps.frame_index), MAX_HEATS)
    pictures = [heat_picture(np.asarray(heatmaps.heatmap[i], np.float32), HEAT_SIDE) for i in kept]
    height, width = pictures[0].shape[:2]
    columns = min(COLUMNS, len(pictures))
    sheet = np.zeros((-(-len(pictures) // columns) * height, columns * width, 4), np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
    return {
        "frames": [int(heatmaps.frame_index[i]) for i in kept], "columns": columns, "width": width, "height": height,
        "image": data_uri(sheet, "png"),
    }  # fmt: skip
