"""`manifest.json`: the sha256 of every file of a bundle, and the check that nothing of it is missing, changed or added.

The manifest cannot vouch for itself: whoever changes a file may compute it anew. Its own sha256 is therefore printed
when the bundle is made; noted down elsewhere, it tells later that the bundle is the one that was made then.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from workbench.errors import FormatError
from workbench.exports import drafts
from workbench.exports.folders import BROKEN_ZIP
from workbench.files import replacing

MANIFEST = "manifest.json"
VERSION = 1
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was found whole: what its manifest says of it, its files, and the manifest's own sha256."""

    about: dict[str, Any]
    files: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _Source:
    """Files of a folder or archive by their path inside the bundle. Links are None: a bundle holds plain files."""

    name: str
    openers: dict[str, Callable[[], IO[bytes]] | None]

    def digest(self, path: str) -> tuple[str, int]:
        """SHA-256 and size of a file, read in 1 MiB pieces."""
        opener = self.openers[path]
        if opener is None:
            raise FormatError(f"{self.name}: {path} is a link, not a file; a bundle holds plain files only.")
        try:
            with opener() as file:
                return digest_of(file)
        except OSError as error:
            raise FormatError(
                f"{self.name}: {path} cannot be read ({error}); check the disk and permissions."
            ) from error


def write_manifest(folder: Path, kind: str, about: dict[str, Any]) -> str:
    """Write the manifest of all files that are in `folder` now. → its own sha256."""
    files = []
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        with path.open("rb") as file:
            sha256, size = digest_of(file)
        files.append({"path": path.relative_to(folder).as_posix(), "sha256": sha256, "bytes": size})
    document = {"kind": kind, "version": VERSION, **about, "files": files}
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    with replacing(folder / MANIFEST) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return hashlib.sha256(text.encode()).hexdigest()


def verify_manifest(path: Path, kind: str, *, expect: str | None = None) -> Bundle:
    """Check a bundle, a folder or a zip of one, file by file in the order of their names.

    Args:
        expect: the sha256 that the manifest had when the bundle was made.

    Raises:
        FormatError: it is no such bundle, or a file is missing, was changed or was added; the sentence names the first.
    """
    with _open(path) as source:
        if MANIFEST not in source.openers:
            raise FormatError(f"{path}: {MANIFEST} is missing, so it is no {kind}; name another folder or zip.")
        sha256, _ = source.digest(MANIFEST)
        if expect is not None and sha256 != expect.strip().lower():
            raise FormatError(f"{path}: {MANIFEST} was changed: its sha256 is {sha256}, not {expect}.")
        about, listed = _read(source, kind)
        total = 0
        for name in sorted(listed.keys() | source.openers.keys() - {MANIFEST}):
            if name not in source.openers:
                raise FormatError(f"{path}: {name} is missing; get the {kind} again from where it was made.")
            if name not in listed:
                raise FormatError(
                    f"{path}: {name} was added; it is not in {MANIFEST}, so it is not part of the {kind}."
                )
            found, size = source.digest(name)
            if found != listed[name]:
                raise FormatError(
                    f"{path}: {name} was changed: its sha256 is {found}, in {MANIFEST} it is {listed[name]}."
                )
            total += size
    return Bundle(about, len(listed), total, sha256)


@contextmanager
def read_file(path: Path, name: str) -> Iterator[IO[bytes]]:
    """A file of a bundle, a folder or a zip. Raises FormatError when it is not in it."""
    with _open(path) as source:
        opener = source.openers.get(name)
        if opener is None:
            raise FormatError(f"{path}: {name} is missing.")
        with opener() as file:
            yield file


def _read(source: _Source, kind: str) -> tuple[dict[str, Any], dict[str, str]]:
    opener = source.openers[MANIFEST]
    assert opener is not None
    where = f"{source.name}: {MANIFEST}"
    with opener() as file:
        try:
            text = file.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise FormatError(f"{where} is not UTF-8 text; get the {kind} again from where it was made.") from error
    document = drafts.parse(text, where)
    if not isinstance(document, dict) or document.get("kind") != kind:
        raise FormatError(f"{where} is not that of a {kind}; name the folder or zip of one.")
    if document.get("version") != VERSION:
        raise FormatError(
            f"{where} is of version {document.get('version')!r:.20}, this program reads {VERSION}; "
            "update the workbench."
        )
    files = document.pop("files", None)
    rows = files if isinstance(files, list) else []
    listed = {row["path"]: row["sha256"] for row in rows if isinstance(row, dict) and {"path", "sha256"} <= row.keys()}
    if not rows or len(listed) != len(rows) or not all(isinstance(name, str) for name in listed):
        raise FormatError(f"{where} does not list the files one by one; it was changed, so get the {kind} again.")
    return document, listed


@contextmanager
def _open(path: Path) -> Iterator[_Source]:
    if path.is_dir():
        found = [item for item in sorted(path.rglob("*")) if item.is_symlink() or not item.is_dir()]
        yield _Source(str(path), {item.relative_to(path).as_posix(): _opener(item) for item in found})
        return
    if not path.exists():
        raise FormatError(f"There is no {path}; name the folder or the zip of the bundle.")
    if not path.is_file():
        raise FormatError(f"{path} is a pipe or a device; name the folder or the zip of the bundle.")
    try:
        with zipfile.ZipFile(path) as archive:
            yield _from_archive(archive, path)
    except (*BROKEN_ZIP, OSError) as error:
        raise FormatError(f"{path} is not a whole zip ({error}); name the folder or the zip of the bundle.") from error


def _opener(path: Path) -> Callable[[], IO[bytes]] | None:
    return None if path.is_symlink() or not path.is_file() else lambda: path.open("rb")


def _from_archive(archive: zipfile.ZipFile, path: Path) -> _Source:
    """Files of a zip below the folder that the manifest is in; others lie beside it and count as added."""
    names = [item.filename for item in archive.infolist() if not item.is_dir()]
    for name, count in Counter(names).items():
        if count > 1:
            raise FormatError(f"{path}: {name} is in the zip {count} times; it was changed.")
    manifests = [name for name in names if PurePosixPath(name).name == MANIFEST]
    top = min((name[: -len(MANIFEST)] for name in manifests), key=len, default="")

    def opener(name: str) -> Callable[[], IO[bytes]]:
        return lambda: archive.open(name)

    def place(name: str) -> str:
        return name.removeprefix(top) if name.startswith(top) else f"../{name}"

    return _Source(str(path), {place(name): opener(name) for name in names})


def digest_of(file: IO[bytes]) -> tuple[str, int]:
    """SHA-256 and size of a file, read in 1 MiB pieces."""
    digest, size = hashlib.sha256(), 0
    while piece := file.read(_PIECE):
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size
