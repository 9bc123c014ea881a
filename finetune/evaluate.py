"""Numbers of a model stack on a folder of clips: `metrics.json`, and one row per clip for looking into errors.

Clips go through `finetune.measure.measure_clip`, one by one or several beside each other; of each, only its frame
scores, a pixel table of fixed size and a few numbers are kept.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from finetune.crew import Crew, Task
from finetune.data import EvalClip, read_data, take
from finetune.facts import precision_of, recall_of
from finetune.measure import ClipResult
from finetune.metrics import (
    RankCounts,
    Ranking,
    Span,
    ap_of,
    auc_of,
    best_iou_of,
    bootstrap_ci95,
    expected_calibration_error,
    mean_of,
    roc_auc,
)
from finetune.words import word_statistics
from workbench.errors import DataError, InputError
from workbench.files import replacing
from workbench.stack.loading import ModelStack

Progress = Callable[[str, float, dict[str, Any] | None], None]
Statistic = Callable[[np.ndarray], float]  # draws of each clip, int64 [n] → metric
MAX_SEGMENTED = 100  # clips on which the segmenter is prompted: it is the slowest part, and 100 tell enough

CLIP_COLUMNS = (
    *("name", "label", "category", "highest", "called", "frame_auc", "temporal_iou", "pixel_auc"),
    *("judged", "named", "judgement", "description", "analysis", "fact_precision", "fact_recall"),
    *("wrong_facts", "missing_facts", "mask_iou_box", "mask_iou_click", "track_iou", "seconds", "error"),
)


@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics that apply, each with its 95 % interval over clips where there is one.

    Attributes:
        values: metric name → value, in [0, 1]; `bleu` in [0, 4] and `cider` in [0, 10].
        ci95: metric name → (low, high).
        n_clips: clips measured; `n_failed` could not be.
    """

    values: dict[str, float]
    ci95: dict[str, Span]
    n_clips: int
    n_failed: int = 0

    def to_document(self) -> dict[str, Any]:
        """The flat document of `metrics.json`: `NAME`, `NAME_ci95: [low, high]`, `n_clips`, `n_failed`."""
        document: dict[str, Any] = {"n_clips": self.n_clips, "n_failed": self.n_failed}
        for name, value in self.values.items():
            document[name] = value
            if name in self.ci95:
                document[f"{name}_ci95"] = list(self.ci95[name])
        return document


def evaluate(
    stack: ModelStack | None,
    clips: Sequence[EvalClip],
    *,
    out: str | Path | None = None,
    chat: bool = True,
    segmenter: bool = True,
    limit: int | None = None,
    crew: Crew | None = None,
    progress: Progress | None = None,
) -> Metrics:
    """Measure a stack on clips.

    Args:
        stack: the loaded model stack; None where a crew measures.
        clips: from `finetune.data.read_data`.
        out: where to write `metrics.json`; the table of clips goes beside it as `<stem>_clips.csv`.
        chat: ask for judgements; of scenes, all three questions and captions of instances.
        segmenter: prompt the segmenter, on at most `MAX_SEGMENTED` clips.
        limit: measure only this many clips, spread over the categories.
        crew: processes that measure with stacks of their own, in place of `stack`.
        progress: called with ("evaluate", fraction, {"clip": name}) before each result is waited for.

    Raises:
        InputError: the limit is not positive. DataError: there are no clips, or none could be measured.
    """
    if limit is not None and limit < 1:
        raise InputError(f"The limit is {limit} clips; give at least 1.")
    chosen = take(clips, limit)
    categories = tuple(sorted({clip.category for clip in clips if clip.category}))
    segmented = to_segment(chosen) if segmenter else set()
    tasks = [Task(clip, categories, chat, clip.name in segmented) for clip in chosen]
    if crew:
        measured = crew.results(tasks)
    else:
        assert stack is not None, "without a crew, a stack measures"
        measured = (task.done_by(stack) for task in tasks)
    results: list[ClipResult] = []
    with _clip_table(out) as write_row:
        for number, clip in enumerate(chosen):
            if progress:
                progress("evaluate", number / len(chosen), {"clip": clip.name})
            results.append(next(measured))
            write_row(results[-1])
    metrics = summarise(results)
    if out is not None:
        with replacing(out) as temporary:
            temporary.write_text(json.dumps(metrics.to_document(), indent=2) + "\n", encoding="utf-8")
    if progress:
        progress("evaluate", 1.0, metrics.to_document())
    return metrics


def to_segment(clips: Sequence[EvalClip]) -> set[str]:
    """Names of the clips on which the segmenter is prompted: abnormal ones with masks, spread over the categories."""
    return {clip.name for clip in take([c for c in clips if c.label == 1 and c.truth_path], MAX_SEGMENTED)}


def summarise(results: Sequence[ClipResult], *, replicates: int = 1000) -> Metrics:
    """The metrics of measured clips; one that does not apply is left out.

    Raises:
        DataError: no clip could be measured.
    """
    measured = [result for result in results if not result.error]
    if not measured:
        reason = f"none of {len(results)} could be measured: {results[0].error}" if results else "there are none"
        raise DataError(f"No clips to compute metrics from ({reason}); check the data folder.")
    values, ci95 = {}, {}
    for name, n_clips, statistic in statistics_of(measured):
        value = statistic(np.ones(n_clips, dtype=np.int64))
        if math.isnan(value):
            continue
        values[name] = value
        interval = bootstrap_ci95(statistic, n_clips, replicates=replicates)
        if interval is not None:
            ci95[name] = interval
    return Metrics(values, ci95, len(measured), len(results) - len(measured))


def statistics_of(results: Sequence[ClipResult]) -> Iterator[tuple[str, int, Statistic]]:
    """Each metric of measured clips with its number of clips and its value as a function of how often each is drawn."""
    yield from _detection(results)
    yield from _pixels(results)
    yield from _means(results)
    yield from word_statistics([result.words for result in results if result.words is not None])


def _detection(results: Sequence[ClipResult]) -> Iterator[tuple[str, int, Statistic]]:
    """Frames (where every frame is labelled), then whole clips by their highest score."""
    framed = [(r.frame_label, r.frame_score) for r in results if r.frame_label is not None]
    if framed:
        labels, scores = (np.concatenate(arrays) for arrays in zip(*framed, strict=True))
        frames = Ranking(labels, scores, np.repeat(np.arange(len(framed)), [len(score) for _, score in framed]))
        yield "frame_auc", len(framed), lambda draws: auc_of(frames.counts(draws))
        yield "frame_ap", len(framed), lambda draws: ap_of(frames.counts(draws))
    labelled = [r for r in results if r.label is not None]
    if labelled:
        truth, highest = np.array([r.label for r in labelled]), np.array([r.highest for r in labelled])
        right = np.array([r.called == bool(r.label) for r in labelled], dtype=np.float64)
        whole = Ranking(truth, highest, np.arange(len(labelled)))
        yield "clip_auc", len(labelled), lambda draws: auc_of(whole.counts(draws))
        yield "accuracy", len(labelled), lambda draws: mean_of(right, draws)
        yield "ece", len(labelled), lambda draws: expected_calibration_error(truth, highest, draws)


def _pixels(results: Sequence[ClipResult]) -> Iterator[tuple[str, int, Statistic]]:
    """All pixels of all clips together."""
    tables = [r.pixels.table for r in results if r.pixels is not None]
    if not tables:
        return
    used = np.flatnonzero(np.any([table.any(axis=0) for table in tables], axis=0))
    # float32 halves the memory of hundreds of tables and rounds counts by 1e-7
    stacked = np.stack([table[:, used] for table in tables]).astype(np.float32)
    flat = stacked.reshape(len(tables), -1)

    def counts(draws: np.ndarray) -> RankCounts:
        other, anomalous = (draws.astype(np.float32) @ flat).reshape(2, -1).astype(np.float64)
        return RankCounts(anomalous, other)

    yield "pixel_auc", len(tables), lambda draws: auc_of(counts(draws))
    yield "pixel_ap", len(tables), lambda draws: ap_of(counts(draws))
    yield "pixel_iou", len(tables), lambda draws: best_iou_of(counts(draws))


def _means(results: Sequence[ClipResult]) -> Iterator[tuple[str, int, Statistic]]:
    """Metrics that are a mean over clips. An unreadable judgement is a wrong one; categories count when abnormal."""
    asked = [r for r in results if r.judgement is not None and r.label is not None]
    named = [r for r in asked if r.label == 1 and r.category]
    columns: dict[str, list[float]] = {
        "judgement_accuracy": [float(r.judged == bool(r.label)) for r in asked],
        "category_accuracy": [float(r.named == r.category) for r in named],
    }
    for name in ("temporal_iou", "mask_iou_box", "mask_iou_click", "track_iou"):
        column = [getattr(r, name) for r in results]
        columns[name] = [value for value in column if not math.isnan(value)]
    for name, column in columns.items():
        if column:
            yield name, len(column), _mean_statistic(column)


def _mean_statistic(column: list[float]) -> Statistic:
    return lambda draws: mean_of(column, draws)


@contextmanager
def _clip_table(out: str | Path | None) -> Iterator[Callable[[ClipResult], None]]:
    """A writer of clip rows, flushed row by row so that an interrupted run still tells what it saw."""
    if out is None:
        yield lambda _result: None
        return
    path = clip_table_of(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, CLIP_COLUMNS)
        writer.writeheader()

        def write(result: ClipResult) -> None:
            writer.writerow(_row(result))
            file.flush()

        yield write


def clip_table_of(out: str | Path) -> Path:
    """The table of clips beside a `metrics.json`."""
    return Path(out).with_name(f"{Path(out).stem}_clips.csv")


def unlabelled_rows(table: Path) -> list[dict[str, str]]:
    """Rows of the measured clips of which nothing was known: what was said of them is all there is to report."""
    with table.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if not row["label"] and not row["error"]]


def _row(result: ClipResult) -> dict[str, Any]:
    row = {name: getattr(result, name, None) for name in CLIP_COLUMNS}
    if result.frame_label is not None:
        row["frame_auc"] = roc_auc(result.frame_label, result.frame_score)
    if result.pixels is not None:
        row["pixel_auc"] = auc_of(result.pixels.counts())
    if result.words is not None:
        row |= {name: result.words.answers.get(name) for name in ("description", "analysis")}
        facts = result.words.facts.table()
        row |= {"fact_precision": precision_of(facts), "fact_recall": recall_of(facts)}
        row |= {f"{state}_facts": result.words.listing(state) for state in ("wrong", "missing")}
    for name, value in row.items():
        if isinstance(value, float):
            row[name] = "" if math.isnan(value) else round(value, 6)
        elif isinstance(value, bool):
            row[name] = int(value)
    return row


# --- command line ----------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m finetune evaluate`."""
    parser.add_argument("--profile", default="bundled", help="model stack to measure (default: bundled)")
    parser.add_argument("--adapter", type=Path, metavar="DIR", help="with this adapter on it (default: none)")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of scenes, classes or clips")
    parser.add_argument("--out", type=Path, default=Path("metrics.json"), metavar="FILE", help="default: metrics.json")
    parser.add_argument("--limit", type=int, metavar="N", help="measure N clips, spread over the categories")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="measure N clips at a time (default: 1)")
    parser.add_argument("--no-chat", action="store_true", help="ask no questions")
    parser.add_argument("--no-segmenter", action="store_true", help="do not prompt the segmenter")


def run(args: argparse.Namespace) -> int:
    """Measure, write, and tell the numbers; `WorkbenchError` is left to the caller, who prints it."""
    if args.processes < 1:
        raise InputError(f"--processes is {args.processes}; give at least 1.")
    clips = read_data(args.data, plain=True)
    load = partial(ModelStack.load, args.profile, adapter=args.adapter)
    crew = Crew(load, args.processes) if args.processes > 1 else None
    metrics = evaluate(
        None if crew else load(),
        clips,
        crew=crew,
        out=args.out,
        chat=not args.no_chat,
        segmenter=not args.no_segmenter,
        limit=args.limit,
        progress=_show_progress,
    )
    for name, value in metrics.values.items():
        interval = "  [{:.4f}, {:.4f}]".format(*metrics.ci95[name]) if name in metrics.ci95 else ""
        sys.stdout.write(f"{name:20} {value:.4f}{interval}\n")
    for row in unlabelled_rows(clip_table_of(args.out)):
        called = "abnormal" if row["called"] == "1" else "normal"
        sys.stdout.write(f"{row['name']:20} highest {float(row['highest']):.4f}, {called}. {row['judgement']}\n")
    sys.stdout.write(f"{metrics.n_clips} clips measured, {metrics.n_failed} failed: {args.out}\n")
    return 0


def _show_progress(_stage: str, fraction: float, partial: dict[str, Any] | None) -> None:
    if not sys.stderr.isatty():  # a line written over itself is noise in a log
        return
    if partial and "clip" in partial:
        sys.stderr.write(f"\r{fraction:4.0%} {partial['clip'][:60]:60}")
    else:
        sys.stderr.write("\n")
    sys.stderr.flush()
