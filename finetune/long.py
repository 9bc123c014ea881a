"""Long videos of the street world: minutes of one camera's everyday life with one short anomaly somewhere.

A scene's script is made for seconds: stretched to minutes its street would be empty. A long video is therefore a row of
scenes in the same view, light and sensor, of which at most one is abnormal. People change where two scenes meet, the
camera does not. Each is written as `python -m finetune scenes` writes clips, so that `--data DIR` reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from finetune.scenes.crowd import normal_life
from finetune.scenes.describe import describe
from finetune.scenes.plan import Plan
from finetune.scenes.scene import Scene
from finetune.scenes.stories import STORIES
from finetune.scenes.texts import WHEN
from finetune.scenes.truth import CATEGORIES, ClipCaption, EntityTruth, EventTruth, SceneTruth, VideoText, truth_to_json
from finetune.scenes.views import VIEWS, build_view
from finetune.scenes.write import Rle, encode_mask
from workbench.errors import InputError
from workbench.h264 import SAME_BYTES

TRIES = 8


@dataclass(frozen=True, slots=True)
class LongForm:
    """How long, and of what: `parts` scenes of `part_s` seconds each."""

    parts: int = 12
    part_s: float = 10.5
    fps: int = 15
    size: tuple[int, int] = (320, 240)

    def __post_init__(self) -> None:
        if self.parts < 1 or self.part_s < 3 or self.fps < 1:
            raise InputError(
                f"A long video needs parts of 3 s or more, at 1 fps or more; {self.parts} of {self.part_s} s at "
                f"{self.fps} fps were asked for."
            )

    @property
    def part_frames(self) -> int:
        """Frames of one part."""
        return round(self.part_s * self.fps)


def write_long(out_dir: Path, seed: int, category: str, form: LongForm | None = None) -> Path:
    """Write the long video of a seed, `clips/NAME.mp4` and `truth/NAME.json`; returns the path of the clip.

    Args:
        category: of the one anomaly, or `normal`.

    Raises:
        InputError: no such category, or the seed gives no visible event.
    """
    form = form or LongForm()
    if category not in CATEGORIES:
        raise InputError(f"There is no category {category!r}; choose one of: {', '.join(CATEGORIES)}.")
    rng = np.random.default_rng((seed, 0))
    places = VIEWS if category == "normal" else STORIES[category][1]
    view = str(places[int(rng.integers(len(places)))])
    where = int(rng.integers(form.parts))
    name = f"long-{category.replace(' ', '-')}_{view}_{seed:06d}"
    for folder in ("clips", "truth"):
        (out_dir / folder).mkdir(parents=True, exist_ok=True)
    path, partial = out_dir / "clips" / f"{name}.mp4", out_dir / f"{name}.partial.mp4"
    truths: list[SceneTruth] = []
    masks: dict[int, dict[int, Rle]] = {}
    with av.open(str(partial), "w") as container:
        options = {"crf": "23", "preset": "veryfast", **SAME_BYTES}
        stream = container.add_stream("libx264", rate=Fraction(form.fps), options=options)
        stream.width, stream.height, stream.pix_fmt = *form.size, "yuv420p"
        for number in range(form.parts):
            scene = _part(seed, number, category if number == where else "normal", view, form)
            truths.append(_shifted(scene.truth, number * form.part_frames, sum(len(t.entities) for t in truths)))
            _draw(scene, truths[-1], number * form.part_frames, container, stream, masks)
        container.mux(stream.encode())
    truth = _joined(name, seed, category, truths)
    (out_dir / "truth" / f"{name}.json").write_text(truth_to_json(truth, masks), encoding="utf-8")
    partial.replace(path)
    return path


def _part(seed: int, number: int, category: str, view: str, form: LongForm) -> Scene:
    """One scene of the row: its own people, in the view and with the sensor that all parts share."""
    for attempt in range(TRIES):
        rng = np.random.default_rng((seed, 1, number, attempt))
        place = build_view(view, np.random.default_rng((seed, 2)), *form.size)
        plan = Plan(place, rng, form.part_frames, form.fps)
        if category == "normal":
            normal_life(plan, 1.3)
        else:
            at = plan.uniform(0.17, 0.6) * plan.seconds
            plan.events.append(STORIES[category][0](plan, at, plan.uniform(1.8, 5.0)))
            normal_life(plan, 0.7, special=False)
        scene = Scene(plan, seed, np.random.default_rng((seed, 3)), form.size)
        if scene.clock is not None:
            scene.clock += number * form.part_s
        truth = describe(scene, plan, category, view, rng)
        if truth is not None:
            scene.truth = truth
            return scene
    raise InputError(f"Seed {seed} gives no visible {category} in {form.part_s} seconds; use another seed.")


def _draw(
    scene: Scene, truth: SceneTruth, first: int, container: Any, stream: Any, masks: dict[int, dict[int, Rle]]
) -> None:
    """Encode the frames of a part, and keep the masks of those in its events while they run."""
    offset = truth.entities[0].id - scene.truth.entities[0].id if truth.entities else 0
    for i in range(scene.n_frames):
        rgb, ids = scene.render(i)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")))
        for event in truth.events:
            for entity in event.entity_ids if event.start_frame <= first + i < event.end_frame else ():
                mask = ids == entity - offset
                if mask.any():
                    masks.setdefault(entity, {})[first + i] = encode_mask(mask)


def _shifted(truth: SceneTruth, frames: int, ids: int) -> SceneTruth:
    """The truth of a part as part of the whole: later by `frames`, entities numbered on from `ids`."""

    def entity(one: EntityTruth) -> EntityTruth:
        facts = {k: v + ids if k in ("victim_id", "victim_of") else v for k, v in one.facts.items()}
        seen = one.first_frame >= 0
        first, last = (one.first_frame + frames, one.last_frame + frames) if seen else (-1, -1)
        path = [[round(t + frames / truth.fps, 2), x, y] for t, x, y in one.path]
        return replace(one, id=one.id + ids, facts=facts, first_frame=first, last_frame=last, path=path)

    def event(one: EventTruth) -> EventTruth:
        start, end = one.start_frame + frames, one.end_frame + frames
        return replace(one, start_frame=start, end_frame=end, entity_ids=[i + ids for i in one.entity_ids])

    clips = [ClipCaption(c.start_frame + frames, c.end_frame + frames, c.caption) for c in truth.clips]
    entities, events = [entity(e) for e in truth.entities], [event(e) for e in truth.events]
    return replace(truth, entities=entities, events=events, clips=clips)


def _joined(name: str, seed: int, category: str, parts: list[SceneTruth]) -> SceneTruth:
    """One truth of all parts. "At the beginning of the clip" is told anew, since the clip is another one now."""
    n_frames = sum(part.n_frames for part in parts)
    speaking = next((part for part in parts if part.events), parts[0])
    video = replace(speaking.video)
    for event in speaking.events:
        onset = event.start_frame / n_frames
        when = "beginning" if onset < 1 / 3 else "middle" if onset < 0.6 else "end"
        told = event.description.replace(WHEN[event.facts["when"]], WHEN[when])
        video = VideoText(video.judgement, video.description.replace(event.description, told), video.analysis)
        event.description = told
        event.facts["when"] = when
    return replace(
        speaking,
        name=name,
        seed=seed,
        n_frames=n_frames,
        category=category,
        frame_label=np.concatenate([part.frame_label for part in parts]),
        entities=[entity for part in parts for entity in part.entities],
        clips=[clip for part in parts for clip in part.clips],
        video=video,
        dialogue=[],
    )
