"""Kill -9 at any moment: the page's own server, saves over HTTP, and nothing that was called saved is lost."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser_support import REPOSITORY, free_port
from tests.page_process import PageNursery, Saver, kill_while_saving, wait_until_up
from tests.store_support import analysis, store_with_clip
from workbench.corrections import clips, history
from workbench.corrections.store import Store
from workbench.corrections.verify import verify
from workbench.records import ClipRecord

FIELDS = ("judgement", "description")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")]


def savers(port: int, said: dict[str, int]) -> list[Saver]:
    return [Saver(port, analysis().clip.sha256, field, said[field]) for field in FIELDS]


def check(path: Path, clip: ClipRecord, told: list[Saver], said: dict[str, int]) -> None:
    """All that was called saved is there, in order, and at most the one that was under way; `said` goes on from it."""
    store = Store(path)
    texts = clips.current(store, clip.id).events[0].texts
    for saver in told:
        found = int(str(getattr(texts, saver.field)).split()[1])
        assert saver.said <= found <= saver.said + 1, f"{saver.field}: {saver.said} was called saved, {found} is there"
        said[saver.field] = found
    store.close()


def check_history(path: Path, said: dict[str, int]) -> None:
    store = Store(path)
    assert verify(store).is_intact
    for field in FIELDS:
        rows = [row.after for row in history.page(store, annotator=field, limit=100_000)]
        assert rows == [f"text {n}" for n in range(said[field], 0, -1)]


def test_fifty_kills_of_the_page_lose_nothing_that_was_called_saved(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    store.close()
    luck, said = random.Random(11), dict.fromkeys(FIELDS, 0)
    nursery = PageNursery(store.path, tmp_path)
    try:
        for _ in range(50):
            pid, port = nursery.serve()
            told = savers(port, said)
            kill_while_saving(pid, told, luck.uniform(0, 0.15))
            check(store.path, clip, told, said)
    finally:
        nursery.close()
    assert min(said.values()) >= 50
    check_history(store.path, said)


def test_the_app_itself_killed_while_it_saves(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    store.close()
    luck, said = random.Random(12), dict.fromkeys(FIELDS, 0)
    environment = os.environ | {"GRADIO_TEMP_DIR": str(tmp_path / "gradio"), "OMP_NUM_THREADS": "1"}
    for _ in range(2):
        port = free_port()
        command = [sys.executable, "app.py", "--no-browser", "--port", str(port), "--store", str(store.path)]
        command += ["--work-dir", str(tmp_path / "work"), "--samples", str(tmp_path), "--device", "cpu"]
        with (tmp_path / "app.log").open("w") as log:
            app = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=log, stderr=log)
            try:
                wait_until_up(port)
                told = savers(port, said)
                kill_while_saving(app.pid, told, luck.uniform(0, 0.5))
            finally:
                app.kill()
                app.wait()
        check(store.path, clip, told, said)
    assert min(said.values()) >= 2, "each of both times something was called saved before the kill"
    check_history(store.path, said)
