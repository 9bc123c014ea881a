"""Overlays: pure pictures of heat, masks, boxes and labels; and the codec of masks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from workbench.errors import InputError
from workbench.masks import decode_rle, encode_rle, mask_area, mask_box
from workbench.overlays import (
    ROLE_COLOURS,
    blend_heatmap,
    draw_instances,
    label_chip,
    label_places,
    reach_of,
    rgb_of,
)
from workbench.records import ROLES, Instance

GREY = np.full((120, 200, 3), 100, np.uint8)


def instance(role: str = "victim", frame: int = 5, number: int = 1, box: tuple = (60, 40, 100, 90)) -> Instance:
    mask = np.zeros((120, 200), bool)
    mask[box[1] + 5 : box[3] - 5, box[0] + 5 : box[2] - 5] = True
    return Instance(number, role, "person", "", "", frame, frame, {frame: box}, {frame: encode_rle(mask)})


def test_cold_stays_clear_and_hot_is_covered() -> None:
    heat = np.zeros((6, 10), np.float32)
    heat[:, :4] = 1
    shown = blend_heatmap(GREY, heat, 0.6)
    assert shown.shape == GREY.shape
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown[:, 120:], GREY[:, 120:])
    assert np.abs(shown[:, :40].astype(int) - 100).max() > 60
    np.testing.assert_array_equal(blend_heatmap(GREY, heat, 0), GREY)
    np.testing.assert_array_equal(blend_heatmap(GREY, np.full((3, 3), np.nan), 1), GREY)
    assert (GREY == 100).all()  # the input is not drawn into


def test_more_heat_is_brighter() -> None:
    ground = np.zeros((40, 200, 3), np.uint8)
    shown = blend_heatmap(ground, np.linspace(0, 1, 50, dtype=np.float32)[None].repeat(10, 0), 1)
    luminance = (shown @ np.array([0.2126, 0.7152, 0.0722])).mean(0)
    assert all(later >= earlier - 0.5 for earlier, later in pairwise(luminance))


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan")])
def test_opacity_out_of_range_is_refused(opacity: float) -> None:
    with pytest.raises(InputError, match="opacity"):
        blend_heatmap(GREY, np.zeros((2, 2)), opacity)


@pytest.mark.parametrize("role", ROLES)
def test_an_instance_wears_the_colour_of_its_role(role: str) -> None:
    shown = draw_instances(GREY, [instance(role)], 5)
    colour = np.array(rgb_of(ROLE_COLOURS[role]))
    rows, columns = np.nonzero(np.all(np.abs(shown.astype(int) - colour) < 3, axis=2))
    assert rows.min() < 40  # the chip above the box
    assert {60, 99} <= set(columns.tolist())  # both sides of the box
    inside = shown[65, 80].astype(float)
    np.testing.assert_allclose(inside, 100 + (colour - 100) * 0.38, atol=2)
    np.testing.assert_array_equal(shown[110:], GREY[110:])


def test_layers_can_be_left_out() -> None:
    alone = draw_instances(GREY, [instance()], 5, masks=False, boxes=False, labels=False)
    np.testing.assert_array_equal(alone, GREY)
    no_mask = draw_instances(GREY, [instance()], 5, masks=False)
    np.testing.assert_array_equal(no_mask[55:75, 70:90], GREY[55:75, 70:90])


def test_only_what_is_seen_in_the_frame_is_drawn() -> None:
    np.testing.assert_array_equal(draw_instances(GREY, [instance(frame=5)], 7), GREY)
    held = draw_instances(GREY, [instance(frame=5)], 7, hold=2)
    np.testing.assert_array_equal(held, draw_instances(GREY, [instance(frame=5)], 5))


def tracked(frames: list[int]) -> Instance:
    boxes = {frame: (60.0 + frame % 7, 40.0, 100.0 + frame % 7, 90.0) for frame in frames}
    masks = {frame: instance().masks_rle[5] for frame in frames}
    return Instance(1, "victim", "person", "", "", frames[0], frames[-1], boxes, masks)


def test_an_instance_tracked_at_a_stride_does_not_blink() -> None:
    """A minute at 25 frames a second is tracked in 48 frames, 31 or 32 apart, and at its peak."""
    frames = sorted({*np.linspace(250, 1749, 48).round().astype(int).tolist(), 1000})
    minute = tracked(frames)
    for frame in range(250, 1750, 3):
        near = min(frames, key=lambda at: (abs(at - frame), at))
        shown = draw_instances(GREY, [minute], frame, labels=False, hold=6)
        np.testing.assert_array_equal(shown, draw_instances(GREY, [minute], near, labels=False))
    np.testing.assert_array_equal(draw_instances(GREY, [minute], 1749 + 17, hold=6), GREY)
    np.testing.assert_array_equal(draw_instances(GREY, [minute], frames[0] + 1), GREY)


def test_an_instance_is_not_held_where_it_was_looked_for_and_not_found() -> None:
    lost = tracked([0, 20, 40, 60, 160, 180, 200])
    seen = [frame for frame in range(201) if (draw_instances(GREY, [lost], frame, hold=6) != GREY).any()]
    assert seen == [*range(71), *range(150, 201)]


@pytest.mark.parametrize(
    ("frames", "reach"),
    [([5], 6), ([5, 400], 6), ([0, 4, 8, 12], 6), ([0, 31, 63, 94], 16), ([0, 900, 1800, 2700], 48)],
)
def test_how_far_an_instance_reaches_follows_its_stride(frames: list[int], reach: int) -> None:
    assert reach_of(tracked(frames), 6) == reach
    assert reach_of(tracked(frames), 0) == 0


def test_a_shrunk_picture_gets_shrunk_overlays() -> None:
    small = draw_instances(GREY[::2, ::2], [instance()], 5, labels=False, clip_size=(200, 120))
    rows, columns = np.nonzero((small != 100).any(2))
    # the corners are three pixels wide
    assert (rows.min(), columns.min()) >= (17, 27)
    assert (rows.max(), columns.max()) <= (47, 52)


def test_labels_stay_in_the_picture_and_apart() -> None:
    crowd = [instance(number=i, box=(0, 0, 40, 30)) for i in range(1, 4)]
    shown = draw_instances(GREY, crowd, 5, masks=False, boxes=False)
    used = np.flatnonzero((shown != 100).any((1, 2)))
    one = np.flatnonzero((draw_instances(GREY, crowd[:1], 5, masks=False, boxes=False) != 100).any((1, 2)))
    assert len(used) >= 3 * len(one) - 3


def chips_of(shown: np.ndarray, role: str) -> np.ndarray:
    """Where the chip of a role's colour is seen, bool `[H, W]`."""
    return np.all(np.abs(shown.astype(int) - rgb_of(ROLE_COLOURS[role])) < 3, axis=2)


def test_labels_of_instances_that_cross_hide_nothing_and_do_not_jump() -> None:
    """One walks through another, its box trembling by a pixel; both labels are whole in every frame."""
    frames = range(60)
    stands = dict.fromkeys(frames, (80, 50, 110, 100))
    walks = {frame: (20 + 2 * frame, 51 + frame % 3, 50 + 2 * frame, 99) for frame in frames}
    cast = [
        Instance(1, "victim", "person", "", "", 0, 59, stands, {}),
        Instance(2, "perpetrator", "person", "", "", 0, 59, walks, {}),
    ]
    places = label_places(cast, (200, 120), (200, 120))
    offsets: dict[str, set[int]] = {"victim": set(), "perpetrator": set()}
    for frame in frames:
        together = draw_instances(GREY, cast, frame, masks=False, boxes=False, places=places)
        for one in cast:
            alone = chips_of(draw_instances(GREY, [one], frame, masks=False, boxes=False), one.role)
            seen = chips_of(together, one.role)
            assert seen.sum() == alone.sum() > 100
            offsets[one.role].add(int(np.flatnonzero(seen.any(1))[0]) - int(one.boxes_xyxy[frame][1]))
    assert len(offsets["victim"]) == 1
    assert len(offsets["perpetrator"]) == 1 or max(offsets["perpetrator"]) - min(offsets["perpetrator"]) <= 2
    assert places == label_places(cast, (200, 120), (200, 120))


def test_a_crowd_on_one_spot_shows_all_its_labels() -> None:
    crowd = [instance(number=i, box=(60, 40, 100, 90)) for i in range(1, 6)]
    shown = draw_instances(GREY, crowd, 5, masks=False, boxes=False)
    one = draw_instances(GREY, crowd[:1], 5, masks=False, boxes=False)
    assert (shown != 100).any(2).sum() == pytest.approx(5 * (one != 100).any(2).sum(), rel=0.02)


def test_boxes_are_not_drawn_over_labels() -> None:
    lower, upper = instance(number=1, box=(60, 60, 100, 100)), instance("object", number=2, box=(50, 20, 110, 59))
    shown = chips_of(draw_instances(GREY, [lower, upper], 5, masks=False), "victim")
    alone = chips_of(draw_instances(GREY, [lower], 5, masks=False), "victim")
    rows = slice(60 - 20, 58)  # of the chip above the lower box
    assert shown[rows].sum() == alone[rows].sum() > 100


@pytest.mark.parametrize("box", [(-20, -20, 10, 10), (190, 110, 260, 180), (50, 50, 50, 50), (0, 0, 200, 120)])
def test_boxes_at_and_over_the_edge_do_not_fail(box: tuple) -> None:
    seen = Instance(1, "object", "bag", "", "", 0, 0, {0: box}, {})
    assert draw_instances(GREY, [seen], 0).shape == GREY.shape


def test_label_text_contrasts_with_its_chip() -> None:
    def luminance(rgb: np.ndarray) -> np.ndarray:
        return ((rgb / 255) ** 2.2) @ np.array([0.2126, 0.7152, 0.0722])

    for colour in ROLE_COLOURS.values():
        chip, cover = label_chip("1 victim", rgb_of(colour), 14)
        light = luminance(chip)[cover > 0.99]
        assert (light.max() + 0.05) / (light.min() + 0.05) > 4.5  # WCAG AA


def test_masks_survive_their_codec() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = rng.random(rng.integers(1, 40, 2)) > rng.random()
        np.testing.assert_array_equal(decode_rle(encode_rle(mask)), mask)
        assert mask_area(encode_rle(mask)) == mask.sum()
    blob = np.zeros((480, 852), bool)
    blob[100:300, 200:500] = True
    rle = encode_rle(blob)
    assert rle["size"] == [480, 852]
    np.testing.assert_array_equal(decode_rle(rle), blob)
    assert mask_box(blob) == (200, 100, 500, 300)
    assert mask_box(np.zeros((4, 4), bool)) is None


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [4, 4], "counts": "0"},
        {"size": [400, 400], "counts": encode_rle(np.ones((4, 4), bool))["counts"]},
        {"size": [4], "counts": "`0"},
        {"size": [4, 4], "counts": "é"},
        {"size": [-4, -4], "counts": "`0"},
        {"size": [4, 4]},
        {"size": [4, 4], "counts": [16]},
    ],
)
def test_a_mask_that_is_none_is_refused(rle: dict) -> None:
    for read in (decode_rle, mask_area):
        with pytest.raises(InputError, match=r"[Mm]ask"):
            read(rle)
