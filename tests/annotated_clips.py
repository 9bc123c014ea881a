"""Clips with everything an annotation format may be asked to hold, drawn from a seed."""

from __future__ import annotations

import random

import numpy as np

from workbench.masks import encode_rle
from workbench.records import (
    ROLES,
    Box,
    CaptionedClip,
    ClipRecord,
    Instance,
    MaskRLE,
    Provenance,
    ReviewedClip,
    ReviewedEvent,
    ReviewedInstance,
    Texts,
)

NAMES = ("street", "ünïcode ☃ 雪", "a.b_000007", '<i> & "quotes"', "..", "tab\tand / slash", "x" * 200)
SIZES = ((1, 1), (7, 5), (33, 64), (101, 57), (320, 240))
WORDS = ("", "Yes.", 'A "man" <runs> & falls.\r\n\tThen 雪 ☃.', "  spaces  ", "two\nlines")
CATEGORIES = ("person", "car", "Fahrrad 雪", "event", "clip caption", "a: b", "- no")


def drawn_clip(seed: int, format_name: str) -> ReviewedClip:
    """A clip without media, such as an import by `format_name` makes; one seed, one clip."""
    chance = random.Random(seed)
    width, height = chance.choice(SIZES)
    n_frames, fps = chance.randint(1, 90), chance.choice((25.0, 30000 / 1001, 12.5, 7.0))
    clip = ClipRecord(
        id=0,
        name=f"{NAMES[seed % len(NAMES)]}-{seed}",
        origin=chance.choice((None, "ucf/videos/test/ä.avi")),
        n_frames=n_frames,
        fps=fps,
        duration_s=n_frames / fps,
        width=width,
        height=height,
    )
    made_by = Provenance("import", format_name)
    events = tuple(_event(chance, clip, i, made_by) for i in range(chance.choice((0, 0, 1, 3))))
    instances = tuple(_instance(chance, clip, i, events, made_by) for i in range(chance.choice((0, 1, 4))))
    return ReviewedClip(
        clip=clip,
        layer="main",
        revision=0,
        state="new",
        label=chance.choice((None, (), ("Robbery", "雪 & <b>"))),
        texts=_texts(chance),
        events=events,
        instances=instances,
        dialogue=(),
        questions=(),
        provenance=made_by,
    )


def _texts(chance: random.Random) -> Texts:
    return Texts(*(chance.choice((None, *WORDS)) for _ in range(4)))


def _span(chance: random.Random, clip: ClipRecord) -> tuple[float, float]:
    assert clip.duration_s is not None
    start, end = sorted(chance.choice((0.0, clip.duration_s, chance.uniform(0, clip.duration_s))) for _ in range(2))
    return start, end


def _event(chance: random.Random, clip: ClipRecord, number: int, made_by: Provenance) -> ReviewedEvent:
    start, end = _span(chance, clip)
    parts = tuple(
        CaptionedClip(f"E{number}C{k}", *_span(chance, clip), chance.choice(WORDS), made_by)
        for k in range(chance.choice((0, 0, 2)))
    )
    peak = chance.choice((None, start))
    score = chance.choice((None, 0.0, chance.random(), 1.0))
    category = chance.choice((None, "robbery", "abnormal", "雪 & <b>"))
    return ReviewedEvent(f"E{number}", start, end, peak, score, category, _texts(chance), parts, made_by)


def _instance(
    chance: random.Random, clip: ClipRecord, number: int, events: tuple[ReviewedEvent, ...], made_by: Provenance
) -> ReviewedInstance:
    assert clip.n_frames is not None
    frames = sorted(chance.sample(range(clip.n_frames), min(clip.n_frames, chance.randint(0, 5))))
    boxes: dict[int, Box] = {}
    masks: dict[int, MaskRLE] = {}
    for frame in frames:
        kinds = chance.choice(("box", "mask", "both"))
        if kinds != "mask":
            boxes[frame] = _box(chance, clip)
        if kinds != "box":
            masks[frame] = encode_rle(_picture(chance, clip))
    first, last = (frames[0], frames[-1]) if frames else (0, clip.n_frames - 1)
    instance = Instance(
        id=number + 5,
        role=chance.choice(ROLES),
        category=chance.choice(CATEGORIES),
        appearance=chance.choice(WORDS),
        motion=chance.choice(WORDS),
        first_frame=first,
        last_frame=last,
        boxes_xyxy=boxes,
        masks_rle=masks,
    )
    event_id = chance.choice((None, *(event.id for event in events)))
    return ReviewedInstance(f"i{number}", instance, event_id, made_by)


def _box(chance: random.Random, clip: ClipRecord) -> Box:
    """A box on a grid of a thousandth of a pixel, never empty."""
    assert clip.width is not None
    assert clip.height is not None
    x0, y0 = chance.randrange(clip.width * 1000), chance.randrange(clip.height * 1000)
    x1, y1 = chance.randint(x0 + 1, clip.width * 1000), chance.randint(y0 + 1, clip.height * 1000)
    return x0 / 1000, y0 / 1000, x1 / 1000, y1 / 1000


def _picture(chance: random.Random, clip: ClipRecord) -> np.ndarray:
    """A mask: blobs, single pixels and holes anywhere, all of the picture, or nothing of it."""
    assert clip.width is not None
    assert clip.height is not None
    noise = np.random.default_rng(chance.randrange(1 << 30)).random((clip.height, clip.width))
    kind = chance.choice(("blob", "noise", "all", "nothing"))
    if kind == "blob":
        rows, columns = np.mgrid[: clip.height, : clip.width]
        y, x, radius = chance.random() * clip.height, chance.random() * clip.width, 1 + chance.random() * clip.width / 3
        distance = np.hypot(rows - y, columns - x)
        return (distance <= radius) & (distance >= radius / 3)
    return noise < {"noise": 0.3, "all": 2.0, "nothing": -1.0}[kind]
