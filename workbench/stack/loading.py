"""From a profile to a model stack on a device: every weight checked, no code from a checkpoint run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from workbench.adapters import apply, read_adapter
from workbench.errors import StackError
from workbench.profiles import StackProfile, get_profile
from workbench.stack.backbone import Backbone, InternVLBackbone
from workbench.stack.familiarity import Familiarity
from workbench.stack.fusion import Fusion
from workbench.stack.heatmap import HeatmapDecoder
from workbench.stack.memory import enough_memory
from workbench.stack.modules import load_module, save_module
from workbench.stack.parts import load_familiarity, load_heatmap, load_regions, load_scorer
from workbench.stack.pretrained import Placement, Quantisation
from workbench.stack.regions import RegionEncoder
from workbench.stack.scorer import AnomalyScorer
from workbench.stack.segmenter import Segmenter
from workbench.stack.sources import Sources, locate

__all__ = ["ModelStack", "Placement", "load_module", "pick_device", "save_module"]

STAND_INS = {
    "scorer": "the language model's own yes or no (zero-shot)",
    "heatmap": "motion saliency",
    "regions": "nothing (no anomaly prompts)",
}
"""What stands in for a part nobody has trained."""


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
        device = torch.device(wanted)
    except RuntimeError as error:
        raise StackError(f"'{wanted}' is not a device; use cpu, cuda or cuda:N.") from error
    try:
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StackError(f"The device '{wanted}' cannot be used here ({reason}); use cpu, cuda or cuda:N.") from error
    return device


@dataclass(slots=True)
class ModelStack:
    """Everything that looks at a clip. Built once, shared by all sessions; nothing in it changes while it works.

    A part that is None was not trained for the profile; `stand_ins` says what is used instead. Without a familiarity
    all footage counts as familiar. `files` are those that the features of the dense pass depend on; `quantise` says in
    how many bits the language model's weights are held, None for all they have.
    """

    profile: StackProfile
    backbone: Backbone
    scorer: AnomalyScorer | None
    heatmap: HeatmapDecoder | None
    regions: RegionEncoder | None
    segmenter: Segmenter
    fusion: Fusion
    device: torch.device
    familiarity: Familiarity | None = None
    adapter: str | None = None
    files: tuple[Path, ...] = ()
    quantise: Quantisation | None = None

    @classmethod
    def load(
        cls,
        profile: str | StackProfile = "bundled",
        *,
        device: str | None = None,
        adapter: str | Path | None = None,
        source: str | Path | None = None,
        placement: Placement | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> ModelStack:
        """Load every part of a profile; what is not on this machine is fetched.

        Args:
            adapter: folder of an adapter made for this profile.
            source: folder with the weights, instead of where the profile has them from.
            placement: spread over devices or quantised; by default spread where the GPU is too small.
            tell: hears of what takes long (fetching, converting).

        Raises:
            ProfileError: no such profile. StackError: a part is missing or does not fit, or memory runs out.
        """
        row = get_profile(profile) if isinstance(profile, str) else profile
        row = row if source is None else replace(row, source=Path(source))
        info = read_adapter(adapter) if adapter is not None else None
        if info is not None:
            info.check_profile(row.name)
        place = pick_device(device)
        sources = locate(row, tell=tell)
        with enough_memory(row):
            stack = cls._assembled(row, sources, place, placement or _roomy(row, place))
            if info is not None:
                apply(stack, info)
        return stack

    @classmethod
    def _assembled(cls, row: StackProfile, sources: Sources, place: torch.device, placement: Placement) -> ModelStack:
        backbone = _backbone(row, sources.backbone, place, placement)
        return cls(
            profile=row,
            backbone=backbone,
            scorer=load_scorer(sources.scorer, backbone) if sources.scorer else None,
            heatmap=load_heatmap(sources.heatmap, backbone) if sources.heatmap else None,
            regions=load_regions(sources.regions, backbone) if sources.regions and sources.heatmap else None,
            segmenter=Segmenter.load(sources.segmenter, place),
            fusion=Fusion.load(sources.fusion),
            device=place,
            familiarity=load_familiarity(sources.familiarity, backbone) if sources.familiarity else None,
            files=(sources.backbone, *([sources.heatmap] if sources.heatmap else [])),
            quantise=placement.quantise,
        )

    @property
    def stand_ins(self) -> dict[str, str]:
        """What is used in place of parts that were not trained for this profile, by part."""
        return {name: text for name, text in STAND_INS.items() if getattr(self, name) is None}


def _backbone(row: StackProfile, folder: Path, place: torch.device, placement: Placement) -> Backbone:
    dtype = torch.float32
    if place.type == "cuda" and row.dtype == "bfloat16" and torch.cuda.is_bf16_supported():
        dtype = torch.bfloat16
    if row.family == "qwen":
        from workbench.stack.qwen import QwenVLBackbone

        return QwenVLBackbone.load(folder, device=place, dtype=dtype, placement=placement, image_size=row.image_size)
    return InternVLBackbone.load(folder, device=place, dtype=dtype, placement=placement)


def _roomy(row: StackProfile, place: torch.device) -> Placement:
    """Spread over what there is when the GPU asked for has less free memory than the profile needs."""
    if place.type != "cuda":
        return Placement()
    free, _ = torch.cuda.mem_get_info(place)
    # What the profile needs beyond its weights is for the work.
    return Placement(spread=free / 1e9 < row.memory_gb, spare_gb=row.memory_gb - row.download_gb)
