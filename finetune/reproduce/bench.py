"""What the tables share: how much is measured, what was measured already, and clips with their analyses.

Every number is a cell on disk. A run that was stopped goes on where it was; a run with other settings wants another
folder, so that numbers of two settings never meet in one table.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from finetune.data import EvalClip, read_data
from finetune.long import LongForm, write_long
from finetune.scenes import ANOMALIES
from finetune.scenes.write import write_world
from workbench.analysis import analyse
from workbench.errors import InputError
from workbench.features import stack_fingerprint
from workbench.files import replacing
from workbench.records import Analysis
from workbench.stack.backbone import InternVLBackbone
from workbench.stack.loading import ModelStack
from workbench.video import Clip

logger = logging.getLogger(__name__)
Cell = dict[str, Any]
NORMAL_EVERY = 5
"""Every fifth long video is normal, so that a false alarm costs precision."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is drawn, trained and measured. Seeds of the training and of the measured clips never meet.

    Attributes:
        long_videos, long_form: of the sampler table. frame_counts: its N.
        clips: short clips that are spoken of. train_clips: of the trained tables; test_clips of their scorer.
        glimpses, glimpse_frames: scenes and frames of each for the heatmap table, half of them for training.
        heatmap_steps, scorer_steps, language_steps, chat_steps: optimiser steps of every variant.
        chat_batch: dialogues in a step. seeds: trainings of each scorer, to see the spread.
        replicates: of the bootstrap.
    """

    long_videos: int = 25
    long_form: LongForm = field(default_factory=LongForm)
    frame_counts: tuple[int, ...] = (8, 16, 32)
    clips: int = 60
    train_clips: int = 400
    test_clips: int = 100
    glimpses: int = 300
    glimpse_frames: int = 4
    heatmap_steps: int = 250
    scorer_steps: int = 300
    language_steps: int = 150
    chat_steps: int = 300
    chat_batch: int = 6
    seeds: int = 3
    replicates: int = 1000


QUICK = Sizes(
    long_videos=2,
    long_form=LongForm(parts=3, part_s=4.0, fps=8, size=(160, 120)),
    frame_counts=(4, 8),
    clips=2,
    train_clips=6,
    test_clips=4,
    glimpses=6,
    glimpse_frames=2,
    heatmap_steps=3,
    scorer_steps=3,
    language_steps=2,
    chat_steps=2,
    chat_batch=2,
    seeds=1,
    replicates=50,
)
"""Enough to see that every table works; its numbers mean nothing."""


@dataclass(slots=True)
class Table:
    """One table of the report.

    Attributes:
        name: of its cells. title: names the paper's table. claim: what the paper finds. about: how it is measured here.
        rows: column → value; numbers are rounded when written, `NAME_ci95` is a pair and joins the cell of NAME.
        best: column → rows compared by it, the highest is set in bold.
        finding: whether the claim holds here, in a sentence made from the numbers.
    """

    name: str
    title: str
    claim: str
    about: str
    rows: list[Cell]
    best: tuple[str, ...] = ()
    finding: str = ""


class Bench:
    """The stack under test and everything measured of it so far, in `work`.

    Raises:
        InputError: the stack lacks a part the tables are about, or `work` holds cells of other settings.
    """

    def __init__(self, stack: ModelStack, sizes: Sizes, work: Path, *, seed: int = 0) -> None:
        if None in (stack.scorer, stack.heatmap, stack.regions) or not isinstance(stack.backbone, InternVLBackbone):
            raise InputError(
                f"The profile '{stack.profile.name}' has no trained scorer, heatmap decoder and region encoder on an "
                "InternVL backbone, which the tables take apart; use --profile bundled."
            )
        self.stack, self.sizes, self.work, self.seed = stack, sizes, work, seed
        settings = {"sizes": asdict(sizes), "seed": seed, "stack": stack_fingerprint(stack)}
        path = work / "settings.json"
        text = json.dumps(settings, indent=2) + "\n"
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise InputError(f"{work} holds numbers of other settings or weights; give another --work, or delete it.")
        work.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def cell(self, table: str, key: str, compute: Callable[[], Cell]) -> Cell:
        """The cell of a table, computed if it is not on disk yet."""
        path = self.work / "cells" / table / f"{key}.json"
        if not path.exists():
            logger.info("%s: %s", table, key)
            value = compute()
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(value), encoding="utf-8")
        found: Cell = json.loads(path.read_text(encoding="utf-8"))
        return found

    def long_clips(self) -> list[EvalClip]:
        """The long videos, drawn where they are missing; categories in turn, some of them normal."""
        folder, names = self.work / "long", set()
        for number in range(self.sizes.long_videos):
            seed = 700_000 + 1000 * self.seed + number
            turn = number - number // NORMAL_EVERY
            normal = number % NORMAL_EVERY == NORMAL_EVERY - 1
            category = "normal" if normal else ANOMALIES[turn % len(ANOMALIES)]
            found = [*(folder / "clips").glob(f"*_{seed:06d}.mp4")]
            if not found:
                logger.info("long video %s of %s: %s", number + 1, self.sizes.long_videos, category)
                found = [write_long(folder, seed, category, self.sizes.long_form)]
            names.add(found[0].stem)
        return [clip for clip in read_data(folder) if clip.name in names]

    def short_clips(self) -> list[EvalClip]:
        """Short scenes with their truth."""
        folder = self.work / "clips"
        if len([*(folder / "truth").glob("*.json")]) < self.sizes.clips:
            size = self.sizes.long_form.size
            write_world(folder, self.sizes.clips, 750_000 + 1000 * self.seed, size=size)
        return read_data(folder)

    def analyses(self, stack: ModelStack, clips: Sequence[EvalClip], cache: str) -> Iterator[tuple[EvalClip, Analysis]]:
        """Each clip with its analysis; features are kept in `cache`, one for stacks that see alike."""
        for clip in clips:
            with Clip.open(clip.path) as video:
                yield clip, analyse(video, stack, cache_dir=self.work / "cache" / cache)
