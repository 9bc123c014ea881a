"""The pieces of work that need the models, each a `Job`: what is sent where a GPU is lent, and how long it takes.

A work is called as `work(stack, report, …)`. Its arguments are plain records and clips, which open their own file
wherever they are; features of an analysis come from the cache on the disk when they were left behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.records import Analysis, Event, Instance, Turn, TurnKind
from workbench.ui.gpu import LONGEST_S, Job, seconds_for
from workbench.ui.runs import Report
from workbench.ui.stacks import Choice, Stacks

if TYPE_CHECKING:
    from workbench.annotation import Annotated, Options
    from workbench.prompting import Clicks
    from workbench.stack.loading import ModelStack
    from workbench.video import Clip

TRACKED_FRAMES = 300
"""Frames that may have to be decoded to follow an instance through an event, or to look at it."""


@dataclass(frozen=True)
class Works:
    """Makes jobs. features_dir: where features are kept; the user's own cache if None."""

    stacks: Stacks
    features_dir: Path | None

    def analyse(self, choice: Choice | None, clip: Clip) -> Job:
        """Score a clip and name its events. → `Analysis`."""
        return self._job(choice, analysed, clip, self.features_dir, frames=clip.n_frames, answers=3, of=clip)

    def find_instances(self, choice: Choice | None, clip: Clip, analysis: Analysis) -> Job:
        """Who takes part in the events. → list of `Instance`."""
        count = len(analysis.events) * TRACKED_FRAMES
        return self._job(
            choice, found, clip, analysis, self.features_dir, frames=count, answers=len(analysis.events), of=clip
        )

    def answer(
        self, choice: Choice | None, clip: Clip, analysis: Analysis, turns: Sequence[Turn], asked: tuple[str, TurnKind]
    ) -> Job:
        """The next answer of a dialogue; what is written so far comes as the partial result of progress. → text."""
        return self._job(choice, answered, clip, analysis, tuple(turns), asked, self.features_dir, answers=1, of=clip)

    def mask(self, choice: Choice | None, clip: Clip, clicks: Clicks, instance: Instance | None) -> Job:
        """The mask that clicks mean. → (bool `[H, W]`, estimated IoU)."""
        return self._job(choice, masked, clip, clicks, instance, frames=1, of=clip)

    def follow(self, choice: Choice | None, clip: Clip, event: Event, frame: int, base: Instance, by: Any) -> Job:
        """An instance followed from a mask, or from clicks (with what they refine), through an event. → `Instance`."""
        return self._job(choice, followed, clip, event, frame, base, by, frames=TRACKED_FRAMES, answers=1, of=clip)

    def describe(self, choice: Choice | None, clip: Clip, instance: Instance) -> Job:
        """An instance described anew; its role stays. → `Instance`."""
        return self._job(choice, described, clip, instance, frames=TRACKED_FRAMES, answers=1, of=clip)

    def annotate(self, choice: Choice | None, store: Path, options: Options, only: Sequence[int] | None) -> Job:
        """Captions and texts of clips in the store, as one job of the longest kind. → `Annotated`."""
        job = self._job(choice, annotated, store, options, only, self.features_dir)
        return replace(job, seconds=LONGEST_S)

    def _job(
        self, choice: Choice | None, work: Any, *arguments: Any, frames: int = 0, answers: int = 0,
        of: Clip | None = None,
    ) -> Job:  # fmt: skip
        choice = choice or self.stacks.first
        profile, adapter = self.stacks.parts_of(choice)
        pixels = of.info.width * of.info.height if of else 1280 * 720
        return Job(
            work, arguments, seconds_for(profile, frames=frames, answers=answers, pixels=pixels), choice, adapter
        )


def analysed(stack: ModelStack, report: Report, clip: Clip, cache_dir: Path | None) -> Analysis:
    """See `Works.analyse`."""
    from workbench.analysis import analyse
    from workbench.conversation import name_events

    analysis = analyse(clip, stack, progress=report, cache_dir=cache_dir)
    name_events(stack, analysis, report)
    return analysis


def found(stack: ModelStack, report: Report, clip: Clip, analysis: Analysis, cache_dir: Path | None) -> list[Instance]:
    """See `Works.find_instances`."""
    from workbench.instances import find_instances

    return find_instances(clip, stack, with_features(analysis, clip, stack, cache_dir), report)


def answered(
    stack: ModelStack,
    report: Report,
    clip: Clip,
    analysis: Analysis,
    turns: tuple[Turn, ...],
    asked: tuple[str, TurnKind],
    cache_dir: Path | None,
) -> str:
    """See `Works.answer`."""
    from workbench.conversation import Conversation

    conversation = Conversation(stack, with_features(analysis, clip, stack, cache_dir))
    conversation.resume(turns)
    said = ""
    for piece in conversation.ask(*asked):
        said += piece
        report("answering", 0.0, said)
    return conversation.turns[-1].answer


def masked(
    stack: ModelStack, _: Report, clip: Clip, clicks: Clicks, instance: Instance | None
) -> tuple[np.ndarray, float]:
    """See `Works.mask`."""
    from workbench.prompting import prompted_mask

    return prompted_mask(clip, stack, clicks, instance)


def followed(
    stack: ModelStack,
    report: Report,
    clip: Clip,
    event: Event,
    frame: int,
    base: Instance,
    by: np.ndarray | tuple[Clicks, Instance | None],
) -> Instance:
    """See `Works.follow`. An instance that nobody has described yet is described too."""
    from workbench import prompting

    report("looking", 0.0)
    mask = by if isinstance(by, np.ndarray) else prompting.prompted_mask(clip, stack, *by)[0]
    tracked = prompting.follow(clip, stack, event, frame, mask, report)
    instance = prompting.with_masks(base, tracked)
    if instance.appearance or instance.motion:
        return instance
    report("describing", 0.0)
    return prompting.described(clip, stack, instance, keep_role=bool(base.masks_rle))


def described(stack: ModelStack, report: Report, clip: Clip, instance: Instance) -> Instance:
    """See `Works.describe`."""
    from workbench import prompting

    report("describing", 0.0)
    return prompting.described(clip, stack, instance, keep_role=True)


def annotated(
    stack: ModelStack,
    report: Report,
    path: Path,
    options: Options,
    only: Sequence[int] | None,
    cache_dir: Path | None,
) -> Annotated:
    """See `Works.annotate`. Opens the store itself: a connection to SQLite must not cross a fork."""
    from workbench.annotation import annotate_library
    from workbench.corrections.taxonomy import open_store

    store = open_store(path)
    try:
        return annotate_library(store, stack, options, only=only, progress=report, cache_dir=cache_dir)
    finally:
        store.close()


def with_features(analysis: Analysis, clip: Clip, stack: ModelStack, cache_dir: Path | None) -> Analysis:
    """The analysis with the features that were left behind, from the cache (computed anew if they are gone there)."""
    from workbench.features import dense_pass

    if analysis.features is not None:
        return analysis
    return replace(analysis, features=dense_pass(clip, stack, cache_dir=cache_dir).features)
