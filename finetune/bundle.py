"""`python -m finetune bundle`: everything in `assets/bundled/`, from nothing but the street world and a seed.

Each stage leaves its state in the work folder; an interrupted run goes on where it was. Stages:
world → tokenizer → language → vision → heatmap → encode → scorer → chat → segmenter → fusion → card.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import InternVLConfig, InternVLForConditionalGeneration, PreTrainedTokenizerFast

from finetune.chat import ChatBatches, train_chat, train_language
from finetune.dialogues import instance_answer
from finetune.encoded import EncodedWorld
from finetune.heatmap import train_heatmap
from finetune.loop import LoopConfig, fit
from finetune.pretrain import LabelSpace, PretrainHeads, initialise_positions, pretrain_loss
from finetune.scorer import train_scorer
from finetune.tokenizer import IMAGE_TOKEN, train_tokenizer
from finetune.world import WorldCache
from workbench.profiles import BUNDLED
from workbench.prompts import CLASS_PROMPTS, INSTANCE_QUESTION, STANDARD_QUESTIONS
from workbench.stack.backbone import InternVLBackbone
from workbench.stack.heatmap import HeatmapConfig, HeatmapDecoder
from workbench.stack.loading import save_module
from workbench.stack.regions import RegionConfig, RegionEncoder
from workbench.stack.scorer import AnomalyScorer, UrdmuConfig

logger = logging.getLogger(__name__)
MAX_SHARD = "9MB"
"""Files above 10 MB would need LFS on a Space."""


@dataclass(frozen=True, slots=True)
class BundleRecipe:
    """Every number of the recipe; the card repeats them."""

    clips: int = 1200
    seed: int = 0
    vision: LoopConfig = field(default_factory=lambda: LoopConfig(steps=1500, lr=1.2e-3, warmup=0.05))
    vision_batch: int = 32
    language: LoopConfig = field(default_factory=lambda: LoopConfig(steps=200, lr=1e-3))
    heatmap: LoopConfig = field(default_factory=lambda: LoopConfig(steps=250, lr=2e-3))
    scorer: LoopConfig = field(default_factory=lambda: LoopConfig(steps=800, lr=3e-4, weight_decay=1e-4))
    chat: LoopConfig = field(default_factory=lambda: LoopConfig(steps=1000, lr=1e-3))
    chat_batch: int = 12


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
    text = TEXT | {"vocab_size": len(tokenizer), "eos_token_id": end, "pad_token_id": tokenizer.pad_token_id}
    config = InternVLConfig(
        vision_config=VISION,
        text_config=text,
        # A frame is 16 tokens instead of InternVL's 64 at this size: sixteen frames then cost what four would.
        downsample_ratio=0.25,
        image_seq_length=16,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
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
        self._follow("world", self.world.build())
        truths = [self.world.read(i).truth for i in range(len(self.world))]
        texts = world_texts(truths)
        tokenizer = self._tokenizer(texts)
        backbone = new_backbone(tokenizer, self.recipe.seed)
        self._language(backbone, texts)
        self._vision(backbone, truths)
        heatmap = self._heatmap(backbone)
        encoded = EncodedWorld(self.work / "encoded", self.world)
        self._follow("encode", encoded.build(backbone, heatmap))
        scorer = self._scorer(encoded)
        regions = self._chat(backbone, encoded, scorer)
        self.save(out, backbone, scorer, heatmap, regions)

    def _tokenizer(self, texts: list[str]) -> PreTrainedTokenizerFast:
        folder = self.work / "tokenizer"
        if not folder.exists():
            train_tokenizer(texts).save_pretrained(folder)
        return PreTrainedTokenizerFast.from_pretrained(folder)

    def _language(self, backbone: InternVLBackbone, texts: list[str]) -> None:
        train_language(backbone, texts, self.recipe.language, self.work)

    def _vision(self, backbone: InternVLBackbone, truths: list[dict]) -> None:
        space = LabelSpace.scan(truths)
        heads = PretrainHeads(backbone.feature_dim, space)
        tower = backbone.model.model.vision_tower
        tower.requires_grad_(True).train()
        loop, batch = self.recipe.vision, self.recipe.vision_batch
        loss = pretrain_loss(backbone, heads, self.world, space, batch=batch, seed=loop.seed)
        fit({"vision": tower, "heads": heads}, loss, loop, self.work, name="vision")
        tower.requires_grad_(False).eval()

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
        halved = InternVLForConditionalGeneration(backbone.model.config)
        halved.load_state_dict(backbone.model.state_dict())
        halved.to(torch.float16).save_pretrained(folder, max_shard_size=MAX_SHARD)
        backbone.tokenizer.save_pretrained(folder)
        save_module(scorer, scorer.config, out / "scorer")
        save_module(heatmap, heatmap.config, out / "heatmap")
        save_module(regions, regions.config, out / "regions")

    def _follow(self, stage: str, steps: Iterator[int]) -> None:
        total = len(self.world)
        for done in tqdm(steps, total=total, desc=stage):
            if done % 50 == 0 or done == total:
                with (self.work / "stages.jsonl").open("a") as log:
                    log.write(json.dumps({"stage": stage, "done": done, "of": total}) + "\n")


def default_work() -> Path:
    """Where the stages leave their state unless told otherwise."""
    return Path(os.environ.get("WORKBENCH_RUNS", "runs")) / "bundle"
