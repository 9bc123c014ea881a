"""`python -m workbench case | verify-case`: a clip's case for people without a workbench, and its check."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from workbench.errors import FormatError, InputError
from workbench.files import unwritable

FORMAT = "case"  # of `export`


def add_commands(commands: Any, default_db: Path) -> None:
    """Add `case` and `verify-case` to the parser of all commands."""
    case = commands.add_parser(
        "case",
        help="write everything known of a clip as an offline report",
        description="Write a report of one clip with timeline, key frames, texts, history and cut clips to a new "
        "folder or zip. It opens in any browser without a network.",
    )
    case.add_argument("clip", metavar="CLIP", help="name, sha256 or video file of a clip in the store")
    case.add_argument(
        "--store", "--db", dest="db", type=Path, default=default_db, metavar="FILE", help="default: the page's own"
    )
    case.add_argument("--out", required=True, type=Path, metavar="DIR", help="new folder, or FILE.zip")
    case.add_argument("--layer", default="main", metavar="NAME", help="whose view (default: main)")
    case.add_argument("--pixelate-bystanders", action="store_true", help="make bystanders unrecognisable")
    case.add_argument("--video", type=Path, metavar="FILE", help="where the video is now, if it was moved")
    case.add_argument("--without-video", action="store_true", help="make the case without pictures and clips")
    case.set_defaults(command=write_case)

    verify = commands.add_parser("verify-case", help="is a case as it was made? names the first file that is not")
    verify.add_argument("path", type=Path, metavar="DIR", help="the folder or zip of a case")
    verify.add_argument("--expect", metavar="SHA256", help="of the manifest, as case printed it")
    verify.set_defaults(command=verify_case)


def write_case(args: argparse.Namespace) -> int:
    """`case`: notes go to stderr; the last line is what to note down."""
    if args.video and args.without_video:
        raise InputError("--video and --without-video contradict each other; give one of the two.")
    from workbench.cli_data import existing_store
    from workbench.corrections.layers import check_layer
    from workbench.exports import case

    video = args.video or (Path(args.clip) if os.path.isfile(args.clip) else None)
    options = case.CaseOptions(args.layer, args.pixelate_bystanders, video, args.without_video)
    store = existing_store(args.db)
    check_layer(store, args.layer)
    made = case.write_case(store, args.clip, args.out, options)
    for note in made.notes:
        sys.stderr.write(f"note: {note}\n")
    sys.stdout.write(f"wrote {made.path}: {made.events} events, {made.rows} rows of history\n")
    sys.stdout.write(f"manifest {made.sha256}\n")
    return 0


def export_cases(args: argparse.Namespace) -> int:
    """`export --format case`: a folder a clip in a new folder; clips that came without their video have no pictures."""
    from workbench.cli_data import chosen_clips, existing_store
    from workbench.exports import case
    from workbench.exports.writing import FileNames, new_folder

    store, names, count = existing_store(args.db), FileNames(), 0
    options = case.CaseOptions(args.layer, may_lack_video=args.skip_unfit)
    chosen = chosen_clips(store, args.clip, args.layer)
    try:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        with new_folder(args.out) as folder:
            for count, reviewed in enumerate(chosen, start=1):  # noqa: B007 - counts
                made = case.write_case(store, reviewed.clip.id, folder / names.give(reviewed.clip.name), options)
                for note in made.notes:
                    sys.stderr.write(f"note: {reviewed.clip.name}: {note}\n")
    except OSError as error:
        raise FormatError(unwritable(args.out, error)) from error
    sys.stdout.write(f"wrote {args.out}: {count} clip{'' if count == 1 else 's'} as cases\n")
    return 0


def verify_case(args: argparse.Namespace) -> int:
    """`verify-case`: one line; exit code 2 names the first file that is missing, changed or added."""
    from workbench.exports.case import verify_case

    bundle = verify_case(args.path, expect=args.expect)
    clip = bundle.about.get("clip") or {}
    sys.stdout.write(
        f"ok  {clip.get('name')}: {bundle.files} files, {bundle.size_bytes} bytes, "
        f"made {bundle.about.get('made_at')}, manifest {bundle.sha256}\n"
    )
    return 0
