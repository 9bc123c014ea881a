"""Small nets on disk: `config.json` and `model.safetensors` in a folder, loaded strictly."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from workbench.errors import StackError

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
        StackError: files are absent or damaged, or keys are missing, left over or of another shape.
    """
    config_path, weights_path = folder / "config.json", folder / "model.safetensors"
    absent = [path.name for path in (config_path, weights_path) if not path.exists()]
    if absent:
        raise StackError(
            f"{folder} lacks {' and '.join(absent)}. Restore the folder, or train it with `python -m finetune bundle`."
        )
    try:
        module = module_class(config_class(**json.loads(config_path.read_text())))
        state = load_file(str(weights_path))
    except (SafetensorError, ValueError, TypeError, OSError, RuntimeError) as error:
        raise StackError(f"The weights in {folder} cannot be read ({error}); copy or train them again.") from error
    expected = module.state_dict()
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
