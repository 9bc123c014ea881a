"""A store with one drawn clip in it whose file exists, with two reviewed events, a perpetrator and a bystander."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests import drawn
from tests.store_support import empty_store
from workbench.corrections import clips, history
from workbench.corrections.store import Store
from workbench.masks import encode_rle
from workbench.records import (
    Analysis,
    Box,
    CaptionedClip,
    ClipRecord,
    DenseScores,
    Event,
    Evidence,
    Instance,
    Provenance,
    ReviewedEvent,
    Role,
    Texts,
    Turn,
)
from workbench.video import Clip

N_FRAMES = 60
RATE = 25
SIZE = (320, 180)
# Where the two stand in every frame; both are striped, so that one can see whether their picture is coarse.
BYSTANDER: Box = (40.0, 70.0, 90.0, 170.0)
PERPETRATOR: Box = (220.0, 70.0, 270.0, 170.0)
NASTY = '<script>alert("1")</script> & <img src=x onerror=alert(1)> "\'{{ 7 * 7 }}'


def paint(index: int) -> np.ndarray:
    """The numbered picture with two striped figures."""
    picture = drawn.marked(index, SIZE)
    stripes = np.where(np.arange(50) // 5 % 2, 225, 30).astype(np.uint8)[None, :, None]
    for box in (BYSTANDER, PERPETRATOR):
        x0, y0, x1, y1 = (int(side) for side in box)
        picture[y0:y1, x0:x1] = stripes
    return picture


def contrast(picture: np.ndarray, box: Box) -> float:
    """How much neighbouring stripes inside a box differ: about 195 in the drawn clip, near 0 if it is coarse."""
    x0, y0, x1, y1 = (int(side * picture.shape[1] / SIZE[0]) for side in box)
    grey = picture[y0 + 10 : y1 - 10, x0:x1].mean(axis=2)
    return float(np.abs(grey[:, 5:] - grey[:, :-5]).mean())


def make_store(folder: Path, *, name: str = "street") -> tuple[Store, ClipRecord]:
    """A store and its clip: event `a1.e0` (0.4 to 1.2 s, robbery, edited by ann) and one that bob added."""
    path = drawn.write_clip(folder / f"{name}.mp4", paint, N_FRAMES, rate=RATE)
    with Clip.open(path) as clip:
        made = _analysis(clip)
    store = empty_store(folder)
    record = clips.save_analysis(store, made, versions={"torch": "9.9"})
    edits = [
        history.edit("event", "a1.e0", "end_s", 1.2),
        history.edit("event", "a1.e0", "judgement", "Yes, a robbery."),
        history.edit("event", "a1.e0", "description", NASTY),
        history.edit("event", "a1.e0", "analysis_text", "It is theft."),
        history.edit("instance", "a1.i1", "event_id", "a1.e0"),
    ]
    history.save(store, record.id, edits, annotator="ann", reason="seen twice")
    made_by = Provenance("human", "bob")
    part = CaptionedClip("b0", 1.4, 1.8, "A man falls.", made_by)
    event = ReviewedEvent("b", 1.4, 2.0, None, None, "falling", Texts("Yes, a fall."), (part,), made_by)
    history.save(store, record.id, history.add(event), annotator="bob")
    history.save(store, record.id, [history.edit("video", "video", "state", "done")], annotator="ann")
    return store, record


def _analysis(clip: Clip) -> Analysis:
    index = np.arange(0, N_FRAMES, 5)
    score = np.exp(-(((clip.times_s[index] - 0.8) / 0.3) ** 2)).astype(np.float32)
    said = Turn("free", "Who runs?", NASTY, (Evidence(0.4, 1.0, 1),))
    return Analysis(
        clip=replace(clip.info, warnings=()),
        profile="bundled",
        adapter="plaza-v2",
        dense=DenseScores(5, index, clip.times_s[index], score, {"scorer": score, "motion": score[::-1].copy()}),
        frame_score=np.repeat(score, 5),
        sampled_frames=[10, 20, 30],
        sampler="ats",
        threshold=0.45,
        events=[Event(0.4, 1.0, 0.8, 0.97, "robbery")],
        instances=[_instance(1, "perpetrator", PERPETRATOR), _instance(2, "bystander", BYSTANDER)],
        dialogue=[said],
    )


def _instance(number: int, role: Role, box: Box) -> Instance:
    mask = np.zeros(SIZE[::-1], bool)
    x0, y0, x1, y1 = (int(side) for side in box)
    mask[y0:y1, x0:x1] = True
    frames = range(0, N_FRAMES, 10)  # what lies between must be hidden too
    boxes, masks = dict.fromkeys(frames, box), dict.fromkeys(frames, encode_rle(mask))
    return Instance(number, role, "person", f"a striped {role}", "stands", 0, 50, boxes, masks)
