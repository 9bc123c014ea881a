"""Where training clips come from: the store of corrections, HIVAU-70k, the street world, folders of classes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from finetune.data import read_data
from finetune.dialogues import instance_answer
from finetune.records import Entity, Said, Source, TrainingClip
from finetune.scenes.truth import SceneTruth, TruthFile, read_truth_file
from finetune.scenes.write import OTHER_STRIDE
from workbench.corrections.attach import HOW, has_file
from workbench.corrections.authorship import words_of_people
from workbench.corrections.clips import reviewed_clips
from workbench.corrections.store import Store
from workbench.errors import ClipError, DataError, FormatError
from workbench.exports.hivau import read_hivau
from workbench.probe import VIDEO_SUFFIXES, probe
from workbench.prompts import INSTANCE_QUESTION, STANDARD_QUESTIONS
from workbench.records import ClipInfo, MaskRLE, ReviewedClip, ReviewedInstance, Texts, TurnKind

_TASKS: tuple[TurnKind, ...] = ("judgement", "description", "analysis")
YES = "Yes, something abnormal happens: {category}."
NO = "No, there is no anomaly; everything is normal."


@dataclass(slots=True)
class Found:
    """Clips to learn from, and why others were left out, a sentence each."""

    clips: list[TrainingClip] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def from_store(store: Store, layer: str = "main") -> Found:
    """Clips whose review is done, as they stand after all corrections.

    A clip whose file is gone is left out and named.

    Raises:
        DataError: no clip is approved and usable, or a mask does not fit its clip.
    """
    found, waiting = Found(), 0
    for reviewed in reviewed_clips(store, layer):
        if reviewed.state != "done":
            waiting += 1
            continue
        clip = reviewed.clip
        if not has_file(clip):
            where = f"is not in {Path(clip.path).parent} any more" if clip.path else "was never there"
            found.left_out.append(f"{clip.name}: its file {where}; {HOW}.")
            continue
        if None in (clip.sha256, clip.n_frames, clip.fps, clip.width, clip.height):
            found.left_out.append(f"{clip.name}: it was never probed; analyse it once.")
            continue
        made = from_reviewed(words_of_people(store, reviewed), "corrections", _info_of(reviewed))
        made.check_masks()
        found.clips.append(made)
    if not found.clips:
        if found.left_out:
            raise DataError(f"No approved clip of {store.path} can be read. The first is {found.left_out[0]}")
        raise DataError(
            f"The store {store.path} has no approved corrections to learn from: set clips to 'done'. {waiting} clips "
            "wait for it."
        )
    return found


def from_folder(folder: str | Path) -> Found:
    """Clips of a folder: street world, a HIVAU-70k tree (JSON annotations and videos anywhere below), or classes.

    Raises:
        DataError: it is none of these, or nothing in it can be used.
    """
    folder = Path(folder)
    annotations = [] if (folder / "truth").is_dir() or not folder.is_dir() else sorted(folder.rglob("*.json"))
    if annotations:
        return _from_hivau(folder, annotations)
    found = Found()
    for clip in read_data(folder):
        try:
            info, _ = probe(clip.path)
        except ClipError as error:
            found.left_out.append(str(error))
            continue
        if clip.truth_path is not None:
            found.clips.append(from_scene(read_truth_file(clip.truth_path), info))
        elif clip.label is not None:
            said = _judged(clip.label, clip.category)
            spans = None if clip.label else ()
            found.clips.append(
                _clip(info, Path(clip.path).stem, "classes", clip.name, clip.label, clip.category, spans, (), said)
            )
    if not found.clips:
        raise DataError(f"No clip of {folder} can be used: {found.left_out[0] if found.left_out else 'it is empty'}")
    return found


def from_reviewed(reviewed: ReviewedClip, source: Source, info: ClipInfo) -> TrainingClip:
    """A clip as it stands after all corrections. Without events, and without a label that says else, it is normal."""
    label = int(bool(reviewed.events) or bool(reviewed.label))
    named = [event.category for event in reviewed.events if event.category]
    category = next(iter([*named, *(reviewed.label or ())]), None)
    spans = [(e.start_s, e.end_s) for e in reviewed.events if e.start_s is not None and e.end_s is not None]
    complete = len(spans) == len(reviewed.events) and (bool(spans) or not label)
    return _clip(
        info,
        reviewed.clip.name,
        source,
        f"{reviewed.layer}:{reviewed.revision}",
        label,
        category.lower() if category else None,
        tuple(sorted(spans)) if complete else None,
        tuple(_entity(item) for item in reviewed.instances),
        tuple(_said_of(reviewed, label, category)),
    )


def from_scene(file: TruthFile, info: ClipInfo) -> TrainingClip:
    """A clip of the street world, whose truth is complete."""
    truth = file.truth
    _refuse_other_clip(truth, info)
    fps = float(truth.fps)
    running = {e: (event.start_frame, event.end_frame) for event in truth.events for e in event.entity_ids}
    entities = []
    for one in truth.entities:
        start, end = running.get(one.id, (0, 0))
        drawn = {f: MaskRLE(size=r["size"], counts=r["counts"]) for f, r in file.masks.get(one.id, {}).items()}
        involved = one.id in running
        masks = {frame: mask for frame, mask in drawn.items() if not involved or start <= frame < end}
        calm = {frame: mask for frame, mask in drawn.items() if frame not in masks}
        # In its event, somebody involved has a mask wherever he can be seen: an empty range. Of others a truth file
        # keeps every `OTHER_STRIDE`-th frame, and in between nobody has drawn them.
        span = (min(drawn) - OTHER_STRIDE + 1, max(drawn) + OTHER_STRIDE - 1) if drawn and not involved else (0, -1)
        entities.append(Entity(one.id, one.role, one.appearance, one.motion, involved, *span, masks, calm))
    said = [Said("video", tuple((qa.question, qa.answer) for qa in truth.dialogue if qa.kind in _TASKS))]
    said += [Said("video", ((qa.question, qa.answer),)) for qa in truth.dialogue if qa.kind == "free"]
    for event in truth.events:
        turns = tuple((STANDARD_QUESTIONS[kind], str(getattr(event, kind))) for kind in _TASKS)
        said.append(Said("event", turns, (event.start_frame / fps, event.end_frame / fps)))
    for part in truth.clips:
        turn = ((STANDARD_QUESTIONS["caption"], part.caption),)
        said.append(Said("clip", turn, (part.start_frame / fps, part.end_frame / fps)))
    spans = tuple((event.start_frame / fps, event.end_frame / fps) for event in truth.events)
    category = truth.category if truth.label else None
    return _clip(
        *(info, truth.name, "scenes", f"seed {truth.seed}", int(truth.label), category, spans),
        tuple(entities),
        tuple(row for row in said if row.turns),
    )


def _from_hivau(folder: Path, annotations: Iterable[Path]) -> Found:
    videos = {path.stem: path for path in sorted(folder.rglob("*")) if path.suffix.lower() in VIDEO_SUFFIXES}
    found, described = Found(), 0
    for path in annotations:
        if not _looks_annotated(path):
            continue
        for reviewed in read_hivau(path):
            described += 1
            video = videos.get(reviewed.clip.name)
            if video is None:
                found.left_out.append(f"{reviewed.clip.name}: there is no video of that name below {folder}.")
                continue
            try:
                info, _ = probe(video)
            except ClipError as error:
                found.left_out.append(str(error))
                continue
            found.clips.append(from_reviewed(reviewed, "hivau", info))
    if not found.clips:
        raise DataError(
            f"{folder} describes {described} videos in HIVAU-70k's form, but holds none of them as a file; "
            "put the videos below it, named as in the annotations."
        )
    return found


def _looks_annotated(path: Path) -> bool:
    """Whether a JSON file maps names to annotated videos; a tree holds other JSON too (configs, metrics)."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise FormatError(f"{path} is not JSON ({error}); restore it or take it out of the folder.") from error
    first = next(iter(document.values()), None) if isinstance(document, dict) else None
    return isinstance(first, dict) and "events" in first


def _info_of(reviewed: ReviewedClip) -> ClipInfo:
    clip = reviewed.clip
    n_frames, fps = int(clip.n_frames or 0), float(clip.fps or 1)
    size = (int(clip.width or 0), int(clip.height or 0))
    return ClipInfo(str(clip.path), str(clip.sha256), n_frames, fps, clip.duration_s or n_frames / fps, *size)


def _entity(item: ReviewedInstance) -> Entity:
    one = item.instance
    involved = one.role != "bystander"
    return Entity(
        *(one.id, one.role, one.appearance, one.motion, involved, one.first_frame, one.last_frame),
        dict(one.masks_rle),
    )


def _said_of(reviewed: ReviewedClip, label: int, category: str | None) -> Iterable[Said]:
    """Texts, questions of an instruction set in their own words, and the dialogue.

    A judgement that nobody wrote, nor gave as an answer, follows from the events; descriptions and analyses do not.
    """
    asked = {(question.about, question.kind): question.text for question in reviewed.questions}

    def turns(about: str | None, texts: Texts, judgement: str) -> tuple[tuple[str, str], ...]:
        rows = []
        for kind, text in zip(_TASKS, (texts.judgement or judgement, texts.description, texts.analysis), strict=True):
            if text:
                rows.append((asked.get((about, kind), STANDARD_QUESTIONS[kind]), text))
        return tuple(rows)

    answered = any(item.turn.kind == "judgement" for item in reviewed.dialogue)
    yield Said("video", turns(None, reviewed.texts, "" if answered else judgement_text(label, category)))
    for event in reviewed.events:
        if event.start_s is None or event.end_s is None:
            continue
        span = (event.start_s, event.end_s)
        yield Said("event", turns(event.id, event.texts, judgement_text(1, event.category)), span)
        for part in event.clips:
            if part.caption and part.start_s is not None and part.end_s is not None:
                question = asked.get((part.id, "caption"), STANDARD_QUESTIONS["caption"])
                yield Said("clip", ((question, part.caption),), (part.start_s, part.end_s))
    for item in reviewed.dialogue:
        yield Said("video", ((item.turn.question, item.turn.answer),))
    for made in reviewed.instances:
        one = made.instance
        if one.appearance and one.motion:
            answer = instance_answer({"role": one.role, "appearance": one.appearance, "motion": one.motion})
            yield Said("instance", ((INSTANCE_QUESTION, answer),), entity=one.id)


def judgement_text(label: int, category: str | None) -> str:
    """The judgement that follows from a label, in the words of the street world."""
    return YES.format(category=category or "an abnormal event") if label else NO


def _judged(label: int, category: str | None) -> tuple[Said, ...]:
    return (Said("video", ((STANDARD_QUESTIONS["judgement"], judgement_text(label, category)),)),)


def _clip(
    info: ClipInfo,
    name: str,
    source: Source,
    revision: str,
    label: int,
    category: str | None,
    spans: tuple[tuple[float, float], ...] | None,
    entities: tuple[Entity, ...],
    said: tuple[Said, ...],
) -> TrainingClip:
    return TrainingClip(
        name=name,
        sha256=info.sha256,
        path=str(Path(info.path).resolve()),
        source=source,
        revision=revision,
        n_frames=int(info.n_frames),
        fps=float(info.fps),
        width=int(info.width),
        height=int(info.height),
        label=label,
        category=category,
        spans_s=spans,
        entities=entities,
        said=said,
    )


def _refuse_other_clip(truth: SceneTruth, info: ClipInfo) -> None:
    if (info.n_frames, info.width, info.height) != (truth.n_frames, truth.width, truth.height):
        raise DataError(
            f"The clip {info.path} has {info.n_frames} frames of {info.width}×{info.height}, its truth says "
            f"{truth.n_frames} of {truth.width}×{truth.height}; render it again with `python -m finetune scenes`."
        )
