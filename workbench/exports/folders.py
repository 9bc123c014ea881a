"""Paths that stay in the folder they are put into, and folders as archives."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from workbench.errors import FormatError
from workbench.files import replacing

BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, EOFError)
"""What reading a damaged zip raises besides OSError."""

# Already compressed: packing them again costs time and gains nothing.
_PACKED = {".mp4", ".webm", ".jpg", ".png", ".npz"}


def pack(folder: Path, archive: Path, top: str) -> None:
    """Write the files of `folder` into a zip, below a folder `top`, so that unpacking makes one folder.

    Raises:
        FormatError: there is something at `archive` already.
    """
    refuse_existing(archive)
    with replacing(archive) as temporary, zipfile.ZipFile(temporary, "w") as target:
        for path in sorted(item for item in folder.rglob("*") if item.is_file()):
            how = zipfile.ZIP_STORED if path.suffix in _PACKED else zipfile.ZIP_DEFLATED
            target.write(path, f"{top}/{path.relative_to(folder).as_posix()}", how)


def refuse_existing(path: Path) -> None:
    """Raise FormatError if there is something at `path`."""
    if path.is_symlink() or path.exists():
        raise FormatError(f"{path} is there already; name another with --out.")


def inside(relative: str, what: str) -> PurePosixPath:
    """A relative path that stays in the folder it is put into, on any system.

    Raises:
        FormatError: it does not; `what` begins the sentence.
    """
    windows = PureWindowsPath(relative)
    if PurePosixPath(relative).is_absolute() or windows.drive or windows.root or ".." in windows.parts:
        raise FormatError(f"{what} leads out of its folder ({relative!r:.80}); correct it.")
    return PurePosixPath(relative)
