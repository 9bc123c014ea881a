"""Converting a published checkpoint: what it makes, what it refuses, and that nothing of a file is ever run."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests import published
from tests.published import write_published
from workbench.cli import EXIT_ERROR, main
from workbench.errors import StackError
from workbench.stack.backbone import InternVLBackbone
from workbench.stack.convert import convert_holmesvau
from workbench.stack.convert_tokenizer import fast_tokenizer
from workbench.stack.convert_weights import targets
from workbench.stack.loading import load_module
from workbench.stack.scorer import AnomalyScorer, UrdmuConfig

CPU = torch.device("cpu")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_published(tmp_path / "published")


def state_of(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def test_a_converted_checkpoint_loads_everywhere(source: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    target = tmp_path / "native"
    made = convert_holmesvau(source, target)
    assert (made.folder, made.tensors, made.scorer) == (target, len(published.weights()), True)
    model, report = AutoModelForImageTextToText.from_pretrained(target, output_loading_info=True)
    assert not any(report.values())
    assert model.num_parameters() == made.parameters == sum(t.numel() for t in published.weights().values())
    assert not model.config.tie_word_embeddings
    assert isinstance(model.model.vision_tower.layernorm, torch.nn.Identity)
    assert AutoProcessor.from_pretrained(target).image_seq_length == 4
    backbone = InternVLBackbone.load(target, device=CPU, dtype=torch.float32)
    assert (backbone.image_size, backbone.tokens_per_frame, backbone.feature_dim) == (28, 4, published.WIDTH)
    assert load_module(target / "scorer", UrdmuConfig, AnomalyScorer, CPU).config.input_dim == published.WIDTH


def test_packed_attention_is_told_apart_by_key_value_head(source: Path, tmp_path: Path) -> None:
    convert_holmesvau(source, tmp_path / "native")
    native, old = state_of(tmp_path / "native"), published.weights()
    packed, head = old["language_model.model.layers.1.attention.wqkv.weight"], published.TEXT_WIDTH // published.HEADS
    at = "model.language_model.layers.1.self_attn."
    # Three queries, a key and a value for the first key-value head; then the same for the second.
    rows = packed.split(head)
    assert torch.equal(native[at + "q_proj.weight"], torch.cat([*rows[0:3], *rows[5:8]]))
    assert torch.equal(native[at + "k_proj.weight"], torch.cat([rows[3], rows[8]]))
    assert torch.equal(native[at + "v_proj.weight"], torch.cat([rows[4], rows[9]]))
    vision = old["vision_model.encoder.layers.0.attn.qkv.bias"]
    assert torch.equal(native["model.vision_tower.encoder.layer.0.attention.k_proj.bias"], vision[16:32])


def test_shards_in_and_out_change_nothing(source: Path, tmp_path: Path) -> None:
    convert_holmesvau(source, tmp_path / "whole")
    state = load_file(source / "model.safetensors")
    (source / "model.safetensors").unlink()
    names = sorted(state)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, inside in parts.items():
        save_file({name: state[name] for name in inside}, source / file)
    index = {"weight_map": {name: file for file, inside in parts.items() for name in inside}}
    (source / "model.safetensors.index.json").write_text(json.dumps(index))
    convert_holmesvau(source, tmp_path / "sharded", shard_bytes=20_000)
    assert len(list((tmp_path / "sharded").glob("model-*-of-*.safetensors"))) > 3
    whole, sharded = state_of(tmp_path / "whole"), state_of(tmp_path / "sharded")
    assert whole.keys() == sharded.keys()
    assert all(torch.equal(whole[name], sharded[name]) for name in whole)
    InternVLBackbone.load(tmp_path / "sharded", device=CPU, dtype=torch.float32)
    (source / "b.safetensors").unlink()
    with pytest.raises(StackError, match=r"lacks b\.safetensors"):
        convert_holmesvau(source, tmp_path / "broken")


def test_pickled_weights_of_any_precision_are_read_as_tensors_only(source: Path, tmp_path: Path) -> None:
    state = {name: tensor.bfloat16() for name, tensor in load_file(source / "model.safetensors").items()}
    (source / "model.safetensors").unlink()
    torch.save(state, source / "pytorch_model.bin")
    assert convert_holmesvau(source, tmp_path / "native").dtype == torch.bfloat16
    assert json.loads((tmp_path / "native" / "config.json").read_text())["dtype"] == "bfloat16"
    assert {tensor.dtype for tensor in state_of(tmp_path / "native").values()} == {torch.bfloat16}


class Bomb:
    """What a malicious file holds: unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "anomaly_scorer.pth"])
def test_code_in_a_pickled_file_is_refused_and_not_run(source: Path, tmp_path: Path, name: str) -> None:
    if name == "pytorch_model.bin":
        (source / "model.safetensors").unlink()
    (source / name).write_bytes(pickle.dumps({"weight": Bomb(tmp_path / "ran")}))
    with pytest.raises(StackError, match="plain tensors"):
        convert_holmesvau(source, tmp_path / "native")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "native").exists()


def change_weights(source: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    state = load_file(source / "model.safetensors")
    change(state)
    save_file(state, source / "model.safetensors")


def test_what_is_left_over_missing_or_reshaped_is_listed(source: Path, tmp_path: Path) -> None:
    def change(state: dict[str, torch.Tensor]) -> None:
        del state["mlp1.3.bias"]
        state["language_model.model.layers.7.ffn_norm.weight"] = torch.zeros(24)
        state["vision_model.surprise"] = torch.zeros(1)
        state["language_model.model.layers.0.attention.wqkv.weight"] = torch.zeros(41, 24)
        state["vision_model.encoder.layers.0.ls1"] = torch.zeros(17)

    change_weights(source, change)
    with pytest.raises(StackError) as caught:
        convert_holmesvau(source, tmp_path / "native")
    said = str(caught.value)
    left, missing, reshaped = (part.split(": ", 1)[-1] for part in said.split("left over ")[1].split("; "))
    assert left == "language_model.model.layers.7.ffn_norm.weight, vision_model.surprise"
    assert missing == "missing model.multi_modal_projector.linear_2.bias"
    assert "layers.0.attention.wqkv.weight, vision_model.encoder.layers.0.ls1." in reshaped
    assert [path.name for path in tmp_path.iterdir()] == ["published"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_type": "llava"}, "model_type is 'llava'"),
        ({"template": "Hermes-2"}, "template is 'Hermes-2'"),
        ({"ps_version": "v1"}, "ps_version is 'v1'"),
        ({"select_layer": -4}, "select_layer is -4"),
        ({"force_image_size": 56}, "made for 28 pixels"),
        ({"vision_config": {"image_size": 28}}, "no 'hidden_size'"),
        ({"llm_config": {"architectures": ["LlamaForCausalLM"]}}, "only InternLM2"),
    ],
)
def test_another_kind_of_model_is_named(source: Path, tmp_path: Path, change: dict, says: str) -> None:
    (source / "config.json").write_text(json.dumps(published.config() | change))
    with pytest.raises(StackError, match=says):
        convert_holmesvau(source, tmp_path / "native")


def test_what_is_native_already_is_named_as_another_kind(source: Path, tmp_path: Path) -> None:
    """It has no tokenizer.model either, but that is not what is wrong with it."""
    convert_holmesvau(source, tmp_path / "native")
    with pytest.raises(StackError, match="model_type is 'internvl', but only 'internvl_chat'"):
        convert_holmesvau(tmp_path / "native", tmp_path / "again")


def test_files_that_lack_or_are_damaged_are_named(source: Path, tmp_path: Path) -> None:
    kept = {path.name: path.read_bytes() for path in source.iterdir()}
    for name, damage, says in (
        ("config.json", None, "no config.json"),
        ("config.json", b"{", "not JSON"),
        ("config.json", b"[]", "holds no object"),
        ("tokenizer.model", None, "is missing"),
        ("tokenizer.model", b"\x0a\xff\x01words", "not a sentencepiece model"),
        ("tokenizer.model", published.sentencepiece_model(model_type=1), "not a BPE model"),
        ("added_tokens.json", b"{}", "lacks"),
        ("model.safetensors", None, "holds no weights"),
        ("model.safetensors", kept["model.safetensors"][:5000], "damaged"),
        ("anomaly_scorer.pth", b"nothing", "plain tensors"),
    ):
        (source / name).unlink()
        if damage is not None:
            (source / name).write_bytes(damage)
        with pytest.raises(StackError, match=says):
            convert_holmesvau(source, tmp_path / "native")
        (source / name).write_bytes(kept[name])
    convert_holmesvau(source, tmp_path / "native")


def test_a_scorer_of_another_width_is_refused_and_none_is_no_error(source: Path, tmp_path: Path) -> None:
    wide = tmp_path / "wide.pth"
    torch.save(AnomalyScorer(UrdmuConfig(input_dim=20)).state_dict(), wide)
    with pytest.raises(StackError, match="20 wide, but the tower gives 16"):
        convert_holmesvau(source, tmp_path / "native", scorer=wide)
    (source / "anomaly_scorer.pth").unlink()
    assert not convert_holmesvau(source, tmp_path / "native").scorer
    assert not (tmp_path / "native" / "scorer").exists()


def test_added_tokens_take_the_ids_of_unused_pieces(source: Path) -> None:
    tokenizer = fast_tokenizer(source, chat_template="")
    added, total = published.added_tokens(), len(published.pieces())
    assert {token: tokenizer.convert_tokens_to_ids(token) for token in added} == added
    assert added["<|im_start|>"] == total - 1
    assert len(tokenizer) == total + len(published.AFTER)
    ids = tokenizer("<|im_start|>user\nthe car<|im_end|>", add_special_tokens=False)["input_ids"]
    words = ["<|im_start|>", "user", "\n", "the", "▁car", "<|im_end|>"]
    assert ids == tokenizer.convert_tokens_to_ids(words)
    assert tokenizer("the")["input_ids"][0] == 1  # <s>
    # A piece that is no longer there is spelt out, a character without a piece is written as its bytes.
    assert len(tokenizer("[UNUSED_TOKEN_5]", add_special_tokens=False)["input_ids"]) > 10
    assert tokenizer.decode(tokenizer("the car: 火?")["input_ids"], skip_special_tokens=True) == "the car: 火?"


def test_every_key_of_the_published_model_is_used_and_fills_the_native_one(shared_dir: Path) -> None:
    """Of the true model with 2.2 billion parameters, by names and shapes only."""
    from workbench.stack.convert_config import native_config
    from workbench.stack.convert_weights import check_fit

    true = json.loads((shared_dir / "data/holmesvau/keys_2b.json").read_text())
    config = native_config(true["config"], image_token_id=92546)
    shapes = {name: tuple(shape) for name, shape in true["keys"].items()}
    assert len(shapes) == true["n_keys"]
    check_fit(shapes, config)
    assert config.image_seq_length == 256
    assert all(targets(name) for name in shapes)
    for name in list(shapes)[:: len(shapes) // 20]:
        with pytest.raises(StackError, match="missing"):
            check_fit({key: shape for key, shape in shapes.items() if key != name}, config)


def test_the_command_says_what_it_made(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "native"
    assert main(["convert", "holmesvau", str(source), str(target)]) == 0
    told = capsys.readouterr().out
    assert f"wrote {target}" in told
    assert f"wrote {target / 'scorer'}" in told
    assert main(["convert", "holmesvau", str(source), str(target)]) == EXIT_ERROR
    assert "exists already" in capsys.readouterr().err
    assert main(["convert", "holmesvau", str(tmp_path / "nowhere"), str(tmp_path / "other")]) == EXIT_ERROR
    assert "no config.json" in capsys.readouterr().err
