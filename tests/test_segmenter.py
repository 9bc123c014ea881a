"""The segmenter: building and loading, prompts, tracks, and the recipe that trains it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from finetune.segmenter import SegmenterRecipe, save, train
from finetune.segmenter_data import FrameCache, Sampler
from finetune.segmenter_eval import iou
from workbench.errors import InputError, StackError
from workbench.stack.segmenter import MAX_WINDOW, Prompt, Segmenter, SegmenterSpec, ZoomConfig
from workbench.stack.segmenter_net import (
    SMALL_CONFIG,
    build_net,
    image_features,
    load_weights,
    published_config,
    read_config,
)
from workbench.stack.segmenter_view import View, box_of, cut, paste, paste_mean


class DrawnScene:
    """A square that walks over a plain floor, with a standing disc beside its way; entity 1 and entity 2."""

    n_frames = 20
    fps = 10

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.floor = rng.integers(90, 130, 3)
        self.colour = rng.integers(0, 2, 3) * 200 + 20
        self.start = rng.integers(8, 24, 2)

    def render(self, i: int) -> SimpleNamespace:
        rgb = np.empty((72, 96, 3), np.uint8)
        rgb[:] = self.floor
        ids = np.zeros((72, 96), np.uint8)
        x, y = int(self.start[0] + 2 * i), int(self.start[1] + i)
        cv2.circle(rgb, (80, 60), 8, (30, 30, 160), -1)
        cv2.circle(ids, (80, 60), 8, 2, -1)
        rgb[y : y + 20, x : x + 12] = self.colour
        ids[y : y + 20, x : x + 12] = 1
        return SimpleNamespace(rgb=rgb, ids=ids)


@pytest.fixture(scope="module")
def untrained() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter.load(SegmenterSpec.untrained())


@pytest.fixture(scope="module")
def window() -> list[tuple[int, np.ndarray]]:
    scene = DrawnScene(1)
    return [(10 + 2 * i, scene.render(i).rgb) for i in range(12)]


def tracks(run: Iterator[tuple[int, dict[int, np.ndarray]]]) -> dict[tuple[int, int], np.ndarray]:
    found: dict[tuple[int, int], np.ndarray] = {}
    for frame, masks in run:
        for instance, mask in masks.items():
            assert (frame, instance) not in found, "a pair of frame and instance came twice"
            found[frame, instance] = mask
    return found


# --- building and loading


def test_small_net_is_small(untrained: Segmenter) -> None:
    assert 2e6 < untrained.n_parameters < 4e6
    assert untrained.size == 128
    assert untrained.net.fill_hole_area == 0


def test_building_leaves_hydra_as_found() -> None:
    from hydra.core.global_hydra import GlobalHydra

    before = GlobalHydra.instance().is_initialized()
    build_net(read_config(SegmenterSpec.untrained().config))
    assert GlobalHydra.instance().is_initialized() == before


def test_state_dict_errors_list_the_keys(tmp_path: Path, untrained: Segmenter) -> None:
    state = dict(untrained.net.state_dict())
    state.pop("no_mem_embed")
    state["surplus.weight"] = torch.zeros(1)
    state["maskmem_tpos_enc"] = torch.zeros(3, 1, 1, 48)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(StackError) as raised:
        load_weights(untrained.net, tmp_path / "model.safetensors")
    for expected in ("missing: no_mem_embed", "unexpected: surplus.weight", "wrong shape: maskmem_tpos_enc"):
        assert expected in str(raised.value)


def test_published_checkpoint_form_loads(tmp_path: Path, untrained: Segmenter) -> None:
    torch.save({"model": untrained.net.state_dict()}, tmp_path / "sam2.pt")
    spec = SegmenterSpec(config=SegmenterSpec.untrained().config, weights=tmp_path / "sam2.pt")
    loaded = Segmenter.load(spec)
    assert torch.equal(loaded.net.no_mem_embed, untrained.net.no_mem_embed)


def test_checkpoints_are_not_executed(tmp_path: Path, untrained: Segmenter) -> None:
    torch.save({"model": SimpleNamespace(a=1)}, tmp_path / "evil.pt")
    with pytest.raises(StackError, match="cannot be read"):
        load_weights(untrained.net, tmp_path / "evil.pt")


def test_config_may_only_name_sam2_classes() -> None:
    config = read_config(SegmenterSpec.untrained().config)
    config["memory_attention"]["layer"]["_target_"] = "os.system"
    with pytest.raises(StackError, match=r"os\.system"):
        read_config(config)


@pytest.mark.parametrize("size", ["tiny", "small", "base-plus", "large"])
def test_published_configs_are_read(size: str) -> None:
    config = read_config(published_config(size))
    assert config["image_size"] == 1024
    assert config["_target_"].endswith("SAM2VideoPredictor")
    assert config["fill_hole_area"] == 0


def test_unknown_size_and_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="base-plus"):
        SegmenterSpec.published("huge")
    with pytest.raises(StackError, match=r"config\.json"):
        SegmenterSpec.bundled(tmp_path)


def test_features_equal_those_of_sam2(untrained: Segmenter) -> None:
    images = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours = image_features(untrained.net, images)
        _, maps, positions, sizes = untrained.net._prepare_backbone_features(untrained.net.forward_image(images))
    assert ours.sizes == sizes
    for a, b in zip(ours.maps, maps, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.positions[-1], positions[-1])


# --- views


@pytest.mark.parametrize("view", [View(0, 0, 96, 72), View(-20, 30, 64, 64), View(60, -10, 50, 50)])
def test_cut_and_paste_agree(view: View) -> None:
    ids = DrawnScene(1).render(6).ids
    truth = ids > 0
    seen = cut(ids.clip(0, 1) * 255, view, 192)
    back = paste(torch.from_numpy(seen.astype(np.float32) - 127.5), view, truth.shape)
    inside = np.zeros_like(truth)
    inside[max(view.y0, 0) : view.y0 + view.height, max(view.x0, 0) : view.x0 + view.width] = True
    assert iou(back, truth & inside) > 0.93
    assert not back[~inside].any()


def test_a_mean_of_views_is_taken_where_they_see() -> None:
    """Two views disagree where both look; beyond the smaller one the larger decides alone."""
    small, large = View(20, 20, 20, 20), View(20, 20, 20, 20).resized(2.0)
    assert (large.x0, large.y0, large.width, large.height) == (10, 10, 40, 40)
    no, yes = torch.full((8, 8), -2.0), torch.full((8, 8), 1.0)
    mask = paste_mean(torch.stack([no, yes]), [small, large], (60, 60))
    assert not mask[20:40, 20:40].any()
    assert mask.sum() == 40 * 40 - 20 * 20


def test_view_far_outside_the_picture_is_black() -> None:
    assert not cut(np.full((20, 30, 3), 255, np.uint8), View(100, 100, 10, 10), 16).any()


# --- prompts


@pytest.mark.parametrize("zoom", [None, ZoomConfig()])
@pytest.mark.parametrize(
    "prompt",
    [
        {"box": (20, 20, 40, 50)},
        {"points": [(30.0, 30.0)]},
        {"points": [(30.0, 30.0), (5.0, 5.0)], "labels": [1, 0]},
        {"box": (20, 20, 40, 50), "points": [(30.0, 30.0)], "labels": [0]},
    ],
)
def test_mask_has_the_size_of_the_picture(untrained: Segmenter, zoom: ZoomConfig | None, prompt: dict) -> None:
    spec = SegmenterSpec(config=untrained.spec.config, zoom=zoom)
    mask, score = Segmenter(untrained.net, spec).mask(DrawnScene(1).render(5).rgb, **prompt)
    assert mask.shape == (72, 96)
    assert mask.dtype == bool
    assert 0 <= score <= 1


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ({}, "empty"),
        ({"box": (200, 10, 220, 40)}, "covers no pixel"),
        ({"box": (40, 10, 20, 40)}, "covers no pixel"),
        ({"box": (float("nan"), 10, 20, 40)}, "covers no pixel"),
        ({"points": [(5.0, 5.0)], "labels": [0]}, "only negative"),
        ({"points": [(5.0, 5.0)], "labels": [1, 1]}, "every point needs a label"),
        ({"points": [(500.0, 5.0)]}, "outside"),
    ],
)
def test_unusable_prompts_are_refused(untrained: Segmenter, prompt: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        untrained.mask(DrawnScene(1).render(0).rgb, **prompt)


def test_pictures_of_another_type_are_refused(untrained: Segmenter) -> None:
    with pytest.raises(InputError, match="uint8"):
        untrained.mask(np.zeros((20, 20, 3), np.float32), box=(1, 1, 9, 9))


# --- tracks


@pytest.mark.parametrize("zoom", [None, ZoomConfig()])
def test_every_frame_and_instance_comes_once(untrained: Segmenter, window: list, zoom: ZoomConfig | None) -> None:
    segmenter = Segmenter(untrained.net, SegmenterSpec(config=untrained.spec.config, zoom=zoom))
    truth = np.zeros((72, 96), bool)
    truth[50:60, 70:80] = True
    prompts = [
        Prompt(1, 16, box=(20, 20, 40, 50)),
        Prompt(2, 16, points=[(80.0, 60.0)], labels=[1]),
        Prompt(3, 20, mask=truth),
    ]
    seen: list[float] = []
    found = tracks(segmenter.track(window, prompts, seen.append))
    assert sorted(found) == sorted((index, i) for index, _ in window for i in (1, 2, 3))
    assert all(mask.shape == (72, 96) and mask.dtype == bool for mask in found.values())
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)
    assert iou(found[20, 3], truth) > 0.75


def test_whole_picture_tracks_equal_the_predictor(
    untrained: Segmenter, window: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The predictor of the package, fed with the same frames, gives the same masks in both directions."""
    import sam2.sam2_video_predictor as reference

    segmenter = Segmenter(untrained.net, SegmenterSpec(config=untrained.spec.config, zoom=None))
    size = segmenter.size
    pictures = torch.stack(
        [torch.from_numpy(cut(rgb, View.whole((72, 96)), size)).permute(2, 0, 1).float() / 255 for _, rgb in window]
    )
    images = (pictures - segmenter._mean) / segmenter._std
    monkeypatch.setattr(reference, "load_video_frames", lambda **_: (images, 72, 96))
    prompts = [Prompt(1, 18, box=(20, 20, 40, 50)), Prompt(2, 18, points=[(60.0, 30.0), (5.0, 5.0)], labels=[1, 0])]
    expected: dict[tuple[int, int], np.ndarray] = {}
    with segmenter.step():
        state = segmenter.net.init_state("unused")
        for p in prompts:
            segmenter.net.add_new_points_or_box(state, 4, p.instance_id, points=p.points, labels=p.labels, box=p.box)
        for reverse in (False, True):
            for t, ids, logits in segmenter.net.propagate_in_video(state, start_frame_idx=4, reverse=reverse):
                expected |= {(window[t][0], i): (m[0] > 0).numpy() for i, m in zip(ids, logits, strict=True)}
    found = tracks(segmenter.track(window, prompts))
    assert found.keys() == expected.keys()
    assert np.mean([(found[k] == expected[k]).mean() for k in found]) > 0.99


def test_cancelled_track_leaves_the_segmenter_usable(untrained: Segmenter, window: list) -> None:
    prompts = [Prompt(1, 10, box=(20, 20, 40, 50))]
    whole = tracks(untrained.track(window, prompts))
    run = untrained.track(window, prompts)
    next(run)
    next(run)
    untrained.mask(window[0][1], box=(20, 20, 40, 50))
    run.close()
    again = tracks(untrained.track(window, prompts))
    assert all(np.array_equal(whole[key], again[key]) for key in whole)


@pytest.mark.parametrize(
    ("frames", "prompts", "said"),
    [
        ([], [Prompt(1, 0, box=(1, 1, 9, 9))], "no frames"),
        ([0, 1], [], "at least one prompt"),
        ([0, 1], [Prompt(1, 5, box=(1, 1, 9, 9))], "not among"),
        ([1, 1], [Prompt(1, 1, box=(1, 1, 9, 9))], "in order"),
        ([0, 1], [Prompt(1, 1, box=(1, 1, 9, 9)), Prompt(1, 1, points=[(4, 4)], labels=[1])], "two prompts"),
        (range(MAX_WINDOW + 1), [Prompt(1, 1, box=(1, 1, 9, 9))], f"longer than {MAX_WINDOW}"),
    ],
)
def test_unusable_windows_are_refused(
    untrained: Segmenter, frames: list[int], prompts: list[Prompt], said: str
) -> None:
    rgb = np.zeros((24, 32, 3), np.uint8)
    with pytest.raises(InputError, match=said):
        list(untrained.track(((i, rgb) for i in frames), prompts))


def test_one_frame_window(untrained: Segmenter, window: list) -> None:
    assert list(tracks(untrained.track(window[:1], [Prompt(7, 10, box=(20, 20, 40, 50))]))) == [(10, 7)]


# --- the recipe


def toy(**changes: object) -> SegmenterRecipe:
    values = {"n_scenes": 6, "length": 4, "picture_batch": 4, "video_batch": 2, "video_length": 3, "warmup_steps": 4}
    return SegmenterRecipe(**(values | {"picture_steps": 4, "video_steps": 2, "save_every": 3} | changes))  # type: ignore[arg-type]


def test_batches_depend_on_the_step_alone(tmp_path: Path) -> None:
    cache = FrameCache.build(tmp_path, DrawnScene, range(4), per_scene=1, length=4)
    a, b = (Sampler(cache, 128, seed=3).pictures(5, 3) for _ in range(2))
    assert np.array_equal(a.images, b.images)
    assert np.array_equal(a.boxes, b.boxes)
    for target, box, click_target, click in zip(a.box_targets, a.boxes, a.click_targets, a.clicks, strict=True):
        tight = np.array(box_of(target)).reshape(2, 2)
        assert np.abs(box - tight).max() <= 20
        assert click_target[int(click[0, 1]), int(click[0, 0])]


def test_resume_equals_uninterrupted(tmp_path: Path) -> None:
    train(toy(), tmp_path / "whole", make_scene=DrawnScene)
    train(toy(), tmp_path / "parts", make_scene=DrawnScene, stop_after=5)
    train(toy(), tmp_path / "parts", make_scene=DrawnScene)
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    assert (tmp_path / "whole" / "model.safetensors").stat().st_size < 10e6
    Segmenter.load(SegmenterSpec.bundled(tmp_path / "whole"))


def test_a_run_can_start_from_trained_weights(tmp_path: Path, untrained: Segmenter) -> None:
    save(untrained.net, read_config(SMALL_CONFIG), SegmenterRecipe(), tmp_path / "old", {})
    train(toy(start=str(tmp_path / "old"), lr=0.0, video_lr=0.0), tmp_path / "new", make_scene=DrawnScene)
    old, new = (load_file(tmp_path / name / "model.safetensors") for name in ("old", "new"))
    assert all(torch.equal(old[key], new[key]) for key in old)


@pytest.mark.slow
def test_training_lowers_the_loss(tmp_path: Path) -> None:
    lines: list[dict[str, float]] = []
    train(toy(picture_steps=60, video_steps=0), tmp_path, lines.append, make_scene=DrawnScene)
    assert lines[-1]["loss"] < 0.75 * lines[0]["loss"]
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged] == [20, 40, 60]


def test_saved_weights_answer_alike(tmp_path: Path, untrained: Segmenter) -> None:
    """float16 storage changes no more than a few border pixels."""
    save(untrained.net, read_config(SMALL_CONFIG), SegmenterRecipe(), tmp_path, {})
    loaded = Segmenter.load(SegmenterSpec.bundled(tmp_path))
    picture = DrawnScene(1).render(5).rgb
    a, b = (s.mask(picture, box=(20, 20, 40, 50))[0] for s in (untrained, loaded))
    assert (a == b).mean() > 0.95
