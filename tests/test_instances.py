"""Instances: evidence becomes boxes, boxes become masks that are followed, and captions are read."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest

from finetune.scenes import sample_scene
from tests.drawn import moving_square, write_clip
from tests.tiny_stack import tiny_stack as build_stack
from workbench.analysis import analyse
from workbench.instances import Caption, find_instances, kind_of, parse_caption
from workbench.masks import decode_rle
from workbench.proposals import MAX_CLICKS, overlap, peaks_of, propose
from workbench.records import Analysis, Event
from workbench.stack.loading import ModelStack
from workbench.stack.segmenter import Segmenter, SegmenterSpec
from workbench.video import Clip
from workbench.views import close_up, highlight, pick_views


def bump(rows: slice, columns: slice, height: float = 1.0) -> np.ndarray:
    evidence = np.zeros((16, 16), np.float32)
    evidence[rows, columns] = height
    return evidence


def test_a_single_spot_has_one_peak_where_it_is_hottest() -> None:
    evidence = bump(slice(4, 7), slice(8, 10), 0.6)
    evidence[5, 8] = 0.9
    (x, y), *others = peaks_of(evidence, width=320, height=240)
    assert abs(x - 170) < 12
    assert abs(y - 82) < 10
    assert all(4 * 15 - 20 < other[1] < 7 * 15 + 20 for other in others), "what else counts lies in the spot"


def test_two_people_who_touch_have_a_peak_each() -> None:
    evidence = bump(slice(5, 9), slice(4, 12), 0.55)
    evidence[6, 5], evidence[6, 10] = 1.0, 0.9
    left, right = sorted(peaks_of(evidence, width=160, height=160)[:2])
    assert abs(left[0] - 55) < 8
    assert abs(right[0] - 105) < 8


def test_cold_evidence_proposes_nobody() -> None:
    assert peaks_of(np.full((16, 16), 0.05, np.float32), 320, 240) == []
    segmenter = Segmenter.load(SegmenterSpec.untrained())
    assert propose(segmenter, np.zeros((48, 64, 3), np.uint8), np.full((16, 16), 0.05, np.float32), 4) == []


def test_peaks_come_strongest_first_and_are_so_many_at_most() -> None:
    evidence = np.zeros((16, 16), np.float32)
    for number, (row, column) in enumerate([(1, 1), (1, 8), (8, 1), (8, 8), (14, 14), (14, 3)]):
        evidence[row, column] = 1.0 - 0.05 * number
    peaks = peaks_of(evidence, 160, 160)
    assert [(y // 10, x // 10) for x, y in peaks[:4]] == [(1, 1), (1, 8), (8, 1), (8, 8)]
    assert len(peaks_of(np.ones((16, 16), np.float32), 160, 160)) == MAX_CLICKS


def test_actors_of_the_street_world_are_found(bundled_stack: ModelStack) -> None:
    """With evidence as coarse as a heatmap's, about where the actors are, most of them get a mask of their own."""
    found = []
    for seed in range(12):
        scene = sample_scene(971_000 + seed, category=("assault", "fighting", "robbery")[seed % 3])
        event = scene.truth.events[0]
        frame = scene.render((event.start_frame + event.end_frame) // 2)
        truth = [frame.ids == i for i in event.entity_ids if (frame.ids == i).sum() >= 60]
        hot = np.isin(frame.ids, event.entity_ids).astype(np.float32)
        evidence = cv2.resize(cv2.GaussianBlur(hot, (0, 0), 6), (16, 16), interpolation=cv2.INTER_AREA)
        masks = propose(bundled_stack.segmenter, frame.rgb, np.clip(2 * evidence, 0, 1), 4)
        assert len(masks) <= 4
        assert all(overlap(a, b) < 0.5 for a, b in combinations(masks, 2))
        found += [max((overlap(mask, one) for mask in masks), default=0.0) for one in truth]
    assert len(found) > 20
    assert np.mean(np.array(found) > 0.4) > 0.5


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
    assert parse_caption("Role: victim of the perpetrator. Appearance: x. Motion: y.").role == "victim"
    assert parse_caption("Role: wizard. Appearance: x. Motion: y.").role == "bystander"


@pytest.mark.parametrize(
    "answer",
    [
        "**Role:** victim\n**Appearance:** A man in a red T-shirt.\n**Motion:** Walking to the left.",
        "**Role**: victim\n\n**Appearance**: A man in a red T-shirt\n\n**Motion**: *Walking to the left.*",
        "- **Role:** Victim\n- **Appearance:** A man in a __red__ T-shirt.\n- **Motion:** Walking to the left.",
        "1. Role: _victim_\n2. Appearance: A man in a _red_ T-shirt.\n3. Motion: `Walking to the left.`",
        "### Role: victim\n### Appearance: A man in a red T-shirt.\n### Motion:\n* Walking to the left.\n",
        "* **Role: victim**\n* **Appearance: A man in a red T-shirt.**\n* **Motion: Walking to the left.**",
    ],
)
def test_a_caption_in_markdown_is_read_without_its_marks(answer: str) -> None:
    assert parse_caption(answer) == Caption("victim", "A man in a red T-shirt", "Walking to the left")


def test_signs_that_are_no_markdown_stay_in_a_caption() -> None:
    said = parse_caption("Role: object. Appearance: a half-open bag_2 of 3.5 kg - black. Motion: none.")
    assert said == Caption("object", "a half-open bag_2 of 3.5 kg - black", "none")


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
