"""The case bundle: whole, offline, escaped, pixelated on request, and checked to the last byte."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import zipfile
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests import drawn
from tests.case_support import BYSTANDER, NASTY, PERPETRATOR, contrast, make_store
from tests.store_support import analysis, empty_store
from workbench.cli import main
from workbench.corrections import history
from workbench.corrections.clips import save_analysis
from workbench.corrections.intake import take_in
from workbench.corrections.store import Store
from workbench.errors import FormatError, StoreError
from workbench.exports import get_format
from workbench.exports.case import CaseMade, CaseOptions, verify_case, write_case
from workbench.exports.manifest import MANIFEST, write_manifest
from workbench.records import ClipRecord, DenseScores
from workbench.video import Clip

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, ClipRecord, CaseMade]:
    folder = tmp_path_factory.mktemp("case")
    store, clip = make_store(folder)
    return store, clip, write_case(store, "street", folder / "case", CaseOptions(pixelate=True))


@pytest.fixture
def case(made: tuple[Store, ClipRecord, CaseMade], tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(made[2].path, tmp_path / "case"))


class Outline(HTMLParser):
    """Elements and what they load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "poster")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(path: Path) -> Outline:
    return Outline((path / "index.html").read_text(encoding="utf-8"))


def test_the_report_says_everything(made: tuple[Store, ClipRecord, CaseMade]) -> None:
    _, clip, result = made
    page = page_of(result.path)
    for words in (
        *("street", clip.sha256, "bundled · adapter plaza-v2", "0.45", "ann, bob", "done", "history intact"),
        *("robbery", "falling", "Yes, a robbery.", "It is theft.", "A man falls.", "Who runs?", "a striped bystander"),
        *("seen twice", "torch 9.9", "model bundled with plaza-v2, changed by ann", "python -m workbench verify-case"),
        NASTY,
    ):
        assert words in page.text, words
    rows = history.page(made[0], clip=clip.id, limit=1000)
    source = (result.path / "index.html").read_text(encoding="utf-8")
    assert all(row.hash in source for row in rows)
    assert (result.events, result.rows) == (2, len(rows))
    written = [json.loads(line) for line in (result.path / "history.jsonl").read_text("utf-8").splitlines()]
    assert [row["hash"] for row in written] == [row.hash for row in reversed(rows)]


def test_nothing_is_loaded_from_elsewhere_and_nothing_runs(made: tuple[Store, ClipRecord, CaseMade]) -> None:
    page = page_of(made[2].path)
    outside = [link for link in page.links if not link.startswith(("data:image/jpeg", "#", "clips/"))]
    assert outside == []
    assert "script" not in page.tags
    assert page.handlers == []
    assert {link for link in page.links if link.startswith("clips/")} == {"clips/event-1.mp4", "clips/event-2.mp4"}


def test_events_are_cut_frame_for_frame(made: tuple[Store, ClipRecord, CaseMade]) -> None:
    for name, first, last in (("event-1", 10, 29), ("event-2", 35, 49)):
        with Clip.open(made[2].path / "clips" / f"{name}.mp4") as cut:
            numbers = [drawn.number_in(rgb) for _, rgb in cut.frames(range(cut.n_frames))]
        assert numbers == list(range(first, last + 1))


def test_bystanders_are_hidden_in_every_picture_and_others_are_not(
    made: tuple[Store, ClipRecord, CaseMade], tmp_path: Path
) -> None:
    plain = write_case(made[0], "street", tmp_path / "plain").path
    assert _contrasts(plain)[0] > 100
    hidden, shown = _contrasts(made[2].path)
    assert hidden < 25
    assert shown > 100
    assert "pixelated" not in page_of(plain).text
    assert "1 bystander is pixelated" in page_of(made[2].path).text


def _contrasts(case: Path) -> tuple[float, float]:
    """Highest contrast of the bystander, lowest of the perpetrator, over all frames of all cut clips."""
    pictures = []
    for path in sorted((case / "clips").iterdir()):
        with Clip.open(path) as cut:
            pictures += [rgb for _, rgb in cut.frames(range(cut.n_frames))]
    assert len(pictures) == 35
    return max(contrast(rgb, BYSTANDER) for rgb in pictures), min(contrast(rgb, PERPETRATOR) for rgb in pictures)


def test_instances_of_a_video_of_uneven_rate_are_seen_when_they_were_shown(tmp_path: Path) -> None:
    pts = [40 * i for i in range(50)] + [2000 + 400 * i for i in range(20)]
    path = drawn.write_clip(tmp_path / "uneven.mp4", n_frames=70, pts=pts, time_base=Fraction(1, 1000))
    boxes = {25: (10.0, 10.0, 40.0, 40.0), 49: (10.0, 10.0, 40.0, 40.0)}
    first = replace(analysis().instances[0], first_frame=25, last_frame=49, boxes_xyxy=boxes, masks_rle={})
    second = replace(first, id=2, last_frame=50, boxes_xyxy={25: boxes[25], 50: boxes[49]})
    with Clip.open(path) as clip:
        index = np.array([0, 25, 49])
        dense = DenseScores(25, index, clip.times_s[index], np.zeros(3, np.float32), {})
        found = replace(analysis(), clip=clip.info, dense=dense, events=[], instances=[first, second], heatmaps=None)
    store = empty_store(tmp_path)
    number = save_analysis(store, found).id
    assert "0:01.0 – 0:02.0" in page_of(write_case(store, number, tmp_path / "with").path).text
    plain = write_case(store, number, tmp_path / "without", CaseOptions(without_video=True)).path
    assert "0:01.0 – 0:02.0" in page_of(plain).text  # frames that were scored have their times in the analysis
    assert "frames 25 – 50" in page_of(plain).text


def test_key_frames_hide_bystanders_too(made: tuple[Store, ClipRecord, CaseMade]) -> None:
    uris = [link for link in page_of(made[2].path).links if link.startswith("data:image/jpeg")]
    pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))) for uri in uris]
    frames = [picture for picture in pictures if picture.shape[:2] == (180, 320)]
    assert len(frames) == 8  # start, peak and end of two events, and the peaks once more as posters
    inner = (60.0, 90.0, 70.0, 150.0)  # away from the outline, which is drawn over it
    assert max(contrast(picture, inner) for picture in frames) < 40


def test_a_whole_case_passes_as_folder_and_zip(
    made: tuple[Store, ClipRecord, CaseMade], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, clip, result = made
    bundle = verify_case(result.path, expect=result.sha256)
    assert bundle.files == 5
    assert bundle.about["clip"] == {"name": "street", "sha256": clip.sha256}
    out = tmp_path / "new" / "street.zip"
    assert main(["case", str(clip.sha256), "--store", str(store.path), "--out", str(out), "--pixelate-bystanders"]) == 0
    sha256 = re.search(r"manifest ([0-9a-f]{64})", capsys.readouterr().out)[1]  # type: ignore[index]
    assert main(["verify-case", str(out), "--expect", sha256]) == 0
    with zipfile.ZipFile(out) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"street"}
    assert [path.name for path in out.parent.iterdir()] == ["street.zip"]


@pytest.mark.parametrize(
    ("name", "action", "says"),
    [
        ("clips/event-1.mp4", "remove", "clips/event-1.mp4 is missing"),
        ("index.html", "append", "index.html was changed"),
        ("clips/event-2.mp4", "flip", "clips/event-2.mp4 was changed"),
        ("analysis.json", "append", "analysis.json was changed"),
        ("clips/extra.mp4", "append", "clips/extra.mp4 was added"),
        (".hidden", "append", ".hidden was added"),
        (MANIFEST, "remove", "manifest.json is missing"),
        (MANIFEST, "append", "manifest.json is not JSON"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_the_first_wrong_file_is_named(
    case: Path, capsys: pytest.CaptureFixture[str], name: str, action: str, says: str, zipped: bool
) -> None:
    path = case / name
    if action == "remove":
        path.unlink()
    elif action == "append":
        path.write_bytes((path.read_bytes() if path.exists() else b"") + b"x")
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
    target = Path(shutil.make_archive(str(case.parent / "case"), "zip", case.parent, "case")) if zipped else case
    assert main(["verify-case", str(target)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert says in error
    assert error.count("\n") == 1


def test_a_damaged_zip_of_a_case_is_one_sentence(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = Path(shutil.make_archive(str(case.parent / "case"), "zip", case.parent, "case"))
    with zipfile.ZipFile(target) as archive:
        place = archive.getinfo("case/index.html").header_offset
    damaged = bytearray(target.read_bytes())
    damaged[place + 60 : place + 90] = b"\xff" * 30
    target.write_bytes(damaged)
    assert main(["verify-case", str(target)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {target} is not a whole zip")
    assert error.count("\n") == 1


def test_a_page_beside_the_case_in_a_zip_was_added(case: Path, tmp_path: Path) -> None:
    """Whoever unpacks the zip finds it first, and takes it for the case."""
    out = tmp_path / "case.zip"
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("index.html", "<p>All quiet.</p>")
        for file in sorted(path for path in case.rglob("*") if path.is_file()):
            archive.write(file, Path("case") / file.relative_to(case))
    with pytest.raises(FormatError, match=r"\.\./index\.html was added"):
        verify_case(out)


def test_a_link_is_no_file_of_a_case(case: Path, tmp_path: Path) -> None:
    (case / "clips" / "event-1.mp4").rename(tmp_path / "elsewhere.mp4")
    (case / "clips" / "event-1.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    with pytest.raises(FormatError, match=r"event-1\.mp4 is a link"):
        verify_case(case)


def test_a_manifest_made_anew_does_not_hide_an_edited_history(case: Path, made: tuple[Store, object, CaseMade]) -> None:
    rows = (case / "history.jsonl").read_text(encoding="utf-8")
    (case / "history.jsonl").write_text(rows.replace("Yes, a robbery.", "No, all quiet."), encoding="utf-8")
    about = json.loads((case / MANIFEST).read_text(encoding="utf-8"))
    (case / MANIFEST).unlink()
    del about["files"]
    write_manifest(case, about.pop("kind"), {key: value for key, value in about.items() if key != "version"})
    with pytest.raises(FormatError, match="its hash does not fit"):
        verify_case(case)
    with pytest.raises(FormatError, match=r"manifest\.json was changed"):
        verify_case(case, expect=made[2].sha256)


def test_a_case_replaces_nothing_and_leaves_nothing_behind(
    made: tuple[Store, ClipRecord, CaseMade], tmp_path: Path
) -> None:
    store, clip, _ = made
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    (tmp_path / "old.zip").write_text("keep")
    for out in (tmp_path / "full", tmp_path / "old.zip"):
        with pytest.raises(FormatError, match="is there already"):
            write_case(store, "street", out)
    gone = CaseOptions(video=tmp_path / "gone.mp4")
    with pytest.raises(FormatError, match=r"no longer at .*gone\.mp4; name where it is now \(case --video FILE\)"):
        write_case(store, "street", tmp_path / "new", gone)
    other = drawn.write_clip(tmp_path / "other.mp4", n_frames=10)
    with pytest.raises(FormatError, match=r"is not the video of street.*case --without-video"):
        write_case(store, "street", tmp_path / "new", CaseOptions(video=other))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "old.zip", "other.mp4"]
    result = write_case(store, str(clip.path), tmp_path / "words", CaseOptions(without_video=True))
    assert "made without the video" in page_of(result.path).text
    assert verify_case(result.path).files == 3


def test_unknown_clips_and_layers_are_named(made: tuple[Store, ClipRecord, CaseMade], tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="has no clip 'nobody'"):
        write_case(made[0], "nobody", tmp_path / "x")
    with pytest.raises(StoreError, match="begun the layer 'carol'"):
        write_case(made[0], "street", tmp_path / "x", CaseOptions(layer="carol"))
    assert main(["verify-case", str(tmp_path / "nothing")]) == 2


def test_a_clip_without_media_and_analysis_has_a_case_of_words(tmp_path: Path) -> None:
    video = {"n_frames": 300, "fps": 30.0, "label": ["Robbery"], "events": [[1.0, 4.5]], "clips": [[]]}
    video |= {"clips_caption": [[]], "events_summary": ["A robbery."], "video_summary": "A robbery."}
    video |= {"events_summary_split": [{"judgement": "A robbery"}], "video_summary_split": {}}
    (tmp_path / "in.json").write_text(json.dumps({"Robbery001": video}))
    store = empty_store(tmp_path)
    take_in(store, get_format("hivau").read(tmp_path / "in.json"), annotator="ann")
    assert main(["export", "--db", str(store.path), "--format", "case", "--out", str(tmp_path / "cases")]) == 0
    folder = tmp_path / "cases" / "Robbery001"
    assert "imported without its video" in page_of(folder).text
    assert "svg" in page_of(folder).tags
    assert verify_case(folder).files == 2


def test_a_spoiled_store_is_told_on_the_page(tmp_path: Path) -> None:
    import sqlite3

    store, _ = make_store(tmp_path)
    with sqlite3.connect(store.path) as db:
        db.execute("DROP TRIGGER history_no_update")
        db.execute("UPDATE history SET reason = 'seen once' WHERE reason = 'seen twice'")
    result = write_case(store, "street", tmp_path / "case", CaseOptions(without_video=True))
    assert "history not intact" in page_of(result.path).text
    assert "was changed after it was written" in result.notes[0]


@pytest.mark.browser
def test_the_page_opens_offline_and_plays(made: tuple[Store, ClipRecord, CaseMade], browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1366, "height": 900}, color_scheme="light")
    messages: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((made[2].path / "index.html").as_uri())
    page.wait_for_function("[...document.querySelectorAll('video')].every((video) => video.readyState > 0)")
    assert page.evaluate("[...document.querySelectorAll('video')].map((video) => video.videoWidth)") == [320, 320]
    assert page.evaluate("document.documentElement.scrollWidth") == 1366
    assert all(url.startswith(("file:", "data:")) for url in asked)
    assert messages == []
    screenshots = Path(__file__).parent / "screenshots"
    screenshots.mkdir(exist_ok=True)
    page.screenshot(path=screenshots / "case.png", full_page=True)
    page.emulate_media(media="print")
    assert page.locator("video").first.is_hidden()
    assert page.locator(".strip img").first.is_visible()
    page.close()
