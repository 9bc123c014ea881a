"""Copies of a store: a new file that appears whole, or an earlier copy brought up to date through SQLite's own locks.

An earlier copy is never swapped for another file: whoever has it open, or was killed while writing into it, leaves a
log beside it that SQLite would apply to the new file.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from workbench.corrections.migrations import APPLICATION_ID
from workbench.errors import StoreError
from workbench.files import replacing

_LOGS = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a file while it is used, and after a kill


def into_new(source: sqlite3.Connection, target: Path) -> None:
    """Copy a store to a file that is not there yet, or is empty. Logs that a removed file left there go.

    Raises:
        OSError: `target` cannot be written. sqlite3.Error: the store cannot be read, or the disk is full.
    """
    with replacing(target) as temporary:
        copy = sqlite3.connect(temporary)
        try:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, no log beside it
        finally:
            copy.close()
        _sync(temporary)
        for suffix in _LOGS:
            _beside(target, suffix).unlink(missing_ok=True)


def over_older(source: sqlite3.Connection, target: Path, *, timeout_s: float) -> None:
    """Copy a store into an earlier copy of it, which nobody else can read or write meanwhile.

    A log that a killed program left there is read first, so that nothing in it is overlooked.

    Raises:
        StoreError: `target` is open in another program, no copy of a store, or holds what the store does not.
        sqlite3.Error: it cannot be written; it is as it was.
    """
    copy = sqlite3.connect(f"file:{quote(str(target))}?mode=rw", uri=True, timeout=timeout_s, isolation_level=None)
    try:
        _lock(copy, target)
        _refuse_other(source, copy, target)
        copy.execute("PRAGMA journal_mode = DELETE")
        _beside(target, "-shm").unlink(missing_ok=True)  # a connection that is alone has its own, and leaves it
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    finally:
        copy.close()


def _lock(copy: sqlite3.Connection, target: Path) -> None:
    """Hold the file until the connection is closed: with exclusive locking, the end of a transaction frees nothing."""
    try:
        copy.execute("PRAGMA locking_mode = EXCLUSIVE")
        copy.execute("BEGIN EXCLUSIVE")
        copy.execute("COMMIT")
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            raise StoreError(
                f"{target} is open in another program; close it there, or name another file for the backup."
            ) from error
        if "not a database" in str(error):
            raise _no_backup(target) from error
        raise


def _refuse_other(source: sqlite3.Connection, copy: sqlite3.Connection, target: Path) -> None:
    """An earlier copy ends with a row that the store has too."""
    if copy.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise _no_backup(target)
    last = copy.execute("SELECT seq, hash FROM history ORDER BY seq DESC LIMIT 1").fetchone()
    if last and not source.execute("SELECT 1 FROM history WHERE seq = ? AND hash = ?", last).fetchone():
        raise StoreError(f"{target} holds corrections that this store does not have; name another file for the backup.")


def _no_backup(target: Path) -> StoreError:
    return StoreError(f"{target} is there already and no backup of a store; name another file.")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
