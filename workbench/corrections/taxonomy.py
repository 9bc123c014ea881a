"""Kinds of events: a small tree that people edit, with synonyms, so that files of several data sets meet.

Every edit is a row of the history. Categories are named by their text in events and labels; a renamed category keeps
its former name as a synonym, a retired one is no longer offered but still understood, so old rows keep their meaning.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from sqlite_utils import Database

from workbench.corrections import log
from workbench.corrections.kinds import EDITION, key_of, slugged, starting_categories
from workbench.corrections.log import MAIN, NO_CLIP, Author, Change, Document
from workbench.corrections.store import Store
from workbench.errors import InputError, StoreError
from workbench.records import Category

_AUTHOR = "workbench"
_EDITION_KEY = "taxonomy_edition"


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """All categories, retired ones included, in the order in which they were made."""

    categories: tuple[Category, ...]

    def resolve(self, text: str) -> Category | None:
        """The category that a name or synonym means, however it is written (`RoadAccidents`, `road_accident`)."""
        return self._index().get(key_of(text))

    def offered(self) -> tuple[Category, ...]:
        """Categories to choose from."""
        return tuple(category for category in self.categories if not category.retired)

    def children(self, parent: str | None) -> tuple[Category, ...]:
        """Categories right below a category, or the top ones."""
        return tuple(category for category in self.categories if category.parent == parent)

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Those of the names that mean no category, each once, in order."""
        index = self._index()
        return [name for name in dict.fromkeys(names) if key_of(name) not in index]

    def _index(self) -> dict[str, Category]:
        index: dict[str, Category] = {}
        for category in self.categories:  # names first: they win over the synonyms of others
            index.setdefault(key_of(category.name), category)
        for category in self.categories:
            for synonym in category.synonyms:
                index.setdefault(key_of(synonym), category)
        return index


def open_store(path: str | Path, *, read_only: bool = False) -> Store:
    """A store with the starting taxonomy in it, or with what is new in it. Arguments and errors as for `Store`."""
    store = Store(path, read_only=read_only)
    if not store.read_only:
        with store.reading() as db:
            edition = _edition(db)
        if edition < EDITION:
            _seed(store)
    return store


def load_taxonomy(store: Store) -> Taxonomy:
    """The taxonomy as it stands."""
    with store.reading() as db:
        return _taxonomy(db)


def add_category(
    store: Store, name: str, *, annotator: str, parent: str | None = None, synonyms: Iterable[str] = ()
) -> Category:
    """Add a category. Raises InputError when the name is empty or taken, or the parent unknown."""
    taxonomy = load_taxonomy(store)
    words = [name, *synonyms]
    for word in words:
        _refuse_taken(taxonomy, word, None)
    if parent is not None:
        _require(taxonomy, parent)
    category = Category(_slug(name, taxonomy), name.strip(), parent, tuple(synonyms))
    _write(store, annotator, [Change("category", category.id, "", _document(category, len(taxonomy.categories)))])
    return category


def change_category(
    store: Store,
    category_id: str,
    *,
    annotator: str,
    name: str | None = None,
    parent: str | None = None,
    synonyms: Iterable[str] | None = None,
    retired: bool | None = None,
    reason: str | None = None,
) -> Category:
    """Rename, move, retire a category or replace its synonyms; None leaves a field alone, `parent=""` moves to the top.

    Raises:
        InputError: a name is taken, the category or parent is unknown, or the move would make a circle.
    """
    taxonomy = load_taxonomy(store)
    old = _require(taxonomy, category_id)
    fields: Document = {}
    if synonyms is not None:
        fields["synonyms"] = list(synonyms)
    if name is not None and name.strip() != old.name:
        fields["name"] = name.strip()
        fields["synonyms"] = list(dict.fromkeys([*fields.get("synonyms", old.synonyms), old.name]))
    for word in [fields.get("name", old.name), *fields.get("synonyms", ())]:
        _refuse_taken(taxonomy, word, category_id)
    if parent is not None:
        if parent:
            _refuse_circle(taxonomy, category_id, parent)
        fields["parent"] = parent or None
    if retired is not None:
        fields["retired"] = retired
    _write(store, annotator, [Change("category", category_id, field, value) for field, value in fields.items()], reason)
    return _require(load_taxonomy(store), category_id)


def _seed(store: Store) -> None:
    """Give a store what it lacks of the starting taxonomy: all of it, or what a later edition of it added."""
    with store.writing() as db:
        if _edition(db) >= EDITION:  # another program opened the store at the same moment and has done this
            return
        log.ensure_annotator(db, _AUTHOR)
        known = _taxonomy(db)
        author = Author(_AUTHOR, None, action="create")
        for category in starting_categories():
            own = next((item for item in known.categories if item.id == category.id), None)
            free = tuple(word for word in category.synonyms if known.resolve(word) is None)
            if own is None and known.resolve(category.name) is None:
                made = replace(category, synonyms=free)
                document = _document(made, len(known.categories))
                log.append(db, author, Change("category", made.id, "", document))
                known = Taxonomy((*known.categories, made))
            elif own is not None:
                for field, added in (("synonyms", free), ("sources", category.sources)):
                    old = getattr(own, field)
                    new = [*old, *(word for word in added if word not in old)]
                    log.append(db, author, Change("category", own.id, field, new))
        db.conn.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", [_EDITION_KEY, log.canonical(EDITION)])


def _edition(db: Database) -> int:
    """Which starting taxonomy the store has been given; 0 for none yet."""
    row = db.conn.execute("SELECT value FROM settings WHERE key = ?", [_EDITION_KEY]).fetchone()
    if row is not None:
        return int(json.loads(row[0]))
    has_any = "SELECT 1 FROM subjects WHERE clip_id = ? AND layer = ? AND subject = 'category' LIMIT 1"
    return 1 if db.conn.execute(has_any, [NO_CLIP, MAIN]).fetchone() else 0


def _taxonomy(db: Database) -> Taxonomy:
    found = [(i, document) for kind, i, document in log.load_documents(db, NO_CLIP, MAIN) if kind == "category"]
    found.sort(key=lambda item: (item[1]["position"], item[0]))
    return Taxonomy(tuple(_category_from(category_id, document) for category_id, document in found))


def _write(store: Store, annotator: str, changes: list[Change], reason: str | None = None) -> None:
    with store.writing() as db:
        log.ensure_annotator(db, annotator)
        step: int | None = None
        for change in changes:
            seq = log.append(db, Author(annotator, None, reason=reason), change, step=step)
            step = seq if step is None else step


def _document(category: Category, position: int) -> Document:
    return {
        "position": position,
        "name": category.name,
        "parent": category.parent,
        "synonyms": list(category.synonyms),
        "sources": list(category.sources),
        "retired": category.retired,
    }


def _category_from(category_id: str, document: Document) -> Category:
    lists = {name: tuple(document[name]) for name in ("synonyms", "sources")}
    return Category(category_id, document["name"], document["parent"], retired=document["retired"], **lists)


def _require(taxonomy: Taxonomy, category_id: str) -> Category:
    for category in taxonomy.categories:
        if category.id == category_id:
            return category
    raise InputError(f"There is no category {category_id!r}; choose one of the taxonomy.")


def _refuse_taken(taxonomy: Taxonomy, word: str, own_id: str | None) -> None:
    if not key_of(word):
        raise InputError("A category needs a name with at least one letter.")
    owner = taxonomy.resolve(word)
    if owner is not None and owner.id != own_id:
        raise InputError(f"{word!r} already means the category {owner.name!r}; choose another name.")


def _refuse_circle(taxonomy: Taxonomy, category_id: str, parent: str) -> None:
    above: str | None = parent
    while above is not None:
        if above == category_id:
            raise InputError(f"{category_id!r} cannot be below itself; choose another parent.")
        above = _require(taxonomy, above).parent


def _slug(name: str, taxonomy: Taxonomy) -> str:
    slug = slugged(name)
    if not slug or any(category.id == slug for category in taxonomy.categories):
        raise StoreError(f"The id {slug!r} of the category {name!r} is taken or empty; choose another name.")
    return slug
