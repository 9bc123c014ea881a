"""What is said of drawn scenes: asked on the real path, and counted over clips."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from finetune import evaluate as evaluation
from finetune.data import read_data
from finetune.facts import precision_of, recall_of
from finetune.measure import ClipResult, measure_clip
from finetune.scenes.truth import SceneTruth, read_truth, read_truth_file
from finetune.scenes.write import write_world
from finetune.words import ANSWERS, Words, caption_facts, is_described, word_statistics, words_of
from tests.conftest import REPOSITORY
from workbench.stack.loading import ModelStack
from workbench.video import Clip

SAMPLES = sorted((REPOSITORY / "assets/samples/truth").glob("*.json"))


def true_words(truth: SceneTruth) -> Words:
    return words_of(truth, {kind: getattr(truth.video, kind) for kind in ANSWERS})


def values_of(words: list[Words], draws: list[int] | None = None) -> dict[str, float]:
    weights = np.array(draws or [1] * len(words))
    return {name: statistic(weights) for name, n, statistic in word_statistics(words) if n == len(words)}


def test_true_answers_have_perfect_metrics() -> None:
    values = values_of([true_words(read_truth(path)) for path in SAMPLES])
    assert values["fact_precision"] == values["fact_recall"] == values["fact_recall_whom"] == 1.0
    assert values["bleu"] == pytest.approx(4.0)
    assert values["rouge_l"] == 1.0
    assert values["cider"] == pytest.approx(10.0)


def test_a_draw_weighs_clips() -> None:
    truths = [read_truth(path) for path in SAMPLES[:2]]
    good = true_words(truths[0])
    bad = words_of(truths[1], dict.fromkeys(ANSWERS, "No, the video is normal."))
    both, only_good, only_bad = (values_of([good, bad], draws) for draws in ([1, 1], [2, 0], [0, 2]))
    assert only_good["fact_recall"] == 1.0
    assert only_bad["fact_recall"] == recall_of(bad.facts.table()) < 0.2
    assert only_bad["fact_precision"] == precision_of(bad.facts.table()) == 0.0
    assert only_bad["fact_recall"] < both["fact_recall"] < 1.0
    assert only_bad["bleu"] < both["bleu"] < only_good["bleu"]


def test_metrics_of_words_come_with_intervals_into_the_document() -> None:
    results = []
    for path in SAMPLES:
        truth = read_truth(path)
        answers = dict.fromkeys(ANSWERS, "Yes, there is an anomaly: fire.")
        results.append(ClipResult(truth.name, truth.label, truth.category, highest=0.5, words=words_of(truth, answers)))
    document = json.loads(json.dumps(evaluation.summarise(results).to_document(), allow_nan=False))
    for name in ("fact_precision", "fact_recall", "bleu", "cider", "meteor", "rouge_l"):
        low, high = document[f"{name}_ci95"]
        assert 0 <= low <= document[name] <= high, name
    assert "fact_precision_when" not in document  # nobody stated a time
    assert document["fact_recall_when"] == 0.0


def test_drawn_scenes_are_asked_all_three_questions(tmp_path: Path, tiny_stack: ModelStack) -> None:
    write_world(tmp_path, 1, seed=5, seconds=(3, 4), size=(160, 120), category="fighting")
    (clip,) = read_data(tmp_path)
    measured = measure_clip(tiny_stack, clip, segment=False)
    assert measured.words is not None
    assert measured.words.answers["judgement"] == measured.judgement
    assert [*measured.words.answers] == [*ANSWERS]
    assert measured.words.captions is not None
    assert measured.words.captions.asked.count("who") == 4  # two fighters: what they are, and their role
    assert measure_clip(tiny_stack, clip, chat=False, segment=False).words is None
    with evaluation._clip_table(tmp_path / "metrics.json") as write:
        write(measured)
    with (tmp_path / "metrics_clips.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["description"] == measured.words.answers["description"]
    assert float(row["fact_recall"]) == pytest.approx(recall_of(measured.words.facts.table()), abs=1e-6)
    assert row["missing_facts"].count(";") == measured.words.listing("missing").count(";")


def test_scenes_without_texts_are_only_judged() -> None:
    truth = read_truth(SAMPLES[0])
    assert is_described(truth)
    truth.video.description = ""
    assert not is_described(truth)


def test_a_scene_whose_masks_are_lost_is_not_captioned(tiny_stack: ModelStack) -> None:
    file = read_truth_file(next(path for path in SAMPLES if "fighting" in path.name))
    file.masks.clear()
    with Clip.open(REPOSITORY / "assets/samples/clips" / f"{file.truth.name}.mp4") as video:
        assert caption_facts(tiny_stack, video, file) is None
