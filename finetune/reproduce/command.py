"""`python -m finetune reproduce`: arguments, the tables that were asked for, and the page."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from workbench.errors import InputError

TABLES = ("sampler", "taps", "supervision", "levels", "regions")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m finetune reproduce`."""
    parser.add_argument("--profile", default="bundled", help="model stack to take apart (default: bundled)")
    parser.add_argument(
        "--out", type=Path, default=Path("docs"), metavar="DIR", help="where the page goes (default: docs)"
    )
    parser.add_argument("--work", type=Path, metavar="DIR", help="clips, states and numbers (default: runs/reproduce)")
    parser.add_argument(
        "--tables",
        default=",".join(TABLES),
        metavar="NAMES",
        help=f"some of {','.join(TABLES)}; levels and the last two rows of regions train dialogue models for hours",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of clips and trainings (default: 0)")
    parser.add_argument(
        "--quick", action="store_true", help="the smallest sizes: shows that it works, measures nothing"
    )


def run(args: argparse.Namespace) -> int:
    """Make the tables and write the page; `WorkbenchError` is left to the caller, who prints it."""
    names = [name.strip() for name in args.tables.split(",") if name.strip()]
    unknown = [name for name in names if name not in TABLES]
    if unknown or not names:
        raise InputError(f"There is no table {', '.join(unknown) or 'to make'}; choose some of {', '.join(TABLES)}.")
    from finetune.reproduce.bench import QUICK, Bench, Sizes
    from finetune.reproduce.report import write_report
    from workbench.stack.loading import ModelStack

    work = args.work or Path(os.environ.get("WORKBENCH_RUNS", "runs")) / (
        "reproduce-quick" if args.quick else "reproduce"
    )
    bench = Bench(ModelStack.load(args.profile, device="cpu"), QUICK if args.quick else Sizes(), work, seed=args.seed)
    made = _makers()
    tables = [made[name](bench) for name in TABLES if name in names]
    command = f"python -m finetune reproduce --profile {args.profile} --tables {','.join(names)} --seed {args.seed}"
    page = write_report(args.out, bench, tables, command + (" --quick" if args.quick else ""), quick=args.quick)
    for table in tables:
        sys.stdout.write(f"{table.title}\n  {table.finding}\n")
    sys.stdout.write(f"{page}\n")
    return 0


def _makers() -> dict[str, Callable]:
    from finetune.reproduce.levels import levels_table
    from finetune.reproduce.regions import regions_table
    from finetune.reproduce.sampling import sampler_table
    from finetune.reproduce.supervision import supervision_table
    from finetune.reproduce.taps import taps_table

    made = (sampler_table, taps_table, supervision_table, levels_table, regions_table)
    return dict(zip(TABLES, made, strict=True))
