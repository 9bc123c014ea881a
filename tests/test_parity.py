"""A converted Holmes-VAU checkpoint computes what the original implementation does, in float32 on the CPU.

The references were made by the original code from a small checkpoint with random weights; they are not part of the
repository.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from workbench.profiles import HOLMES_LAYOUT
from workbench.prompts import Anomaly, Frame, Segment, Text
from workbench.stack.backbone import InternVLBackbone
from workbench.stack.convert import convert_holmesvau
from workbench.stack.convert_weights import check_fit
from workbench.stack.generate import RunningText
from workbench.stack.language import cache_argument
from workbench.stack.loading import load_module
from workbench.stack.scorer import AnomalyScorer, UrdmuConfig

CPU = torch.device("cpu")
BOUND = 1e-4
FRAMES, TOKENS = 4, 16
CONTEXT = "<IMG_CONTEXT>" * TOKENS


@pytest.fixture(scope="module")
def parity(shared_dir: Path) -> Path:
    folder = shared_dir / "data" / "holmesvau" / "parity"
    if not folder.is_dir():
        pytest.skip(f"no reference tensors in {folder}")
    return folder


@pytest.fixture(scope="module")
def converted(parity: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("parity") / "native"
    convert_holmesvau(parity / "small", target)
    return target


@pytest.fixture(scope="module")
def backbone(converted: Path) -> InternVLBackbone:
    loaded = InternVLBackbone.load(converted, device=CPU, dtype=torch.float32)
    loaded._bf16_on_cpu = False  # the references are float32
    return loaded


@pytest.fixture(scope="module")
def vit(parity: Path) -> dict[str, Tensor]:
    return load_file(parity / "ref_vit.safetensors")


@pytest.fixture(scope="module")
def llm(parity: Path) -> dict[str, Tensor]:
    return load_file(parity / "ref_llm.safetensors")


@pytest.fixture(scope="module")
def chat(parity: Path) -> dict:
    return json.loads((parity / "ref_chat.json").read_text(encoding="utf-8"))


def differs(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


def test_the_small_checkpoint_has_the_keys_listed_for_it(shared_dir: Path, backbone: InternVLBackbone) -> None:
    listed = json.loads((shared_dir / "data/holmesvau/keys_small.json").read_text())
    assert len(listed) > 50
    check_fit({name: tuple(shape) for name, shape in listed.items()}, backbone.model.config)  # raises on any misfit


def test_frames_become_the_same_pixels(parity: Path, backbone: InternVLBackbone) -> None:
    reference = np.load(parity / "preprocess.npz")
    frames = reference["raw_rgb"]
    assert differs(backbone.pixels(frames), torch.from_numpy(reference["pixel_values_112"])) <= 1e-6
    backbone.image_size, small = 448, backbone.image_size
    try:
        large = backbone.pixels(frames[:2])
    finally:
        backbone.image_size = small
    assert differs(large, torch.from_numpy(reference["pixel_values_448_first2"])) <= 1e-6


@torch.inference_mode()
def test_every_block_of_the_vision_tower_agrees(backbone: InternVLBackbone, vit: dict[str, Tensor]) -> None:
    tower = backbone.model.model.vision_tower
    hidden = tower.embeddings(vit["pixel_values"])
    assert differs(hidden, vit["vit_embeddings"]) <= BOUND
    for number, layer in enumerate(tower.encoder.layer, start=1):
        hidden = layer(hidden)
        assert differs(hidden, vit[f"vit_hidden_{number}"]) <= BOUND, number
    assert differs(tower(vit["pixel_values"]).last_hidden_state, vit["vit_last_hidden_state"]) <= BOUND
    # Twice the size: the position table is interpolated.
    assert differs(tower(vit["pixel_values_224"]).last_hidden_state, vit["vit_last_hidden_state_224"]) <= BOUND


@torch.inference_mode()
def test_frames_become_the_same_tokens(parity: Path, backbone: InternVLBackbone, vit: dict[str, Tensor]) -> None:
    patches = vit["vit_last_hidden_state"][:, 1:].unflatten(1, backbone.grid_hw)
    assert differs(backbone.model.model.pixel_shuffle(patches, 0.5).flatten(1, 2), vit["pixel_shuffle"]) <= BOUND
    features = backbone.encode(np.load(parity / "preprocess.npz")["raw_rgb"])
    assert differs(features.tokens, vit["mlp1_tokens"]) <= BOUND
    assert differs(features.cls, vit["vit_last_hidden_state"][:, 0]) <= BOUND
    assert differs(features.taps[-1].flatten(1, 2), vit["vit_hidden_4"][:, 1:]) <= BOUND
    native = backbone.model.get_image_features(vit["pixel_values"]).pooler_output
    assert differs(native, vit["mlp1_tokens"]) <= BOUND


@torch.inference_mode()
def test_the_language_model_agrees_on_plain_text(backbone: InternVLBackbone, llm: dict[str, Tensor]) -> None:
    cache = backbone.new_cache()
    output = backbone.model(
        input_ids=llm["plain_ids"], output_hidden_states=True, **cache_argument(backbone.model, cache)
    )
    assert differs(output.logits, llm["plain_logits"]) <= BOUND
    for number in range(5):
        assert differs(output.hidden_states[number], llm[f"plain_hidden_{number}"]) <= BOUND, number
    layers = cache.layers
    assert differs(layers[0].keys, llm["plain_kv_k_layer0"]) <= BOUND
    assert differs(layers[3].keys, llm["plain_kv_k_layer3"]) <= BOUND
    assert differs(layers[0].values, llm["plain_kv_v_layer0"]) <= BOUND


@pytest.mark.parametrize("turn", ["turn1", "turn2"])
@torch.inference_mode()
def test_a_turn_is_read_and_answered_the_same(
    backbone: InternVLBackbone, llm: dict[str, Tensor], vit: dict[str, Tensor], turn: str
) -> None:
    ids, embeds = llm[f"{turn}_input_ids"], llm[f"{turn}_inputs_embeds"]
    own = backbone.embed_ids(ids[0])
    own[ids[0] == backbone.model.config.image_token_id] = vit["mlp1_tokens"].flatten(0, 1)
    assert differs(own[None], embeds) <= BOUND
    whole = backbone.model(input_ids=ids, pixel_values=vit["pixel_values"])
    assert differs(whole.logits, llm[f"{turn}_prefill_logits"]) <= BOUND
    cache, feed, written = backbone.new_cache(), own, []
    for step in range(16):
        logits = backbone.step(feed, cache)
        assert differs(logits, llm[f"{turn}_step_logits"][step]) <= BOUND, step
        written.append(int(logits.argmax()))
        feed = backbone.embed_ids(torch.tensor(written[-1:]))
    assert written == llm[f"{turn}_new_ids"].tolist()


def as_text(segments: list[Segment]) -> str:
    written = {Frame: CONTEXT, Anomaly: "<ANOMALY>"}
    return "".join(segment.text if isinstance(segment, Text) else written[type(segment)] for segment in segments)


def prompts(chat: dict) -> dict[str, str]:
    """Both turns as our prompt builder writes them."""
    (first, answer), (second, _) = chat["history"]
    asked = first.split("\n")[-1]
    prefix = as_text(HOLMES_LAYOUT.prefix([0.0] * FRAMES, with_anomaly=False))
    turn1 = prefix + HOLMES_LAYOUT.first_turn(asked)
    return {"turn1": turn1, "turn2": f"{turn1}{answer}<|im_end|>{HOLMES_LAYOUT.next_turn(second)}"}


def test_prompts_are_written_and_tokenised_the_same(
    backbone: InternVLBackbone, llm: dict[str, Tensor], chat: dict
) -> None:
    assert {token: backbone.tokenizer.convert_tokens_to_ids(token) for token in chat["special_ids"]} == chat[
        "special_ids"
    ]
    assert backbone.end_token_id == chat["generation"]["eos_token_id"]
    for turn, text in prompts(chat).items():
        assert text == "<s>" + chat[turn]["query"]
        ids = llm[f"{turn}_input_ids"][0].tolist()
        assert len(ids) == chat[turn]["n_input"]
        assert backbone.text_ids(text) == ids
        assert backbone.tokenizer(chat[turn]["query"])["input_ids"] == ids
        assert backbone.decode(chat[turn]["new_ids"]).strip() == chat[turn]["response"].strip()


def test_a_dialogue_in_pieces_feeds_the_same_as_one_text(
    backbone: InternVLBackbone, llm: dict[str, Tensor], vit: dict[str, Tensor], chat: dict
) -> None:
    """The video once, then the question: pieces meet where sentencepiece cannot tell."""
    prefix = HOLMES_LAYOUT.prefix([0.0] * FRAMES, with_anomaly=False)
    text = RunningText(backbone)
    rows = [backbone.embed(prefix, vit["mlp1_tokens"], None)]
    asked = HOLMES_LAYOUT.first_turn(chat["history"][0][0].split("\n")[-1])
    rows.append(backbone.embed_ids(torch.tensor(backbone.text_ids(asked))))
    assert differs(torch.cat(rows)[None], llm["turn1_inputs_embeds"]) <= BOUND
    for part in rows:
        text.feed(part)
    ids: list[int] = []
    assert "".join(text.write(16, ids)).strip() == chat["turn1"]["response"].strip()
    assert ids == chat["turn1"]["new_ids"]


def test_anomaly_prompts_stand_between_the_video_and_the_question() -> None:
    written = as_text(HOLMES_LAYOUT.prefix([0.0, 1.0], with_anomaly=True)) + HOLMES_LAYOUT.first_turn("Why?")
    assert written.endswith(f"Frame2: <img>{CONTEXT}</img>\n<ANOMALY>\nWhy?<|im_end|><|im_start|>assistant\n")


def test_the_processor_and_its_chat_template_make_the_same_inputs(
    parity: Path, converted: Path, llm: dict[str, Tensor], vit: dict[str, Tensor], chat: dict
) -> None:
    from PIL import Image
    from transformers import AutoProcessor

    pictures = [Image.fromarray(frame) for frame in np.load(parity / "preprocess.npz")["raw_rgb"]]
    content: list[dict] = []
    for number, picture in enumerate(pictures, start=1):
        content += [{"type": "text", "text": f"Frame{number}: "}, {"type": "image", "image": picture}]
    (first, answer), (second, _) = chat["history"]
    messages = [{"role": "user", "content": [*content, {"type": "text", "text": first.split("\n")[-1]}]}]
    later = [{"role": "assistant", "content": answer}, {"role": "user", "content": second}]
    processor = AutoProcessor.from_pretrained(converted)
    options = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
    for turn, dialogue in (("turn1", messages), ("turn2", messages + later)):
        inputs = processor.apply_chat_template(dialogue, **options)
        assert torch.equal(inputs["input_ids"], llm[f"{turn}_input_ids"]), turn
        # torchvision rounds one pixel in five hundred to the neighbouring value.
        assert differs(inputs["pixel_values"], vit["pixel_values"]) <= 0.02


@torch.inference_mode()
def test_the_scorer_agrees(parity: Path, converted: Path) -> None:
    scorer = load_module(converted / "scorer", UrdmuConfig, AnomalyScorer, CPU)
    reference = load_file(parity / "ref_urdmu.safetensors")
    for frames in (10, 40, 171, 200, 1000):
        scores = scorer(reference[f"w128_T{frames}_features"][None]).scores[0]
        assert differs(scores, reference[f"w128_T{frames}_scores_eval"]) <= 1e-6, frames
