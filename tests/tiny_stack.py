"""A complete model stack with random weights, small enough to build in a second: the real path without assets."""

from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import InternVLConfig, InternVLForConditionalGeneration, PreTrainedTokenizerFast

from workbench.profiles import BUNDLED
from workbench.prompts import CLASS_PROMPTS, STANDARD_QUESTIONS
from workbench.stack.backbone import InternVLBackbone
from workbench.stack.fusion import Fusion
from workbench.stack.heatmap import HeatmapConfig, HeatmapDecoder
from workbench.stack.loading import ModelStack
from workbench.stack.regions import RegionConfig, RegionEncoder
from workbench.stack.scorer import AnomalyScorer, UrdmuConfig
from workbench.stack.segmenter import Segmenter

SPECIALS = (
    *("<unk>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>"),
    *("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE trained on the standard prompts: any text round-trips."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [*STANDARD_QUESTIONS.values(), *(text for texts in CLASS_PROMPTS.values() for text in texts)]
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", additional_special_tokens=list(SPECIALS[1:])
    )


def tiny_backbone() -> InternVLBackbone:
    """Four blocks of width 32 on 56-pixel frames (4×4 patches, 4 visual tokens), a two-block language model."""
    tokenizer = tiny_tokenizer()
    config = InternVLConfig(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "image_size": [56, 56],
            "patch_size": [14, 14],
        },
        text_config={
            "model_type": "qwen2",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": len(tokenizer),
            "tie_word_embeddings": True,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    model = InternVLForConditionalGeneration(config).requires_grad_(False)
    return InternVLBackbone(model, tokenizer, device=torch.device("cpu"))


def tiny_stack(source: Path, *, segmenter: Segmenter | None = None, seed: int = 0) -> ModelStack:
    """A stack with random weights, the same for the same seed.

    Args:
        source: an empty folder that stands for the folder of weights.
        segmenter: a loaded one; without it, whatever needs a segmenter fails.
    """
    torch.manual_seed(seed)
    backbone = tiny_backbone()
    heatmap = HeatmapDecoder(HeatmapConfig(vision_dim=32, text_dim=32, tap_count=len(backbone.tap_blocks), hidden=16))
    heatmap.set_prototypes(*(backbone.embed_prompts(CLASS_PROMPTS[name]) for name in ("normal", "abnormal")))
    scorer = AnomalyScorer(UrdmuConfig(input_dim=32, hidden=32, heads=2, head_dim=8, ffn=32, memory=16, classifier=8))
    regions = RegionEncoder(RegionConfig(text_dim=32, channels=8, hidden=16))
    return ModelStack(
        profile=replace(BUNDLED, name="tiny", source=source, n_frames=8, max_new_tokens=6),
        backbone=backbone,
        scorer=scorer.eval().requires_grad_(False),
        heatmap=heatmap.eval().requires_grad_(False),
        regions=regions.eval().requires_grad_(False),
        segmenter=segmenter,  # type: ignore[arg-type]
        fusion=Fusion(),
        device=torch.device("cpu"),
    )
