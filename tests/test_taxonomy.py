"""The kinds of events: what a store starts with, and how people change them."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune.scenes import RICH
from finetune.scenes.truth import ANOMALIES
from tests.store_support import empty_store
from workbench.corrections import history, log, taxonomy
from workbench.corrections.log import Author, Change
from workbench.corrections.store import Store
from workbench.corrections.taxonomy import open_store
from workbench.corrections.verify import verify
from workbench.errors import InputError

UCF_13 = (
    "Abuse Arrest Arson Assault Burglary Explosion Fighting RoadAccidents Robbery Shooting Shoplifting Stealing "
    "Vandalism"
)
XD_6 = ("Abuse", "Car accident", "Explosion", "Fighting", "Riot", "Shooting")
VIEW_7 = ("Glance", "Stealing", "Teasing", "Collide", "Threaten", "Throw", "Traffic")


def test_the_names_of_all_data_sets_mean_something(tmp_path: Path) -> None:
    kinds = taxonomy.load_taxonomy(empty_store(tmp_path))
    assert kinds.unknown([*UCF_13.split(), *XD_6, *VIEW_7, *ANOMALIES, *RICH]) == []
    assert kinds.resolve("road_accident") == kinds.resolve("RoadAccidents") == kinds.resolve("Car Accident")
    assert kinds.unknown(["Fighting", "juggling", "juggling"]) == ["juggling"]
    drawn = {kinds.resolve(name) for name in (*ANOMALIES, *RICH)}
    assert drawn == {category for category in kinds.categories if "street world" in category.sources}
    names = {"UCF-Crime": UCF_13.split(), "XD-Violence": XD_6, "VIEW360+": VIEW_7}
    for source, words in names.items():
        meant = {kinds.resolve(word) for word in words}
        assert meant == {category for category in kinds.categories if source in category.sources}
        assert len(meant) == len(words)
    ids = [category.id for category in kinds.categories]
    assert len(set(ids)) == len(ids)
    assert {category.parent for category in kinds.categories} - {None} <= set(ids)


def test_a_store_is_seeded_once(tmp_path: Path) -> None:
    first = open_store(tmp_path / "s.db")
    rows = first.info().counts["history"]
    assert open_store(tmp_path / "s.db").info().counts["history"] == rows == len(taxonomy.starting_categories())


def begun_earlier(path: Path) -> Store:
    """A store as a version before the last additions began it, in which somebody has named a kind of their own."""
    store = Store(path)
    with store.writing() as db:
        log.ensure_annotator(db, "workbench")
        log.ensure_annotator(db, "ann")
        for position, (name, parent, synonyms) in enumerate(
            [("violence", None, []), ("stealing", "violence", ["theft", "pinching"]), ("Teasing", None, ["mocking"])]
        ):
            document = {"position": position, "name": name, "parent": parent, "synonyms": synonyms}
            document |= {"sources": ["UCF-Crime"], "retired": False}
            change = Change("category", f"own-{name.lower()}" if name[0] == "T" else name, "", document)
            log.append(db, Author("workbench", None, action="create"), change)
    return store


def test_an_earlier_store_is_given_what_is_new_once_and_keeps_what_people_made_of_it(tmp_path: Path) -> None:
    before = taxonomy.load_taxonomy(begun_earlier(tmp_path / "s.db"))
    assert before.unknown(VIEW_7) == ["Glance", "Collide", "Threaten", "Throw", "Traffic"]
    kinds = taxonomy.load_taxonomy(store := open_store(tmp_path / "s.db"))
    assert kinds.unknown(VIEW_7) == []
    stealing, teasing = kinds.resolve("steal"), kinds.resolve("teasing")
    assert stealing is not None
    assert stealing.synonyms == ("theft", "pinching", "steal")
    assert (stealing.parent, stealing.sources) == ("violence", ("UCF-Crime", "VIEW360+", "street world"))
    assert teasing == before.resolve("teasing")
    assert len({category.id for category in kinds.categories}) == len(kinds.categories)
    taxonomy.change_category(store, "stealing", annotator="ann", synonyms=["theft"])
    again = open_store(tmp_path / "s.db")
    assert taxonomy.load_taxonomy(again).unknown(["steal", "pinching"]) == ["steal", "pinching"]
    assert verify(again).is_intact


def test_changes_are_rows_of_the_history(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    made = taxonomy.add_category(store, "Tailgating", annotator="ann", parent="out-of-place", synonyms=["piggybacking"])
    assert made.id == "tailgating"
    changed = taxonomy.change_category(store, made.id, annotator="bob", name="Door following", reason="clearer")
    kinds = taxonomy.load_taxonomy(store)
    assert kinds.resolve("tailgating") == kinds.resolve("Piggybacking") == kinds.resolve("door following") == changed
    assert changed in kinds.children("out-of-place")
    row = history.page(store, annotator="bob", limit=5)[-1]
    assert (row.subject, row.reason) == ("category", "clearer")
    taxonomy.change_category(store, made.id, annotator="bob", retired=True, parent="")
    kinds = taxonomy.load_taxonomy(store)
    assert "tailgating" not in {category.id for category in kinds.offered()}
    assert kinds.resolve("tailgating") is not None
    assert verify(store).is_intact


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "robbery"}, "already means"),
        ({"name": "Car crash"}, "already means"),
        ({"name": "?"}, "at least one letter"),
        ({"synonyms": ["mugging"]}, "already means"),
        ({"parent": "nowhere"}, "no category"),
        ({"parent": "assault"}, "below itself"),
    ],
)
def test_what_would_confuse_is_refused(tmp_path: Path, change: dict[str, object], says: str) -> None:
    store = empty_store(tmp_path)
    with pytest.raises(InputError, match=says):
        taxonomy.change_category(store, "violence", annotator="ann", **change)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="already means"):
        taxonomy.add_category(store, "Fight", annotator="ann")
    assert verify(store).rows == len(taxonomy.starting_categories())
