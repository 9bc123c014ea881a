"""Tiny checkpoints with random weights of every family a profile can name, written the way the Hub has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    InternVLConfig,
    InternVLForConditionalGeneration,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from tests.tiny_stack import tiny_tokenizer

FAMILIES = ("internvl", "qwen2.5-vl", "qwen3-vl")
IMAGE_SIZE = 64
"""Side of a frame for the Qwen towers: 16 patches of 4 pixels a side, 64 tokens."""


def tiny_model(family: str, tokenizer: Any, *, seed: int = 0) -> Any:
    """A model of `family` with random weights whose language model has width 32."""
    torch.manual_seed(seed)
    ids = {
        "image_token_id": tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        "video_token_id": tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        "vision_start_token_id": tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    }
    text: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": len(tokenizer),
        "initializer_range": 0.2,
    }
    vision: dict[str, Any] = {
        "depth": 8,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "patch_size": 4,
        "out_hidden_size": 32,
        "initializer_range": 0.2,
    }
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    if family == "qwen2.5-vl":
        vision |= {"window_size": 16, "fullatt_block_indexes": [3, 7]}
        config = Qwen2_5_VLConfig(text_config=text | {"rope_parameters": rope}, vision_config=vision, **ids)
        return Qwen2_5_VLForConditionalGeneration(config)
    if family == "qwen3-vl":
        vision |= {"num_position_embeddings": 36, "deepstack_visual_indexes": [2, 5]}
        rope["mrope_interleaved"] = True
        config = Qwen3VLConfig(
            text_config=text | {"rope_parameters": rope, "head_dim": 8},
            vision_config=vision,
            tie_word_embeddings=True,
            **ids,
        )
        return Qwen3VLForConditionalGeneration(config)
    config = InternVLConfig(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "image_size": [56, 56],
            "patch_size": [14, 14],
        },
        text_config=text | {"model_type": "qwen2"},
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    return InternVLForConditionalGeneration(config)


def write_checkpoint(folder: Path, family: str, *, seed: int = 0) -> Path:
    """Model and tokenizer of `family` at the root of `folder`."""
    tokenizer = tiny_tokenizer()
    tiny_model(family, tokenizer, seed=seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
