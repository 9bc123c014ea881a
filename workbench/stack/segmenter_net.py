"""Building and loading SAM2 nets from the `sam2` package: config -> net -> checked weights -> image features.

`sam2` initialises Hydra for the whole process when it is imported and composes its configs through that global
state. Nothing of it is needed: a config is a YAML file (or a dict), instantiated directly, and the global state is
left as found.
"""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.errors import StackError

SMALL_CONFIG = Path(__file__).with_name("sam2_small.yaml")
PUBLISHED = {
    "tiny": ("sam2.1_hiera_t.yaml", "sam2.1_hiera_tiny.pt", "facebook/sam2.1-hiera-tiny"),
    "small": ("sam2.1_hiera_s.yaml", "sam2.1_hiera_small.pt", "facebook/sam2.1-hiera-small"),
    "base-plus": ("sam2.1_hiera_b+.yaml", "sam2.1_hiera_base_plus.pt", "facebook/sam2.1-hiera-base-plus"),
    "large": ("sam2.1_hiera_l.yaml", "sam2.1_hiera_large.pt", "facebook/sam2.1-hiera-large"),
}
"""Size -> (config file inside the package, checkpoint file, hub repository)."""
_PREDICTOR = "sam2.sam2_video_predictor.SAM2VideoPredictor"


def published_config(size: str) -> Path:
    """The package's own config of a published SAM 2.1 size."""
    if size not in PUBLISHED:
        raise StackError(f"SAM2 has no size '{size}'; choose one of {', '.join(PUBLISHED)}.")
    spec = importlib.util.find_spec("sam2")
    if spec is None or spec.origin is None:
        raise StackError("The package 'sam2' is not installed. Run: pip install -r requirements.txt.")
    return Path(spec.origin).parent / "configs" / "sam2.1" / PUBLISHED[size][0]


def read_config(source: Path | Mapping[str, Any]) -> dict[str, Any]:
    """A net config as a plain dict; files of the package lose their `model:` level and get its predictor overrides."""
    from omegaconf import OmegaConf

    if isinstance(source, Path) and not source.is_file():
        raise StackError(f"The segmenter config {source} does not exist.")
    loaded = OmegaConf.load(source) if isinstance(source, Path) else OmegaConf.create(dict(source))
    config = OmegaConf.to_container(loaded, resolve=True)
    if not isinstance(config, dict):
        raise StackError(f"The segmenter config {source} is a list; it must be a mapping.")
    plain: dict[str, Any] = {str(key): value for key, value in config.items()}
    if "model" in plain:
        plain = dict(plain["model"])
        # what sam2.build_sam.build_sam2_video_predictor adds, except hole filling, which needs a CUDA extension
        plain |= {"_target_": _PREDICTOR, "binarize_mask_from_pts_for_mem_enc": True, "fill_hole_area": 0}
        plain["sam_mask_decoder_extra_args"] = {
            "dynamic_multimask_via_stability": True,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        }
    _check_targets(plain)
    return plain


def _check_targets(node: object) -> None:
    """A config names classes to call, and may come with downloaded weights: only classes of `sam2` are called."""
    if isinstance(node, Mapping):
        target = node.get("_target_", "sam2.")
        if not str(target).startswith("sam2."):
            raise StackError(f"The segmenter config names '{target}'; only classes of the package 'sam2' are allowed.")
        for value in node.values():
            _check_targets(value)
    elif isinstance(node, list | tuple):
        for value in node:
            _check_targets(value)


@contextmanager
def _global_hydra_untouched() -> Iterator[None]:
    from hydra.core.global_hydra import GlobalHydra

    was_initialised = GlobalHydra.instance().is_initialized()
    try:
        yield
    finally:
        if not was_initialised:
            GlobalHydra.instance().clear()


def build_net(config: Mapping[str, Any]) -> nn.Module:
    """Instantiate the `SAM2VideoPredictor` that a config describes, with random weights, in evaluation mode."""
    from hydra.utils import instantiate

    with _global_hydra_untouched():
        net: nn.Module = instantiate(dict(config))
    return net.eval()


def load_weights(net: nn.Module, path: Path) -> None:
    """Load `.safetensors`, or `.pt` without executing anything in it; every key and shape must fit."""
    if not path.is_file():
        raise StackError(f"The segmenter weights {path} do not exist. Run: python -m workbench fetch PROFILE.")
    state = _read_state(path)
    check_state(net, state, path)
    net.load_state_dict({key: value.float() for key, value in state.items()}, strict=True)


def _read_state(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).strip().split("\n")[0][:160]
        raise StackError(f"The segmenter weights {path} cannot be read ({reason}); fetch them again.") from error
    return dict(loaded.get("model", loaded)) if isinstance(loaded, dict) else {}


def check_state(net: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Raise `StackError` with the missing, unexpected and misshapen keys of a state dict."""
    own = net.state_dict()
    problems = {
        "missing": sorted(own.keys() - state.keys()),
        "unexpected": sorted(state.keys() - own.keys()),
        "wrong shape": sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape),
    }
    found = "; ".join(f"{name}: {_some(keys)}" for name, keys in problems.items() if keys)
    if found:
        raise StackError(
            f"The weights {path} do not fit the segmenter config: {found}. Check that both belong together."
        )


def _some(keys: list[str], most: int = 12) -> str:
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(keys[:most]) + more


@dataclass(frozen=True)
class ImageFeatures:
    """Features of B inputs, as `SAM2Base.track_step` wants them: per level `[h*w, B, C]`, finest level first."""

    maps: list[Tensor]
    positions: list[Tensor]
    sizes: list[tuple[int, int]]

    def pick(self, index: Tensor) -> ImageFeatures:
        """The features of some inputs; an input may be asked for several times (one image, several objects)."""
        return ImageFeatures(
            [m.index_select(1, index) for m in self.maps],
            [p[:, :1].expand(-1, len(index), -1) for p in self.positions],
            self.sizes,
        )

    def map2d(self, level: int) -> Tensor:
        """One level as `[B, C, h, w]`."""
        feats = self.maps[level]
        return feats.permute(1, 2, 0).reshape(feats.shape[1], feats.shape[2], *self.sizes[level])


def image_features(net: Any, images: Tensor) -> ImageFeatures:
    """Images `[B, 3, S, S]` -> features: `forward_image` and `_prepare_backbone_features` of SAM2, in fewer steps.

    The two fine levels pass through two 1x1 convolutions in a row (neck, then `conv_s0`/`conv_s1` of the decoder),
    and only their product is used: the weights are multiplied instead. Position codes are equal over the batch and
    made once.
    """
    trunk_maps = net.image_encoder.trunk(images)
    neck, decoder = net.image_encoder.neck, net.sam_mask_decoder
    laterals = [conv.conv for conv in neck.convs][::-1]
    maps = []
    for level, head in enumerate((decoder.conv_s0, decoder.conv_s1)):
        weight = head.weight[:, :, 0, 0] @ laterals[level].weight[:, :, 0, 0]
        bias = head.weight[:, :, 0, 0] @ laterals[level].bias + head.bias
        maps.append(F.linear(trunk_maps[level].permute(0, 2, 3, 1), weight, bias))
    top = [
        F.linear(trunk_maps[i].permute(0, 2, 3, 1), laterals[i].weight[:, :, 0, 0], laterals[i].bias) for i in (2, 3)
    ]
    coarse = F.interpolate(top[1].permute(0, 3, 1, 2), scale_factor=2.0, mode="nearest").permute(0, 2, 3, 1)
    maps.append(top[0] + coarse)
    batch, height, width, channels = maps[-1].shape
    code = neck.position_encoding(maps[-1].new_empty(1, channels, height, width)).flatten(2).permute(2, 0, 1)
    positions = [code.expand(-1, batch, -1)] * 3
    sizes = [(m.shape[1], m.shape[2]) for m in maps]
    return ImageFeatures([m.flatten(1, 2).transpose(0, 1) for m in maps], positions, sizes)
