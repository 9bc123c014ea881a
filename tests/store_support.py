"""A store with one analysed clip in it, for tests of what happens to it afterwards."""

from __future__ import annotations

import atexit
import shutil
import sqlite3
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from tests.sample_records import drawn_analysis
from workbench.corrections.clips import current, save_analysis
from workbench.corrections.store import Store
from workbench.corrections.taxonomy import open_store
from workbench.masks import encode_rle
from workbench.records import Analysis, ClipRecord, MaskRLE


def square(left: int, top: int, *, side: int = 40, size: tuple[int, int] = (480, 640)) -> MaskRLE:
    """A square mask in a picture of `size` (height, width)."""
    mask = np.zeros(size, dtype=bool)
    mask[top : top + side, left : left + side] = True
    return encode_rle(mask)


def analysis(**changes: object) -> Analysis:
    """The drawn analysis, with masks that are masks."""
    made = drawn_analysis()
    masks = {432: square(10, 20), 448: square(30, 20)}
    made.instances = [replace(made.instances[0], masks_rle=masks)]
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def store_with_clip(folder: Path) -> tuple[Store, ClipRecord]:
    """A new store and its clip, `street`, with events `a1.e0` (robbery) and `a1.e1` and instance `a1.i1`."""
    store = Store(shutil.copy(_template(True), folder / "corrections.db"))
    return store, current(store, analysis().clip.sha256).clip


def empty_store(folder: Path, name: str = "s.db") -> Store:
    """A new store with nothing but the taxonomy in it."""
    return Store(shutil.copy(_template(False), folder / name))


@cache
def _template(with_clip: bool) -> Path:
    """A store that is made once and copied by each test: making one waits for the disk many times."""
    folder = tempfile.mkdtemp(prefix="workbench-store-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    store = open_store(Path(folder) / "template.db")
    if with_clip:
        save_analysis(store, analysis())
    store.close()
    return store.path


def make_foreign(path: Path) -> None:
    """A database of another program."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
