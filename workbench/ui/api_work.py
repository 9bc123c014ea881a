"""The named endpoints for longer work on the store: `annotate` one clip or all, `push` what was reviewed to the Hub.

job = client.submit("3fa9…", api_name="/annotate")    # each step comes as it is done; job.cancel() ends it
client.predict("owner/name", "", api_name="/push")
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from workbench.annotation import Annotated, Options
from workbench.corrections import clips
from workbench.corrections.log import MAIN
from workbench.errors import InputError, WorkbenchError
from workbench.hub import push_dataset
from workbench.ui.api_store import find
from workbench.ui.services import Services


def add_work_endpoints(services: Services) -> None:
    """Add the endpoints to the Blocks being built."""
    desk = services.desk

    def annotate(clip: str = "", again: bool = False) -> Iterator[dict[str, Any]]:
        """Split events into clips, caption them and write texts where nobody has; every finished event is saved.

        Args:
            clip: the beginning of one clip's sha256, or its name; empty: the whole store.
            again: write anew what a model wrote. What a person wrote is never replaced.
        """
        try:
            if not clip.strip() and desk.public:
                raise InputError("Name the clip to annotate: this page is shared.")
            only = [find(desk, clip).id] if clip.strip() else None
            options = Options(again=again)
            run = services.run(services.works.annotate(None, desk.store.path, options, only))
            try:
                for step in run.updates():
                    yield {"stage": step.stage, "fraction": round(step.fraction, 3)}
                yield _told(run.result())
            finally:
                run.cancel()  # whoever hangs up ends the work; a finished run does not mind
        except WorkbenchError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def push(repo: str, clip: str = "") -> str:
        """Upload what was reviewed to a private data set repository on the Hub; needs HF_TOKEN where the page runs.

        Args:
            repo: OWNER/NAME of the data set.
            clip: the beginning of one clip's sha256, or its name; empty: the whole store.
        """
        try:
            if desk.public:
                raise InputError("This page is shared, so nothing is pushed from it; run the workbench on your own.")
            one = clip.strip()
            chosen = (
                iter([clips.current(desk.store, find(desk, one).id)]) if one else clips.reviewed_clips(desk.store, MAIN)
            )
            return push_dataset(chosen, repo)
        except WorkbenchError as error:
            raise gr.Error(str(error), print_exception=False) from error

    with gr.Row(visible=False):
        repo, one, again = gr.Textbox(label="repo"), gr.Textbox(label="clip", value=""), gr.Checkbox(label="again")
        step, address = gr.JSON(label="step"), gr.Textbox(label="address")
        start = gr.Button("run")
    start.click(annotate, [one, again], step, api_name="annotate")
    start.click(push, [repo, one], address, api_name="push")


def _told(done: Annotated) -> dict[str, Any]:
    return {"clips": done.clips, "events": done.events, "texts": done.texts, "notes": done.notes}
