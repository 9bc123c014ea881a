"""Edits of events without a browser: what each means, what the store holds afterwards, and the library over it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import drawn
from tests.sample_records import drawn_analysis
from workbench.corrections import catalogue, history
from workbench.corrections.clips import current, list_analyses, save_analysis
from workbench.corrections.verify import verify
from workbench.errors import InputError, StoreError
from workbench.records import CaptionedClip, ReviewedEvent, Turn
from workbench.records import Provenance as MadeBy
from workbench.ui import api_store, event_list
from workbench.ui.desk import Desk
from workbench.ui.editing import Plan, peak_in
from workbench.ui.review import can_find
from workbench.ui.services import Services
from workbench.ui.session import Annotator, Review, Session
from workbench.ui.standing import as_corrected
from workbench.video import Clip

ANN, BEA = Annotator("ann"), Annotator("bea")


@pytest.fixture(scope="module")
def clip_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn.write_clip(tmp_path_factory.mktemp("clips") / "street.mp4", n_frames=250)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "store" / "corrections.db")
    yield made
    made.close()


@pytest.fixture
def review(clip_path: Path, desk: Desk) -> Iterator[Review]:
    """A clip of ten seconds with two events of the model: 3.6 to 4.9 s (robbery) and 7.8 to 8.2 s."""
    with Clip.open(clip_path) as clip:
        made = Review(clip, clip_path.name, clip_path, clip_path)
        made.analysis = drawn_analysis(n_frames=250, fps=25.0)
        made.analysis.clip = clip.info
        made.analysis.instances, made.analysis.dialogue = [], []
        desk.enter(made, ANN)
        yield made


def events(review: Review) -> list[ReviewedEvent]:
    return sorted(review.require_reviewed().events, key=lambda event: event.start_s or 0.0)


def do(desk: Desk, review: Review, op: str, **command: object) -> str | None:
    return desk.edit(review, ANN, {"op": op, **command}).select


class TestEntering:
    def test_a_clip_is_known_by_its_content_and_its_analysis_is_kept_once(
        self, desk: Desk, review: Review, tmp_path: Path, clip_path: Path
    ) -> None:
        clip = review.require_reviewed().clip
        assert (clip.name, clip.sha256) == ("street", review.clip.info.sha256)
        desk.enter(review, ANN)
        assert len(list_analyses(desk.store, clip.id)) == 1
        assert desk.thumbnail_path(clip.sha256 or "").is_file()
        upload = tmp_path / "upload" / "Straße.mp4"
        upload.parent.mkdir()
        upload.write_bytes(clip_path.read_bytes())
        kept = desk.keep(upload, "ab" * 32, tmp_path / "samples")
        upload.unlink()
        assert kept.name == "Straße.mp4"
        assert kept.read_bytes() == clip_path.read_bytes()

    def test_a_link_names_a_clip_by_its_hash_and_says_so_when_it_cannot(self, desk: Desk, review: Review) -> None:
        sha = review.clip.info.sha256
        record, path = desk.find(sha[:16])
        assert (record.sha256, path) == (sha, review.file)
        for wrong in (sha[:8], "", "%" * 16, "0" * 16):
            with pytest.raises(StoreError):
                desk.find(wrong)


class TestEdits:
    def test_an_edge_moves_to_a_frame_and_the_peak_stays_inside(self, desk: Desk, review: Review) -> None:
        first = events(review)[0]
        assert do(desk, review, "move", id=first.id, end_s=7.013) == first.id
        moved = current(desk.store, review.clip.info.sha256).events[0]
        assert moved.start_s == first.start_s
        assert moved.end_s == pytest.approx(7.0)
        assert (moved.peak_s, moved.peak_score) == pytest.approx(peak_in(review.analysis, first.start_s, 7.0))  # type: ignore[arg-type]
        assert moved.provenance.edited_by == ("ann",)
        assert review.require_reviewed().state == "in review"

    def test_an_event_is_added_at_the_playhead_also_at_the_end(self, desk: Desk, review: Review) -> None:
        for at in (1.0, 9.99):
            new = do(desk, review, "add", t=at)
            event = next(e for e in events(review) if e.id == new)
            assert event.start_s is not None
            assert event.end_s is not None
            assert event.start_s <= at <= event.end_s <= 10.0
            assert event.provenance.name == "ann"

    def test_captioned_clips_of_merged_events_stay_in_order(self, desk: Desk, review: Review) -> None:
        for event, count in zip(events(review), (2, 6), strict=True):
            texts = [f"{event.id} {k}" for k in range(count)]
            made = [CaptionedClip(history.new_id(), None, None, text, MadeBy("human", "ann")) for text in texts]
            desk.save(review, ANN, Plan([history.add_caption(part, event.id, k) for k, part in enumerate(made)]))
        first, second = events(review)
        do(desk, review, "merge", id=first.id)
        said = [part.caption for part in events(review)[0].clips]
        assert said == [f"{first.id} {k}" for k in range(2)] + [f"{second.id} {k}" for k in range(6)]

    def test_split_and_merge_give_back_the_span_and_lose_no_text(self, desk: Desk, review: Review) -> None:
        first = events(review)[0]
        do(desk, review, "text", id=first.id, field="judgement", value="  A robbery. ")
        second = do(desk, review, "split", id=first.id, t=4.2)
        halves = events(review)[:2]
        assert [e.id for e in halves] == [first.id, second]
        assert halves[0].end_s == halves[1].start_s == pytest.approx(4.2)
        assert {e.texts.judgement for e in halves} == {"A robbery."}
        do(desk, review, "merge", id=first.id)
        merged = events(review)[0]
        assert (merged.start_s, merged.end_s) == (pytest.approx(first.start_s, abs=0.02), pytest.approx(4.9, abs=0.02))
        assert merged.texts.judgement == "A robbery."
        assert len(events(review)) == 2

    def test_a_category_is_one_of_the_taxonomy_or_added_to_it(self, desk: Desk, review: Review) -> None:
        first = events(review)[0].id
        do(desk, review, "category", id=first, value="Road_Accident")
        assert events(review)[0].category == "road accident"
        with pytest.raises(InputError, match="add it as a new one"):
            do(desk, review, "category", id=first, value="juggling")
        do(desk, review, "category", id=first, value="juggling", new=True)
        assert events(review)[0].category == "juggling"
        assert desk.taxonomy().resolve("Juggling") is not None

    def test_a_rejected_event_is_gone_for_readers_and_can_be_brought_back(self, desk: Desk, review: Review) -> None:
        first = events(review)[0]
        do(desk, review, "reject", id=first.id)
        assert [e.id for e in events(review)] == [e.id for e in events(review) if e.id != first.id]
        assert [r.event.id for r in desk.rejected(review, ANN)] == [first.id]
        do(desk, review, "restore", id=first.id)
        assert events(review)[0] == first
        assert desk.rejected(review, ANN) == ()

    def test_a_rejection_that_was_taken_back_is_none_after_another_analysis_either(
        self, desk: Desk, review: Review
    ) -> None:
        do(desk, review, "reject", id=events(review)[0].id)
        assert desk.turn_back(review, ANN)
        assert desk.turn_back(review, ANN, redo=True)
        assert len(desk.rejected(review, ANN)) == 1
        assert desk.turn_back(review, ANN)
        save_analysis(desk.store, replace(review.analysis, threshold=0.4))
        desk.refresh(review, ANN)
        assert desk.rejected(review, ANN) == ()

    def test_what_a_person_added_is_deleted_not_rejected(self, desk: Desk, review: Review) -> None:
        new = do(desk, review, "add", t=1.0)
        do(desk, review, "reject", id=new)
        assert desk.rejected(review, ANN) == ()
        assert len(events(review)) == 2

    def test_the_threshold_proposes_anew_and_spares_what_a_person_touched(self, desk: Desk, review: Review) -> None:
        first, second = events(review)
        score = review.analysis.dense.score  # type: ignore[union-attr]
        score[:], score[6:8], score[12:14] = 0.05, 0.9, 0.6  # 3.84 to 5.12 s and 7.68 to 8.96 s
        do(desk, review, "move", id=first.id, start_s=3.0)
        do(desk, review, "threshold", value=0.95)
        assert [e.id for e in events(review)] == [first.id]
        do(desk, review, "threshold", value=0.35)
        proposed = [e for e in events(review) if e.id != first.id]
        assert [(e.start_s, e.end_s) for e in proposed] == [(pytest.approx(7.68), pytest.approx(8.96))]
        assert second.id not in {e.id for e in proposed}
        assert proposed[0].provenance.kind == "model"
        assert review.require_reviewed().threshold == 0.35

    @pytest.mark.parametrize(
        "command",
        [
            {"op": "fly"},
            {"op": "move", "id": "nobody", "start_s": 1},
            {"op": "move", "id": "a1.e0", "start_s": float("nan")},
            {"op": "move", "id": "a1.e0", "start_s": "soon"},
            {"op": "move", "id": "a1.e0", "start_s": 5.0, "end_s": 5.0},
            {"op": "split", "id": "a1.e0", "t": 9.0},
            {"op": "merge", "id": "a1.e1"},
            {"op": "text", "id": "a1.e0", "field": "poem", "value": "x"},
            {"op": "text", "id": "a1.e0", "field": "analysis", "value": "x" * 5000},
            {"op": "state", "value": "perfect"},
            {"op": "threshold", "value": 1.5},
            {"op": "restore", "id": "a1.e0"},
        ],
    )
    def test_what_cannot_be_is_refused_and_writes_nothing(self, desk: Desk, review: Review, command: dict) -> None:
        before = review.require_reviewed().revision
        with pytest.raises(InputError):
            desk.edit(review, ANN, command)
        assert current(desk.store, review.clip.info.sha256).revision == before


class TestUndo:
    def test_sixty_steps_go_back_and_forth_and_each_is_a_row(self, desk: Desk, review: Review) -> None:
        start = review.require_reviewed()
        for step in range(60):
            do(desk, review, "move", id=start.events[0].id, start_s=0.04 * step)
        end = review.require_reviewed().events
        rows = desk.store.info().counts["history"]
        assert desk.turnable(review, ANN)[0] >= 50
        while desk.turn_back(review, ANN):
            pass
        assert review.require_reviewed().events == start.events
        assert desk.store.info().counts["history"] > rows
        while desk.turn_back(review, ANN, redo=True):
            pass
        assert review.require_reviewed().events == end
        assert verify(desk.store).fault is None

    def test_what_a_model_says_meanwhile_stops_nobody(self, desk: Desk, review: Review) -> None:
        seen = review.reviewed
        desk.add_turn(review, ANN, Turn("judgement", "Is it?", "Yes."))
        review.reviewed = seen  # as a handler sees it that began before the answer was written
        do(desk, review, "confirm", id=events(review)[0].id)
        assert events(review)[0].verdict == "confirmed"

    def test_what_a_model_said_is_no_step_of_a_person(self, desk: Desk, review: Review) -> None:
        desk.add_turn(review, ANN, Turn("judgement", "Is it?", "Yes."))
        assert desk.turnable(review, ANN) == (0, 0)
        assert not desk.turn_back(review, ANN)
        assert len(review.require_reviewed().dialogue) == 1

    def test_a_save_over_somebody_elses_is_refused_and_the_page_is_up_to_date_again(
        self, desk: Desk, review: Review
    ) -> None:
        first = events(review)[0].id
        history.save(desk.store, review.require_reviewed().clip.id, [history.edit("event", first, "category", "fire")],
                     annotator=BEA.name)  # fmt: skip
        with pytest.raises(StoreError, match=r"bea changed category .* make your change again"):
            do(desk, review, "confirm", id=first)
        assert events(review)[0].category == "fire"
        do(desk, review, "confirm", id=first)
        assert events(review)[0].verdict == "confirmed"

    def test_what_somebody_else_changes_elsewhere_costs_no_text(self, desk: Desk, review: Review) -> None:
        first, second = (event.id for event in events(review))
        clip = review.require_reviewed().clip.id
        theirs = [history.edit("event", second, "category", "fire"), history.edit("video", "video", "state", "done")]
        history.save(desk.store, clip, theirs, annotator=BEA.name)
        do(desk, review, "text", id=first, field="judgement", value="A man falls.")
        assert [e.category for e in events(review)][1] == "fire"
        assert events(review)[0].texts.judgement == "A man falls."
        assert review.require_reviewed().state == "done", "theirs; a first edit only begins a review"
        history.save(desk.store, clip, [history.edit("event", first, "judgement", "He jumps.")], annotator=BEA.name)
        with pytest.raises(StoreError, match="bea changed judgement"):
            do(desk, review, "text", id=first, field="judgement", value="A man falls over.")
        history.save(desk.store, clip, [history.edit("event", second, "category", "riot")], annotator=BEA.name)
        with pytest.raises(StoreError, match="bea changed category"):
            do(desk, review, "state", value="done")

    def test_an_edge_is_not_moved_past_the_other_one(self, desk: Desk, review: Review) -> None:
        first = events(review)[0]
        with pytest.raises(InputError, match="ends after it starts"):
            do(desk, review, "move", id=first.id, start_s=first.end_s + 1)
        with pytest.raises(InputError, match="ends after it starts"):
            do(desk, review, "move", id=first.id, end_s=first.start_s - 0.2)
        assert events(review)[0] == first


class TestStanding:
    def test_instances_are_looked_for_in_the_events_as_they_stand(self, desk: Desk, review: Review) -> None:
        assert can_find(review)
        for event in events(review):
            do(desk, review, "reject", id=event.id)
        assert not can_find(review), "the model's events were all rejected"
        do(desk, review, "add", t=1.0)
        assert can_find(review)
        [seen] = as_corrected(review).events
        assert seen.start_s <= 1.0 <= seen.end_s
        assert review.analysis is not None
        assert (seen.peak_s, seen.peak_score) == pytest.approx(peak_in(review.analysis, seen.start_s, seen.end_s))


class TestPage:
    def test_corrections_are_told_apart_from_what_the_model_says(self, desk: Desk, review: Review) -> None:
        session = Session("sid", ANN, review)
        first, second = events(review)
        do(desk, review, "confirm", id=first.id)
        do(desk, review, "move", id=second.id, start_s=7.0)
        told = event_list.payload(desk, session)
        assert told is not None
        assert [(e["verdict"], e["changed"]) for e in told["events"]] == [("confirmed", False), (None, True)]
        assert told["events"][1]["was"] == {"start_s": 7.8, "end_s": pytest.approx(8.2)}
        assert (told["undo"], told["redo"], told["state"]) == (2, 0, "in review")

    def test_the_same_state_is_told_as_something_new(self, desk: Desk, review: Review) -> None:
        session = Session("sid", ANN, review)
        first, second = (event_list.payload(desk, session) for _ in range(2))
        assert first is not None
        assert second is not None
        assert first["serial"] < second["serial"]

    def test_among_strangers_each_has_a_layer_of_their_own(self, tmp_path: Path, review: Review) -> None:
        desk = Desk(tmp_path / "public.db", public=True)
        one, two = desk.annotator("guest one"), desk.annotator("guest two")
        desk.enter(review, one)
        before = review.require_reviewed().events
        desk.edit(review, one, {"op": "reject", "id": before[0].id})
        assert len(review.require_reviewed().events) == 1
        desk.refresh(review, two)
        assert review.require_reviewed().events == before
        assert desk.turnable(review, two) == (0, 0)
        desk.close()

    def test_no_name_that_a_stranger_types_is_another_ones_layer(self, tmp_path: Path, review: Review) -> None:
        desk = Desk(tmp_path / "public.db", public=True)
        one = desk.annotator("main", "a" * 32)
        desk.enter(review, one)
        before = review.require_reviewed().events
        desk.edit(review, one, {"op": "reject", "id": before[0].id})
        for other in (desk.annotator("main"), desk.annotator("main", "b" * 32), desk.annotator(one.layer)):
            desk.refresh(review, other)
            assert review.require_reviewed().events == before
        assert desk.annotator("another name", "a" * 32).layer == one.layer, "the key is who they are, not the name"
        desk.close()

    def test_two_edits_of_one_person_at_once_are_both_saved(self, desk: Desk, review: Review) -> None:
        first, second = events(review)
        for round_ in range(10):
            commands = [
                {"op": "text", "id": e.id, "field": "description", "value": f"{round_}"} for e in (first, second)
            ]
            with ThreadPoolExecutor(2) as pool:
                for done in [pool.submit(desk.edit, review, ANN, command) for command in commands]:
                    done.result()
            assert [e.texts.description for e in events(review)] == [f"{round_}"] * 2

    def test_a_clip_that_two_tabs_open_at_once_is_saved_once(self, desk: Desk, review: Review) -> None:
        tabs = [Review(review.clip, "street", review.clip.path, review.clip.path) for _ in range(2)]
        for tab in tabs:
            tab.analysis = replace(drawn_analysis(n_frames=250, fps=25.0), clip=review.clip.info, threshold=0.51)
        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(desk.enter, tab, ANN) for tab in tabs]:
                done.result()
        assert len(list_analyses(desk.store, review.require_reviewed().clip.id)) == 2
        assert tabs[0].require_reviewed().events == tabs[1].require_reviewed().events

    @pytest.mark.parametrize("name", ["", "   ", "workbench", "x" * 61])
    def test_a_history_needs_a_name(self, desk: Desk, name: str) -> None:
        with pytest.raises(InputError, match="name"):
            desk.annotator(name)


class TestExport:
    @pytest.mark.parametrize(
        ("name", "ending"), [("csv", "csv"), ("vtt", "vtt"), ("coco", "json"), ("datumaro", "zip")]
    )
    def test_a_program_gets_one_file_whatever_the_format_makes(
        self, desk: Desk, review: Review, tmp_path: Path, name: str, ending: str
    ) -> None:
        services = Services(work_dir=tmp_path, samples_dir=tmp_path, load=lambda _: None, store=desk.store.path)  # type: ignore[arg-type,return-value]
        written = api_store.write_export(services, name, review.clip.info.sha256[:16])
        assert written.is_file()
        assert written.suffix == f".{ending}"
        assert written.stat().st_size > 0
        services.close()

    def test_the_whole_store_of_strangers_is_not_handed_out(self, tmp_path: Path) -> None:
        services = Services(work_dir=tmp_path, samples_dir=tmp_path, load=lambda _: None, public=True)  # type: ignore[arg-type,return-value]
        with pytest.raises(InputError, match="Name the clip"):
            api_store.write_export(services, "csv", "")
        services.close()


class TestCatalogue:
    def test_status_follows_the_review_and_words_find_the_clip(self, desk: Desk, review: Review) -> None:
        [line] = catalogue.lines(desk.store)
        assert (line.status, line.categories, line.events, line.corrections) == ("analysed", ("robbery",), 2, 0)
        assert line.top_score == pytest.approx(0.9)
        do(desk, review, "text", id=events(review)[0].id, field="description", value="A red Coat runs away")
        assert [line.status for line in catalogue.lines(desk.store, search="coat ROBBERY")] == ["in review"]
        assert catalogue.lines(desk.store, search="coat umbrella") == []
        assert catalogue.lines(desk.store, search="judgement") == []  # names of fields are no words
        assert catalogue.lines(desk.store)[0].corrections == 2  # the text, and that a person is at it
        desk.turn_back(review, ANN)
        assert catalogue.lines(desk.store)[0].corrections == 0
        do(desk, review, "state", value="done")
        assert [line.status for line in catalogue.lines(desk.store, status="done")] == ["done"]
        assert catalogue.next_clip(catalogue.lines(desk.store), None) is None

    def test_a_verdict_that_the_score_contradicts_is_the_most_doubtful(self, desk: Desk, review: Review) -> None:
        before = catalogue.lines(desk.store)[0].doubt
        desk.add_turn(review, ANN, Turn("judgement", "Is anything abnormal?", "No, nothing abnormal happens."))
        after = catalogue.lines(desk.store)[0].doubt
        assert before <= 0.5 < after == pytest.approx(0.9)

    @pytest.mark.usefixtures("review")
    def test_orders(self, desk: Desk) -> None:
        for number, height in enumerate((0.7, 0.95), 1):
            other = drawn_analysis(n_frames=250, fps=25.0, path=f"clip{number}.mp4")
            other.clip = type(other.clip)(f"clip{number}.mp4", f"{number}" * 64, 250, 25.0, 10.0, 640, 480)
            other.dense.score[:] = np.float32(0.1)
            other.events = [type(e)(e.start_s, e.end_s, e.peak_s, height, None) for e in other.events[:1]]
            other.instances, other.dialogue = [], []
            save_analysis(desk.store, other)
        names = {o: [line.clip.name for line in catalogue.lines(desk.store, order=o)] for o in catalogue.ORDERS}
        assert names["score"] == ["clip2", "street", "clip1"]
        assert names["doubt"] == ["clip1", "street", "clip2"]
        assert names["oldest"] == names["newest"][::-1] == ["street", "clip1", "clip2"]
        assert len(catalogue.lines(desk.store, only={"1" * 64})) == 1
        with pytest.raises(InputError, match="order"):
            catalogue.lines(desk.store, order="colour")  # type: ignore[arg-type]
