"""What writers share: lists of a JSON file that grow at the same time, folders that appear whole, names for files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from workbench.errors import FormatError
from workbench.files import beside
from workbench.records import ReviewedClip

_MOST_BYTES = 120  # of a name: a suffix still fits into what any file system takes


class JsonLists:
    """Lists of one JSON object, each kept in a temporary file, so that no more than one entry is in memory."""

    def __init__(self, *names: str) -> None:
        self._stack = ExitStack()
        self._files: dict[str, IO[str]] = {
            name: self._stack.enter_context(TemporaryFile("w+", encoding="utf-8"))  # noqa: SIM115 - the stack closes it
            for name in names
        }
        self._counts = dict.fromkeys(names, 0)

    def __enter__(self) -> JsonLists:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, name: str, document: dict[str, Any]) -> None:
        """Append to a list."""
        self._files[name].write((",\n" if self._counts[name] else "\n") + dumps(document))
        self._counts[name] += 1

    def add_numbered(self, name: str, document: dict[str, Any]) -> int:
        """Append to a list with the next `id`, from 1. → that id."""
        number = self._counts[name] + 1
        self.add(name, {"id": number, **document})
        return number

    def write(self, path: Path, head: dict[str, Any]) -> None:
        """Write the object: `head`, then the lists in their order."""
        with path.open("w", encoding="utf-8") as out:
            out.write(dumps(head)[:-1])
            for name, file in self._files.items():
                file.seek(0)
                out.write(f'{"," if head or name != next(iter(self._files)) else ""}\n"{name}": [')
                shutil.copyfileobj(file, out)
                out.write("\n]" if self._counts[name] else "]")
            out.write("\n}\n")


def dumps(document: Any) -> str:
    """JSON on one line, in which every character stands for itself."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `out`; it becomes `out` when the block ends well, and is removed otherwise.

    Raises:
        FormatError: there is something at `out` already. OSError: as any writing.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise FormatError(f"{out} is there already and not an empty folder; name another with --out.")
    temporary = beside(out, f".{out.name}.{os.getpid()}.partial")
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class FileNames:
    """Names for files after names of clips: no separators, not too long, none given twice on any file system."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def give(self, name: str) -> str:
        """A name (without suffix) that is free."""
        plain = "".join("_" if char in '/\\:*?"<>|' or not char.isprintable() else char for char in name)
        plain = plain.encode()[:_MOST_BYTES].decode(errors="ignore").strip(". ") or "clip"
        free, number = plain, 2
        while free.casefold() in self._given:
            free, number = f"{plain}-{number}", number + 1
        self._given.add(free.casefold())
        return free


def distinct(clips: Iterable[ReviewedClip]) -> Iterator[ReviewedClip]:
    """The clips, as long as no two have the same name, by which an import finds them. Raises FormatError."""
    names: set[str] = set()
    for reviewed in clips:
        if reviewed.clip.name in names:
            raise FormatError(f"Two clips are called {reviewed.clip.name!r}; rename one, or export one with --clip.")
        names.add(reviewed.clip.name)
        yield reviewed
