"""One clip through the path an analyst uses — analyse, ask, segment — compared with what is true of it."""

from __future__ import annotations

import tempfile
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from finetune.data import EvalClip
from finetune.metrics import (
    PixelTally,
    Span,
    mask_iou,
    temporal_iou,
    track_iou,
)
from finetune.scenes.truth import SceneTruth, TruthFile, read_truth_file
from finetune.words import Words, ask_all, caption_facts, is_described
from workbench.analysis import analyse
from workbench.answers import named_category, parse_judgement
from workbench.conversation import Conversation
from workbench.errors import DataError
from workbench.masks import decode_rle, mask_box
from workbench.records import Analysis, Heatmaps, MaskRLE
from workbench.stack.loading import ModelStack
from workbench.stack.segmenter import Prompt
from workbench.video import Clip

MIN_MASK_PX = 25  # smaller masks are a few pixels wide: their IoU measures rounding, not segmentation
TRACK_FRAMES = 8  # frames followed after the prompted one, at most …
TRACK_SECONDS = 1.0  # … spread over this time, or as far as the event goes


@dataclass(slots=True)
class ClipResult:
    """What was measured on one clip. NaN and `None` mean "does not apply" or "not known".

    Attributes:
        error: why the clip could not be measured; everything below is then empty.
        highest: its highest frame score; `called` is whether the analysis found an event.
        frame_score, frame_label: `[n_frames]`.
        pixels: heatmap values of anomalous and other pixels on the dense frames.
        judgement: the answer to the judgement question; `judged` and `named` are read from it.
        words: all that was said, where the truth is known that it speaks of.
        temporal_iou: of found and true events, abnormal clips only.
        mask_iou_box, mask_iou_click, track_iou: of one true entity in the middle of its event.
    """

    name: str
    label: int | None
    category: str | None
    error: str = ""
    highest: float = float("nan")
    called: bool | None = None
    frame_score: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    frame_label: np.ndarray | None = None
    pixels: PixelTally | None = None
    judgement: str | None = None
    judged: bool | None = None
    named: str | None = None
    words: Words | None = None
    temporal_iou: float = float("nan")
    mask_iou_box: float = float("nan")
    mask_iou_click: float = float("nan")
    track_iou: float = float("nan")
    seconds: float = 0.0


def measure_clip(
    stack: ModelStack,
    clip: EvalClip,
    *,
    categories: Sequence[str] = (),
    chat: bool = True,
    segment: bool = True,
    cache_dir: Path | None = None,
) -> ClipResult:
    """Run the real path on one clip and compare.

    Args:
        stack: the loaded model stack.
        clip: the clip; what is not known of it is not measured.
        categories: the category names an answer may use.
        chat: ask for a judgement; of a scene that the truth describes, also for description, analysis and captions.
        segment: prompt the segmenter with a true entity.
        cache_dir: where features are kept, for those who measure the same clips again; nowhere if None.

    Raises:
        WorkbenchError: the clip cannot be read or does not fit its truth.
    """
    started = time.perf_counter()
    result = ClipResult(clip.name, clip.label, clip.category)
    # A cache of its own, so that measuring a thousand clips does not push the analyst's out.
    with (
        tempfile.TemporaryDirectory(prefix="evaluate-", ignore_cleanup_errors=True) as cache,
        Clip.open(clip.path) as video,
    ):
        analysis = analyse(video, stack, cache_dir=cache_dir or Path(cache))
        result.frame_score = np.asarray(analysis.frame_score, dtype=np.float32)
        result.highest = float(result.frame_score.max())
        result.called = analysis.is_abnormal
        file = None
        if clip.truth is not None and clip.truth_path is not None:
            _check_fit(video, clip.truth)
            file = read_truth_file(clip.truth_path)
            _measure_scene(result, video, analysis, file, clip.pixel_frames)
            if segment:
                _measure_segmenter(result, stack, video, file, every_frame=clip.pixel_frames is None)
        if chat:
            dialogue = Conversation(stack, analysis)
            result.judgement = dialogue.say("judgement").answer
            result.judged = parse_judgement(result.judgement)
            result.named = None if result.judged is False else named_category(result.judgement, categories)
            if file is not None and is_described(file.truth):
                result.words = ask_all(dialogue, file.truth)
                result.words.captions = caption_facts(stack, video, file)
    result.seconds = time.perf_counter() - started
    return result


def _check_fit(video: Clip, truth: SceneTruth) -> None:
    found = (video.info.n_frames, video.info.width, video.info.height)
    expected = (truth.n_frames, truth.width, truth.height)
    if found != expected:
        raise DataError(
            f"The clip {video.info.path} has {found[0]} frames of {found[1]}×{found[2]}, its truth says {expected[0]} "
            f"of {expected[1]}×{expected[2]}; render the folder again with `python -m finetune scenes`."
        )


def _measure_scene(
    result: ClipResult, video: Clip, analysis: Analysis, file: TruthFile, pixel_frames: frozenset[int] | None
) -> None:
    """Frame labels, event times and heatmap pixels, for which a scene knows the truth."""
    truth = file.truth
    result.frame_label = truth.frame_label
    if truth.events:
        found = [(event.start_s, event.end_s) for event in analysis.events]
        result.temporal_iou = temporal_iou(found, true_spans(truth, video.times_s))
    if analysis.heatmaps is not None:
        result.pixels = tally_pixels(analysis.heatmaps, file, pixel_frames)


def true_spans(truth: SceneTruth, times_s: np.ndarray) -> list[Span]:
    """The events of a scene in seconds; one that lasts to the end ends one frame time after the last frame."""
    ends = np.append(times_s, times_s[-1] + 1.0 / truth.fps)
    return [(float(ends[event.start_frame]), float(ends[event.end_frame])) for event in truth.events]


def anomaly_mask(file: TruthFile, frame: int) -> np.ndarray:
    """Visible pixels of all entities of the events going on at a frame, bool `[H, W]`; empty outside events."""
    mask = np.zeros((file.truth.height, file.truth.width), dtype=bool)
    for event in file.truth.events:
        if event.start_frame <= frame < event.end_frame:
            for entity_id in event.entity_ids:
                mask |= entity_mask(file, entity_id, frame)
    return mask


def entity_mask(file: TruthFile, entity_id: int, frame: int) -> np.ndarray:
    """Visible pixels of one entity at a frame of one of its events, bool `[H, W]`; empty when it cannot be seen.

    Outside its events a truth file keeps only some of its masks, so ask inside them.
    """
    rle = file.masks.get(entity_id, {}).get(frame)
    if rle is None:
        return np.zeros((file.truth.height, file.truth.width), dtype=bool)
    return decode_rle(MaskRLE(size=rle["size"], counts=rle["counts"]))


def tally_pixels(heatmaps: Heatmaps, file: TruthFile, frames: frozenset[int] | None = None) -> PixelTally:
    """Heatmaps of the dense frames, brought to picture size, against `anomaly_mask`, inside and outside events.

    Only `frames` count where they are given: those whose masks are complete.
    """
    tally = PixelTally()
    size = (file.truth.width, file.truth.height)
    for frame, heat in zip(heatmaps.frame_index, heatmaps.heatmap, strict=True):
        if frames is not None and int(frame) not in frames:
            continue
        picture = cv2.resize(heat.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        tally.add(picture, anomaly_mask(file, int(frame)))
    return tally


# --- segmenter -------------------------------------------------------------------------------------------------


def click_of(mask: np.ndarray) -> tuple[float, float]:
    """The pixel `(x, y)` of a mask farthest from its edge: where a person would click."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(x), float(y)


def _measure_segmenter(
    result: ClipResult, stack: ModelStack, video: Clip, file: TruthFile, *, every_frame: bool
) -> None:
    """Prompt the segmenter with a true entity in the middle of its event: by box, by click, and tracked.

    Without masks on `every_frame` it is the frame nearest the middle that has one, and those after it that do: of a
    frame that nobody has drawn on, nothing is known.
    """
    target = _pick_entity(file, every_frame=every_frame)
    if target is None:
        return
    entity_id, middle, end = target
    truth = entity_mask(file, entity_id, middle)
    box, rgb = mask_box(truth), video.frame(middle)
    by_box, _ = stack.segmenter.mask(rgb, box=box)
    by_click, _ = stack.segmenter.mask(rgb, points=[click_of(truth)], labels=[1])
    result.mask_iou_box = mask_iou(by_box, truth)
    result.mask_iou_click = mask_iou(by_click, truth)
    step = max(1, round(file.truth.fps * TRACK_SECONDS / TRACK_FRAMES))
    last = min(middle + step * TRACK_FRAMES, end - 1)
    indices: Sequence[int] = range(middle, last + 1, step)
    if not every_frame:
        indices = [i for i in sorted(file.masks[entity_id]) if middle <= i <= last]
    prompt = Prompt(instance_id=entity_id, frame_index=middle, box=box)
    followed = dict(stack.segmenter.track(video.frames(indices), [prompt]))
    empty = np.zeros_like(truth)
    result.track_iou = track_iou(
        [followed.get(i, {}).get(entity_id, empty) for i in indices[1:]],
        [entity_mask(file, entity_id, i) for i in indices[1:]],
    )


def _pick_entity(file: TruthFile, *, every_frame: bool) -> tuple[int, int, int] | None:
    """An entity of an event, the event's middle frame and its end, drawn by the scene's name; `None` if unseen."""
    if not every_frame:
        return _pick_drawn(file)
    visible: list[tuple[int, int, int]] = []
    for event in file.truth.events:
        middle = (event.start_frame + event.end_frame) // 2
        large = [i for i in event.entity_ids if entity_mask(file, i, middle).sum() >= MIN_MASK_PX]
        visible.extend((entity_id, middle, event.end_frame) for entity_id in large)
    if not visible:
        return None
    return _drawn_by_name(visible, file)


def _pick_drawn(file: TruthFile) -> tuple[int, int, int] | None:
    """The same where only some frames have masks: the one nearest the event's middle in place of it."""
    visible: list[tuple[int, int, int]] = []
    for event in file.truth.events:
        middle = (event.start_frame + event.end_frame) // 2
        for i in event.entity_ids:
            inside = [f for f in file.masks.get(i, {}) if event.start_frame <= f < event.end_frame]
            frames = [f for f in inside if entity_mask(file, i, f).sum() >= MIN_MASK_PX]
            if frames:
                visible.append((i, min(frames, key=lambda f: abs(f - middle)), event.end_frame))
    return _drawn_by_name(visible, file) if visible else None


def _drawn_by_name(among: Sequence[tuple[int, int, int]], file: TruthFile) -> tuple[int, int, int]:
    rng = np.random.default_rng(zlib.crc32(file.truth.name.encode()))
    return among[int(rng.integers(len(among)))]
