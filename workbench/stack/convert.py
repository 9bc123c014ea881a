"""Published Holmes-VAU checkpoints → the native layout, so that no code from a checkpoint is ever run.

SRC/  config.json, tokenizer.model, *.safetensors (or .bin), anomaly_scorer.pth
DST/  what `AutoModelForImageTextToText`, `AutoTokenizer` and `AutoProcessor` load
DST/scorer/  UR-DMU, as `workbench.stack.loading.load_module` reads it
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from workbench.errors import StackError
from workbench.profiles import HOLMES_LAYOUT
from workbench.stack.backbone import IMAGENET_MEAN, IMAGENET_STD
from workbench.stack.convert_config import check_kind, native_config
from workbench.stack.convert_tokenizer import fast_tokenizer
from workbench.stack.convert_weights import (
    SHARD_BYTES,
    check_fit,
    checkpoint_files,
    read_pickled,
    read_shapes,
    write_native,
)
from workbench.stack.modules import save_module
from workbench.stack.scorer import AnomalyScorer, UrdmuConfig

SCORER_FILE = "anomaly_scorer.pth"
BICUBIC = 3
# `internlm2-chat` of the published code: no line break between messages, and a system message that is always there.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\n" + HOLMES_LAYOUT.system + "<|im_end|>{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<IMG_CONTEXT>\n"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}"
    "{% else %}{{ raise_exception('This model reads text and images; give a video as its frames.') }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Converted:
    """What a conversion made. tensors: of the source, all of them used. scorer: whether there was one."""

    folder: Path
    tensors: int
    parameters: int
    dtype: torch.dtype
    scorer: bool


def convert_holmesvau(
    source: Path, target: Path, *, scorer: Path | None = None, shard_bytes: int = SHARD_BYTES
) -> Converted:
    """Convert a published checkpoint. `target` appears only when it is complete.

    Args:
        source: folder of the checkpoint. target: folder to make; it must not exist, or be empty.
        scorer: the UR-DMU checkpoint, `anomaly_scorer.pth` in `source` if not given and there.
        shard_bytes: size of the files written, and about the memory needed.

    Raises:
        StackError: a file is missing, damaged or of another kind, a tensor is left over or missing, the target is in
            use or cannot be written.
    """
    described = _read_config(source)
    check_kind(described)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StackError(f"{target} exists already; remove it, or give another folder.")
    scorer = scorer or (source / SCORER_FILE if (source / SCORER_FILE).exists() else None)
    tokenizer = fast_tokenizer(source, chat_template=CHAT_TEMPLATE)
    config = native_config(described, image_token_id=tokenizer.vocab["<IMG_CONTEXT>"])
    if len(tokenizer) > config.text_config.vocab_size:
        raise StackError(
            f"The tokenizer in {source} has {len(tokenizer)} tokens, but the model only "
            f"{config.text_config.vocab_size}; they do not belong together."
        )
    files = checkpoint_files(source)
    shapes = read_shapes(files)
    check_fit(shapes, config)
    net = load_published_scorer(scorer, config.vision_config.hidden_size) if scorer else None
    work = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        work.mkdir(parents=True)
        dtype = write_native(files, config, work, shard_bytes=shard_bytes)
        _write_companions(config, tokenizer, dtype, work)
        if net is not None:
            save_module(net, net.config, work / "scorer", dtype=torch.float32)
        if target.exists():
            target.rmdir()
        work.rename(target)
    except (OSError, SafetensorError) as error:
        raise StackError(f"{target} cannot be written: {error}. Free some space, or give another folder.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    parameters = sum(torch.Size(shape).numel() for shape in shapes.values())
    return Converted(target, len(shapes), parameters, dtype, net is not None)


def load_published_scorer(path: Path, width: int) -> AnomalyScorer:
    """A UR-DMU from its published checkpoint.

    Args:
        width: of the class tokens it has to take.

    Raises:
        StackError: the file is missing or damaged, is no UR-DMU, or of another width.
    """
    if not path.exists():
        raise StackError(f"There is no scorer checkpoint at {path}.")
    state = read_pickled(path)
    config = UrdmuConfig.from_state_dict(state)
    if config.input_dim != width:
        raise StackError(f"The scorer in {path} takes features {config.input_dim} wide, but the tower gives {width}.")
    net = AnomalyScorer(config)
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise StackError(f"The scorer in {path} does not fit: {' '.join(str(error).split())}") from error
    return net


def _read_config(source: Path) -> dict[str, Any]:
    try:
        described = json.loads((source / "config.json").read_text(encoding="utf-8"))
        if not isinstance(described, dict):
            raise ValueError("it holds no object")
        return described
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StackError(f"There is no config.json in {source}; give the folder of a Holmes-VAU checkpoint.") from error
    except ValueError as error:
        raise StackError(f"{source / 'config.json'} is not JSON ({error}); copy it again.") from error


def _write_companions(config: Any, tokenizer: Any, dtype: torch.dtype, folder: Path) -> None:
    """Configuration, generation settings, tokenizer and processor."""
    from transformers import GenerationConfig, GotOcr2ImageProcessor, InternVLProcessor, InternVLVideoProcessor

    config.architectures = ["InternVLForConditionalGeneration"]
    config.dtype = dtype
    config.save_pretrained(folder)
    # The published code stops at the end of a message only.
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    text = config.text_config
    GenerationConfig(
        bos_token_id=text.bos_token_id, eos_token_id=end, pad_token_id=text.pad_token_id, do_sample=False
    ).save_pretrained(folder)
    size = dict(zip(("height", "width"), config.vision_config.image_size, strict=True))
    pictures: dict[str, Any] = {
        "size": size,
        "image_mean": IMAGENET_MEAN,
        "image_std": IMAGENET_STD,
        "resample": BICUBIC,
    }
    InternVLProcessor(
        # A frame is one square, as published; the native processor cuts a picture in up to twelve.
        image_processor=GotOcr2ImageProcessor(**pictures, max_patches=1),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(**pictures),
        image_seq_length=config.image_seq_length,
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(folder)
