"""Imported records into the store: new clips are added, known ones completed, all of a file or nothing of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from sqlite_utils import Database

from workbench.corrections import clips, documents, log, naming
from workbench.corrections.log import MAIN, Author, Change, Document
from workbench.corrections.store import Store
from workbench.corrections.taxonomy import load_taxonomy
from workbench.errors import FormatError, InputError
from workbench.records import (
    CaptionedClip,
    ClipRecord,
    Question,
    ReviewedClip,
    ReviewedEvent,
    ReviewedInstance,
    ReviewedTurn,
    SubjectKind,
)

_EMPTY: tuple[object, ...] = ("", {})
"""What takes nothing out of a store that has more. An empty list is something: a video of no category is normal."""
_PLACE = re.compile(r"E\d+(C\d+)?")
"""Ids of formats that know events and captioned clips by their place alone."""
_NO_ROLE = "object"
"""The role that readers give a track of which the file says none."""


@dataclass(slots=True)
class ImportReport:
    """What an import did: clips read, of which new and without media, rows written, and what a person should know."""

    clips: int = 0
    new_clips: int = 0
    without_media: int = 0
    rows: int = 0
    warnings: list[str] = field(default_factory=list)


def take_in(store: Store, drafts: Iterable[ReviewedClip], *, annotator: str) -> ImportReport:
    """Write what a file says into the main layer, in one transaction.

    A clip is known by its sha256, else by its name. An event of the file is the one in the store with the same span,
    else the one that an earlier import brought under its id; the same holds for captioned clips. Those that a format
    knows only by their place (`E0`, `E0C1`) may also be the imported ones in that place. An instance is the one with
    the same id, else an imported one of its kind that is first seen where it is. What the file does not say stays as
    it is. Taking in the same file twice writes nothing the second time.

    Raises:
        FormatError: something in the file cannot be true of its clip; nothing was written.
        StoreError: the store cannot be written.
    """
    report = ImportReport()
    names: list[str] = []
    with store.writing() as db:
        log.ensure_annotator(db, annotator)
        log.ensure_annotator(db, clips.WORKBENCH)
        first = _last_row(db)
        known = next(iter(db.conn.execute("SELECT count(*) FROM clips")))[0]
        for draft in drafts:
            try:
                _Merge(db, draft, annotator).run()
            except InputError as error:
                raise FormatError(f"Nothing was imported, because of {draft.clip.name}: {error}") from error
            report.clips += 1
            report.without_media += not draft.clip.has_media
            names += [*(draft.label or ()), *(event.category for event in draft.events if event.category)]
        report.new_clips = next(iter(db.conn.execute("SELECT count(*) FROM clips")))[0] - known
        report.rows = _last_row(db) - first
    unknown = load_taxonomy(store).unknown(names)
    if unknown:
        report.warnings.append(
            f"{len(unknown)} categories are not in the taxonomy and were kept as they are: {', '.join(unknown[:8])}"
            f"{', …' if len(unknown) > 8 else ''}; add them to it, or as synonyms."
        )
    return report


class _Merge:
    """One clip of a file, written into the store."""

    def __init__(self, db: Database, draft: ReviewedClip, annotator: str) -> None:
        self.db, self.draft = db, draft
        self.clip: ClipRecord = clips.ensure_clip(db, draft.clip, draft.provenance)
        self.old = clips.view(db, self.clip, MAIN)
        self.author = Author(annotator, self.clip.id, action="import")
        self.step: int | None = None
        self.ids: dict[str, str] = {}  # id in the file → id in the store
        self.numbers = {item.instance.id for item in (*self.old.instances, *draft.instances)}
        self.instances = _Instances(self.old.instances, draft.instances)
        self.taken = {subject_id for _, subject_id, _ in log.load_documents(db, self.clip.id, MAIN)}

    def run(self) -> None:
        """Write what differs."""
        documents.check("clip", documents.clip_to(self.draft.clip), self.draft.clip)
        video = documents.video_to(self.draft)
        self._update("video", "video", video, documents.EDITABLE["video"][1:])
        matches = _match(self.draft.events, self.old.events)
        for place, (event, known) in enumerate(zip(self.draft.events, matches, strict=True)):
            self._put("event", event.id, known, documents.event_to(event, place))
            parts = _match(event.clips, known.clips if known else ())
            for part_place, (part, known_part) in enumerate(zip(event.clips, parts, strict=True)):
                document = documents.caption_to(part, self.ids[event.id], part_place)
                self._put("caption", part.id, known_part, document)
        for place, instance in enumerate(self.draft.instances):
            self._put_instance(instance, place)
        self._put_turns()
        self._put_questions()

    def _put_instance(self, instance: ReviewedInstance, place: int) -> None:
        document = documents.instance_to(instance, place)
        if instance.event_id is not None:
            document["event_id"] = self.ids.get(instance.event_id, instance.event_id)
        for mask in document["masks_rle"].values():
            documents.check_mask(mask)
        known = self.instances.known(instance)
        if known is None:
            document["number"] = self._free_number(document["number"])
        elif not (document["appearance"] or document["motion"]) and document["role"] == _NO_ROLE:
            document["role"] = None  # the file says nothing of it
        self._put("instance", instance.id, known, document)

    def _free_number(self, wanted: int) -> int:
        """The number that a new instance has in the file; another one where the store has given it away."""
        if all(item.instance.id != wanted for item in self.old.instances):
            return wanted
        free = next(number for number in count(wanted) if number not in self.numbers)
        self.numbers.add(free)
        return free

    def _put_turns(self) -> None:
        said = Counter((item.turn.kind, item.turn.question, item.turn.answer) for item in self.old.dialogue)
        for place, item in enumerate(self.draft.dialogue):
            key = (item.turn.kind, item.turn.question, item.turn.answer)
            said[key] -= 1
            if said[key] < 0:
                self._put("turn", item.id, None, documents.turn_to(item, place))

    def _put_questions(self) -> None:
        asked = Counter((item.kind, item.about, item.text) for item in self.old.questions)
        for place, item in enumerate(self.draft.questions):
            about = None if item.about is None else self.ids[item.about]
            asked[(item.kind, about, item.text)] -= 1
            if asked[(item.kind, about, item.text)] < 0:
                document = documents.question_to(Question(item.id, item.kind, about, item.text), place)
                self._put("question", item.id, None, document)

    def _put(
        self,
        kind: SubjectKind,
        draft_id: str,
        known: ReviewedEvent | CaptionedClip | ReviewedInstance | ReviewedTurn | None,
        document: Document,
    ) -> None:
        """Complete the subject of the store that this one is, or make it under an id that is free."""
        if known is not None:
            self.ids[draft_id] = known.id
            self._update(kind, known.id, document, documents.EDITABLE[kind])
            return
        self.ids[draft_id] = naming.untaken(draft_id, self.taken)
        documents.check(kind, document, self.clip)
        self._write(Change(kind, self.ids[draft_id], "", document))

    def _update(self, kind: SubjectKind, subject_id: str, new: Document, names: Sequence[str]) -> None:
        old = log.load_document(self.db, self.clip.id, MAIN, kind, subject_id) or {}
        for name in names:
            says_nothing = new[name] is None or (new[name] in _EMPTY and old.get(name))
            if not says_nothing:
                self._write(Change(kind, subject_id, name, new[name]))
        merged = log.load_document(self.db, self.clip.id, MAIN, kind, subject_id)
        if merged is not None:
            documents.check(kind, merged, self.clip)

    def _write(self, change: Change) -> None:
        seq = log.append(self.db, self.author, change, step=self.step)
        self.step = seq if self.step is None else self.step


class _Instances:
    """The instances of the store that those of a file may be, each at most once.

    A number says nothing: files that know of no instances count their tracks from 0 or 1 too.
    """

    def __init__(self, old: Sequence[ReviewedInstance], new: Sequence[ReviewedInstance]) -> None:
        self.by_id = {item.id: item for item in old}
        named = {item.id for item in new}
        self.first_seen: dict[str, list[ReviewedInstance]] = {}
        for item in old:
            if item.provenance.kind == "import" and item.id not in named:
                self.first_seen.setdefault(naming.of_instance(item.instance), []).append(item)

    def known(self, new: ReviewedInstance) -> ReviewedInstance | None:
        """The one with the same id, else an imported one of its kind that is first seen in the same place."""
        if new.id in self.by_id:
            return self.by_id[new.id]
        alike = self.first_seen.get(naming.of_instance(new.instance))
        return alike.pop(0) if alike else None


def _match(new: Sequence[Any], old: Sequence[Any]) -> list[Any]:
    """For each new event or captioned clip the old one that it is, or None."""
    free = list(old)
    result: list[Any] = [None] * len(new)

    def settle(place: int, known: Any) -> None:
        if result[place] is None and known in free:
            result[place] = known
            free.remove(known)

    for place, item in enumerate(new):
        if item.start_s is not None:
            for known in [k for k in free if (k.start_s, k.end_s) == (item.start_s, item.end_s)][:1]:
                settle(place, known)
    imported = [known for known in old if known.provenance.kind == "import"]
    by_id = {known.id: known for known in imported}
    for place, item in enumerate(new):
        if item.id in by_id:
            settle(place, by_id[item.id])
    for place, known in enumerate(imported[: len(new)]):
        if _PLACE.fullmatch(new[place].id):
            settle(place, known)
    return result


def _last_row(db: Database) -> int:
    return next(iter(db.conn.execute("SELECT coalesce(max(seq), 0) FROM history")))[0]
