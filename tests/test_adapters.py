"""Adapters: what they bring takes the place of the stack's own, and nothing of another profile is ever let in."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from tests.drawn import write_clip
from tests.tiny_families import IMAGE_SIZE, write_checkpoint
from workbench.adapters import AdapterInfo, apply, read_adapter, write_adapter
from workbench.analysis import analyse
from workbench.cli import EXIT_ERROR, main
from workbench.errors import StackError
from workbench.features import stack_fingerprint
from workbench.profiles import ASSETS, PROFILES, StackProfile
from workbench.stack.fusion import Fusion
from workbench.stack.heatmap import HeatmapConfig, HeatmapDecoder
from workbench.stack.loading import ModelStack, save_module
from workbench.stack.regions import RegionConfig, RegionEncoder
from workbench.stack.scorer import AnomalyScorer, UrdmuConfig
from workbench.video import Clip

TARGETS = r".*language_model.*\.(q_proj|v_proj|down_proj)"
KINDS = ("internvl3-1b", "qwen3-vl-2b")
ALL = ("lora", "scorer", "heatmap", "regions", "fusion")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StackProfile]:
    made = {}
    for name, family in zip(KINDS, ("internvl", "qwen3-vl"), strict=True):
        folder = write_checkpoint(tmp_path_factory.mktemp(family), family)
        shutil.copytree(ASSETS / "bundled" / "segmenter", folder / "segmenter")
        made[name] = replace(PROFILES[name], source=folder, image_size=IMAGE_SIZE, n_frames=4, max_new_tokens=4)
    return made


def logits_of(stack: ModelStack) -> torch.Tensor:
    ids = torch.tensor(stack.backbone.text_ids("people walk along the street"))
    return stack.backbone.step(stack.backbone.embed_ids(ids), stack.backbone.new_cache())


def write(folder: Path, row: StackProfile, parts: tuple[str, ...] = ALL) -> tuple[AdapterInfo, torch.Tensor]:
    """An adapter with random weights, as training would leave it, and the logits of its LoRA."""
    torch.manual_seed(1)
    stack = ModelStack.load(row, device="cpu")
    backbone = stack.backbone
    config = LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS, init_lora_weights=False)
    peft = get_peft_model(backbone.model, config).eval()
    peft.save_pretrained(str(folder / "lora"))
    with torch.inference_mode():
        tuned = logits_of(stack)
    dim, wide = backbone.feature_dim, backbone.text_dim
    scorer = UrdmuConfig(input_dim=dim, hidden=16, heads=2, head_dim=8, ffn=16, memory=16, classifier=8)
    save_module(AnomalyScorer(scorer), scorer, folder / "scorer")
    heatmap = HeatmapConfig(dim, wide, tap_count=len(backbone.tap_blocks), hidden=16)
    save_module(HeatmapDecoder(heatmap), heatmap, folder / "heatmap")
    regions = RegionConfig(wide, channels=8, hidden=16)
    save_module(RegionEncoder(regions), regions, folder / "regions")
    Fusion(0.9, 0.4, 0.2, -0.5, 0.3).save(folder / "fusion.json")
    info = AdapterInfo(folder, "night shift", row.name, parts, "2025-01-02T03:04:05Z", None, {"clips": 3})
    write_adapter(info)
    return info, tuned


@pytest.mark.parametrize("name", KINDS)
def test_an_adapter_takes_the_place_of_stand_ins(name: str, rows: dict[str, StackProfile], tmp_path: Path) -> None:
    info, tuned = write(tmp_path / "adapter", rows[name])
    assert read_adapter(info.folder) == info
    plain = ModelStack.load(rows[name], device="cpu")
    stack = ModelStack.load(rows[name], device="cpu", adapter=info.folder)
    assert torch.allclose(logits_of(stack), tuned, atol=1e-4), "merged, the LoRA computes what PEFT does beside it"
    assert float((logits_of(plain) - tuned).abs().max()) > 0.1
    assert not any("lora" in key for key, _ in stack.backbone.model.named_parameters())
    assert stack.adapter == "night shift"
    assert stack.stand_ins == {}
    assert stack.fusion == Fusion(0.9, 0.4, 0.2, -0.5, 0.3)
    assert stack_fingerprint(stack) != stack_fingerprint(plain), "features of another decoder must not be reused"
    with Clip.open(write_clip(tmp_path / "marked.mp4")) as clip:
        found = analyse(clip, stack, cache_dir=tmp_path / "features")
    assert set(found.dense.parts) == {"scorer", "motion", "heatmap"}
    assert found.adapter == "night shift"
    assert np.isfinite(found.dense.score).all()


def test_parts_that_an_adapter_does_not_bring_stay(rows: dict[str, StackProfile], tmp_path: Path) -> None:
    info, _ = write(tmp_path / "adapter", rows["internvl3-1b"], ("scorer",))
    stack = ModelStack.load(rows["internvl3-1b"], device="cpu")
    before = logits_of(stack)
    apply(stack, info)
    assert set(stack.stand_ins) == {"heatmap", "regions"}
    assert torch.equal(logits_of(stack), before)
    assert stack.fusion == Fusion()
    with pytest.raises(StackError, match="carries the adapter 'night shift'"):
        apply(stack, info)


def test_an_adapter_of_another_profile_is_refused(
    rows: dict[str, StackProfile], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info, _ = write(tmp_path / "adapter", rows["internvl3-1b"])
    with pytest.raises(StackError, match="trained on the profile 'internvl3-1b' and does not fit 'qwen3-vl-2b'"):
        ModelStack.load(rows["qwen3-vl-2b"], device="cpu", adapter=info.folder)
    clip = write_clip(tmp_path / "marked.mp4", n_frames=10)
    command = ["analyze", str(clip), "--adapter", str(info.folder), "--out", str(tmp_path / "out")]
    assert main(command) == EXIT_ERROR
    assert "does not fit 'bundled'; choose --profile internvl3-1b" in capsys.readouterr().err


def test_weights_of_another_backbone_are_refused(rows: dict[str, StackProfile], tmp_path: Path) -> None:
    """A folder whose `adapter.json` was edited by hand still cannot put foreign weights into a model."""
    info, _ = write(tmp_path / "adapter", rows["qwen3-vl-2b"], ("lora",))
    stack = ModelStack.load(rows["qwen3-vl-2b"], device="cpu")
    before = logits_of(stack)
    path = info.folder / "lora" / "adapter_model.safetensors"
    whole = load_file(path)
    first = sorted(whole)[0]
    strange = "base_model.model.model.language_model.layers.9.self_attn.q_proj.lora_A.weight"
    wrong = {
        "have no place": whole | {strange: whole[first].clone()},
        "lora_A.weight (4, 7)": whole | {first: torch.zeros(4, 7)},
    }
    for message, state in wrong.items():
        save_file(state, path, metadata={"format": "pt"})
        with pytest.raises(StackError) as told:
            apply(stack, info)
        assert message in str(told.value)
        assert torch.equal(logits_of(stack), before)
    save_file({key: value for key, value in whole.items() if key != first}, path, metadata={"format": "pt"})
    with pytest.raises(StackError, match="missing"):
        apply(ModelStack.load(rows["qwen3-vl-2b"], device="cpu"), info)


def test_parts_of_another_width_are_refused(rows: dict[str, StackProfile], tmp_path: Path) -> None:
    info, _ = write(tmp_path / "adapter", rows["internvl3-1b"])
    narrow = UrdmuConfig(input_dim=7, hidden=16, heads=2, head_dim=8, ffn=16, memory=16, classifier=8)
    save_module(AnomalyScorer(narrow), narrow, info.folder / "scorer")
    with pytest.raises(StackError, match="features 7 instead of 32"):
        ModelStack.load(rows["internvl3-1b"], device="cpu", adapter=info.folder)


def test_a_region_encoder_needs_a_heatmap_decoder(rows: dict[str, StackProfile], tmp_path: Path) -> None:
    info, _ = write(tmp_path / "adapter", rows["internvl3-1b"], ("regions",))
    with pytest.raises(StackError, match="train that first"):
        ModelStack.load(rows["internvl3-1b"], device="cpu", adapter=info.folder)


def test_a_folder_that_is_no_adapter_says_so(rows: dict[str, StackProfile], tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"has no adapter\.json"):
        read_adapter(tmp_path)
    info, _ = write(tmp_path / "adapter", rows["internvl3-1b"])
    path = info.folder / "adapter.json"
    document = json.loads(path.read_text())
    for changed, message in (
        ({"format": "other"}, "of format 'other'"),
        ({"parts": ["brain"]}, "one or more of"),
        ({"parts": []}, "one or more of"),
    ):
        path.write_text(json.dumps(document | changed))
        with pytest.raises(StackError, match=message):
            read_adapter(info.folder)
    path.write_text("{")
    with pytest.raises(StackError, match="cannot be read"):
        read_adapter(info.folder)
    path.write_text(json.dumps(document))
    (info.folder / "heatmap" / "model.safetensors").unlink()
    with pytest.raises(StackError, match=r"lacks heatmap/model\.safetensors"):
        read_adapter(info.folder)
