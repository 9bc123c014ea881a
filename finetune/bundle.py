"""`python -m finetune bundle`: everything in `assets/bundled/`, from nothing but the street world and a seed.

Each stage leaves its state in the work folder; an interrupted run goes on where it was. Stages:
world → tokenizer → language → vision → heatmap → encode → scorer → chat → segmenter → fusion → card.
A second leg (`--start DIR`) goes on from the weights of an earlier one and shows them scenes, and kinds of events, that
they have not seen.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import InternVLForConditionalGeneration, PreTrainedTokenizerFast

from finetune.backbone import new_backbone, world_texts
from finetune.card import REAL, REAL_CLIPS, UNTAUGHT, leg_of, legs_of, write_card, write_legs
from finetune.chat import ChatBatches, ChatJob, train_chat, train_language
from finetune.crew import Crew
from finetune.data import read_data
from finetune.encoded import EncodedWorld
from finetune.evaluate import evaluate
from finetune.familiarity import fit_familiarity
from finetune.fusion import fit_fusion
from finetune.heatmap import train_heatmap
from finetune.loop import LoopConfig
from finetune.parallel import spread
from finetune.scenes import sample_scene, write_scene, write_world
from finetune.scorer import train_scorer
from finetune.segmenter import SegmenterRecipe
from finetune.segmenter import train as train_segmenter
from finetune.sight import Sight, encode, load_backbone
from finetune.tokenizer import train_tokenizer
from finetune.vision import VisionJob, VisionPhase, label_space, train_vision
from finetune.world import WorldCache
from workbench.analysis import score_parts
from workbench.features import dense_pass
from workbench.profiles import BUNDLED
from workbench.stack.backbone import InternVLBackbone
from workbench.stack.familiarity import mean_tokens
from workbench.stack.heatmap import HeatmapConfig, HeatmapDecoder
from workbench.stack.loading import ModelStack, save_module
from workbench.stack.regions import RegionConfig, RegionEncoder
from workbench.stack.scorer import AnomalyScorer, UrdmuConfig
from workbench.video import Clip

logger = logging.getLogger(__name__)
SAMPLES = (
    ("robbery", "plaza"),
    ("fighting", "plaza"),
    ("collision", "street"),
    ("fire", "parking"),
    ("falling", "avenue"),
    ("abandoned object", "shop"),
    ("normal", "avenue"),
)
"""Category and view of the sample clips."""
SAMPLES_SEED = 800_000
MAX_SHARD = "9MB"
"""Files above 10 MB would need LFS on a Space."""


@dataclass(frozen=True, slots=True)
class BundleRecipe:
    """Every number of the recipe; the card repeats them."""

    start: Path | None = None
    """Bundle to go on from; its tokenizer and language are kept. None: from nothing."""
    clips: int = 2400
    """Clips seen as a whole: the scorer, the dialogue and the heatmap decoder learn from them."""
    seen_clips: int = 12_000
    seen_frames: int = 14
    """The vision tower learns from glimpses of many more."""
    wide: bool = True
    """Whether mast, dashboard and all-round cameras are among the views."""
    rich: bool = False
    """Whether the kinds of events of `finetune.scenes.rich`, and its normal life, are among the scenes."""
    seed: int = 0
    seen_seed: int = 100_000
    processes: int = 2
    vision: tuple[VisionPhase, ...] = (
        VisionPhase(
            "vision_people", LoopConfig(steps=8000, lr=8e-4, seed=1, save_every=100, parts=2), batch=40, kept=64
        ),
        VisionPhase("vision_whole", LoopConfig(steps=1200, lr=3e-4, seed=2, save_every=50, parts=2), 32, kept=None),
    )
    language: LoopConfig = field(default_factory=lambda: LoopConfig(steps=300, lr=1e-3))
    heatmap: LoopConfig = field(default_factory=lambda: LoopConfig(steps=500, lr=2e-3))
    scorer: LoopConfig = field(default_factory=lambda: LoopConfig(steps=800, lr=3e-4, weight_decay=1e-4))
    chat: LoopConfig = field(default_factory=lambda: LoopConfig(steps=1000, lr=1e-3, save_every=20, parts=2))
    chat_batch: int = 12
    segmenter: tuple[SegmenterRecipe, ...] = (
        SegmenterRecipe(n_scenes=700, picture_steps=1430, video_steps=400, save_every=200),
        SegmenterRecipe(seed=1, n_scenes=2600, picture_steps=7500, video_steps=2600, lr=8e-4, save_every=200),
        SegmenterRecipe(
            seed=2, first_scene=40_000, n_scenes=3000, picture_steps=8000, video_steps=2800, lr=8e-4, save_every=200
        ),
    )
    """Stretches, each of which goes on from the one before; one stretch of 12000 + 4000 steps came out worse."""
    calibration_clips: int = 200
    calibration_seed: int = 500_000
    held_out_clips: int = 200
    held_out_seed: int = 960_000


def second_leg(start: Path) -> BundleRecipe:
    """The recipe that goes on from `start`: whole pictures of richer scenes, then everything that reads them."""
    return BundleRecipe(
        start=start,
        rich=True,
        clips=900,
        seed=20_000,
        seen_clips=4000,
        seen_seed=30_000,
        vision=(
            VisionPhase("vision_heads", LoopConfig(steps=120, lr=3e-3, seed=3, parts=2), 40, kept=64, frozen=True),
            VisionPhase("vision_whole", LoopConfig(steps=750, lr=2e-4, seed=4, save_every=50, parts=2), 32, kept=None),
        ),
        heatmap=LoopConfig(steps=200, lr=1e-3, seed=1),
        scorer=LoopConfig(steps=400, lr=3e-4, weight_decay=1e-4, seed=1),
        chat=LoopConfig(steps=600, lr=8e-4, save_every=20, parts=2, seed=1),
        segmenter=(),
    )


class Bundle:
    """The stages, each of which finds what the earlier ones left."""

    def __init__(self, work: Path, recipe: BundleRecipe) -> None:
        self.work, self.recipe = work, recipe
        work.mkdir(parents=True, exist_ok=True)
        breadth = {"wide": recipe.wide, "rich": recipe.rich}
        self.world = WorldCache(work / "world", clips=recipe.clips, seed=recipe.seed, **breadth)
        self.seen = WorldCache(
            work / "seen",
            clips=recipe.seen_clips,
            seed=recipe.seen_seed,
            frames=recipe.seen_frames,
            **breadth,
        )

    def run(self, out: Path) -> None:
        """All stages, then the weights in `out`."""
        self._follow("world", self.world.build(), len(self.world))
        self._follow("seen", self.seen.build(), len(self.seen))
        backbone = self._backbone()
        self._vision(backbone)
        heatmap = self._heatmap(backbone)
        sight = Sight(self.work / "sight")
        sight.save(backbone, heatmap)
        encoded = EncodedWorld(self.work / "encoded", self.world)
        encode(encoded, sight, self.recipe.processes)
        scorer = self._scorer(backbone, encoded)
        regions = self._chat(backbone, sight, encoded, scorer)
        self.save(out, backbone, scorer, heatmap, regions)
        self._segmenter(out)
        self.calibrate(out)
        self.measure(out)

    def _backbone(self) -> InternVLBackbone:
        """The backbone of the start, or a new one that has read what the street world says."""
        if self.recipe.start is not None:
            return load_backbone(self.recipe.start / "backbone")
        texts = world_texts([self.world.read(i).truth for i in range(len(self.world))])
        backbone = new_backbone(self._tokenizer(texts), self.recipe.seed)
        self._language(backbone, texts)
        return backbone

    def _part(self, name: str) -> Path | None:
        """The folder of a part to go on from."""
        return None if self.recipe.start is None else self.recipe.start / name

    def _tokenizer(self, texts: list[str]) -> PreTrainedTokenizerFast:
        folder = self.work / "tokenizer"
        if not folder.exists():
            train_tokenizer(texts).save_pretrained(folder)
        return PreTrainedTokenizerFast.from_pretrained(folder)

    def _language(self, backbone: InternVLBackbone, texts: list[str]) -> None:
        train_language(backbone, texts, self.recipe.language, self.work)

    def _vision(self, backbone: InternVLBackbone) -> None:
        labels = label_space(self.work, self.world)
        recipe = self.recipe
        start = self._part("backbone")
        train_vision(
            backbone, VisionJob(self.work, self.seen, labels, recipe.vision, recipe.seed, recipe.processes, start)
        )

    def _heatmap(self, backbone: InternVLBackbone) -> HeatmapDecoder:
        config = HeatmapConfig(backbone.feature_dim, backbone.text_dim, tap_count=len(backbone.tap_blocks), hidden=256)
        return train_heatmap(backbone, self.world, config, self.recipe.heatmap, self.work, start=self._part("heatmap"))

    def _scorer(self, backbone: InternVLBackbone, encoded: EncodedWorld) -> AnomalyScorer:
        config = UrdmuConfig(input_dim=backbone.feature_dim, hidden=256, heads=4, head_dim=64, ffn=256)
        return train_scorer(
            encoded, range(len(encoded)), config, self.recipe.scorer, self.work, start=self._part("scorer")
        )

    def _chat(
        self, backbone: InternVLBackbone, sight: Sight, encoded: EncodedWorld, scorer: AnomalyScorer
    ) -> RegionEncoder:
        with torch.inference_mode():
            features = [torch.from_numpy(encoded.cls(i).astype(np.float32))[None] for i in range(len(encoded))]
            scores = [scorer(row).scores[0].numpy() for row in features]
        batches = ChatBatches(encoded, scores, range(len(encoded)), BUNDLED.layout, BUNDLED.n_frames)
        config = RegionConfig(backbone.text_dim, base_prompts=2)
        loop, start = self.recipe.chat, self._part("regions")
        job = ChatJob(sight.backbone, batches, config, loop, self.work, self.recipe.chat_batch, start)
        return train_chat(backbone, job, processes=self.recipe.processes)

    def save(
        self,
        out: Path,
        backbone: InternVLBackbone,
        scorer: AnomalyScorer,
        heatmap: HeatmapDecoder,
        regions: RegionEncoder,
    ) -> None:
        """Write every part but the segmenter, floats as float16."""
        folder = out / "backbone"
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*"):
            old.unlink()
        halved: Any = InternVLForConditionalGeneration(backbone.model.config)
        halved.load_state_dict(backbone.model.state_dict())
        halved.to(torch.float16).save_pretrained(folder, max_shard_size=MAX_SHARD)
        backbone.tokenizer.save_pretrained(folder)
        save_module(scorer, scorer.config, out / "scorer")
        save_module(heatmap, heatmap.config, out / "heatmap")
        save_module(regions, regions.config, out / "regions")
        earlier = [] if self.recipe.start is None else legs_of(self.recipe.start)
        write_legs(out, [*earlier, leg_of(self.recipe)])
        for measured in (UNTAUGHT, REAL, REAL_CLIPS):  # with other weights
            (out / measured).unlink(missing_ok=True)

    def _segmenter(self, out: Path) -> None:
        """The last stretch's segmenter; without stretches, that of the start."""
        before = self._part("segmenter")
        for number, stretch in enumerate(self.recipe.segmenter, 1):
            folder = self.work / "segmenter" / str(number)
            if not (folder / "config.json").exists():  # written last
                start = None if before is None else str(before)
                spread(train_segmenter, 1, replace(stretch, start=start), folder)
                shutil.rmtree(folder / "cache")  # gigabytes of drawn frames
            before = folder
        assert before is not None, "a recipe from nothing has at least one stretch"
        (out / "segmenter").mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "model.safetensors"):
            shutil.copyfile(before / name, out / "segmenter" / name)

    def calibrate(self, out: Path) -> None:
        """Fit familiarity and fusion on clips of their own, and write both."""
        folder = self._clips("calibration", self.recipe.calibration_clips, self.recipe.calibration_seed)
        stack = load_bundle(out)
        dense, labels = [], []
        for found in read_data(folder):
            assert found.truth is not None
            with Clip.open(found.path) as clip:
                dense.append(dense_pass(clip, stack, cache_dir=self.work / "features"))
                labels.append(np.asarray(found.truth.frame_label)[dense[-1].frame_index])
        stack.familiarity = fit_familiarity([mean_tokens(one.features.tokens) for one in dense])
        save_module(stack.familiarity, stack.familiarity.config, out / "familiarity", dtype=torch.float32)
        parts = [score_parts(stack, one) for one in dense]
        fit_fusion(parts, labels, [one.time_s for one in dense]).save(out / "fusion.json")

    def measure(self, out: Path) -> None:
        """Evaluate on held-out clips and write the card."""
        folder = self._clips("held_out", self.recipe.held_out_clips, self.recipe.held_out_seed)
        crew = Crew(partial(load_bundle, out), self.recipe.processes) if self.recipe.processes > 1 else None
        stack = None if crew else load_bundle(out)
        metrics = evaluate(stack, read_data(folder), out=self.work / "metrics.json", crew=crew)
        write_card(out, self.recipe.held_out_seed, metrics.to_document())

    def _clips(self, name: str, clips: int, seed: int) -> Path:
        folder = self.work / name
        if len(list((folder / "truth").glob("*.json"))) < clips:
            write_world(folder, clips=clips, seed=seed)
        return folder

    def _follow(self, stage: str, steps: Iterator[int], total: int) -> None:
        for done in tqdm(steps, total=total, desc=stage):
            if done % 50 == 0 or done == total:
                with (self.work / "stages.jsonl").open("a") as log:
                    log.write(json.dumps({"stage": stage, "done": done, "of": total}) + "\n")


def load_bundle(out: Path) -> ModelStack:
    """The stack whose weights lie in `out`."""
    return ModelStack.load(replace(BUNDLED, source=out))


def write_samples(folder: Path) -> list[Path]:
    """Render the sample clips of the page: one of each story worth seeing, with its ground truth."""
    clips = []
    for number, (category, view) in enumerate(SAMPLES):
        seed = SAMPLES_SEED + number
        scene = sample_scene(seed, category=category, view=view, seconds=(8, 10), size=(640, 480), fps=15)
        clips.append(write_scene(scene, folder, crf=27))
    return clips


def default_work(*, second: bool = False) -> Path:
    """Where the stages leave their state unless told otherwise."""
    return Path(os.environ.get("WORKBENCH_RUNS", "runs")) / ("bundle-second" if second else "bundle")
