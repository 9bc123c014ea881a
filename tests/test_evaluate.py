"""From measured clips to metrics.json: what applies is there, what does not is absent, intervals are by clip."""

import argparse
import csv
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from finetune import evaluate as evaluation
from finetune import measure
from finetune.__main__ import main
from finetune.crew import Crew
from finetune.data import read_data
from finetune.measure import ClipResult
from finetune.metrics import PixelTally, roc_auc
from finetune.scenes.truth import EventTruth, SceneTruth, TruthFile, VideoText, truth_to_json
from finetune.scenes.write import write_world
from workbench.errors import DataError, InputError, StackError
from workbench.masks import encode_rle
from workbench.records import Heatmaps
from workbench.stack.loading import ModelStack
from workbench.stack.segmenter import Segmenter, SegmenterSpec

H, W, N = 24, 32, 10


def square(x: int, y: int, side: int = 6) -> np.ndarray:
    mask = np.zeros((H, W), bool)
    mask[y : y + side, x : x + side] = True
    return mask


def moving_square() -> TruthFile:
    """Entity 1 moves right all the time and is abnormal in frames 4 … 7; entity 2 stands in a corner."""
    label = np.array([4 <= i < 8 for i in range(N)], np.uint8)
    event = EventTruth("running", 4, 8, [1])
    text = VideoText("", "", "")
    truth = SceneTruth("scene", 0, W, H, 10, N, "street", {}, 1, label, "running", [event], [], [], text, [])
    masks = {
        1: {i: encode_rle(square(2 * i, 9)) for i in range(N)},
        2: {i: encode_rle(square(26, 0)) for i in range(N)},
    }
    return TruthFile(truth, masks)


def result(name: str, label: int | None, score: float, **values: object) -> ClipResult:
    scores = np.full(N, score, np.float32)
    return ClipResult(name, label, values.pop("category", None), highest=score, frame_score=scores, **values)


def test_anomaly_mask_holds_the_entities_of_running_events_only() -> None:
    file = moving_square()
    assert not measure.anomaly_mask(file, 3).any()
    assert np.array_equal(measure.anomaly_mask(file, 4), square(8, 9))
    assert not measure.anomaly_mask(file, 8).any()
    assert not measure.entity_mask(file, 7, 4).any()  # an entity that is not there


def test_pixels_of_a_perfect_coarse_heatmap() -> None:
    file = moving_square()
    dense = np.arange(0, N, 2)
    heat = np.stack([measure.anomaly_mask(file, int(i))[::2, ::2] for i in dense]).astype(np.float16)
    tally = measure.tally_pixels(Heatmaps(dense, heat), file)
    assert tally.table.sum() == len(dense) * H * W
    assert tally.table[1].sum() == 2 * 36  # frames 4 and 6
    blank = measure.tally_pixels(Heatmaps(dense, np.full_like(heat, 0.5)), file)
    auc = evaluation.auc_of(tally.counts())
    assert auc > 0.99
    assert evaluation.auc_of(blank.counts()) == 0.5


def test_true_spans_use_presentation_times_and_end_after_the_last_frame() -> None:
    file = moving_square()
    times = np.cumsum(np.r_[0.0, np.linspace(0.1, 0.3, N - 1)])  # variable frame rate
    assert measure.true_spans(file.truth, times) == [(times[4], times[8])]
    file.truth.events[0].end_frame = N
    assert measure.true_spans(file.truth, times)[0][1] == pytest.approx(times[-1] + 0.1)


def test_click_of_a_mask() -> None:
    assert measure.click_of(square(3, 5, 5)) == (5.0, 7.0)
    assert measure.click_of(np.ones((5, 9), bool))[1] == 2.0  # the edge of the picture is an edge


def test_detection_metrics_of_hand_made_results() -> None:
    label = np.array([0] * 5 + [1] * 5, np.uint8)
    good = ClipResult("a", 1, "fire", highest=0.9, called=True, frame_label=label)
    good.frame_score = np.linspace(0, 0.9, N).astype(np.float32)
    calm = result("b", 0, 0.2, called=False, frame_label=np.zeros(N, np.uint8))
    wrong = result("c", 0, 0.95, called=True)  # frames not labelled
    metrics = evaluation.summarise([good, calm, wrong])
    frames = np.concatenate([good.frame_score, calm.frame_score])
    assert metrics.values["frame_auc"] == pytest.approx(roc_auc(np.r_[label, np.zeros(N)], frames))
    assert metrics.values["clip_auc"] == 0.5
    assert metrics.values["accuracy"] == pytest.approx(2 / 3)
    # bins 0.2 and 0.9: |0 - 0.2|·⅓ + |½ - 0.925|·⅔
    assert metrics.values["ece"] == pytest.approx(0.2 / 3 + 0.425 * 2 / 3, abs=1e-6)
    assert "pixel_auc" not in metrics.values
    assert "judgement_accuracy" not in metrics.values
    assert "mask_iou_box" not in metrics.values
    for name, (low, high) in metrics.ci95.items():
        assert low <= high, name


def test_words_and_masks_are_means_over_the_clips_they_apply_to() -> None:
    results = [
        result("a", 1, 0.9, category="fire", judgement="Yes, a fire.", judged=True, named="fire", track_iou=0.5),
        result("b", 1, 0.8, category="running", judgement="Yes, a fire.", judged=True, named="fire", track_iou=1.0),
        result("c", 0, 0.1, judgement="Perhaps.", judged=None, named=None),
        result("d", None, 0.1, judgement="No.", judged=False),
    ]
    values = evaluation.summarise(results).values
    assert values["judgement_accuracy"] == pytest.approx(2 / 3)  # "Perhaps" is wrong, "d" has no label
    assert values["category_accuracy"] == 0.5
    assert values["track_iou"] == 0.75


def test_pixel_metrics_pool_all_clips() -> None:
    rng = np.random.default_rng(0)
    results, heats, masks = [], [], []
    for name in "abc":
        heat = rng.random((H, W)).astype(np.float16)
        mask = rng.random((H, W)) < 0.3
        pixels = PixelTally()
        pixels.add(heat, mask)
        results.append(result(name, 1, 0.5, pixels=pixels))
        heats.append(heat.ravel())
        masks.append(mask.ravel())
    metrics = evaluation.summarise(results, replicates=50)
    expected = roc_auc(np.concatenate(masks), np.concatenate(heats))
    assert metrics.values["pixel_auc"] == pytest.approx(expected, abs=1e-6)
    assert metrics.ci95["pixel_auc"][0] <= expected <= metrics.ci95["pixel_auc"][1]


def test_the_document_is_flat_json_without_nan() -> None:
    metrics = evaluation.summarise(
        [result("a", 1, 0.9), result("b", 0, 0.1), ClipResult("c", 1, None, error="Broken.")]
    )
    document = json.loads(json.dumps(metrics.to_document(), allow_nan=False))
    assert document["clip_auc"] == 1.0
    assert document["clip_auc_ci95"] == [1.0, 1.0]
    assert (document["n_clips"], document["n_failed"]) == (2, 1)
    assert all(isinstance(v, (int, float)) or k.endswith("_ci95") for k, v in document.items())


def test_nothing_measured_is_an_error_with_its_first_cause() -> None:
    with pytest.raises(DataError, match="Broken file"):
        evaluation.summarise([ClipResult("a", 1, None, error="Broken file.")])
    with pytest.raises(DataError, match="there are none"):
        evaluation.summarise([])


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="limit is 0"):
        evaluation.evaluate(None, [], limit=0)


def test_arguments_have_the_documented_names() -> None:
    parser = argparse.ArgumentParser()
    evaluation.add_arguments(parser)
    args = parser.parse_args(["--data", "d", "--out", "m.json", "--limit", "3", "--no-chat", "--no-segmenter"])
    assert (args.profile, args.data, args.out, args.limit) == ("bundled", Path("d"), Path("m.json"), 3)
    assert args.no_chat
    assert args.no_segmenter


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_clip_table_is_written_row_by_row(tmp_path: Path) -> None:
    out = tmp_path / "deep/metrics.json"
    with evaluation._clip_table(out) as write:
        write(result("a, with comma", 1, 0.9, called=True, judgement='Yes,\n"a fire".', category="fire"))
        rows = read_table(tmp_path / "deep/metrics_clips.csv")  # while the run goes on
        assert rows[0]["name"] == "a, with comma"
        assert rows[0]["judgement"] == 'Yes,\n"a fire".'
        assert (rows[0]["highest"], rows[0]["called"], rows[0]["track_iou"]) == ("0.9", "1", "")
        write(ClipResult("b", 0, None, error="Broken."))
    assert read_table(tmp_path / "deep/metrics_clips.csv")[1]["error"] == "Broken."
    assert math.isnan(ClipResult("b", 0, None).highest)


# --- the real path, on drawn clips and a stack with random weights ---------------------------------------------


def write_clip(path: Path, file: TruthFile) -> None:
    """Every entity as a grey square on black; frames as many, as large and as fast as the truth says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    truth = file.truth
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=truth.fps)
        stream.width, stream.height, stream.pix_fmt = truth.width, truth.height, "yuv420p"
        for i in range(truth.n_frames):
            rgb = np.zeros((truth.height, truth.width, 3), np.uint8)
            for entity_id in file.masks:
                rgb[measure.entity_mask(file, entity_id, i)] = 120 + 60 * entity_id
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode())


def write_scene(folder: Path, name: str, *, abnormal: bool) -> TruthFile:
    file = moving_square()
    file.truth.name = name
    if not abnormal:
        file.truth.events.clear()
        file.truth.label, file.truth.category = 0, "normal"
        file.truth.frame_label = np.zeros(N, np.uint8)
    write_clip(folder / "clips" / f"{name}.mp4", file)
    (folder / "truth").mkdir(exist_ok=True)
    (folder / "truth" / f"{name}.json").write_text(truth_to_json(file.truth, file.masks), encoding="utf-8")
    return file


def test_scenes_through_the_real_path(tmp_path: Path, tiny_stack: ModelStack) -> None:
    write_scene(tmp_path, "abnormal", abnormal=True)
    write_scene(tmp_path, "normal", abnormal=False)
    write_scene(tmp_path, "broken", abnormal=True)
    (tmp_path / "clips/broken.mp4").write_bytes(b"not a video")
    seen: list[tuple[float, str | None]] = []
    metrics = evaluation.evaluate(
        tiny_stack,
        read_data(tmp_path),
        out=tmp_path / "metrics.json",
        segmenter=False,
        progress=lambda _stage, fraction, partial: seen.append((fraction, (partial or {}).get("clip"))),
    )
    document = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert document == metrics.to_document()
    assert (metrics.n_clips, metrics.n_failed) == (2, 1)
    expected = {"frame_auc", "frame_ap", "clip_auc", "accuracy", "ece", "temporal_iou"}
    expected |= {"pixel_auc", "pixel_ap", "pixel_iou", "judgement_accuracy", "category_accuracy"}
    assert set(metrics.values) == expected
    assert all(0 <= value <= 1 for value in metrics.values.values())
    assert [name for _, name in seen] == ["abnormal", "broken", "normal", None]
    rows = {row["name"]: row for row in read_table(tmp_path / "metrics_clips.csv")}
    assert "broken.mp4" in rows["broken"]["error"]
    assert rows["normal"]["frame_auc"] == ""  # one class only
    assert 0 <= float(rows["abnormal"]["pixel_auc"]) <= 1


def test_a_crew_measures_what_one_process_does(tmp_path: Path, bundled_stack: ModelStack) -> None:
    write_scene(tmp_path, "abnormal", abnormal=True)
    write_scene(tmp_path, "normal", abnormal=False)
    write_scene(tmp_path, "broken", abnormal=True)
    (tmp_path / "clips/broken.mp4").write_bytes(b"not a video")
    clips = read_data(tmp_path)
    crew = Crew(partial(ModelStack.load, "bundled"), 2)
    both = [
        evaluation.evaluate(stack, clips, out=tmp_path / name, segmenter=False, crew=who).to_document()
        for name, stack, who in (("alone.json", bundled_stack, None), ("crew.json", None, crew))
    ]
    # Processes with other numbers of threads round the last digits differently.
    assert numbers_of(both[0]) == pytest.approx(numbers_of(both[1]), abs=1e-5)
    alone, beside = (read_table(tmp_path / name) for name in ("alone_clips.csv", "crew_clips.csv"))
    assert [row["name"] for row in beside] == ["abnormal", "broken", "normal"]
    for one, other in zip(alone, beside, strict=True):
        for column in sorted(one.keys() - {"seconds"}):
            expected = pytest.approx(float(one[column]), abs=1e-5) if is_number(one[column]) else one[column]
            assert (float(other[column]) if is_number(other[column]) else other[column]) == expected, column


def numbers_of(document: dict[str, Any]) -> dict[str, float]:
    """A document of metrics without its lists: each number under a name of its own."""
    return {
        f"{name} {place}": number
        for name, value in document.items()
        for place, number in enumerate(value if isinstance(value, list) else [value])
    }


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_a_crew_that_cannot_begin_says_so(tmp_path: Path) -> None:
    write_scene(tmp_path, "normal", abnormal=False)
    crew = Crew(partial(ModelStack.load, "bundled", source=tmp_path / "nothing"), 2)
    with pytest.raises(StackError, match="One of 2 measuring processes ended before its time"):
        evaluation.evaluate(None, read_data(tmp_path), crew=crew)


def test_measured_values_are_those_of_the_analysis(tmp_path: Path, tiny_stack: ModelStack) -> None:
    file = write_scene(tmp_path, "one", abnormal=True)
    (clip,) = read_data(tmp_path)
    measured = measure.measure_clip(tiny_stack, clip, categories=["running"], segment=False)
    with measure.Clip.open(clip.path) as video:
        analysis = measure.analyse(video, tiny_stack, cache_dir=tmp_path / "cache")
    assert np.array_equal(measured.frame_score, analysis.frame_score)
    assert measured.highest == analysis.frame_score.max()
    assert measured.called == analysis.is_abnormal
    assert measured.frame_label is not None
    assert measured.frame_label.tolist() == file.truth.frame_label.tolist()
    assert measured.pixels is not None
    assert measured.pixels.table[1].sum() == 4 * 36  # every frame is a dense one here
    assert measured.judgement is not None


def test_a_clip_that_does_not_fit_its_truth_is_refused(tmp_path: Path, tiny_stack: ModelStack) -> None:
    file = write_scene(tmp_path, "one", abnormal=True)
    file.truth.n_frames = N + 1
    (tmp_path / "truth/one.json").write_text(truth_to_json(file.truth, file.masks), encoding="utf-8")
    with pytest.raises(DataError, match=f"has {N} frames of 32×24, its truth says {N + 1}"):
        measure.measure_clip(tiny_stack, read_data(tmp_path)[0], chat=False, segment=False)


def test_class_folders_give_clip_metrics_only(tmp_path: Path, tiny_stack: ModelStack) -> None:
    for name in ("running/a", "running/b", "normal/c", "normal/d"):
        write_clip(tmp_path / f"{name}.mp4", moving_square())
    metrics = evaluation.evaluate(tiny_stack, read_data(tmp_path), chat=False, limit=2)
    assert metrics.n_clips == 2
    assert set(metrics.values) == {"clip_auc", "accuracy", "ece"}
    assert metrics.values["clip_auc"] == 0.5  # the same picture in both classes


def test_clips_without_a_label_are_told_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(tmp_path / "data/street.mp4", moving_square())
    out = tmp_path / "metrics.json"
    assert main(["evaluate", "--data", str(tmp_path / "data"), "--out", str(out)]) == 0
    told, counted = capsys.readouterr().out.splitlines()
    (row,) = evaluation.unlabelled_rows(evaluation.clip_table_of(out))
    assert told.startswith(f"street.mp4           highest {float(row['highest']):.4f}, ")
    assert told.endswith(row["judgement"])
    assert row["judgement"].startswith(("Yes", "No"))
    assert counted.startswith("1 clips measured, 0 failed")
    assert json.loads(out.read_text(encoding="utf-8")) == {"n_clips": 1, "n_failed": 0}


def test_a_drawn_scene_with_the_segmenter(tmp_path: Path, tiny_stack: ModelStack) -> None:
    write_world(tmp_path, 1, seed=5, seconds=(3, 4), size=(160, 120), category="fighting")
    stack = replace(tiny_stack, segmenter=Segmenter.load(SegmenterSpec.untrained()))
    (clip,) = read_data(tmp_path)
    measured = measure.measure_clip(stack, clip, chat=False)
    for name in ("mask_iou_box", "mask_iou_click", "track_iou"):
        assert 0 <= getattr(measured, name) <= 1, name
    assert measured.pixels is not None
    assert measured.pixels.table[1].sum() > 0


class PerfectSegmenter:
    """Answers with the square that a box or click points at, read off the picture: what is not black is it."""

    def mask(self, rgb: np.ndarray, *, box: object = None, points: object = None, labels: object = None) -> tuple:
        assert (box is None) != (points is None and labels is None)
        return rgb[..., 1] > 60, 1.0

    def track(self, frames: Iterable[tuple[int, np.ndarray]], prompts: list) -> Iterator[tuple[int, dict]]:
        for index, rgb in frames:
            yield index, {prompts[0].instance_id: rgb[..., 1] > 60}


def test_segmenter_metrics_of_a_perfect_segmenter(tmp_path: Path, tiny_stack: ModelStack) -> None:
    file = moving_square()
    del file.masks[2]
    write_clip(tmp_path / "clips/one.mp4", file)
    # as a truth file keeps them: all masks inside the event, few outside, so that tracking must stop with the event
    file.masks[1] = {i: rle for i, rle in file.masks[1].items() if 4 <= i < 8}
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth/one.json").write_text(truth_to_json(file.truth, file.masks), encoding="utf-8")
    stack = replace(tiny_stack, segmenter=PerfectSegmenter())
    metrics = evaluation.evaluate(stack, read_data(tmp_path), chat=False)
    for name in ("mask_iou_box", "mask_iou_click", "track_iou"):
        assert metrics.values[name] > 0.7, name  # compression softens the edges of a six-pixel square
