"""Holmes-VAU Table 4 in small: which frames the language model gets to see of a long video, and how many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from finetune.data import EvalClip
from finetune.metrics import average_precision, roc_auc
from finetune.reproduce.bench import Bench, Cell, Table
from finetune.reproduce.talk import whole_video, word_row, words_of_cell
from workbench.records import Analysis
from workbench.stack.sampler import SamplerName, sample_frames

METHODS: tuple[tuple[str, SamplerName], ...] = (("Top-K", "topk"), ("Uniform", "uniform"), ("ATS", "ats"))


def sampler_table(bench: Bench) -> Table:
    """Every sampler at every N on the same long videos; one analysis serves them all."""
    clips, cells, curves = bench.long_clips(), {}, []
    for clip, analysis in bench.analyses(bench.stack, clips, "stack"):
        curves.append(bench.cell("sampler", f"{clip.name}-curve", partial(_curve, clip, analysis)))
        for n in bench.sizes.frame_counts:
            for title, method in METHODS:
                cells[clip.name, n, title] = bench.cell(
                    "sampler",
                    f"{clip.name}-{method}-{n}",
                    partial(_answers, bench, clip, analysis, n, method),
                )
    rows = []
    for n in bench.sizes.frame_counts:
        for title, _ in METHODS:
            mine = [cells[clip.name, n, title] for clip in clips]
            rows.append({"frames": n, "sampler": title, **_row(bench, clips, mine)})
    form = bench.sizes.long_form
    labels, scores = (np.concatenate([curve[name] for curve in curves]) for name in ("label", "score"))
    return Table(
        "sampler",
        "Sampling methods and the number of frames (Holmes-VAU, Table 4)",
        "ATS is better than Uniform and Top-K at every N.",
        f"{len(clips)} videos of {form.parts * form.part_s:.0f} s with at most one short anomaly. *Event seen*: share "
        "of abnormal videos of which at least one chosen frame shows the anomaly. The score that the samplers read "
        f"tells the frames of the anomalies with a ROC-AUC of {roc_auc(labels, scores):.3f} "
        f"(average precision {average_precision(labels, scores):.3f}, of {labels.mean():.1%} of the frames).",
        rows,
        ("fact_precision", "fact_recall", "bleu", "cider", "event seen"),
        _finding(rows),
    )


def _curve(clip: EvalClip, analysis: Analysis) -> Cell:
    """The score of every dense frame, and whether it shows the anomaly."""
    assert clip.truth is not None
    dense = analysis.dense
    label = np.asarray(clip.truth.frame_label, bool)[dense.frame_index]
    return {"score": np.round(dense.score, 5).tolist(), "label": label.tolist()}


def _answers(bench: Bench, clip: EvalClip, analysis: Analysis, n: int, method: SamplerName) -> Cell:
    picked = analysis.dense.frame_index[sample_frames(analysis.dense.score, n, method)].tolist()
    assert clip.truth is not None
    inside = int(np.asarray(clip.truth.frame_label)[picked].sum())
    return {**whole_video(bench.stack, replace(analysis, sampled_frames=picked, sampler=method)), "inside": inside}


def _row(bench: Bench, clips: Sequence[EvalClip], cells: Sequence[Cell]) -> Cell:
    row = word_row([words_of_cell(c, cell) for c, cell in zip(clips, cells, strict=True)], bench.sizes.replicates)
    seen = [cell["inside"] > 0 for clip, cell in zip(clips, cells, strict=True) if clip.label]
    waits = [cell["first_ms"] for cell in cells if cell["first_ms"] is not None]
    row["event seen"] = float(np.mean(seen)) if seen else None
    row["first token ms"] = round(float(np.median(waits))) if waits else None
    return row


def _finding(rows: Sequence[Cell]) -> str:
    said = []
    for n in dict.fromkeys(row["frames"] for row in rows):
        recall = {row["sampler"]: row["fact_recall"] for row in rows if row["frames"] == n}
        best = " and ".join(name for name, value in recall.items() if value == max(recall.values()))
        others = max(value for name, value in recall.items() if name != "ATS")
        word = "holds" if recall["ATS"] > others else "does **not** hold"
        said.append(f"At N = {n} the claim {word} for fact recall (best: {best})")
    return "; ".join(said) + "."
