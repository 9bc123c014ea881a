"""The Hub without a token or a network says so; with both, a data set goes there as one commit."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.store_support import store_with_clip
from workbench import hub
from workbench.cli import main
from workbench.corrections import clips
from workbench.corrections.store import Store
from workbench.corrections.verify import verify
from workbench.errors import InputError

TOKEN = "hf_" + "x" * 34  # looks like one and is none


class StandIn(BaseHTTPRequestHandler):
    """As much of the Hub's interface as a data set of small files needs; remembers what came."""

    came: list[tuple[str, bytes, str | None]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.came.append((self.path, body, self.headers.get("Authorization")))
        host = f"http://{self.headers['Host']}"
        answer: dict = {"url": f"{host}/datasets/team/set"}
        if "/preupload/" in self.path:
            names = [item["path"] for item in json.loads(body)["files"]]
            answer = {
                "files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False, "oid": None} for n in names]
            }
        elif "/commit/" in self.path:
            answer = {"commitUrl": f"{host}/datasets/team/set/commit/1", "commitOid": "1"}
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Tests stay quiet."""


@pytest.fixture
def stand_in() -> Iterator[tuple[str, list[tuple[str, bytes, str | None]]]]:
    handler = type("Handler", (StandIn,), {"came": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler.came
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", hub.BACKUP_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))


def test_without_a_token_the_command_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, _ = store_with_clip(tmp_path)
    assert main(["push", "team/set", "--db", str(store.path)]) == 2
    error = capsys.readouterr().err
    assert "needs a token: set HF_TOKEN" in error
    assert error.count("\n") == 1
    for repo in ("set", "a/b/c", "team/..", "../x"):
        with pytest.raises(InputError, match="OWNER/NAME"):
            hub.push_dataset([], repo)


def test_without_a_network_it_says_so_and_not_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    store, _ = store_with_clip(tmp_path)
    with pytest.raises(hub.HubError, match="cannot be reached") as caught:
        hub.push_dataset(clips.reviewed_clips(store), "team/set", endpoint="http://127.0.0.1:9")
    assert TOKEN not in str(caught.value)


def test_a_data_set_goes_there_as_one_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: tuple[str, list[tuple[str, bytes, str | None]]]
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    store, _ = store_with_clip(tmp_path)
    endpoint, came = stand_in
    address = hub.push_dataset(clips.reviewed_clips(store), "team/set", endpoint=endpoint)
    assert address.endswith("/datasets/team/set/commit/1")
    assert {token for _, _, token in came} == {f"Bearer {TOKEN}"}
    created = next(json.loads(body) for path, body, _ in came if path.endswith("/repos/create"))
    assert created.get("private") is True or created.get("visibility") == "private"
    (commit,) = [body for path, body, _ in came if "/commit/" in path]
    rows = [json.loads(line)["value"] for line in commit.splitlines() if json.loads(line)["key"] == "file"]
    files = {row["path"]: base64.b64decode(row["content"]).decode() for row in rows}
    assert {"README.md", "data/clips-train.jsonl", "data/events-train.jsonl"} <= files.keys()
    assert json.loads(files["data/events-train.jsonl"].splitlines()[0])["category"] == "robbery"


def test_backups_are_copies_that_verify_and_need_a_name_and_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = store_with_clip(tmp_path)
    assert hub.schedule_backups(store, tmp_path / "backup") is None
    monkeypatch.setenv(hub.BACKUP_VARIABLE, "team/backups")
    with pytest.raises(hub.HubError, match=r"WORKBENCH_BACKUP_REPO names team/backups, but: .* HF_TOKEN"):
        hub.schedule_backups(store, tmp_path / "backup")
    copy = hub.snapshot(store, tmp_path / "backup")
    assert verify(Store(copy)) == verify(store)
