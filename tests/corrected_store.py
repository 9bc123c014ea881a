"""A store in which a person has approved clips of a camera that nothing was trained on."""

from __future__ import annotations

from pathlib import Path

from finetune.scenes import sample_scene, write_scene
from finetune.scenes.truth import SceneTruth, read_truth
from workbench.analysis import analyse
from workbench.corrections import clips, history
from workbench.corrections.store import Store
from workbench.records import Provenance, ReviewedEvent, Texts
from workbench.stack.loading import ModelStack
from workbench.video import Clip

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


def approve(store: Store, path: Path, stack: ModelStack, *, annotator: str = "ann") -> None:
    """Analyse a clip, put its events right as a person would, and call it done."""
    with Clip.open(path) as clip:
        record = clips.save_analysis(store, analyse(clip, stack))
    standing = clips.current(store, record.id)
    changes = [history.remove("event", event.id) for event in standing.events]
    truth = truth_of(path)
    for event in truth.events:
        start, end = event.start_frame / truth.fps, event.end_frame / truth.fps
        made = Provenance("human", annotator)
        right = ReviewedEvent(history.new_id(), start, end, start, None, event.category, Texts(), (), made)
        changes += history.add(right)
    changes.append(history.edit("video", "video", "state", "done"))
    history.save(store, record.id, changes, annotator=annotator)
