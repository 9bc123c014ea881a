"""Recipe of the vision tower: the phases of its pre-training, on all cores."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
from transformers import PreTrainedTokenizerFast

from finetune.backbone import new_backbone
from finetune.loop import LoopConfig, fit, steps_done
from finetune.parallel import spread
from finetune.pretrain import LabelSpace, PretrainHeads, pretrain_loss
from finetune.sight import load_backbone
from finetune.world import WorldCache
from workbench.stack.backbone import InternVLBackbone


@dataclass(frozen=True, slots=True)
class VisionPhase:
    """One stretch of the tower's pre-training; `kept` patches of each frame are seen, all if None.

    With `frozen` only the heads learn: new heads on a trained tower would otherwise begin by spoiling it.
    """

    name: str
    loop: LoopConfig
    batch: int
    kept: int | None
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class VisionJob:
    """All that a training process has to know: where states lie, what is looked at, and in which phases.

    `start` is the folder of a backbone whose tower is trained already; None: from random weights.
    """

    work: Path
    world: WorldCache
    labels: LabelSpace
    phases: tuple[VisionPhase, ...]
    seed: int
    processes: int
    start: Path | None = None


def label_space(work: Path, world: WorldCache) -> LabelSpace:
    """The label space of the first session: the heads of an interrupted run must meet the same one again."""
    path = work / "labels.json"
    if not path.exists():
        truths = [world.read(i).truth for i in range(len(world))]
        path.write_text(json.dumps(LabelSpace.scan(truths).values, indent=1))
    return LabelSpace({name: tuple(values) for name, values in json.loads(path.read_text()).items()})


def train_vision(backbone: InternVLBackbone, job: VisionJob) -> None:
    """Train a tower in `job.processes` processes and load it into `backbone`."""
    last = job.phases[-1]
    if steps_done(job.work, last.name) < last.loop.steps:
        spread(_train, job.processes, job)
    tower = backbone.model.model.vision_tower
    state = torch.load(job.work / f"{last.name}.state", map_location="cpu", weights_only=True)
    tower.load_state_dict(state["modules"]["vision"])
    tower.requires_grad_(False).eval()


def _train(job: VisionJob) -> None:
    """What every process does. Each makes the same backbone; the loop keeps them the same."""
    cv2.setNumThreads(1)
    if job.start is None:
        backbone = new_backbone(PreTrainedTokenizerFast.from_pretrained(job.work / "tokenizer"), job.seed)
    else:
        backbone = load_backbone(job.start)
    torch.manual_seed(job.seed)
    heads = PretrainHeads(backbone.feature_dim, job.labels)
    tower = backbone.model.model.vision_tower
    # On a processor, the backward pass of fused attention takes longer than the whole of plain attention.
    tower.set_attn_implementation("eager")
    tower.train()
    for phase in job.phases:
        tower.requires_grad_(not phase.frozen)
        loss = pretrain_loss(
            backbone, heads, job.world, job.labels, batch=phase.batch, kept=phase.kept, seed=phase.loop.seed
        )
        fit({"vision": tower, "heads": heads}, loss, phase.loop, job.work, name=phase.name)
