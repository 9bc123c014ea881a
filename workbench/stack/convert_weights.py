"""Weights of a published InternVL chat model, tensor by tensor, under the names of the native classes.

InternViT packs queries, keys and values along the first axis: `[3·C, C]`. InternLM2 packs them by key-value head:
`[kv_heads, queries per kv_head + 2, head_dim, C]`, the last two of the second axis being key and value.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from workbench.errors import StackError

SHARD_BYTES = 1_000_000_000
NAMES_SHOWN = 12

_VISION, _TEXT, _PROJECTOR = "model.vision_tower.", "model.language_model.", "model.multi_modal_projector."
_FIXED = {
    "vision_model.embeddings.class_embedding": _VISION + "embeddings.cls_token",
    "vision_model.embeddings.position_embedding": _VISION + "embeddings.position_embeddings",
    "vision_model.embeddings.patch_embedding.weight": _VISION + "embeddings.patch_embeddings.projection.weight",
    "vision_model.embeddings.patch_embedding.bias": _VISION + "embeddings.patch_embeddings.projection.bias",
    "language_model.model.tok_embeddings.weight": _TEXT + "embed_tokens.weight",
    "language_model.model.norm.weight": _TEXT + "norm.weight",
    "language_model.output.weight": "lm_head.weight",
} | {
    f"mlp1.{number}.{part}": f"{_PROJECTOR}{layer}.{part}"
    for number, layer in ((0, "layer_norm"), (1, "linear_1"), (3, "linear_2"))
    for part in ("weight", "bias")
}
_VISION_LAYER = {
    "ls1": ("lambda_1",),
    "ls2": ("lambda_2",),
    "norm1": ("layernorm_before",),
    "norm2": ("layernorm_after",),
    "attn.qkv": ("attention.q_proj", "attention.k_proj", "attention.v_proj"),
    "attn.q_norm": ("attention.q_norm",),
    "attn.k_norm": ("attention.k_norm",),
    "attn.proj": ("attention.projection_layer",),
    "mlp.fc1": ("mlp.fc1",),
    "mlp.fc2": ("mlp.fc2",),
}
_TEXT_LAYER = {
    "attention_norm": ("input_layernorm",),
    "ffn_norm": ("post_attention_layernorm",),
    "attention.wqkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention.wo": ("self_attn.o_proj",),
    "feed_forward.w1": ("mlp.gate_proj",),
    "feed_forward.w3": ("mlp.up_proj",),
    "feed_forward.w2": ("mlp.down_proj",),
}
_LAYER = re.compile(r"(vision_model\.encoder|language_model\.model)\.layers\.(\d+)\.(.+?)(\.weight|\.bias)?")


def targets(name: str) -> tuple[str, ...]:
    """Native names of what a published tensor holds; empty if it is unknown."""
    if name in _FIXED:
        return (_FIXED[name],)
    match = _LAYER.fullmatch(name)
    if match is None:
        return ()
    tower, number, inner, part = match.groups(default="")
    if tower.startswith("vision"):
        head, names = f"{_VISION}encoder.layer.{number}.", _VISION_LAYER.get(inner, ())
    else:
        head, names = f"{_TEXT}layers.{number}.", _TEXT_LAYER.get(inner, ())
    return tuple(f"{head}{native}{part}" for native in names)


def native_tensors(name: str, tensor: Tensor, config: Any) -> dict[str, Tensor]:
    """A published tensor under its native names, unpacked; views where it can be. Works on the meta device too.

    Raises:
        RuntimeError: the tensor cannot be unpacked as `config` says.
    """
    names = targets(name)
    if len(names) < 2:
        return dict.fromkeys(names, tensor)
    if name.startswith("vision"):
        return dict(zip(names, tensor.chunk(3), strict=True))
    text = config.text_config
    queries = text.num_attention_heads // text.num_key_value_heads
    packed = tensor.reshape(text.num_key_value_heads, queries + 2, text.head_dim, *tensor.shape[1:])
    parts = packed[:, :-2].flatten(0, 2), packed[:, -2].flatten(0, 1), packed[:, -1].flatten(0, 1)
    return dict(zip(names, parts, strict=True))


def check_fit(shapes: Mapping[str, tuple[int, ...]], config: Any) -> None:
    """Make sure that every published tensor is used and that they fill every parameter of the native model.

    Args:
        shapes: of the published tensors by name.

    Raises:
        StackError: lists what is left over, missing or of another shape.
    """
    from transformers import InternVLForConditionalGeneration

    with torch.device("meta"):
        expected = {k: tuple(v.shape) for k, v in InternVLForConditionalGeneration(config).state_dict().items()}
    made: dict[str, tuple[int, ...]] = {}
    left, reshaped = [], []
    for name, shape in shapes.items():
        try:
            parts = native_tensors(name, torch.empty(shape, device="meta"), config)
        except (RuntimeError, ValueError):
            reshaped.append(name)
            made |= dict.fromkeys(targets(name), ())
            continue
        made |= {native: tuple(part.shape) for native, part in parts.items()}
        if not parts or not parts.keys() <= expected.keys():
            left.append(name)
        elif any(expected[native] != tuple(part.shape) for native, part in parts.items()):
            reshaped.append(name)
    missing = sorted(expected.keys() - made.keys())
    if left or missing or reshaped:
        raise StackError(
            f"The checkpoint does not fit its config.json: left over {_some(left)}; missing {_some(missing)}; "
            f"of another shape {_some(reshaped)}. Copy the checkpoint again, all of its files."
        )


def _some(names: list[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more if names else "none"


def checkpoint_files(folder: Path) -> list[Path]:
    """The weight files of a checkpoint: those its index names, else all; safetensors before pickled ones.

    Raises:
        StackError: there are none, or one that the index names is absent.
    """
    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        if (folder / index).exists():
            try:
                table = json.loads((folder / index).read_text(encoding="utf-8"))["weight_map"]
            except (ValueError, KeyError, TypeError) as error:
                raise StackError(f"{folder / index} is not an index of weights ({error}); copy it again.") from error
            names = sorted(set(table.values()))
            absent = [name for name in names if not (folder / name).exists()]
            if absent:
                raise StackError(f"{folder} lacks {', '.join(absent)}, which its index names; copy them too.")
            return [folder / name for name in names]
    for pattern in ("*.safetensors", "pytorch_model*.bin", "*.pth"):
        files = sorted(file for file in folder.glob(pattern) if "scorer" not in file.name)
        if files:
            return files
    raise StackError(f"{folder} holds no weights: no .safetensors, pytorch_model*.bin or .pth file.")


def read_pickled(path: Path, *, device: str = "cpu") -> dict[str, Tensor]:
    """Tensors of a `.bin` or `.pth` file, read without running anything in it. `device="meta"`: only the shapes.

    Raises:
        StackError: it is damaged, or holds anything but tensors by name.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise StackError(
            f"{path} cannot be read as plain tensors ({str(error).splitlines()[0]}); "
            "get the safetensors form, or copy it again."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise StackError(f"{path} holds something else than tensors by name; give a plain state dict.")
    return dict(state)


def read_shapes(files: list[Path]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors, without reading their data.

    Raises:
        StackError: a file is damaged.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in files:
        if path.suffix != ".safetensors":
            shapes |= {name: tuple(tensor.shape) for name, tensor in read_pickled(path, device="meta").items()}
            continue
        try:
            with safe_open(path, framework="pt") as opened:
                shapes |= {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise StackError(f"{path} is damaged ({error}); copy it again.") from error
    return shapes


def read_tensors(files: list[Path]) -> Iterator[tuple[str, Tensor]]:
    """All tensors; of a safetensors file one at a time, of a pickled one the whole file is in memory."""
    for path in files:
        if path.suffix != ".safetensors":
            yield from read_pickled(path).items()
            continue
        with safe_open(path, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118
                yield name, opened.get_tensor(name)


def write_native(files: list[Path], config: Any, folder: Path, *, shard_bytes: int = SHARD_BYTES) -> torch.dtype:
    """Convert shard by shard into `folder`; what is in memory is one shard and one tensor. → dtype of the weights."""
    shards: list[list[str]] = []
    waiting: dict[str, Tensor] = {}
    size = total = 0
    dtype = torch.float32

    def flush() -> None:
        save_file(waiting, folder / f"{len(shards)}.part", metadata={"format": "pt"})
        shards.append(sorted(waiting))
        waiting.clear()

    for name, tensor in read_tensors(files):
        dtype = tensor.dtype
        for native, part in native_tensors(name, tensor, config).items():
            if waiting and size + part.nbytes > shard_bytes:
                flush()
                size = 0
            waiting[native] = part.clone(memory_format=torch.contiguous_format)
            size, total = size + part.nbytes, total + part.nbytes
    flush()
    _name_shards(shards, folder, total)
    return dtype


def _name_shards(shards: list[list[str]], folder: Path, total: int) -> None:
    if len(shards) == 1:
        (folder / "0.part").rename(folder / "model.safetensors")
        return
    weight_map: dict[str, str] = {}
    for number, names in enumerate(shards):
        file = f"model-{number + 1:05}-of-{len(shards):05}.safetensors"
        (folder / f"{number}.part").rename(folder / file)
        weight_map |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
