"""Errors meant for a person, told as toasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr

from workbench.errors import WorkbenchError
from workbench.ui.api import told_without_folder


@contextmanager
def as_toast(path: str | Path = "") -> Iterator[None]:
    """Errors meant for a person become toasts in their own words, with the name of the file instead of its `path`."""
    try:
        yield
    except WorkbenchError as error:
        raise gr.Error(told_without_folder(error, path), print_exception=False) from error
