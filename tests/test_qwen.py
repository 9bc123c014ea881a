"""Qwen-VL behind the backbone interface computes what the library does, picture by picture and token by token."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.tiny_families import IMAGE_SIZE, tiny_model
from tests.tiny_stack import tiny_tokenizer
from workbench.errors import StackError
from workbench.prompts import Frame, Segment, Text
from workbench.stack.qwen import QwenVLBackbone

CPU = torch.device("cpu")
BOUND = 1e-4
KINDS = ("qwen2.5-vl", "qwen3-vl")


@pytest.fixture(scope="module", params=KINDS)
def backbone(request: pytest.FixtureRequest) -> QwenVLBackbone:
    tokenizer = tiny_tokenizer()
    made = QwenVLBackbone(tiny_model(request.param, tokenizer), tokenizer, device=CPU, image_size=IMAGE_SIZE)
    made._bf16_on_cpu = False
    return made


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (3, 48, 80, 3), np.uint8)


def as_the_library_wants(backbone: QwenVLBackbone, frames: np.ndarray) -> tuple[Tensor, Tensor]:
    """Pixels as the library's own image processor flattens them, and their grid."""
    pixels, merge, patch = backbone.pixels(frames), backbone.merge, backbone.patch
    side = backbone.grid_hw[0] // merge
    cut = pixels[:, None].expand(-1, 2, -1, -1, -1)
    cut = cut.reshape(len(frames), 1, 2, 3, side, merge, patch, side, merge, patch)
    flat = cut.permute(0, 1, 4, 7, 5, 8, 3, 2, 6, 9).reshape(-1, 3 * 2 * patch * patch)
    return flat, torch.tensor([[1, *backbone.grid_hw]] * len(frames))


def differs(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


@torch.inference_mode()
def test_frames_become_the_same_tokens(backbone: QwenVLBackbone, frames: np.ndarray) -> None:
    seen = backbone.encode(frames)
    output = backbone.model.model.visual(*as_the_library_wants(backbone, frames))
    features = [output.pooler_output, *(getattr(output, "deepstack_features", None) or ())]
    expected = torch.cat(features, dim=-1).unflatten(0, (len(frames), -1))
    assert seen.tokens.shape == (3, backbone.tokens_per_frame, backbone.token_dim)
    assert differs(seen.tokens, expected) <= BOUND
    assert seen.cls.shape == (3, backbone.feature_dim)
    assert [tap.shape for tap in seen.taps] == [(3, 16, 16, backbone.feature_dim)] * len(backbone.tap_blocks)
    assert backbone.tap_blocks == (1, 2, 4, 8)


@torch.inference_mode()
def test_the_grid_is_the_picture(backbone: QwenVLBackbone) -> None:
    """What changes in one corner of a frame changes the first tap there most: the windows are undone rightly."""
    calm = np.full((1, IMAGE_SIZE, IMAGE_SIZE, 3), 90, np.uint8)
    marked = calm.copy()
    marked[0, 8:12, 40:44] = 250
    change = (backbone.encode(marked).taps[0] - backbone.encode(calm).taps[0]).norm(dim=-1)[0]
    assert divmod(int(change.argmax()), 16) == (2, 10)


def prompt(backbone: QwenVLBackbone) -> tuple[list[Segment], str]:
    """Two frames among words, and the same as the library's text."""
    pieces = ["<|im_start|>user\n1.0 s <|vision_start|>", "<|vision_end|>2.0 s <|vision_start|>", "<|vision_end|> Why?"]
    segments: list[Segment] = [Text(pieces[0]), Frame(0), Text(pieces[1]), Frame(2), Text(pieces[2])]
    return segments, ("<|image_pad|>" * backbone.tokens_per_frame).join(pieces)


@torch.inference_mode()
def test_a_prompt_reads_the_same(backbone: QwenVLBackbone, frames: np.ndarray) -> None:
    segments, text = prompt(backbone)
    cache = backbone.new_cache()
    logits = backbone.step(backbone.embed(segments, backbone.encode(frames).tokens, None), cache)
    ids = torch.tensor([backbone.text_ids(text)])
    pixels, grid = as_the_library_wants(backbone, frames[[0, 2]])
    kinds = (ids == backbone.model.config.image_token_id).int()
    whole = backbone.model(input_ids=ids, mm_token_type_ids=kinds, pixel_values=pixels, image_grid_thw=grid)
    assert differs(logits, whole.logits[0, -1].float()) <= BOUND
    positions, deltas = backbone.model.model.get_rope_index(ids, image_grid_thw=grid, mm_token_type_ids=kinds)
    assert cache.time_after[-1] == int(positions.max()) + 1
    assert cache.time_after[-1] - ids.shape[1] == int(deltas)


@torch.inference_mode()
def test_words_after_a_cut_stand_where_they_did(backbone: QwenVLBackbone, frames: np.ndarray) -> None:
    segments, _ = prompt(backbone)
    rows = backbone.embed(segments, backbone.encode(frames).tokens, None)
    more = backbone.embed_ids(torch.tensor(backbone.text_ids(" nothing abnormal happens")))
    cache = backbone.new_cache()
    backbone.step(rows, cache)
    first = backbone.step(more, cache)
    cache.crop(-len(more))
    assert len(cache.time_after) == cache.get_seq_length() == len(rows)
    again = backbone.step(more, cache)
    assert differs(first, again) <= 1e-6
    whole = backbone.step(torch.cat([rows, more]), backbone.new_cache())
    assert differs(again, whole) <= BOUND
    cache.crop(0)
    assert len(cache.time_after) == len(rows) + len(more)


@torch.inference_mode()
def test_forks_of_a_cache_go_their_own_ways(backbone: QwenVLBackbone, frames: np.ndarray) -> None:
    tokens = backbone.encode(frames).tokens
    shared = backbone.embed([Text("<|im_start|>user\n")], tokens, None)
    rows = torch.stack([backbone.embed([Frame(i), Text(" yes or no?")], tokens, None) for i in range(3)])
    cache = backbone.new_cache()
    backbone.step(shared, cache)
    together = backbone.next_logits(rows, backbone.fork(cache, 3))
    alone = torch.stack([backbone.step(torch.cat([shared, row]), backbone.new_cache()) for row in rows])
    assert differs(together, alone) <= BOUND
    assert cache.get_seq_length() == len(shared), "the shared beginning must stay as it was"


def test_a_picture_size_that_does_not_divide_is_refused() -> None:
    tokenizer = tiny_tokenizer()
    for kind, size in (("qwen2.5-vl", 40), ("qwen3-vl", 44)):
        with pytest.raises(StackError, match="do not divide"):
            QwenVLBackbone(tiny_model(kind, tokenizer), tokenizer, device=CPU, image_size=size)


def test_another_family_is_refused(tmp_path: Path) -> None:
    from tests.tiny_families import write_checkpoint

    with pytest.raises(StackError, match="'internvl', but this profile wants 'qwen'"):
        QwenVLBackbone.load(write_checkpoint(tmp_path, "internvl"), device=CPU, dtype=torch.float32)
