"""Training of the components of a run, one after another, on one frozen data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from finetune import tune_heatmap, tune_scorer
from finetune.chat_samples import chat_samples
from finetune.dense import Eye, Seen
from finetune.errors import TrainingError
from finetune.guard import Progress
from finetune.launch import first_then_all, is_first, meet
from finetune.records import TrainingClip
from finetune.snapshot import Snapshot
from finetune.tune_chat import ChatTuning, tune_chat
from finetune.tune_heatmap import HeatmapTuning
from finetune.tune_scorer import ScorerTuning
from finetune.tune_segmenter import SegmenterTuning, tune_segmenter
from workbench.adapters import AdapterInfo
from workbench.stack.backbone import InternVLBackbone
from workbench.stack.familiarity import Familiarity, mean_tokens
from workbench.stack.heatmap import HeatmapDecoder
from workbench.stack.loading import ModelStack
from workbench.stack.modules import save_module
from workbench.stack.regions import RegionEncoder
from workbench.stack.scorer import AnomalyScorer

COMPONENTS = ("heatmap", "scorer", "chat", "segmenter")
"""In the order in which they are trained: the region encoder reads the heatmaps of the tuned decoder."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """The numbers of all recipes; those of the dialogue, if None, are chosen by the size of the backbone.

    `chat_steps` cuts the dialogue's own number of steps short.
    """

    scorer: ScorerTuning = field(default_factory=ScorerTuning)
    heatmap: HeatmapTuning = field(default_factory=HeatmapTuning)
    chat: ChatTuning | None = None
    segmenter: SegmenterTuning = field(default_factory=SegmenterTuning)
    chat_steps: int | None = None

    def of_steps(self, steps: int | None) -> Tuning:
        """The same with so many optimiser steps in every recipe; None leaves each its own number."""
        if steps is None:
            return self
        return dataclasses.replace(
            self,
            scorer=dataclasses.replace(self.scorer, loop=dataclasses.replace(self.scorer.loop, steps=steps)),
            heatmap=dataclasses.replace(self.heatmap, loop=dataclasses.replace(self.heatmap.loop, steps=steps)),
            segmenter=dataclasses.replace(self.segmenter, picture_steps=steps, video_steps=max(1, steps // 3)),
            chat_steps=steps,
        )

    def seeded(self, seed: int) -> Tuning:
        """The same with another seed everywhere."""
        return dataclasses.replace(
            self,
            scorer=dataclasses.replace(self.scorer, loop=dataclasses.replace(self.scorer.loop, seed=seed)),
            heatmap=dataclasses.replace(self.heatmap, loop=dataclasses.replace(self.heatmap.loop, seed=seed)),
            chat=None if self.chat is None else dataclasses.replace(self.chat, seed=seed),
            segmenter=dataclasses.replace(self.segmenter, seed=seed),
        )


@dataclass(slots=True)
class Learned:
    """What a run has learned; None where it did not train. `lora` and `segmenter` are folders."""

    heatmap: HeatmapDecoder | None = None
    scorer: AnomalyScorer | None = None
    familiarity: Familiarity | None = None
    regions: RegionEncoder | None = None
    lora: Path | None = None
    segmenter: Path | None = None


@dataclass(slots=True)
class Workshop:
    """What training of every component needs, and the list of the samples it used.

    Attributes:
        stack: the stack to go on from (its parent adapter applied). bare: loads the backbone without any LoRA.
        parent: the adapter that is applied. folder: of the run. cache: of features, the usual one if None.
    """

    stack: ModelStack
    bare: Any
    parent: AdapterInfo | None
    snapshot: Snapshot
    tuning: Tuning
    folder: Path
    progress: Progress
    seed: int = 0
    cache: Path | None = None
    samples: list[dict[str, Any]] = field(default_factory=list)

    def train(self, components: Sequence[str]) -> Learned:
        """Train the named components in their order.

        Raises:
            TrainingError: the profile lacks a component, or the data cannot teach it.
        """
        learned = Learned()
        if "heatmap" in components:
            learned.heatmap = self._heatmap()
        eye = Eye(self.stack, self.cache)
        if "chat" in components and learned.heatmap is not None:
            eye = self._with_heatmap(learned.heatmap)
        if "scorer" in components:
            learned.scorer = self._scorer(eye)
        if self.stack.familiarity is not None and ("scorer" in components or "heatmap" in components):
            learned.familiarity = self._familiarity(eye)
        if "chat" in components:
            learned.regions = self._chat(eye)
            learned.lora = self.folder / "lora"
        if "segmenter" in components:
            learned.segmenter = self._segmenter()
        return learned

    def _with_heatmap(self, decoder: HeatmapDecoder) -> Eye:
        """The eye that sees class maps of a tuned decoder; its file beside the others keeps their caches apart."""
        folder = self.folder / "decoder"
        if is_first() and not (folder / "model.safetensors").exists():
            save_module(decoder, decoder.config, folder, dtype=torch.float32)
        meet()
        return Eye(dataclasses.replace(self.stack, heatmap=decoder, files=(*self.stack.files, folder)), self.cache)

    def _sides(self) -> dict[str, list[TrainingClip]]:
        shot = self.snapshot
        valid = [*shot.of("valid"), *shot.replay_of("valid")]
        return {"train": shot.of("train"), "replay": shot.replay_of("train"), "valid": valid}

    def _heatmap(self) -> HeatmapDecoder:
        if self.stack.heatmap is None:
            raise TrainingError(f"The profile '{self.stack.profile.name}' has no heatmap decoder to go on from.")
        tuning, eye = self.tuning.heatmap, Eye(self.stack, self.cache)
        for side, clips in self._sides().items():
            for clip in clips:
                self._list("heatmap", clip, side, tune_heatmap.chosen_frames(clip, tuning.per_clip)[0])
        rows = first_then_all(
            lambda: {
                side: tune_heatmap.rows_of(eye, clips, tuning.per_clip, self.progress.count)
                for side, clips in self._sides().items()
            }
        )
        return tune_heatmap.tune_heatmap(
            *(self.stack.heatmap, rows["train"], rows["replay"], rows["valid"], tuning, self.folder),
            share=self.snapshot.replay_share,
            progress=self.progress,
        )

    def _scorer(self, eye: Eye) -> AnomalyScorer:
        if self.stack.scorer is None:
            raise TrainingError(f"The profile '{self.stack.profile.name}' has no scorer to go on from.")
        seen = self._look(eye)
        for side, found in seen.items():
            for one in found:
                self._list("scorer", one.clip, side, one.dense.frame_index.tolist())
        rows = {side: tune_scorer.rows_of(found) for side, found in seen.items()}
        return tune_scorer.tune_scorer(
            *(self.stack.scorer, rows["train"], rows["replay"], rows["valid"], self.tuning.scorer, self.folder),
            share=self.snapshot.replay_share,
            progress=self.progress,
        )

    def _familiarity(self, eye: Eye) -> Familiarity:
        """The footage that was learned from is familiar from now on; else its tuned parts would not be heard."""
        assert self.stack.familiarity is not None
        return self.stack.familiarity.also([mean_tokens(one.dense.features.tokens) for one in self._look(eye)["train"]])

    def _chat(self, eye: Eye) -> RegionEncoder:
        if self.stack.regions is None:
            raise TrainingError(f"The profile '{self.stack.profile.name}' has no region encoder to go on from.")
        seen = self._look(eye)
        new = chat_samples(eye, seen["train"])
        old = chat_samples(eye, seen["replay"])
        share = self.snapshot.replay_share
        if new and old:
            # So many replayed dialogues that they make up their share, spread over all clips.
            wanted = min(len(old), max(1, round(len(new) * share / (1 - share))))
            old = [old[i * len(old) // wanted] for i in range(wanted)]
        valid = chat_samples(eye, seen["valid"])
        for side, samples in (("train", new), ("replay", old), ("valid", valid)):
            self.samples += [{**sample.listed(), "side": side} for sample in samples]
        backbone: InternVLBackbone = self.stack.backbone  # type: ignore[assignment]
        parent = None if self.parent is None else self.parent.path("lora")
        if parent is not None:
            backbone = self.bare()  # the stack's own has the parent's LoRA merged into its weights
        tuning = self.tuning.chat or dataclasses.replace(ChatTuning.fitting(backbone), seed=self.seed)
        tuning = dataclasses.replace(tuning, steps=self.tuning.chat_steps or tuning.steps)
        return tune_chat(
            *(backbone, self.stack.regions, self.stack.profile.layout, [*new, *old], valid, tuning, self.folder),
            parent=parent,
            progress=self.progress,
        )

    def _segmenter(self) -> Path:
        sides = self._sides()
        for side in ("train", "replay"):
            for clip in sides[side]:
                self._list("segmenter", clip, side, clip.drawn_frames())
        start = None if self.parent is None else self.parent.path("segmenter")
        source = self.stack.profile.source
        if start is None and isinstance(source, Path) and (source / "segmenter" / "config.json").is_file():
            start = source / "segmenter"
        if start is None:
            raise TrainingError(
                f"The profile '{self.stack.profile.name}' segments with a published SAM 2.1, which is not trained "
                "here; leave the segmenter out."
            )
        return first_then_all(
            lambda: tune_segmenter(
                *(start, sides["train"], sides["replay"], self.tuning.segmenter, self.folder), progress=self.progress
            )
        )

    def _look(self, eye: Eye) -> dict[str, list[Seen]]:
        """Dense passes of all sides; one process fills the cache, the others read it."""
        tell = self.progress.count
        return first_then_all(lambda: {side: eye.look_at_all(clips, tell) for side, clips in self._sides().items()})

    def _list(self, component: str, clip: TrainingClip, side: str, frames: Sequence[int]) -> None:
        if frames:
            self.samples.append({"component": component, "clip": clip.sha256, "side": side, "frames": list(frames)})
