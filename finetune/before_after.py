"""Held-out clips through the path an analyst uses, with the stack as it was and as it is with the adapter."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from finetune.data import EvalClip
from finetune.dense import Tell, refuse_other_content
from finetune.measure import ClipResult, measure_clip
from finetune.records import TIME_SLACK_S, TrainingClip, categories
from finetune.scenes.truth import EntityTruth, EventTruth, SceneTruth, VideoText, truth_to_json
from workbench.errors import ClipError, DataError
from workbench.stack.loading import ModelStack
from workbench.video import Clip


@dataclasses.dataclass(frozen=True, slots=True)
class What:
    """What is measured: judgements cost a spoken answer a clip, masks two prompts and a short track."""

    chat: bool = False
    segmenter: bool = False


def held_out(clip: TrainingClip, folder: Path) -> EvalClip:
    """A training clip as evaluation wants it; what is true of it is written into `folder`.

    Raises:
        ClipError: the file cannot be opened. TrainingError: it is no longer the one that was frozen.
    """
    with Clip.open(clip.path) as video:
        refuse_other_content(clip, video.info.sha256)
        times = video.times_s
    path = folder / f"{clip.sha256[:24]}.json"
    name = f"{clip.name}-{clip.sha256[:8]}"
    if clip.spans_s is None:
        return EvalClip(Path(clip.path), name, clip.label, clip.category)
    truth, masks = _truth(clip, name, times)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(truth_to_json(truth, masks), encoding="utf-8")
    label = np.asarray(truth.frame_label)
    known = frozenset({*np.flatnonzero(label == 0).tolist(), *clip.masked_frames()})
    has_masks = bool(masks) or not clip.label
    frames = known if has_masks else frozenset[int]()
    return EvalClip(Path(clip.path), name, clip.label, clip.category, truth, path, frames)


def measure(
    stack: ModelStack,
    clips: Sequence[EvalClip],
    names: Sequence[str],
    what: What,
    cache: Path,
    tell: Tell | None = None,
) -> list[ClipResult]:
    """Measure clips; one that cannot be measured is a result with an error.

    Args:
        names: categories an answer may use. cache: folder of features, shared by the stacks that see the same.
    """
    results = []
    for number, clip in enumerate(clips):
        if tell:
            tell("evaluate", number, len(clips))
        try:
            result = measure_clip(
                stack, clip, categories=names, chat=what.chat, segment=what.segmenter, cache_dir=cache
            )
        except (ClipError, DataError) as error:
            result = ClipResult(clip.name, clip.label, clip.category, error=str(error))
        if result.pixels is not None and not clip.pixel_frames:
            result.pixels = None  # nobody drew masks on this clip: its pixels say nothing
        results.append(result)
    return results


def names_in(clips: Sequence[TrainingClip], stack: ModelStack) -> list[str]:
    """Categories that answers about these clips may name."""
    return sorted({*categories(list(clips)), *stack.profile.categories})


def _truth(clip: TrainingClip, name: str, times: np.ndarray) -> tuple[SceneTruth, dict[int, dict[int, dict]]]:
    assert clip.spans_s is not None
    involved = [entity for entity in clip.entities if entity.involved]
    events = []
    for start_s, end_s in clip.spans_s:
        first, stop = (int(np.searchsorted(times, t - TIME_SLACK_S)) for t in (start_s, end_s))
        if first >= len(times):
            continue
        stop = min(len(times), max(first + 1, stop))
        ids = [e.id for e in involved if any(first <= frame < stop for frame in e.masks)]
        events.append(EventTruth(clip.category or "abnormal", first, stop, ids))
    label = np.zeros(len(times), np.uint8)
    for event in events:
        label[event.start_frame : event.end_frame] = 1
    entities = [EntityTruth(e.id, "thing", e.role, e.appearance, e.motion) for e in clip.entities]
    masks = {e.id: {frame: dict(rle) for frame, rle in e.masks.items()} for e in clip.entities if e.masks}
    # A scene's rate is whole; a clip's need not be, and is only used to end the last event.
    size = (clip.width, clip.height, clip.fps, len(times))
    category = (clip.category or "abnormal") if clip.label else "normal"
    text = VideoText("", "", "")
    truth = SceneTruth(
        *(name, 0, *size, "", {}, clip.label, label, category, events, entities, [], text, []),  # type: ignore[arg-type]
    )
    return truth, masks
