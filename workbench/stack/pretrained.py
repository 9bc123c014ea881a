"""Pretrained vision-language models from a folder in the native layout: strict, safetensors, no code but our own."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import torch

from workbench.errors import StackError

NAMES_SHOWN = 8
Quantisation = Literal["8bit", "4bit"]
# Vision and output layers stay as they are: they are small, and what they say is what everything else builds on.
# A name is compared with a module's path from its start on, so each needs the whole of it.
KEPT_WHOLE = ("lm_head", "model.vision_tower", "model.visual", "model.multi_modal_projector")


@dataclass(frozen=True, slots=True)
class Placement:
    """How a large model finds room.

    Attributes:
        spread: fill the first GPU, then the next ones, then the CPU's memory.
        spare_gb: of each GPU that is left to the work when the model is spread.
        quantise: weights of the language model in 8 or 4 bits, through bitsandbytes.
    """

    spread: bool = False
    quantise: Quantisation | None = None
    spare_gb: float = 3.0


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
    """Without the library's own progress bar, which would write into ours."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def load_pretrained(
    source: str | Path,
    family: str,
    *,
    device: torch.device,
    dtype: torch.dtype,
    placement: Placement | None = None,
) -> tuple[Any, Any]:
    """Model (on `device`, or spread) and tokenizer.

    Attention is SDPA, which brings flash kernels of its own where the hardware has them.

    Args:
        source: folder, or Hub repository whose files are in the cache. family: the start of the `model_type` wanted.

    Raises:
        StackError: files are missing or damaged, of another family, or weights are missing, left over or misshapen.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoTokenizer

    if isinstance(source, Path) and not (source / "config.json").exists():
        raise StackError(
            f"There is no backbone in {source}. Restore the folder, or make it: python -m finetune bundle."
        )
    placement = placement or Placement()
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "output_loading_info": True}
    if placement.quantise:
        options["quantization_config"] = quantisation(placement.quantise, device, dtype)
        options["device_map"] = {"": device}
    if placement.spread:
        options |= {"device_map": "sequential", "max_memory": limits(*_free_bytes(), placement.spare_gb)}
    try:
        with quiet_loading():
            config = AutoConfig.from_pretrained(str(source), trust_remote_code=False)
            if not str(config.model_type).startswith(family):
                raise StackError(
                    f"The checkpoint in {source} is a '{config.model_type}', but this profile wants '{family}'; "
                    "give the folder of that model."
                )
            # Shapes that differ are reported with the others below, instead of one at a time.
            loaded: Any = AutoModelForImageTextToText.from_pretrained(
                str(source), ignore_mismatched_sizes=True, **options
            )
            model, report = loaded
            tokenizer = AutoTokenizer.from_pretrained(str(source), trust_remote_code=False)
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise StackError(
            f"The backbone cannot be loaded from {source}: {reason} Check the folder or fetch it."
        ) from error
    _check(report, source)
    return (model if "device_map" in options else model.to(device)), tokenizer


def limits(gpus: list[int], memory: int, spare_gb: float) -> dict[int | str, int]:
    """Free bytes of each GPU and of the CPU → how much of the weights each may hold.

    Without something left over, weights would fill a GPU to the brim and the first picture would not fit.
    """
    spare = round(spare_gb * 1e9)
    return {**{number: max(0, free - spare) for number, free in enumerate(gpus)}, "cpu": memory}


def _free_bytes() -> tuple[list[int], int]:
    gpus = [torch.cuda.mem_get_info(number)[0] for number in range(torch.cuda.device_count())]
    return gpus, psutil.virtual_memory().available


def quantisation(bits: Quantisation, device: torch.device, dtype: torch.dtype) -> Any:
    """The bitsandbytes configuration. Raises StackError where it is not installed, or there is no CUDA."""
    if bits not in ("8bit", "4bit"):
        raise StackError(f"Weights cannot be quantised to '{bits}'; choose 8bit or 4bit.")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise StackError(
            f"Loading in {bits} needs the package bitsandbytes, which is not installed; "
            "run: pip install bitsandbytes, or choose a smaller profile."
        )
    if device.type != "cuda":
        raise StackError(f"Loading in {bits} needs a CUDA device, not {device}; leave it out, or use --device cuda.")
    from transformers import BitsAndBytesConfig

    skipped = list(KEPT_WHOLE)
    if bits == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skipped)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_use_double_quant=True,
        llm_int8_skip_modules=skipped,
    )


def _check(report: dict[str, Any], source: str | Path) -> None:
    missing, left = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
    shapes = sorted(f"{key} {tuple(have)} for {tuple(want)}" for key, have, want in report["mismatched_keys"])
    if missing or left or shapes:
        raise StackError(
            f"The backbone weights in {source} do not fit: missing {_some(missing)}, unexpected {_some(left)}, "
            f"of another shape {_some(shapes)}."
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"{names[:NAMES_SHOWN]}{more}" if names else "none"
