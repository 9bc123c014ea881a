"""`python -m finetune bundle`: everything in `assets/bundled/`, from nothing but the street world and a seed.

Each stage leaves its state in the work folder; an interrupted run goes on where it was. Stages:
world → tokenizer → language → vision → heatmap → encode → scorer → chat → segmenter → fusion → card.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import InternVLConfig, InternVLForConditionalGeneration, PreTrainedTokenizerFast

from finetune.card import write_card
from finetune.chat import ChatBatches, train_chat, train_language
from finetune.data import read_data
from finetune.dialogues import instance_answer
from finetune.encoded import EncodedWorld
from finetune.evaluate import evaluate
from finetune.fusion import fit_fusion
from finetune.heatmap import train_heatmap
from finetune.loop import LoopConfig, fit
from finetune.pretrain import LabelSpace, PretrainHeads, initialise_positions, pretrain_loss
from finetune.scenes import sample_scene, write_scene, write_world
from finetune.scorer import train_scorer
from finetune.segmenter import HELD_OUT_SEED, SegmenterRecipe
from finetune.segmenter import train as train_segmenter
from finetune.tokenizer import IMAGE_TOKEN, train_tokenizer
from finetune.world import WorldCache
from workbench.analysis import score_parts
from workbench.features import dense_pass
from workbench.profiles import BUNDLED
from workbench.prompts import CLASS_PROMPTS, INSTANCE_QUESTION, STANDARD_QUESTIONS
from workbench.stack.backbone import InternVLBackbone
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
class VisionPhase:
    """One stretch of the tower's pre-training; `kept` patches of each frame are seen, all if None."""

    name: str
    loop: LoopConfig
    batch: int
    kept: int | None


@dataclass(frozen=True, slots=True)
class BundleRecipe:
    """Every number of the recipe; the card repeats them."""

    clips: int = 1200
    told_clips: int = 800
    """Of these so many are encoded, for the scorer and the dialogue."""
    seed: int = 0
    vision: tuple[VisionPhase, ...] = (
        VisionPhase("vision_first", LoopConfig(steps=800, lr=1.2e-3, warmup=0.05), batch=32, kept=None),
        VisionPhase("vision_people", LoopConfig(steps=1100, lr=1e-3, seed=1, save_every=100), batch=40, kept=80),
        VisionPhase("vision_whole", LoopConfig(steps=100, lr=2e-4, seed=2), batch=32, kept=None),
    )
    language: LoopConfig = field(default_factory=lambda: LoopConfig(steps=200, lr=1e-3))
    heatmap: LoopConfig = field(default_factory=lambda: LoopConfig(steps=200, lr=2e-3))
    scorer: LoopConfig = field(default_factory=lambda: LoopConfig(steps=800, lr=3e-4, weight_decay=1e-4))
    chat: LoopConfig = field(default_factory=lambda: LoopConfig(steps=900, lr=1e-3))
    chat_batch: int = 12
    segmenter: SegmenterRecipe = field(default_factory=lambda: SegmenterRecipe(threads=2))
    calibration_clips: int = 60
    calibration_seed: int = 500_000
    held_out_clips: int = 80
    held_out_seed: int = HELD_OUT_SEED


VISION = {
    "hidden_size": 192,
    "num_hidden_layers": 8,
    "num_attention_heads": 3,
    "intermediate_size": 768,
    "image_size": [224, 224],
    "patch_size": [14, 14],
    "use_mean_pooling": False,
    "layer_scale_init_value": 1.0,
}
TEXT = {
    "model_type": "qwen2",
    "hidden_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 768,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}


def new_backbone(tokenizer: PreTrainedTokenizerFast, seed: int) -> InternVLBackbone:
    """The bundled backbone with random weights."""
    torch.manual_seed(seed)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    image_token: Any = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    text = TEXT | {"vocab_size": len(tokenizer), "eos_token_id": end, "pad_token_id": tokenizer.pad_token_id}
    config = InternVLConfig(
        vision_config=VISION,
        text_config=text,
        # A frame is 16 tokens instead of InternVL's 64 at this size: sixteen frames then cost what four would.
        downsample_ratio=0.25,
        image_seq_length=16,
        image_token_id=image_token,
        tie_word_embeddings=False,
    )
    backbone = InternVLBackbone(InternVLForConditionalGeneration(config), tokenizer, device=torch.device("cpu"))
    initialise_positions(backbone)
    return backbone


def world_texts(truths: list[dict]) -> list[str]:
    """All dialogues of the world as the language model will read them, and the fixed prompts."""
    layout = BUNDLED.layout
    texts = [*STANDARD_QUESTIONS.values(), INSTANCE_QUESTION, *CLASS_PROMPTS["normal"], *CLASS_PROMPTS["abnormal"]]
    for truth in truths:
        rows = [(qa["question"], qa["answer"]) for qa in truth["dialogue"]]
        rows += [(INSTANCE_QUESTION, instance_answer(entity)) for entity in truth["entities"]]
        rows += [(STANDARD_QUESTIONS["caption"], clip["caption"]) for clip in truth["clips"]]
        for event in truth["events"]:
            rows += [(STANDARD_QUESTIONS[kind], event[kind]) for kind in ("judgement", "description", "analysis")]
        texts += [f"<|im_start|>user\n{layout.first_turn(question)}{answer}<|im_end|>" for question, answer in rows]
        texts += [layout.frame.format(i=1, time=f"{s / 2:.1f}") for s in range(0, 20, 7)]
    return texts


class Bundle:
    """The stages, each of which finds what the earlier ones left."""

    def __init__(self, work: Path, recipe: BundleRecipe) -> None:
        self.work, self.recipe = work, recipe
        work.mkdir(parents=True, exist_ok=True)
        self.world = WorldCache(work / "world", clips=recipe.clips, seed=recipe.seed)

    def run(self, out: Path) -> None:
        """All stages, then the weights in `out`."""
        with self._timed("world"):
            self._follow("world", self.world.build(), len(self.world))
        truths = [self.world.read(i).truth for i in range(len(self.world))]
        texts = world_texts(truths)
        tokenizer = self._tokenizer(texts)
        backbone = new_backbone(tokenizer, self.recipe.seed)
        with self._timed("language"):
            self._language(backbone, texts)
        with self._timed("vision"):
            self._vision(backbone, truths)
        with self._timed("heatmap"):
            heatmap = self._heatmap(backbone)
        told = WorldCache(self.world.folder, clips=self.recipe.told_clips, seed=self.recipe.seed)
        encoded = EncodedWorld(self.work / "encoded", told)
        with self._timed("encode"):
            self._follow("encode", encoded.build(backbone, heatmap), len(encoded))
        with self._timed("scorer"):
            scorer = self._scorer(encoded)
        with self._timed("chat"):
            regions = self._chat(backbone, encoded, scorer)
        self.save(out, backbone, scorer, heatmap, regions)
        with self._timed("segmenter"):
            self._segmenter(out)
        self.calibrate(out)
        self.measure(out)

    def _tokenizer(self, texts: list[str]) -> PreTrainedTokenizerFast:
        folder = self.work / "tokenizer"
        if not folder.exists():
            train_tokenizer(texts).save_pretrained(folder)
        return PreTrainedTokenizerFast.from_pretrained(folder)

    def _language(self, backbone: InternVLBackbone, texts: list[str]) -> None:
        train_language(backbone, texts, self.recipe.language, self.work)

    def _vision(self, backbone: InternVLBackbone, truths: list[dict]) -> None:
        space = self._label_space(truths)
        heads = PretrainHeads(backbone.feature_dim, space)
        tower = backbone.model.model.vision_tower
        tower.requires_grad_(True).train()
        for phase in self.recipe.vision:
            loss = pretrain_loss(
                backbone, heads, self.world, space, batch=phase.batch, kept=phase.kept, seed=phase.loop.seed
            )
            fit({"vision": tower, "heads": heads}, loss, phase.loop, self.work, name=phase.name)
        tower.requires_grad_(False).eval()

    def _label_space(self, truths: list[dict]) -> LabelSpace:
        """The label space of the first session: the heads of an interrupted run must meet the same one again."""
        path = self.work / "labels.json"
        if not path.exists():
            path.write_text(json.dumps(LabelSpace.scan(truths).values, indent=1))
        return LabelSpace({name: tuple(values) for name, values in json.loads(path.read_text()).items()})

    def _heatmap(self, backbone: InternVLBackbone) -> HeatmapDecoder:
        config = HeatmapConfig(backbone.feature_dim, backbone.text_dim, tap_count=len(backbone.tap_blocks), hidden=256)
        return train_heatmap(backbone, self.world, config, self.recipe.heatmap, self.work)

    def _scorer(self, encoded: EncodedWorld) -> AnomalyScorer:
        config = UrdmuConfig(input_dim=VISION["hidden_size"], hidden=256, heads=4, head_dim=64, ffn=256)  # type: ignore[arg-type]
        return train_scorer(encoded, range(len(encoded)), config, self.recipe.scorer, self.work)

    def _chat(self, backbone: InternVLBackbone, encoded: EncodedWorld, scorer: AnomalyScorer) -> RegionEncoder:
        with torch.inference_mode():
            features = [torch.from_numpy(encoded.cls(i).astype(np.float32))[None] for i in range(len(encoded))]
            scores = [scorer(row).scores[0].numpy() for row in features]
        batches = ChatBatches(encoded, scores, range(len(encoded)), BUNDLED.layout, BUNDLED.n_frames)
        config = RegionConfig(backbone.text_dim, base_prompts=2)
        return train_chat(backbone, batches, config, self.recipe.chat, self.work, batch=self.recipe.chat_batch)

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

    def _segmenter(self, out: Path) -> None:
        folder = self.work / "segmenter"
        train_segmenter(self.recipe.segmenter, folder)
        (out / "segmenter").mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "model.safetensors"):
            shutil.copyfile(folder / name, out / "segmenter" / name)

    def calibrate(self, out: Path) -> None:
        """Fit the fusion on clips of its own and write `fusion.json`."""
        folder = self._clips("calibration", self.recipe.calibration_clips, self.recipe.calibration_seed)
        stack = load_bundle(out)
        parts, labels = [], []
        for found in read_data(folder):
            assert found.truth is not None
            with Clip.open(found.path) as clip, tempfile.TemporaryDirectory() as cache:
                dense = dense_pass(clip, stack, cache_dir=Path(cache))
                parts.append(score_parts(stack, dense))
                labels.append(np.asarray(found.truth.frame_label)[dense.frame_index])
        fit_fusion(parts, labels).save(out / "fusion.json")

    def measure(self, out: Path) -> None:
        """Evaluate on held-out clips and write the card."""
        folder = self._clips("held_out", self.recipe.held_out_clips, self.recipe.held_out_seed)
        metrics = evaluate(load_bundle(out), read_data(folder), out=self.work / "metrics.json")
        write_card(out, self.recipe, metrics.to_document(), self._minutes())

    def _clips(self, name: str, clips: int, seed: int) -> Path:
        folder = self.work / name
        if len(list((folder / "truth").glob("*.json"))) < clips:
            write_world(folder, clips=clips, seed=seed)
        return folder

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        """Add the wall-clock time of a stage to those of earlier, interrupted runs."""
        began = time.monotonic()
        try:
            yield
        finally:
            minutes = self._minutes()
            minutes[stage] = minutes.get(stage, 0.0) + (time.monotonic() - began) / 60
            (self.work / "minutes.json").write_text(json.dumps(minutes, indent=2))

    def _minutes(self) -> dict[str, float]:
        path = self.work / "minutes.json"
        return json.loads(path.read_text()) if path.exists() else {}

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


def default_work() -> Path:
    """Where the stages leave their state unless told otherwise."""
    return Path(os.environ.get("WORKBENCH_RUNS", "runs")) / "bundle"
