"""The store behind the page: a clip enters it when it is analysed, and every change is in it before "saved" is said.

One `Desk` serves all visitors. Whoever edits is an `Annotator`: a name, and the layer that their corrections go to.
On a page that strangers share, each of them has a layer of their own and sees only clips that they opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from workbench.corrections import clips, documents, history
from workbench.corrections.attach import attach
from workbench.corrections.changes import next_number, numbered
from workbench.corrections.log import MAIN, Change
from workbench.corrections.taxonomy import Taxonomy, add_category, load_taxonomy, open_store
from workbench.errors import InputError, StoreError
from workbench.files import replacing
from workbench.records import Analysis, ClipRecord, Correction, Instance, ReviewedInstance, ReviewedTurn, Turn
from workbench.records import Provenance as MadeBy
from workbench.ui.editing import REJECTED, Plan, Rejected, Scene, plan
from workbench.ui.session import Annotator, Review

PACKAGES = ("torch", "transformers", "sam2", "av")
THUMBNAIL_WIDTH = 320
WHOLE = {"", "verdict"}
"""Fields whose change speaks of all of a subject."""
MIN_PREFIX = 12  # hex digits of a hash that name a clip in a link: nobody guesses them


class Desk:
    """The store at `path`, with a folder beside it for the clips that were uploaded and their small pictures.

    Args:
        path: the SQLite file; its folder is made.
        public: whether strangers share the page.

    Raises:
        StoreError: the file cannot be opened, or is not a store.
    """

    def __init__(self, path: Path, *, public: bool = False) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"The folder {path.parent} of the store cannot be made ({error.strerror}).") from error
        self.store = open_store(path)
        self.public = public
        self.media_dir = path.with_suffix(".media")
        self._entering = threading.Lock()

    def annotator(self, name: str, key: str = "") -> Annotator:
        """Who edits under that name, and in which layer.

        Args:
            key: among strangers a name proves nothing: the layer is that of whoever knows this. Programs, which have
                none, share one for each name.

        Raises:
            InputError: the name is empty or too long.
        """
        name = " ".join(name.split())
        if not 1 <= len(name) <= 60 or name == clips.WORKBENCH:
            raise InputError("A name is needed for the history: 1 to 60 letters, and not “workbench”.")
        if not self.public:
            return Annotator(name, MAIN)
        whose = f"key {key}" if key else f"name {name}"
        return Annotator(name, f"guest-{hashlib.sha256(whose.encode()).hexdigest()[:16]}")

    def enter(self, review: Review, by: Annotator) -> None:
        """Save the analysis of a clip (unless the store has the same already) and read how the clip stands."""
        analysis = review.analysis
        if analysis is None:
            raise InputError("This clip is not analysed yet; wait for the progress bar.")
        kept = replace(analysis, clip=replace(analysis.clip, path=str(review.file)))
        with self._entering:  # of two tabs that open one clip, the second finds what the first has saved
            if not self._has(kept):
                versions = {name: _version(name) for name in PACKAGES}
                clips.save_analysis(self.store, kept, versions=versions)
        if review.file is not None:
            attach(self.store, kept.clip.sha256, review.file)  # it may have been moved since
        self.refresh(review, by)
        self._write_thumbnail(review, analysis)

    def refresh(self, review: Review, by: Annotator) -> None:
        """Read how the clip stands in the annotator's layer."""
        review.reviewed = clips.current(self.store, review.clip.info.sha256, by.layer)
        if review.analysis is not None:
            standing = [item.instance for item in numbered(review.reviewed.instances).values()]
            review.analysis.instances = sorted(standing, key=lambda instance: instance.id)

    def save(self, review: Review, by: Annotator, made: Plan) -> None:
        """Write one step of a person; it is on the disk when this returns.

        Raises:
            StaleError: somebody else changed the same thing in between; the review is up to date again and nothing was
                written. What others changed elsewhere on the clip stands beside this step.
            InputError: a value cannot be true of the clip. StoreError: the store cannot be written.
        """
        if not made.changes:
            return
        with review.writing:
            try:
                self._save(review, by, made)
            except history.StaleError as error:
                self.refresh(review, by)
                others = [change for change in error.changes if change.annotator != clips.WORKBENCH]
                beside = _beside(others, made)
                if beside is None:
                    raise
                self._save(review, by, beside)
            finally:
                self.refresh(review, by)

    def _save(self, review: Review, by: Annotator, made: Plan) -> None:
        reviewed = review.require_reviewed()
        history.save(
            self.store, reviewed.clip.id, made.changes, annotator=by.name, seen=reviewed.revision, layer=by.layer,
            reason=made.reason,
        )  # fmt: skip

    def say(self, review: Review, by: Annotator, changes: Sequence[Change]) -> None:
        """Write what a model said (a turn, instances): in the history, but no step that a person could undo."""
        with review.writing:
            reviewed = review.require_reviewed()
            history.save(self.store, reviewed.clip.id, changes, annotator=clips.WORKBENCH, layer=by.layer)
            self.refresh(review, by)

    def add_turn(self, review: Review, by: Annotator, turn: Turn) -> str:
        """Keep a question and its answer. → its id."""
        said = ReviewedTurn(history.new_id(), turn, self._made_by(review))
        self.say(review, by, history.add(said))
        return said.id

    def replace_instances(self, review: Review, by: Annotator, found: Sequence[Instance]) -> None:
        """Keep the instances that were found; earlier ones that no person touched make way."""
        standing = review.require_reviewed().instances
        gone = [i for i in standing if i.provenance.kind == "model" and not i.provenance.edited_by]
        changes = [history.remove("instance", item.id) for item in gone]
        kept = numbered(item for item in standing if item not in gone)
        for number, instance in enumerate(found, next_number(kept)):
            instance = replace(instance, id=number)
            changes += history.add(ReviewedInstance(history.new_id(), instance, None, self._made_by(review)))
        if changes:
            self.say(review, by, changes)

    def edit(self, review: Review, by: Annotator, command: Mapping[str, Any]) -> Plan:
        """Carry out a command of the page on the events. → what was written. Raises as `save` and `editing.plan`."""
        if command.get("op") == "category" and command.get("new"):
            name = str(command.get("value") or "").strip()
            if self.taxonomy().resolve(name) is None:
                add_category(self.store, name, annotator=by.name)
        made = plan(self.scene(review, by), command)
        self.save(review, by, made)
        return made

    def turn_back(self, review: Review, by: Annotator, *, redo: bool = False) -> bool:
        """Undo, or redo, the annotator's last step on this clip. → whether there was one.

        Raises:
            StoreError: somebody else changed the same thing since.
        """
        turn = history.redo if redo else history.undo
        with review.writing:
            done = turn(self.store, review.require_reviewed().clip.id, annotator=by.name, layer=by.layer)
            self.refresh(review, by)
        return done is not None

    def turnable(self, review: Review, by: Annotator) -> tuple[int, int]:
        """How many steps the annotator can undo and redo on this clip."""
        clip = review.require_reviewed().clip.id
        return history.undoable(self.store, clip, annotator=by.name, layer=by.layer)

    def taxonomy(self) -> Taxonomy:
        """The kinds of events."""
        return load_taxonomy(self.store)

    def scene(self, review: Review, by: Annotator) -> Scene:
        """What an edit is made on."""
        reviewed, analysis = review.require_reviewed(), review.analysis
        assert analysis is not None
        return Scene(reviewed, analysis, review.clip.times_s, self.taxonomy(), by.name, self.rejected(review, by))

    def rejected(self, review: Review, by: Annotator) -> tuple[Rejected, ...]:
        """Events that were rejected and not brought back, in the order of their times."""
        reviewed = review.require_reviewed()
        standing = {event.id for event in reviewed.events}
        found: list[Rejected] = []
        with self.store.reading() as db:
            layer = by.layer if clips.has_layer(db, reviewed.clip.id, by.layer) else MAIN
            last = db.conn.execute(
                "SELECT subject_id, step, coalesce(reason, (SELECT reason FROM history AS undone "
                "WHERE undone.seq = history.undoes)) FROM history WHERE seq IN (SELECT max(seq) FROM history "
                "WHERE clip_id = ? AND layer = ? AND subject = 'event' AND field = '' AND after IS NULL "
                "GROUP BY subject_id) AND action IN ('edit', 'redo')",
                [reviewed.clip.id, layer],
            ).fetchall()
            for event_id, step, reason in last:
                if reason != REJECTED or event_id in standing:
                    continue
                rows = db.conn.execute(
                    "SELECT subject, subject_id, before FROM history WHERE step = ? AND field = '' AND after IS NULL "
                    "ORDER BY seq DESC",
                    [step],
                ).fetchall()
                removed = [(kind, i, json.loads(before)) for kind, i, before in rows]
                event = documents.event_from(event_id, next(d for kind, i, d in removed if i == event_id), ())
                found.append(Rejected(event, tuple(Change(kind, i, "", document) for kind, i, document in removed)))
        return tuple(sorted(found, key=lambda item: item.event.start_s or 0.0))

    def keep(self, path: Path, sha256: str, samples_dir: Path) -> Path:
        """Where a clip lies for good: an upload is linked (or copied) beside the store, a sample stays where it is.

        Uploads of strangers are not kept; they go when the server clears its own upload folder.
        """
        if self.public or path.resolve().is_relative_to(samples_dir.resolve()):
            return path
        kept = self.media_dir / sha256[:16] / path.name
        if kept.exists():
            return kept
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            with replacing(kept) as temporary:
                try:
                    os.link(path, temporary)
                except OSError:  # another disk, or one without links
                    shutil.copyfile(path, temporary)
        except OSError as error:
            raise StoreError(f"{path.name} cannot be kept in {self.media_dir} ({error.strerror}).") from error
        return kept

    def find(self, prefix: str) -> tuple[ClipRecord, Path]:
        """The clip that a link names by the beginning of its hash, and its file. Raises StoreError."""
        record = self.record_of(prefix)
        return record, self.file_of(record)

    def record_of(self, prefix: str) -> ClipRecord:
        """The clip whose hash begins so. Raises `StoreError` when the store has none, or it is too short to tell."""
        wanted = prefix.strip().lower()
        if len(wanted) < MIN_PREFIX or any(letter not in "0123456789abcdef" for letter in wanted):
            raise StoreError(f"{prefix!r} names no clip: give its name, or {MIN_PREFIX} digits of its sha256 or more.")
        with self.store.reading() as db:
            row = db.conn.execute(
                "SELECT sha256 FROM clips WHERE sha256 >= ? AND sha256 < ? LIMIT 1", [wanted, wanted + "g"]
            ).fetchone()
            if row is None:
                raise StoreError("The clip that was asked for is not in this store; upload it again.")
            return clips.find_clip(db, row[0])

    def file_of(self, record: ClipRecord) -> Path:
        """The video of a clip. Raises `StoreError` when there is none any more."""
        folder = self.media_dir / (record.sha256 or "none")[:16]
        kept = sorted(folder.iterdir()) if folder.is_dir() else []
        for path in [*kept, *([Path(record.path)] if record.path else [])]:
            if path.is_file() and not path.name.startswith("."):
                return path
        raise StoreError(f"The video of {record.name} is not on this machine any more; upload it again.")

    def thumbnail_path(self, sha256: str) -> Path:
        """Where the small picture of a clip is kept."""
        return self.media_dir / "pictures" / f"{sha256[:16]}.jpg"

    def close(self) -> None:
        """Let go of the file."""
        self.store.close()

    def _has(self, analysis: Analysis) -> bool:
        """Whether the latest analysis of this content in the store says the same."""
        with self.store.reading() as db:
            row = db.conn.execute("SELECT id FROM clips WHERE sha256 = ?", [analysis.clip.sha256]).fetchone()
        if row is None or not clips.list_analyses(self.store, row[0]):
            return False
        old = clips.load_analysis(self.store, row[0])
        return _says(old) == _says(analysis) and np.allclose(old.dense.score, analysis.dense.score, atol=1e-4)

    def _write_thumbnail(self, review: Review, analysis: Analysis) -> None:
        target = self.thumbnail_path(review.clip.info.sha256)
        if target.exists() or not len(analysis.dense.score):
            return
        at = int(analysis.dense.frame_index[int(np.argmax(analysis.dense.score))])
        picture = cv2.cvtColor(review.clip.thumbnail(at, THUMBNAIL_WIDTH), cv2.COLOR_RGB2BGR)
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            cv2.imwrite(str(temporary), picture, [cv2.IMWRITE_JPEG_QUALITY, 82])

    @staticmethod
    def _made_by(review: Review) -> MadeBy:
        analysis = review.analysis
        assert analysis is not None
        return MadeBy("model", analysis.profile, analysis.adapter)


def _beside(others: Sequence[Correction], made: Plan) -> Plan | None:
    """A step as it stands beside what others changed since it was thought of; None where it contradicts them.

    It does where the same field was changed, something as a whole, or, if the step says how far the clip is, anything.
    """
    alone = len(made.changes) == 1
    state_changed = any(other.field == "state" for other in others)
    changes = [change for change in made.changes if alone or change.field != "state" or not state_changed]
    for change in changes:
        if alone and change.field == "state" and others:
            return None
        same = [other for other in others if (other.subject, other.subject_id) == (change.subject, change.id)]
        if any(len(fields := {change.field, other.field}) == 1 or fields & WHOLE for other in same):
            return None
    return replace(made, changes=changes)


@dataclass(frozen=True)
class _Said:
    """What makes two analyses the same for whoever reviews them."""

    stack: tuple[str, str | None]
    threshold: float
    frames: tuple[int, ...]
    events: tuple[tuple[float, float, str | None], ...]
    scored: int


def _says(analysis: Analysis) -> _Said:
    events = tuple((round(e.start_s, 3), round(e.end_s, 3), e.category) for e in analysis.events)
    frames = tuple(int(frame) for frame in analysis.sampled_frames)
    stack = (analysis.profile, analysis.adapter)
    return _Said(stack, round(float(analysis.threshold), 4), frames, events, len(analysis.dense.score))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
