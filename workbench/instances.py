"""Instance-aligned captions: who did what to whom, and where (IAC 3.2, the automatic form "VLM + SAM2").

Entities come from the peaks of the anomaly heatmap and of motion at an event's peak; SAM2 turns each into a mask and
tracks it through the event; the language model, shown the highlighted instance, says its role, appearance and motion.
Colours and directions in what a small model says are replaced by those measured under the masks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from workbench.colours import measure, said_rightly
from workbench.features import Progress
from workbench.masks import encode_rle, mask_box
from workbench.proposals import propose
from workbench.records import ROLES, Analysis, Event, Instance, Role
from workbench.stack.generate import RunningText
from workbench.stack.loading import ModelStack
from workbench.stack.memory import enough_memory
from workbench.stack.segmenter import Prompt
from workbench.video import Clip
from workbench.views import close_up, highlight, pick_views

MAX_EVENTS = 5
MAX_PER_EVENT = 4
TRACK_FRAMES = 48
"""Frames of an event that are tracked; longer events are tracked at a stride, not cut."""
MEASURED_FRAMES = 9
"""Frames in which an instance's colours and way are measured."""
WORK_PX = 854
"""Longer side of the pictures that are segmented; masks are enlarged to the clip's size. Bounds memory on 4K clips."""
_LINE_MARK = re.compile(r"^[ \t]*(?:(?:[-*+•>]|#+|\d+[.)])[ \t]+)+", re.MULTILINE)
_EMPHASIS = re.compile(r"[*`]+|~~|(?<!\w)(?:_+)(\S(?:.*?\S)?)(?:_+)(?!\w)")
_KINDS = (
    ("person", ("person", "man", "woman", "pedestrian", "walker", "runner", "rider", "cyclist", "skater", "child")),
    ("bicycle", ("bicycle", "bike")),
    ("car", ("car", "sedan")),
    ("van", ("van",)),
    ("truck", ("truck", "lorry")),
    ("bus", ("bus",)),
    ("dog", ("dog",)),
    ("cat", ("cat",)),
    ("cart", ("cart", "trolley")),
    ("bag", ("bag", "backpack", "suitcase", "handbag")),
    ("fire", ("fire", "flame", "flames", "smoke", "explosion", "fireball")),
)


@dataclass(frozen=True, slots=True)
class Caption:
    """What the language model says of one instance."""

    role: Role
    appearance: str
    motion: str


def find_instances(
    clip: Clip, stack: ModelStack, analysis: Analysis, progress: Progress | None = None
) -> list[Instance]:
    """Find, track and describe the instances of the strongest events; ids count from 1.

    Args:
        clip: the analysed clip, open. analysis: of it, with features.
        progress: told of the stage `instances`; what it raises ends the work.
    """
    events = sorted(analysis.events, key=lambda e: -e.peak_score)[:MAX_EVENTS]
    found: list[Instance] = []
    for number, event in enumerate(sorted(events, key=lambda e: e.start_s)):
        with enough_memory(stack.profile):
            found += _instances_of(clip, stack, analysis, event, first_id=len(found) + 1)
        if progress:
            progress("instances", (number + 1) / len(events), None)
    return found


def evidence_map(analysis: Analysis, position: int) -> np.ndarray:
    """Where the evidence of a dense frame lies, `float32 [gh, gw]` in [0, 1].

    The heatmap says what looks abnormal, saliency what moves; either alone counts half.
    """
    assert analysis.features is not None
    heat = np.asarray(analysis.features.heatmap[position], np.float32)
    moving: np.ndarray = np.asarray(analysis.features.saliency[position], np.float32)
    moving = cv2.resize(moving, heat.shape[::-1], interpolation=cv2.INTER_AREA)
    return np.clip(0.5 * heat + 0.5 * np.sqrt(heat * moving), 0, 1)


def _instances_of(clip: Clip, stack: ModelStack, analysis: Analysis, event: Event, first_id: int) -> list[Instance]:
    dense = analysis.dense
    peak = int(np.abs(dense.time_s - event.peak_s).argmin())
    peak_frame = int(dense.frame_index[peak])
    picture = clip.frame(peak_frame, long_side=WORK_PX)
    masks = propose(stack.segmenter, picture, evidence_map(analysis, peak), MAX_PER_EVENT)
    if not masks:
        return []
    window = event_window(clip, event, peak_frame)
    frames = dict(clip.frames(window, long_side=WORK_PX))
    prompts = [Prompt(first_id + i, peak_frame, mask=mask) for i, mask in enumerate(masks)]
    tracks: dict[int, dict[int, np.ndarray]] = {prompt.instance_id: {} for prompt in prompts}
    for index, seen in stack.segmenter.track([(i, frames[i]) for i in window], prompts, careful=False):
        for instance_id, mask in seen.items():
            if mask.any():
                tracks[instance_id][index] = mask
    size = (clip.info.width, clip.info.height)
    return [_instance(stack, i, frames, track, size) for i, track in tracks.items() if track]


def event_window(clip: Clip, event: Event, frame: int) -> list[int]:
    """The frames in which an event is tracked: at most `TRACK_FRAMES` of it, evenly spread, and `frame` itself."""
    first, last = clip.index_at(event.start_s), clip.index_at(max(event.start_s, event.end_s - 1e-6))
    picked = np.linspace(first, last, min(TRACK_FRAMES, last - first + 1)).round().astype(int)
    return sorted({*picked.tolist(), frame})


def _instance(
    stack: ModelStack,
    instance_id: int,
    frames: dict[int, np.ndarray],
    track: dict[int, np.ndarray],
    size: tuple[int, int],
) -> Instance:
    caption = describe(stack, frames, track)
    indices = sorted(track)
    boxes, masks = {}, {}
    for i in indices:  # one at a time: at the clip's own size they are large
        full = resized_mask(track[i], size)
        box = mask_box(full)
        if box is not None:
            boxes[i], masks[i] = box, encode_rle(full)
    return Instance(
        id=instance_id,
        role=caption.role,
        category=kind_of(caption.appearance),
        appearance=caption.appearance,
        motion=caption.motion,
        first_frame=indices[0],
        last_frame=indices[-1],
        boxes_xyxy=boxes,
        masks_rle=masks,
    )


def describe(stack: ModelStack, frames: dict[int, np.ndarray], track: dict[int, np.ndarray]) -> Caption:
    """Ask the language model about one instance, shown in wide views and close-ups.

    Args:
        frames: pictures by frame index. track: masks by frame index, at least one.
    """
    wide, close = pick_views(sorted(track))
    pictures = [highlight(frames[i], track[i]) for i in wide] + [close_up(frames[i], track[i]) for i in close]
    side = max(picture.shape[0] for picture in pictures[: len(wide)])
    square = np.stack([cv2.resize(p, (side, side), interpolation=cv2.INTER_AREA) for p in pictures])
    with torch.inference_mode():
        tokens = stack.backbone.encode(square).tokens
        layout = stack.profile.layout
        text = RunningText(stack.backbone)
        prefix = layout.prefix([float(i) for i in range(len(square))], with_anomaly=False)
        text.feed(stack.backbone.embed(prefix, tokens, None))
    text.feed_text(layout.first_turn(stack.profile.instance_question))
    said = parse_caption("".join(text.write(stack.profile.max_new_tokens, [])))
    if not stack.profile.measured_words:
        return said
    measured = measure(frames, {i: track[i] for i in _spread(sorted(track), MEASURED_FRAMES)})
    return Caption(said.role, said_rightly(said.appearance, measured), said_rightly(said.motion, measured))


def _spread(indices: list[int], count: int) -> list[int]:
    """At most `count` of some indices, evenly spread, both ends among them."""
    return [indices[i] for i in sorted({round(k) for k in np.linspace(0, len(indices) - 1, count)})]


def parse_caption(answer: str) -> Caption:
    """Read "Role: … Appearance: … Motion: …"; what is not said becomes empty, an unknown role a bystander.

    Markdown is taken off: emphasis, headings and the marks of lists.
    """
    plain = _EMPHASIS.sub(r"\1", _LINE_MARK.sub("", answer))

    def part(name: str, following: str) -> str:
        match = re.search(rf"{name}:\s*(.*?)\s*(?:{following}|$)", plain, re.IGNORECASE | re.DOTALL)
        return match.group(1).strip(" .") if match else ""

    said = part("Role", "Appearance:").lower()
    role: Role = min((r for r in ROLES if r in said), key=said.index, default="bystander")
    return Caption(role, part("Appearance", "Motion:"), part("Motion", "Role:"))


def kind_of(appearance: str) -> str:
    """What sort of thing an appearance speaks of first; `object` if it does not say."""
    return next(_kinds_named(appearance), "object")


def kinds_in(text: str) -> set[str]:
    """All sorts of things a text speaks of."""
    return {*_kinds_named(text)}


def _kinds_named(text: str) -> Iterator[str]:
    for word in re.findall(r"[a-z]+", text.lower()):
        yield from (kind for kind, names in _KINDS if word in names or word.removesuffix("s") in names)


def resized_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask at `size` = (width, height); edges stay smooth because it is interpolated before it is cut again."""
    if mask.shape == size[::-1]:
        return mask
    return cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) >= 0.5
