"""The papers' tables: how they are written, that cells are kept, and each of them once on the smallest sizes."""

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from finetune.long import LongForm
from finetune.reproduce import command
from finetune.reproduce.bench import QUICK, Bench, Table
from finetune.reproduce.levels import ALL_LEVELS, Variant, draw_sample, levels_table
from finetune.reproduce.regions import StillPrompts, regions_table
from finetune.reproduce.report import markdown, write_report
from finetune.reproduce.sampling import sampler_table
from finetune.reproduce.supervision import supervision_table
from finetune.reproduce.taps import taps_table
from finetune.reproduce.trained import encoded_world
from workbench.errors import InputError
from workbench.stack.loading import ModelStack

SIZES = replace(
    QUICK,
    long_videos=1,
    long_form=LongForm(parts=2, part_s=4.0, fps=6, size=(160, 120)),
    frame_counts=(4,),
    clips=1,
    train_clips=2,
    test_clips=1,
    glimpses=4,
)


def cells(bench: Bench) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (bench.work / "cells").rglob("*.json")}


def test_a_table_in_markdown() -> None:
    rows = [
        {"name": "a", "bleu": 0.5, "bleu_ci95": [0.4, 0.6], "n": 3},
        {"name": "b", "bleu": 0.75, "bleu_ci95": None, "n": None},
        {"name": "c", "bleu": math.nan, "n": 5},
    ]
    assert markdown(Table("t", "T", "", "", rows, best=("bleu",))).splitlines() == [
        "| name | BLEU | n |",
        "|---|---|---|",
        "| a | 0.500 [0.40, 0.60] | 3 |",
        "| b | **0.750** | – |",
        "| c | – | 5 |",
    ]


def test_cells_are_computed_once_and_belong_to_one_setting(tmp_path: Path, tiny_stack: ModelStack) -> None:
    bench, asked = Bench(tiny_stack, SIZES, tmp_path), []
    for _ in range(2):
        assert bench.cell("t", "k", lambda: asked.append(1) or {"x": 1}) == {"x": 1}
    assert asked == [1]
    assert Bench(tiny_stack, SIZES, tmp_path).cell("t", "k", dict) == {"x": 1}
    with pytest.raises(InputError, match="other settings"):
        Bench(tiny_stack, SIZES, tmp_path, seed=1)
    with pytest.raises(InputError, match="no trained scorer"):
        Bench(replace(tiny_stack, regions=None), SIZES, tmp_path / "other")


def test_the_sampler_table_and_its_page(tmp_path: Path, tiny_stack: ModelStack) -> None:
    bench = Bench(tiny_stack, SIZES, tmp_path / "work")
    table = sampler_table(bench)
    assert [(row["frames"], row["sampler"]) for row in table.rows] == [(4, "Top-K"), (4, "Uniform"), (4, "ATS")]
    assert all(0 <= row["fact_recall"] <= 1 and row["event seen"] in (0.0, 1.0) for row in table.rows)
    made = cells(bench)
    assert len(made) == 4  # three answers and the curve
    assert "ROC-AUC of" in table.about
    assert markdown(sampler_table(bench)) == markdown(table)
    assert cells(bench) == made
    page = write_report(tmp_path / "docs", bench, [table], "python -m finetune reproduce --seed 0", quick=True)
    text = page.read_text(encoding="utf-8")
    assert "python -m finetune reproduce --seed 0" in text
    assert "Its numbers mean nothing" in text
    assert table.finding in text
    assert "</svg>" in (page.parent / "reproduce.svg").read_text(encoding="utf-8")


def test_the_heatmap_table_leaves_out_each_layer(tmp_path: Path, tiny_stack: ModelStack) -> None:
    table = taps_table(Bench(tiny_stack, SIZES, tmp_path))
    blocks = tiny_stack.backbone.tap_blocks
    names = [row["layers"] for row in table.rows]
    assert names == ["all", *(f"without block {block}" for block in blocks), f"block {blocks[-1]} alone"]
    assert all(0 <= row["patch AUC"] <= 1 or math.isnan(row["patch AUC"]) for row in table.rows)


@pytest.mark.slow
def test_the_trained_tables(tmp_path: Path, tiny_stack: ModelStack) -> None:
    bench = Bench(tiny_stack, SIZES, tmp_path)
    before = tiny_stack.backbone.model.get_input_embeddings().weight.clone()
    assert [row["supervision"] for row in supervision_table(bench).rows] == ["full", "weak"]
    rows = levels_table(bench).rows
    assert [(row["C"], row["E"], row["V"]) for row in rows[:1] + rows[-1:]] == [("✓", "", ""), ("✓", "✓", "✓")]
    assert len(regions_table(bench).rows) == 5
    states = {path.stem for path in (tmp_path / "levels").glob("*.state")}
    assert states == {"language", "clip", "event", "video", "clip-event-video", "clip-event-video-blind"}
    # the stack that is taken apart stays as it is
    assert torch.equal(before, tiny_stack.backbone.model.get_input_embeddings().weight)


@pytest.mark.slow
def test_samples_keep_to_the_levels_of_their_variant(tmp_path: Path, tiny_stack: ModelStack) -> None:
    encoded, train, test = encoded_world(Bench(tiny_stack, SIZES, tmp_path))
    assert (train, test) == (range(2), range(2, 3))
    scores = [np.linspace(0, 1, len(encoded.clip(i).label)) for i in train]
    rng = np.random.default_rng(0)
    for _ in range(5):
        sample = draw_sample(tiny_stack, encoded, scores, Variant(("clip",), regions=False), rng)
        assert len(sample.turns) == 1
        assert sample.class_maps is None
        sample = draw_sample(tiny_stack, encoded, scores, Variant(ALL_LEVELS), rng)
        assert sample.class_maps is not None
        assert len(sample.class_maps) == len(sample.patches) <= tiny_stack.profile.n_frames


def test_still_prompts_say_nothing_of_the_maps(tiny_stack: ModelStack) -> None:
    assert tiny_stack.regions is not None
    still = StillPrompts(tiny_stack.regions)
    maps = [torch.rand(1, 5, 2, 4, 4) for _ in range(2)]
    with torch.inference_mode():
        assert torch.allclose(still(maps[0]), still(maps[1]))
        assert not torch.allclose(tiny_stack.regions(maps[0]), tiny_stack.regions(maps[1]))
        assert still(maps[0]).shape == tiny_stack.regions(maps[0]).shape


def test_the_arguments() -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = parser.parse_args(["--quick", "--tables", "sampler, taps", "--seed", "2"])
    assert (args.quick, args.seed, args.out, args.profile) == (True, 2, Path("docs"), "bundled")
    with pytest.raises(InputError, match="no table dance"):
        command.run(parser.parse_args(["--tables", "dance"]))
