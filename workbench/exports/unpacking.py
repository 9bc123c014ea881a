"""Reading an export that came as a zip, as CVAT, Label Studio and Datumaro hand them out.

A zip is not trusted: no entry may lead out of the folder it is unpacked into, none may be a link, and there is a limit
to what it may grow to. It is unpacked into a temporary folder, which is gone when its last clip was read.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from workbench.errors import FormatError
from workbench.exports.folders import BROKEN_ZIP, inside
from workbench.records import ReviewedClip

MOST_BYTES = 4 << 30
MOST_FILES = 500_000
_ANNOTATIONS = {".json", ".jsonl", ".xml"}


def read_zip(
    path: Path, reader: Callable[[Path], Iterator[ReviewedClip]], *, folder: bool, most_bytes: int = MOST_BYTES
) -> Iterator[ReviewedClip]:
    """The clips that `reader` finds in what a zip holds.

    Args:
        folder: the reader takes a folder; else the zip must hold one file of annotations.

    Raises:
        FormatError: the zip is broken, leads out of its folder, holds links or too much, or as the reader.
    """
    with TemporaryDirectory(prefix="workbench-import-") as made:
        target = Path(made).resolve()
        try:
            unpack(path, target, most_bytes=most_bytes)
            yield from reader(_chosen(path, target, folder=folder))
        except FormatError as error:
            # Where it was unpacked is gone when a person reads this; the zip is what they know.
            raise FormatError(str(error).replace(f"{target}/", f"{path}: ").replace(str(target), str(path))) from error


def unpack(path: Path, target: Path, *, most_bytes: int = MOST_BYTES) -> None:
    """Unpack a zip into an empty folder. Raises FormatError, as `read_zip`; what was unpacked by then is left there."""
    if not path.exists():
        raise FormatError(f"There is no {path}; name the zip of an export.")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check(path, entries, most_bytes)
            left = most_bytes
            for entry in entries:
                if entry.is_dir():
                    continue
                out = target / inside(entry.filename, f"{path}: an entry")
                out.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, out.open("xb") as sink:
                    while piece := source.read(1 << 20):
                        left -= len(piece)  # what the zip says of its sizes may be a lie
                        if left < 0:
                            raise FormatError(f"{path} unpacks to more than {most_bytes >> 20} MiB; unpack it by hand.")
                        sink.write(piece)
    except FileExistsError as error:
        raise FormatError(f"{path} has one name twice ({error.filename}); pack it again.") from error
    except (*BROKEN_ZIP, OSError, ValueError) as error:
        raise FormatError(f"{path} is not a whole zip that can be read ({error}); export it again.") from error


def _check(path: Path, entries: list[zipfile.ZipInfo], most_bytes: int) -> None:
    """Refuse the whole zip before anything of it is written."""
    if len(entries) > MOST_FILES or sum(entry.file_size for entry in entries) > most_bytes:
        raise FormatError(f"{path} unpacks to more than {most_bytes >> 20} MiB or too many files; unpack it by hand.")
    for entry in entries:
        inside(entry.filename, f"{path}: an entry")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise FormatError(f"{path} holds the link {entry.filename!r:.80}; a zip to import holds plain files only.")
        if entry.flag_bits & 1:
            raise FormatError(f"{path} is encrypted; unpack it first.")


def _chosen(path: Path, target: Path, *, folder: bool) -> Path:
    """What the reader is given: the folder that has the files, or the one file of annotations."""
    shutil.rmtree(target / "__MACOSX", ignore_errors=True)
    if folder:
        within = target
        while len(found := list(within.iterdir())) == 1 and found[0].is_dir():
            within = found[0]
        # CVAT puts annotations.xml beside the pictures, Datumaro a folder `annotations` that its reader looks for.
        return within.parent if within.name == "annotations" else within
    files = [item for item in sorted(target.rglob("*")) if item.suffix.lower() in _ANNOTATIONS and item.is_file()]
    if len(files) != 1:
        raise FormatError(f"{path} holds {len(files)} files of annotations, not one; unpack it and name the right one.")
    return files[0]
