"""Training the bundled segmenter from the street world: setup -> fit -> evaluate -> save.

    python -m finetune.segmenter --out runs/segmenter --minutes 20

Two stages. *Pictures*: a view, a jittered box and a click, as SAM2 is taught on images. *Videos*: short sequences
through the memory loop, on image features that no longer change, so that a CPU sees twice as many of them. The run
is bounded by steps or by minutes, can be killed at any time and goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from finetune.loop import flushed_denormals
from finetune.parallel import spread
from finetune.segmenter_data import FrameCache, Sampler, SceneLike
from finetune.segmenter_eval import evaluate
from finetune.segmenter_loss import ThingsHead, picture_loss, video_loss
from workbench.errors import DataError
from workbench.stack.segmenter import Segmenter, SegmenterSpec, ZoomConfig
from workbench.stack.segmenter_net import SMALL_CONFIG, build_net, read_config

__all__ = ["HELD_OUT_SEED", "SegmenterRecipe", "evaluate", "main", "save", "train"]

HELD_OUT_SEED = 950_000
"""Scenes from this seed on are never trained on."""
KINDS = ("box", "click", "mask")


@dataclass(frozen=True)
class SegmenterRecipe:
    """Everything that decides a run; saved beside its result."""

    seed: int = 0
    start: str | None = None
    """Folder of a trained segmenter to go on from; None: from nothing."""
    first_scene: int = 0
    """Seed of the first scene drawn; `n_scenes` follow from it."""
    n_scenes: int = 700
    per_scene: int = 1
    """Sequences drawn from each scene."""
    length: int = 8
    """Frames of a drawn sequence; the video stage takes `video_length` of them."""
    picture_steps: int = 2400
    picture_batch: int = 12
    video_steps: int = 900
    video_batch: int = 8
    video_length: int = 5
    minutes: float | None = None
    """Processor minutes (over `threads`) for both stages; when set, they and not the steps end a stage, and the run is
    not bit-reproducible. Not the wall clock: on a shared machine it says little of what was learnt."""
    picture_share: float = 0.62
    """Share of `minutes` that goes to the picture stage."""
    lr: float = 1e-3
    video_lr: float = 4e-4
    warmup_steps: int = 60
    weight_decay: float = 0.02
    clip_norm: float = 1.0
    correct_share: float = 0.25
    """Share of picture steps with a corrective click."""
    save_every: int = 100
    threads: int = 1
    zoom: ZoomConfig = field(default_factory=ZoomConfig)

    def __post_init__(self) -> None:
        if not 2 <= self.video_length <= self.length:
            raise DataError(f"video_length is {self.video_length}; it must lie between 2 and length ({self.length}).")
        if self.n_scenes < 1 or self.first_scene < 0 or self.first_scene + self.n_scenes > HELD_OUT_SEED:
            raise DataError(
                f"The scenes are {self.n_scenes} from seed {self.first_scene} on; give at least one, below the "
                f"held-out seed {HELD_OUT_SEED}."
            )


@dataclass
class RunState:
    """Where a run stands. `elapsed_s` counts processor time of all its sessions, per stage."""

    step: int
    elapsed_s: dict[str, float]
    net: Any
    net_config: dict[str, Any]
    things: ThingsHead
    optimizer: torch.optim.Optimizer


def train(
    config: SegmenterRecipe,
    out_dir: Path,
    progress: Callable[[dict[str, float]], None] | None = None,
    *,
    make_scene: Callable[[int], SceneLike] | None = None,
    stop_after: int | None = None,
) -> dict[str, float]:
    """Train (or go on training) in `out_dir` and save `model.safetensors` and `config.json` there.

    `make_scene` maps a seed to a scene (default: a street scene with an event); `stop_after` ends the session
    early after that many steps, leaving a resumable state. Returns the means of the last logged values and
    `samples_per_s`.
    """
    torch.set_num_threads(config.threads)
    out_dir.mkdir(parents=True, exist_ok=True)
    cache = FrameCache.build(
        out_dir / "cache",
        make_scene or _eventful_scene,
        range(config.first_scene, config.first_scene + config.n_scenes),
        per_scene=config.per_scene,
        length=config.length,
    )
    state = _setup(config, out_dir / "state.pt")
    sampler = Sampler(cache, int(state.net.image_size), config.seed)
    metrics = _fit(config, state, sampler, out_dir, progress, stop_after)
    save(state.net, state.net_config, config, out_dir, metrics)
    return metrics


def _street_scene(seed: int) -> SceneLike:
    from finetune.scenes import sample_scene

    return sample_scene(seed)


def _eventful_scene(seed: int) -> SceneLike:
    """A scene to train on: always with an event, so that fires and fallen people are not rare."""
    from finetune.scenes import ANOMALIES, sample_scene

    return sample_scene(seed, category=ANOMALIES[seed % len(ANOMALIES)])


def _setup(config: SegmenterRecipe, state_path: Path) -> RunState:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        net, net_config = _first_net(config.start)
        width = int(net.hidden_dim)
        things = ThingsHead([width // 8, width // 4, width])
    trained = [*net.parameters(), *things.parameters()]
    decayed = [p for p in trained if p.ndim >= 2]
    plain = [p for p in trained if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98), fused=True)
    state = RunState(0, {"picture": 0.0, "video": 0.0}, net, net_config, things, optimizer)
    if state_path.is_file():
        saved = torch.load(state_path, weights_only=True)
        if saved["recipe"] != json.dumps(asdict(config), sort_keys=True):
            raise DataError(f"{state_path} belongs to a run with another recipe; use another folder or delete it.")
        net.load_state_dict(saved["net"])
        things.load_state_dict(saved["things"])
        optimizer.load_state_dict(saved["optimizer"])
        state.step, state.elapsed_s = saved["step"], saved["elapsed_s"]
    return state


def _first_net(start: str | None) -> tuple[Any, dict[str, Any]]:
    """The net that a run begins with, and its config."""
    if start is not None:
        spec = SegmenterSpec.bundled(Path(start))
        return Segmenter.load(spec).net, read_config(spec.config)
    net_config = read_config(SMALL_CONFIG)
    net: Any = build_net(net_config)
    _widen(net)
    _point_at_prompts(net)
    # presence starts at "yes": a "no" hides the mask, and with it every gradient of its shape
    torch.nn.init.constant_(net.sam_mask_decoder.pred_obj_score_head.layers[-1].bias, 3.0)
    return net, net_config


def _widen(net: Any) -> None:
    """Start with signals that keep their size from layer to layer.

    PyTorch's default shrinks them by about 1/sqrt(3) a layer. Mask logits are a product of two such shrunken paths
    (hyper network and upscaled picture), a saddle that a short run spends most of its steps leaving.
    """
    for module in net.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            fan_in = module.weight[0].numel()
            if isinstance(module, torch.nn.ConvTranspose2d):
                fan_in = module.weight.shape[0]
            torch.nn.init.normal_(module.weight, std=fan_in**-0.5)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
    for mlp in [*net.sam_mask_decoder.output_hypernetworks_mlps, net.obj_ptr_proj]:
        for layer in mlp.layers[:-1]:
            torch.nn.init.normal_(layer.weight, std=(2.0 / layer.in_features) ** 0.5)
    for mlp in net.sam_mask_decoder.output_hypernetworks_mlps:
        mlp.layers[-1].weight.data.mul_(0.3)


def _point_at_prompts(net: Any) -> None:
    """Let attention between prompts and picture start where their position codes agree.

    With independent random projections a click says nothing of where it is until both have learnt the code; with equal
    ones the product of two codes is largest at equal places (Johnson-Lindenstrauss), and 1.5 makes that peak felt.
    """
    transformer = net.sam_mask_decoder.transformer
    attentions = [transformer.final_attn_token_to_image]
    for layer in transformer.layers:
        attentions += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    with torch.no_grad():
        for attention in attentions:
            attention.q_proj.weight.mul_(1.5)
            attention.k_proj.weight.copy_(attention.q_proj.weight)
            attention.k_proj.bias.copy_(attention.q_proj.bias)


def _save_state(config: SegmenterRecipe, state: RunState, path: Path) -> None:
    """Written beside and moved into place, so that a kill leaves either the old state or the new one."""
    content = {
        "recipe": json.dumps(asdict(config), sort_keys=True),
        "step": state.step,
        "elapsed_s": state.elapsed_s,
        "net": state.net.state_dict(),
        "things": state.things.state_dict(),
        "optimizer": state.optimizer.state_dict(),
    }
    part = path.with_suffix(".part")
    torch.save(content, part)
    os.replace(part, path)


def _stage(config: SegmenterRecipe, state: RunState) -> tuple[str, float] | None:
    """The stage of the next step and how much of it is done, in [0, 1); None when both are over."""
    if config.minutes is not None:
        share = {"picture": config.picture_share, "video": 1 - config.picture_share}
        for name in ("picture", "video"):
            done = state.elapsed_s[name] / (60 * config.minutes * share[name])
            if done < 1:
                return name, done
        return None
    if state.step < config.picture_steps:
        return "picture", state.step / config.picture_steps
    video_step = state.step - config.picture_steps
    return ("video", video_step / config.video_steps) if video_step < config.video_steps else None


@flushed_denormals()
def _fit(
    config: SegmenterRecipe,
    state: RunState,
    sampler: Sampler,
    out_dir: Path,
    progress: Callable[[dict[str, float]], None] | None,
    stop_after: int | None,
) -> dict[str, float]:
    net, history = state.net.train(), []
    started_at, samples = state.step, 0
    session = time.perf_counter()
    stage = _stage(config, state)
    while stage is not None and (stop_after is None or state.step - started_at < stop_after):
        began = time.process_time()
        name, done = stage
        _set_rate(config, state, name, done)
        loss, values = _loss(config, state, sampler, name)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), config.clip_norm)
        state.optimizer.step()
        samples += config.picture_batch if name == "picture" else config.video_batch * config.video_length
        state.step += 1
        state.elapsed_s[name] += (time.process_time() - began) / config.threads
        history.append(values | {"loss": float(loss.detach())})
        stage = _stage(config, state)
        if state.step % 20 == 0 or stage is None:
            line = _mean(history[-20:]) | {
                "step": state.step,
                "samples_per_s": samples / (time.perf_counter() - session),
            }
            with (out_dir / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line | {"stage": name, "elapsed_s": sum(state.elapsed_s.values())}) + "\n")
            if progress is not None:
                progress(line)
        if state.step % config.save_every == 0:
            _save_state(config, state, out_dir / "state.pt")
    _save_state(config, state, out_dir / "state.pt")
    net.eval()
    return _mean(history[-100:]) | {
        "step": float(state.step),
        "samples_per_s": samples / (time.perf_counter() - session),
    }


def _loss(config: SegmenterRecipe, state: RunState, sampler: Sampler, stage: str) -> tuple[Tensor, dict[str, float]]:
    draw = np.random.default_rng([config.seed, 3, state.step]).random()
    if stage == "picture":
        pictures = sampler.pictures(state.step, config.picture_batch)
        return picture_loss(state.net, pictures, state.things, correct=draw < config.correct_share)
    batch = sampler.videos(state.step, config.video_batch, config.video_length)
    return video_loss(state.net, batch, KINDS[int(draw * len(KINDS))], freeze_trunk=True)


def _set_rate(config: SegmenterRecipe, state: RunState, stage: str, done: float) -> None:
    """Cosine decay to 5 % in each stage, after a linear warm-up of the first."""
    peak = config.lr if stage == "picture" else config.video_lr
    rate = (
        peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done))) * min(1.0, (state.step + 1) / config.warmup_steps)
    )
    for group in state.optimizer.param_groups:
        group["lr"] = rate


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    names = {name for row in rows for name in row}
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in sorted(names)}


def save(
    net: Any, net_config: dict[str, Any], config: SegmenterRecipe, out_dir: Path, metrics: dict[str, float]
) -> None:
    """Write `model.safetensors` (float16) and `config.json`: what `SegmenterSpec.bundled` reads."""
    from safetensors.torch import save_file

    out_dir.mkdir(parents=True, exist_ok=True)
    part = out_dir / "model.safetensors.part"
    save_file({k: v.to(torch.float16).contiguous() for k, v in net.state_dict().items()}, part)
    os.replace(part, out_dir / "model.safetensors")
    recipe = asdict(config)
    content = {"net": net_config, "zoom": recipe.pop("zoom"), "recipe": recipe, "training": metrics}
    (out_dir / "config.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def held_out_scenes(n: int) -> Iterable[SceneLike]:
    """Street scenes that no run has trained on."""
    return (_street_scene(HELD_OUT_SEED + k) for k in range(n))


def main(argv: list[str] | None = None) -> int:
    """`python -m finetune.segmenter`: train, evaluate on held-out scenes, write `metrics.json`."""
    parser = argparse.ArgumentParser(prog="python -m finetune.segmenter", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--minutes", type=float, default=None, help="processor minutes of training; default: the recipe's steps"
    )
    parser.add_argument("--start", default=None, help="folder of a trained segmenter to go on from")
    parser.add_argument("--scenes", type=int, default=SegmenterRecipe.n_scenes)
    parser.add_argument("--first-scene", type=int, default=0, help="seed of the first scene")
    parser.add_argument("--picture-steps", type=int, default=SegmenterRecipe.picture_steps)
    parser.add_argument("--video-steps", type=int, default=SegmenterRecipe.video_steps)
    parser.add_argument("--lr", type=float, default=SegmenterRecipe.lr, help="peak learning rate of the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--eval-scenes", type=int, default=40)
    args = parser.parse_args(argv)
    recipe = SegmenterRecipe(
        seed=args.seed,
        start=args.start,
        first_scene=args.first_scene,
        n_scenes=args.scenes,
        picture_steps=args.picture_steps,
        video_steps=args.video_steps,
        lr=args.lr,
        minutes=args.minutes,
        threads=args.threads,
    )
    spread(train, 1, recipe, args.out)
    segmenter = Segmenter.load(SegmenterSpec.bundled(args.out), "cpu")
    metrics = evaluate(segmenter, held_out_scenes(args.eval_scenes))
    (args.out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
