"""Arguments, files and machines that nobody would wish for: each gets one sentence and exit code 2, or works."""

from __future__ import annotations

import errno
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import drawn
from tests.case_support import make_store
from tests.store_support import analysis, square, store_with_clip
from tests.test_disk_full import small_files
from workbench import files
from workbench.calibration import read_fusions
from workbench.cli import main
from workbench.corrections import clips, place
from workbench.corrections.layers import check_layer
from workbench.errors import DataError, FormatError, InputError, StackError, StoreError
from workbench.exports import get_format
from workbench.features import dense_pass
from workbench.records import Instance, ReviewedInstance
from workbench.serial import load_analysis, save_analysis
from workbench.stack.fusion import Fusion
from workbench.stack.loading import ModelStack, pick_device
from workbench.stack.sources import is_complete
from workbench.ui import launch
from workbench.video import Clip
from workbench.workflow import Request, prepare_folder

unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


@unix
def test_what_is_no_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "dead.mp4").symlink_to("nothing.mp4")
    assert "a pipe or a device" in refused(capsys, "analyze", tmp_path / "pipe")
    assert "a pipe or a device" in refused(capsys, "verify-case", tmp_path / "pipe")
    assert "symbolic links" in refused(capsys, "analyze", tmp_path / "loop.mp4")
    assert "does not exist" in refused(capsys, "analyze", tmp_path / "dead.mp4")
    assert "cannot be the name of a file" in refused(capsys, "analyze", "x" * 300)
    assert "There is no store" in refused(capsys, "export", "--db", "x" * 300, "--format", "csv", "--out", "a.csv")
    assert "has no clip" in refused(capsys, "annotate", "x" * 300, "--db", make_store(tmp_path)[0].path)


def test_a_question_that_is_no_text_is_refused() -> None:
    with pytest.raises(InputError, match="not readable text"):
        Request(("What\udcff?",))
    assert Request(("Was ist das? 🔎",)).questions == ("Was ist das? 🔎",)


def test_a_name_that_is_not_utf_8_is_written_and_read_back(tmp_path: Path) -> None:
    made = analysis()
    made.clip = replace(made.clip, path="f\udcff.mp4")
    save_analysis(made, tmp_path / "analysis.json")
    assert (tmp_path / "analysis.json").read_text("utf-8")
    assert load_analysis(tmp_path / "analysis.json").clip.path == "f\udcff.mp4"


def test_a_clip_is_not_replaced_by_its_results(tmp_path: Path) -> None:
    source = drawn.write_clip(tmp_path / "overlay.mp4", n_frames=3)
    with pytest.raises(InputError, match="lies where a result would be written"):
        prepare_folder(tmp_path, source)
    assert prepare_folder(tmp_path / "other", source).is_dir()


def test_an_export_and_a_backup_replace_no_store_and_no_video(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, _ = make_store(tmp_path)
    video, before = tmp_path / "street.mp4", (tmp_path / "street.mp4").read_bytes()
    told = refused(capsys, "export", "--db", store.path, "--format", "csv", "--out", store.path)
    assert "is the store itself" in told
    told = refused(capsys, "export", "--store", store.path, "--format", "csv", "--out", video)
    assert "is a video" in told
    assert "no backup of a store" in refused(capsys, "db", "backup", "--db", store.path, video)
    assert video.read_bytes() == before
    assert store.info().counts["clips"] == 1
    for _ in range(2):  # a backup may take the place of an older one
        assert main(["db", "backup", "--db", str(store.path), str(tmp_path / "copy.db")]) == 0


@unix
def test_the_folder_one_is_in_is_no_file_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, _ = store_with_clip(tmp_path)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for out in (".", "/"):
        for name in ("coco", "csv", "yolo"):
            line = ("export", "--db", store.path, "--format", name, "--out", out)
            assert "name another with --out" in refused(capsys, *line)
        line = ("case", "street", "--db", store.path, "--without-video", "--out", out)
        assert "name another with --out" in refused(capsys, *line)
        assert "cannot be written" in refused(capsys, "db", "backup", "--db", store.path, out)
    assert list((tmp_path / "empty").iterdir()) == []


def test_what_attach_could_not_look_at_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, _ = make_store(tmp_path)
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "dead.mp4").symlink_to("nothing.mp4")
    kept = (tmp_path / "street.mp4").rename(tmp_path / "elsewhere.bin")
    assert main(["db", "attach", "--db", str(store.path), str(tmp_path / "moved")]) == 1
    told = capsys.readouterr()
    assert "still gone street" in told.out
    assert f"note: {tmp_path / 'moved' / 'dead.mp4'} cannot be read" in told.err
    kept.rename(tmp_path / "moved" / "street.mp4")
    assert main(["db", "attach", "--db", str(store.path), str(tmp_path / "moved")]) == 0
    assert "found      street" in capsys.readouterr().out


def test_a_layer_that_nobody_has_begun_is_not_the_main_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, clip = make_store(tmp_path)
    for command in (("export", "--format", "csv"), ("case", clip.name)):
        told = refused(capsys, *command, "--db", store.path, "--out", tmp_path / "out", "--layer", "bobb")
        assert "Nobody has begun a layer 'bobb'" in told
        assert not (tmp_path / "out").exists()
    check_layer(store, "main")


def test_pictures_of_another_video_are_not_taken_for_those_that_were_reviewed(tmp_path: Path) -> None:
    store, record = make_store(tmp_path)
    reviewed = clips.current(store, record.id)
    get_format("yolo").write([reviewed], tmp_path / "before")
    assert list((tmp_path / "before" / "images").iterdir())
    with Clip.open(tmp_path / "street.mp4") as clip:
        size, count = (clip.info.width, clip.info.height), clip.n_frames
    drawn.write_clip(tmp_path / "street.mp4", lambda _: np.zeros((size[1], size[0], 3), np.uint8), count)
    with pytest.raises(FormatError, match="put the former file back"):
        get_format("yolo").write([reviewed], tmp_path / "after")
    assert not (tmp_path / "after").exists()


def test_a_box_that_no_picture_can_have_is_refused(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    reviewed = clips.current(store, clip.id)
    seen = Instance(7, "victim", "person", "", "", 1, 1, {1: (0.0, 0.0, 1e300, 2.0)}, {1: square(10, 10)})
    item = ReviewedInstance("i7", seen, None, reviewed.provenance)
    from workbench.corrections.intake import take_in

    with pytest.raises(FormatError, match="not four numbers of pixels"):
        take_in(store, [replace(reviewed, instances=(item,))], annotator="ann")


def test_an_error_of_a_file_that_has_no_words_is_still_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store, _ = make_store(tmp_path)
    store.close()
    (tmp_path / "corrections.db-wal").unlink(missing_ok=True)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    told = refused(capsys, "export", "--db", store.path, "--format", "coco", "--out", tmp_path / "a.json")
    assert "cannot be written" in told or "cannot be read or written" in told
    error = OSError(errno.EIO, "Input/output error", "disk.bin")
    assert files.said_of(error).startswith("disk.bin cannot be read or written (Input/output error)")


def test_a_user_without_a_home_has_folders_still(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("WORKBENCH_CACHE", place.VARIABLE, "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "home", none)
    assert files.cache_root().is_relative_to(tmp_path)
    assert place.default_path().is_relative_to(tmp_path)
    monkeypatch.setenv("WORKBENCH_CACHE", "")
    assert files.cache_root() == tmp_path / ".cache" / "anomaly-workbench"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WORKBENCH_CACHE", "~/cache")
    assert files.cache_root() == tmp_path / "home" / "cache"


def test_the_users_own_folder_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "in.json").write_text("{}")
    monkeypatch.setenv(place.VARIABLE, str(tmp_path / "file" / "corrections.db"))
    told = refused(capsys, "import", "--format", "hivau", tmp_path / "in.json")
    assert "name another file with --db or WORKBENCH_STORE" in told


@pytest.mark.parametrize("device", ["meta", "xpu", "abacus", ""])
def test_a_device_that_cannot_compute_is_refused(device: str) -> None:
    with pytest.raises(StackError, match="use cpu, cuda or cuda:N"):
        pick_device(device)
    assert pick_device("cpu").type == "cpu"


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"nope": 1}', '{"scorer": "x"}', '{"scorer": 1e999}', "\udcff"])
def test_a_damaged_fusion_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fusion.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(StackError, match=r"fusion\.json holds no fusion"):
        Fusion.load(path)
    Fusion(threshold=0.4).save(path)
    assert Fusion.load(path).threshold == 0.4


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 3}', "{"])
def test_a_checkpoint_with_a_damaged_index_is_not_complete(tmp_path: Path, text: str) -> None:
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(text)
    assert not is_complete(tmp_path)


def test_a_calibration_that_is_none_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no calibration \\(No such file or directory\\)"):
        read_fusions(tmp_path / "gone.json")


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    return Clip.open(drawn.write_clip(tmp_path / "marked.mp4", n_frames=70))


@pytest.mark.parametrize("name", ["dense.npz", "tokens.npy"])
@pytest.mark.parametrize("keep", [0, 100, None])
def test_damaged_features_are_computed_again(
    tiny_stack: ModelStack, clip: Clip, tmp_path: Path, name: str, keep: int | None
) -> None:
    first = dense_pass(clip, tiny_stack, cache_dir=tmp_path / "cache")
    tokens = np.array(first.features.tokens)  # the first pass reads them from the file that is damaged now
    (entry,) = (tmp_path / "cache").iterdir()
    if keep is None:
        (entry / name).unlink()
    else:
        (entry / name).write_bytes((entry / name).read_bytes()[:keep])
    again = dense_pass(clip, tiny_stack, cache_dir=tmp_path / "cache")
    np.testing.assert_array_equal(tokens, again.features.tokens)
    np.testing.assert_array_equal(first.motion, again.motion)


def test_a_cache_that_takes_no_files_is_named(tiny_stack: ModelStack, clip: Clip, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="WORKBENCH_CACHE"):
        dense_pass(clip, tiny_stack, cache_dir=tmp_path / "file" / "cache")


@unix
@pytest.mark.parametrize("most_bytes", [50, 4_000, 20_000])
def test_a_cache_without_room_is_told_before_the_work(
    tiny_stack: ModelStack, clip: Clip, tmp_path: Path, most_bytes: int
) -> None:
    with small_files(most_bytes), pytest.raises(InputError, match="the disk is full"):
        dense_pass(clip, tiny_stack, cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_address_that_cannot_be_served_on_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match=r"cannot be served on 127\.0\.0\.1, port"):
            launch.check_address("127.0.0.1", taken.getsockname()[1])
    for host, port in (("127.0.0.1", 0), ("127.0.0.1", 99999), ("no.such.host.invalid", None), ("x" * 300, None)):
        with pytest.raises(InputError, match=r"--port|--host"):
            launch.check_address(host, port)
    launch.check_address("127.0.0.1", None)
    import app

    with pytest.raises(InputError, match=r"no folder .* of samples"):
        launch.services_for(app.parse(["--samples", str(tmp_path / "none"), "--work-dir", str(tmp_path)]))
    with pytest.raises(SystemExit) as ended:
        app.main(["--samples", str(tmp_path / "none"), "--work-dir", str(tmp_path)])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_training_says_in_a_sentence_what_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from finetune.__main__ import main as finetune

    (tmp_path / "file").write_text("")
    assert finetune(["scenes", "--out", str(tmp_path / "file"), "--clips", "1"]) == 2
    assert "cannot be read or written" in capsys.readouterr().err
    assert finetune(["bundle", "--start", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert "no bundle to go on from" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_two_backups_of_a_store_that_is_none_are_refused(tmp_path: Path) -> None:
    store, _ = store_with_clip(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="no backup of a store"):
        store.backup(tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"
