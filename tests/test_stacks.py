"""Choosing a model stack: what is offered, what is refused, and that the clip and the corrections stay."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests import drawn
from tests.tiny_families import IMAGE_SIZE, write_checkpoint
from workbench.adapters import AdapterInfo, read_adapter, write_adapter
from workbench.errors import InputError, StackError
from workbench.profiles import PROFILES, StackProfile
from workbench.stack.fusion import Fusion
from workbench.stack.loading import ModelStack
from workbench.ui import review, stack_menu
from workbench.ui.services import Services
from workbench.ui.stacks import KEPT, Choice, Stacks

BUNDLED = Choice("bundled")


def write_fusion(folder: Path, name: str, profile: str = "bundled", threshold: float = 0.9) -> AdapterInfo:
    """An adapter that only sets another threshold."""
    (folder / name).mkdir(parents=True)
    Fusion(1.0, 0.0, 0.0, 0.0, threshold).save(folder / name / "fusion.json")
    info = AdapterInfo(folder / name, name, profile, ("fusion",), f"2026-01-0{len(list(folder.iterdir()))}T00:00:00Z")
    write_adapter(info)
    return info


@pytest.fixture
def adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_ADAPTERS", str(tmp_path / "adapters"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "adapters"


@pytest.fixture
def loaded(tiny_stack: ModelStack, adapters: Path) -> Iterator[tuple[Stacks, list[Choice]]]:
    """Stacks whose loading is noted; all are the tiny one under the name that was asked for."""
    asked: list[Choice] = []

    def load(row: StackProfile, folder: Path | None) -> ModelStack:
        name = read_adapter(folder).name if folder else None
        asked.append(Choice(row.name, name))
        return replace(tiny_stack, profile=row, adapter=name)

    stacks = Stacks(BUNDLED, load=load, folder=adapters)
    yield stacks, asked
    stacks.close()


def test_every_profile_is_offered_with_what_to_do_where_weights_are_lacking(
    loaded: tuple[Stacks, list[Choice]], adapters: Path
) -> None:
    write_fusion(adapters, "night")
    (adapters / "torn").mkdir()
    (adapters / "torn" / "adapter.json").write_text("{")
    options = {(o.choice.profile, o.choice.adapter): o for o in loaded[0].options()}
    assert {profile for profile, _ in options} >= set(PROFILES)
    assert options["bundled", None].lacking == ""
    assert options["bundled", "night"].lacking == ""
    assert "python -m workbench fetch qwen3-vl-8b" in options["qwen3-vl-8b", None].lacking
    assert "17.9 GB" in options["qwen3-vl-8b", None].lacking
    assert "copy the adapter again" in options["", "torn"].lacking


def test_a_choice_without_weights_or_adapter_is_refused_and_nothing_is_loaded(
    loaded: tuple[Stacks, list[Choice]], adapters: Path
) -> None:
    stacks, asked = loaded
    write_fusion(adapters, "other", profile="holmesvau-2b")
    stacks.get()
    for profile, adapter, said in (
        ("holmesvau-2b", None, "fetch holmesvau-2b"),
        ("nothing", None, "no profile 'nothing'"),
        ("bundled", "gone", "no adapter 'gone'"),
        ("bundled", "other", "trained on the profile 'holmesvau-2b'"),
        ("bundled", "../../etc", "no adapter"),
    ):
        with pytest.raises(StackError, match=said):
            stacks.check(profile, adapter)
    assert asked == [BUNDLED]


def test_a_stack_is_loaded_once_and_the_one_longest_unused_goes(
    loaded: tuple[Stacks, list[Choice]], adapters: Path
) -> None:
    stacks, asked = loaded
    for name in ("a", "b"):
        write_fusion(adapters, name)
    first, second = stacks.check("bundled", "a"), stacks.check("bundled", "b")
    assert stacks.get(first).adapter == "a"
    assert stacks.get(first) is stacks.get(first)
    stacks.get(second)
    assert asked == [BUNDLED, first, second]
    assert KEPT == 2
    stacks.get(BUNDLED)
    assert asked == [BUNDLED, first, second, BUNDLED]


def test_the_menu_marks_the_current_one_and_gives_no_button_to_what_is_not_here(
    loaded: tuple[Stacks, list[Choice]], adapters: Path
) -> None:
    write_fusion(adapters, "night")
    menu = stack_menu.menu_html(loaded[0].options(), Choice("bundled", "night"))
    assert menu.count("<button") == 2
    assert menu.count('aria-current="true"') == 1
    assert 'data-adapter="night" aria-current="true"' in menu
    assert "<code>python -m workbench fetch holmesvau-2b</code>" in menu


@pytest.mark.usefixtures("adapters")
class TestSwitching:
    """The flow over real stacks: two tiny checkpoints of different families, and an adapter."""

    @pytest.fixture
    def services(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
        for name, family in (("internvl3-1b", "internvl"), ("qwen3-vl-2b", "qwen3-vl")):
            source = write_checkpoint(tmp_path / name, family)
            (source / "segmenter").symlink_to(PROFILES["bundled"].source / "segmenter")  # type: ignore[operator]
            row = replace(PROFILES[name], source=source, image_size=IMAGE_SIZE, n_frames=4, max_new_tokens=4)
            monkeypatch.setitem(PROFILES, name, row)
        made = Services("internvl3-1b", work_dir=tmp_path / "work", samples_dir=tmp_path, device="cpu")
        yield made
        made.close()

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return drawn.write_clip(tmp_path / "clip.mp4", n_frames=12)

    def test_the_clip_stays_and_is_seen_by_the_other_stack(self, services: Services, path: Path) -> None:
        session = services.new_session()
        list(review.open_and_analyse(services, session, path))
        shown = session.require_review()
        session.answering.acquire()
        with pytest.raises(InputError, match="still being written"):
            next(review.switch(services, session, Choice("qwen3-vl-2b")))
        session.answering.release()
        views = list(review.switch(services, session, services.stacks.check("qwen3-vl-2b")))
        assert session.require_review() is shown
        assert session.require_analysis().profile == "qwen3-vl-2b"
        assert views[-1].review_changed
        assert views[-1].progress is None
        assert services.conversation(session).stack.profile.name == "qwen3-vl-2b"
        newer = services.open_review(path)
        list(review.open_and_analyse(services, session, path))
        assert session.require_analysis().profile == "qwen3-vl-2b"
        newer.close()
        assert services.new_session().choice is None

    def test_a_clip_is_read_from_where_it_is_kept(
        self, services: Services, path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """Gradio clears uploads away after a day; what was analysed before is then asked of the kept file too."""
        upload = Path(shutil.copy(path, tmp_path_factory.mktemp("uploads") / "upload.mp4"))
        session = services.new_session()
        list(review.open_and_analyse(services, session, upload))
        upload.unlink()
        shown = session.require_review()
        assert dict(shown.clip.frames([3]))[3].any()
        list(review.open_and_analyse(services, session, shown.file))
        assert session.require_review() is not shown
        assert Path(session.require_analysis().clip.path).is_file()

    def test_cancelled_nothing_has_changed(self, services: Services, path: Path) -> None:
        session = services.new_session()
        list(review.open_and_analyse(services, session, path))
        before = session.require_analysis()
        go = threading.Event()
        services.start(lambda _: go.wait(60))  # so that the switch waits its turn
        switching = review.switch(services, session, Choice("qwen3-vl-2b"))
        assert next(switching).progress is not None
        session.cancel()
        go.set()
        assert list(switching)[-1].note == "cancelled"
        assert session.require_analysis() is before
        assert (session.choice, session.require_review().choice) == (None, None)
