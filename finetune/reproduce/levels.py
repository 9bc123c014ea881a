"""Holmes-VAU Table 3 in small: dialogue models trained on clip, event and video texts, alone and together.

The vision tower and the heatmap decoder are those of the stack; projector, language model and region encoder start
anew for every variant, after one common lesson in the world's language.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from finetune.backbone import world_texts
from finetune.chat import ChatModel, Sample, train_language
from finetune.dialogues import Level, draw_dialogue
from finetune.encoded import EncodedWorld
from finetune.loop import LoopConfig, fit, step_generator
from finetune.reproduce.bench import Bench, Cell, Table
from finetune.reproduce.talk import level_row, parts_of_video, word_row, words_of_cell
from finetune.reproduce.trained import encoded_world
from workbench.analysis import score_features
from workbench.stack.backbone import InternVLBackbone
from workbench.stack.loading import ModelStack
from workbench.stack.regions import RegionEncoder
from workbench.stack.sampler import sample_frames

ALL_LEVELS: tuple[Level, ...] = ("clip", "event", "video")


@dataclass(frozen=True, slots=True)
class Variant:
    """Which texts a model learns from, and whether it sees the region prompts."""

    levels: tuple[Level, ...]
    regions: bool = True

    @property
    def name(self) -> str:
        """Such as `clip-event` or `clip-event-video-blind`."""
        return "-".join(self.levels) + ("" if self.regions else "-blind")


VARIANTS = (Variant(("clip",)), Variant(("event",)), Variant(("video",)), Variant(ALL_LEVELS))


def levels_table(bench: Bench) -> Table:
    """Each level alone and all of them, measured on all levels."""
    clips = bench.short_clips()
    rows = []
    for variant in VARIANTS:
        cells = variant_cells(bench, variant)
        ticks = {level[0].upper(): "✓" if level in variant.levels else "" for level in ALL_LEVELS}
        words = word_row([words_of_cell(c, cell) for c, cell in zip(clips, cells, strict=True)], bench.sizes.replicates)
        facts = {name: value for name, value in words.items() if name.startswith("fact")}
        rows.append({**ticks, **level_row(cells), **facts})
    columns = [f"{measure} {level}" for measure in ("bleu", "cider") for level in "CEV" if f"bleu {level}" in rows[0]]
    winner = {column: max(range(len(rows)), key=[row[column] for row in rows].__getitem__) for column in columns}
    best = sum(row == len(rows) - 1 for row in winner.values())
    holds = all(row == (0 if column.endswith("C") else len(rows) - 1) for column, row in winner.items())
    return Table(
        "levels",
        "Training data of different granularity (Holmes-VAU, Table 3)",
        "Clip, event and video texts together are best on events and videos; clip texts alone are best on clips.",
        f"{bench.sizes.chat_steps} steps of {bench.sizes.chat_batch} dialogues each on {bench.sizes.train_clips} "
        f"scenes, measured on {len(clips)} others. Facts are those of the answers about the whole video.",
        rows,
        (*columns, "fact_precision", "fact_recall"),
        f"The claim {'holds' if holds else 'does **not** hold'} here: all levels together are best in {best} of "
        f"{len(columns)} columns.",
    )


def variant_cells(bench: Bench, variant: Variant) -> list[Cell]:
    """What a trained variant says of every short clip."""
    clips = bench.short_clips()
    done = [(bench.work / "cells" / "levels" / f"{variant.name}-{clip.name}.json").exists() for clip in clips]
    if all(done):
        return [bench.cell("levels", f"{variant.name}-{clip.name}", dict) for clip in clips]
    stack = train_variant(bench, variant)
    return [
        bench.cell("levels", f"{variant.name}-{clip.name}", partial(parts_of_video, stack, clip, analysis))
        for clip, analysis in bench.analyses(stack, clips, variant.name)
    ]


def train_variant(bench: Bench, variant: Variant) -> ModelStack:
    """The stack with a dialogue model of its own, trained on the levels of the variant."""
    encoded, train, _ = encoded_world(bench)
    sizes, stack = bench.sizes, bench.stack
    backbone = fresh_backbone(bench, encoded, train)
    torch.manual_seed(bench.seed)
    assert stack.regions is not None
    assert stack.scorer is not None
    regions = RegionEncoder(stack.regions.config) if variant.regions else None
    # Nothing is asked of the encoder where no sample has class maps; an empty module has nothing to learn.
    model = ChatModel(backbone, regions or nn.Module(), stack.profile.layout)  # type: ignore[arg-type]
    scores = [score_features(stack.scorer, encoded.cls(i), stack.device) for i in train]

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        rng = step_generator(bench.seed, step)
        samples = [draw_sample(stack, encoded, scores, variant, rng) for _ in range(sizes.chat_batch)]
        with backbone.precision():
            value, right = model.loss(samples)
        return value, {"token_accuracy": right}

    parts = {"projector": model.projector, "language": model.language, "head": model.head, "regions": model.regions}
    backbone.model.train()
    loop = LoopConfig(steps=sizes.chat_steps, lr=1e-3, seed=bench.seed, save_every=50)
    fit(parts, loss, loop, bench.work / "levels", name=variant.name)
    backbone.model.eval().requires_grad_(False)
    # An adapter's name, so that features made with another projector are not taken from the cache.
    return replace(stack, backbone=backbone, regions=regions and regions.eval(), adapter=variant.name)


def fresh_backbone(bench: Bench, encoded: EncodedWorld, train: range) -> InternVLBackbone:
    """The stack's tower with a new projector and language model, which has had a lesson in the world's language.

    The lesson starts from the stack's embedding table and may move it: the heatmap decoder keeps its prototypes.
    """
    old = bench.stack.backbone
    assert isinstance(old, InternVLBackbone)
    model = copy.deepcopy(old.model).float()
    table = old.model.get_input_embeddings().weight
    torch.manual_seed(bench.seed)
    new = type(model)(model.config)
    model.model.multi_modal_projector.load_state_dict(new.model.multi_modal_projector.state_dict())
    model.model.language_model.load_state_dict(new.model.language_model.state_dict())
    model.lm_head.load_state_dict(new.lm_head.state_dict())
    backbone = InternVLBackbone(model, old.tokenizer, device=old.device)
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(table)
    texts = world_texts([encoded.clip(i).truth for i in train])
    loop = LoopConfig(steps=bench.sizes.language_steps, lr=1e-3, seed=bench.seed)
    train_language(backbone, texts, loop, bench.work / "levels")
    return backbone


def draw_sample(
    stack: ModelStack,
    encoded: EncodedWorld,
    scores: Sequence[np.ndarray],
    variant: Variant,
    rng: np.random.Generator,
) -> Sample:
    """A dialogue of one of the variant's levels with the frames ATS chooses for it."""
    while True:
        number = int(rng.integers(len(scores)))
        clip = encoded.clip(number)
        if clip.truth["events"] or variant.levels != ("event",):
            break
    dialogue = draw_dialogue(clip.truth, clip.frame_index, set(), rng)
    while dialogue.level not in variant.levels:
        dialogue = draw_dialogue(clip.truth, clip.frame_index, set(), rng)
    first, stop = dialogue.span
    picked = first + sample_frames(scores[number][first:stop], stack.profile.n_frames, "ats")
    seen = encoded.read(number)
    return Sample(
        prefix=stack.profile.layout.prefix(clip.time_s[picked].tolist(), with_anomaly=variant.regions),
        turns=dialogue.turns,
        patches=np.array(seen.patches[picked]),
        class_maps=seen.class_maps[picked] if variant.regions else None,
    )
