"""Where a recipe begins, at random weights or at those of a net that was trained before, and what it keeps of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from finetune.errors import TrainingError
from workbench.stack.modules import load_module

Module = TypeVar("Module", bound=nn.Module)


def new_module(config: Any, module_class: type[Module], start: Path | None) -> Module:
    """A trainable module in float32: random, or with the weights that `save_module` wrote to the folder `start`.

    Raises:
        TrainingError: the weights are of another size than `config`. StackError: they cannot be read.
    """
    if start is None:
        module: Module = module_class(config)
        return module
    module = load_module(start, type(config), module_class, torch.device("cpu"))
    if module.config != config:
        raise TrainingError(f"The weights in {start} have the sizes {module.config}, the recipe asks for {config}.")
    return module.requires_grad_(True)


@torch.no_grad()
def keep_some(tuned: nn.Module, start: nn.Module, keep: float) -> None:
    """Move a tuned net the share `keep` (0 to 1) of the way back to the one it began as, weight by weight.

    Between the two lies a net that does nearly as well on what is new and forgets much less (WiSE-FT, Wortsman et
    al., CVPR 2022): a few replayed scenes cannot stand for all that was learned before, the weights can.
    """
    began = dict(start.named_parameters())
    for name, weight in tuned.named_parameters():
        weight.lerp_(began[name].to(weight), keep)
