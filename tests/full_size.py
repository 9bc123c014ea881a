"""The true architectures with random weights, built on the device: what a GPU has to carry, without a download."""

from __future__ import annotations

from dataclasses import replace
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
from workbench.profiles import PROFILES
from workbench.stack.backbone import Backbone, InternVLBackbone
from workbench.stack.fusion import Fusion
from workbench.stack.loading import ModelStack
from workbench.stack.qwen import QwenVLBackbone
from workbench.stack.scorer import AnomalyScorer, UrdmuConfig
from workbench.stack.segmenter import Segmenter, SegmenterSpec

FULL_SIZE = ("holmesvau-2b", "internvl3-2b", "qwen2.5-vl-3b", "qwen3-vl-2b")
_INTERNVIT = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": [448, 448],
    "patch_size": [14, 14],
    "attention_bias": True,
    "norm_type": "layer_norm",
}


def _config(name: str) -> Any:
    if name == "holmesvau-2b":
        text = {"model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24}
        text |= {"num_attention_heads": 16, "num_key_value_heads": 8, "vocab_size": 92553}
        text |= {"max_position_embeddings": 32768, "tie_word_embeddings": False}
        return InternVLConfig(vision_config=_INTERNVIT, text_config=text, tie_word_embeddings=False)
    if name == "internvl3-2b":
        text = {"model_type": "qwen2", "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28}
        text |= {"num_attention_heads": 12, "num_key_value_heads": 2, "vocab_size": 151674}
        return InternVLConfig(vision_config=_INTERNVIT, text_config=text, tie_word_embeddings=False)
    text = {"hidden_size": 2048, "num_attention_heads": 16, "vocab_size": 151936}
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    if name == "qwen2.5-vl-3b":
        text |= {"intermediate_size": 11008, "num_hidden_layers": 36, "num_key_value_heads": 2}
        vision = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 2048}
        return Qwen2_5_VLConfig(
            text_config=text | {"rope_parameters": rope}, vision_config=vision, tie_word_embeddings=True
        )
    rope |= {"rope_theta": 5e6, "mrope_section": [24, 20, 20], "mrope_interleaved": True}
    text |= {"intermediate_size": 6144, "num_hidden_layers": 28, "num_key_value_heads": 8, "head_dim": 128}
    vision = {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16, "out_hidden_size": 2048}
    vision["deepstack_visual_indexes"] = [5, 11, 17]
    return Qwen3VLConfig(text_config=text | {"rope_parameters": rope}, vision_config=vision, tie_word_embeddings=True)


def full_size_model(name: str, device: torch.device, dtype: torch.dtype) -> Any:
    """The model of a profile with random weights, made where it stays."""
    config = _config(name)
    classes = (InternVLForConditionalGeneration, Qwen2_5_VLForConditionalGeneration, Qwen3VLForConditionalGeneration)
    of_config = (InternVLConfig, Qwen2_5_VLConfig, Qwen3VLConfig)
    model_class = next(made for made, known in zip(classes, of_config, strict=True) if isinstance(config, known))
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            torch.manual_seed(0)
            return model_class(config).to(dtype).requires_grad_(False)
    finally:
        torch.set_default_dtype(before)


def full_size_stack(name: str, source: Path, device: torch.device) -> ModelStack:
    """A stack as `ModelStack.load` would assemble it for a profile, bf16, with the small tokenizer of the tests."""
    model, tokenizer = full_size_model(name, device, torch.bfloat16), tiny_tokenizer()
    qwen = name.startswith("qwen")
    backbone: Backbone = (QwenVLBackbone if qwen else InternVLBackbone)(model, tokenizer, device=device)
    profile = PROFILES[name]
    assert profile.segmenter is not None
    scorer = AnomalyScorer(UrdmuConfig(input_dim=1024)).to(device).eval() if "scorer" in profile.trained else None
    return ModelStack(
        profile=replace(profile, source=source, max_new_tokens=16),
        backbone=backbone,
        scorer=scorer,
        heatmap=None,
        regions=None,
        segmenter=Segmenter(_net(profile.segmenter), SegmenterSpec.published(profile.segmenter), device),
        fusion=Fusion(),
        device=device,
    )


def _net(size: str) -> Any:
    from workbench.stack.segmenter_net import build_net, published_config, read_config

    return build_net(read_config(published_config(size)))
