"""The bundled backbone before training: its sizes, its random weights, and the language it has to learn."""

from __future__ import annotations

from typing import Any

import torch
from transformers import InternVLConfig, InternVLForConditionalGeneration, PreTrainedTokenizerFast

from finetune.dialogues import instance_answer
from finetune.pretrain import initialise_positions
from finetune.tokenizer import IMAGE_TOKEN
from workbench.profiles import BUNDLED
from workbench.prompts import CLASS_PROMPTS, INSTANCE_QUESTION, STANDARD_QUESTIONS
from workbench.stack.backbone import InternVLBackbone

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
