"""What corrected clips can teach: a component to which none of them speaks would only read the street world again."""

from __future__ import annotations

from collections.abc import Sequence

from finetune.errors import TrainingError
from finetune.records import TrainingClip
from finetune.tune_segmenter import MIN_FRAMES


def teachable(components: Sequence[str], clips: Sequence[TrainingClip]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The components that clips teach, and of the others why they are left out.

    Raises:
        TrainingError: they teach none of them.
    """
    why = {name: reason for name in components if (reason := _lacking(name, clips)) is not None}
    taught = tuple(name for name in components if name not in why)
    if not taught:
        raise TrainingError(f"There is nothing to learn: {'; '.join(why.values())}. Add some, or train others.")
    return taught, tuple(f"the {name} was left out: {reason}" for name, reason in why.items())


def _lacking(component: str, clips: Sequence[TrainingClip]) -> str | None:
    match component:
        case "heatmap" if not any(clip.spans_s and clip.masked_frames() for clip in clips):
            return "no clip to train on has masks inside an event"
        case "segmenter" if not any(len(clip.drawn_frames()) >= MIN_FRAMES for clip in clips):
            return f"no clip to train on has {MIN_FRAMES} frames or more with a mask of everybody who is there"
        case "chat" if not any(said.turns for clip in clips for said in clip.said):
            return "nobody has written, changed or confirmed an answer or a text of a clip to train on"
        case _:
            return None
