"""The whole way for one clip: analyse, find instances, ask, and write the files of the contract."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.analysis import analyse
from workbench.conversation import MAX_QUESTION_CHARS, Conversation, name_events
from workbench.errors import InputError
from workbench.features import Progress
from workbench.files import replacing, unwritable
from workbench.instances import find_instances
from workbench.peak import peak_rss_mb
from workbench.records import Analysis, Turn
from workbench.render import render_overlay
from workbench.serial import save_analysis, save_heatmaps
from workbench.stack.loading import ModelStack
from workbench.stack.sampler import SamplerName
from workbench.timeline_page import write_timeline_html
from workbench.video import Clip

OUTPUTS = ("analysis.json", "timeline.html", "heatmaps.npz", "overlay.mp4")


@dataclass(frozen=True, slots=True)
class Request:
    """What is wanted of a clip.

    Attributes:
        questions: asked one after another in one dialogue; `judgement`, `description` and `analysis` stand for the
            standard questions.
        instances: find, track and describe who takes part. sampler, n_frames, threshold: see `analyse`.
    """

    questions: tuple[str, ...] = ()
    instances: bool = False
    sampler: SamplerName = "ats"
    n_frames: int | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        for question in self.questions:
            if not question.strip():
                raise InputError("A question is empty; write one, or ask judgement, description or analysis.")
            if not question.isascii() and any("\ud800" <= character <= "\udfff" for character in question):
                raise InputError(f"A question is not readable text ({question!a:.60}); write it in UTF-8.")
            if len(question) > MAX_QUESTION_CHARS:
                raise InputError(f"A question has {len(question)} characters; shorten it to {MAX_QUESTION_CHARS}.")


def carry_out(
    clip: Clip,
    stack: ModelStack,
    request: Request,
    *,
    progress: Progress | None = None,
    on_turn: Callable[[Turn], None] | None = None,
) -> Analysis:
    """Do what `request` asks and return it as one analysis, with the seconds each step took.

    `on_turn` hears of each finished turn of the dialogue.
    """
    analysis = analyse(
        clip,
        stack,
        sampler=request.sampler,
        n_frames=request.n_frames,
        threshold=request.threshold,
        progress=progress,
    )
    began = time.perf_counter()
    name_events(stack, analysis, progress)
    analysis.timings_s["categories"] = time.perf_counter() - began
    if request.instances:
        began = time.perf_counter()
        analysis.instances = find_instances(clip, stack, analysis, progress)
        analysis.timings_s["instances"] = time.perf_counter() - began
    if request.questions:
        began = time.perf_counter()
        _converse(stack, analysis, request.questions, progress, on_turn)
        analysis.timings_s["dialogue"] = time.perf_counter() - began
    analysis.peak_rss_mb = peak_rss_mb()
    return analysis


def _converse(
    stack: ModelStack,
    analysis: Analysis,
    questions: Sequence[str],
    progress: Progress | None,
    on_turn: Callable[[Turn], None] | None,
) -> None:
    conversation = Conversation(stack, analysis)
    for position, question in enumerate(questions):
        if progress:
            progress("dialogue", position / len(questions), None)
        turn = conversation.say(question)
        analysis.dialogue.append(turn)
        if on_turn:
            on_turn(turn)
    if progress:
        progress("dialogue", 1.0, None)


def prepare_folder(path: Path, clip: Path | None = None) -> Path:
    """Make the folder results go to. Raises InputError when that cannot be, or a result would take the clip's place."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{path} cannot be a folder for results ({error.strerror}); name another with --out."
        ) from error
    for name in OUTPUTS:
        if clip is not None and (path / name).exists() and (path / name).samefile(clip):
            raise InputError(f"{clip} lies where a result would be written; name another folder with --out.")
    return path


def write_outputs(
    analysis: Analysis, clip: Clip, folder: Path, *, heatmaps: bool = False, overlay: bool = False
) -> list[Path]:
    """Write `analysis.json`, `timeline.html` and, if wanted, `heatmaps.npz` and `overlay.mp4` into `folder`.

    Each file appears whole or not at all; `analysis.json` comes last, so where it is, the others are. → their paths.

    Raises:
        InputError: the folder takes no files. ClipError: the clip does not decode, or the overlay cannot be written.
    """
    try:
        return _write_outputs(analysis, clip, folder, heatmaps, overlay)
    except OSError as error:
        raise InputError(unwritable(f"The results in {folder}", error, "name another folder with --out")) from error


def _write_outputs(analysis: Analysis, clip: Clip, folder: Path, heatmaps: bool, overlay: bool) -> list[Path]:
    paths = [folder / "timeline.html"]
    began = time.perf_counter()
    write_timeline_html(analysis, clip, paths[0])
    if heatmaps and analysis.heatmaps is not None:
        paths.append(folder / "heatmaps.npz")
        save_heatmaps(analysis.heatmaps, paths[-1])
    if overlay:
        paths.append(folder / "overlay.mp4")
        with replacing(paths[-1]) as temporary:
            render_overlay(clip, analysis, temporary)
    analysis.timings_s["write"] = time.perf_counter() - began
    analysis.peak_rss_mb = peak_rss_mb()
    save_analysis(analysis, folder / "analysis.json")
    return [folder / "analysis.json", *paths]
