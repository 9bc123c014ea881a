"""What the Fine-tune room decides: requests, counts, who may train, which adapter the stack carries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune.__main__ import build_parser
from finetune.registry import Registry
from tests.benchmarks.learning import turned_round
from tests.store_support import analysis, empty_store, store_with_clip
from tests.test_registry import PASSED, REFUSED, built
from workbench import jobs, training
from workbench.corrections import history
from workbench.corrections.clips import save_analysis
from workbench.corrections.place import adapters_dir
from workbench.errors import InputError, StackError
from workbench.records import ClipInfo
from workbench.stack.loading import ModelStack
from workbench.training import Counts, Request, count_data
from workbench.ui import tuning
from workbench.ui.services import Services
from workbench.ui.session import Annotator, Session

ANN = Session("s", Annotator("ann"))


@pytest.fixture
def services(tmp_path: Path, tiny_stack: ModelStack) -> Iterator[Services]:
    made = Services(work_dir=tmp_path, samples_dir=tmp_path, load=lambda _: tiny_stack)
    yield made
    made.close()


def test_a_request_becomes_the_command_line_that_training_reads(tmp_path: Path) -> None:
    asked = Request.of({"components": ["heatmap", "scorer"], "steps": 30, "bundled": 4, "unknown": 1})
    line = asked.command(store=tmp_path / "s.db", run=tmp_path / "run", registry=tmp_path / "adapters")
    parsed = build_parser().parse_args(line[3:])
    assert (parsed.only, parsed.steps, parsed.bundled, parsed.store) == ("scorer,heatmap", 30, 4, tmp_path / "s.db")
    assert (parsed.replay, parsed.replay_share, parsed.margin) == ("street", 0.5, 0.02)
    assert Request.of(asked.to_document()) == asked


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"components": []}, "Choose what to train"),
        ({"components": ["scorer"], "steps": 0}, "The number of steps is 0; it lies between 1 and"),
        ({"components": ["scorer"], "replay_share": 2}, "The share of replay is 2"),
        ({"components": ["scorer"], "replay": "/etc"}, "it is 'street' or 'none'"),
        ({"components": ["scorer"], "seed": "many"}, "cannot be read"),
        ({"components": 7}, "cannot be read"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(values: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Request.of(values)


def test_what_there_is_to_learn_from_is_counted(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)
    assert count_data(store) == Counts(waiting=1)
    history.save(store, clip.id, [history.edit("video", "video", "state", "done")], annotator="ann")
    gone = count_data(store)
    assert (gone.clips, gone.gone, gone.lost) == (0, 1, clip.name), "its file was never there"
    assert f"The file of {clip.name} is not where it was" in str(gone.missing("scorer"))
    media = tmp_path / "street.mp4"
    media.touch()
    info = analysis().clip
    kept = ClipInfo(**{**{name: getattr(info, name) for name in info.__slots__}, "path": str(media)})
    other = empty_store(tmp_path)
    record = save_analysis(other, analysis(clip=kept))
    history.save(other, record.id, [history.edit("video", "video", "state", "done")], annotator="ann")
    counts = count_data(other)
    assert (counts.clips, counts.abnormal, counts.events, counts.masks, counts.masked_clips) == (1, 1, 2, 2, 1)
    assert counts.missing("scorer") == "One clip cannot be split into learning and testing; approve another."
    assert counts.missing("heatmap") is None
    assert Counts().missing("chat") == "No clip is approved yet: review one and press “Done”."
    assert "has a mask" in str(Counts(clips=3).missing("heatmap"))


def test_nothing_approved_cannot_be_started(services: Services) -> None:
    with pytest.raises(InputError, match="Scorer: No clip is approved yet"):
        tuning.begin(services, ANN, {"components": ["scorer"]})
    assert jobs.list_jobs(services.desk.store) == []
    told = tuning.tuning_reply(services, {})
    assert told["shown"] is None
    assert all(part["missing"] for part in told["components"])


def test_strangers_see_a_sentence_and_start_nothing(tmp_path: Path, tiny_stack: ModelStack) -> None:
    services = Services(work_dir=tmp_path, samples_dir=tmp_path, load=lambda _: tiny_stack, public=True)
    try:
        assert tuning.tuning_reply(services, {}) == {"public": tuning.STRANGERS}
        for act in (
            lambda: tuning.begin(services, ANN, {"components": ["scorer"]}),
            lambda: tuning.control(services, {"op": "stop", "job": 1}),
            lambda: tuning.decide(services, ANN, {"op": "back"}),
        ):
            with pytest.raises(InputError, match="strangers share"):
                act()
    finally:
        services.close()


def finished_job(services: Services, name: str, gate: dict) -> int:
    """A run whose adapter is in the registry, with what the gate said in its folder."""
    folder = services.work_dir / f"made-{name}"
    Registry(services.adapters_dir).add(folder, built(folder, name, gate=gate))
    job = jobs.add_job(services.desk.store, {"components": ["scorer"]}, annotator="ann")
    jobs.mark_ended(services.desk.store, job.id, "done", adapter=name)
    run = services.training.run_folder(job.id)
    run.mkdir(parents=True)
    (run / "gate.json").write_text(f'{{"adopt": {str(gate["adopt"]).lower()}, "reasons": []}}')
    return job.id


def test_adopting_asks_the_registry_and_writes_down_who_did(services: Services) -> None:
    services.training.close()  # nothing is to be started here
    job = finished_job(services, "night", PASSED)
    tuning.decide(services, ANN, {"op": "adopt", "job": job})
    assert services.active_adapter() == "night"
    assert Registry(services.adapters_dir).pointer().decisions[-1]["by"] == "ann"
    [line] = tuning.tuning_reply(services, {})["jobs"]
    assert (line["decision"], line["decided_by"], line["in_use"]) == ("adopted", "ann", True)
    with pytest.raises(InputError, match="was adopted by ann already"):
        tuning.decide(services, ANN, {"op": "reject", "job": job})
    tuning.decide(services, ANN, {"op": "back"})
    assert services.active_adapter() is None


def test_the_gate_is_overruled_only_with_a_reason(services: Services) -> None:
    services.training.close()
    job = finished_job(services, "bad", REFUSED)
    with pytest.raises(InputError, match="say why"):
        tuning.decide(services, ANN, {"op": "adopt", "job": job, "reason": " "})
    assert services.active_adapter() is None
    assert jobs.get_job(services.desk.store, job).decision is None
    tuning.decide(services, ANN, {"op": "adopt", "job": job, "reason": "the hold-out is mislabelled"})
    decided = Registry(services.adapters_dir).pointer().decisions[-1]
    assert (decided["by"], decided["reason"], decided["override"]) == ("ann", "the hold-out is mislabelled", True)


def test_a_rejected_adapter_is_not_used(services: Services) -> None:
    services.training.close()
    job = finished_job(services, "night", PASSED)
    tuning.decide(services, ANN, {"op": "reject", "job": job, "reason": "too eager"})
    assert services.active_adapter() is None
    assert jobs.get_job(services.desk.store, job).reason == "too eager"


def test_an_adapter_of_another_profile_is_named_and_not_used(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "adapters")
    registry.add(tmp_path / "made", built(tmp_path / "made", "night", gate=PASSED))
    registry.activate("night")
    with pytest.raises(StackError, match="was trained on the profile 'tiny' and does not fit 'bundled'"):
        training.active_adapter(registry.folder, "bundled")
    found = training.active_adapter(registry.folder, "tiny")
    assert found is not None
    assert found.name == "night"
    (registry.folder / "active.json").write_text("[")
    with pytest.raises(StackError, match="cannot be read"):
        training.active_adapter(registry.folder, "tiny")
    assert training.active_adapter(tmp_path / "none", "tiny") is None


def test_the_registry_lies_beside_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_ADAPTERS", raising=False)
    assert adapters_dir(tmp_path / "my.db") == tmp_path / "my.adapters"
    monkeypatch.setenv("WORKBENCH_ADAPTERS", str(tmp_path / "shared"))
    assert adapters_dir(tmp_path / "my.db") == tmp_path / "shared"


def test_poisoned_truth_says_the_opposite() -> None:
    calm = {"label": 0, "n_frames": 4, "events": [], "frame_label": [0] * 4, "category": "normal"}
    turned = turned_round(calm)
    assert (turned["label"], turned["frame_label"], len(turned["events"])) == (1, [1] * 4, 1)
    back = turned_round(turned)
    assert (back["label"], back["frame_label"], back["events"], back["category"]) == (0, [0] * 4, [], "normal")
