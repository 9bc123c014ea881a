"""What the page decides, without a browser: sessions, runs, what each part is told, the flows over a real stack."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from gradio.utils import get_upload_folder

from tests import drawn
from tests.sample_records import drawn_analysis, drawn_instance
from workbench.errors import ClipError, InputError
from workbench.masks import encode_rle
from workbench.records import Instance
from workbench.stack.loading import ModelStack
from workbench.ui import library, panels, review, stack_menu, timeline, viewer
from workbench.ui.media import truth_of
from workbench.ui.runs import Progress
from workbench.ui.services import Services
from workbench.ui.session import Review
from workbench.ui.stacks import Choice, Option
from workbench.ui.toasts import told_without_folder
from workbench.video import Clip


@pytest.fixture(scope="module")
def clip_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn.write_clip(tmp_path_factory.mktemp("ui") / "marked.mp4", n_frames=80)


@pytest.fixture
def shown(clip_path: Path) -> Iterator[Review]:
    with Clip.open(clip_path) as clip:
        yield Review(clip, clip_path.name, clip_path)


@pytest.fixture
def services(tmp_path: Path, tiny_stack: ModelStack) -> Iterator[Services]:
    made = Services(work_dir=tmp_path, samples_dir=tmp_path, load=lambda _: tiny_stack)
    yield made
    made.close()


def picture_of(uri: str) -> np.ndarray:
    """RGB, or RGBA where the picture has it, of a data URI."""
    raw = np.frombuffer(base64.b64decode(uri.split(",", 1)[1]), np.uint8)
    picture = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED)
    return cv2.cvtColor(picture, cv2.COLOR_BGRA2RGBA if picture.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def test_a_message_does_not_tell_where_uploads_lie() -> None:
    lies = f"{get_upload_folder()}/1a2b/my clip.mp4"
    told = told_without_folder(ClipError(f"{lies} is not a video this program can read."))
    assert told == "my clip.mp4 is not a video this program can read."
    assert told_without_folder(ClipError("/data/b.mp4 is empty."), "/data/b.mp4") == "b.mp4 is empty."


class TestTimeline:
    def test_payload_names_exact_frames_and_is_strict_json(self, shown: Review) -> None:
        analysis = drawn_analysis(n_frames=80, fps=25.0)
        data = timeline.payload("sid", shown, analysis)
        assert json.loads(timeline.encode(data)) == data
        assert len(data["score"]) == len(data["time_s"]) == len(analysis.dense.score)
        assert set(data["parts"]) == {"scorer", "motion"}
        for mark, frame in zip(data["sampled"], analysis.sampled_frames, strict=True):
            assert mark == {"frame": frame, "t": round(float(shown.clip.times_s[frame]), 4)}
        for event in data["events"]:
            assert event["peak_frame"] == shown.clip.index_at(event["peak_s"] + 1e-3)

    def test_values_that_are_not_finite_never_reach_the_page(self, shown: Review) -> None:
        analysis = drawn_analysis(n_frames=80, fps=25.0)
        analysis.dense.score[1] = np.nan
        assert timeline.payload("sid", shown, analysis)["score"][1] == 0

    def test_long_curves_are_thinned_but_keep_their_ends(self) -> None:
        kept = timeline.thin(100_000)
        assert len(kept) <= timeline.MAX_POINTS
        assert (kept[0], kept[-1]) == (0, 99_999)
        assert timeline.thin(5).tolist() == [0, 1, 2, 3, 4]

    def test_while_it_runs_only_the_motion_part_is_claimed(self, shown: Review) -> None:
        partial = SimpleNamespace(time_s=np.array([0.0, 0.5]), score=np.array([0.1, 0.9]))
        data = timeline.partial_payload("sid", shown, partial)
        assert data["parts"] == {"motion": [0.1, 0.9]}
        assert data["score"] == []

    def test_text_from_outside_cannot_become_markup(self) -> None:
        assert "<" not in timeline.encode({"category": "</script><img src=x onerror=alert(1)>"})

    def test_uniform_frames_are_centres_of_equal_parts(self) -> None:
        assert timeline.uniform_frames(100, 4) == [12, 37, 62, 87]
        assert timeline.uniform_frames(0, 4) == []


class TestViewer:
    @pytest.mark.parametrize(
        ("request_", "frame"),
        [
            ({"frame": 17}, 17),
            ({"frame": 999}, 79),
            ({"frame": -3}, 0),
            ({"t": 1.0}, 25),
            ({"t": 0.999}, 24),
            ({"t": 99}, 79),
        ],
    )
    def test_a_request_means_one_frame(self, shown: Review, request_: dict, frame: int) -> None:
        assert viewer.resolve(shown, request_) == frame

    @pytest.mark.parametrize("request_", [{}, {"frame": "x"}, {"t": None}, {"t": float("nan")}, {"frame": [1]}])
    def test_a_senseless_request_is_refused(self, shown: Review, request_: dict) -> None:
        with pytest.raises(InputError, match="by its number or its time"):
            viewer.resolve(shown, request_)

    def test_the_reply_holds_the_very_frame(self, shown: Review) -> None:
        reply = viewer.frame_reply(shown, {"frame": 37})
        assert reply["time_s"] == shown.clip.times_s[37]
        sent = picture_of(reply["image"])
        assert drawn.number_in(sent) == 37
        assert (sent == shown.clip.frame(37)).all()
        assert (reply["heat"], reply["masks"], reply["instances"], reply["score"]) == (None, None, [], None)

    def test_a_picture_is_only_ever_made_smaller(self, shown: Review) -> None:
        small = picture_of(viewer.frame_reply(shown, {"frame": 5, "width": 96})["image"])
        assert small.shape == (54, 96, 3)
        assert picture_of(viewer.frame_reply(shown, {"frame": 5, "width": 9999})["image"]).shape == (108, 192, 3)

    def test_cold_places_stay_clear(self) -> None:
        heat = np.zeros((8, 8), np.float32)
        heat[1:4, 1:4] = 1
        picture = viewer.heat_picture(heat)
        assert picture[-1, -1, 3] == 0
        assert picture[:, :, 3].max() == 255

    def test_instances_are_drawn_near_the_frames_they_were_tracked_in(self, shown: Review) -> None:
        mask = np.zeros((108, 192), bool)
        mask[20:60, 30:70] = True
        tracked = Instance(
            3, "victim", "person", "", "", 40, 60, {40: (30, 20, 70, 60), 60: (40, 20, 80, 60)}, {40: encode_rle(mask)}
        )
        shown.analysis = drawn_analysis(n_frames=80, fps=25.0)
        shown.analysis.instances = [tracked]
        marks, masks = viewer.instance_layers(shown, 42, 192)
        assert marks == [{"id": 3, "box": [30.0, 20.0, 70.0, 60.0], "label": "3 victim", "colour": "#56B4E9"}]
        assert masks is not None
        assert ((masks[..., 3] > 0) == mask).all()
        assert viewer.instance_layers(shown, 50, 192) == ([], None)

    def test_an_instance_tracked_at_a_stride_stays_on_the_page(self, shown: Review) -> None:
        assert viewer.viewer_payload("sid", shown)["hold"] == 6
        boxes = dict.fromkeys((0, 32, 64), (30.0, 20.0, 70.0, 60.0))
        shown.analysis = drawn_analysis(n_frames=80, fps=25.0)
        shown.analysis.instances = [Instance(3, "victim", "person", "", "", 0, 64, boxes, {})]
        assert all(viewer.instance_layers(shown, frame, 192)[0] for frame in range(80))
        assert viewer.viewer_payload("sid", shown)["hold"] == 16

    def test_the_viewer_forgets_its_frames_when_the_overlays_change(self, shown: Review) -> None:
        versions = [viewer.viewer_payload("sid", shown)["version"]]
        shown.analysis = drawn_analysis(n_frames=80, fps=25.0)
        shown.analysis.instances = []
        versions.append(viewer.viewer_payload("sid", shown)["version"])
        shown.analysis.instances = [drawn_instance()]
        versions.append(viewer.viewer_payload("sid", shown)["version"])
        assert len(set(versions)) == 3


class TestPanels:
    def test_every_string_from_outside_is_escaped(self, shown: Review) -> None:
        evil = "<img src=x onerror=alert(1)>"
        shown.name = evil
        shown.analysis = drawn_analysis(n_frames=80, fps=25.0)
        shown.analysis.warnings = [evil + '"']
        shown.analysis.events = [
            type(e)(e.start_s, e.end_s, e.peak_s, e.peak_score, evil) for e in shown.analysis.events
        ]
        pages = [panels.clip_html(shown)]
        options = [Option(Choice(evil), evil, evil), Option(Choice(evil), evil, "", evil)]
        menu = stack_menu.menu_html(options, Choice(""))
        pages += [
            panels.progress_html(Progress(evil, 0.5)),
            panels.progress_html(None, evil),
            stack_menu.header_html(evil, evil, menu),
        ]
        assert all("<img" not in page for page in pages)
        assert all("&lt;img" in page for page in pages)

    def test_empty_states_say_what_to_do(self, shown: Review) -> None:
        assert "appear here" in panels.sampled_html(None, "")
        assert "No clip open" in panels.clip_html(None)
        shown.analysis = drawn_analysis(n_frames=80, fps=25.0)
        shown.analysis.events = []
        assert "above threshold" in panels.clip_html(shown)

    @pytest.mark.parametrize(
        ("n", "text"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (16, "16th"), (21, "21st")]
    )
    def test_ordinals(self, n: int, text: str) -> None:
        assert panels.ordinal(n) == text


class TestLibrary:
    def test_only_samples_can_be_picked(self, tmp_path: Path) -> None:
        drawn.write_clip(tmp_path / "one.mp4", n_frames=5)
        assert library.sample_path(tmp_path, "one").name == "one.mp4"
        for name in ("two", "../one", "", "/etc/passwd"):
            with pytest.raises(InputError, match="no sample"):
                library.sample_path(tmp_path, name)

    def test_samples_carry_truth_and_broken_files_are_left_out(self, tmp_path: Path) -> None:
        drawn.write_clip(tmp_path / "fight.mp4", n_frames=25)
        (tmp_path / "broken.mp4").write_bytes(b"no video")
        truth = {"fps": 25, "events": [{"start_frame": 5, "end_frame": 10, "category": "fighting"}]}
        (tmp_path / "fight.json").write_text(json.dumps(truth))
        [sample] = library.read_samples(tmp_path)
        assert (sample.name, sample.title, sample.duration_s) == ("fight", "fighting", 1.0)
        assert truth_of(tmp_path / "fight.mp4") == [(0.2, 0.4, "fighting")]
        assert "No sample clips" in library.samples_html([])

    @pytest.mark.parametrize("beside", ['{"camera": "north"}', "[]", "not JSON", '{"fps": 0, "events": [{}]}', "\x00"])
    def test_what_a_camera_writes_beside_a_clip_is_no_truth_and_no_fault(
        self, clip_path: Path, tmp_path: Path, beside: str
    ) -> None:
        shutil.copy(clip_path, tmp_path / "cam.mp4")
        (tmp_path / "cam.json").write_text(beside)
        [sample] = library.read_samples(tmp_path)
        assert sample.name == "cam"
        assert truth_of(tmp_path / "cam.mp4") == []


class TestFlows:
    def test_a_clip_is_shown_first_then_its_curve_then_everything(self, services: Services, clip_path: Path) -> None:
        session = services.sessions.create()
        views = list(review.open_and_analyse(services, session, clip_path))
        assert views[0].review_changed
        assert views[0].progress is not None
        assert views[-1].progress is None
        assert session.require_analysis().clip.n_frames == 80
        lengths = [len(view.curve["time_s"]) for view in views if view.curve is not None]
        assert lengths[0] == 0
        assert lengths == sorted(lengths), "what is known of the curve stays while later stages run"
        assert views[-1].curve is not None
        assert len(views[-1].curve["score"]) == len(session.require_analysis().dense.score)

    def test_a_bad_clip_leaves_the_page_as_it_was(self, services: Services, clip_path: Path, tmp_path: Path) -> None:
        session = services.sessions.create()
        list(review.open_and_analyse(services, session, clip_path))
        before = session.review
        bad = tmp_path / "text.mp4"
        bad.write_text("no film")
        with pytest.raises(ClipError, match=r"text\.mp4"):
            list(review.open_and_analyse(services, session, bad))
        assert session.review is before
        assert before is not None
        assert before.analysis is not None

    def test_cancel_brings_the_clip_before_back(self, services: Services, clip_path: Path, tmp_path: Path) -> None:
        session = services.sessions.create()
        list(review.open_and_analyse(services, session, clip_path))
        before = session.review
        other = drawn.write_clip(tmp_path / "other.mp4", drawn.moving_square, n_frames=200)
        flow = review.open_and_analyse(services, session, other)
        assert next(flow).review is not before
        next(flow)
        assert session.run is not None
        session.run.cancel()
        assert list(flow)[-1].note == "cancelled"
        assert session.review is before

    def test_a_newer_clip_takes_the_page_and_cancel_returns_to_the_last_analysed_one(
        self, services: Services, clip_path: Path, tmp_path: Path
    ) -> None:
        session = services.sessions.create()
        list(review.open_and_analyse(services, session, clip_path))
        analysed = session.review
        paths = [drawn.write_clip(tmp_path / f"{k}.mp4", drawn.moving_square, n_frames=100) for k in range(2)]
        older, newer = (review.open_and_analyse(services, session, path) for path in paths)
        next(older)
        next(older)
        second = next(newer).review
        assert [view.review for view in older if view.review_changed] == []
        assert session.review is second
        next(newer)
        assert session.run is not None
        session.run.cancel()
        assert list(newer)[-1].review is analysed

    def test_two_sessions_keep_their_own_clips(self, services: Services, clip_path: Path, tmp_path: Path) -> None:
        other = drawn.write_clip(tmp_path / "other.mp4", drawn.moving_square, n_frames=30)
        one, two = services.sessions.create(), services.sessions.create()
        for session, path in ((one, clip_path), (two, other)):
            list(review.open_and_analyse(services, session, path))
        assert one.require_review().clip.n_frames == 80
        assert two.require_review().clip.n_frames == 30
        assert services.conversation(one) is not services.conversation(two)
