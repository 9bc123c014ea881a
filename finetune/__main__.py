"""`python -m finetune …`: validate, call the library, print."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from workbench.errors import InputError, WorkbenchError
from workbench.files import said_of


def build_parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    parser = argparse.ArgumentParser(prog="python -m finetune", description="Train and measure the model stack.")
    commands = parser.add_subparsers(dest="command", required=True)

    scenes = commands.add_parser("scenes", help="render procedural clips with their ground truth")
    scenes.add_argument("--out", type=Path, required=True, metavar="DIR")
    scenes.add_argument("--clips", type=int, default=60, metavar="N", help="how many (default: 60)")
    scenes.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the first clip (default: 0)")

    scenes.add_argument("--category", metavar="C", help="what happens in all of them (default: half are normal)")
    scenes.add_argument("--view", metavar="V", help="the camera of all of them (default: any of the street world)")
    scenes.add_argument("--wide", action="store_true", help="also mast, dashboard and all-round cameras")
    scenes.add_argument("--rich", action="store_true", help="also more kinds of events, more of normal life, and logos")

    bundle = commands.add_parser("bundle", help="train everything in assets/bundled from nothing")
    bundle.add_argument("--out", type=Path, default=Path("assets/bundled"), metavar="DIR")
    bundle.add_argument("--start", type=Path, metavar="DIR", help="the second leg alone, from this bundle")
    bundle.add_argument("--work", type=Path, metavar="DIR", help="state of the stages (default: runs/bundle)")

    from finetune.evaluate import add_arguments
    from finetune.reproduce import command as reproduce
    from finetune.tune_cli import add_commands

    add_arguments(commands.add_parser("evaluate", help="measure a stack on a folder of clips"))
    reproduce.add_arguments(commands.add_parser("reproduce", help="the papers' tables in small"))
    add_commands(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 when done, 2 on an error meant for a person, 130 when interrupted."""
    args = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    try:
        return _run(args)
    except WorkbenchError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"{said_of(error)}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted; run the same command again to go on.\n")
        return 130


def _run(args: argparse.Namespace) -> int:
    if args.command == "scenes":
        from finetune.scenes.write import write_world

        write_world(
            args.out, clips=args.clips, seed=args.seed, category=args.category, view=args.view, wide=args.wide,
            rich=args.rich,
        )  # fmt: skip
        return 0
    if args.command == "bundle":
        from finetune.bundle import default_work, make_bundle, write_samples

        if args.start and not (args.start / "backbone").is_dir():
            raise InputError(f"{args.start} is no bundle to go on from: it has no folder backbone; name another.")
        if args.start and args.start.resolve() == args.out.resolve():
            raise InputError(f"{args.start} cannot be gone on from and written to at once; give another --out.")
        make_bundle(args.out, args.work or default_work(), args.start)
        write_samples(args.out.parent / "samples")
        return 0
    if args.command == "reproduce":
        from finetune.reproduce.command import run as run_reproduce

        return run_reproduce(args)
    if args.command != "evaluate":
        from finetune.tune_cli import run as run_tuning

        return run_tuning(args)
    from finetune.evaluate import run

    return run(args)


if __name__ == "__main__":
    sys.exit(main())
