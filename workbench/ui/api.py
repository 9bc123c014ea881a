"""The named endpoints for programs: `analyze` and `ask`. They keep no session; a clip is known by its content.

What is analysed enters the store, so that it can be corrected and exported (`api_store.py`).

client = gradio_client.Client("http://127.0.0.1:7860")
analysis = client.predict(handle_file("clip.mp4"), api_name="/analyze")
answer = client.predict(handle_file("clip.mp4"), "Is anything abnormal happening?", api_name="/ask")
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from workbench.errors import InputError, WorkbenchError
from workbench.records import Analysis
from workbench.ui.services import Services
from workbench.ui.session import Review
from workbench.ui.toasts import told_without_folder

PROGRAM = "a program"


@contextmanager
def _analysed(services: Services, path: str | None) -> Iterator[tuple[Review, Analysis]]:
    """Open and analyse; features of content seen before come from the cache."""
    if not path:
        raise InputError("No clip was given; pass a video file.")
    review = services.open_review(path)
    run = services.analyse(review)
    try:
        review.analysis = run.result()
        services.desk.enter(review, services.desk.annotator(PROGRAM))
        yield review, review.analysis
    finally:
        run.cancel()
        review.close()


def add_endpoints(services: Services) -> None:
    """Add the endpoints to the Blocks being built."""

    def analyze(clip: str) -> dict[str, Any]:
        """Score every moment of a video clip; returns analysis.json, with the clip named instead of its path.

        Args:
            clip: a video file.
        """
        from workbench.serial import to_document

        try:
            with _analysed(services, clip) as (review, analysis):
                document = to_document(analysis)
                # Where the server keeps the upload is no business of the caller, and a `path` in an answer makes
                # Gradio's client take the whole object for a file.
                document["clip"]["name"] = review.name
                del document["clip"]["path"]
                return document
        except WorkbenchError as error:
            raise gr.Error(told_without_folder(error, clip), print_exception=False) from error

    def ask(clip: str, question: str) -> dict[str, Any]:
        """Ask about a video clip; the answer names the moments it rests on.

        Args:
            clip: a video file.
            question: in plain words, or judgement, description or analysis for the standard question.
        """
        try:
            with _analysed(services, clip) as (review, analysis):
                turn = services.new_conversation(review, analysis).say(question)
        except WorkbenchError as error:
            raise gr.Error(told_without_folder(error, clip), print_exception=False) from error
        evidence = [{"start_s": e.start_s, "end_s": e.end_s, "instance_id": e.instance_id} for e in turn.evidence]
        return {"kind": turn.kind, "question": turn.question, "answer": turn.answer, "evidence": evidence}

    with gr.Row(visible=False):
        clip, question, result = gr.File(label="clip"), gr.Textbox(label="question"), gr.JSON(label="result")
        start = gr.Button("run")
    start.click(analyze, clip, result, api_name="analyze")
    start.click(ask, [clip, question], result, api_name="ask")
