"""`python -m workbench export | import | db …`: the commands about the store of corrections."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import cli_case
from workbench.corrections.place import default_path, make_folder
from workbench.errors import FormatError
from workbench.exports import FORMATS, get_format, importable

if TYPE_CHECKING:
    from workbench.corrections.store import Store
    from workbench.records import ReviewedClip

EXIT_FAULT = 1


def add_commands(commands: Any) -> None:
    """Add `export`, `import` and `db` to the parser of all commands."""
    export = commands.add_parser(
        "export",
        help="write what was reviewed in a format that other programs read",
        description="Write the clips of the store, as they stand after all corrections, to a file or folder of a "
        "format (docs/formats.md says what each holds). It appears whole or not at all.",
    )
    _add_db(export)
    export.add_argument("--format", required=True, metavar="NAME", help=f"one of: {', '.join(FORMATS)}, case")
    export.add_argument("--out", required=True, type=Path, metavar="PATH", help="file or folder to write")
    export.add_argument("--clip", metavar="NAME", help="only the clip of this name or sha256")
    export.add_argument("--layer", default="main", metavar="NAME", help="whose view (default: main)")
    export.add_argument("--skip-unfit", action="store_true", help="leave out clips that the format cannot hold")
    export.add_argument(
        "--media", action="store_true", help="write videos too, cut into events and clips for HIVAU-70k"
    )
    export.set_defaults(command=export_clips)

    take_in = commands.add_parser(
        "import",
        help="read annotations into the store; clips may lack their video",
        description="Read a file of annotations into the store: all of it, or nothing where something in it cannot be "
        "true. A zip is read as it is.",
    )
    _add_db(take_in)
    take_in.add_argument("--format", required=True, metavar="NAME", help=f"one of: {', '.join(importable())}")
    take_in.add_argument("--annotator", default="import", metavar="NAME", help="who the history says it was")
    take_in.add_argument("path", type=Path, metavar="PATH", help="the file to read")
    take_in.set_defaults(command=import_clips)

    _add_db_commands(commands.add_parser("db", help="check, copy and count the store of corrections"))


def _add_db_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    verify = commands.add_parser("verify", help="is the history as it was written? names the first bad row")
    _add_db(verify)
    verify.add_argument("--expect", metavar="HASH", help="a head that verify printed earlier; it must still be there")
    verify.set_defaults(command=verify_store)
    backup = commands.add_parser("backup", help="copy the store, also while it is in use")
    _add_db(backup)
    backup.add_argument("out", type=Path, metavar="FILE", help="the copy to write")
    backup.set_defaults(command=backup_store)
    found = commands.add_parser("attach", help="find clips whose files have moved, by their content, below a folder")
    _add_db(found)
    found.add_argument("folder", type=Path, metavar="FOLDER", help="where the videos lie now")
    found.set_defaults(command=attach_clips)
    info = commands.add_parser("info", help="counts and size")
    _add_db(info)
    info.set_defaults(command=show_info)


def _add_db(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        "--db",
        dest="db",
        type=Path,
        default=default_path(),
        metavar="FILE",
        help="the store (default: the page's own, which WORKBENCH_STORE may name)",
    )


def export_clips(args: argparse.Namespace) -> int:
    """`export`: nothing is written if anything does not fit, unless that is to be skipped."""
    if args.format == cli_case.FORMAT:
        return cli_case.export_cases(args)
    target = get_format(args.format)
    store = existing_store(args.db)
    if os.path.exists(args.out) and args.out.samefile(args.db):
        raise FormatError(f"{args.out} is the store itself; name another file with --out.")
    from workbench.probe import VIDEO_SUFFIXES

    if args.out.suffix.lower() in VIDEO_SUFFIXES and os.path.isfile(args.out):
        raise FormatError(f"{args.out} is a video, which an export would replace; name another file with --out.")
    left_out: list[str] | None = [] if args.skip_unfit else None
    notes: list[str] | None = [] if args.media else None
    count = target.write(chosen_clips(store, args.clip, args.layer), args.out, left_out=left_out, media_notes=notes)
    for reason in left_out or ():
        sys.stderr.write(f"left out: {reason}\n")
    for note in notes or ():
        sys.stderr.write(f"note: {note}\n")
    sys.stdout.write(f"wrote {args.out}: {count} clip{'' if count == 1 else 's'} as {target.title}\n")
    return 0


def import_clips(args: argparse.Namespace) -> int:
    """`import`: all of the file or nothing of it."""
    source = get_format(args.format)
    clips = source.read(args.path)
    first = next(clips, None)  # before a store is made: a file that is none leaves none behind
    from workbench.corrections.intake import take_in
    from workbench.corrections.taxonomy import open_store

    make_folder(args.db)
    report = take_in(open_store(args.db), chain([] if first is None else [first], clips), annotator=args.annotator)
    for warning in report.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    sys.stdout.write(
        f"read {report.clips} clips ({report.new_clips} new, {report.without_media} without media), "
        f"wrote {report.rows} rows to {args.db}\n"
    )
    return 0


def verify_store(args: argparse.Namespace) -> int:
    """`db verify`: one line; exit code 1 if something is wrong."""
    from workbench.corrections.verify import verify

    result = verify(existing_store(args.db), expect_head=args.expect)
    if result.fault is not None:
        sys.stdout.write(f"FAULT  {result.fault}\n")
        return EXIT_FAULT
    sys.stdout.write(f"ok     {result.rows} rows, head {result.head}\n")
    return 0


def backup_store(args: argparse.Namespace) -> int:
    """`db backup`: the copy appears whole or not at all."""
    path = existing_store(args.db).backup(args.out)
    sys.stdout.write(f"wrote {path}: {path.stat().st_size} bytes\n")
    return 0


def attach_clips(args: argparse.Namespace) -> int:
    """`db attach`: a line for each clip whose file was gone; exit code 1 if some still are."""
    from workbench.corrections.attach import attach_folder

    result = attach_folder(existing_store(args.db), args.folder)
    for clip in result.found:
        sys.stdout.write(f"found      {clip.name}: {clip.path}\n")
    for clip in result.gone:
        sys.stdout.write(f"still gone {clip.name}: it was {clip.path}\n")
    if result.gone:
        for name in result.unread[:20]:
            sys.stderr.write(f"note: {name} cannot be read, so what is in it is not known\n")
    if not result.found and not result.gone:
        sys.stdout.write("all clips lie where they did\n")
    return EXIT_FAULT if result.gone else 0


def show_info(args: argparse.Namespace) -> int:
    """`db info`: a line a count."""
    info = existing_store(args.db).info()
    rows = [("file", info.path), ("bytes", info.size_bytes), *info.counts.items(), ("head", info.head)]
    sys.stdout.write("".join(f"{name:<11} {value}\n" for name, value in rows))
    return 0


def existing_store(path: Path) -> Store:
    """The store in `path`. Raises StoreError when there is none: a mistyped name must not make a new one."""
    from workbench.corrections.store import Store
    from workbench.errors import StoreError

    if not os.path.exists(path):
        raise StoreError(
            f"There is no store {path}; name one with --store, or begin one on the page, or with: python -m workbench "
            "import."
        )
    return Store(path)


def chosen_clips(store: Store, name: str | None, layer: str) -> Iterator[ReviewedClip]:
    """All clips of a store, or the one of that name or sha256. Raises StoreError: there is no such clip, or layer."""
    from workbench.corrections.clips import reviewed_clips
    from workbench.corrections.layers import check_layer
    from workbench.errors import StoreError

    check_layer(store, layer)
    found = False
    for reviewed in reviewed_clips(store, layer):
        if name is None or name in (reviewed.clip.name, reviewed.clip.sha256):
            found = True
            yield reviewed
    if name is not None and not found:
        raise StoreError(f"The store {store.path} has no clip {name!r}; name one as it is listed, or its sha256.")
