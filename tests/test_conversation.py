"""Dialogue: the video is read once, every turn sees the history, and what is cached equals what would be recomputed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.drawn import write_clip
from workbench.analysis import analyse
from workbench.conversation import Conversation, evidence_for
from workbench.errors import InputError, StackError
from workbench.prompts import STANDARD_QUESTIONS, question_kind
from workbench.records import Analysis, Event, Instance
from workbench.stack.loading import ModelStack
from workbench.video import Clip


@pytest.fixture(scope="module")
def analysis(tiny_stack: ModelStack, tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    folder = tmp_path_factory.mktemp("clip")
    with Clip.open(write_clip(folder / "marked.mp4")) as clip:
        return analyse(clip, tiny_stack, cache_dir=folder / "cache")


def whole_dialogue_logits(stack: ModelStack, talk: Conversation, question: str) -> torch.Tensor:
    """Logits after `question`, from one pass over the whole dialogue, without any cache."""
    backbone, layout = stack.backbone, stack.profile.layout
    parts = [talk._video_prompt()]
    for number, turn in enumerate(talk.turns):
        asked = layout.next_turn(turn.question) if number else layout.first_turn(turn.question)
        ids = [*backbone.text_ids(asked), *backbone.text_ids(turn.answer), backbone.end_token_id]
        parts.append(backbone.embed_ids(torch.tensor(ids)))
    asked = layout.next_turn(question) if talk.turns else layout.first_turn(question)
    parts.append(backbone.embed_ids(torch.tensor(backbone.text_ids(asked))))
    return backbone.step(torch.cat(parts), backbone.new_cache())


def fixed_answer(talk: Conversation, question: str, answer: str) -> None:
    """Put a turn into the dialogue whose answer survives being decoded and encoded again."""
    text, layout = talk._running(), talk.stack.profile.layout
    talk._starts.append(text.length)
    text.feed_text(layout.next_turn(question) if talk.turns else layout.first_turn(question))
    text.feed_text(answer)
    text.feed_ids([talk.stack.backbone.end_token_id])
    from workbench.records import Turn

    talk.turns.append(Turn("free", question, answer))


def test_a_later_turn_equals_reading_everything_again(tiny_stack: ModelStack, analysis: Analysis) -> None:
    talk = Conversation(tiny_stack, analysis)
    fixed_answer(talk, "Is there an anomaly?", "nothing abnormal happens")
    fixed_answer(talk, "What happens?", "people walk along the street")
    text = talk._running()
    text.feed_text(tiny_stack.profile.layout.next_turn("Why?"))
    expected = whole_dialogue_logits(tiny_stack, talk, "Why?")
    assert text._logits is not None
    assert torch.allclose(text._logits, expected, atol=1e-4)


def test_the_video_is_read_once(tiny_stack: ModelStack, analysis: Analysis) -> None:
    talk = Conversation(tiny_stack, analysis)
    talk.say("judgement")
    before = talk._running().length
    talk.say("description")
    question = tiny_stack.profile.layout.next_turn(STANDARD_QUESTIONS["description"])
    added = talk._running().length - before
    assert added <= len(tiny_stack.backbone.text_ids(question)) + tiny_stack.profile.max_new_tokens + 1
    assert added < tiny_stack.backbone.tokens_per_frame * len(talk.frame_times_s)
    assert [turn.kind for turn in talk.turns] == ["judgement", "description"]


def test_an_answer_streams_and_can_be_stopped(tiny_stack: ModelStack, analysis: Analysis) -> None:
    talk = Conversation(tiny_stack, analysis)
    whole = talk.say("description").answer
    talk.retract()
    pieces = talk.ask("description")
    first = next(pieces)
    pieces.close()
    assert whole.startswith(first.strip())
    assert len(talk.turns) == 1
    assert len(talk.turns[0].answer) <= len(whole)
    assert talk.say("analysis").question == STANDARD_QUESTIONS["analysis"]


def test_a_retracted_turn_leaves_no_trace(tiny_stack: ModelStack, analysis: Analysis) -> None:
    talk = Conversation(tiny_stack, analysis)
    once = talk.say("judgement").answer
    talk.say("Who is there?")
    assert talk.retract() is not None
    assert talk.retract() is not None
    assert talk.retract() is None
    assert talk.say("judgement").answer == once


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_where_memory_runs_out_the_next_question_sees_all_of_it_again(
    tiny_stack: ModelStack, analysis: Analysis, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    talk, other = (Conversation(tiny_stack, analysis) for _ in range(2))
    expected = [other.say(question).answer for question in ("judgement", "Who is there?")]
    for number, question in enumerate(("judgement", "Who is there?")):
        left = iter(range(steps))
        whole = tiny_stack.backbone.step

        def step(*fed: object, left=left, whole=whole) -> torch.Tensor:
            if next(left, None) is None:
                raise torch.OutOfMemoryError("out of memory")
            return whole(*fed)

        with monkeypatch.context() as patch:
            patch.setattr(tiny_stack.backbone, "step", step)
            with pytest.raises(StackError, match="memory"):
                talk.say(question)
        assert len(talk.turns) == number
        assert talk.say(question).answer == expected[number]
    assert talk.retract() is not None
    assert talk.say("Who is there?").answer == expected[1]


def test_a_span_is_answered_from_frames_inside_it(tiny_stack: ModelStack, analysis: Analysis) -> None:
    talk = Conversation(tiny_stack, analysis, span_s=(0.8, 1.6))
    assert all(0.8 <= time_s <= 1.6 for time_s in talk.frame_times_s)
    assert len(set(talk.frame_times_s)) == len(talk.frame_times_s)
    assert talk.say("judgement").answer is not None


@pytest.mark.parametrize("question", ["", "   ", "x" * 2001])
def test_a_question_that_cannot_be_asked_is_refused(tiny_stack: ModelStack, analysis: Analysis, question: str) -> None:
    talk = Conversation(tiny_stack, analysis)
    with pytest.raises(InputError, match="question"):
        talk.ask(question)
    assert talk.turns == []


def test_an_analysis_without_features_says_what_to_do(tiny_stack: ModelStack, analysis: Analysis) -> None:
    from dataclasses import replace

    with pytest.raises(InputError, match="analyse the clip again"):
        Conversation(tiny_stack, replace(analysis, features=None))


def test_evidence_names_spans_and_the_instances_in_them(analysis: Analysis) -> None:
    from dataclasses import replace

    box = (0.0, 0.0, 4.0, 4.0)
    thief = Instance(1, "perpetrator", "person", "a person in red", "runs", 20, 30, {20: box}, {})
    passer = Instance(2, "bystander", "person", "a person in blue", "walks", 20, 30, {20: box}, {})
    elsewhere = Instance(3, "victim", "person", "a person in green", "falls", 50, 59, {50: box}, {})
    seen = replace(analysis, events=[Event(0.8, 1.2, 1.0, 0.9)], instances=[thief, passer, elsewhere])
    affirmed = evidence_for("Yes, there is an anomaly: robbery.", "judgement", seen)
    assert [(e.start_s, e.instance_id) for e in affirmed] == [(0.8, None), (0.8, 1)]
    assert evidence_for("No, nothing abnormal happens.", "judgement", seen) == ()
    assert evidence_for("It is normal: people only walk.", "analysis", seen) == ()
    assert evidence_for("A robbery is abnormal.", "analysis", seen) == affirmed
    assert evidence_for("Yes.", "judgement", seen, span_s=(1.5, 2.0)) == ()


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Is there an anomaly in this clip, and what is it?", "judgement"),
        ("Why did he run?", "analysis"),
        ("Describe the scene.", "description"),
        ("What colour is the car?", "free"),
    ],
)
def test_a_question_is_told_by_its_words(question: str, kind: str) -> None:
    assert question_kind(question) == kind


def test_sampled_frames_reuse_the_dense_pass(tiny_stack: ModelStack, analysis: Analysis) -> None:
    assert analysis.features is not None
    talk = Conversation(tiny_stack, analysis)
    picked = np.searchsorted(analysis.dense.frame_index, analysis.sampled_frames)
    prompt = talk._video_prompt()
    first = torch.from_numpy(np.array(analysis.features.tokens[picked[0]], np.float32))
    rows = (prompt[:, None] - first[None]).abs().amax(-1).amin(0)
    assert float(rows.max()) < 1e-6, "the visual tokens of a sampled frame must be those of the dense pass"
    assert Path(analysis.clip.path).name == "marked.mp4"
