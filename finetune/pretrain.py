"""Pre-training of the bundled vision tower on what the street world knows of every patch.

A published tower comes with years of pictures behind it; ours has minutes. Dense supervision makes up for that:
every patch is told whose it is, what kind and colour that entity has, which role it plays and where it goes, and
the class token is told what happens in the frame. The heads are thrown away afterwards.

Most patches of a fixed camera are empty street. In a phase that keeps only some patches of each frame, those with
somebody in them first, the tower sees three times the people in the same time; a short phase on whole pictures at
the end takes the habit off again.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from finetune.loop import Ahead, step_generator
from finetune.world import PATCH_PX, CachedClip, WorldCache
from workbench.stack.backbone import IMAGENET_MEAN, IMAGENET_STD, InternVLBackbone

IGNORE = -100
SWAP_SHARE = 0.2
MIRRORED = {"left to right": "right to left", "right to left": "left to right"}
HOT = 25
"""Of 255: a patch is hot if actors of a running event cover more of it."""
FACTS = ("upper", "lower", "colour", "direction", "verb", "speed")
ATTRIBUTES = ("kind", "role", "category", *FACTS)


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """The values each attribute takes in the world, index 0 of `kind` being the background and of `category` normal."""

    values: dict[str, tuple[str, ...]]

    @classmethod
    def scan(cls, truths: Sequence[dict]) -> LabelSpace:
        """Collect the values of all attributes over clips."""
        found: dict[str, set[str]] = {name: set() for name in ATTRIBUTES}
        for truth in truths:
            for labels in entity_labels(truth).values():
                for name, value in labels.items():
                    found[name].add(value)
        values = {name: tuple(sorted(found[name])) for name in ATTRIBUTES}
        values["kind"] = ("background", *values["kind"])
        values["category"] = ("normal", *(c for c in values["category"] if c != "normal"))
        return cls(values)

    def index(self, name: str, value: str | None) -> int:
        """Class number of a value; `IGNORE` where the entity has none."""
        return self.values[name].index(value) if value in self.values[name] else IGNORE


def entity_labels(truth: dict, frame: int | None = None) -> dict[int, dict[str, str]]:
    """Entity id → its attribute values as words, those that can be seen at `frame` (any time if None).

    Who will rob somebody in two seconds looks like anybody else: outside its event an entity is a bystander without
    category or verb. Told otherwise, the tower would learn clothes by heart.
    """
    events = [e for e in truth["events"] if frame is None or e["start_frame"] <= frame < e["end_frame"]]
    category = {e: event["category"] for event in events for e in event["entity_ids"]}
    involved = {e for event in truth["events"] for e in event["entity_ids"]}
    labels: dict[int, dict[str, str]] = {}
    for entity in truth["entities"]:
        facts, calm = entity["facts"], entity["id"] in involved - category.keys()
        role = "bystander" if calm else entity["role"]
        row = {"kind": entity["kind"], "role": role, "category": category.get(entity["id"], "normal")}
        row |= {name: str(facts[name]) for name in FACTS if facts.get(name) and not (calm and name == "verb")}
        labels[entity["id"]] = row
    return labels


class PretrainHeads(nn.Module):
    """Linear heads on patches (one per attribute, one for anomaly) and on the class token."""

    def __init__(self, dim: int, space: LabelSpace) -> None:
        super().__init__()
        self.patch = nn.ModuleDict({name: nn.Linear(dim, max(1, len(v))) for name, v in space.values.items()})
        self.heat = nn.Linear(dim, 1)
        self.frame_category = nn.Linear(dim, len(space.values["category"]))
        self.frame_kinds = nn.Linear(dim, len(space.values["kind"]))


def initialise_positions(backbone: InternVLBackbone) -> None:
    """Start the position table from 2-D sines and cosines instead of zeros; from scratch that saves many steps."""
    table = backbone.model.model.vision_tower.embeddings.position_embeddings
    side, dim = backbone.grid_hw[0], table.shape[-1]
    frequency = 1.0 / 100 ** (torch.arange(dim // 4) / (dim // 4))
    angle = torch.arange(side)[:, None] * frequency
    axis = torch.cat([angle.sin(), angle.cos()], 1)
    rows, columns = axis[:, None].expand(side, side, -1), axis[None].expand(side, side, -1)
    with torch.no_grad():
        table[0, 1:] = 0.3 * torch.cat([rows, columns], -1).reshape(side * side, dim)


def augment(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change light, contrast, sharpness and noise of a frame, as cameras do; geometry stays."""
    contrast, light = rng.uniform(0.75, 1.3), rng.uniform(-25, 25)
    picture = cv2.addWeighted(rgb, contrast, rgb, 0, 128 * (1 - contrast) + light)
    if rng.random() < 0.15:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.2))
    if rng.random() < 0.5:
        height, width = picture.shape[:2]
        grain, share = _grain(), rng.uniform(0.03, 0.22)
        y, x = rng.integers(0, len(grain) - height + 1), rng.integers(0, len(grain) - width + 1)
        picture = cv2.addWeighted(picture, 1, grain[y : y + height, x : x + width], share, -128 * share)
    return np.asarray(picture)


@functools.cache
def _grain() -> np.ndarray:
    """A sheet of sensor noise round 128, `uint8 [512, 512, 3]`, cut at random places: new noise per frame is slow."""
    noise = np.random.default_rng(0).normal(128, 32, (512, 512, 3))
    return np.clip(noise, 0, 255).astype(np.uint8)


@dataclass(slots=True)
class FrameBatch:
    """Pictures and targets of one step: `rgb uint8 [B, S, S, 3]`, patch targets `[B, G, G]`, frame targets.

    `occupied bool [B, G, G]` marks patches that belong to an entity, and their neighbours.
    """

    rgb: np.ndarray
    patch: dict[str, Tensor]
    heat: Tensor
    occupied: Tensor
    frame_category: Tensor
    frame_kinds: Tensor


def draw_batch(
    world: WorldCache, space: LabelSpace, rng: np.random.Generator, size: int, per_clip: int = 4
) -> FrameBatch:
    """Random frames of random clips, half of them (where there are any) from inside an event."""
    pictures, owners, tables, heats, categories, kinds = [], [], [], [], [], []
    for clip_number in rng.integers(0, len(world), size // per_clip):
        clip = world.read(int(clip_number))
        for i in _draw_frames(clip, rng, per_clip):
            labels = entity_labels(clip.truth, int(clip.frame_index[i]))
            picture, owner, heat = augment(clip.frame(i), rng), clip.owner[i], clip.heat[i]
            if rng.random() < 0.5:
                picture, owner, heat = (np.ascontiguousarray(a[:, ::-1]) for a in (picture, owner, heat))
                for row in labels.values():
                    row["direction"] = MIRRORED.get(row.get("direction", ""), row.get("direction", ""))
            pictures.append(picture)
            owners.append(owner)
            tables.append(labels)
            heats.append(heat)
            # Of an event whose actors are out of sight the class token cannot know.
            seen = heat.max() > HOT
            running = running_category(clip.truth, int(clip.frame_index[i])) if seen else "normal"
            categories.append(space.index("category", running))
            present = {labels[e]["kind"] for e in np.unique(owner).tolist() if e in labels}
            kinds.append([float(kind in present) for kind in space.values["kind"]])
    patch = {name: torch.from_numpy(_patch_labels(owners, tables, space, name)) for name in ATTRIBUTES}
    heat = torch.from_numpy(np.stack(heats).astype(np.float32) / 255)
    near = [cv2.dilate((owner > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) for owner in owners]
    occupied = torch.from_numpy(np.stack(near)).bool()
    rgb = _swap_backgrounds(np.stack(pictures), np.stack(near).astype(bool), rng)
    return FrameBatch(rgb, patch, heat, occupied, torch.tensor(categories), torch.tensor(kinds))


def _swap_backgrounds(rgb: np.ndarray, occupied: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give some of the pictures the empty patches of another: what happens must not be told from the place."""
    mixed = rgb.copy()
    for b in np.flatnonzero(rng.random(len(rgb)) < SWAP_SHARE):
        other = int(rng.integers(len(rgb)))
        empty = ~(occupied[b] | occupied[other])
        patches, others = (a.reshape(len(empty), PATCH_PX, -1, PATCH_PX * 3) for a in (mixed[b], rgb[other]))
        np.copyto(patches, others, where=empty[:, None, :, None])
    return mixed


def running_category(truth: dict, frame: int) -> str:
    """The category of the event running at `frame`, `normal` if none."""
    running = [e["category"] for e in truth["events"] if e["start_frame"] <= frame < e["end_frame"]]
    return running[0] if running else "normal"


def _draw_frames(clip: CachedClip, rng: np.random.Generator, count: int) -> list[int]:
    inside = np.flatnonzero(clip.label)
    chosen = [int(rng.choice(inside)) for _ in range(count // 2)] if len(inside) else []
    return chosen + rng.integers(0, len(clip.label), count - len(chosen)).tolist()


def _patch_labels(owners: list[np.ndarray], tables: list[dict], space: LabelSpace, name: str) -> np.ndarray:
    fill = 0 if name == "kind" else IGNORE
    out = np.full((len(owners), *owners[0].shape), fill, np.int64)
    for b, (owner, table) in enumerate(zip(owners, tables, strict=True)):
        for entity in np.unique(owner):
            if int(entity) in table:
                out[b][owner == entity] = space.index(name, table[int(entity)].get(name))
    return out


def choose_patches(occupied: Tensor, kept: int, rng: np.random.Generator) -> Tensor:
    """Which patches of each frame the tower sees: `[B, kept]` places, occupied ones first, then any."""
    chance = torch.from_numpy(rng.random(occupied.flatten(1).shape, dtype=np.float32))
    return (chance + occupied.flatten(1)).topk(kept, dim=1).indices


def kept_features(backbone: InternVLBackbone, rgb: np.ndarray, places: Tensor) -> tuple[Tensor, Tensor]:
    """The tower on some patches only: class tokens `[B, C]` and features `[B, kept, C]` of the patches at `places`.

    Patches are cut out before they are normalised and embedded: two thirds of the pixels are then never touched.
    """
    tower, grid = backbone.model.model.vision_tower, backbone.grid_hw[0]
    cut = torch.from_numpy(rgb).view(len(rgb), grid, PATCH_PX, grid, PATCH_PX, 3).transpose(2, 3).flatten(3)
    kept = cut.flatten(1, 2)[torch.arange(len(rgb))[:, None], places]
    pixels = ((kept.unflatten(2, (-1, 3)) / 255 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)).flatten(2)
    projection = tower.embeddings.patch_embeddings.projection
    embedded = F.linear(pixels, projection.weight.permute(0, 2, 3, 1).flatten(1), projection.bias)
    table = tower.embeddings.position_embeddings[0]
    first = (tower.embeddings.cls_token + table[:1]).expand(len(rgb), -1, -1)
    hidden = torch.cat([first, embedded + table[1:][places]], 1)
    for layer in tower.encoder.layer:
        hidden = layer(hidden)
    last = tower.layernorm(hidden)
    return last[:, 0], last[:, 1:]


def pretrain_loss(
    backbone: InternVLBackbone,
    heads: PretrainHeads,
    world: WorldCache,
    space: LabelSpace,
    *,
    batch: int,
    kept: int | None,
    seed: int,
) -> Callable[[int], tuple[Tensor, dict[str, float]]]:
    """The loss function of one step, for `finetune.loop.fit`.

    Args:
        kept: patches of each frame that the tower sees; all of them if None.
    """
    patches_in_all = backbone.grid_hw[0] * backbone.grid_hw[1]

    def draw(step: int) -> tuple[FrameBatch, Tensor]:
        rng = step_generator(seed, step)
        frames = draw_batch(world, space, rng, batch)
        if kept is None:
            return frames, torch.arange(patches_in_all).expand(batch, -1)
        return frames, choose_patches(frames.occupied, kept, rng)

    batches = Ahead(draw)
    # Compiled, a step takes a sixth less time; the compiler needs one for C++ on a processor.
    features = torch.compile(kept_features) if shutil.which("c++") else kept_features

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        frames, places = batches(step)
        with backbone.precision():
            cls_token, patches = features(backbone, frames.rgb, places)
            losses = _losses(heads, frames, places, cls_token, patches)
        total = 2 * losses["kind"] + 2 * losses["heat"] + 2 * losses["frame_category"] + losses["frame_kinds"]
        total = total + 0.5 * sum(losses[n] for n in ATTRIBUTES if n in losses and n != "kind")
        if "category" in losses:
            total = total + losses["category"]
        return total, {name: value.item() for name, value in losses.items()}

    return loss


def _losses(
    heads: PretrainHeads, frames: FrameBatch, places: Tensor, cls_token: Tensor, patches: Tensor
) -> dict[str, Tensor]:
    """Cross-entropy of every head, by name; attributes nobody in the batch has are left out."""
    losses = {}
    for name, head in heads.patch.items():
        target = frames.patch[name].flatten(1).gather(1, places).flatten()
        known = target != IGNORE
        if known.any():
            losses[name] = F.cross_entropy(head(patches.flatten(0, 1)[known]).float(), target[known])
    hot = (frames.heat.flatten(1).gather(1, places) > HOT / 255).float()
    heat = heads.heat(patches)[..., 0].float()
    losses["heat"] = F.binary_cross_entropy_with_logits(heat, hot, weight=1 + 4 * hot)
    losses["frame_category"] = F.cross_entropy(heads.frame_category(cls_token).float(), frames.frame_category)
    kinds = heads.frame_kinds(cls_token).float()
    losses["frame_kinds"] = F.binary_cross_entropy_with_logits(kinds, frames.frame_kinds)
    return losses
