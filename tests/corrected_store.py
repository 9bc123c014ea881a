"""A store in which a person has approved clips of a camera that nothing was trained on."""

from __future__ import annotations

from pathlib import Path

from finetune.scenes import sample_scene, write_scene
from finetune.scenes.truth import SceneTruth, read_truth
from workbench.corrections import clips, history
from workbench.corrections.log import ensure_annotator
from workbench.corrections.store import Store
from workbench.probe import probe
from workbench.records import Provenance, ReviewedEvent, Texts

SECONDS = (4.0, 5.0)
SEED = 700_100


def platform_clips(folder: Path, count: int) -> list[Path]:
    """Short clips of the platform, in turn flooded and calm."""
    return [
        write_scene(
            sample_scene(SEED + k, category="normal" if k % 2 else "flooding", view="platform", seconds=SECONDS, fps=8),
            folder,
        )
        for k in range(count)
    ]


def truth_of(path: Path) -> SceneTruth:
    """What is true of a clip."""
    return read_truth(path.parent.parent / "truth" / f"{path.stem}.json")


def approve(store: Store, path: Path, *, annotator: str = "ann") -> None:
    """Take a clip in, say what happens in it, and call it done."""
    info, _ = probe(path)
    made = Provenance("human", annotator)
    with store.writing() as db:
        for name in (annotator, clips.WORKBENCH):
            ensure_annotator(db, name)
        number = clips.ensure_clip(db, clips.record_of(info), made).id
    truth = truth_of(path)
    changes = []
    for event in truth.events:
        start, end = event.start_frame / truth.fps, event.end_frame / truth.fps
        said = ReviewedEvent(history.new_id(), start, end, None, None, event.category, Texts(), (), made)
        changes += history.add(said)
    changes.append(history.edit("video", "video", "state", "done"))
    history.save(store, number, changes, annotator=annotator)
