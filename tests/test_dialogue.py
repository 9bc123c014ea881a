"""The dialogue and the instances of the page over a real stack and store, without a browser."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch

from tests import drawn
from tests.tiny_stack import tiny_stack as build_stack
from workbench.analysis import FAMILIARITY
from workbench.corrections import history
from workbench.errors import InputError, StackError
from workbench.masks import decode_rle, mask_box
from workbench.profiles import ASSETS
from workbench.records import Evidence, Instance
from workbench.stack.segmenter import Segmenter, SegmenterSpec
from workbench.ui import chat, film, gpu, instances, marks, review
from workbench.ui.app import build_page
from workbench.ui.dialogue import dialogue_payload
from workbench.ui.instance_cards import NONE_FOUND, cards_payload
from workbench.ui.services import Services
from workbench.ui.session import Review, Session

LENGTHS = itertools.count(32)
FRAME = 6


def square_at(index: int) -> np.ndarray:
    """Where the white square of `drawn.moving_square` is."""
    picture = drawn.moving_square(index)
    return (picture > 225).all(axis=2)


def box_around(index: int) -> list[float]:
    """A box that somebody draws around the square, two pixels wider."""
    found = mask_box(square_at(index))
    assert found is not None
    return [found[0] - 2, found[1] - 2, found[2] + 2, found[3] + 2]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    folder = tmp_path_factory.mktemp("services")
    shipped = Segmenter.load(SegmenterSpec.bundled(ASSETS / "bundled" / "segmenter"))
    stack = build_stack(folder, segmenter=shipped)
    made = Services(work_dir=folder, samples_dir=folder, load=lambda _: stack)
    yield made
    made.close()


@pytest.fixture
def session(services: Services, tmp_path: Path) -> Session:
    """A visitor with an analysed clip of a length no other test has, so that tests do not share a history."""
    session = services.new_session()
    path = drawn.write_clip(tmp_path / "clip.mp4", drawn.moving_square, n_frames=next(LENGTHS))
    list(review.open_and_analyse(services, session, path))
    return session


def asked(services: Services, session: Session, question: str) -> list[chat.Pending | None]:
    return list(chat.answer(session, services.conversation(session), question, services.desk))


def told(services: Services, session: Session) -> dict:
    return dialogue_payload(session.review, services.desk, session.annotator)


def rows(services: Services, session: Session, subject: str) -> list:
    clip = session.require_review().require_reviewed().clip.id
    page = history.page(services.desk.store, clip=clip, annotator=session.annotator.name)
    return [row for row in page if row.subject == subject]


def mask_on(session: Session, frame: int, **words: str) -> None:
    """Give the clip an instance with one mask, as somebody who drew it would."""
    shown = session.require_review()
    mask = np.zeros((shown.clip.info.height, shown.clip.info.width), bool)
    mask[20:60, 30:70] = True
    blank = Instance(len(shown.instances) + 1, "bystander", "object", "", "", frame, frame, {}, {})
    made = replace(instances.prompting.with_masks(blank, {frame: mask}), **words)
    assert shown.analysis is not None
    shown.analysis.instances.append(made)


class TestDialogue:
    def test_an_answer_streams_and_its_turn_is_in_the_store(self, services: Services, session: Session) -> None:
        steps = asked(services, session, "judgement")
        assert isinstance(steps[0], chat.Pending)
        assert steps[0].question == chat.shown_question("judgement") != "judgement"
        assert steps[-1] is None
        assert [turn["kind"] for turn in told(services, session)["turns"]] == ["judgement"]
        [kept] = session.require_review().require_reviewed().dialogue
        assert kept.provenance.kind == "model"
        assert [turn.kind for turn in session.require_analysis().dialogue] == ["judgement"]

    def test_words_on_unfamiliar_footage_are_shown_with_a_caution(self, services: Services, session: Session) -> None:
        assert told(services, session)["caution"] == ""
        shown, analysis = session.require_review(), session.require_analysis()
        parts = analysis.dense.parts | {FAMILIARITY: np.zeros(len(analysis.dense.score), np.float32)}
        shown.analysis = replace(analysis, dense=replace(analysis.dense, parts=parts))
        assert "unlike what the models learned on" in told(services, session)["caution"]

    def test_what_was_asked_later_comes_later(self, services: Services, session: Session) -> None:
        for question in ("judgement", "description", "Who is there?", "analysis"):
            asked(services, session, question)
        kinds = [turn["kind"] for turn in told(services, session)["turns"]]
        assert kinds == ["judgement", "description", "free", "analysis"]

    def test_stop_keeps_what_was_said_and_the_next_question_works(self, services: Services, session: Session) -> None:
        flow = chat.answer(session, services.conversation(session), "description", services.desk)
        next(flow)
        next(flow)
        assert told(services, session)["pending"] is not None
        with pytest.raises(InputError, match="still being written"):
            asked(services, session, "analysis")
        session.stop.set()
        assert list(flow)[-1] is None
        assert told(services, session)["turns"][0]["stopped"]
        asked(services, session, "analysis")
        assert [turn["stopped"] for turn in told(services, session)["turns"]] == [True, False]

    @pytest.mark.parametrize("question", ["", "   ", "x" * 5000])
    def test_a_question_that_cannot_be_asked_changes_nothing(
        self, services: Services, session: Session, question: str
    ) -> None:
        with pytest.raises(InputError):
            asked(services, session, question)
        said = told(services, session)
        assert (said["key"], said["turns"], said["pending"]) == (session.require_review().key, [], None)
        assert not session.answering.locked()

    def test_an_edited_answer_is_a_correction_and_undo_takes_it_back(
        self, services: Services, session: Session
    ) -> None:
        asked(services, session, "description")
        shown = session.require_review()
        before = shown.require_reviewed().dialogue[0]
        command = {"op": "answer", "id": before.id, "value": "  A square walks.  "}
        chat.edit(services.desk, shown, session.annotator, command)
        [turn] = told(services, session)["turns"]
        assert (turn["answer"], turn["by"]) == ("A square walks.", session.annotator.name)
        row = next(row for row in rows(services, session, "turn") if row.field == "answer")
        assert (row.before, row.after) == (before.turn.answer, "A square walks.")
        services.desk.turn_back(shown, session.annotator)
        assert shown.require_reviewed().dialogue[0].turn == before.turn

    def test_a_denied_judgement_loses_its_evidence(self, services: Services, session: Session) -> None:
        asked(services, session, "judgement")
        shown = session.require_review()
        said = replace(shown.require_reviewed().dialogue[0])
        said = replace(said, turn=replace(said.turn, answer="Yes, a fire.", evidence=(Evidence(0.0, 1.0),)))
        assert chat.reworded(shown, said, "No, this is normal.").turn.evidence == ()
        for text in ("", "x" * 5000):
            with pytest.raises(InputError):
                chat.reworded(shown, said, text)

    def test_confirm_reject_and_restore(self, services: Services, session: Session) -> None:
        asked(services, session, "judgement")
        shown = session.require_review()
        turn_id = shown.require_reviewed().dialogue[0].id
        for operation, verdict, standing in (
            ("confirm", "confirmed", 1), ("confirm", None, 1), ("reject", "rejected", 0), ("restore", None, 1),
        ):  # fmt: skip
            chat.edit(services.desk, shown, session.annotator, {"op": operation, "id": turn_id})
            [turn] = told(services, session)["turns"]
            assert turn["verdict"] == verdict
            assert len(shown.require_reviewed().dialogue) == standing
        with pytest.raises(InputError, match="not among the rejected"):
            chat.edit(services.desk, shown, session.annotator, {"op": "restore", "id": turn_id})
        chat.edit(services.desk, shown, session.annotator, {"op": "reject", "id": turn_id})
        for redo, verdict in ((False, None), (True, "rejected")):
            assert services.desk.turn_back(shown, session.annotator, redo=redo)
            assert [turn["verdict"] for turn in told(services, session)["turns"]] == [verdict]
        chat.edit(services.desk, shown, session.annotator, {"op": "restore", "id": turn_id})
        with pytest.raises(InputError, match="no command 'shout'"):
            chat.edit(services.desk, shown, session.annotator, {"op": "shout", "id": turn_id})

    def test_asking_again_takes_the_place_of_the_answer(self, services: Services, session: Session) -> None:
        for question in ("judgement", "description"):
            asked(services, session, question)
        talked, shown = services.conversation(session), session.require_review()
        last = shown.require_reviewed().dialogue[-1]
        list(chat.ask_again(session, talked, last.id, services.desk))
        assert [turn.kind for turn in talked.turns] == ["judgement", "description"]
        now = shown.require_reviewed().dialogue
        assert [item.turn.kind for item in now] == ["judgement", "description"]
        assert now[-1].id != last.id
        assert now[-1].turn.answer == last.turn.answer  # the small stack says the same each time
        with pytest.raises(InputError, match="not there any more"):
            list(chat.ask_again(session, talked, last.id, services.desk))

    @pytest.mark.skipif(gpu.LENT, reason="the model is in another process, where it cannot be made to fail")
    def test_an_answer_stays_when_asking_again_fails(
        self, services: Services, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked(services, session, "judgement")
        talked, shown = services.conversation(session), session.require_review()
        [old] = shown.require_reviewed().dialogue

        def full(*_: object) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

        with monkeypatch.context() as patched:
            patched.setattr(talked.stack.backbone, "step", full)
            with pytest.raises(StackError):
                list(chat.ask_again(session, talked, old.id, services.desk))
        assert shown.require_reviewed().dialogue == (old,)
        list(chat.ask_again(session, talked, old.id, services.desk))
        [new] = shown.require_reviewed().dialogue
        assert new.id != old.id
        assert new.turn.answer == old.turn.answer
        assert [turn.kind for turn in talked.turns] == ["judgement"]

    @pytest.mark.skipif(gpu.LENT, reason="the model is in another process, where it cannot be made to fail")
    def test_one_can_ask_again_after_an_answer_that_failed(
        self, services: Services, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        page = build_page(services)
        ask = next(fn.fn for fn in page.fns.values() if fn.name == "ask_this")
        talked, told = services.conversation(session), []

        def full(*_: object) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

        with monkeypatch.context() as patched:
            patched.setattr(talked.stack.backbone, "step", full)
            with pytest.raises(gr.Error):
                told.extend(ask(session.id))
        shown = {
            block.value: update.get("visible") for block, update in told[-1].items() if block.value in {"Ask", "Stop"}
        }
        assert shown == {"Ask": True, "Stop": False}


class TestInstances:
    def keep(self, services: Services, session: Session, frame: int = 5, **words: str) -> Review:
        """An instance of a person, saved."""
        mask_on(session, frame, **words)
        shown = session.require_review()
        instances._save(services, session, shown, shown.instances[-1], None)
        return shown

    def test_every_change_of_a_card_is_a_correction(self, services: Services, session: Session) -> None:
        shown = self.keep(services, session)
        commands = [
            {"op": "role", "id": 1, "value": "victim"},
            {"op": "text", "id": 1, "field": "appearance", "value": " a man \n in red "},
            {"op": "text", "id": 1, "field": "motion", "value": "runs"},
        ]
        for command in commands:
            assert instances.edit(services, session, command).select == 1
        [card] = cards_payload("sid", shown)["items"]
        assert (card["role"], card["appearance"], card["motion"]) == ("victim", "a man in red", "runs")
        changed = [row.field for row in rows(services, session, "instance")]
        assert changed == ["motion", "appearance", "role", ""]
        for _ in commands:
            services.desk.turn_back(shown, session.annotator)
        assert shown.instances[0].role == "bystander"

    def test_merge_trim_and_delete(self, services: Services, session: Session) -> None:
        shown = self.keep(services, session, 5)
        self.keep(services, session, 9)
        instances.edit(services, session, {"op": "merge", "id": 1, "other": 2})
        [card] = cards_payload("sid", shown)["items"]
        assert (card["id"], card["first_frame"], card["last_frame"], card["frames"]) == (1, 5, 9, 2)
        instances.edit(services, session, {"op": "starts", "id": 1, "frame": 7})
        assert sorted(shown.instances[0].masks_rle) == [9]
        instances.edit(services, session, {"op": "delete", "id": 1})
        assert cards_payload("sid", shown)["hint"] == NONE_FOUND
        services.desk.turn_back(shown, session.annotator)
        assert [i.id for i in shown.instances] == [1]

    @pytest.mark.parametrize(
        ("command", "said"),
        [
            ({"op": "role", "id": 1, "value": "hero"}, "no role 'hero'"),
            ({"op": "role", "id": 7, "value": "victim"}, "no instance 7"),
            ({"op": "merge", "id": 1, "other": 1}, "with itself"),
            ({"op": "text", "id": 1, "field": "masks_rle", "value": "x"}, "no text 'masks_rle'"),
            ({"op": "text", "id": 1, "field": "motion", "value": "x" * 5000}, "shorten it"),
            ({"op": "starts", "id": 1, "frame": "x"}, "named by its number"),
            ({"op": "explode", "id": 1}, "no command 'explode'"),
        ],
    )
    def test_a_senseless_command_is_refused(
        self, services: Services, session: Session, command: dict, said: str
    ) -> None:
        self.keep(services, session)
        with pytest.raises(InputError, match=said):
            instances.edit(services, session, command)

    def test_a_kept_mark_is_an_instance_with_that_mask(self, services: Services, session: Session) -> None:
        shown = session.require_review()
        marked = {"frame": FRAME, "box": box_around(FRAME)}
        reply = marks.prompt_reply(services, shown, {"width": 320, **marked})
        views = list(instances.mark(services, session, {"follow": False, **marked}))
        assert views[-1].select == 1
        [made] = shown.instances
        assert made.masks_rle[FRAME]["counts"] == reply["rle"]
        truth, mask = square_at(FRAME), decode_rle(made.masks_rle[FRAME])
        assert (truth & mask).sum() / (truth | mask).sum() > 0.5
        left, top, right, bottom = box_around(FRAME)
        inside = {"frame": FRAME, "x": (left + right) / 2, "y": (top + bottom) / 2}
        assert marks.pick_reply(shown, inside) == {"instance": 1}
        assert marks.pick_reply(shown, {"frame": FRAME, "x": 1, "y": 1}) == {"instance": None}

    def test_an_instance_is_followed_with_progress_and_described(self, services: Services, session: Session) -> None:
        shown = session.require_review()
        list(instances.mark(services, session, {"frame": FRAME, "follow": False, "box": box_around(FRAME)}))
        views = list(instances.mark(services, session, {"frame": FRAME + 2, "instance": 1, "follow": True}))
        assert any(view.progress for view in views)
        assert (views[-1].done, views[-1].select) == (True, 1)
        [tracked] = shown.instances
        assert len(tracked.masks_rle) > 5
        row = rows(services, session, "instance")[0]
        assert (row.reason, row.annotator) == ("tracked", session.annotator.name)

    def test_cancel_ends_the_tracking_and_changes_nothing(self, services: Services, session: Session) -> None:
        shown = self.keep(services, session, 5)
        before = shown.instances[0]
        go = threading.Event()
        services.start(lambda _: go.wait(10))  # the worker is busy, so that cancel comes in time
        flow = instances.mark(services, session, {"frame": 5, "instance": 1, "follow": True})
        assert next(flow).progress is not None
        assert session.run is not None
        session.run.cancel()
        go.set()
        assert list(flow)[-1].note == "cancelled"
        assert shown.instances[0] == before

    def test_senseless_marks_are_refused(self, services: Services, session: Session) -> None:
        shown = session.require_review()
        for request, said in (
            ({"frame": 3}, "empty"),
            ({"frame": 3, "points": [[1, 2]], "labels": []}, "every point needs one"),
            ({"frame": 3, "points": [[1, "x"]], "labels": [1]}, "given in numbers"),
            ({"frame": 3, "box": [1, 2, 3]}, "four numbers"),
            ({"frame": 9999, "box": [1, 2, 30, 40]}, "no frame 9999"),
            ({"frame": None, "box": [1, 2, 30, 40]}, "no frame None"),
        ):
            with pytest.raises(InputError, match=said):
                marks.prompt_reply(services, shown, request)

    def test_instances_are_shown_in_the_order_of_their_numbers(self, services: Services, session: Session) -> None:
        shown = session.require_review()
        found = [Instance(0, "object", "object", "", "", 3, 3, {3: (1, 2, 30, 40)}, {}) for _ in range(6)]
        services.desk.replace_instances(shown, session.annotator, found)
        assert [instance.id for instance in shown.instances] == [1, 2, 3, 4, 5, 6]

    def test_the_film_holds_outlines_and_heat(self, services: Services, session: Session) -> None:
        shown = self.keep(services, session, 5)
        reply = film.film_reply(shown)
        [track] = reply["tracks"]
        assert track["frames"] == [5]
        assert len(track["outlines"][0][0]) >= 8
        assert shown.analysis is not None
        if shown.analysis.heatmaps is not None:
            assert len(reply["heat"]["frames"]) <= film.MAX_HEATS
