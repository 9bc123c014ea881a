"""From a profile to a model stack on a device: strict, safetensors only, nothing fetched."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from workbench.errors import StackError
from workbench.profiles import StackProfile, get_profile
from workbench.prompts import CLASS_PROMPTS
from workbench.stack.backbone import Backbone, InternVLBackbone
from workbench.stack.fusion import Fusion
from workbench.stack.heatmap import HeatmapConfig, HeatmapDecoder
from workbench.stack.regions import RegionConfig, RegionEncoder
from workbench.stack.scorer import AnomalyScorer, UrdmuConfig
from workbench.stack.segmenter import Segmenter, SegmenterSpec

Module = TypeVar("Module", bound=nn.Module)


def save_module(module: nn.Module, config: Any, folder: Path, *, dtype: torch.dtype = torch.float16) -> None:
    """Write `config.json` and `model.safetensors` (floats as `dtype`) into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n")
    state = {k: (v.to(dtype) if v.is_floating_point() else v).contiguous() for k, v in module.state_dict().items()}
    save_file(state, str(folder / "model.safetensors"))


def load_module(folder: Path, config_class: type, module_class: type[Module], device: torch.device) -> Module:
    """Build a module from the config beside its weights and load them strictly.

    Raises:
        StackError: files are absent, or keys are missing, left over or of another shape.
    """
    config_path, weights_path = folder / "config.json", folder / "model.safetensors"
    absent = [path.name for path in (config_path, weights_path) if not path.exists()]
    if absent:
        raise StackError(
            f"{folder} lacks {' and '.join(absent)}. Restore the folder, or train it with `python -m finetune bundle`."
        )
    module = module_class(config_class(**json.loads(config_path.read_text())))
    state, expected = load_file(str(weights_path)), module.state_dict()
    missing = sorted(expected.keys() - state.keys())
    left = sorted(state.keys() - expected.keys())
    reshaped = sorted(k for k in expected.keys() & state.keys() if expected[k].shape != state[k].shape)
    if missing or left or reshaped:
        raise StackError(
            f"The weights in {folder} do not fit: missing {missing[:8] or 'none'}, unexpected {left[:8] or 'none'}, "
            f"of another shape {reshaped[:8] or 'none'}."
        )
    module.load_state_dict({k: v.to(expected[k].dtype) for k, v in state.items()})
    return module.to(device).eval().requires_grad_(False)


def pick_device(wanted: str | None = None) -> torch.device:
    """The device asked for, or CUDA where there is one, else the CPU.

    Raises:
        StackError: the device asked for is not there.
    """
    if wanted is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise StackError(f"The device '{wanted}' was asked for, but no CUDA device is visible. Use --device cpu.")
    try:
        return torch.device(wanted)
    except RuntimeError as error:
        raise StackError(f"'{wanted}' is not a device; use cpu, cuda or cuda:N.") from error


@dataclass(slots=True)
class ModelStack:
    """Everything that looks at a clip. Built once, shared by all sessions; nothing in it changes while it works."""

    profile: StackProfile
    backbone: Backbone
    scorer: AnomalyScorer
    heatmap: HeatmapDecoder
    regions: RegionEncoder
    segmenter: Segmenter
    fusion: Fusion
    device: torch.device
    adapter: str | None = None

    @classmethod
    def load(cls, profile: str | StackProfile = "bundled", *, device: str | None = None) -> ModelStack:
        """Load every part of a profile.

        Raises:
            ProfileError: no such profile. StackError: a part is missing or does not fit.
        """
        row = get_profile(profile) if isinstance(profile, str) else profile
        place = pick_device(device)
        dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
        backbone = InternVLBackbone.load(row.source / "backbone", device=place, dtype=dtype)
        heatmap = load_module(row.source / "heatmap", HeatmapConfig, HeatmapDecoder, place)
        heatmap.set_prototypes(*(backbone.embed_prompts(CLASS_PROMPTS[c]) for c in ("normal", "abnormal")))
        return cls(
            profile=row,
            backbone=backbone,
            scorer=load_module(row.source / "scorer", UrdmuConfig, AnomalyScorer, place),
            heatmap=heatmap,
            regions=load_module(row.source / "regions", RegionConfig, RegionEncoder, place),
            segmenter=Segmenter.load(SegmenterSpec.bundled(row.source / "segmenter"), place),
            fusion=Fusion.load(row.source / "fusion.json"),
            device=place,
        )
