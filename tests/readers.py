"""Where `make test` has put other people's readers (tests/readers.txt), and how a test comes to one."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(os.environ.get("WORKBENCH_READERS", Path(sys.prefix) / "readers"))


def reader(name: str) -> ModuleType:
    """The module of that name. Where readers are expected (`make test`), its absence is a failure, else a skip."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))  # last: what the environment has of its own comes first
    try:
        return importlib.import_module(name)
    except ImportError as error:
        message = f"{name} is not there ({error}); run: make setup-test"
        if os.environ.get("WORKBENCH_REQUIRE_READERS"):
            pytest.fail(message)
        pytest.skip(message)
