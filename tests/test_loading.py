"""Every profile loads a tiny checkpoint of its family and goes the whole way; what is wrong is told in one sentence."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections import namedtuple
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.quantizers.quantizers_utils import should_convert_module

from tests.drawn import write_clip
from tests.published import write_published
from tests.tiny_families import FAMILIES, IMAGE_SIZE, tiny_model, write_checkpoint
from tests.tiny_stack import tiny_tokenizer
from workbench.analysis import analyse
from workbench.cli import EXIT_ERROR, main
from workbench.conversation import Conversation
from workbench.errors import StackError
from workbench.features import stack_fingerprint
from workbench.instances import find_instances
from workbench.profiles import ASSETS, PROFILES, StackProfile, smaller_than
from workbench.records import Analysis, Event
from workbench.serial import from_json, to_json
from workbench.stack.loading import STAND_INS, ModelStack
from workbench.stack.memory import enough_memory
from workbench.stack.pretrained import KEPT_WHOLE, Placement, limits
from workbench.stack.sources import _asked, absent, fingerprint, is_complete, locate
from workbench.video import Clip

DiskUsage = namedtuple("DiskUsage", "total used free")

LARGE = [name for name in PROFILES if name != "bundled"]


def family_of(name: str) -> str:
    return next((family for family in FAMILIES if name.startswith(family)), "internvl")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One checkpoint a family, as published, with the bundled segmenter beside it."""
    made = {family: write_checkpoint(tmp_path_factory.mktemp(family), family) for family in FAMILIES}
    made["holmesvau"] = write_published(tmp_path_factory.mktemp("holmes") / "checkpoint")
    for folder in made.values():
        shutil.copytree(ASSETS / "bundled" / "segmenter", folder / "segmenter")
    return made


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Conversions of one test are not found by another."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("WORKBENCH_CACHE", str(folder))
    return folder


def row(name: str, folders: dict[str, Path], **changes: object) -> StackProfile:
    """The row of a profile, with the tiny checkpoint as its source."""
    source = folders["holmesvau" if name.startswith("holmes") else family_of(name)]
    small = {"source": source, "image_size": IMAGE_SIZE, "n_frames": 4, "batch": 4, "max_new_tokens": 5}
    return replace(PROFILES[name], **(small | changes))  # type: ignore[arg-type]


def analysed(stack: ModelStack, folder: Path) -> tuple[Path, Analysis]:
    path = write_clip(folder / "marked.mp4")
    with Clip.open(path) as clip:
        return path, analyse(clip, stack, cache_dir=folder / "features")


@pytest.mark.parametrize("name", LARGE)
def test_every_profile_goes_the_whole_way(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    stack = ModelStack.load(row(name, folders), device="cpu")
    path, found = analysed(stack, tmp_path)
    holmes = name == "holmesvau-2b"
    assert set(found.dense.parts) == {"scorer" if holmes else "zero-shot", "motion"}
    for curve in (found.dense.score, *found.dense.parts.values()):
        assert curve.shape == found.dense.time_s.shape
        assert ((curve >= 0) & (curve <= 1)).all()
    assert found.stand_ins == {part: text for part, text in STAND_INS.items() if not (holmes and part == "scorer")}
    assert from_json(to_json(found)).stand_ins == found.stand_ins
    assert found.heatmaps is not None
    assert found.heatmaps.heatmap.shape == (len(found.dense.time_s), *stack.backbone.grid_hw)
    talk = Conversation(stack, found)
    assert [talk.say(kind).kind for kind in ("judgement", "description")] == ["judgement", "description"]
    # Where something moves, motion saliency stands in for the heatmap, and instances are found from it.
    found.events = [Event(0.2, 2.0, float(found.dense.time_s[found.heatmaps.heatmap.max((1, 2)).argmax()]), 0.9)]
    with Clip.open(path) as clip:
        for instance in find_instances(clip, stack, found):
            assert instance.boxes_xyxy


@pytest.mark.parametrize("name", ["internvl3-1b", "qwen2.5-vl-3b", "qwen3-vl-2b"])
def test_a_cached_turn_equals_reading_everything_again(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    stack = ModelStack.load(row(name, folders), device="cpu")
    backbone, layout = stack.backbone, stack.profile.layout
    backbone._bf16_on_cpu = False  # type: ignore[attr-defined]
    _, found = analysed(stack, tmp_path)
    talk = Conversation(stack, found)
    first = talk.say("Is there an anomaly?")
    talk.retract()
    talk.say("Something else?")
    talk.retract()  # the cache is cut back, positions too
    text, asked = talk._running(), layout.first_turn("Is there an anomaly?")
    said, then = "nothing abnormal happens", layout.next_turn("Why?")
    for piece in (asked, said):
        text.feed_text(piece)
    text.feed_ids([backbone.end_token_id])
    text.feed_text(then)
    ids = [*backbone.text_ids(asked), *backbone.text_ids(said), backbone.end_token_id, *backbone.text_ids(then)]
    whole = torch.cat([talk._video_prompt(), backbone.embed_ids(torch.tensor(ids))])
    expected = backbone.step(whole, backbone.new_cache())
    assert text._logits is not None
    assert torch.allclose(text._logits, expected, atol=1e-4)
    assert Conversation(stack, found).say("Is there an anomaly?").answer == first.answer


def test_a_published_checkpoint_is_converted_once(folders: dict[str, Path], own_cache: Path) -> None:
    told: list[str] = []
    profile = row("holmesvau-2b", folders)
    first = locate(profile, tell=told.append)
    assert len(told) == 1
    assert "once" in told[0]
    assert locate(profile, tell=told.append) == first
    assert len(told) == 1
    assert first.backbone.parent == own_cache / "converted"
    assert first.scorer == first.backbone / "scorer"


def test_what_the_converter_wrote_loads_as_it_is(folders: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "native"
    assert main(["convert", "holmesvau", str(folders["holmesvau"]), str(target)]) == 0
    shutil.copytree(ASSETS / "bundled" / "segmenter", target / "segmenter")
    stack = ModelStack.load(row("holmesvau-2b", folders), device="cpu", source=target)
    assert stack.scorer is not None
    assert stack.scorer.config.input_dim == stack.backbone.feature_dim


def test_a_missing_trained_part_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    source = write_published(tmp_path / "published", scorer=False)
    with pytest.raises(StackError, match=r"trained scorer, but .* has no folder scorer"):
        ModelStack.load(row("holmesvau-2b", folders, source=source, scorer_url=None), device="cpu")


def test_weights_of_the_wrong_kind_are_listed(folders: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folders["qwen3-vl"], broken)
    state = load_file(broken / "model.safetensors")
    lost = "model.visual.blocks.0.attn.qkv.weight"
    del state[lost]
    state["model.visual.surplus"] = torch.zeros(3)
    state["model.visual.merger.linear_fc2.bias"] = torch.zeros(7)
    save_file(state, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(StackError) as told:
        ModelStack.load(row("qwen3-vl-2b", folders, source=broken), device="cpu")
    for word in (lost, "model.visual.surplus", "merger.linear_fc2.bias (7,) for (32,)"):
        assert word in str(told.value)
    (broken / "model.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(StackError, match="cannot be loaded"):
        ModelStack.load(row("qwen3-vl-2b", folders, source=broken), device="cpu")


def test_a_checkpoint_of_another_family_is_named(folders: dict[str, Path]) -> None:
    with pytest.raises(StackError, match="'qwen3_vl', but this profile wants 'internvl'"):
        ModelStack.load(row("internvl3-1b", folders, source=folders["qwen3-vl"]), device="cpu")


def test_quantising_says_what_it_needs(folders: dict[str, Path]) -> None:
    with pytest.raises(StackError, match=r"bitsandbytes|CUDA"):
        ModelStack.load(row("internvl3-1b", folders), device="cpu", placement=Placement(quantise="4bit"))


@pytest.mark.parametrize("family", FAMILIES)
def test_quantising_takes_all_of_the_language_model_and_nothing_of_the_tower(family: str) -> None:
    model = tiny_model(family, tiny_tokenizer())
    linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    taken = {name for name in linear if should_convert_module(name, list(KEPT_WHOLE))}
    assert taken == {name for name in linear if name.startswith("model.language_model.")}
    assert 0 < len(taken) < len(linear)


def test_features_of_a_quantised_stack_are_kept_apart(folders: dict[str, Path]) -> None:
    whole = ModelStack.load(row("internvl3-1b", folders), device="cpu")
    keys = {stack_fingerprint(replace(whole, quantise=bits)) for bits in ("4bit", "8bit")}
    assert len(keys | {stack_fingerprint(whole)}) == 3
    parts = f"{whole.profile.name}\n{fingerprint(whole.files)}"
    assert stack_fingerprint(whole) == hashlib.sha256(parts.encode()).hexdigest()[:16], "what is kept is found again"


def test_running_out_of_memory_names_the_smaller_profile() -> None:
    profile = PROFILES["qwen3-vl-8b"]
    smaller = smaller_than(profile)
    assert smaller is not None
    assert smaller.memory_gb == max(p.memory_gb for p in PROFILES.values() if p.memory_gb < profile.memory_gb)
    for error in (
        torch.OutOfMemoryError("CUDA"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: not enough memory"),
    ):
        with pytest.raises(StackError, match=f"--profile {smaller.name}"), enough_memory(profile):
            raise error
    with pytest.raises(RuntimeError, match="something else"), enough_memory(profile):
        raise RuntimeError("something else")
    assert smaller_than(PROFILES["bundled"]) is None


# -- the Hub -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub on this machine, and a Hub that nobody answers for."""
    from huggingface_hub import constants

    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    leave_free(100e9, monkeypatch)  # no test asks how full the disk is that it happens to run on
    return folder


def leave_free(free: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk have so many bytes free."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: DiskUsage(int(free), 0, int(free)))


def keep_in_cache(hub: Path, repo: str, source: Path) -> Path:
    """Lay files down as `huggingface_hub` keeps a downloaded repository."""
    root = hub / f"models--{repo.replace('/', '--')}"
    snapshot = root / "snapshots" / ("0" * 40)
    shutil.copytree(source, snapshot, ignore=shutil.ignore_patterns("segmenter"))
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("0" * 40)
    return snapshot


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", LARGE)
def test_fetching_without_a_network_is_one_sentence(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", name]) == EXIT_ERROR
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("error: ")
    assert str(PROFILES[name].source) in told
    assert f"workbench fetch {name}" in told
    assert absent(PROFILES[name])


@pytest.mark.usefixtures("hub")
def test_a_disk_without_room_is_told_before_anything_is_fetched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_free(1e9, monkeypatch)
    assert main(["fetch", "qwen3-vl-2b"]) == EXIT_ERROR
    told = capsys.readouterr().err.splitlines()[-1]
    assert "has 1.0 GB free" in told
    assert "HF_HOME" in told
    assert absent(PROFILES["qwen3-vl-2b"])


@pytest.mark.usefixtures("hub")
def test_offline_mode_is_obeyed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(["fetch", "qwen3-vl-2b"]) == EXIT_ERROR
    assert "HF_HUB_OFFLINE forbids" in capsys.readouterr().err


def test_what_is_in_the_cache_of_the_hub_is_used(hub: Path, folders: dict[str, Path]) -> None:
    profile = replace(PROFILES["qwen3-vl-2b"], image_size=IMAGE_SIZE, segmenter=None)
    snapshot = keep_in_cache(hub, str(profile.source), folders["qwen3-vl"])
    shutil.copytree(ASSETS / "bundled" / "segmenter", snapshot / "segmenter")
    stack = ModelStack.load(profile, device="cpu")
    assert stack.files == (snapshot,)
    assert absent(profile) == []


def test_a_half_fetched_checkpoint_is_not_taken_for_whole(hub: Path, folders: dict[str, Path]) -> None:
    profile = PROFILES["internvl3-2b"]
    snapshot = keep_in_cache(hub, str(profile.source), folders["internvl"])
    assert is_complete(snapshot)
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    (snapshot / "model.safetensors").rename(snapshot / "model-00001-of-00002.safetensors")
    assert not is_complete(snapshot)
    assert absent(profile)[0] == profile.source
    with pytest.raises(StackError, match="the network gives no way to it"):
        locate(profile)


def test_a_download_that_broke_off_before_the_tokenizer_is_not_taken_for_whole(
    hub: Path, folders: dict[str, Path]
) -> None:
    for name in ("internvl3-2b", "qwen3-vl-2b", "holmesvau-2b"):
        source = row(name, folders).source
        assert isinstance(source, Path)
        snapshot = keep_in_cache(hub, str(PROFILES[name].source), source)
        assert is_complete(snapshot)
        for path in [*snapshot.glob("tokenizer.*"), *snapshot.glob("vocab.*"), *snapshot.glob("merges.*")]:
            path.unlink()
        assert not is_complete(snapshot)
        with pytest.raises(StackError, match="the network gives no way to it"):
            locate(PROFILES[name])


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "cannot be written .*No space left"),
        (RuntimeError("Data processing error:\nconnection reset"), "broke off .*connection reset.* where it stopped"),
        (ConnectionResetError(errno.ECONNRESET, "reset by peer"), "the network gives no way"),
    ],
)
def test_a_fetch_that_breaks_off_says_why(error: Exception, says: str) -> None:
    def fail() -> str:
        raise error

    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(StackError, match=says) as told:
            _asked(fail, PROFILES["qwen3-vl-2b"], "the weights")
    assert "\n" not in str(told.value)
    assert "fetch qwen3-vl-2b" in str(told.value)


def test_a_model_spread_over_what_there_is_says_the_same(folders: dict[str, Path], tmp_path: Path) -> None:
    """Without a GPU all of it comes to lie in the CPU's memory."""
    whole = ModelStack.load(row("qwen3-vl-2b", folders), device="cpu")
    parted = ModelStack.load(row("qwen3-vl-2b", folders), device="cpu", placement=Placement(spread=True))
    _, first = analysed(whole, tmp_path)
    with Clip.open(tmp_path / "marked.mp4") as clip:
        second = analyse(clip, parted, cache_dir=tmp_path / "parted")
    assert np.array_equal(first.dense.score, second.dense.score)


def test_each_gpu_keeps_room_for_the_work_and_the_cpu_takes_the_rest() -> None:
    assert limits([8_000_000_000, 2_000_000_000], 30_000_000_000, 3.0) == {
        0: 5_000_000_000,
        1: 0,
        "cpu": 30_000_000_000,
    }
    assert limits([], 5, 3.0) == {"cpu": 5}
    for profile in PROFILES.values():
        assert profile.memory_gb - profile.download_gb > 1, "a profile needs more than its weights"


@pytest.mark.usefixtures("hub")
def test_a_disk_too_small_is_told_before_anything_is_fetched() -> None:
    with pytest.raises(StackError, match=r"takes 1e\+09 GB"):
        locate(replace(PROFILES["qwen3-vl-2b"], download_gb=1e9))


def test_profiles_say_what_is_here_and_what_stands_in(hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not hub.exists()
    assert main(["profiles"]) == 0
    told = capsys.readouterr().out
    for name, profile in PROFILES.items():
        assert f"{name}: {profile.title}" in told
        assert profile.licence in told
    assert told.count("(here)") == 1
    assert "stand-ins: scorer: the language model's own yes or no" in told


def test_the_readme_tells_of_every_profile() -> None:
    table = [line for line in (ASSETS.parent / "README.md").read_text("utf-8").splitlines() if line.startswith("| `")]
    lines = {line.split("`")[1]: line for line in table}
    for name, profile in PROFILES.items():
        assert profile.licence.split(" (")[0] in lines[name]
        if name != "bundled":
            assert f"| {profile.memory_gb:g} GB | {profile.download_gb:g} GB |" in lines[name]
            assert f"SAM 2.1 {profile.segmenter} |" in lines[name]
            assert all(part in lines[name] for part in profile.trained)
