"""LoRA of a language model, from a PEFT folder into the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.errors import StackError

NAMES_SHOWN = 8


def merge_lora(backbone: Any, folder: Path) -> None:
    """Add the LoRA in `folder` to the backbone's model, in place; a quantised model keeps it beside its weights.

    Raises:
        StackError: a key is missing or left over, a shape differs, or the folder is damaged.
    """
    from peft import LoraConfig, PeftConfig, inject_adapter_in_model, set_peft_model_state_dict
    from peft.tuners.lora import LoraLayer
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    model = backbone.model
    try:
        config = PeftConfig.from_pretrained(str(folder))
        state = load_file(str(folder / "adapter_model.safetensors"))
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0]
        raise StackError(f"The LoRA in {folder} cannot be read ({reason}); copy the adapter again.") from error
    if not isinstance(config, LoraConfig):
        raise StackError(f"The adapter in {folder} is of type {config.peft_type}; only LoRA is used here.")
    config.inference_mode = True
    # Keys are compared before anything is put into the model: PEFT loads what fits and passes over the rest.
    try:
        _check_targets(model, state, folder)
        inject_adapter_in_model(config, model)
        report: Any = set_peft_model_state_dict(model, state)
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise StackError(f"The LoRA in {folder} does not fit this backbone: {reason}") from error
    left = sorted(report.unexpected_keys)
    missing = sorted(key for key in report.missing_keys if "lora_" in key)
    if left or missing:
        raise StackError(
            f"The LoRA in {folder} does not fit: missing {missing[:NAMES_SHOWN] or 'none'}, "
            f"unexpected {left[:NAMES_SHOWN] or 'none'}."
        )
    model.requires_grad_(False).eval()
    if getattr(model, "is_quantized", False):
        return
    for name, layer in [(n, m) for n, m in model.named_modules() if isinstance(m, LoraLayer)]:
        layer.merge()
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, layer.get_base_layer())
    model.peft_config = {}


def _check_targets(model: Any, state: dict[str, Any], folder: Path) -> None:
    """Whether every matrix of the LoRA has a layer of its shape in the model."""
    prefix = "base_model.model."
    layers = dict(model.named_modules())
    wrong = []
    for key, tensor in state.items():
        place, _, kind = key.removeprefix(prefix).removesuffix(".weight").rpartition(".")
        weight = getattr(layers.get(place), "weight", None)
        if kind not in ("lora_A", "lora_B") or weight is None:
            wrong.append(key)
        elif not getattr(model, "is_quantized", False):
            want = weight.shape[1] if kind == "lora_A" else weight.shape[0]
            have = tensor.shape[1] if kind == "lora_A" else tensor.shape[0]
            if want != have:
                wrong.append(f"{key} {tuple(tensor.shape)}")
    if wrong:
        more = f" and {len(wrong) - NAMES_SHOWN} more" if len(wrong) > NAMES_SHOWN else ""
        raise StackError(
            f"The LoRA in {folder} was trained on another backbone: {', '.join(wrong[:NAMES_SHOWN])}{more} "
            "have no place of their size in it."
        )
