"""Clips whose files have moved: known again by their content, whatever they are called now and wherever they lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database

from workbench.corrections import log
from workbench.corrections.clips import WORKBENCH, find_clip
from workbench.corrections.log import Author, Change
from workbench.corrections.store import Store
from workbench.errors import InputError
from workbench.probe import VIDEO_SUFFIXES, content_hash
from workbench.records import ClipRecord

HOW = "open it again on the page, or name the folder it lies in: python -m workbench db attach FOLDER"
"""What a person can do about a clip whose file has moved."""


@dataclass(frozen=True, slots=True)
class Attached:
    """Clips that were found again, with their new paths, those that are still gone, and what could not be looked at."""

    found: tuple[ClipRecord, ...]
    gone: tuple[ClipRecord, ...]
    unread: tuple[str, ...] = ()


def has_file(clip: ClipRecord) -> bool:
    """Whether the file of a clip lies where the store says."""
    return clip.path is not None and Path(clip.path).is_file()


def attach_folder(store: Store, folder: Path) -> Attached:
    """Find the files of clips that have gone below a folder. Reading stops once all are found.

    Raises:
        InputError: there is no such folder. StoreError: the store cannot be written.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}; name the one that the videos lie in now.")
    with store.reading() as db:
        gone = {clip.sha256: clip for clip in _known(db) if clip.sha256 and not has_file(clip)}
    found = []
    unread: list[str] = []
    for path in _videos(folder, lambda error: unread.append(str(error.filename))):
        if not gone:
            break
        try:
            sha256 = content_hash(path)
        except OSError:
            unread.append(str(path))
            continue
        if gone.pop(sha256, None) is not None:
            found.append(attach(store, sha256, path))
    return Attached(tuple(found), tuple(gone.values()), tuple(unread))


def attach(store: Store, sha256: str, path: Path) -> ClipRecord:
    """Say where the file of a clip lies now; one that lies where it did stays there. `path` holds that content.

    Raises:
        StoreError: the store knows no such clip, or cannot be written.
    """
    with store.reading() as db:
        clip = find_clip(db, sha256)
    if has_file(clip):
        return clip
    with store.writing() as db:
        log.ensure_annotator(db, WORKBENCH)
        change = Change("clip", "clip", "path", str(path.resolve()))
        log.append(db, Author(WORKBENCH, clip.id, action="import", reason="its file has moved"), change)
        return find_clip(db, sha256)


def _known(db: Database) -> Iterator[ClipRecord]:
    for (number,) in db.conn.execute("SELECT id FROM clips ORDER BY id").fetchall():
        yield find_clip(db, number)


def _videos(folder: Path, unlisted: Callable[[OSError], None]) -> Iterator[Path]:
    for here, folders, files in os.walk(folder, onerror=unlisted):
        folders.sort()
        yield from (Path(here, name) for name in sorted(files) if Path(name).suffix.lower() in VIDEO_SUFFIXES)
