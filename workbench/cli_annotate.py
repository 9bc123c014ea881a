"""`python -m workbench annotate`: captions and texts for the events of a clip, or of every clip in the store."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import cli_models
from workbench.errors import InputError

if TYPE_CHECKING:
    from workbench.corrections.store import Store
    from workbench.stack.loading import ModelStack


def add_commands(commands: Any, default_db: Path) -> None:
    """Add `annotate` to the parser of all commands."""
    annotate = commands.add_parser(
        "annotate",
        help="split events into clips, caption them and sum them up in words",
        description="Split the events of a clip (or of every clip in the store) into clips, caption each, and write "
        "judgement, description and analysis of events and videos where nobody has. It can be interrupted: what is "
        "finished is saved, and the next run goes on from there.",
    )
    annotate.add_argument(
        "clip", nargs="?", metavar="CLIP", help="name or sha256 of a clip in the store, or a video; default: all clips"
    )
    annotate.add_argument(
        "--store", "--db", dest="db", type=Path, default=default_db, metavar="FILE", help="default: the page's own"
    )
    annotate.add_argument("--layer", default="main", metavar="NAME", help="whose view (default: main)")
    annotate.add_argument("--clip-seconds", type=float, default=2.0, metavar="S", help="about how long clips are")
    annotate.add_argument("--again", action="store_true", help="write anew what a model wrote; never what a person did")
    cli_models.add_stack_options(annotate)
    annotate.set_defaults(command=annotate_clips)


def annotate_clips(args: argparse.Namespace) -> int:
    """`annotate`: notes go to stderr, one line says what was written."""
    from workbench.annotation import Options, annotate_clip, annotate_library
    from workbench.cli import StageBar
    from workbench.cli_data import existing_store
    from workbench.profiles import get_profile

    options = Options(args.clip_seconds, args.again, args.layer)
    profile = get_profile(args.profile)
    is_file = args.clip is not None and os.path.isfile(args.clip)
    store = existing_store(args.db) if not is_file else _opened(args.db)
    only = None if args.clip is None or is_file else _number_of(store, args.clip)
    from workbench.stack.loading import ModelStack

    stack = ModelStack.load(profile, **cli_models.stack_options(args))
    with StageBar() as bar:
        if is_file:
            only = _enter(store, Path(args.clip), stack, bar)
        if only is None:
            done = annotate_library(store, stack, options, progress=bar)
        else:  # the one that was named must be there
            done = annotate_clip(store, only, stack, options, progress=bar)
    for note in done.notes:
        sys.stderr.write(f"note: {note}\n")
    sys.stdout.write(f"wrote {done.texts} texts of {done.events} events in {done.clips} clips to {args.db}\n")
    return 0


def _opened(path: Path) -> Store:
    from workbench.corrections.place import make_folder
    from workbench.corrections.taxonomy import open_store

    make_folder(path)
    return open_store(path)


def _number_of(store: Store, name: str) -> int:
    """The clip of that name or sha256. Raises InputError when there is none."""
    with store.reading() as db:
        row = db.conn.execute("SELECT id FROM clips WHERE name = ? OR sha256 = ? ORDER BY id", [name, name]).fetchone()
    if row is None:
        raise InputError(
            f"The store {store.path} has no clip {name!r}; name one as it is listed, its sha256, or a file."
        )
    return int(row[0])


def _enter(store: Store, path: Path, stack: ModelStack, progress: Any) -> int:
    """Analyse a video that the store may not know yet. → the number of its clip."""
    from workbench.analysis import analyse
    from workbench.conversation import name_events
    from workbench.corrections import clips
    from workbench.video import Clip

    with Clip.open(path) as clip:
        with store.reading() as db:
            row = db.conn.execute("SELECT id FROM clips WHERE sha256 = ?", [clip.info.sha256]).fetchone()
        if row is not None:
            return int(row[0])
        analysis = analyse(clip, stack, progress=progress)
        name_events(stack, analysis)
        return clips.save_analysis(store, analysis).id
