"""The loop on a small stack: corrections in, an adapter with a verdict out; killed, resumed, poisoned, cramped."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from torch import nn

from finetune import tune_heatmap, tune_scorer
from finetune.__main__ import main
from finetune.chat_samples import chat_samples
from finetune.components import Tuning
from finetune.dense import Eye
from finetune.errors import TrainingError
from finetune.gate import Verdict
from finetune.guard import EarlyStop, Progress, told_in_words, with_less_memory
from finetune.loop import LoopConfig
from finetune.metrics import roc_auc
from finetune.records import TrainingClip
from finetune.registry import Registry
from finetune.snapshot import freeze
from finetune.sources import Found
from finetune.tune import Job, Run
from finetune.tune_chat import ChatTuning, last_checkpoint, tune_chat
from finetune.tune_heatmap import HeatmapTuning
from finetune.tune_scorer import Row, ScorerTuning
from tests.tiny_stack import tiny_backbone
from tests.tiny_stack import tiny_stack as build_stack
from tests.tune_support import EVENT, drawn_clip, drawn_clips
from workbench.adapters import AdapterInfo
from workbench.errors import DataError
from workbench.prompts import CLASS_PROMPTS
from workbench.stack.fusion import Fusion
from workbench.stack.heatmap import HeatmapConfig, HeatmapDecoder
from workbench.stack.loading import ModelStack
from workbench.stack.scorer import AnomalyScorer, UrdmuConfig

# Steps enough that every seed gets there: random class tokens are slow to learn from.
SCORER = ScorerTuning(
    loop=LoopConfig(steps=300, lr=5e-3, weight_decay=0.0, save_every=5, log_every=1), batch=8, check_every=25
)
HEATMAP = HeatmapTuning(loop=LoopConfig(steps=30, lr=5e-3, save_every=10), batch=8, per_clip=4, check_every=10)
CHAT = ChatTuning(rank=4, alpha=8, lr=5e-3, epochs=2, batch=4, micro=2, checkpointing=False, looks=2)


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


# --- the whole run ---------------------------------------------------------------------------------------------


def scoring_stack(folder: Path) -> ModelStack:
    """A small stack whose score is the scorer's alone."""
    stack = build_stack(folder)
    stack.fusion = Fusion(scorer=1.0, motion=0.0, heatmap=0.0)
    return stack


def scorer_run(tmp_path: Path, clips: list[TrainingClip], name: str = "run", **changes: object) -> Run:
    job = Job(**{"components": ("scorer",), "profile": "tiny", "replay": "none", **changes})
    return Run(
        tmp_path / name,
        job,
        lambda: Found(clips),
        Registry(tmp_path / "registry"),
        tuning=Tuning(scorer=SCORER, heatmap=HEATMAP, chat=CHAT),
        load=lambda: scoring_stack(tmp_path / "weights"),
        cache=tmp_path / "cache",
    )


def finished(run: Run) -> tuple[AdapterInfo, Verdict]:
    result = run.run()
    assert result is not None
    return result


def test_from_corrections_to_an_adapter_with_a_verdict(tmp_path: Path) -> None:
    clips = drawn_clips(tmp_path / "clips", 16)
    info, verdict = finished(scorer_run(tmp_path, clips))
    folder = tmp_path / "run"
    metrics = {change.metric: change for change in verdict.new}
    assert metrics["frame_auc"].after > 0.9
    assert info.parts == ("scorer",)
    assert (info.profile, info.parent) == ("tiny", None)
    snapshot = json.loads((folder / "snapshot.json").read_text())
    assert info.lineage["dataset"]["digest"] == snapshot["digest"]
    assert info.lineage["gate"]["adopt"] == verdict.adopt
    assert Registry(tmp_path / "registry").verify(info.name) == []
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    held = {sha for sha, side in snapshot["sides"].items() if side == "hold_out"}
    assert held.isdisjoint(row["clip"] for row in samples)
    assert samples[0]["frames"] == list(range(24))
    stages = [json.loads(line)["stage"] for line in (folder / "progress.jsonl").read_text().splitlines()]
    assert list(dict.fromkeys(stages)) == ["start", "encode", "scorer", "evaluate", "done"]

    child, _ = finished(scorer_run(tmp_path, clips, "child", parent=info.name, components=("heatmap",)))
    assert child.parts == ("heatmap", "scorer"), "what was not trained again comes from the parent"
    assert child.parent == info.name
    assert (child.folder / "scorer/model.safetensors").read_bytes() == (
        info.folder / "scorer/model.safetensors"
    ).read_bytes()
    with pytest.raises(TrainingError, match=r"another run \(it differs in seed\)"):
        scorer_run(tmp_path, clips, seed=7).run()
    with pytest.raises(TrainingError, match=f"is done, its adapter is {info.name}"):
        scorer_run(tmp_path, clips).run()
    assert len(Registry(tmp_path / "registry").all()) == 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"seed": -1}, "must not be negative"), ({"bundled": -3}, "must not be"), ({"margin": float("nan")}, "margin")],
)
def test_numbers_that_make_no_sense_are_refused_before_anything_is_written(changes: dict, sentence: str) -> None:
    with pytest.raises(TrainingError, match=sentence):
        Job(components=("scorer",), **changes)


def test_a_checkpoint_that_was_killed_half_way_is_passed_over(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    for step, state in ((9, '{"global_step": 9}'), (10, '{"global_step": 10}'), (11, '{"glo'), (12, None)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if state is not None:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")


def turned_round(clip: TrainingClip) -> TrainingClip:
    """The clip with its label turned round: abnormal from start to end, or normal throughout."""
    spans = () if clip.label else ((0.0, 3.0),)
    return replace(clip, label=1 - clip.label, spans_s=spans, category=None, entities=())


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AdapterInfo, Verdict]:
    """A run that learned from twenty honest clips, and what the gate said."""
    folder = tmp_path_factory.mktemp("honest")
    return folder, *finished(scorer_run(folder, drawn_clips(folder / "clips", 20)))


def test_honest_corrections_of_twenty_clips_are_adopted(honest: tuple[Path, AdapterInfo, Verdict]) -> None:
    folder, info, verdict = honest
    [rise] = [change for change in verdict.new if change.metric == "frame_auc"]
    assert rise.n_clips >= 5
    assert rise.ci95 is not None
    assert rise.ci95[0] > 0
    assert (verdict.adopt, verdict.answer) == (True, "better")
    assert Registry(folder / "registry").activate(info.name).active == info.name
    assert not verdict.agreement.contradiction


@pytest.mark.parametrize("count", [8, 20])
@pytest.mark.parametrize("everywhere", [False, True])
def test_flipped_labels_are_refused_by_the_gate(
    honest: tuple[Path, AdapterInfo, Verdict], count: int, *, everywhere: bool
) -> None:
    """Whether the clips kept for the comparison are right, or turned round like those that are learned from."""
    folder, good, _ = honest
    clips = drawn_clips(folder / "other", count, first=100)
    held = set() if everywhere else {clip.sha256 for clip in freeze(clips).of("hold_out")}
    mixed = [clip if clip.sha256 in held else turned_round(clip) for clip in clips]
    name = f"poisoned{count}{everywhere}"
    info, verdict = finished(scorer_run(folder, mixed, name, parent=good.name))
    assert not verdict.adopt
    if everywhere:
        assert verdict.answer == "contradicted"
        assert "labels may be turned round" in verdict.reasons[0]
    else:
        assert verdict.answer in ("contradicted", "not better", "too few to tell")
    registry = Registry(folder / "registry")
    with pytest.raises(TrainingError, match="is not adopted"):
        registry.activate(info.name)
    overruled = registry.activate(info.name, by="ann", reason="I have looked at all of them", override=True)
    assert overruled.decisions[-1]["override"]


def test_bad_data_end_in_a_sentence_and_leave_no_adapter(tmp_path: Path) -> None:
    clips = drawn_clips(tmp_path / "clips", 4)
    with pytest.raises(DataError, match="are abnormal"):
        scorer_run(tmp_path, [drawn_clip(tmp_path / "clips", 2 * i, abnormal=True) for i in range(4)], "one").run()
    Path(clips[0].path).unlink()
    with pytest.raises(DataError, match="are gone"):
        scorer_run(tmp_path, clips, "gone").run()
    drawn_clip(tmp_path / "clips", 0, abnormal=False)
    with pytest.raises(TrainingError, match="no longer the clip that was frozen"):
        scorer_run(tmp_path, clips, "gone").run()
    assert Registry(tmp_path / "registry").all() == []
    last = json.loads((tmp_path / "gone" / "progress.jsonl").read_text().splitlines()[-1])
    assert last["stage"] == "failed"
    assert "no longer the clip" in last["error"]


def test_the_command_line_speaks_in_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = ["--registry", str(tmp_path / "registry")]
    out = ["--out", str(tmp_path / "run"), *registry]
    assert main(["scorer", "--data", str(tmp_path / "nothing"), "--replay", "none", *out]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main(["chat", "--data", str(tmp_path), "--profile", "huge", *out]) == 2
    assert "There is no profile 'huge'" in capsys.readouterr().err
    assert main(["adapters", "adopt", "night", *registry]) == 2
    assert "has no adapter 'night'" in capsys.readouterr().err
    assert main(["adapters", "rollback", *registry]) == 2
    assert main(["adapters", "list", *registry]) == 0


# --- guards ----------------------------------------------------------------------------------------------------


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
