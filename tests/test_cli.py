"""The command line: what it refuses in one clear line, what it prints, how it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import bad_clips
from tests.sample_records import drawn_analysis
from workbench.cli import EXIT_ERROR, StageBar, main, summary
from workbench.errors import InputError
from workbench.interrupts import listening
from workbench.serial import load_analysis

REPOSITORY = Path(__file__).resolve().parent.parent


def make_empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def make_text(path: Path) -> Path:
    path.write_text("This is no film.\n" * 200)
    return path


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: path, id="missing file"),
        pytest.param(make_empty, id="empty file"),
        pytest.param(make_text, id="text renamed to .mp4"),
        pytest.param(make_folder, id="a folder"),
        pytest.param(bad_clips.sound_only, id="sound only"),
        pytest.param(lambda path: bad_clips.truncated(path, keep=0.5), id="mp4 cut before its index"),
    ],
)
def test_a_file_that_is_no_clip_gets_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], Path]
) -> None:
    path = make(tmp_path / "Straße am Abend.mp4")
    code = main(["analyze", str(path), "--out", str(tmp_path / "out")])
    out, err = capsys.readouterr()
    assert code == EXIT_ERROR
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert path.name in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--profile", "nonsense"], "no profile 'nonsense'"),
        (["--ask", "   "], "question is empty"),
        (["--ask", "x" * 5000], "5000 characters"),
        (["--device", "abacus"], "'abacus' is not a device"),
        (["--frames", "0"], "not 0"),
        (["--threshold", "1.5"], "not 1.5"),
        (["--threshold", "nan"], "not nan"),
    ],
)
def test_a_bad_option_is_named_with_its_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    clip = bad_clips.video(tmp_path / "clip.mp4")
    assert main(["analyze", str(clip), "--out", str(tmp_path / "out"), *options]) == EXIT_ERROR
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_file_in_the_place_of_the_output_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = bad_clips.video(tmp_path / "clip.mp4")
    assert main(["analyze", str(clip), "--out", str(clip)]) == EXIT_ERROR
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["analyse"], ["analyze"], ["analyze", "x.mp4", "--sampler", "dice"]])
def test_a_command_line_that_makes_no_sense_exits_2_with_the_usage(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m workbench" in capsys.readouterr().err


def test_profiles_and_doctor_say_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profiles"]) == 0
    assert capsys.readouterr().out.startswith("bundled: ")
    main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(("ok ", "FIX")) for line in lines)
    told = {line[5:18].strip() for line in lines}
    assert {"Python", "torch", "CUDA", "ffmpeg", "Chromium", "disk", "memory", "weights"} <= told


def test_the_samplers_offered_are_those_of_the_stack() -> None:
    from workbench.cli import SAMPLERS
    from workbench.stack.sampler import METHODS

    assert set(SAMPLERS) == set(METHODS)


def test_the_summary_tells_events_answers_and_files() -> None:
    text = "\n".join(summary(drawn_analysis(), [Path("out/analysis.json")]))
    assert "robbery: 0:18.0 to 0:24.5, score 0.90 at 0:21.0" in text
    assert "Q: Is anything abnormal happening?\nA: Yes. A person takes a bag" in text
    assert "perpetrator 1: person, a person in a red coat, runs to the right" in text
    assert text.endswith("wrote out/analysis.json")


def run(*arguments: str | Path, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "workbench", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_analyze_writes_every_file_of_the_contract(tmp_path: Path) -> None:
    clip = bad_clips.video(tmp_path / "Straße & 100 % <b>.mp4", n_frames=75, size=(322, 242))
    wanted = ["--ask", "judgement", "--ask", "What moves?", "--instances", "--heatmaps", "--overlay"]
    result = run("analyze", clip, *wanted, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "out" / clip.stem
    files = {"analysis.json", "timeline.html", "heatmaps.npz", "overlay.mp4"}
    assert {path.name for path in folder.iterdir()} == files
    assert all(f"wrote out/{clip.stem}/{name}" in result.stdout for name in files)
    analysis = load_analysis(folder / "analysis.json")
    assert analysis.clip.n_frames == len(analysis.frame_score) == 75
    assert [turn.kind for turn in analysis.dialogue] == ["judgement", "free"]
    assert analysis.heatmaps is not None
    assert analysis.heatmaps.heatmap.shape[0] == len(analysis.dense.frame_index)
    assert {"encode", "score", "instances", "dialogue", "write"} <= analysis.timings_s.keys()
    assert analysis.peak_rss_mb > 100


@pytest.mark.slow
@pytest.mark.parametrize("name", ["robbery.mp4", "car_accident.mp4"])
def test_real_footage_runs_through(shared_dir: Path, tmp_path: Path, name: str) -> None:
    result = run(
        "analyze", shared_dir / "data" / "clips" / name, "--out", tmp_path, "--ask", "judgement", "--instances"
    )
    assert result.returncode == 0, result.stderr
    analysis = load_analysis(tmp_path / "analysis.json")
    assert analysis.dialogue[0].answer
    assert float(analysis.dense.score.max() - analysis.dense.score.min()) > 0.1


@pytest.mark.slow
def test_interrupting_ends_quietly_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    clip = bad_clips.video(tmp_path / "long.mp4", n_frames=4000)
    command = [sys.executable, "-m", "workbench", "analyze", str(clip), "--out", str(tmp_path / "out"), "--overlay"]
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "out").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.strip().endswith("interrupted")
    assert "Traceback" not in err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture
def python_hears_interrupts() -> Iterator[None]:
    """Ctrl-C as Python handles it by itself; what a shell runs in the background begins with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("python_hears_interrupts")
def test_an_interrupt_that_is_swallowed_ends_the_command_at_its_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    class Leaving:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    with listening():
        Leaving()
        with pytest.raises(KeyboardInterrupt), StageBar() as bar:
            bar("encode", 0.5, None)
    assert "Traceback" not in capsys.readouterr().err
    with listening():
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), StageBar() as bar:
            bar("encode", 0.5, None)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with listening(), StageBar() as bar:
        bar("encode", 0.5, None)  # what was heard before is forgotten


def test_a_folder_that_cannot_be_made_is_an_input_error(tmp_path: Path) -> None:
    from workbench.workflow import prepare_folder

    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(InputError, match="--out"):
        prepare_folder(blocked / "inside")
