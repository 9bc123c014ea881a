"""The annotation engine of Holmes-VAU (3.2) over the store: a person's events become clips, captions and texts.

    boundaries of events (the analyst's) → each event split into clips → each clip captioned → captions and category
    summarised into the event's judgement, description, analysis → the same for the whole video

Only what nobody has written is written: a person's text is never replaced, and with `again` only what a model wrote
last. Every event is saved when it is finished, so that a run which is cancelled or killed goes on where it was.

Who wrote what stays known: rows of the engine are by `workbench`, their reason names profile and adapter, captioned
clips bear the model as their provenance, and `written_by` tells for any text whether a model or a person wrote it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from workbench.analysis import analyse
from workbench.conversation import Conversation
from workbench.corrections import clips, history
from workbench.corrections.authorship import written_by
from workbench.corrections.documents import TEXT_FIELDS
from workbench.corrections.log import MAIN, Change
from workbench.corrections.store import Store
from workbench.errors import ClipError, FormatError, InputError, StoreError
from workbench.exports.cuts import open_media
from workbench.features import PartialCurve, Progress
from workbench.prompts import STANDARD_QUESTIONS, summary_question
from workbench.records import Analysis, CaptionedClip, Provenance, ReviewedClip, ReviewedEvent, SubjectKind, TurnKind
from workbench.stack.loading import ModelStack

CLIP_S = 2.0  # about the length of the clips of an event in HIVAU-70k
MAX_CLIPS = 40  # of one event: a caption costs an answer
_TASKS: tuple[TurnKind, ...] = ("judgement", "description", "analysis")
_FIELDS = dict(zip(_TASKS, TEXT_FIELDS[:3], strict=True))
_TRIES = 5
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Options:
    """How the engine writes: clips of about `clip_s` seconds; `again`: write anew what a model wrote.

    Raises:
        InputError: `clip_s` is not a length.
    """

    clip_s: float = CLIP_S
    again: bool = False
    layer: str = MAIN

    def __post_init__(self) -> None:
        if not (math.isfinite(self.clip_s) and self.clip_s >= 0.1):
            raise InputError(f"Clips of {self.clip_s:g} s are not possible; ask for 0.1 s or more.")


@dataclass(slots=True)
class Annotated:
    """What a run wrote: clips annotated, events among them, texts written, and a sentence for what was left out."""

    clips: int = 0
    events: int = 0
    texts: int = 0
    notes: list[str] = field(default_factory=list)


def annotate_clip(
    store: Store,
    clip: int,
    stack: ModelStack,
    options: Options | None = None,
    *,
    progress: Progress | None = None,
    cache_dir: Path | None = None,
) -> Annotated:
    """Write what is missing of one clip.

    Args:
        clip: its number in the store. progress: hears of each step; a run is cancelled by an exception raised in it.
        cache_dir: where features are kept, as for `analyse`.

    Raises:
        FormatError: its video is not at hand. ClipError: it does not decode. StoreError: the store cannot be written.
    """
    options = options or Options()
    reviewed = clips.current(store, clip, options.layer)
    with closing(open_media(reviewed.clip)) as video:
        analysis = analyse(video, stack, progress=progress, cache_dir=cache_dir)
        writer = _Writer(store, stack, analysis, options, reviewed)
        return writer.run(progress or (lambda *_: None))


def annotate_library(
    store: Store,
    stack: ModelStack,
    options: Options | None = None,
    *,
    only: Iterable[int] | None = None,
    progress: Progress | None = None,
    cache_dir: Path | None = None,
) -> Annotated:
    """Write what is missing of all clips, or of those with the numbers `only`; a clip without its video is noted.

    Raises:
        StoreError: the store cannot be written.
    """
    numbers = list(only) if only is not None else clip_numbers(store)
    total = Annotated()
    for place, number in enumerate(numbers):
        tell = None if progress is None else _share(progress, place, len(numbers))
        try:
            made = annotate_clip(store, number, stack, options, progress=tell, cache_dir=cache_dir)
        except (FormatError, ClipError) as error:
            total.notes.append(str(error))
            continue
        total.clips += made.clips
        total.events += made.events
        total.texts += made.texts
        total.notes += made.notes
    if progress:
        progress("done", 1.0, None)
    return total


def split_span(start_s: float, end_s: float, clip_s: float = CLIP_S) -> list[Span]:
    """Equal parts of a span, as near to `clip_s` seconds as equal parts can be; at least one, at most MAX_CLIPS."""
    count = min(MAX_CLIPS, max(1, round((end_s - start_s) / clip_s)))
    edges = [start_s + (end_s - start_s) * i / count for i in range(count)] + [end_s]
    return list(pairwise(edges))


class _Writer:
    """One clip while it is written."""

    def __init__(
        self, store: Store, stack: ModelStack, analysis: Analysis, options: Options, reviewed: ReviewedClip
    ) -> None:
        self.store, self.stack, self.analysis, self.options = store, stack, analysis, options
        self.reviewed = reviewed
        self.made_by = Provenance("model", analysis.profile, analysis.adapter)
        self.reason = "written by " + " with ".join(filter(None, (analysis.profile, analysis.adapter)))
        self.done = Annotated(clips=1)

    def run(self, progress: Progress) -> Annotated:
        events = self.reviewed.events
        told: list[str] = []
        for place, event in enumerate(events):
            progress("events", place / max(1, len(events)), None)
            if event.start_s is None or event.end_s is None:
                self.done.notes.append(f"Event {event.id} of {self.reviewed.clip.name} has no times; set them first.")
                continue
            if event.start_s >= self.analysis.clip.duration_s:
                self.done.notes.append(
                    f"Event {event.id} of {self.reviewed.clip.name} lies after the end of the video."
                )
                continue
            told.append(self._event(event, (event.start_s, event.end_s), progress, place, len(events)))
            self.done.events += 1
        progress("video", 0.0, None)
        said = self._texts("video", "video", None, self.reviewed.label, told)
        self._save(lambda _: self._free("video", "video", said))
        progress("video", 1.0, None)
        return self.done

    def _event(self, event: ReviewedEvent, span: Span, progress: Progress, place: int, count: int) -> str:
        """Caption the clips of an event and write its texts, as one step. → its running text."""
        parts = event.clips or tuple(
            CaptionedClip(history.new_id(), *part, "", self.made_by) for part in split_span(*span, self.options.clip_s)
        )
        captions: dict[str, str] = {}
        for k, part in enumerate(parts):
            progress("captions", (place + k / len(parts)) / count, None)
            if self._wanted("caption", part.id, "caption", part.caption) and part.start_s is not None:
                captions[part.id] = self._ask((part.start_s, part.end_s or span[1]), "caption")
        read = [captions.get(part.id, part.caption) for part in parts]
        said = self._texts("event", event.id, span, (event.category,) if event.category else (), read)

        def changes(now: ReviewedClip) -> list[Change]:
            standing = next((item for item in now.events if item.id == event.id), None)
            if standing is None:
                return []  # a person has removed it meanwhile
            known = {part.id for part in standing.clips}
            if event.clips or standing.clips:
                made = [c for i in known & captions.keys() for c in self._free("caption", i, {"caption": captions[i]})]
            else:
                new = [CaptionedClip(p.id, p.start_s, p.end_s, captions.get(p.id, ""), self.made_by) for p in parts]
                made = [history.add_caption(part, event.id, k) for k, part in enumerate(new)]
            return made + self._free("event", event.id, said)

        self._save(changes)
        texts = {name: getattr(event.texts, kind) for kind, name in _FIELDS.items()} | said
        return " ".join(text for text in texts.values() if text)

    def _texts(
        self, subject: SubjectKind, subject_id: str, span: Span | None, names: Sequence[str] | None, told: list[str]
    ) -> dict[str, str]:
        """The three texts that are wanted, asked in one dialogue; by field."""
        owner = self.reviewed if subject == "video" else next(e for e in self.reviewed.events if e.id == subject_id)
        wanted = [k for k in _TASKS if self._wanted(subject, subject_id, _FIELDS[k], getattr(owner.texts, k))]
        if not wanted:
            return {}
        talk = Conversation(self.stack, self.analysis, span_s=self._inside(span))
        said = {}
        for kind in wanted:
            question = STANDARD_QUESTIONS[kind]
            if not self.stack.profile.asks_plainly:
                question = summary_question(kind, names or (), told if kind == wanted[0] else ())
            said[_FIELDS[kind]] = talk.say(question, kind).answer
        return said

    def _ask(self, span: Span, kind: TurnKind) -> str:
        return Conversation(self.stack, self.analysis, span_s=self._inside(span)).say(kind, kind).answer

    def _inside(self, span: Span | None) -> Span | None:
        """A span that ends in the video and is not empty: published ones end up to a second after it."""
        if span is None:
            return None
        start = min(span[0], max(0.0, self.analysis.clip.duration_s - 1e-3))
        return start, max(start + 1e-3, min(span[1], self.analysis.clip.duration_s))

    def _wanted(self, subject: SubjectKind, subject_id: str, name: str, text: str | None) -> bool:
        """Whether a text may be written: there is none, or a model wrote it and it is to be written again."""
        if not text:
            return True
        if not self.options.again:
            return False
        author = written_by(self.store, self.reviewed.clip.id, subject, subject_id, name, layer=self.options.layer)
        return author is not None and not author[0] and author[1] != "import" and author[1].startswith("written by")

    def _free(self, subject: SubjectKind, subject_id: str, said: dict[str, str]) -> list[Change]:
        """Of the texts those that nobody has written while the model was thinking."""
        now = clips.current(self.store, self.reviewed.clip.id, self.options.layer)
        result = []
        for name, text in said.items():
            if text and self._wanted(subject, subject_id, name, _standing(now, subject, subject_id, name)):
                result.append(history.edit(subject, subject_id, name, text))
        return result

    def _save(self, make: Callable[[ReviewedClip], list[Change]]) -> None:
        """Save what still fits; a person who saves at the same moment goes first."""
        for _ in range(_TRIES):
            now = clips.current(self.store, self.reviewed.clip.id, self.options.layer)
            changes = make(now)
            if not changes:
                return
            try:
                history.save(
                    self.store,
                    now.clip.id,
                    changes,
                    annotator=clips.WORKBENCH,
                    seen=now.revision,
                    layer=self.options.layer,
                    reason=self.reason,
                    action="analysis",
                )
            except history.StaleError:
                continue
            self.done.texts += sum(bool(change.field) or change.subject == "caption" for change in changes)
            return
        raise StoreError(f"{self.reviewed.clip.name} is being edited all the time; annotate it when that has ended.")


def _standing(now: ReviewedClip, subject: SubjectKind, subject_id: str, name: str) -> str | None:
    kinds = {text_field: kind for kind, text_field in _FIELDS.items()}
    if subject == "video":
        return getattr(now.texts, kinds[name])
    if subject == "event":
        return next((getattr(e.texts, kinds[name]) for e in now.events if e.id == subject_id), None)
    return next((part.caption for event in now.events for part in event.clips if part.id == subject_id), None)


def clip_numbers(store: Store) -> list[int]:
    """The numbers of all clips, in the order they came in."""
    with store.reading() as db:
        return [number for (number,) in db.conn.execute("SELECT id FROM clips ORDER BY id")]


def _share(progress: Progress, place: int, count: int) -> Progress:
    """Progress of one clip among several, as one of all of them; it ends when all do."""

    def tell(stage: str, fraction: float, partial: PartialCurve | None) -> None:
        progress(f"clip {place + 1} of {count}: {stage}", (place + min(1.0, fraction)) / count, partial)

    return tell
