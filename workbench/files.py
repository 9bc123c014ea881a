"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; it becomes `path` when the block ends well, and is removed otherwise.

    The temporary name keeps the suffix of `path`, because several writers choose their format by it.

    Raises:
        OSError: as any writing; also where `path` is `.` or `/`, which have no name.
    """
    path = Path(path)
    temporary = beside(path, f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}.partial{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def beside(path: Path, name: str) -> Path:
    """The path of another name in the folder that `path` is in. Raises IsADirectoryError for `.` and `/`."""
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return path.with_name(name)


def unwritable(what: str | Path, error: OSError, way_out: str = "name another with --out") -> str:
    """The sentence for something that cannot be written; where the disk is full, it says to free some space."""
    if error.errno in _FULL:
        return f"{what} cannot be written because the disk is full; free some space and try again. Nothing was kept."
    return f"{what} cannot be written ({error.strerror or error}); {way_out}."


def said_of(error: OSError) -> str:
    """The sentence for a file that nothing nearer has words of its own for."""
    what = error.filename if isinstance(error.filename, str | Path) else "A file"
    return f"{what} cannot be read or written ({error.strerror or error}); check its permissions and the free space."


def cache_root() -> Path:
    """The folder of everything that can be made or fetched again: `WORKBENCH_CACHE`, or one in the user's cache."""
    named = os.environ.get("WORKBENCH_CACHE")
    return Path(os.path.expanduser(named)) if named else home() / ".cache" / "anomaly-workbench"


def home() -> Path:
    """The user's home; the present folder for a user who has none, as in some containers."""
    try:
        return Path.home()
    except RuntimeError:
        return Path.cwd()
