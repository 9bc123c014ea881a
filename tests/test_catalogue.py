"""The library over a store: lines that follow every save, a layer each, and no query a clip."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from tests.sample_records import drawn_analysis
from tests.store_support import empty_store, store_with_clip
from workbench.corrections import catalogue, history
from workbench.corrections.clips import save_analysis
from workbench.corrections.store import Store


def test_a_line_follows_every_save_and_each_layer_has_its_own(tmp_path: Path) -> None:
    store, clip = store_with_clip(tmp_path)

    def say(layer: str, text: str) -> None:
        change = history.edit("event", "a1.e0", "description", text)
        history.save(store, clip.id, [change], annotator="ben", layer=layer)

    def lines() -> dict[str, catalogue.Line]:
        return {layer: catalogue.lines(store, layer=layer)[0] for layer in ("main", "ben", "cy")}

    assert [line.corrections for line in lines().values()] == [0, 0, 0]
    say("ben", "a green umbrella")
    assert {layer: line.corrections for layer, line in lines().items()} == {"main": 0, "ben": 1, "cy": 0}
    assert [layer for layer, line in lines().items() if "green umbrella" in line.words] == ["ben"]
    say("main", "a blue umbrella")
    assert [layer for layer, line in lines().items() if "blue umbrella" in line.words] == ["main", "cy"]
    history.undo(store, clip.id, annotator="ben")
    assert [line.corrections for line in lines().values()] == [0, 1, 0]


def test_what_two_stores_say_of_one_clip_is_kept_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (one, clip), (two, _) = (store_with_clip(tmp_path / name) for name in ("one", "two"))
    for store, text in ((one, "a hat"), (two, "a coat")):
        history.save(store, clip.id, [history.edit("event", "a1.e0", "description", text)], annotator="ann")
    assert [len(catalogue.lines(store, search="hat")) for store in (one, two)] == [1, 0]


def test_the_number_of_queries_does_not_grow_with_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    connect = Store._connect

    def traced(store: Store) -> sqlite3.Connection:
        connection = connect(store)
        connection.set_trace_callback(said.append)
        return connection

    monkeypatch.setattr(Store, "_connect", traced)
    asked = []
    for count in (2, 12):
        store = empty_store(tmp_path, f"{count}.db")
        for k in range(count):
            sample = drawn_analysis(path=f"clip{k}.mp4")
            sample.clip = replace(sample.clip, sha256=f"{count:032x}{k:032x}")
            save_analysis(store, sample)
        said.clear()
        assert len(catalogue.lines(store)) == count
        asked.append(sum("SELECT" in statement for statement in said))
    assert asked[0] == asked[1] > 0
