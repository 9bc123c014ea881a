"""`python -m finetune bundle`: everything in `assets/bundled/`, from nothing but the street world and a seed.

Each stage leaves its state in the work folder; an interrupted run goes on where it was. Stages:
world → tokenizer → language → vision → heatmap → encode → scorer → chat → segmenter → fusion → card.
There are two legs: the first from nothing, the second from its weights on scenes that they have not seen. `--start DIR`
takes the weights in DIR in place of the first leg's.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import InternVLForConditionalGeneration, PreTrainedTokenizerFast

from finetune.backbone import new_backbone, world_texts
from finetune.card import BROAD, REAL, REAL_CLIPS, write_card
from finetune.chat import ChatBatches, ChatJob, train_chat, train_language
from finetune.crew import Crew
from finetune.data import read_data
from finetune.encoded import EncodedWorld
from finetune.evaluate import evaluate
from finetune.familiarity import fit_familiarity
from finetune.fusion import fit_fusion
from finetune.heatmap import train_heatmap
from finetune.legs import leg_of, legs_of, write_legs
from finetune.parallel import spread
from finetune.recipe import HELD_OUT, HELD_OUT_BROAD, BundleRecipe, keep_recipe, second_leg
from finetune.scenes import sample_scene, write_scene, write_world
from finetune.scorer import train_scorer
from finetune.segmenter import train as train_segmenter
from finetune.sight import Sight, encode, load_backbone
from finetune.tokenizer import train_tokenizer
from finetune.vision import VisionJob, label_space, train_vision
from finetune.world import Scenes, WorldCache
from workbench.analysis import score_parts
from workbench.features import dense_pass
from workbench.profiles import BUNDLED
from workbench.stack.backbone import InternVLBackbone
from workbench.stack.familiarity import mean_tokens
from workbench.stack.heatmap import HeatmapConfig, HeatmapDecoder
from workbench.stack.loading import ModelStack, load_module, save_module
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
REGION_GAIN = 20.0
"""From one chosen frame to the next, class maps of the bundled decoder move by 0.07 (standard deviation)."""
MAX_SHARD = "9MB"
"""Files above 10 MB would need LFS on a Space."""


class Bundle:
    """The stages of a leg, each of which finds what the earlier ones left in `work`.

    Raises:
        TrainingError: `work` holds what another recipe, or one from other weights, has left.
    """

    def __init__(self, work: Path, recipe: BundleRecipe) -> None:
        self.work, self.recipe = work, recipe
        work.mkdir(parents=True, exist_ok=True)
        keep_recipe(work / "recipe.json", recipe)
        self.world = WorldCache(work / "world", *recipe.whole)
        self.seen = WorldCache(work / "seen", *recipe.seen, frames=recipe.seen_frames)

    def train(self, out: Path) -> None:
        """All that is learned, then the weights in `out`."""
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
        recipe, start = self.recipe, self._part("backbone")
        labels = label_space(self.work, self.world)
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
        loop, start = self.recipe.chat, self._part("regions")
        config = RegionConfig(backbone.text_dim, base_prompts=2, gain=REGION_GAIN)
        if start is not None:
            config = load_module(start, RegionConfig, RegionEncoder, torch.device("cpu")).config
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
        for measured in (BROAD, REAL, REAL_CLIPS):  # with other weights
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
        assert self.recipe.calibration is not None, "the last leg says what it is calibrated on"
        folder = self._clips("calibration", self.recipe.calibration)
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
        """Evaluate on held-out clips, of the usual and of all views and kinds of events, and write the card."""
        recipe = self.recipe
        crew = Crew(partial(load_bundle, out), recipe.processes) if recipe.processes > 1 else None
        stack = None if crew else load_bundle(out)
        broad = self._clips("broad", HELD_OUT_BROAD)
        evaluate(stack, read_data(broad), out=self.work / BROAD, segmenter=False, crew=crew)
        shutil.copyfile(self.work / BROAD, out / BROAD)
        usual = self._clips("held_out", HELD_OUT)
        metrics = evaluate(stack, read_data(usual), out=self.work / "metrics.json", crew=crew)
        write_card(out, HELD_OUT.seed, metrics.to_document(), broad_seed=HELD_OUT_BROAD.seed)

    def _clips(self, name: str, scenes: Scenes) -> Path:
        """The folder of drawn clips."""
        folder = self.work / name
        if len(list((folder / "truth").glob("*.json"))) < scenes.clips:
            write_world(folder, scenes.clips, scenes.seed, wide=scenes.wide, rich=scenes.rich)
        return folder

    def _follow(self, stage: str, steps: Iterator[int], total: int) -> None:
        with tqdm(total=total, desc=stage) as bar:
            for done in steps:
                bar.update(done - bar.n)  # what earlier sessions did counts
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


def make_bundle(out: Path, work: Path, start: Path | None = None) -> None:
    """Both legs, or the second one from the weights in `start`; `out` gets weights and card."""
    first = start or _weights(Bundle(work / "first", BundleRecipe()))
    last = Bundle(work / "second", second_leg(first))
    last.train(out)
    last.calibrate(out)
    last.measure(out)


def _weights(leg: Bundle) -> Path:
    """The folder of a leg's weights, trained if they are not there."""
    folder = leg.work / "bundled"
    if not (folder / "segmenter" / "config.json").exists():  # written last
        leg.train(folder)
    return folder


def default_work() -> Path:
    """Where the stages leave their state unless told otherwise."""
    return Path(os.environ.get("WORKBENCH_RUNS", "runs")) / "bundle"
