"""Exports that come as a zip: what is in them is read, and what is not to be trusted is refused whole."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from pathlib import Path

import pytest

from tests.annotated_clips import drawn_clip
from tests.store_support import empty_store
from workbench.cli import main
from workbench.errors import FormatError
from workbench.exports import get_format
from workbench.exports.unpacking import read_zip

SUFFIX = {"hivau": ".json", "coco": ".json", "labelstudio": ".json"}


def zipped(folder: Path, out: Path, top: str = "") -> Path:
    with zipfile.ZipFile(out, "w") as archive:
        for path in sorted(item for item in folder.rglob("*") if item.is_file()):
            archive.write(path, f"{top}{path.relative_to(folder)}")
    return out


@pytest.mark.parametrize("top", ["", "export/"])
@pytest.mark.parametrize("name", ["coco", "cvat", "datumaro", "labelstudio", "yolo", "iac"])
def test_a_zip_reads_as_what_is_in_it(name: str, top: str, tmp_path: Path) -> None:
    clips = (drawn_clip(seed, name) for seed in range(200))
    chosen = [clip for clip in clips if clip.clip.width < 60 and len(clip.instances) > 1][:3]
    folder = tmp_path / "out"
    target = get_format(name)
    if name in SUFFIX:
        folder.mkdir()
    target.write(chosen, folder / f"a{SUFFIX[name]}" if name in SUFFIX else folder)
    plain = list(target.read(folder / f"a{SUFFIX[name]}" if name in SUFFIX else folder))
    if name == "labelstudio":
        (folder / "a.config.xml").unlink()
    assert list(target.read(zipped(folder, tmp_path / "out.zip", top))) == plain
    assert plain


def entry(name: str, *, link: bool = False) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    if link:
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("name", "link", "says"),
    [
        ("../evil.json", False, "leads out of its folder"),
        ("a/../../evil.json", False, "leads out of its folder"),
        ("/evil.json", False, "leads out of its folder"),
        ("C:\\evil.json", False, "leads out of its folder"),
        ("link.json", True, "holds the link"),
    ],
)
def test_a_zip_that_is_not_to_be_trusted_is_refused_whole(
    name: str, link: bool, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in" / "evil.zip"
    source.parent.mkdir()
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr(entry("good.json"), "{}")
        archive.writestr(entry(name, link=link), "{}")
    store = empty_store(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for format_name in ("hivau", "coco", "cvat"):
        assert main(["import", "--db", str(store.path), "--format", format_name, str(source)]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
    assert {path for path in tmp_path.rglob("*") if "s.db-" not in path.name} == {
        path for path in before if "s.db-" not in path.name
    }
    assert not Path("/evil.json").exists()
    assert store.info().counts["clips"] == 0


@pytest.mark.parametrize("from_byte", [36, 100])  # the first of the data, and further in
@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_zip_is_one_sentence(
    how: int, from_byte: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "a.zip"
    with zipfile.ZipFile(source, "w", how) as archive:
        archive.writestr("a.json", json.dumps({"videos": list(range(500))}))
    damaged = bytearray(source.read_bytes())
    damaged[from_byte : from_byte + 20] = b"\xff" * 20
    source.write_bytes(damaged)
    assert main(["import", "--db", str(tmp_path / "s.db"), "--format", "coco", str(source)]) == 2
    error = capsys.readouterr().err
    assert f"error: {source} is not a whole zip" in error
    assert error.count("\n") == 1


def test_a_zip_that_grows_without_end_or_is_broken_is_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", b" " * (3 << 20))
    with pytest.raises(FormatError, match="unpacks to more than 1 MiB"):
        list(read_zip(bomb, lambda _: iter(()), folder=False, most_bytes=1 << 20))
    broken = tmp_path / "broken.zip"
    broken.write_bytes(bomb.read_bytes()[:-40])
    (tmp_path / "empty").mkdir()
    several = zipped(tmp_path / "empty", tmp_path / "several.zip")
    for path, says in ((broken, "not a whole zip"), (several, "holds 0 files"), (tmp_path / "none.zip", "There is no")):
        with pytest.raises(FormatError, match=says):
            list(get_format("coco").read(path))
    assert not [name for name in os.listdir(tmp_path) if name.startswith("workbench")]
