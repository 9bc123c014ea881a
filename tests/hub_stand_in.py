"""A server on this machine that speaks as much of the Hub's interface as data sets and backups need, and remembers it.

Text goes to it inside the commit, databases by Git LFS as on the Hub.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class StandIn:
    """What came: `(path, body, token)` of each request, contents by LFS id, and the files of each commit in turn.

    With `refuses` set, commits are answered with that status. Requests with `holds` in their path wait for `released`.
    Each repository is private or not and has the names of its files; asked for one that is there, it stays as it is.
    """

    url: str = ""
    came: list[tuple[str, bytes, str | None]] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)
    commits: list[dict[str, bytes]] = field(default_factory=list)
    private: dict[str, bool] = field(default_factory=dict)
    files: dict[str, set[str]] = field(default_factory=dict)
    refuses: int | None = None
    holds: str | None = None
    released: threading.Event = field(default_factory=threading.Event)

    def answer(self, path: str, body: bytes, host: str) -> dict[str, Any]:
        """What the Hub answers to a POST."""
        if "/preupload/" in path:
            names = [item["path"] for item in json.loads(body)["files"]]
            modes = {name: "lfs" if name.endswith(".db") else "regular" for name in names}
            return {
                "files": [
                    {"path": name, "uploadMode": mode, "shouldIgnore": False, "oid": None}
                    for name, mode in modes.items()
                ]
            }
        if path.endswith("/info/lfs/objects/batch"):
            wanted = json.loads(body)["objects"]
            return {
                "transfer": "basic",
                "objects": [{**item, "actions": {"upload": {"href": f"{host}/lfs/{item['oid']}"}}} for item in wanted],
            }
        if "/commit/" in path:
            self.commits.append(dict(self._files(body)))
            repo = path.removeprefix("/api/datasets/").partition("/commit/")[0]
            there = self.files.setdefault(repo, set())
            there.difference_update(self._deleted(body))
            there.update(self.commits[-1])
            return {"commitUrl": f"{host}/datasets/{repo}/commit/{len(self.commits)}", "commitOid": "1"}
        if not path.endswith("/repos/create"):
            return {"errors": [], "warnings": []}  # what it thinks of a card
        made = json.loads(body)
        owner = f"{made['organization']}/" if made.get("organization") else ""
        repo = f"{owner}{made['name']}"
        self.private.setdefault(repo, made.get("private") is True or made.get("visibility") == "private")
        return {"url": f"{host}/datasets/{repo}"}

    def about(self, path: str) -> dict[str, Any] | None:
        """What the Hub answers to a GET of a repository; None where there is none."""
        repo = "/".join(path.split("/")[3:5])
        if repo not in self.private:
            return None
        files = [{"rfilename": name} for name in sorted(self.files.get(repo, ()))]
        return {"id": repo, "sha": "1", "private": self.private[repo], "siblings": files}

    def _deleted(self, body: bytes) -> set[str]:
        entries = [json.loads(line) for line in body.splitlines()]
        return {entry["value"]["path"] for entry in entries if entry["key"] == "deletedFile"}

    def _files(self, body: bytes) -> Iterator[tuple[str, bytes]]:
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                yield value["path"], base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                yield value["path"], self.contents[value["oid"]]


class _Handler(BaseHTTPRequestHandler):
    hub: StandIn

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.came.append((self.path, body, self.headers.get("Authorization")))
        if self.hub.holds is not None and self.hub.holds in self.path:
            self.hub.released.wait(120)
        if self.hub.refuses is not None and "/commit/" in self.path:
            self._say(self.hub.refuses, {"error": "no"})
            return
        self._say(200, self.hub.answer(self.path, body, f"http://{self.headers['Host']}"))

    def do_GET(self) -> None:
        about = self.hub.about(self.path)
        self._say(404 if about is None else 200, about or {"error": "Repository not found"})

    def do_PUT(self) -> None:
        self.hub.contents[self.path.rpartition("/")[2]] = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._say(200, {})

    def _say(self, status: int, answer: dict[str, Any]) -> None:
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", str(len(text)))
        with suppress(ConnectionError):  # whoever asked may be gone
            self.end_headers()
            self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Tests stay quiet."""


@contextmanager
def standing_in() -> Iterator[StandIn]:
    """The server until the block ends."""
    hub = StandIn()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
