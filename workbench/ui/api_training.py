"""The named endpoint about training: `train_status` says how a run stands.

client.predict("", api_name="/train_status")["state"]
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from workbench.errors import InputError, WorkbenchError
from workbench.job_files import read_status
from workbench.ui.services import Services


def add_training_endpoints(services: Services) -> None:
    """Add the endpoint to the Blocks being built."""

    def train_status(run: str = "") -> dict[str, Any]:
        """Say how a training run stands: its state, stage, progress and loss, at the end the adapter and the verdict.

        Args:
            run: name of the run's folder; empty: the run heard of last.
        """
        try:
            if services.desk.public:
                raise InputError("Training is not offered on a page that strangers share.")
            return read_status(services.runs_dir, run)
        except WorkbenchError as error:
            raise gr.Error(str(error), print_exception=False) from error

    with gr.Row(visible=False):
        run, status = gr.Textbox(label="run", value=""), gr.JSON(label="status")
        gr.Button("run").click(train_status, run, status, api_name="train_status")
