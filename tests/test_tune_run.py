"""A run of the loop from corrections to an adapter with a verdict, on a small stack: honest, poisoned, refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from finetune.__main__ import main
from finetune.components import Tuning
from finetune.errors import TrainingError
from finetune.gate import Verdict
from finetune.records import TrainingClip
from finetune.registry import Registry
from finetune.snapshot import freeze
from finetune.sources import Found
from finetune.teaching import teachable
from finetune.tune import Job, Run
from finetune.tune_chat import last_checkpoint
from tests.tiny_stack import tiny_stack as build_stack
from tests.tune_support import CHAT, HEATMAP, SCORER, drawn_clip, drawn_clips
from workbench.adapters import AdapterInfo
from workbench.errors import DataError
from workbench.stack.fusion import Fusion
from workbench.stack.loading import ModelStack


def scoring_stack(folder: Path) -> ModelStack:
    """A small stack whose score is the scorer's alone."""
    stack = build_stack(folder)
    stack.fusion = Fusion(scorer=1.0, motion=0.0, heatmap=0.0)
    return stack


def scorer_run(tmp_path: Path, clips: list[TrainingClip], name: str = "run", **changes: object) -> Run:
    job = Job(**{"components": ("scorer",), "profile": "tiny", "replay": "none", "bundled": 0, **changes})
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


def test_what_was_learned_lies_beside_the_store_it_was_learned_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORKBENCH_ADAPTERS", raising=False)
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "page.db"))
    assert main(["adapters", "adopt", "night", "--store", str(tmp_path / "other.db")]) == 2
    assert str(tmp_path / "other.adapters") in capsys.readouterr().err
    assert main(["adapters", "adopt", "night"]) == 2
    assert str(tmp_path / "page.adapters") in capsys.readouterr().err
    assert main(["scorer", "--replay", "none", "--out", str(tmp_path / "run")]) == 2  # the page's store
    assert str(tmp_path / "page.db") in capsys.readouterr().err


def test_what_the_clips_cannot_teach_is_left_out_and_said(tmp_path: Path) -> None:
    bare = [drawn_clip(tmp_path, seed, abnormal=bool(seed % 2), masks=False) for seed in range(4)]
    taught, left_out = teachable(("scorer", "heatmap", "segmenter"), bare)
    assert taught == ("scorer",)
    assert [reason.split(":")[0] for reason in left_out] == ["the heatmap was left out", "the segmenter was left out"]
    with pytest.raises(TrainingError, match="no clip to train on has masks inside an event"):
        teachable(("heatmap",), bare)
    masked = [*bare, drawn_clip(tmp_path, 5, abnormal=True)]
    assert teachable(("scorer", "heatmap", "segmenter", "chat"), masked)[1] == ()
