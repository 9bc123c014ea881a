"""The clip: exact times, exact frames, upright pictures, and errors a person can act on."""

from __future__ import annotations

import os
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests import drawn
from workbench.errors import ClipError, InputError
from workbench.video import Clip, dense_stride

SHARED = Path(os.environ.get("WORKBENCH_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def numbers(clip: Clip) -> list[int]:
    """The numbers drawn into all frames, in the order of one pass."""
    return [drawn.number_in(rgb) for batch in clip.dense(1) for rgb in batch.rgb]


CODECS = [
    pytest.param("a.mp4", {"options": {"bf": "3"}}, id="h264 with b-frames"),
    pytest.param("a.mp4", {"options": {"bf": "3"}, "gop": 250}, id="h264, one group of pictures"),
    pytest.param("a.mp4", {"options": {"x264-params": "open-gop=1:bframes=3"}, "gop": 8}, id="h264, open groups"),
    pytest.param("a.mkv", {"options": {"bf": "2"}}, id="matroska"),
    pytest.param("a.ts", {"options": {"bf": "2"}}, id="transport stream, first time not 0"),
    pytest.param("a.mpg", {"codec": "mpeg2video", "options": {"bf": "2"}, "gop": 8}, id="program stream"),
    pytest.param("a.avi", {"codec": "mpeg4", "options": {"bf": "2"}}, id="mpeg4 avi"),
    pytest.param("a.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}, id="mjpeg avi"),
    pytest.param("a.webm", {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "9"}}, id="vp8"),
    pytest.param("a.webm", {"codec": "libvpx-vp9", "options": {"cpu-used": "8"}}, id="vp9"),
    pytest.param("a.gif", {"codec": "gif", "pix_fmt": "rgb8"}, id="gif"),
    pytest.param("a.h264", {"options": {"bf": "2"}, "container_format": "h264"}, id="raw stream without times"),
    pytest.param("a.mjpg", {"codec": "mjpeg", "pix_fmt": "yuvj420p", "container_format": "mpjpeg"}, id="no seeking"),
    pytest.param("a.m4v", {"codec": "mpeg4", "options": {"bf": "2"}, "container_format": "m4v"}, id="raw mpeg4"),
    pytest.param("a.mp4", {"pix_fmt": "yuv420p10le"}, id="10 bit"),
    pytest.param("a.mkv", {"codec": "ffv1", "pix_fmt": "gray"}, id="grey"),
]


@pytest.mark.parametrize(("name", "how"), CODECS)
def test_every_frame_is_found_in_one_pass_and_at_random(tmp_path: Path, name: str, how: dict) -> None:
    with Clip.open(drawn.write_clip(tmp_path / name, n_frames=50, **how)) as clip:
        assert clip.info.n_frames == clip.n_frames == len(clip.times_s) == 50
        assert clip.info.fps == pytest.approx(25)
        np.testing.assert_allclose(clip.times_s, np.arange(50) / 25, atol=1e-3)
        assert numbers(clip) == list(range(50))
        order = np.random.default_rng(0).permutation(50)
        assert [drawn.number_in(clip.frame(int(i))) for i in order] == order.tolist()
        assert [(i, drawn.number_in(rgb)) for i, rgb in clip.frames([40, 3, 4, 17, 3])] == [
            (3, 3), (4, 4), (17, 17), (40, 40),
        ]  # fmt: skip


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_frame_rate_keeps_the_time_of_every_frame(tmp_path: Path, suffix: str) -> None:
    path, truth_s = drawn.write_variable_rate(tmp_path / f"vfr{suffix}")
    with Clip.open(path) as clip:
        np.testing.assert_allclose(clip.times_s, truth_s, atol=1e-9)
        assert clip.info.variable_rate
        assert numbers(clip) == list(range(len(truth_s)))
        for i in (0, 1, 30, 59):
            assert clip.index_at(truth_s[i]) == i
            assert drawn.number_in(clip.frame(clip.index_at(truth_s[i] + 0.015))) == i
        assert clip.index_at(-5) == 0
        assert clip.index_at(1e6) == 59


def test_an_edit_list_hides_its_frames_and_time_starts_at_zero(tmp_path: Path) -> None:
    with Clip.open(drawn.write_edit_list(tmp_path / "cut.mp4")) as clip:
        shown = numbers(clip)
        assert shown == list(range(15, 60))  # 0.6 s at 25 frames a second were cut away
        assert clip.times_s[0] == 0
        assert clip.info.warnings == ()
        assert [drawn.number_in(clip.frame(i)) for i in (0, 44, 7)] == [15, 59, 22]


@pytest.mark.parametrize("rate", [25, Fraction(30000, 1001)])
@pytest.mark.parametrize("start_s", [0.31, 0.45, 0.72])
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_clip_trimmed_between_key_frames_is_whole(
    tmp_path: Path, start_s: float, rate: int | Fraction, suffix: str
) -> None:
    with Clip.open(drawn.write_edit_list(tmp_path / f"trimmed{suffix}", start_s, 1.1, rate)) as clip:
        assert clip.info.duration_s == pytest.approx(1.1, abs=0.2)
        assert clip.info.warnings == ()


@pytest.mark.parametrize("share", [0.75, 0.85, 0.97])
def test_a_trimmed_clip_whose_file_ends_early_is_told_of(tmp_path: Path, share: float) -> None:
    path = drawn.write_edit_list(tmp_path / "trimmed.mp4", 0.31, 1.1)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with Clip.open(path) as clip:
        assert [("ends early" in warning) for warning in clip.info.warnings] == [True]


def test_times_start_at_zero_whatever_the_container_says(tmp_path: Path) -> None:
    pts = [5000 + 40 * i for i in range(20)]
    path = drawn.write_clip(tmp_path / "late.mkv", n_frames=20, pts=pts, time_base=Fraction(1, 1000))
    with Clip.open(path) as clip:
        assert clip.times_s[0] == 0
        assert clip.info.duration_s == pytest.approx(0.8, abs=0.01)
        assert clip.info.warnings == ()


@pytest.mark.parametrize(
    ("rotation", "mirror", "corner"),
    [(90, False, "bottom left"), (180, False, "bottom right"), (-90, False, "top right"), (0, True, "top right")],
)
def test_frames_are_upright(tmp_path: Path, rotation: int, mirror: bool, corner: str) -> None:
    def paint(_: int) -> np.ndarray:
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:12, :16] = (250, 10, 10)
        return picture

    path = drawn.write_clip(tmp_path / "r.mp4", paint, n_frames=3, rotation=rotation, mirror=mirror)
    with Clip.open(path) as clip:
        rgb = clip.frame(0)
        upright = (48, 64) if rotation in (90, -90) else (64, 48)
        assert (clip.info.width, clip.info.height) == upright
        assert rgb.shape == (upright[1], upright[0], 3)
        rows, columns = slice(None, 6), slice(None, 6)
        y = rows if corner.startswith("top") else slice(-6, None)
        x = columns if corner.endswith("left") else slice(-6, None)
        assert rgb[y, x, 0].min() > 200
        assert rgb[..., 0].mean() < 60
        batch = next(clip.dense(1))
        assert batch.motion_pair.shape[3] / batch.motion_pair.shape[2] == pytest.approx(
            upright[0] / upright[1], rel=0.03
        )


@pytest.mark.parametrize("size", [(63, 47), (17, 200), (16, 16), (1280, 34)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    path = drawn.write_clip(tmp_path / "o.mkv", lambda i: drawn.marked(i, size), 4, codec="ffv1", pix_fmt="bgr0")
    with Clip.open(path) as clip:
        assert clip.frame(2).shape == (size[1], size[0], 3)
        np.testing.assert_array_equal(clip.frame(2), drawn.marked(2, size))
        assert next(clip.dense()).motion_pair.shape[1:3] == (2, 96)


def test_transparent_parts_of_a_gif_lie_on_black(tmp_path: Path) -> None:
    from PIL import Image

    picture = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
    picture.paste((255, 255, 255, 255), (0, 0, 20, 30))
    picture.save(tmp_path / "t.gif", save_all=True, append_images=[picture.rotate(180)], duration=100, loop=0)
    with Clip.open(tmp_path / "t.gif") as clip:
        assert clip.n_frames == 2
        assert clip.frame(0)[15, 5].tolist() == [255, 255, 255]
        assert clip.frame(0)[15, 35].tolist() == [0, 0, 0]


def test_a_single_frame_is_a_clip(tmp_path: Path) -> None:
    with Clip.open(drawn.write_clip(tmp_path / "one.mp4", n_frames=1)) as clip:
        assert clip.times_s.tolist() == [0.0]
        assert clip.info.duration_s > 0
        assert clip.info.fps > 0
        batches = list(clip.dense())
        assert len(batches) == 1
        np.testing.assert_array_equal(batches[0].motion_pair[0, 0], batches[0].motion_pair[0, 1])


def test_a_very_large_picture_is_read_small(tmp_path: Path) -> None:
    picture = np.full((4320, 7680, 3), 90, np.uint8)
    path = drawn.write_clip(tmp_path / "8k.mkv", lambda _: picture, 3, codec="mjpeg", pix_fmt="yuvj420p")
    with Clip.open(path) as clip:
        batch = next(clip.dense(1, long_side=320))
        assert batch.rgb.shape == (3, 180, 320, 3)
        assert abs(int(batch.rgb.mean()) - 90) < 4
        # 99.5 MB a picture: batches shrink to stay below 256 MB
        assert len(next(clip.dense(1)).index) == 2


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_truncated_file_is_read_as_far_as_it_goes(tmp_path: Path, share: float, suffix: str) -> None:
    with Clip.open(drawn.write_truncated(tmp_path / f"cut{suffix}", share, suffix=suffix)) as clip:
        assert 120 * share * 0.7 < clip.n_frames < 120 * share * 1.3
        assert len(clip.info.warnings) == 1
        assert "ends early" in clip.info.warnings[0]
        assert str(clip.n_frames) in clip.info.warnings[0]
        shown, meant = numbers(clip), [round(25 * t) for t in clip.times_s]
        assert meant[:-1] == list(range(clip.n_frames - 1))  # the file may hold a picture that others before it need
        cut = [i for i in range(clip.n_frames) if shown[i] != meant[i]]
        assert [shown[i] for i in cut] == [i - 1 for i in cut][:1]  # where it was cut the picture before stays
        assert drawn.number_in(clip.frame(clip.n_frames - 1)) == shown[-1]


def test_a_damaged_middle_leaves_the_rest_usable_and_both_ways_of_reading_agree(tmp_path: Path) -> None:
    with Clip.open(drawn.write_damaged(tmp_path / "d.avi")) as clip:
        shown = [rgb for batch in clip.dense(1) for rgb in batch.rgb]
        assert len(shown) == clip.n_frames
        for i in (clip.n_frames - 1, 0, clip.n_frames // 2):
            np.testing.assert_array_equal(clip.frame(i), shown[i])


def _text(path: Path) -> Path:
    path.write_text("This is not a video.\n" * 50)
    return path


def _empty(path: Path) -> Path:
    path.touch()
    return path


def _no_frames(path: Path) -> Path:
    data = drawn.write_clip(path, n_frames=5).read_bytes()
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    path.write_bytes(data[:start] + bytes(end - start) + data[end:])
    return path


def _playlist(path: Path) -> Path:
    drawn.write_clip(path.with_name("real.mp4"), n_frames=3)
    path.write_text("ffconcat version 1.0\nfile real.mp4\n")
    return path


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("missing.mp4", lambda path: path, "does not exist"),
        ("folder.mp4", lambda path: path.mkdir() or path, "folder"),
        ("empty.mp4", _empty, "empty"),
        ("text.mp4", _text, "not a video"),
        ("text.txt", _text, "text or a playlist"),
        ("list.ffconcat", _playlist, "playlist"),
        ("sound.m4a", drawn.write_audio_only, "no video stream"),
        ("zeros.mp4", _no_frames, "no frame in it can be decoded"),
    ],
)
def test_what_is_not_a_clip_is_refused_in_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, make, says: str
) -> None:
    path = make(tmp_path / name)
    with pytest.raises(ClipError, match=says) as caught:
        Clip.open(path)
    message = str(caught.value)
    assert name in message
    assert "\n" not in message
    assert message.endswith(".")
    assert capfd.readouterr().err == ""  # the codec library's own noise stays away from the terminal


def test_names_may_hold_anything(tmp_path: Path) -> None:
    path = drawn.write_clip(tmp_path / "plain.mp4", n_frames=3)
    odd = path.rename(tmp_path / "Überfall 视频 %03d #1.mp4")
    with Clip.open(odd) as clip:
        assert clip.n_frames == 3
        assert clip.info.path == str(odd)


def test_the_hash_is_that_of_the_content(tmp_path: Path) -> None:
    import hashlib

    path = drawn.write_clip(tmp_path / "a.mp4", n_frames=3)
    with Clip.open(path) as clip:
        assert clip.info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("n_frames", "stride"), [(1, 1), (63, 1), (128, 2), (500, 7), (1024, 16), (100_000, 16)])
def test_dense_stride(n_frames: int, stride: int) -> None:
    assert dense_stride(n_frames) == stride


def test_dense_frames_come_in_batches_with_a_partner_a_twelfth_of_a_second_earlier(tmp_path: Path) -> None:
    path = drawn.write_clip(tmp_path / "a.mp4", n_frames=50, rate=24)
    with Clip.open(path) as clip:
        batches = list(clip.dense(10, batch=2))
        assert [b.index.tolist() for b in batches] == [[0, 10], [20, 30], [40]]
        np.testing.assert_allclose(batches[1].time_s, [20 / 24, 30 / 24])
        for batch in batches:
            for index, pair in zip(batch.index, batch.motion_pair, strict=True):
                pictures = [drawn.number_in(np.repeat(grey[..., None], 3, 2)) for grey in pair]
                assert pictures == [max(0, index - 2), index]
        np.testing.assert_allclose(np.concatenate([b.gap_s for b in batches]), [0, 1 / 12, 1 / 12, 1 / 12, 1 / 12])


def test_a_batch_says_how_far_apart_the_pictures_of_its_pairs_are(tmp_path: Path) -> None:
    pts = [0, 200, 400, 5000, 5200]
    path = drawn.write_clip(tmp_path / "a.mkv", n_frames=5, pts=pts, time_base=Fraction(1, 1000))
    with Clip.open(path) as clip:
        np.testing.assert_allclose(next(clip.dense(1)).gap_s, [0, 0.2, 0.2, 4.6, 0.2], atol=1e-6)


def test_dense_refuses_a_stride_of_zero(tmp_path: Path) -> None:
    with Clip.open(drawn.write_clip(tmp_path / "a.mp4", n_frames=3)) as clip, pytest.raises(InputError, match="stride"):
        next(clip.dense(0))


def test_frames_out_of_range_are_refused(tmp_path: Path) -> None:
    with Clip.open(drawn.write_clip(tmp_path / "a.mp4", n_frames=3)) as clip:
        for index in (-1, 3):
            with pytest.raises(ClipError, match="frames 0 to 2"):
                clip.frame(index)


def test_threads_may_share_a_clip(tmp_path: Path) -> None:
    wrong: list[tuple[int, int]] = []
    with Clip.open(drawn.write_clip(tmp_path / "a.mp4", n_frames=60, options={"bf": "2"})) as clip:

        def look(seed: int) -> None:
            for i in np.random.default_rng(seed).integers(0, 60, 25):
                seen = drawn.number_in(clip.frame(int(i)))
                if seen != i:
                    wrong.append((int(i), seen))

        threads = [threading.Thread(target=look, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_reader_that_stops_early_leaves_no_open_file(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    path = drawn.write_clip(tmp_path / "a.mp4", n_frames=60)
    with Clip.open(path) as clip:
        for source in (clip.dense(1, batch=1), clip.frames(range(60)), clip.pictures((64, 36))):
            next(source)
            source.close()
        clip.frame(3)
    assert not [file for file in psutil.Process().open_files() if file.path == str(path)]


@pytest.mark.skipif(not (SHARED / "data/clips").is_dir(), reason="the shared real clips are not beside this checkout")
@pytest.mark.parametrize(("name", "n_frames"), [("robbery.mp4", 2730), ("car_accident.mp4", 120)])
def test_real_clips_are_frame_accurate(name: str, n_frames: int) -> None:
    with Clip.open(SHARED / "data/clips" / name) as clip:
        assert clip.n_frames == n_frames
        truth = {
            int(i): rgb
            for batch in clip.dense(30, long_side=160)
            for i, rgb in zip(batch.index, batch.rgb, strict=True)
        }
        for i in np.random.default_rng(1).permutation(sorted(truth))[:12]:
            np.testing.assert_array_equal(clip.frame(int(i), long_side=160), truth[int(i)])
