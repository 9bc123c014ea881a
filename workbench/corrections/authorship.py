"""Whose words stand in the store: a model's that nobody has touched, or a person's."""

from __future__ import annotations

from dataclasses import replace

from sqlite_utils import Database

from workbench.corrections import clips
from workbench.corrections.documents import TEXT_FIELDS
from workbench.corrections.log import MAIN
from workbench.corrections.store import Store
from workbench.records import Provenance, ReviewedClip, ReviewedEvent, ReviewedInstance, SubjectKind, Texts

_SAID_OF_INSTANCES = ("role", "appearance", "motion")


def written_by(
    store: Store, clip: int, subject: SubjectKind, subject_id: str, name: str, *, layer: str = MAIN
) -> tuple[bool, str] | None:
    """Who wrote a text as it stands: (whether it was a person, who); None where nobody did.

    A model is told by the reason of its row, such as `written by bundled`.
    """
    with store.reading() as db:
        row = _last_row(db, clip, layer, subject, subject_id, name)
    if row is None:
        return None
    annotator, reason, action = row
    if annotator == clips.WORKBENCH:
        return False, str(reason or annotator)
    return action != "import", str(annotator)


def words_of_people(store: Store, reviewed: ReviewedClip) -> ReviewedClip:
    """The clip with no words but those that a person or a file brought, changed or confirmed.

    Texts that a model wrote and nobody touched are emptied; so are the words about an instance of which nobody has
    changed role, appearance or motion. Captioned clips and answers of that kind are left out.
    """
    clip, layer = reviewed.clip.id, reviewed.layer
    with store.reading() as db:

        def is_models(subject: SubjectKind, subject_id: str, name: str) -> bool:
            row = _last_row(db, clip, layer, subject, subject_id, name)
            return row is not None and row[0] == clips.WORKBENCH

        def texts(subject: SubjectKind, subject_id: str, said: Texts) -> Texts:
            values = (said.judgement, said.description, said.analysis, said.summary)
            named = zip(TEXT_FIELDS, values, strict=True)
            return Texts(*(None if text and is_models(subject, subject_id, name) else text for name, text in named))

        def event(said: ReviewedEvent) -> ReviewedEvent:
            parts = tuple(part for part in said.clips if not _is_untouched(part.provenance))
            return replace(said, texts=texts("event", said.id, said.texts), clips=parts)

        def instance(said: ReviewedInstance) -> ReviewedInstance:
            if not all(is_models("instance", said.id, name) for name in _SAID_OF_INSTANCES):
                return said
            return replace(said, instance=replace(said.instance, appearance="", motion=""))

        return replace(
            reviewed,
            texts=texts("video", "video", reviewed.texts),
            events=tuple(event(one) for one in reviewed.events),
            instances=tuple(instance(one) for one in reviewed.instances),
            dialogue=tuple(turn for turn in reviewed.dialogue if turn.verdict or not _is_untouched(turn.provenance)),
        )


def _is_untouched(made_by: Provenance) -> bool:
    return made_by.kind == "model" and not made_by.edited_by


def _last_row(
    db: Database, clip: int, layer: str, subject: str, subject_id: str, name: str
) -> tuple[str, str | None, str] | None:
    """Annotator, reason and action of the row that a field stands by; what was undone and not redone does not count."""
    row: tuple[str, str | None, str] | None = db.conn.execute(
        "SELECT annotator, reason, action FROM history LEFT JOIN (SELECT undoes AS undone, max(seq) AS undone_at "
        "FROM history WHERE clip_id = ? AND action = 'undo' GROUP BY undoes) "
        "ON undone = CASE action WHEN 'redo' THEN undoes ELSE step END "
        "WHERE clip_id = ? AND layer IN (?, ?) AND subject = ? AND subject_id = ? AND field IN (?, '') "
        "AND action != 'undo' AND (undone_at IS NULL OR undone_at < seq) ORDER BY layer = ? DESC, seq DESC LIMIT 1",
        [clip, clip, layer, MAIN, subject, subject_id, name, layer],
    ).fetchone()
    return row
