"""The trained parts beside a backbone, loaded and checked against it: UR-DMU, AHD, RAE."""

from __future__ import annotations

from pathlib import Path

from workbench.errors import StackError
from workbench.prompts import CLASS_PROMPTS
from workbench.stack.backbone import Backbone
from workbench.stack.familiarity import Familiarity, FamiliarityConfig
from workbench.stack.heatmap import HeatmapConfig, HeatmapDecoder
from workbench.stack.modules import load_module
from workbench.stack.regions import RegionConfig, RegionEncoder
from workbench.stack.scorer import AnomalyScorer, UrdmuConfig


def load_scorer(folder: Path, backbone: Backbone) -> AnomalyScorer:
    """UR-DMU from `folder`. Raises StackError when it does not fit, or reads features of another width."""
    scorer = load_module(folder, UrdmuConfig, AnomalyScorer, backbone.device)
    _same("scorer", folder, {"features": (scorer.config.input_dim, backbone.feature_dim)})
    return scorer


def load_heatmap(folder: Path, backbone: Backbone) -> HeatmapDecoder:
    """AHD from `folder`, with the text prototypes of this backbone's embedding table. Raises StackError."""
    heatmap = load_module(folder, HeatmapConfig, HeatmapDecoder, backbone.device)
    wanted = {
        "patches": (heatmap.config.vision_dim, backbone.feature_dim),
        "text": (heatmap.config.text_dim, backbone.text_dim),
        "taps": (heatmap.config.tap_count, len(backbone.tap_blocks)),
    }
    _same("heatmap decoder", folder, wanted)
    heatmap.set_prototypes(*(backbone.embed_prompts(CLASS_PROMPTS[c]) for c in ("normal", "abnormal")))
    return heatmap


def load_regions(folder: Path, backbone: Backbone) -> RegionEncoder:
    """RAE from `folder`. Raises StackError when it does not fit, or writes prompts of another width."""
    regions = load_module(folder, RegionConfig, RegionEncoder, backbone.device)
    _same("region encoder", folder, {"text": (regions.config.text_dim, backbone.text_dim)})
    return regions


def load_familiarity(folder: Path, backbone: Backbone) -> Familiarity:
    """What footage is familiar, from `folder`. Raises StackError when it knows tokens of another width."""
    familiarity = load_module(folder, FamiliarityConfig, Familiarity, backbone.device)
    _same("familiarity", folder, {"tokens": (familiarity.config.dim, backbone.token_dim)})
    return familiarity


def _same(what: str, folder: Path, sizes: dict[str, tuple[int, int]]) -> None:
    wrong = [f"{name} {own} instead of {there}" for name, (own, there) in sizes.items() if own != there]
    if wrong:
        raise StackError(
            f"The {what} in {folder} was trained on another backbone ({', '.join(wrong)}); use the one of this profile."
        )
