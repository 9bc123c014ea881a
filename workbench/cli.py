"""`python -m workbench …`: validate → call the library → print.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 the doctor found something missing,
2 an error a person can act on (one line says which), 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import cli_annotate, cli_case, cli_data, cli_hub, cli_models
from workbench.corrections.place import default_path
from workbench.errors import WorkbenchError
from workbench.files import said_of
from workbench.interrupts import listening, raise_if_heard

if TYPE_CHECKING:
    from tqdm import tqdm

    from workbench.records import Analysis, Turn

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
# As in workbench.stack.sampler, which is not imported here: --help should not wait for the model libraries.
SAMPLERS = ("ats", "uniform", "topk", "published")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show is shown in its escapes
            stream.reconfigure(errors="backslashreplace")
    args = build_parser().parse_args(argv)
    try:
        with listening():
            return int(args.command(args))
    except WorkbenchError as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return EXIT_ERROR
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has seen enough; without this Python complains once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # of a file that nothing above has words of its own for
        sys.stderr.write(f"error: {' '.join(said_of(error).split())}\n")
        return EXIT_ERROR


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets `command` to its function."""
    parser = argparse.ArgumentParser(
        prog="python -m workbench",
        description="What is abnormal in a video, when, where, who and why.",
        epilog="To begin: python -m workbench analyze CLIP. The page in the browser: python app.py. Each command says "
        "more of itself: python -m workbench COMMAND --help.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_analyze(commands)
    cli_models.add_commands(commands)
    doctor = commands.add_parser(
        "doctor",
        help="check whether this machine has all that is needed",
        description="Check Python, libraries, GPU, ffmpeg, browser, weights, disk and memory: a line each, which says "
        "ok or what to do. Exit code 1 if something needed is missing.",
    )
    doctor.set_defaults(command=show_doctor)
    _add_convert(commands)
    cli_data.add_commands(commands)
    cli_case.add_commands(commands, default_path())
    cli_annotate.add_commands(commands, default_path())
    cli_hub.add_commands(commands, default_path())
    return parser


def _add_analyze(commands: Any) -> None:
    analyze = commands.add_parser(
        "analyze",
        help="analyse one clip",
        description="Analyse one clip and write analysis.json and timeline.html (and what else is asked for) to DIR.",
    )
    analyze.add_argument("clip", type=Path, metavar="CLIP", help="a video file")
    cli_models.add_stack_options(analyze)
    analyze.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the results (default: out/NAME of the clip)"
    )
    analyze.add_argument(
        "--ask",
        action="append",
        default=[],
        metavar="QUESTION",
        help="ask about the clip; may be given several times, each is a turn of one dialogue; "
        "judgement, description and analysis ask the standard questions",
    )
    analyze.add_argument(
        "--sampler", choices=SAMPLERS, default="ats", help="how the frames the language model sees are chosen"
    )
    analyze.add_argument("--frames", type=int, metavar="N", help="how many of them (default: as the profile says)")
    analyze.add_argument("--threshold", type=float, metavar="X", help="score from which a moment is abnormal")
    analyze.add_argument(
        "--calibration", type=Path, metavar="FILE", help="of its camera, as python -m finetune calibrate writes it"
    )
    analyze.add_argument("--instances", action="store_true", help="find, track and describe who takes part")
    analyze.add_argument("--heatmaps", action="store_true", help="write heatmaps.npz")
    analyze.add_argument("--overlay", action="store_true", help="write overlay.mp4: heatmap, masks and score strip")
    analyze.set_defaults(command=analyze_clip)


def _add_convert(commands: Any) -> None:
    convert = commands.add_parser(
        "convert",
        help="convert a published checkpoint",
        description="Convert a published checkpoint in the folder SRC to the native layout in DST. "
        "No code from the checkpoint is run.",
    )
    convert.add_argument("kind", choices=("holmesvau",), help="what SRC holds: a Holmes-VAU checkpoint")
    convert.add_argument("source", type=Path, metavar="SRC", help="folder of the checkpoint as published")
    convert.add_argument("target", type=Path, metavar="DST", help="folder to make; the scorer goes to DST/scorer")
    convert.add_argument(
        "--scorer", type=Path, metavar="FILE", help="the scorer (default: SRC/anomaly_scorer.pth, if there)"
    )
    convert.set_defaults(command=convert_checkpoint)


def analyze_clip(args: argparse.Namespace) -> int:
    """`analyze`: the clip is opened before the models are loaded, so that a wrong file is told at once."""
    from workbench.profiles import get_profile
    from workbench.video import Clip

    profile = get_profile(args.profile)
    with Clip.open(args.clip) as clip:
        from workbench.calibration import read_fusions
        from workbench.stack.loading import ModelStack
        from workbench.workflow import Request, carry_out, prepare_folder, write_outputs

        request = Request(tuple(args.ask), args.instances, args.sampler, args.frames, args.threshold)
        fusions = read_fusions(args.calibration) if args.calibration else None
        folder = prepare_folder(args.out or Path("out") / args.clip.stem, args.clip)
        stack = ModelStack.load(profile, **cli_models.stack_options(args))
        if fusions is not None:
            fusions.apply(stack, args.clip.stem)
        with StageBar() as bar:
            analysis = carry_out(clip, stack, request, progress=bar)
            bar("write", 0.0, None)
            paths = write_outputs(analysis, clip, folder, heatmaps=args.heatmaps, overlay=args.overlay)
            bar("write", 1.0, None)
    for warning in analysis.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    sys.stdout.write("\n".join(summary(analysis, paths)) + "\n")
    return 0


class StageBar(contextlib.AbstractContextManager["StageBar"]):
    """A progress bar on stderr with one line a stage; silent where stderr is not a terminal."""

    def __init__(self) -> None:
        self._stage = ""
        self._bar: tqdm | None = None

    def __call__(self, stage: str, fraction: float, _partial: object) -> None:
        from tqdm import tqdm

        raise_if_heard()
        if stage == "done":
            return
        if stage != self._stage or self._bar is None:
            self.close()
            layout = "{desc:>10} {percentage:3.0f}% {bar:30} {elapsed}"
            self._stage, self._bar = (
                stage,
                tqdm(total=1.0, desc=stage, bar_format=layout, disable=None, file=sys.stderr),
            )
        self._bar.update(min(1.0, fraction) - self._bar.n)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the line of the current stage."""
        if self._bar is not None:
            self._bar.close()


def summary(analysis: Analysis, paths: Sequence[Path]) -> list[str]:
    """What `analyze` tells on stdout, line by line."""
    from workbench.plots import clock, event_label

    clip = analysis.clip
    lines = [f"{clip.path}: {clock(clip.duration_s, 1)}, {clip.n_frames} frames, {clip.width}x{clip.height}"]
    if not analysis.events:
        lines.append(f"nothing above the threshold of {analysis.threshold:.2f}")
    for event in analysis.events:
        span = f"{clock(event.start_s, 1)} to {clock(event.end_s, 1)}"
        lines.append(f"{event_label(event)}: {span}, score {event.peak_score:.2f} at {clock(event.peak_s, 1)}")
    lines += [
        f"{item.role} {item.id}: {item.category}, {item.appearance}, {item.motion}" for item in analysis.instances
    ]
    for turn in analysis.dialogue:
        lines += _turn_lines(turn)
    lines += [f"not trained: {part}; in its place: {text}" for part, text in analysis.stand_ins.items()]
    return [*lines, *(f"wrote {path}" for path in paths)]


def _turn_lines(turn: Turn) -> list[str]:
    return [f"Q: {turn.question}", f"A: {turn.answer}"]


def convert_checkpoint(args: argparse.Namespace) -> int:
    """`convert`: one line a folder written."""
    from workbench.stack.convert import convert_holmesvau

    made = convert_holmesvau(args.source, args.target, scorer=args.scorer)
    size = f"{made.parameters / 1e6:.1f} M parameters, {made.dtype}".replace("torch.", "")
    sys.stdout.write(f"wrote {made.folder}: {made.tensors} tensors, {size}\n")
    if made.scorer:
        sys.stdout.write(f"wrote {made.folder / 'scorer'}\n")
    else:
        sys.stderr.write("warning: there is no scorer in SRC; give one with --scorer, or frames cannot be scored\n")
    return 0


def show_doctor(_args: argparse.Namespace) -> int:
    """`doctor`: one line a check; 1 if something needed is missing."""
    from workbench.doctor import examine

    findings = examine(Path.cwd())
    for finding in findings:
        sys.stdout.write(f"{'ok ' if finding.fine else 'FIX'}  {finding.name:<13} {finding.text}\n")
    return 0 if all(finding.fine for finding in findings) else 1
