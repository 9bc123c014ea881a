"""Copies of a store: a new one, one over an earlier one, and those that must not be replaced."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.store_support import make_foreign, store_with_clip
from workbench.corrections import clips, history
from workbench.corrections.store import Store
from workbench.corrections.verify import verify
from workbench.errors import StoreError


def test_a_backup_is_the_store(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    with store.reading():  # in use
        path = store.backup(tmp_path / "copy.db")
    assert clips.current(Store(path), clip.id) == clips.current(store, clip.id)
    assert verify(Store(path)) == verify(store)
    for target, says in ((store.path, "store itself"), (tmp_path / "absent" / "copy.db", "does not exist")):
        with pytest.raises(StoreError, match=says):
            store.backup(target)
    store.close()
    assert sorted(item.name for item in tmp_path.iterdir() if "-" not in item.name) == ["copy.db", "corrections.db"]


def open_elsewhere(path: Path, work: Callable[[Store], None], until_told: Connection | None = None) -> None:
    """Another program works on a store and is killed, at once or when it is told to end."""
    fork = multiprocessing.get_context("fork")
    ear, mouth = fork.Pipe(duplex=False)

    def run() -> None:
        work(Store(path))
        mouth.send(True)
        if until_told is not None:
            until_told.recv()
        os.kill(os.getpid(), signal.SIGKILL)

    process = fork.Process(target=run, daemon=True)
    process.start()
    ear.recv()
    if until_told is None:
        process.join()


def remember(store: Store) -> None:
    """Something that is written and is no correction: the history stays that of the backup."""
    for number in range(20):
        clips.set_setting(store, f"setting {number}", "x" * 5000)


def correct(store: Store) -> None:
    history.save(store, 1, [history.edit("event", "a1.e0", "judgement", "Only here.")], annotator="bob")


def backed_up_and_gone_on(folder: Path) -> tuple[Store, Path]:
    """A store in which ann has gone on since its backup, closed, so that a new process inherits no connection."""
    store, clip = store_with_clip(folder)
    copy = store.backup(folder / "copy.db")
    for number in range(20):
        change = history.edit("event", "a1.e1", "judgement", f"{number} " + "z" * 2500)
        history.save(store, clip.id, [change], annotator="ann")
    store.close()
    return store, copy


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
@pytest.mark.parametrize("removed", [False, True])
def test_a_backup_over_one_that_a_killed_program_had_open_is_the_store(removed: bool, tmp_path: Path) -> None:
    store, copy = backed_up_and_gone_on(tmp_path)
    open_elsewhere(copy, remember)
    assert (tmp_path / "copy.db-wal").stat().st_size
    if removed:
        copy.unlink()
    store.backup(copy)
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith("copy.db-")]
    assert verify(Store(copy, read_only=True)) == verify(store)
    assert clips.get_setting(Store(copy, read_only=True), "setting 0") is None


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_a_backup_that_another_program_has_open_is_left_alone(tmp_path: Path) -> None:
    store, copy = backed_up_and_gone_on(tmp_path)
    store.busy_timeout_s = 0.05
    hold, end = multiprocessing.Pipe(duplex=False)
    open_elsewhere(copy, remember, hold)
    before = verify(Store(copy, read_only=True))
    with pytest.raises(StoreError, match="is open in another program"):
        store.backup(copy)
    assert verify(Store(copy, read_only=True)) == before
    assert clips.get_setting(Store(copy, read_only=True), "setting 19") == "x" * 5000
    end.send(True)


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_a_backup_takes_the_place_of_no_store_with_corrections_of_its_own(tmp_path: Path) -> None:
    store, copy = backed_up_and_gone_on(tmp_path)
    open_elsewhere(copy, correct)
    make_foreign(tmp_path / "recipes.db")
    (tmp_path / "other").mkdir()
    other, clip = store_with_clip(tmp_path / "other")
    history.save(other, clip.id, [history.remove("event", "a1.e0")], annotator="bob")
    other.close()
    for target, says in (
        (copy, "holds corrections that this store does not have"),
        (other.path, "holds corrections that this store does not have"),
        (tmp_path / "recipes.db", "no backup of a store"),
    ):
        before = target.read_bytes()
        with pytest.raises(StoreError, match=says):
            store.backup(target)
        assert target == copy or target.read_bytes() == before
    assert clips.current(Store(copy), 1).events[0].texts.judgement == "Only here."
