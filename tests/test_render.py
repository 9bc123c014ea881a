"""Videos out: overlay.mp4 and the copy for the browser, read back frame by frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import drawn
from workbench.errors import ClipError, InputError
from workbench.exports.cuts import cut_span
from workbench.masks import encode_rle
from workbench.records import Analysis, DenseScores, Event, Heatmaps, Instance
from workbench.render import heat_at, render_overlay, transcode_proxy
from workbench.strip import ScoreStrip, clock
from workbench.video import Clip


def analysed(clip: Clip) -> Analysis:
    """An analysis with one event in the middle third, heat on the left and an instance on the right."""
    index = np.arange(0, clip.n_frames, 5)
    times = clip.times_s[index]
    third = clip.info.duration_s / 3
    score = np.where((times >= third) & (times < 2 * third), 0.9, 0.1).astype(np.float32)
    heat = np.zeros((len(index), 4, 8), np.float16)
    heat[:, 1:, :2] = 1
    width, height = clip.info.width, clip.info.height
    box = (0.6 * width, 0.3 * height, 0.9 * width, 0.9 * height)
    mask = np.zeros((height, width), bool)
    mask[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = True
    frames = range(0, clip.n_frames, 2)
    seen = Instance(1, "perpetrator", "person", "", "", 0, clip.n_frames - 1, dict.fromkeys(frames, box), {})
    seen.masks_rle.update(dict.fromkeys(frames, encode_rle(mask)))
    return Analysis(
        clip=clip.info,
        profile="bundled",
        adapter=None,
        dense=DenseScores(5, index, times, score, {}),
        frame_score=np.repeat(score, 5)[: clip.n_frames],
        sampled_frames=[],
        sampler="ats",
        threshold=0.5,
        events=[Event(third, 2 * third, 1.5 * third, 0.9)],
        instances=[seen],
        heatmaps=Heatmaps(index, heat),
    )


def test_the_overlay_keeps_frames_and_rate_and_shows_heat_instances_and_scores(tmp_path: Path) -> None:
    source = drawn.write_clip(tmp_path / "a.mp4", n_frames=40, options={"bf": "2"})
    with Clip.open(source) as clip:
        shares: list[float] = []
        render_overlay(clip, analysed(clip), tmp_path / "out" / "overlay.mp4", progress=shares.append)
        plain = clip.frame(20)
    assert shares[-1] == 1
    assert sorted(shares) == shares
    with Clip.open(tmp_path / "out" / "overlay.mp4") as overlay:
        assert overlay.n_frames == 40
        assert overlay.info.fps == pytest.approx(25)
        assert overlay.info.width == 192
        assert overlay.info.height == 108 + 48
        assert [drawn.number_in(rgb[:108, :]) for _, rgb in overlay.frames([1, 12, 39])] == [1, 12, 39]
        shown = overlay.frame(20)
        changed = np.abs(shown[:108].astype(int) - plain).max(2)
        assert changed[60:100, 5:35].min() > 20  # heat
        assert changed[60:90, 125:165].mean() > 20  # mask
        assert changed[40:100, 70:100].mean() < 8  # neither
        assert np.median(shown[112:]) < 60  # the strip is dark
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["overlay.mp4"]


def test_the_overlay_shows_masks_between_tracked_frames_that_are_far_apart(tmp_path: Path) -> None:
    source = drawn.write_clip(tmp_path / "a.mp4", n_frames=97)
    with Clip.open(source) as clip:
        found = analysed(clip)
        [seen] = found.instances
        box, mask = seen.boxes_xyxy[0], seen.masks_rle[0]
        far = replace(seen, boxes_xyxy=dict.fromkeys((0, 32, 64, 96), box), masks_rle=dict.fromkeys((0, 32, 64), mask))
        render_overlay(clip, replace(found, instances=[far], heatmaps=None), tmp_path / "overlay.mp4")
        plain = {index: rgb.astype(int) for index, rgb in clip.frames(range(0, 80, 3))}
    with Clip.open(tmp_path / "overlay.mp4") as overlay:
        for index, shown in overlay.frames(plain):
            assert np.abs(shown[60:90, 125:165] - plain[index][60:90, 125:165]).mean() > 20


def test_the_same_overlay_and_cut_are_the_same_bytes_again(tmp_path: Path) -> None:
    source = drawn.write_clip(tmp_path / "a.mp4", n_frames=60)
    with Clip.open(source) as clip:
        for name in ("first", "second"):
            render_overlay(clip, analysed(clip), tmp_path / name / "overlay.mp4")
            cut_span(clip, 0.4, 2.0, tmp_path / name / "cut.mp4")
    for name in ("overlay.mp4", "cut.mp4"):
        first, second = ((tmp_path / run / name).read_bytes() for run in ("first", "second"))
        assert first == second
        assert b" threads=1 " in first  # with several, x264 only nearly always gives the same


def test_variable_rate_is_resampled_to_what_was_on_screen(tmp_path: Path) -> None:
    path, truth_s = drawn.write_variable_rate(tmp_path / "v.mp4")
    with Clip.open(path) as clip:
        transcode_proxy(clip, tmp_path / "proxy.mp4")
        duration_s = clip.info.duration_s
    with Clip.open(tmp_path / "proxy.mp4") as proxy:
        assert not proxy.info.variable_rate
        assert proxy.info.duration_s == pytest.approx(duration_s, abs=1 / proxy.info.fps)
        shown = {drawn.number_in(rgb) for _, rgb in proxy.frames(range(proxy.n_frames))}
        assert shown == set(range(len(truth_s)))  # short ones too
        for i in range(0, proxy.n_frames, 7):
            middle_s = proxy.times_s[i] + 0.5 / proxy.info.fps
            expected = int(np.searchsorted(truth_s, middle_s, side="right")) - 1
            assert drawn.number_in(proxy.frame(i)) == expected


@pytest.mark.parametrize(("size", "rotation"), [((65, 49), 0), ((64, 48), 90)])
def test_any_clip_becomes_one_a_browser_plays(tmp_path: Path, size: tuple[int, int], rotation: int) -> None:
    import av

    path = drawn.write_clip(
        tmp_path / "odd.mp4", lambda i: drawn.marked(i, size), 5, pix_fmt="yuv444p", rotation=rotation
    )
    with Clip.open(path) as clip:
        transcode_proxy(clip, tmp_path / "proxy.mp4")
        upright = (clip.info.width // 2 * 2, clip.info.height // 2 * 2)
    with av.open(str(tmp_path / "proxy.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == upright
        assert len(container.streams) == 1
    data = (tmp_path / "proxy.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # plays before it is all there


def test_one_frame_and_no_evidence_still_make_an_overlay(tmp_path: Path) -> None:
    with Clip.open(drawn.write_clip(tmp_path / "one.mp4", n_frames=1)) as clip:
        analysis = analysed(clip)
        analysis.heatmaps, analysis.instances, analysis.events = None, [], []
        render_overlay(clip, analysis, tmp_path / "o.mp4")
    with Clip.open(tmp_path / "o.mp4") as overlay:
        assert overlay.n_frames == 1


def test_a_stopped_overlay_leaves_nothing_behind(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(share: float) -> None:
        if share > 0.5:
            raise Stopped

    with Clip.open(drawn.write_clip(tmp_path / "a.mp4", n_frames=20)) as clip, pytest.raises(Stopped):
        render_overlay(clip, analysed(clip), tmp_path / "o.mp4", progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_what_cannot_be_written_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Clip.open(drawn.write_clip(tmp_path / "a.mp4", n_frames=2)) as clip:
        with pytest.raises(ClipError, match="cannot be written"):
            transcode_proxy(clip, tmp_path / "file" / "proxy.mp4")
        with pytest.raises(InputError, match="long side"):
            render_overlay(clip, analysed(clip), tmp_path / "o.mp4", long_side=4)


def test_heat_between_dense_frames_is_in_proportion() -> None:
    maps = Heatmaps(np.array([0, 10]), np.stack([np.zeros((2, 2)), np.ones((2, 2))]).astype(np.float16))
    found = [heat_at(maps, index) for index in (0, 4, 10, 99)]
    assert [float(heat.mean()) for heat in found if heat is not None] == pytest.approx([0, 0.4, 1, 1])
    assert heat_at(None, 3) is None


def test_the_strip_shows_the_curve_the_event_and_the_playhead(tmp_path: Path) -> None:
    with Clip.open(drawn.write_clip(tmp_path / "a.mp4", n_frames=60)) as clip:
        strip = ScoreStrip(analysed(clip), 400, 90)
    early, late = strip.draw(0.1), strip.draw(2.3)
    assert early.shape == (90, 400, 3)
    playhead = [int(np.flatnonzero((picture[60:80] > 200).all((0, 2)))[0]) for picture in (early, late)]
    assert playhead[0] < 40
    assert playhead[1] > 360
    warm = (late[..., 0].astype(int) - late[..., 2] > 100).any(0)
    inside = np.flatnonzero(warm)
    assert 400 / 3 - 6 < inside.min() < 400 / 3 + 6
    assert 800 / 3 - 6 < inside.max() < 800 / 3 + 6
    assert (late != early).any()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00.0"), (75.25, "01:15.2"), (59.99, "00:59.9"), (3661.5, "1:01:01.5"), (0.3, "00:00.3")],
)
def test_the_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
