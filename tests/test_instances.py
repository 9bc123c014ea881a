"""Instances: evidence becomes boxes, boxes become masks that are followed, and captions are read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.drawn import moving_square, write_clip
from tests.tiny_stack import tiny_stack as build_stack
from workbench.analysis import analyse
from workbench.instances import find_instances, kind_of, parse_caption, peak_boxes
from workbench.masks import decode_rle
from workbench.records import Analysis, Event
from workbench.stack.segmenter import Segmenter, SegmenterSpec
from workbench.video import Clip
from workbench.views import close_up, highlight, pick_views


def bump(rows: slice, columns: slice, height: float = 1.0) -> np.ndarray:
    evidence = np.zeros((16, 16), np.float32)
    evidence[rows, columns] = height
    return evidence


def test_a_single_spot_becomes_its_box() -> None:
    evidence = bump(slice(4, 7), slice(8, 10), 0.6)
    evidence[5, 8] = 0.9
    (box,) = peak_boxes(evidence, width=320, height=240)
    assert box == (160.0, 60.0, 200.0, 105.0)


def test_two_people_who_touch_become_two_boxes() -> None:
    evidence = bump(slice(5, 9), slice(4, 12), 0.55)
    evidence[6, 5], evidence[6, 10] = 1.0, 0.9
    left, right = peak_boxes(evidence, width=160, height=160)
    assert left[2] <= right[0]
    assert (left[0], right[2]) == (40.0, 120.0)


def test_a_maximum_that_lies_between_hot_cells_still_gives_a_box() -> None:
    """Blurred, the middle of a ring of hot cells is the highest, though it is cold itself."""
    evidence = np.zeros((16, 16), np.float32)
    evidence[6, 6] = evidence[6, 8] = evidence[8, 6] = evidence[8, 8] = 1.0
    evidence[7, 6] = evidence[7, 8] = evidence[6, 7] = evidence[8, 7] = 0.49
    evidence[7, 7] = 0.49
    assert len(peak_boxes(evidence, 160, 160)) >= 1


def test_cold_evidence_proposes_nobody() -> None:
    assert peak_boxes(np.full((16, 16), 0.05, np.float32), 320, 240) == []


def test_at_most_four_boxes_strongest_first() -> None:
    evidence = np.zeros((16, 16), np.float32)
    for number, (row, column) in enumerate([(1, 1), (1, 8), (8, 1), (8, 8), (14, 14), (14, 3)]):
        evidence[row, column] = 1.0 - 0.05 * number
    boxes = peak_boxes(evidence, 160, 160)
    assert [(b[1] // 10, b[0] // 10) for b in boxes] == [(1, 1), (1, 8), (8, 1), (8, 8)]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Analysis, list]:
    folder = tmp_path_factory.mktemp("instances")
    stack = build_stack(folder, segmenter=Segmenter.load(SegmenterSpec.untrained()))
    with Clip.open(write_clip(folder / "square.mp4", moving_square, n_frames=40)) as clip:
        analysis = analyse(clip, stack, cache_dir=folder / "cache")
        analysis = replace(analysis, events=[Event(0.4, 1.2, 0.8, 0.9)])
        stages: list[tuple[str, float]] = []
        instances = find_instances(clip, stack, analysis, lambda stage, done, _curve: stages.append((stage, done)))
    assert stages[-1] == ("instances", 1.0)
    return analysis, instances


def test_instances_stay_inside_their_event_and_picture(found: tuple[Analysis, list]) -> None:
    analysis, instances = found
    assert [i.id for i in instances] == list(range(1, len(instances) + 1))
    for instance in instances:
        assert 9 <= instance.first_frame <= instance.last_frame <= 30
        assert instance.boxes_xyxy.keys() == instance.masks_rle.keys()
        for frame, rle in instance.masks_rle.items():
            mask = decode_rle(rle)
            assert mask.shape == (analysis.clip.height, analysis.clip.width)
            x0, y0, x1, y1 = (int(v) for v in instance.boxes_xyxy[frame])
            assert mask[y0:y1, x0:x1].sum() == mask.sum() > 0


def test_a_caption_is_read_in_parts() -> None:
    caption = parse_caption("Role: victim. Appearance: a person in a red jacket. Motion: falls to the ground.")
    assert (caption.role, caption.appearance, caption.motion) == (
        "victim",
        "a person in a red jacket",
        "falls to the ground",
    )
    assert parse_caption("gibberish").role == "bystander"
    assert parse_caption("Role: wizard. Appearance: x. Motion: y.").role == "bystander"


@pytest.mark.parametrize(
    ("appearance", "kind"),
    [
        ("a person in a red jacket with a black backpack", "person"),
        ("a white van", "van"),
        ("a fire", "fire"),
        ("", "object"),
    ],
)
def test_the_kind_is_the_first_thing_named(appearance: str, kind: str) -> None:
    assert kind_of(appearance) == kind


def test_views_show_the_instance_and_dim_the_rest() -> None:
    picture = np.full((100, 200, 3), 200, np.uint8)
    mask = np.zeros((100, 200), bool)
    mask[40:60, 150:160] = True
    lit = highlight(picture, mask)
    assert (lit[45:55, 152:158] == 200).all()
    assert lit[10, 10].max() < 120
    crop = close_up(picture, mask)
    assert crop.shape[0] == crop.shape[1] < 60
    assert close_up(picture, np.zeros_like(mask)).shape == picture.shape
    wide, close = pick_views(list(range(10, 21)))
    assert (wide, len(close)) == ([10, 15, 20], 2)
    assert pick_views([7]) == ([7, 7, 7], [7, 7])


def test_a_clip_without_events_has_no_instances(tmp_path: Path, found: tuple[Analysis, list]) -> None:
    stack = build_stack(tmp_path, segmenter=Segmenter.load(SegmenterSpec.untrained()))
    with Clip.open(write_clip(tmp_path / "calm.mp4", n_frames=10)) as clip:
        assert find_instances(clip, stack, replace(found[0], events=[])) == []
