"""The store: one SQLite file with everything people corrected, opened per call and never half-written.

Every session opens its own connection and closes it, because a connection belongs to one thread and handlers run in a
pool. One more connection only stays open: while there is one, SQLite does not fold its log back into the file after
each session, which would make every save five times as slow. Write-ahead log, foreign keys and `synchronous = FULL`:
what a call has returned from survives a kill and a power cut. Errors of SQLite come out as one `StoreError` sentence.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlite_utils import Database

from workbench.corrections import copies
from workbench.corrections.migrations import APPLICATION_ID, MIGRATIONS
from workbench.errors import StoreError

BUSY_TIMEOUT_S = 5.0

# What SQLite says → cause and way out. The first that occurs in its message counts.
_CAUSES = (
    ("locked", "is being written by another program; close it there, or try again in a moment"),
    ("busy", "is being written by another program; close it there, or try again in a moment"),
    ("readonly", "cannot be written; make the file and its folder writable, or work on a copy (db backup)"),
    ("disk is full", "cannot grow because the disk is full; free some space and try again, nothing was saved"),
    ("not a database", "is not a database; name the store's own file, or restore a backup"),
    ("malformed", "is damaged; restore a backup made with: python -m workbench db backup"),
    ("could not decode", "is damaged; restore a backup made with: python -m workbench db backup"),
    ("unable to open", "cannot be opened; check that its folder exists and may be read and written"),
    ("i/o error", "cannot be read or written by the disk; free some space or check the disk, then try again"),
    ("only grows", "keeps its history as it was written; save a new correction or undo the old one"),
)


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """Counts of what a store holds, its size in bytes (log included), and the hash its history ends with."""

    path: str
    size_bytes: int
    counts: dict[str, int]
    head: str
    migrations: tuple[str, ...]


class Store:
    """A store of corrections in the file `path`, made if it does not exist, brought up to date if it is older.

    Args:
        path: the SQLite file.
        read_only: never write, not even to bring an older schema up to date.
        busy_timeout_s: how long a call waits for another writer before it gives up.

    Raises:
        StoreError: the file cannot be opened or is not a store, or a newer program wrote it.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path = Path(path)
        self.read_only = read_only
        self.busy_timeout_s = busy_timeout_s
        self._turn = threading.Lock()  # SQLite's own waiting is by chance; threads of this program queue here first
        if self.path.is_dir():
            raise StoreError(f"{self.path} is a folder; name a file for the store.")
        if read_only and not self.path.exists():
            raise StoreError(f"There is no store {self.path}; name one that exists.")
        with self._session() as db:
            self._prepare(db)
            self._keeper: sqlite3.Connection | None = self._connect()
            self._keeper.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the log

    def close(self) -> None:
        """Fold the log into the file and let go of it. Needed only before the file is moved; a later call reopens."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    @contextmanager
    def reading(self) -> Iterator[Database]:
        """A connection that sees one moment of the store, however long the block takes."""
        with self._session() as db:
            db.conn.execute("BEGIN")
            yield db

    @contextmanager
    def writing(self) -> Iterator[Database]:
        """A connection that alone may write. The block is durable when it has ended, or has left no trace if it raised.

        Raises:
            StoreError: the store is read-only, locked, full or damaged.
        """
        if self.read_only:
            raise StoreError(f"The store {self.path} was opened for reading only; open it for writing to save.")
        if not self._turn.acquire(timeout=self.busy_timeout_s):
            raise StoreError(f"The store {self.path} is being written by another call; try again in a moment.")
        try:
            with self._session() as db:
                db.conn.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                    db.conn.execute("COMMIT")
                except BaseException:
                    if db.conn.in_transaction:
                        db.conn.execute("ROLLBACK")
                    raise
        finally:
            self._turn.release()

    def backup(self, target: str | Path) -> Path:
        """Copy the store while others use it; the copy appears whole or not at all, over an earlier one too.

        Raises:
            StoreError: `target` is the store itself, open elsewhere, no earlier copy of it, or cannot be written.
        """
        target = Path(target)
        if target.exists() and target.samefile(self.path):
            raise StoreError(f"{target} is the store itself; name another file for the backup.")
        if not target.parent.is_dir():
            raise StoreError(f"The folder {target.parent} for the backup does not exist; make it or name another.")
        try:
            with self._session() as db:
                if not target.is_file() or not target.stat().st_size:
                    copies.into_new(db.conn, target)
                    return target
                try:
                    copies.over_older(db.conn, target, timeout_s=self.busy_timeout_s)
                except sqlite3.Error as error:
                    raise StoreError(f"The backup {target} {explain(error)}.") from error
        except OSError as error:
            raise StoreError(f"The backup {target} cannot be written ({error.strerror}); name another file.") from error
        return target

    def info(self) -> StoreInfo:
        """Counts, size and state of the store."""
        tables = ("clips", "analyses", "history", "events", "captions", "instances", "turns", "annotators")
        with self.reading() as db:
            counts = {name: next(iter(db.execute(f"SELECT count(*) FROM {name}")))[0] for name in tables}
            head = db.execute("SELECT hash FROM history ORDER BY seq DESC LIMIT 1").fetchone()
            applied = tuple(migration.name for migration in MIGRATIONS.applied(db))
        files = [self.path, *(self.path.with_name(self.path.name + suffix) for suffix in ("-wal", "-shm"))]
        size = sum(path.stat().st_size for path in files if path.exists())
        return StoreInfo(str(self.path), size, counts, head[0] if head else "", applied)

    @contextmanager
    def _session(self) -> Iterator[Database]:
        try:
            connection = self._connect()
            try:
                yield Database(connection, execute_plugins=False)
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise StoreError(f"The store {self.path} {explain(error)}.") from error
        except UnicodeEncodeError as error:  # one half of a surrogate pair, which JSON can spell and UTF-8 cannot
            raise StoreError(
                f"Not saved: a text holds half a character (U+{ord(error.object[error.start]):04X}), which no file can "
                "keep; correct it."
            ) from error

    def _connect(self) -> sqlite3.Connection:
        mode = "ro" if self.read_only else "rwc"
        # isolation_level None: transactions begin where this file says so, not where the driver guesses.
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode={mode}",
            uri=True,
            timeout=self.busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")
            if not self.read_only:
                connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _prepare(self, db: Database) -> None:
        """Refuse what is not ours or too new; bring up to date what is older."""
        application = db.execute("PRAGMA application_id").fetchone()[0]
        is_empty = not db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        if application != APPLICATION_ID and not is_empty:
            raise StoreError(f"{self.path} is a database of another program; name another file for the store.")
        ours = [migration.name for migration in MIGRATIONS._migrations]
        unknown = [migration.name for migration in MIGRATIONS.applied(db) if migration.name not in ours]
        if unknown:
            raise StoreError(
                f"The store {self.path} was written by a newer version of the workbench (it has {unknown[0]}); "
                "update the workbench to open it."
            )
        if not MIGRATIONS.pending(db):
            return
        if self.read_only:
            raise StoreError(f"The store {self.path} is older than this program; open it for writing once.")
        # One of several programs that open a new store at the same moment does the work, the others find it done.
        db.conn.execute("BEGIN IMMEDIATE")
        try:
            MIGRATIONS.apply(db)
            db.conn.execute("COMMIT")
        except BaseException:
            if db.conn.in_transaction:
                db.conn.execute("ROLLBACK")
            raise


def explain(error: sqlite3.Error) -> str:
    """What an error of SQLite means for a person, as the end of a sentence that begins with the file."""
    message = str(error).lower()
    for sign, cause in _CAUSES:
        if sign in message:
            return cause
    return f"cannot be used ({error}); restore a backup if that lasts"
