"""Bystanders are hidden between, before and after the frames they were tracked in; others are left alone."""

from __future__ import annotations

import numpy as np
import pytest

from tests.store_support import square
from workbench.exports.privacy import Pixelation, pixelate
from workbench.records import Box, Instance, MaskRLE, Role

SIZE = (640, 480)


def instance(boxes: dict[int, Box], role: Role = "bystander", masks: dict[int, MaskRLE] | None = None) -> Instance:
    return Instance(1, role, "person", "", "", 0, 100, boxes, masks or {})


def covers(outer: Box, inner: Box) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


def test_everything_from_one_tracked_box_to_the_next_is_hidden() -> None:
    hide = Pixelation([instance({10: (100, 100, 140, 220), 40: (300, 120, 340, 240)})], SIZE, 25.0)
    for frame in range(10, 41):
        share = (frame - 10) / 30
        there = (100 + 200 * share, 100 + 20 * share, 140 + 200 * share, 220 + 20 * share)
        assert covers(hide.boxes(frame)[0], there)


@pytest.mark.parametrize(("frame", "hidden"), [(0, True), (9, True), (65, True), (66, False), (200, False)])
def test_a_second_before_and_after_is_hidden(frame: int, hidden: bool) -> None:
    hide = Pixelation([instance({20: (100, 100, 140, 220), 40: (100, 100, 140, 220)})], SIZE, 25.0)
    boxes = hide.boxes(frame)
    assert bool(boxes) is hidden
    assert all(covers(box, (85, 50, 155, 270)) for box in boxes)


def test_a_mask_without_a_box_is_hidden_and_a_box_grows_to_its_mask() -> None:
    masks = {5: square(200, 100), 6: square(230, 100)}
    hide = Pixelation([instance({6: (200, 100, 240, 140)}, masks=masks)], SIZE, 25.0)
    assert covers(hide.boxes(5)[0], (200, 100, 240, 140))
    assert covers(hide.boxes(6)[0], (200, 100, 270, 140))


def test_only_bystanders_are_hidden() -> None:
    roles: tuple[Role, ...] = ("perpetrator", "victim", "object")
    hide = Pixelation([instance({0: (0, 0, 50, 50)}, role) for role in roles], SIZE, 25.0)
    picture = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    assert hide.count == 0
    assert (hide.paint(0, picture) == picture).all()
    assert Pixelation([instance({})], SIZE, 25.0).boxes(0) == []


@pytest.mark.parametrize("shape", [(480, 640), (240, 320), (96, 128), (960, 1280)])
def test_blocks_are_coarse_at_any_size_and_the_rest_is_untouched(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    before = picture.copy()
    hidden = pixelate(picture, [(100.0, 100.0, 200.0, 300.0), (-50.0, -50.0, -10.0, -10.0)], SIZE)
    assert (picture == before).all()
    scale = shape[1] / 640
    inside = hidden[int(100 * scale) : int(300 * scale), int(100 * scale) : int(200 * scale)]
    assert len(np.unique(inside.reshape(-1, 3), axis=0)) <= 7 * 4
    hidden[int(100 * scale) : int(300 * scale) + 1, int(100 * scale) : int(200 * scale) + 1] = 0
    before[int(100 * scale) : int(300 * scale) + 1, int(100 * scale) : int(200 * scale) + 1] = 0
    assert (hidden == before).all()
