"""The language side that all backbone families share: tokens, embeddings, prompts, steps with a key-value cache.

What a language model is fed are *rows* `[L, W]`, one for each position of the text. For most families a row is an
embedding; a family that has to know more of a position (Qwen-VL: its place in the picture) appends columns to it.
Rows of several pieces are joined with `torch.cat` and mean the same wherever they stand.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.errors import StackError
from workbench.prompts import Anomaly, Frame, Segment, Text


def cpu_has_fast_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware (AMX or AVX512-BF16)."""
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def cache_argument(model: Any, cache: Any) -> dict[str, Any]:
    """A key-value cache, or none, as this model's `forward` takes it; transformers renamed the argument in 5.24."""
    name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
    return {name: cache, "use_cache": cache is not None}


class LanguageSide:
    """A `…ForConditionalGeneration` of `transformers` and its tokenizer, seen as a language model that reads rows.

    Raises:
        StackError: the tokenizer is not one of a ChatML model.
    """

    def __init__(self, model: Any, tokenizer: Any, *, device: torch.device) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.device = device
        self.text_dim = int(model.config.text_config.hidden_size)
        self.end_token_id = int(tokenizer.convert_tokens_to_ids("<|im_end|>") or 0)
        if tokenizer.convert_ids_to_tokens(self.end_token_id) != "<|im_end|>":
            raise StackError(
                "The tokenizer has no <|im_end|> token, so it is not one of a ChatML model; check the files."
            )
        self._bf16_on_cpu = device.type == "cpu" and model.dtype == torch.float32 and cpu_has_fast_bf16()

    def precision(self) -> contextlib.AbstractContextManager[Any]:
        """bfloat16 autocast where the CPU multiplies it in hardware (six times faster there); else nothing."""
        if self._bf16_on_cpu:
            return torch.autocast("cpu", dtype=torch.bfloat16)
        return contextlib.nullcontext()

    # -- words ---------------------------------------------------------------------------------------------------

    def text_ids(self, text: str) -> list[int]:
        """Token ids of a text that already carries its special tokens."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated ids, special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    @torch.no_grad()
    def embed_prompts(self, prompts: Sequence[str]) -> Tensor:
        """Mean over prompts and tokens of the frozen embedding table → prototype `[D]` (T-VAU eq. 2-3)."""
        ids = [token for prompt in prompts for token in self.text_ids(prompt)]
        return self._table(torch.tensor(ids, device=self.device)).float().mean(0)

    # -- rows ----------------------------------------------------------------------------------------------------

    def embed_ids(self, ids: Tensor) -> Tensor:
        """`[L]` ids → rows `[L, W]`."""
        return self.text_rows(self._table(ids))

    def embed(self, segments: Sequence[Segment], tokens: Tensor, anomaly: Tensor | None) -> Tensor:
        """Prompt pieces → rows `[L, W]`.

        `tokens [N, n, …]` are the sampled frames' as `encode` gives them, `anomaly [P, D]` the RAE's prompts.
        """
        rows: list[Tensor] = []
        dtype = self.model.get_input_embeddings().weight.dtype
        for segment in segments:
            match segment:
                case Text(text):
                    rows.append(self.embed_ids(torch.tensor(self.text_ids(text), dtype=torch.long, device=self.device)))
                case Frame(position):
                    rows.append(self.frame_rows(tokens[position].to(dtype)))
                case Anomaly():
                    if anomaly is None:
                        raise StackError("The prompt asks for anomaly prompts, but this stack has no region encoder.")
                    rows.append(self.text_rows(anomaly.to(dtype)))
        return torch.cat(rows)

    def text_rows(self, embeddings: Tensor) -> Tensor:
        """Embeddings `[L, D]` of words (or of what is read like words) → rows `[L, W]`."""
        return embeddings

    def frame_rows(self, tokens: Tensor) -> Tensor:
        """Visual tokens `[n, …]` of one frame → rows `[n, W]`."""
        return tokens

    # -- steps ---------------------------------------------------------------------------------------------------

    def new_cache(self) -> Any:
        """An empty key-value cache."""
        from transformers import DynamicCache

        return DynamicCache(config=self.model.config.text_config)

    def fork(self, cache: Any, copies: int) -> Any:
        """A cache that holds what `cache` does `copies` times, for as many continuations at once."""
        twin = self.new_cache()
        for number, layer in enumerate(cache.layers):
            twin.update(layer.keys.repeat_interleave(copies, 0), layer.values.repeat_interleave(copies, 0), number)
        return twin

    def hidden(self, rows: Tensor, cache: Any = None) -> Tensor:
        """Rows `[B, L, W]` after what the cache holds → last hidden states `[B, L, D]`; can be trained through."""
        language: Any = self.model.model.language_model
        return language(inputs_embeds=rows, **cache_argument(language, cache)).last_hidden_state

    @torch.inference_mode()
    def next_logits(self, rows: Tensor, cache: Any) -> Tensor:
        """Feed `[B, L, W]` after what the cache holds → logits `[B, V]` of the next token, float32."""
        return self.model.lm_head(self.hidden(rows, cache)[:, -1]).float()

    def step(self, embeds: Tensor, cache: Any) -> Tensor:
        """Feed rows `[L, W]` after what the cache holds → logits `[V]` of the next token, float32."""
        return self.next_logits(embeds[None], cache)[0]

    def _table(self, ids: Tensor) -> Tensor:
        return self.model.get_input_embeddings()(ids)
