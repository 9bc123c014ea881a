"""A tiny checkpoint with random weights in the published Holmes-VAU layout, and a writer of sentencepiece models.

As in the true model, `<|im_start|>` and its like stand over unused pieces of the vocabulary, `<img>` and its like
after them.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from workbench.stack.scorer import AnomalyScorer, UrdmuConfig

WORDS = ("th", "the", "ca", "car", "▁the", "▁c", "▁car", "use", "us", "er", "user", "\n")
LETTERS = tuple("▁abcdefghijklmnopqrstuvwxyz0123456789:.?F\n")
OVER = ("<|plugin|>", "<|interpreter|>", "<|action_end|>", "<|action_start|>", "<|im_end|>", "<|im_start|>")
AFTER = ("<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>")
WIDTH, TEXT_WIDTH, LAYERS, HEADS, KV_HEADS = 16, 24, 2, 6, 2


def pieces() -> list[tuple[str, float, int]]:
    """Text, score and kind (1 normal, 2 unknown, 3 control, 6 byte) of every piece; the last ones are unused."""
    words = [word for word in WORDS if word not in LETTERS]
    plain = [*words, *LETTERS, *(f"[UNUSED_TOKEN_{i}]" for i in range(len(OVER)))]
    head = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    return [
        *head,
        *((f"<0x{i:02X}>", 0.0, 6) for i in range(256)),
        *((text, -float(i), 1) for i, text in enumerate(plain)),
    ]


def field(number: int, value: int | bytes | float) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def sentencepiece_model(*, dummy_prefix: bool = False, model_type: int = 2) -> bytes:
    rows = b"".join(field(1, field(1, t.encode()) + field(2, score) + field(3, kind)) for t, score, kind in pieces())
    rules = field(1, b"identity") + field(3, int(dummy_prefix)) + field(4, 0)
    return rows + field(2, field(3, model_type) + field(35, 1)) + field(3, rules)


def added_tokens() -> dict[str, int]:
    total = len(pieces())
    over = {content: total - len(OVER) + i for i, content in enumerate(OVER)}
    return over | {content: total + i for i, content in enumerate(AFTER)}


def config() -> dict:
    vision = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": 2}
    vision |= {"image_size": 28, "patch_size": 7, "num_channels": 3, "hidden_act": "gelu", "norm_type": "layer_norm"}
    vision |= {"layer_norm_eps": 1e-6, "qkv_bias": True, "qk_normalization": False, "initializer_factor": 1.0}
    text = {
        "architectures": ["InternLM2ForCausalLM"],
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 32,
        "bias": False,
    }
    text |= {"num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS}
    text |= {"vocab_size": len(pieces()) + len(AFTER), "hidden_act": "silu", "rms_norm_eps": 1e-5}
    text |= {"rope_theta": 1000000, "rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": 64}
    text |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    return {
        "model_type": "internvl_chat",
        "template": "internlm2-chat",
        "ps_version": "v2",
        "select_layer": -1,
        "downsample_ratio": 0.5,
        "force_image_size": 28,
        "vision_config": vision,
        "llm_config": text,
    }


def weights(seed: int = 0) -> dict[str, Tensor]:
    """Random tensors under the published names."""
    wide, vocab = 4 * WIDTH, len(pieces()) + len(AFTER)
    shapes: dict[str, tuple[int, ...]] = {
        "vision_model.embeddings.class_embedding": (1, 1, WIDTH),
        "vision_model.embeddings.position_embedding": (1, 17, WIDTH),
        "vision_model.embeddings.patch_embedding.weight": (WIDTH, 3, 7, 7),
        "vision_model.embeddings.patch_embedding.bias": (WIDTH,),
        "language_model.model.tok_embeddings.weight": (vocab, TEXT_WIDTH),
        "language_model.model.norm.weight": (TEXT_WIDTH,),
        "language_model.output.weight": (vocab, TEXT_WIDTH),
    }
    for name, shape in {"0": (wide,), "1": (TEXT_WIDTH, wide), "3": (TEXT_WIDTH, TEXT_WIDTH)}.items():
        shapes |= {f"mlp1.{name}.weight": shape, f"mlp1.{name}.bias": shape[:1]}
    linear = {"attn.qkv": (48, 16), "attn.proj": (16, 16), "mlp.fc1": (32, 16), "mlp.fc2": (16, 32)}
    packed = (HEADS + 2 * KV_HEADS) * TEXT_WIDTH // HEADS
    text = {"attention.wqkv": (packed, 24), "attention.wo": (24, 24), "attention_norm": (24,), "ffn_norm": (24,)}
    text |= {"feed_forward.w1": (32, 24), "feed_forward.w3": (32, 24), "feed_forward.w2": (24, 32)}
    for layer in range(LAYERS):
        head = f"vision_model.encoder.layers.{layer}."
        shapes |= {f"{head}ls1": (16,), f"{head}ls2": (16,)}
        for name, shape in (linear | {"norm1": (16,), "norm2": (16,)}).items():
            shapes |= {f"{head}{name}.weight": shape, f"{head}{name}.bias": shape[:1]}
        shapes |= {f"language_model.model.layers.{layer}.{name}.weight": shape for name, shape in text.items()}
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) * 0.1 for name, shape in shapes.items()}


def write_published(folder: Path, *, scorer: bool = True) -> Path:
    """Write the whole checkpoint; returns `folder`."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config()))
    (folder / "tokenizer.model").write_bytes(sentencepiece_model())
    (folder / "added_tokens.json").write_text(json.dumps(added_tokens()))
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    save_file(weights(), folder / "model.safetensors", metadata={"format": "pt"})
    if scorer:
        net = AnomalyScorer(
            UrdmuConfig(input_dim=WIDTH, hidden=32, heads=4, head_dim=8, ffn=16, memory=16, classifier=8)
        )
        torch.save(net.state_dict(), folder / "anomaly_scorer.pth")
    return folder
