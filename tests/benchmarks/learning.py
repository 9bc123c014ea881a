"""What learning from corrections is worth: few clips, a run that was killed, poisoned labels, real fights.

few      N corrected clips of a camera and a kind of event that nothing was trained on; judged on other clips of it
resume   the same run whole, and killed half way and gone on with
poison   labels turned round, of 8 clips and of N, on all of them and on those that are learned from: to be refused
fights   five folds by clip over a folder of labelled real clips
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.process import REPOSITORY, BenchmarkError, run_measured, start_on_cores
from tests.benchmarks.table import Row

VIEW = "platform"
FEW_SEED, HELD_SEED, KNOWN_SEED = 700_000, 710_000, 720_000
PATIENCE_S = 3600.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Sizes: full ones by default, smaller ones to see that it works."""
    shared = Path(os.environ.get("WORKBENCH_SHARED", REPOSITORY.parent / "shared"))
    parser.add_argument("--few", type=int, default=20, help="corrected clips to learn from (default: 20)")
    parser.add_argument("--held", type=int, default=24, help="other clips of the camera to judge on (default: 24)")
    parser.add_argument("--bundled", type=int, default=24, help="scenes of the bundled hold-out (default: 24)")
    parser.add_argument("--steps", type=int, help="steps of each recipe (default: its own)")
    parser.add_argument("--replay", default="street", help="'street' or 'none' (default: street)")
    parser.add_argument("--fights", type=Path, default=shared / "data" / "fights", help="folder of the real clips")


def few_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Scorer and heatmap learn from a few clips; before and after on clips of other seeds, and on what was known."""
    data, held = folder / "few", folder / "held"
    _draw(data, options.few, FEW_SEED, VIEW)
    _draw(held, options.held, HELD_SEED, VIEW)
    before = _measured(folder, held, "before")
    run = folder / "run"
    cost = run_measured("finetune", _line("heatmap,scorer", data, run, options), cache=folder / "cache")
    after = _measured(folder, held, "after", adapter=_adapter(run))
    gate = json.loads((run / "gate.json").read_text())
    known = {change["metric"]: change for change in gate["known"]}
    rows = [Row(f"{options.few} corrected clips of a new camera and kind", "before → after", f"{options.held} clips")]
    for name, title, wanted in (("frame_auc", "frame ROC-AUC", 0.10), ("pixel_ap", "pixel AP", 0.15)):
        old, new = before.get(name), after.get(name)
        if old is not None and new is not None:
            rows.append(Row(f"  {title}", f"{old:.3f} → {new:.3f} ({new - old:+.3f})", f"at least +{wanted:.2f}"))
    if "frame_auc" in known:
        old, new = known["frame_auc"]["before"], known["frame_auc"]["after"]
        rows.append(Row("  frame ROC-AUC on the bundled hold-out", f"{old:.3f} → {new:.3f}", "at most 0.02 lost"))
    rows.append(Row("  wall time of the run, everything included", f"{cost.wall_s:.0f} s", "at most 600 s"))
    rows.append(Row("  the gate", _said(gate), "adopts"))
    rows.append(Row("  because", str(gate["reasons"][0])))
    return rows


def resume_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """The last loss of a run that was killed at half its steps and gone on with, against one that was not."""
    data, cache = folder / "few", folder / "cache"
    _draw(data, options.few, FEW_SEED, VIEW)
    whole, killed = folder / "whole", folder / "killed"
    run_measured("finetune", _line("scorer", data, whole, options), cache=cache)
    steps = _steps(whole)[-1]
    line = _line("scorer", data, killed, options)
    process = start_on_cores("finetune", line, cache=cache)
    taken = steps["step"] + 1  # it may have stopped early
    at = _killed_at(process.pid, killed, taken // 2, process.poll)
    process.wait()
    run_measured("finetune", line, cache=cache)
    first, second = steps["loss"], _steps(killed)[-1]["loss"]
    return [
        Row(f"killed at step {at} of {taken}, then gone on with", ""),
        Row("  last loss, never stopped", f"{first:.5f}"),
        Row("  last loss, killed and resumed", f"{second:.5f}"),
        Row("  difference", f"{abs(first - second):.5f}", "at most 0.001"),
    ]


def poison_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """What happens is called normal and the other way round: everywhere, and wherever the gate does not look."""
    rows = []
    for count in dict.fromkeys((min(8, options.few), options.few)):
        for everywhere in (False, True):
            name = f"{count}-{'all' if everywhere else 'learned'}"
            data, run = folder / name, folder / f"run-{name}"
            _draw(data, count, KNOWN_SEED, None)
            turned = _poison(data, everywhere=everywhere)
            run_measured("finetune", _line("scorer", data, run, options), cache=folder / "cache")
            gate = json.loads((run / "gate.json").read_text())
            rows.append(Row(f"labels turned round on {turned} of {count} clips", "", ""))
            rows.append(Row("  the gate", _said(gate), "refuses"))
            rows.append(Row("  because", str(gate["reasons"][0])))
    return rows


def fights_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Accuracy over five folds by clip on real fights."""
    if not options.fights.is_dir():
        raise BenchmarkError(f"there are no real clips in {options.fights}; name their folder with --fights")
    out = folder / "fights.json"
    run_measured("finetune", ["fights", "--data", options.fights, "--out", out], cache=folder / "cache")
    found = json.loads(out.read_text())
    low, high = found["accuracy_ci95"]
    return [
        Row(f"real fights, {found['clips']} clips, 5 folds by clip", ""),
        Row("  accuracy", f"{found['accuracy']:.3f} [{low:.3f}, {high:.3f}]", "at least 0.80 (published: 0.72)"),
        Row("  ROC-AUC, motion alone", f"{found['auc']:.3f}, {found['auc_motion_alone']:.3f}"),
        Row("  slowest fold, cached features", f"{max(found['fold_seconds']):.0f} s", "at most 300 s"),
    ]


def _draw(folder: Path, clips: int, seed: int, view: str | None) -> None:
    line = ["scenes", "--out", folder, "--clips", str(clips), "--seed", str(seed)]
    more = [] if view is None else ["--view", view]
    run_measured("finetune", [*line, *more], cache=folder.with_name(f"{folder.name}-drawing"))


def _line(components: str, data: Path, run: Path, options: argparse.Namespace) -> list[str | Path]:
    line = ["all", "--only", components, "--data", data, "--out", run, "--registry", run.with_name("registry")]
    line += ["--replay", options.replay, "--bundled", str(options.bundled), "--from", "none"]
    return line if options.steps is None else [*line, "--steps", str(options.steps)]


def _measured(folder: Path, data: Path, name: str, adapter: Path | None = None) -> dict[str, Any]:
    out = folder / f"{name}.json"
    line = ["evaluate", "--data", data, "--out", out, "--no-chat", "--no-segmenter"]
    run_measured("finetune", line if adapter is None else [*line, "--adapter", adapter], cache=folder / "cache")
    return dict(json.loads(out.read_text()))


def _adapter(run: Path) -> Path:
    rows = [json.loads(line) for line in (run / "progress.jsonl").read_text().splitlines()]
    return run.with_name("registry") / rows[-1]["adapter"]


def _steps(run: Path) -> list[dict[str, Any]]:
    path = run / "scorer.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _killed_at(pid: int, run: Path, half: int, poll: Callable[[], int | None]) -> int:
    """Kill the process group of a run once it has logged half its steps. → the step it had then."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        rows = _steps(run)
        if rows and rows[-1]["step"] >= half:
            os.killpg(pid, signal.SIGKILL)
            return int(rows[-1]["step"])
        if poll() is not None or time.monotonic() > deadline:
            raise BenchmarkError("the run that was to be killed ended, or hung, before it was half way")
        time.sleep(0.01)


def _said(gate: dict[str, Any]) -> str:
    return "adopts" if gate["adopt"] else f"refuses: {gate['answer']}"


def _poison(data: Path, *, everywhere: bool) -> int:
    """Turn labels round in the truth files, of all clips or of those that are learned from. → of how many."""
    from finetune.snapshot import freeze
    from finetune.sources import from_folder

    clips = from_folder(data).clips
    sides = freeze(clips).sides
    chosen = {Path(clip.path).stem for clip in clips if everywhere or sides[clip.sha256] != "hold_out"}
    for path in (data / "truth").glob("*.json"):
        if path.stem in chosen:
            path.write_text(json.dumps(turned_round(json.loads(path.read_text()))))
    return len(chosen)


def turned_round(truth: dict[str, Any]) -> dict[str, Any]:
    """The truth of a scene with its label turned round: abnormal from start to end, or normal throughout."""
    turned = {**truth, "label": 1 - truth["label"], "events": [], "dialogue": [], "clips": []}
    if truth["label"]:
        return {**turned, "category": "normal", "frame_label": [0] * truth["n_frames"]}
    texts = dict.fromkeys(("judgement", "description", "analysis"), "")
    event = {"category": "fighting", "start_frame": 0, "end_frame": truth["n_frames"], "entity_ids": [], "facts": {}}
    return {
        **turned, "category": "fighting", "events": [event | texts], "frame_label": [1] * truth["n_frames"],
    }  # fmt: skip


MEASURES: dict[str, Callable[[Path, argparse.Namespace], list[Row]]] = {
    "few": few_rows,
    "resume": resume_rows,
    "poison": poison_rows,
    "fights": fights_rows,
}
