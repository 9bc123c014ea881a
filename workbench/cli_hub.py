"""`python -m workbench push`: what was reviewed as a data set on the Hugging Face Hub."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add_commands(commands: Any, default_db: Path) -> None:
    """Add `push` to the parser of all commands."""
    push = commands.add_parser(
        "push",
        help="upload what was reviewed as a Hugging Face data set",
        description="Upload what was reviewed to a data set repository, private unless --public. The token is taken "
        "from HF_TOKEN or what `hf auth login` has kept.",
    )
    push.add_argument("repo", metavar="OWNER/NAME", help="the data set repository; made if it is not there")
    push.add_argument(
        "--store", "--db", dest="db", type=Path, default=default_db, metavar="FILE", help="default: the page's own"
    )
    push.add_argument("--clip", metavar="NAME", help="only the clip of this name or sha256")
    push.add_argument("--layer", default="main", metavar="NAME", help="whose view (default: main)")
    push.add_argument("--media", action="store_true", help="upload the videos too")
    push.add_argument("--public", action="store_true", help="make a new repository public")
    push.set_defaults(command=push_clips)


def push_clips(args: argparse.Namespace) -> int:
    """`push`: the last line is the address of the commit."""
    from workbench import hub
    from workbench.cli_data import chosen_clips, existing_store

    notes: list[str] = []
    chosen = chosen_clips(existing_store(args.db), args.clip, args.layer)
    address = hub.push_dataset(chosen, args.repo, private=not args.public, media=args.media, notes=notes)
    for note in notes:
        sys.stderr.write(f"note: {note}\n")
    sys.stdout.write(f"pushed to {address}\n")
    return 0
