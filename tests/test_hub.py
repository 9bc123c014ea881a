"""The Hub without a token or a network says so; with both, a data set goes there as one commit."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from huggingface_hub import HfApi

from tests.case_support import make_store
from tests.hub_stand_in import StandIn, standing_in
from tests.store_support import store_with_clip
from workbench import hub, hub_upload
from workbench.cli import main
from workbench.corrections import clips, history
from workbench.corrections.store import Store
from workbench.corrections.verify import verify
from workbench.errors import InputError

TOKEN = "hf_" + "x" * 34  # looks like one and is none


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with standing_in() as hub_here:
        yield hub_here


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


def test_a_token_that_is_none_and_a_network_that_is_forbidden_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, _ = store_with_clip(tmp_path)
    monkeypatch.setenv("HF_TOKEN", TOKEN + "é")
    assert main(["push", "team/set", "--db", str(store.path)]) == 2
    assert "characters that no token has" in capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(hub.HubError, match="HF_HUB_OFFLINE forbids to push"):
        hub.push_dataset(clips.reviewed_clips(store), "team/set", report=lambda *_: None)


def test_a_data_set_goes_there_as_one_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: StandIn
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    store, _ = store_with_clip(tmp_path)
    address = hub.push_dataset(clips.reviewed_clips(store), "team/set", endpoint=stand_in.url)
    assert address.endswith("/datasets/team/set/commit/1")
    assert {token for _, _, token in stand_in.came} == {f"Bearer {TOKEN}"}
    created = next(json.loads(body) for path, body, _ in stand_in.came if path.endswith("/repos/create"))
    assert created.get("private") is True or created.get("visibility") == "private"
    (files,) = stand_in.commits
    assert {"README.md", "data/clips-train.jsonl", "data/events-train.jsonl"} <= files.keys()
    assert json.loads(files["data/events-train.jsonl"].splitlines()[0])["category"] == "robbery"


def test_nothing_private_goes_into_a_public_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: StandIn
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    store, _ = store_with_clip(tmp_path)
    stand_in.private["team/set"] = False
    for report in (None, lambda *_: None):  # here, and in a process of its own
        with pytest.raises(hub.HubError, match=r"team/set is there already and is public.* --public"):
            hub.push_dataset(clips.reviewed_clips(store), "team/set", endpoint=stand_in.url, report=report)
    monkeypatch.setenv(hub.BACKUP_VARIABLE, "team/set")
    api = HfApi(endpoint=stand_in.url, token=TOKEN)
    with pytest.raises(hub.HubError, match=r"team/set is there already and is public.* WORKBENCH_BACKUP_REPO"):
        hub.schedule_backups(store, tmp_path / "backup", hf_api=api)
    assert stand_in.came == []  # nothing was sent, not even a name
    assert hub.push_dataset(clips.reviewed_clips(store), "team/set", private=False, endpoint=stand_in.url)
    assert len(stand_in.commits) == 1


def test_a_later_push_takes_away_what_it_no_longer_has_and_no_file_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: StandIn
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    store, clip = make_store(tmp_path)
    theirs = {"LICENSE", "data/notes.txt", ".gitattributes"}
    stand_in.private["team/set"], stand_in.files["team/set"] = True, set(theirs)
    hub.push_dataset(clips.reviewed_clips(store), "team/set", media=True, endpoint=stand_in.url)
    assert {"media/street.mp4", "data/events-train.jsonl", "data/instances-train.jsonl"} <= stand_in.files["team/set"]
    found = clips.current(store, clip.id)
    gone = [history.remove("event", item.id) for item in found.events]
    gone += [history.remove("instance", item.id) for item in found.instances]
    history.save(store, clip.id, gone, annotator="ann")
    hub.push_dataset(clips.reviewed_clips(store), "team/set", endpoint=stand_in.url)
    assert len(stand_in.commits) == 2
    assert stand_in.files["team/set"] == {*theirs, "README.md", "data/clips-train.jsonl"}


def test_media_of_a_repository_that_was_never_pushed_to_stay() -> None:
    assert hub_upload.pushed_before(["media/a.mp4", "data/train.jsonl"]) == set()


def test_the_card_names_the_repository_it_is_loaded_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: StandIn
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    store, _ = make_store(tmp_path)
    hub.push_dataset(clips.reviewed_clips(store), "team/night", media=True, endpoint=stand_in.url)
    card = stand_in.commits[0]["README.md"].decode()
    assert 'load_dataset("team/night", "events", split="train")' in card
    assert "# night\n" in card
    assert "hf download team/night --repo-type dataset" in card
    assert '"dataset' not in card


class Stop(Exception):
    """Raised by a report, as by a person who presses Cancel."""


def children() -> list[psutil.Process]:
    alive = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in alive if "workbench.hub_upload" in child.cmdline()]


def test_a_push_that_is_cancelled_while_it_uploads_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: StandIn
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    store, _ = store_with_clip(tmp_path)
    stand_in.holds = "/preupload/"

    def report(stage: str, fraction: float) -> None:
        assert 0 <= fraction <= 1
        if any("/preupload/" in path for path, _, _ in stand_in.came):
            assert stage == "uploading to team/set"
            assert len(children()) == 1
            raise Stop

    with pytest.raises(Stop):
        hub.push_dataset(clips.reviewed_clips(store), "team/set", endpoint=stand_in.url, report=report)
    assert children() == []
    stand_in.released.set()
    assert hub.push_dataset(clips.reviewed_clips(store), "team/set", endpoint=stand_in.url, report=lambda *_: None)
    assert len(stand_in.commits) == 1  # that of the second push


def test_a_push_that_is_cancelled_at_the_last_moment_publishes_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: StandIn
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    store, _ = store_with_clip(tmp_path)

    def report(stage: str, _: float) -> None:
        if stage.startswith("publishing"):
            raise Stop

    with pytest.raises(Stop):
        hub.push_dataset(clips.reviewed_clips(store), "team/set", endpoint=stand_in.url, report=report)
    assert stand_in.commits == []
    assert not any("/commit/" in path for path, _, _ in stand_in.came)


def test_what_the_hub_says_to_the_other_process_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: StandIn
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    store, _ = store_with_clip(tmp_path)
    stand_in.refuses = 403
    for endpoint, says in (
        (stand_in.url, r"refused to take team/set \(403\)"),
        ("http://127.0.0.1:9", "cannot be reached"),
    ):
        with pytest.raises(hub.HubError, match=says) as caught:
            hub.push_dataset(clips.reviewed_clips(store), "team/set", endpoint=endpoint, report=lambda *_: None)
        assert TOKEN not in str(caught.value)


def test_a_data_set_of_many_files_is_one_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: StandIn
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    folder = tmp_path / "set"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number:03d}.txt").write_text(str(number))
    hub_upload.upload(folder, "team/set", private=True, endpoint=stand_in.url)
    (files,) = stand_in.commits
    assert files["299.txt"] == b"299"
    assert len(files) == 300


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


@pytest.fixture
def backups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: StandIn) -> Iterator[tuple[Store, int, Any]]:
    """A store, its clip, and its backups to the stand-in, several a second."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv(hub.BACKUP_VARIABLE, "team/backups")
    store, clip = store_with_clip(tmp_path)
    scheduler = hub.schedule_backups(
        store, tmp_path / "backup", every_minutes=0.2 / 60, hf_api=HfApi(endpoint=stand_in.url, token=TOKEN)
    )
    assert scheduler is not None
    yield store, clip.id, scheduler
    scheduler.stop()
    scheduler.trigger().result()  # what was under way has ended before the server goes


def say(store: Store, clip: int, text: str) -> None:
    history.save(store, clip, [history.edit("event", "a1.e0", "judgement", text)], annotator="ann")


def until(there: Callable[[], bool], limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_backups_taken_while_people_save_are_whole_stores(
    tmp_path: Path, stand_in: StandIn, backups: tuple[Store, int, Any]
) -> None:
    store, clip, scheduler = backups
    saves = 0
    while len(stand_in.commits) < 4:
        saves += 1
        say(store, clip, f"text {saves}")
        assert saves < 5000
    hub.end_backups(scheduler)
    assert {name for commit in stand_in.commits for name in commit} == {"corrections.db"}
    rows = []
    for number, commit in enumerate(stand_in.commits):
        copy = tmp_path / f"restored-{number}.db"
        copy.write_bytes(commit["corrections.db"])
        assert copy.read_bytes()[18:20] == b"\x01\x01"  # one file that needs no log beside it
        with closing(sqlite3.connect(copy)) as plain:
            assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = verify(Store(copy))
        assert found.fault is None
        rows.append(found.rows)
    assert rows == sorted(set(rows))  # each holds more than the one before
    assert verify(Store(copy)) == verify(store)  # the last one, everything
    assert clips.current(Store(copy), clip).events[0].texts.judgement == f"text {saves}"
    assert sorted(path.name for path in (tmp_path / "backup").iterdir() if path.is_file()) == ["corrections.db"]


def test_an_idle_store_is_not_pushed_again_and_a_refused_push_is_made_up_for(
    stand_in: StandIn, backups: tuple[Store, int, Any], caplog: pytest.LogCaptureFixture
) -> None:
    store, clip, scheduler = backups
    until(lambda: len(stand_in.commits) == 1)
    for _ in range(3):
        assert scheduler.trigger().result() is None
    assert len(stand_in.commits) == 1
    stand_in.refuses = 403
    say(store, clip, "while the Hub refuses")
    asked = len(stand_in.came)
    until(lambda: any("/commit/" in path for path, _, _ in stand_in.came[asked:]))
    assert len(stand_in.commits) == 1
    stand_in.refuses = None
    until(lambda: len(stand_in.commits) == 2)
    stand_in.private["team/backups"] = False
    say(store, clip, "while everybody could read it")
    with pytest.raises(hub.HubError, match="team/backups is there already and is public"):
        scheduler.trigger().result()
    assert len(stand_in.commits) == 2
    stand_in.private["team/backups"] = True
    until(lambda: len(stand_in.commits) == 3)
    stand_in.refuses = 403
    say(store, clip, "the last word")
    hub.end_backups(scheduler)
    assert "The last changes were not backed up to team/backups" in caplog.text
    assert TOKEN not in caplog.text
