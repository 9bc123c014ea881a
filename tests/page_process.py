"""The page in processes that can be killed at any moment, and saves that are sent to them over HTTP.

`PageNursery` is one process that has imported and built the page once; for each life it forks a child that opens the
store anew and serves. The child is what gets killed: its server, its endpoint, its store are those of the app.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import signal
import threading
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.browser_support import free_port

HOST = "127.0.0.1"
GONE = (OSError, http.client.HTTPException)  # the server was killed in the middle of a sentence


class PageNursery:
    """Serves the page on `store` again and again, each time in a new process."""

    def __init__(self, store: Path, work_dir: Path) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        # Not a daemon: it has children of its own.
        self._process = spawn.Process(target=_nurse, args=(store, work_dir, theirs))
        self._process.start()
        theirs.close()
        assert self._pipe.recv() == "ready"

    def serve(self) -> tuple[int, int]:
        """Start a server. → its process id and port, once it answers."""
        port = free_port()
        self._pipe.send(port)
        pid = int(self._pipe.recv())
        wait_until_up(port)
        return pid, port

    def close(self) -> None:
        self._pipe.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _nurse(store: Path, work_dir: Path, pipe: Connection) -> None:
    os.environ["GRADIO_TEMP_DIR"] = str(work_dir / "gradio")
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    from workbench.corrections.taxonomy import open_store
    from workbench.ui import launch
    from workbench.ui.app import build_page
    from workbench.ui.services import Services

    services = Services(work_dir=work_dir, samples_dir=work_dir, store=store, load=lambda _: None)  # type: ignore[arg-type,return-value]
    page = build_page(services)
    services.close()  # no thread and no open database crosses a fork
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    pipe.send("ready")
    while True:
        try:
            port = pipe.recv()
        except EOFError:
            return
        child = os.fork()
        if child:
            pipe.send(child)
            continue
        pipe.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            services.desk.store = open_store(store)
            page.launch(server_name=HOST, server_port=port, **launch.looks(), **launch.files_of(services))
            threading.Event().wait()  # only a kill ends it
        finally:
            traceback.print_exc()
            os._exit(1)


def wait_until_up(port: int, limit_s: float = 120) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection(HOST, port, timeout=5)
            connection.request("GET", "/gradio_api/startup-events")
            if connection.getresponse().status < 500:  # whoever asks for this also starts the queue
                return
        except GONE:
            time.sleep(0.02)
    raise AssertionError(f"nothing answers on port {port} after {limit_s} s")


def correct(port: int, *arguments: Any) -> dict[str, Any]:
    """Call the page's endpoint `correct` as any program would. → what it answers; raises one of GONE if it dies."""
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    body = json.dumps({"data": arguments})
    connection.request("POST", "/gradio_api/call/correct", body, {"Content-Type": "application/json"})
    event = json.loads(connection.getresponse().read() or "{}").get("event_id")
    if event is None:
        raise ConnectionError("the answer broke off")
    connection.request("GET", f"/gradio_api/call/correct/{event}")
    lines = connection.getresponse().read().decode().splitlines()
    if "event: complete" not in lines:
        assert "event: error" not in lines, lines
        raise ConnectionError("the answer broke off")
    return dict(json.loads(lines[lines.index("event: complete") + 1].removeprefix("data: "))[0])


class Saver(threading.Thread):
    """Saves `text 1`, `text 2`, … in one field until the server is gone; `said` is the last that it called saved."""

    def __init__(self, port: int, clip: str, field: str, said: int) -> None:
        super().__init__(daemon=True)
        self.port, self.clip, self.field, self.said = port, clip, field, said
        self.first_answer = threading.Event()

    def run(self) -> None:
        try:
            while True:
                text = f"text {self.said + 1}"
                correct(self.port, self.clip, "event", "a1.e0", self.field, text, self.field, "")
                self.said += 1
                self.first_answer.set()
        except GONE:
            self.first_answer.set()


def kill_while_saving(pid: int, savers: list[Saver], delay_s: float) -> None:
    """Kill the server `delay_s` after everyone has been told once that something is saved."""
    for saver in savers:
        saver.start()
    for saver in savers:
        assert saver.first_answer.wait(120)
    time.sleep(delay_s)
    os.kill(pid, signal.SIGKILL)
    for saver in savers:
        saver.join(60)
        assert not saver.is_alive()
