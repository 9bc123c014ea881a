"""Files that may not grow (as on a full disk) and folders that may not be written: one sentence, nothing half-written.

The limit is the system's own (RLIMIT_FSIZE): every write beyond it fails as on a disk that has no room left.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.annotated_clips import drawn_clip
from tests.case_support import make_store
from tests.store_support import store_with_clip
from tests.street_truths import street_clips
from workbench.cli import main
from workbench.corrections import clips, history
from workbench.corrections.intake import take_in
from workbench.corrections.verify import verify
from workbench.errors import FormatError, StoreError
from workbench.exports import FORMATS, get_format
from workbench.exports.case import write_case

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
SUFFIX = {"hivau": ".json", "hivau-jsonl": ".jsonl", "hivau-conversations": ".jsonl", "iac": ".json", "coco": ".json"}
SUFFIX |= {"labelstudio": ".json", "csv": ".csv"}


@contextmanager
def small_files(most_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond that; Python ignores the signal, so writing fails instead."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_that_finds_no_room_leaves_nothing(name: str, tmp_path: Path) -> None:
    chosen = [clip for clip in street_clips(name) if clip.events and clip.instances][:12]
    out = tmp_path / f"out{SUFFIX.get(name, '')}"
    with small_files(100), pytest.raises(FormatError, match="cannot be written") as caught:
        get_format(name).write(chosen, out)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert get_format(name).write(chosen, out) == 12


def test_captions_of_several_data_sets_without_room_leave_nothing(tmp_path: Path) -> None:
    chosen = [
        replace(clip, clip=replace(clip.clip, origin=f"{'long-' * 20}{i}/videos/{clip.clip.name}.mp4"))
        for i, clip in enumerate(street_clips("iac"))
    ][:3]
    with small_files(100), pytest.raises(FormatError, match="cannot be written"):
        get_format("iac").write(chosen, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("most_bytes", [100, 4_000, 60_000])
@pytest.mark.parametrize("name", ["case", "case.zip"])
def test_a_case_that_finds_no_room_leaves_nothing(
    name: str, most_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, scratch = tmp_path / "store", tmp_path / "scratch"
    for made in (folder, scratch):
        made.mkdir()
    store, _ = make_store(folder)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    before = verify(store)
    with small_files(most_bytes):
        code = main(["case", "street", "--db", str(store.path), "--out", str(tmp_path / name)])
    said = capsys.readouterr().err
    assert code == 2
    assert said.count("\n") == 1
    assert "cannot be written because the disk is full; free some space" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scratch", "store"]
    assert list(scratch.iterdir()) == []
    assert verify(store) == before
    assert write_case(store, "street", tmp_path / name).events == 2


def test_cases_of_all_clips_without_room_leave_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    store, _ = make_store(folder)
    with small_files(4_000):
        code = main(["export", "--format", "case", "--db", str(store.path), "--out", str(tmp_path / "cases")])
    assert code == 2
    assert "the disk is full" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_save_an_import_and_a_backup_without_room_change_nothing(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    before = verify(store)
    room = max(path.stat().st_size for path in tmp_path.iterdir())
    long = history.edit("event", "a1.e0", "judgement", "x" * 10 * room)
    with small_files(room):
        with pytest.raises(StoreError, match="disk"):
            history.save(store, clip.id, [long], annotator="ann")
        with pytest.raises(StoreError, match="disk"):
            take_in(store, [drawn_clip(seed, "coco") for seed in range(300)], annotator="ann")
    with small_files(4096), pytest.raises(StoreError):
        store.backup(tmp_path / "copy.db")
    assert verify(store) == before
    assert not [path for path in tmp_path.iterdir() if "copy" in path.name]
    history.save(store, clip.id, [history.edit("event", "a1.e0", "judgement", "short")], annotator="ann")
    assert clips.current(store, clip.id).events[0].texts.judgement == "short"


def _as_nobody(arguments: list[str], told: Connection) -> None:
    if os.geteuid() == 0:
        os.setuid(65534)  # the superuser may write anywhere
    error = sys.stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 - the process ends
    code = main(arguments)
    error.seek(0)
    told.send((code, error.read()))


def test_a_store_that_may_only_be_read_says_so() -> None:
    folder = Path(tempfile.mkdtemp(prefix="workbench-readonly-"))
    try:
        store, _ = store_with_clip(folder)
        store.close()
        target = get_format("coco")
        target.write([drawn_clip(1, "coco")], folder / "in.json")
        # Once as it is, so that all modules are loaded: nobody may not be able to read this user's Python.
        shutil.copy(store.path, folder / "other.db")
        wanted = ["import", "--db", str(folder / "other.db"), "--format", "coco", str(folder / "in.json")]
        assert main(wanted) == 0
        for path in folder.glob("other.db*"):
            path.unlink()
        store.path.chmod(0o444)
        folder.chmod(0o555)
        fork = multiprocessing.get_context("fork")
        ear, mouth = fork.Pipe(duplex=False)
        wanted = ["import", "--db", str(store.path), "--format", "coco", str(folder / "in.json")]
        process = fork.Process(target=_as_nobody, args=(wanted, mouth))
        process.start()
        mouth.close()
        code, error = ear.recv()
        process.join()
        assert code == 2
        assert "cannot be written" in error or "cannot be opened" in error
        assert error.count("\n") == 1
        assert sorted(path.name for path in folder.iterdir()) == ["corrections.db", "in.json"]
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
