"""Views of other benchmark families: the mast, the car, the panorama; and that they change no older scene."""

import numpy as np
import pytest

from finetune.scenes import ANOMALIES, VIEWS, WIDE_VIEWS, Scene, sample_scene, write_world
from finetune.scenes.bodies import Person
from finetune.scenes.wide import WIDE_PLACES
from workbench.errors import InputError

SHORT = (6, 7)


@pytest.fixture(scope="module")
def drive() -> Scene:
    return sample_scene(11, category="collision", view="dashcam", seconds=SHORT, fps=10)


def test_they_are_drawn_only_when_asked_for() -> None:
    usual = {sample_scene(seed, seconds=SHORT, fps=8).truth.view for seed in range(30)}
    wide = [sample_scene(seed, seconds=SHORT, fps=8, wide=True).truth for seed in range(60)]
    assert usual <= set(VIEWS)
    assert set(WIDE_VIEWS) <= {truth.view for truth in wide} <= {*VIEWS, *WIDE_VIEWS}
    assert len({truth.category for truth in wide}) > 6


def test_every_kind_of_event_that_fits_a_view_can_be_drawn_in_it() -> None:
    assert set(WIDE_PLACES) == set(ANOMALIES)
    for category, views in WIDE_PLACES.items():
        for view in views:
            truth = sample_scene(3, category=category, view=view, seconds=SHORT, fps=8).truth
            assert (truth.category, truth.view, truth.label) == (category, view, 1)
            assert category in truth.video.judgement
    with pytest.raises(InputError, match="cannot happen"):
        sample_scene(3, category="fire", view="dashcam")


@pytest.mark.parametrize("view", WIDE_VIEWS)
def test_a_frame_is_drawn_from_the_plan_alone(view: str) -> None:
    one, two = (sample_scene(5, view=view, seconds=SHORT) for _ in range(2))
    later = two.render(two.n_frames - 1)
    for i in (0, one.n_frames // 2, one.n_frames - 1):
        assert np.array_equal(one.render(i).rgb, two.render(i).rgb)
        assert np.array_equal(one.render(i).ids, two.render(i).ids)
    assert np.array_equal(later.rgb, one.render(one.n_frames - 1).rgb)
    assert one.render(0).rgb.shape == (240, 320, 3)
    assert one.render(0).ids.shape == (240, 320)


@pytest.mark.parametrize(("category", "view"), [("running", "walkway"), ("collision", "dashcam"), ("fire", "panorama")])
def test_masks_show_who_takes_part(category: str, view: str) -> None:
    scene = sample_scene(8, category=category, view=view, seconds=SHORT, fps=10)
    event = scene.truth.events[0]
    found = dict.fromkeys(event.entity_ids, 0)
    for frame in range(event.start_frame, event.end_frame, 4):
        ids = scene.render(frame).ids
        for entity in found:
            found[entity] = max(found[entity], int((ids == entity).sum()))
    assert min(found.values()) > 20


def test_the_walkway_is_grey_soft_and_slow() -> None:
    scene = sample_scene(2, category="running", view="walkway", seconds=SHORT)
    sharp = sample_scene(2, category="running", view="plaza", seconds=SHORT)
    assert scene.fps == 10
    rgb = scene.render(0).rgb.astype(int)
    assert np.abs(rgb[..., 0] - rgb[..., 2]).mean() < 6, "only the noise has colour"
    edges = [np.abs(np.diff(s.view.picture[..., 1].astype(int), axis=1)).mean() for s in (scene, sharp)]
    assert edges[0] > 0
    assert scene.view.soft < 1 == sharp.view.soft


def test_the_road_comes_nearer_and_the_car_stops_before_the_wreck(drive: Scene) -> None:
    travel = drive.view.travel
    assert travel is not None
    assert (np.diff(travel) >= 0).all()
    assert travel[-1] > 10
    assert travel[-1] == pytest.approx(travel[-3]), "it stands at the end"
    first, second = (drive.view.backdrop(i).astype(int) for i in (0, 8))
    assert np.abs(first - second).mean() > 4
    event = drive.truth.events[0]
    wreck = drive.by_id[event.entity_ids[0]]
    assert wreck.track.z[-1] > 3, "ahead of the camera, not run over"


def test_motion_is_told_over_the_ground_not_as_the_camera_sees_it() -> None:
    """A walker on the pavement walks, however fast the camera passes."""
    scene = next(
        s
        for s in (sample_scene(k, category="normal", view="dashcam", seconds=SHORT, fps=10) for k in range(20, 40))
        if any(isinstance(t, Person) and t.seen.any() for t in s.things)
    )
    walker = next(t for t in scene.things if isinstance(t, Person) and t.seen.any())
    assert np.median(walker.track.speed) > 3 > np.median(walker.ground.speed)
    assert "runs" not in scene.truth.entity(walker.entity).motion


def test_the_panorama_is_seen_all_round() -> None:
    """Straight ahead the picture is as it is drawn; towards the poles rows crowd, and the last ones are all sky."""
    scene = sample_scene(6, category="normal", view="panorama", seconds=SHORT, fps=8)
    rows = scene.view.rows
    assert rows is not None
    assert len(rows) == 240
    steps = np.diff(rows)
    assert steps[118:122] == pytest.approx(1.0, abs=0.02), "one pixel is one pixel at the horizon"
    assert steps[60] > 1.3
    assert steps[:20] == pytest.approx(0.0), "beyond what is drawn"
    assert scene.inner[0] == 480
    turned = 2 * np.pi * scene.view.camera.focal
    assert turned == pytest.approx(480, rel=0.01), "the whole circle"


def test_a_wide_world_is_written_with_its_truth(tmp_path) -> None:
    clips = write_world(tmp_path, 2, seed=70, seconds=(6, 6.2), view="panorama", wide=True)
    assert all("panorama" in clip.name for clip in clips)
