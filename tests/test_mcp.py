"""The endpoints as an agent finds them: a client of the Model Context Protocol over HTTP, against the real page."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import bad_clips
from tests.tiny_stack import tiny_stack
from workbench.analysis import analyse
from workbench.corrections import clips
from workbench.ui import launch
from workbench.ui.app import build_page
from workbench.ui.services import Services
from workbench.video import Clip

pytest.importorskip("mcp", reason="the package mcp is not installed; run: pip install 'gradio[mcp]'")
TOOLS = {"analyze", "ask", "correct", "export", "annotate", "push", "train_status"}


async def _talk(url: str, tool: str, arguments: dict[str, Any]) -> tuple[list[Any], Any]:
    """→ all tools, and what one of them answers."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async with (
        streamablehttp_client(f"{url}gradio_api/mcp/") as (reading, writing, _),
        ClientSession(reading, writing) as session,
    ):
        await session.initialize()
        tools = (await session.list_tools()).tools
        return tools, await session.call_tool(tool, arguments)


def test_an_agent_finds_the_named_endpoints_and_corrects_a_clip(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    stack = tiny_stack(tmp_path / "weights", seed=7)
    services = Services(work_dir=tmp_path, samples_dir=tmp_path, load=lambda _: stack)
    with Clip.open(bad_clips.video(tmp_path / "street.mp4", n_frames=50)) as clip:
        clips.save_analysis(services.desk.store, analyse(clip, stack))
    page = build_page(services)
    asked = {
        "clip": "street", "subject": "video", "subject_id": "", "field": "judgement", "value": "Nothing happens.",
        "annotator": "an agent", "reason": "looked at it",
    }  # fmt: skip
    try:
        _, url, _ = page.launch(
            prevent_thread_lock=True, mcp_server=True, **launch.looks(), **launch.files_of(services)
        )
        with ThreadPoolExecutor(1) as pool:  # a browser test of this process may have left a loop running in its thread
            tools, answer = pool.submit(asyncio.run, _talk(url, "correct", asked)).result()
    finally:
        page.close(verbose=False)
    assert {tool.name for tool in tools} == TOOLS, "no handler of the page itself is offered"
    for tool in tools:
        assert len(tool.description or "") > 40, tool.name
        for name, row in tool.inputSchema["properties"].items():
            assert len(row.get("description", "")) > 10, f"{tool.name}: {name} is not explained"
    assert not answer.isError, answer
    assert "'clip': 'street'" in answer.content[0].text
    assert clips.current(services.desk.store, 1).texts.judgement == "Nothing happens."
    services.close()
