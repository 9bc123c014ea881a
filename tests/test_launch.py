"""What the command line of the page means: where corrections are kept, who may see them, what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

import app
from workbench.corrections.place import default_path
from workbench.errors import InputError
from workbench.ui import launch
from workbench.ui.timeline import PLOTLY


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "data"))
    for name in ("WORKBENCH_STORE", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)


def test_corrections_are_kept_in_the_users_data_folder(tmp_path: Path) -> None:
    store = launch.store_for(app.parse([]), public=False)
    assert store == default_path()
    assert store.is_relative_to(tmp_path / "data")
    assert store.name == "corrections.db"


def test_a_named_store_wins_then_the_environment_then_the_work_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = app.parse(["--work-dir", str(tmp_path)])
    assert launch.store_for(work, public=False) is None
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "env.db"))
    assert launch.store_for(work, public=False) == tmp_path / "env.db"
    named = app.parse(["--store", str(tmp_path / "named.db")])
    assert launch.store_for(named, public=False) == tmp_path / "named.db"


def test_strangers_get_a_store_that_goes_away() -> None:
    assert launch.store_for(app.parse([]), public=True) is None


def test_mcp_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"gradio\[mcp\]"):
        launch.services_for(app.parse(["--mcp"]))


def test_the_browser_never_gets_the_store(tmp_path: Path) -> None:
    from workbench.ui.services import Services

    services = Services(work_dir=tmp_path, samples_dir=tmp_path, load=lambda _: None)  # type: ignore[arg-type,return-value]
    try:
        files = launch.files_of(services)
        assert str(services.desk.store.path.resolve()) in files["blocked_paths"]
        assert str(services.desk.media_dir) in files["allowed_paths"]
        assert str(PLOTLY) in files["allowed_paths"]
        assert PLOTLY.is_file()
    finally:
        services.close()
