"""`make bench`: time, memory and quality of the bundled stack and of the page on this machine, as one table.

    python -m tests.benchmarks [cost] [memory] [quality] [overhead] [gpu] [store] [page] [--clips N] [--minutes M]
    python -m tests.benchmarks [few] [resume] [poison] [fights] [--few N] [--held N] [--bundled N] [--steps N]
    python -m tests.benchmarks [overhead] [--clip FILE]

Without names, everything is measured (hours); `fights` where its clips are.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import learning
from tests.benchmarks.clips import draw_clip
from tests.benchmarks.full_size import gpu_rows
from tests.benchmarks.overhead import overhead_rows
from tests.benchmarks.process import BenchmarkError, Cost, run_measured
from tests.benchmarks.table import Row

# The street-world clips of the quality numbers; training draws from other seeds.
HELD_OUT_SEED = 960_000
QUALITY = {
    "frame_auc": "frame ROC-AUC",
    "pixel_auc": "pixel ROC-AUC",
    "judgement_accuracy": "judgement yes/no accuracy",
    "category_accuracy": "category accuracy",
    "mask_iou_box": "mask IoU from a box, first frame",
    "mask_iou_click": "mask IoU from a click, first frame",
}
QUESTIONS = ("judgement", "description", "analysis")


def cost_rows(folder: Path, _options: argparse.Namespace) -> list[Row]:
    """Ten seconds at 640x480 with heatmaps and a dialogue of three turns, from process start to process end."""
    clip = draw_clip(folder / "ten.mp4", seconds=10, size=(640, 480))
    out = folder / "ten"
    ask = [part for question in QUESTIONS for part in ("--ask", question)]
    cost = _analyze(clip, out, folder / "ten-cache", "--heatmaps", *ask)
    timings = json.loads((out / "analysis.json").read_text())["timings_s"]
    steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in timings.items())
    return [
        Row("10 s clip, heatmaps, 3 turns: wall time", f"{cost.wall_s:.1f} s", "under 20 s"),
        Row("  of which", f"{steps} s"),
        Row("  real-time factor", f"{cost.wall_s / 10:.2f} s per second of clip"),
        Row("  peak memory", f"{cost.peak_mb:.0f} MiB", "under 2048 MiB"),
    ]


def memory_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """A clip of one minute against a long one: memory must not grow with length."""
    costs = {}
    for minutes in (1, options.minutes):
        clip = draw_clip(folder / f"{minutes}min.mp4", seconds=60 * minutes, size=(160, 120))
        costs[minutes] = _analyze(clip, folder / f"{minutes}min", folder / f"{minutes}min-cache")
        clip.unlink()
    short, long = costs[1], costs[options.minutes]
    return [
        Row("1 min clip: peak memory", f"{short.peak_mb:.0f} MiB"),
        Row(f"{options.minutes} min clip: peak memory", f"{long.peak_mb:.0f} MiB"),
        Row("  more than the short one", f"{long.peak_mb - short.peak_mb:+.0f} MiB", "at most +300 MiB"),
        Row("  ratio", f"{long.peak_mb / short.peak_mb:.2f}"),
        Row(f"{options.minutes} min clip: wall time", f"{long.wall_s:.0f} s"),
        Row("  real-time factor", f"{long.wall_s / (60 * options.minutes):.3f} s per second of clip"),
    ]


def quality_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """The bundled stack on street-world clips of a seed that training has not seen."""
    scenes, metrics = folder / "scenes", folder / "metrics.json"
    drawn = ["scenes", "--out", scenes, "--clips", str(options.clips), "--seed", str(HELD_OUT_SEED)]
    run_measured("finetune", drawn, cache=folder / "scenes-cache")
    wanted = ["evaluate", "--profile", "bundled", "--data", scenes, "--out", metrics]
    run_measured("finetune", wanted, cache=folder / "quality-cache")
    found = json.loads(metrics.read_text())
    rows = [Row(f"street world, seed {HELD_OUT_SEED}, {options.clips} clips", "", "95 % interval")]
    for name, title in QUALITY.items():
        if name in found:
            low, high = found.get(f"{name}_ci95", (float("nan"), float("nan")))
            rows.append(Row(f"  {title}", f"{found[name]:.3f}", f"{low:.3f} to {high:.3f}"))
    return rows


def store_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Many corrections in one store: what a person waits for, every export, and the memory of the exports."""
    from tests.benchmarks import store as bench

    db = folder / "store.db"
    began = time.perf_counter()
    store = bench.filled_store(db, options.corrections, 500)
    rows = [Row(f"{options.corrections} corrections of 500 clips: written", f"{time.perf_counter() - began:.1f} s")]
    for what, ms in bench.page_times(store).items():
        rows.append(Row(f"  {what}", f"{ms:.1f} ms", "at most 50 ms" if "page" in what else ""))
    took = bench.export_times(store, folder)
    rows += [Row(f"  export {name}", f"{seconds:.1f} s") for name, seconds in took.items()]
    rows.append(Row("  all exports together", f"{sum(took.values()):.1f} s", "at most 60 s"))
    small = bench.filled_store(folder / "small.db", options.corrections // 50, 10)
    for name in ("hivau", "coco", "datumaro"):
        cost = [
            run_measured("tests.benchmarks.store", [s.path, name, folder / f"{name}-{i}"], cache=folder / f"{name}{i}")
            for i, s in enumerate((small, store))
        ]
        rows.append(
            Row(f"  memory of export {name}, beside 1/50 of it ", f"{cost[1].peak_mb - cost[0].peak_mb:+.0f} MiB")
        )
    return rows


def page_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """The page in a real browser, which needs what `make setup-test` installs."""
    from tests.benchmarks import page

    return page.page_rows(folder, options)


def _analyze(clip: Path, out: Path, cache: Path, *more: str) -> Cost:
    return run_measured("workbench", ["analyze", clip, "--out", out, "--device", "cpu", *more], cache=cache)


MEASURES: dict[str, Callable[[Path, argparse.Namespace], list[Row]]] = {
    "cost": cost_rows,
    "memory": memory_rows,
    "quality": quality_rows,
    "overhead": overhead_rows,
    "gpu": gpu_rows,
    "store": store_rows,
    "page": page_rows,
    **learning.MEASURES,
}


def main() -> int:
    """Measure what was asked for and print it; 1 if a measured command failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES)} (default: all)")
    parser.add_argument("--clips", type=int, default=60, help="clips of the quality numbers (default: 60)")
    parser.add_argument("--corrections", type=int, default=50_000, help="of the store (default: 50000)")
    parser.add_argument("--clip", type=Path, help="of the overhead, instead of one minute drawn")
    parser.add_argument("--minutes", type=int, default=30, help="length of the long clip (default: 30)")
    learning.add_options(parser)
    options = parser.parse_args()
    if unknown := set(options.names) - MEASURES.keys():
        parser.error(f"no measurement called {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    failed = False
    print(f"{'measured':<44}{'value':<34}against")
    left_out = set() if options.fights.is_dir() else {"fights"}
    for name in options.names or (name for name in MEASURES if name not in left_out):
        with tempfile.TemporaryDirectory(prefix="workbench-bench-") as folder:
            try:
                for row in MEASURES[name](Path(folder), options):
                    print(f"{row.what:<44}{row.value:<34}{row.against}".rstrip(), flush=True)
            except BenchmarkError as error:
                failed = True
                print(f"{name}: {error}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
