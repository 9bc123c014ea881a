"""Where the store of a person lies when nobody named another: in the folder their system keeps such things in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "WORKBENCH_STORE"
ADAPTERS_VARIABLE = "WORKBENCH_ADAPTERS"
_FOLDER = "anomaly-workbench"


def default_path() -> Path:
    """The file that `WORKBENCH_STORE` names, else `corrections.db` in the user's data folder."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else data_dir() / "corrections.db"


def adapters_dir(store: Path | None = None) -> Path:
    """The registry of adapters: what `WORKBENCH_ADAPTERS` names, else a folder beside the store they come from."""
    named = os.environ.get(ADAPTERS_VARIABLE)
    return Path(named).expanduser() if named else (store or default_path()).with_suffix(".adapters")


def data_dir() -> Path:
    """The folder for data of this program: XDG on Linux, Application Support on macOS, LOCALAPPDATA on Windows."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / _FOLDER
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / _FOLDER
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / _FOLDER
