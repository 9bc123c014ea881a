"""The endpoints for longer work, over HTTP: `annotate` reports its steps, `push` explains itself without a token."""

from __future__ import annotations

from pathlib import Path

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from tests import bad_clips
from tests.tiny_stack import tiny_stack
from workbench.analysis import analyse
from workbench.corrections import clips
from workbench.ui import launch
from workbench.ui.app import build_page
from workbench.ui.services import Services
from workbench.video import Clip


def test_annotate_and_push_over_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    (tmp_path / "weights").mkdir()
    stack = tiny_stack(tmp_path / "weights", seed=7)
    services = Services(work_dir=tmp_path, samples_dir=tmp_path, load=lambda _: stack)
    with Clip.open(bad_clips.video(tmp_path / "street.mp4", n_frames=50)) as clip:
        clips.save_analysis(services.desk.store, analyse(clip, stack))
    page = build_page(services)
    try:
        _, url, _ = page.launch(prevent_thread_lock=True, **launch.looks(), **launch.files_of(services))
        client = Client(url, verbose=False)
        done = client.predict("street", False, api_name="/annotate")
        assert (done["clips"], done["notes"]) == (1, [])
        assert clips.current(services.desk.store, 1).texts.judgement
        for arguments, name, says in (
            (("nowhere", False), "/annotate", "nowhere"),
            (("team/set", ""), "/push", "needs a token: set HF_TOKEN"),
        ):
            with pytest.raises(AppError, match=says):
                client.predict(*arguments, api_name=name)
    finally:
        page.close(verbose=False)
        services.close()
