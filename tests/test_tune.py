"""The recipes of the loop on small nets: what each learns, killed, resumed, cramped."""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peft import PeftModel
from torch import nn
from transformers import TrainerState

from finetune import tune_heatmap, tune_scorer
from finetune.chat_samples import chat_samples
from finetune.dense import Eye
from finetune.errors import TrainingError
from finetune.guard import EarlyStop, Progress, told_in_words, with_less_memory
from finetune.metrics import roc_auc
from finetune.tune_chat import ChatTuning, _fit, _Tell, tune_chat
from finetune.tune_scorer import Row
from tests.drawn import write_variable_rate
from tests.tiny_stack import tiny_backbone
from tests.tiny_stack import tiny_stack as build_stack
from tests.tune_support import CHAT, EVENT, HEATMAP, SCORER, drawn_clip, drawn_clips
from workbench.probe import probe
from workbench.prompts import CLASS_PROMPTS
from workbench.stack.heatmap import HeatmapConfig, HeatmapDecoder
from workbench.stack.scorer import AnomalyScorer, UrdmuConfig


def rows(count: int = 12, frames: int = 24, seed: int = 0) -> list[Row]:
    """Class tokens in which an event shows in one channel."""
    made = []
    for i in range(count):
        rng = np.random.default_rng((seed, i))
        labels = np.zeros(frames, np.float32)
        labels[8:16] = i % 2
        cls = rng.standard_normal((frames, 16)).astype(np.float32)
        cls[:, 0] += 2 * labels
        made.append(Row(cls, labels, i % 2))
    return made


def small_scorer() -> AnomalyScorer:
    torch.manual_seed(0)
    sizes = UrdmuConfig(input_dim=16, hidden=32, heads=2, head_dim=8, ffn=32, memory=16, classifier=8)
    return AnomalyScorer(sizes).eval().requires_grad_(False)


def auc(scorer: AnomalyScorer, seen: list[Row]) -> float:
    with torch.no_grad():
        scores = [scorer(torch.from_numpy(row.cls)[None]).scores[0].numpy() for row in seen]
    return roc_auc(np.concatenate([row.labels for row in seen]), np.concatenate(scores))


def losses(folder: Path, name: str = "scorer") -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / f"{name}.jsonl").read_text().splitlines()]


class KilledAt(Progress):
    """A progress whose watcher ends the program at a step, as a kill would."""

    def __init__(self, path: Path, step: int) -> None:
        super().__init__(path)
        self.step = step

    def watch(self, stage: str, steps: int, every: int = 5) -> Callable[[int, float], bool]:
        del stage, steps, every

        def after(step: int, _loss: float) -> bool:
            if step == self.step:
                raise KeyboardInterrupt
            return False

        return after


def test_the_scorer_learns_from_where_it_was_and_leaves_that_alone(tmp_path: Path) -> None:
    start, unseen = small_scorer(), rows(seed=9)
    before = {key: value.clone() for key, value in start.state_dict().items()}
    tuned = tune_scorer.tune_scorer(start, rows(), [], rows(4, seed=5), SCORER, tmp_path)
    assert auc(tuned, unseen) > max(0.85, auc(start, unseen) + 0.1)
    assert all(torch.equal(before[key], value) for key, value in start.state_dict().items())
    assert not any(p.requires_grad for p in tuned.parameters())


def test_labels_of_clips_alone_teach_too(tmp_path: Path) -> None:
    weak = [Row(row.cls, None if row.label else row.labels, row.label) for row in rows(16)]
    tuned = tune_scorer.tune_scorer(small_scorer(), weak, [], [], SCORER, tmp_path)
    assert auc(tuned, rows(seed=9)) > 0.8


def test_a_run_killed_half_way_ends_with_the_same_loss(tmp_path: Path) -> None:
    tune_scorer.tune_scorer(small_scorer(), rows(), [], rows(4, seed=5), SCORER, tmp_path / "whole")
    killed = KilledAt(tmp_path / "p.jsonl", 23)
    with pytest.raises(KeyboardInterrupt):
        tune_scorer.tune_scorer(
            small_scorer(), rows(), [], rows(4, seed=5), SCORER, tmp_path / "killed", progress=killed
        )
    resumed = tune_scorer.tune_scorer(small_scorer(), rows(), [], rows(4, seed=5), SCORER, tmp_path / "killed")
    whole = losses(tmp_path / "whole")
    assert losses(tmp_path / "killed")[-1] == pytest.approx(whole[-1], abs=1e-3)
    again = tune_scorer.tune_scorer(small_scorer(), rows(), [], rows(4, seed=5), SCORER, tmp_path / "whole")
    for a, b in zip(resumed.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b), "and with the same best weights"


def test_with_replay_the_scorer_keeps_a_share_of_what_it_was(tmp_path: Path) -> None:
    start, old = small_scorer(), rows(4, seed=3)
    keeping = replace(SCORER, loop=replace(SCORER.loop, steps=20), keep=0.4)
    learned = tune_scorer.tune_scorer(start, rows(), old, [], replace(keeping, keep=0.0), tmp_path / "learned")
    between = tune_scorer.tune_scorer(start, rows(), old, [], keeping, tmp_path / "between")
    without = tune_scorer.tune_scorer(start, rows(), [], [], keeping, tmp_path / "without")
    assert any(not torch.equal(a, b) for a, b in zip(start.parameters(), learned.parameters(), strict=True))
    for a, b, c in zip(start.parameters(), between.parameters(), learned.parameters(), strict=True):
        torch.testing.assert_close(b, 0.4 * a + 0.6 * c)
    again = tune_scorer.tune_scorer(start, rows(), [], [], replace(keeping, keep=0.0), tmp_path / "again")
    for a, b in zip(without.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b), "nothing is replayed, so nothing old is to be kept"


def test_replay_takes_its_share_of_every_batch() -> None:
    new, old = rows(4), [Row(row.cls + 50, row.labels, row.label) for row in rows(40, seed=3)]
    draw = tune_scorer.ScorerDraw(new, old, 0.3, noise=0.0)
    features, labels, valid, abnormal = draw(np.random.default_rng(0), 600)
    assert labels is not None
    assert float((features.mean((1, 2)) > 25).float().mean()) == pytest.approx(0.3, abs=0.06)
    assert float(abnormal.float().mean()) == pytest.approx(0.5, abs=0.06)
    assert bool(valid.all())


def test_labels_alone_are_told_apart_within_a_batch_and_over_the_whole_clip() -> None:
    long = [Row(np.repeat(row.cls, 20, 0), None if row.label else np.zeros(480), row.label) for row in rows(8)]
    draw = tune_scorer.ScorerDraw(long, [], 0.0, noise=0.0)
    features, labels, valid, abnormal = draw(np.random.default_rng(0), 64)
    assert labels is None
    assert float(abnormal.float().mean()) == pytest.approx(0.5, abs=0.15), "both kinds in every batch"
    assert features.shape[1] <= tune_scorer.CROP
    assert bool(valid.all())
    for row, is_abnormal in zip(features, abnormal, strict=True):
        shown = float(row[:, 0].amax() - row[:, 0].amin())
        assert not is_abnormal or shown > 1, "the stretch that makes a clip abnormal is in it"


def test_frames_of_a_changing_rate_are_taken_by_their_own_times(tmp_path: Path) -> None:
    path, times = write_variable_rate(tmp_path / "phone.mp4")
    clip = drawn_clip(tmp_path, 0, abnormal=True)
    [square], info = clip.entities, probe(path)[0]
    span = (float(times[40]), float(times[50]))
    uneven = replace(
        clip, path=str(path), sha256=info.sha256, n_frames=info.n_frames, fps=info.fps, label=1, spans_s=(span,),
        entities=(replace(square, masks=dict.fromkeys(range(35, 55), square.masks[EVENT[0]])),),
    )  # fmt: skip
    frames, inside = tune_heatmap.chosen_frames(uneven, 20)
    assert [i for i, hot in zip(frames, inside, strict=True) if hot] == list(range(40, 50))


def test_the_heatmap_learns_where_and_its_text_side_stays(tmp_path: Path) -> None:
    stack = build_stack(tmp_path / "weights")
    clips = drawn_clips(tmp_path / "clips", 4)
    eye = Eye(stack, tmp_path / "cache")
    found = tune_heatmap.rows_of(eye, clips, per_clip=4)
    assert all(
        EVENT[0] <= frame < EVENT[1] for frame in found[0].frames if found[0].target[found[0].frames.index(frame)].any()
    )
    assert found[0].taps[0].shape == (len(found[0].frames), 4, 4, 32)
    assert not found[1].target.any(), "a normal clip is calm everywhere"
    assert stack.heatmap is not None
    tuned = tune_heatmap.tune_heatmap(stack.heatmap, found, [], [], HEATMAP, tmp_path / "run")
    taps, target = tune_heatmap.stacked(found, [(0, k) for k in range(len(found[0].frames))])
    with torch.no_grad():
        quality = [roc_auc(target.numpy() > 0.5, net(taps).heatmap.numpy()) for net in (stack.heatmap, tuned)]
    assert quality[1] > max(0.9, quality[0])
    assert torch.equal(tuned.text_prototypes, stack.heatmap.text_prototypes)


def test_a_heatmap_without_masks_has_nothing_to_learn(tmp_path: Path) -> None:
    backbone = tiny_backbone()
    decoder = HeatmapDecoder(HeatmapConfig(32, 32, tap_count=len(backbone.tap_blocks), hidden=16))
    decoder.set_prototypes(*(backbone.embed_prompts(CLASS_PROMPTS[name]) for name in ("normal", "abnormal")))
    calm = tune_heatmap.HeatRow((0,), [np.zeros((1, 4, 4, 32), np.float16)] * 3, np.zeros((1, 4, 4), np.float32))
    with pytest.raises(TrainingError, match="draw some masks"):
        tune_heatmap.tune_heatmap(decoder, [calm], [], [], HEATMAP, tmp_path)


def test_a_dialogue_is_learned_through_peft_and_opens_with_it(tmp_path: Path) -> None:
    stack = build_stack(tmp_path / "weights")
    eye = Eye(stack, tmp_path / "cache")
    samples = chat_samples(eye, eye.look_at_all(drawn_clips(tmp_path / "clips", 4)))
    assert samples[0].listed()["frames"] == sorted(samples[0].listed()["frames"])
    backbone, before = stack.backbone, {k: v.clone() for k, v in stack.backbone.model.state_dict().items()}
    layout = stack.profile.layout
    assert stack.regions is not None
    regions = tune_chat(backbone, stack.regions, layout, samples[:3], samples[3:], CHAT, tmp_path / "run")
    after = backbone.model.state_dict()
    assert before.keys() == after.keys(), "the backbone is given back without the LoRA"
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert any(not torch.equal(a, b) for a, b in zip(stack.regions.parameters(), regions.parameters(), strict=True))
    opened = PeftModel.from_pretrained(backbone.model, str(tmp_path / "run" / "lora"))
    trained = [p for name, p in opened.named_parameters() if "lora_B" in name]
    assert any(bool(p.any()) for p in trained)
    assert {
        name.split(".lora_B")[0].rpartition(".")[2] for name, _ in opened.named_parameters() if "lora_B" in name
    } >= {"q_proj", "down_proj"}
    files = sorted(path.name for path in (tmp_path / "run" / "lora").iterdir())
    assert files == ["adapter_config.json", "adapter_model.safetensors"]


# --- guards ----------------------------------------------------------------------------------------------------


class Drifting(nn.Module):
    """One number that training raises; looked at, it is best near 1.28 and from 1.4 on better still."""

    def __init__(self) -> None:
        super().__init__()
        self.height = nn.Parameter(torch.tensor(1.0))
        self.frozen = SimpleNamespace(
            samples=list(range(40)), backbone=SimpleNamespace(device=torch.device("cpu"))
        )  # what the loop asks of a tuner; no module, so that it is not saved

    def forward(self, index: torch.Tensor, return_loss: bool = True) -> dict[str, torch.Tensor]:
        """The loss: falling for ever in training, with a shallow valley where it is looked at."""
        del return_loss, index
        if self.training or self.height < 1.28:
            return {"loss": -self.height}
        return {"loss": self.height * 0 - (9.0 if self.height > 1.3985 else 0.0)}


def test_a_dialogue_that_early_stopping_ended_is_not_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning = ChatTuning(batch=4, micro=4, lr=0.02, steps=40, looks=8, patience=3, checkpointing=False)

    def run(folder: Path, killed_at: int | None = None) -> tuple[int, float]:
        def killed(_callback: object, _arguments: object, state: TrainerState, _control: object, **_: object) -> None:
            if state.global_step == killed_at:
                raise InterruptedError

        monkeypatch.setattr(_Tell, "on_save", killed, raising=False)
        progress, model = Progress(folder / "progress.jsonl"), Drifting()
        try:
            _fit(model, 32, tuning, 4, folder / "chat", progress)  # type: ignore[arg-type]
        except InterruptedError:
            return killed_at or 0, math.nan
        rows = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
        return rows[-1]["step"], round(float(model.height), 4)

    whole = run(tmp_path / "a")
    assert whole[0] < 40
    assert run(tmp_path / "b", killed_at=25)[0] == 25
    assert run(tmp_path / "b") == whole, "resumed like one that was never stopped"
    assert run(tmp_path / "a") == whole, "over is over"


def test_memory_that_runs_out_once_is_met_with_half_the_batch() -> None:
    asked: list[int] = []

    def train(batch: int) -> int:
        asked.append(batch)
        if batch > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return batch

    assert with_less_memory(train, 8) == 4
    assert asked == [8, 4]
    with pytest.raises(TrainingError, match="with 16 samples at a time and again with 8"):
        with_less_memory(train, 16)

    def other(_batch: int) -> int:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        with_less_memory(other, 8)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("PytorchStreamWriter failed writing file")]
)
def test_a_full_disk_is_a_sentence(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(TrainingError, match=r"disk .* is full"), told_in_words(tmp_path):
        raise error


def test_a_run_ends_once_it_no_longer_improves_and_the_best_weights_come_back(tmp_path: Path) -> None:
    net = nn.Linear(1, 1, bias=False)
    values = iter([3.0, 1.0, 2.0, 2.5, 9.0])

    def validate() -> float:
        return next(values)

    stop = EarlyStop({"net": net}, validate, tmp_path, every=2, patience=2)
    ended = []
    for step in range(8):
        with torch.no_grad():
            net.weight.fill_(float(step))
        ended.append(stop(step, 0.0))
        if ended[-1]:
            break
    assert ended == [False] * 7 + [True]
    stop.restore()
    assert float(net.weight) == 3.0, "the weights of the second look"
    assert EarlyStop({"net": net}, validate, tmp_path, every=2, patience=2).is_over
