"""An adapter for others: PEFT opens it, the card says what it is, and no token means no push."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from finetune.__main__ import main
from finetune.errors import TrainingError
from finetune.publish import export_peft, push
from finetune.registry import Registry
from tests.hub_stand_in import standing_in
from tests.test_registry import PASSED, built
from tests.tiny_stack import tiny_backbone
from workbench.adapters import AdapterInfo, read_adapter
from workbench.hub_upload import HubError

GATE = {
    "adopt": True,
    "reasons": ["frame_auc on the held-out clips rose: 0.700 before, 0.900 after"],
    "new": [{"metric": "frame_auc", "before": 0.7, "after": 0.9, "ci95": [0.1, 0.3], "n_clips": 8}],
    "known": [],
}


def with_lora(tmp_path: Path) -> Registry:
    """A registry with an adapter that brings a LoRA with a weight one can recognise."""
    folder = tmp_path / "made"
    peft = get_peft_model(tiny_backbone().model, LoraConfig(r=2, target_modules=r".*language_model.*\.q_proj"))
    for name, weight in peft.named_parameters():
        if "lora_B" in name:
            torch.nn.init.constant_(weight, 0.25)
    peft.save_pretrained(str(folder / "lora"), safe_serialization=True)
    counts = {"train": {"clips": 12, "abnormal": 6}}
    lineage = {"gate": GATE, "dataset": {"digest": "ab" * 32, "counts": counts}, "components": ["chat"]}
    registry = Registry(tmp_path / "registry")
    registry.add(folder, AdapterInfo(folder, "night-shift", "tiny", ("lora",), "2026-01-01", None, lineage))
    return registry


def test_peft_opens_what_is_exported(tmp_path: Path) -> None:
    out = export_peft(with_lora(tmp_path), "night-shift", tmp_path / "out")
    opened = PeftModel.from_pretrained(tiny_backbone().model, str(out))
    weights = [weight for name, weight in opened.named_parameters() if "lora_B" in name]
    assert weights
    assert all(bool((weight == 0.25).all()) for weight in weights)
    assert read_adapter(out / "workbench").name == "night-shift"
    card = (out / "README.md").read_text("utf-8")
    assert card.startswith("---\nlibrary_name: peft\n")
    for said in ("# night-shift", "profile `tiny`", "12 clips, 6 abnormal", "| frame_auc | 0.700 | 0.900 | 8 |"):
        assert said in card
    assert str(tmp_path) not in card


def test_an_export_overwrites_nothing(tmp_path: Path) -> None:
    registry = with_lora(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(TrainingError, match="is not empty"):
        export_peft(registry, "night-shift", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    (registry.folder / "night-shift" / "lora" / "adapter_config.json").write_text("{}")
    with pytest.raises(TrainingError, match="is not what was trained"):
        export_peft(registry, "night-shift", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_an_adapter_without_a_lora_says_so_in_its_card(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    registry.add(tmp_path / "a", built(tmp_path / "a", "a", gate=PASSED))
    out = export_peft(registry, "a", tmp_path / "out")
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "workbench"]
    assert "PeftModel" not in (out / "README.md").read_text("utf-8")


def test_without_a_token_nothing_is_pushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TrainingError, match="set HF_TOKEN in the environment"):
        push(tmp_path, "ann/night", environment={})
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    registry = with_lora(tmp_path)
    line = ["adapters", "export", "night-shift", "--out", str(tmp_path / "out"), "--push", "ann/night"]
    assert main([*line, "--registry", str(registry.folder)]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert "needs a token" in told[0]
    assert (tmp_path / "out" / "adapter_config.json").is_file(), "the export itself is there"


def test_an_adapter_does_not_go_into_a_public_repository(tmp_path: Path) -> None:
    with standing_in() as hub:
        hub.private["ann/night"] = False
        with pytest.raises(HubError, match="ann/night is there already and is public"):
            push(tmp_path, "ann/night", environment={"HF_TOKEN": "hf_" + "x" * 34}, endpoint=hub.url)
        assert hub.came == []
    with pytest.raises(TrainingError, match="did not take ann/night"):
        push(tmp_path, "ann/night", environment={"HF_TOKEN": "hf_" + "x" * 34}, endpoint="http://127.0.0.1:9")
