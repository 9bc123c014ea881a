"""Errors meant for a person, told as toasts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

from workbench.errors import WorkbenchError


@contextmanager
def as_toast(path: str | Path = "") -> Iterator[None]:
    """Errors meant for a person become toasts in their own words, with the name of the file instead of its `path`."""
    try:
        yield
    except WorkbenchError as error:
        raise gr.Error(told_without_folder(error, path), print_exception=False) from error


def told_without_folder(error: WorkbenchError, path: str | Path | None = None) -> str:
    """The message of an error about `path`, naming the file only: where uploads lie is the server's own business."""
    told = str(error).replace(str(path), Path(path).name) if path else str(error)
    return re.sub(rf"{re.escape(get_upload_folder())}/\S*/", "", told)
