"""The store: what it is on disk, who may open it, what it says when something is wrong, and that nothing is lost."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import random
import sqlite3
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.store_support import analysis, make_foreign, store_with_clip
from workbench.cli import main
from workbench.corrections import clips, history
from workbench.corrections.migrations import APPLICATION_ID
from workbench.corrections.store import Store
from workbench.corrections.taxonomy import open_store
from workbench.corrections.verify import verify
from workbench.errors import StoreError
from workbench.serial import to_json


def test_a_store_is_one_file_with_log_and_full_flush(tmp_path: Path) -> None:
    store = Store(tmp_path / "a b?#%.db")
    with store.reading() as db:
        pragmas = {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "foreign_keys")}
        pragmas["synchronous"] = db.execute("PRAGMA synchronous").fetchone()[0]
    assert pragmas == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2}
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a b?#%.db"]


def test_an_analysis_reads_back_whole(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    assert to_json(clips.load_analysis(store, clip.id)) == to_json(analysis())
    view = clips.current(store, analysis().clip.sha256)
    assert [item.instance for item in view.instances] == analysis().instances
    assert [item.turn for item in view.dialogue] == analysis().dialogue
    spans = [(event.start_s, event.end_s, event.category) for event in view.events]
    assert spans == [(event.start_s, event.end_s, event.category) for event in analysis().events]
    assert view.clip.has_media
    assert view.events[0].provenance.kind == "model"
    assert clips.list_analyses(store, clip.id) == [(1, "bundled", None)]


def test_a_new_analysis_replaces_only_what_nobody_has_touched(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    history.save(store, clip.id, [history.edit("event", "a1.e0", "category", "stealing")], annotator="ann")
    history.save(store, clip.id, [history.remove("event", "a1.e1")], annotator="ann")
    clips.save_analysis(store, analysis(profile="large"))
    view = clips.current(store, clip.id)
    # The kept event and the removed one were judged, so the new analysis does not say the same beside them.
    assert [(event.id, event.category) for event in view.events] == [("a1.e0", "stealing")]
    assert [item.id for item in view.instances] == ["a2.i1"]
    assert view.instances[0].provenance.name == "large"
    assert verify(store).is_intact


def test_a_removal_that_was_undone_keeps_no_new_event_away(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    history.save(store, clip.id, [history.remove("event", "a1.e0")], annotator="ann")
    history.undo(store, clip.id, annotator="ann")
    clips.save_analysis(store, analysis())
    assert [event.id for event in clips.current(store, clip.id).events] == ["a2.e0", "a2.e1"]
    history.save(store, clip.id, [history.remove("event", "a2.e0")], annotator="ann")
    history.undo(store, clip.id, annotator="ann")
    history.redo(store, clip.id, annotator="ann")
    clips.save_analysis(store, analysis())
    assert [event.id for event in clips.current(store, clip.id).events] == ["a3.e1"], "it was removed after all"


def test_a_link_to_an_event_that_made_way_goes_to_the_one_about_the_same_moment(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)

    def event_of_person() -> str | None:
        return next(item.event_id for item in clips.current(store, clip.id).instances if item.id == "a1.i1")

    history.save(store, clip.id, [history.edit("instance", "a1.i1", "event_id", "a1.e0")], annotator="ann")
    clips.save_analysis(store, analysis())
    assert event_of_person() == "a2.e0"
    clips.save_analysis(store, analysis(events=analysis().events[1:]))
    assert event_of_person() is None
    assert verify(store).is_intact


def test_several_threads_save_at_once(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)

    def work(name: str) -> None:
        for i in range(10):
            change = history.edit("event", "a1.e0", "judgement", f"{name} {i}")
            history.save(store, clip.id, [change], annotator=name)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "bb", "ccc")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify(store).is_intact
    assert {row.annotator for row in history.page(store, limit=30)} == {"a", "bb", "ccc"}


def make_text(path: Path) -> None:
    path.write_text("This is no database.\n" * 300)


def make_newer(path: Path) -> None:
    Store(path)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
            "VALUES ('workbench.corrections', 'm999_future', 'now')"
        )
    connection.close()


def make_damaged(path: Path) -> None:
    store, _ = store_with_clip(path.parent)
    store.close()
    store.path.rename(path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (make_text, "is not a database"),
        (make_foreign, "another program"),
        (make_newer, "newer version of the workbench"),
        (make_damaged, "damaged"),
        (Path.mkdir, "is a folder"),
    ],
)
def test_what_is_no_store_is_refused_in_one_sentence(tmp_path: Path, make: object, says: str) -> None:
    path = tmp_path / "store.db"
    make(path)  # type: ignore[operator]
    with pytest.raises(StoreError, match=says) as caught:
        open_store(path)
    assert "store.db" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_and_a_store_for_reading(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(tmp_path / "absent" / "store.db")
    with pytest.raises(StoreError, match="There is no store"):
        Store(tmp_path / "absent.db", read_only=True)
    store, clip = store_with_clip(tmp_path)
    reader = open_store(store.path, read_only=True)
    assert clips.current(reader, clip.id) == clips.current(store, clip.id)
    with pytest.raises(StoreError, match="reading only"):
        history.save(reader, clip.id, [history.remove("event", "a1.e0")], annotator="ann")


def test_a_locked_store_says_so_and_stays_as_it_was(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    hasty = Store(store.path, busy_timeout_s=0.05)
    before = clips.current(store, clip.id)
    with store.writing(), pytest.raises(StoreError, match="being written by another program"):
        history.save(hasty, clip.id, [history.remove("event", "a1.e0")], annotator="ann")
    assert clips.current(hasty, clip.id) == before


class SmallDisk(Store):
    """A store on a disk that has no room left: SQLite itself reports it full."""

    def _connect(self) -> sqlite3.Connection:
        connection = super()._connect()
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {max(pages, 1)}")
        return connection


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    before, small = clips.current(store, clip.id), SmallDisk(store.path)

    def write_until_full() -> None:
        for i in range(2000):
            text = f"{i}" * 5000
            history.save(small, clip.id, [history.edit("event", "a1.e0", "judgement", text)], annotator="ann")

    with pytest.raises(StoreError, match="disk is full"):
        write_until_full()
    after = clips.current(store, clip.id)
    assert verify(store).is_intact
    assert after.revision == history.page(store, limit=1)[0].seq
    assert after.events[1:] == before.events[1:]


def test_the_history_cannot_be_rewritten_by_accident(tmp_path: Path) -> None:
    store, _ = store_with_clip(tmp_path)
    for statement in ("UPDATE history SET annotator = 'eve'", "DELETE FROM history", "DELETE FROM analyses"):
        with pytest.raises(StoreError, match="keeps its history"), store.writing() as db:
            db.execute(statement)
    assert verify(store).is_intact


def test_info_counts(tmp_path: Path) -> None:
    store, _ = store_with_clip(tmp_path)
    info = store.info()
    assert {info.counts[name] for name in ("clips", "analyses", "instances")} == {1}
    assert info.counts["events"] == info.counts["turns"] == 2
    assert info.size_bytes >= store.path.stat().st_size
    assert info.head == verify(store).head
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
        columns = "id, start_s, end_s, category, judgement"
        assert connection.execute(f"SELECT {columns} FROM events WHERE layer = 'main'").fetchone()[3] == "robbery"
    connection.close()


def test_settings_keep_json(tmp_path: Path) -> None:
    store = open_store(tmp_path / "s.db")
    assert clips.get_setting(store, "threshold", 0.5) == 0.5
    clips.set_setting(store, "threshold", {"value": [1, None]})
    assert clips.get_setting(store, "threshold") == {"value": [1, None]}


def save_without_pause(path: Path, number: int, said: Connection) -> None:
    """What the killed program does: two fields in one step, and only then a word that they are saved."""
    store = Store(path)
    while True:
        number += 1
        places = (("a1.e0", "judgement"), ("a1.e1", "summary"))
        changes = [history.edit("event", name, field, f"text {number}") for name, field in places]
        history.save(store, 1, changes, annotator="ann")
        said.send(number)


def kill_while_saving(path: Path, number: int, delay_s: float) -> int:
    """Start a process that saves, kill it at some moment. → the last number it said was saved."""
    fork = multiprocessing.get_context("fork")  # a fresh interpreter would spend its time importing
    ear, mouth = fork.Pipe(duplex=False)
    process = fork.Process(target=save_without_pause, args=(path, number, mouth), daemon=True)
    process.start()
    mouth.close()
    number = ear.recv()
    time.sleep(delay_s)
    process.kill()
    process.join()
    with contextlib.suppress(EOFError):
        while True:
            number = ear.recv()
    return number


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
@pytest.mark.slow
def test_a_kill_at_any_moment_loses_nothing_that_was_saved(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    luck, number = random.Random(7), 0
    for _ in range(50):
        store.close()  # a process must not inherit an open connection
        number = kill_while_saving(store.path, number, luck.uniform(0, 0.1))
        store = Store(store.path)
        view = clips.current(store, clip.id)
        texts = (view.events[0].texts.judgement, view.events[1].texts.summary)
        # The save that was under way may have been finished, but never half, and none before it is missing.
        assert texts in {(f"text {n}", f"text {n}") for n in (number, number + 1)}
        number = int(str(texts[0]).split()[1])
    assert verify(store).is_intact
    saved = [row.after for row in history.page(store, clip=clip.id, limit=100_000) if row.field == "judgement"]
    assert saved == [f"text {n}" for n in range(number, 0, -1)]


def test_half_a_character_is_refused_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, clip = store_with_clip(tmp_path)
    before = verify(store)
    with pytest.raises(StoreError, match=r"half a character \(U\+D83D\)"):
        history.save(store, clip.id, [history.edit("event", "a1.e0", "judgement", "\ud83d?")], annotator="ann")
    video = {"n_frames": 10, "fps": 25.0, "label": ["Fighting"], "events": [[0, 0.2]]}
    video |= {"clips": [[[0, 0.2]]], "clips_caption": [["\ud800"]], "events_summary": [""], "video_summary": ""}
    (tmp_path / "half.json").write_text(json.dumps({"ucf/half.mp4": video}))
    assert main(["import", "--db", str(store.path), "--format", "hivau", str(tmp_path / "half.json")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert verify(store) == before


def test_a_store_with_spoilt_texts_is_called_damaged(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    with store.writing() as db:
        db.conn.execute("UPDATE subjects SET document = CAST(x'7b22ff' AS TEXT) WHERE subject = 'event'")
    with pytest.raises(StoreError, match="is damaged; restore a backup") as caught:
        clips.current(store, clip.id)
    assert "7b22" not in str(caught.value)
