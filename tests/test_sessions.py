"""Visitors of the page, each with a session of their own, and the work that runs for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import drawn
from workbench.errors import ClipError, InputError
from workbench.ui.runs import TELL_EVERY_S, Cancelled, Progress, Run
from workbench.ui.session import Review, Session, SessionTable
from workbench.video import Clip


@pytest.fixture
def worker() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture(scope="module")
def clip_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn.write_clip(tmp_path_factory.mktemp("ui") / "marked.mp4", n_frames=80)


@pytest.fixture
def shown(clip_path: Path) -> Iterator[Review]:
    with Clip.open(clip_path) as clip:
        yield Review(clip, clip_path.name, clip_path)


class TestSessions:
    def test_ids_are_their_own_and_unguessable(self) -> None:
        table = SessionTable()
        first, second = table.create(), table.create()
        assert table.get(first.id) is first
        assert table.get(second.id) is second
        assert len(first.id) >= 20

    def test_the_longest_unused_session_is_closed_first(self, shown: Review) -> None:
        table = SessionTable(limit=2)
        old, kept = table.create(), table.create()
        old.review = kept.review = shown
        table.get(old.id)
        table.create()
        assert table.get(old.id).review is shown
        assert kept.review is None
        assert kept.stop.is_set()
        with pytest.raises(InputError, match="reload the page"):
            table.get(kept.id)

    def test_a_dropped_or_unknown_session_is_refused(self) -> None:
        table = SessionTable()
        session = table.create()
        table.drop(session.id)
        table.drop(session.id)
        for gone in (session.id, "", None):
            with pytest.raises(InputError):
                table.get(gone)

    def test_a_browser_that_comes_again_finds_what_it_opened(self) -> None:
        table = SessionTable()
        first = table.opened_with("a" * 32)
        first.add("5ca1ab1e")
        assert table.opened_with("a" * 32) == {"5ca1ab1e"}
        assert table.opened_with("b" * 32) == set()

    def test_what_is_asked_of_another_clip_is_not_answered_with_this_one(self, shown: Review) -> None:
        session = Session("a", review=shown)
        assert session.showing({"key": shown.key}) is shown
        for request in ({"key": "another"}, {}):
            with pytest.raises(InputError, match="Another clip"):
                session.showing(request)

    def test_nothing_open_is_said_plainly(self) -> None:
        with pytest.raises(InputError, match="upload one or pick a sample"):
            Session("a").require_review()


class TestRuns:
    def test_progress_then_result(self, worker: ThreadPoolExecutor) -> None:
        go = threading.Event()

        def work(report):
            report("encode", 0.5, "half")
            go.wait(5)
            return 7

        run = Run(work, worker)
        seen = []
        for progress in run.updates():
            seen.append(progress)
            if progress.stage == "encode":
                go.set()
        assert seen[-1] == Progress("encode", 0.5, "half")
        assert run.result() == 7
        assert not run.active

    def test_work_that_reports_all_the_time_is_told_of_a_few_times_a_second(self, worker: ThreadPoolExecutor) -> None:
        began = time.monotonic()

        def work(report):
            while time.monotonic() < began + 3 * TELL_EVERY_S:
                report("encode", 0.5, time.monotonic())

        told = list(Run(work, worker).updates())
        assert 2 <= len(told) <= (time.monotonic() - began) / TELL_EVERY_S + 1

    def test_cancel_ends_work_at_its_next_report(self, worker: ThreadPoolExecutor) -> None:
        go, began = threading.Event(), threading.Event()

        def work(report):
            began.set()
            go.wait(5)
            report("encode", 0.1)
            pytest.fail("the report should have ended the work")

        run = Run(work, worker)
        assert began.wait(5)
        run.cancel()
        go.set()
        with pytest.raises(Cancelled):
            run.result()

    def test_waiting_work_is_cancelled_at_once_and_others_go_on(self, worker: ThreadPoolExecutor) -> None:
        go = threading.Event()
        first = Run(lambda _: go.wait(5), worker)
        second = Run(lambda _: pytest.fail("never to be started"), worker)
        assert next(second.updates()).stage.startswith("waiting")
        second.cancel()
        with pytest.raises(Cancelled):
            second.result()
        go.set()
        assert first.result() is True

    def test_errors_of_the_work_come_out_of_result(self, worker: ThreadPoolExecutor) -> None:
        def work(_):
            raise ClipError("clip.mp4 is empty; choose another.")

        run = Run(work, worker)
        list(run.updates())
        with pytest.raises(ClipError, match="is empty"):
            run.result()
