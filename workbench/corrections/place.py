"""Where the store of a person lies when nobody named another: in the folder their system keeps such things in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from workbench.errors import StoreError
from workbench.files import home, unwritable

VARIABLE = "WORKBENCH_STORE"
ADAPTERS_VARIABLE = "WORKBENCH_ADAPTERS"
_FOLDER = "anomaly-workbench"


def default_path() -> Path:
    """The file that `WORKBENCH_STORE` names, else `corrections.db` in the user's data folder."""
    named = os.environ.get(VARIABLE)
    return Path(os.path.expanduser(named)) if named else data_dir() / "corrections.db"


def adapters_dir(store: Path | None = None) -> Path:
    """The registry of adapters: what `WORKBENCH_ADAPTERS` names, else a folder beside the store they come from."""
    named = os.environ.get(ADAPTERS_VARIABLE)
    return Path(os.path.expanduser(named)) if named else (store or default_path()).with_suffix(".adapters")


def make_folder(store: Path) -> None:
    """Make the folder of the user's own store; one that was named has to exist. Raises StoreError."""
    if store != default_path():
        return
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        way_out = f"name another file with --db or {VARIABLE}"
        raise StoreError(unwritable(f"The folder {store.parent} of the store", error, way_out)) from error


def data_dir() -> Path:
    """The folder for data of this program: XDG on Linux, Application Support on macOS, LOCALAPPDATA on Windows."""
    own = home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or own / "AppData" / "Local") / _FOLDER
    if sys.platform == "darwin":
        return own / "Library" / "Application Support" / _FOLDER
    return Path(os.environ.get("XDG_DATA_HOME") or own / ".local" / "share") / _FOLDER
