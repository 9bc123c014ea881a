"""A running text: what a language model has read and written so far, in its key-value cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from workbench.stack.backbone import Backbone

Choice = Callable[[Tensor, Sequence[int]], int]
"""Logits `[V]` and the tokens written so far → the next token."""


class RunningText:
    """Feeds a backbone piece by piece; nothing already fed is ever computed again. Not shared between threads."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.length = 0
        self.chances: list[float] = []
        """The probability of each token that was written last, in [0, 1]."""
        self._cache = backbone.new_cache()
        self._logits: Tensor | None = None

    def feed(self, embeds: Tensor) -> None:
        """Append embeddings `[L, D]`."""
        self._logits = self.backbone.step(embeds, self._cache)
        self.length += len(embeds)

    def feed_ids(self, ids: Sequence[int]) -> None:
        """Append token ids."""
        rows = torch.tensor(list(ids), dtype=torch.long, device=self.backbone.device)
        self.feed(self.backbone.embed_ids(rows))

    def feed_text(self, text: str) -> None:
        """Append a text that carries its special tokens."""
        self.feed_ids(self.backbone.text_ids(text))

    def cut(self, length: int) -> None:
        """Forget everything after the first `length` positions."""
        if self.length > length:
            self._cache.crop(-(self.length - length))
            self.length, self._logits = length, None

    def write(self, max_new_tokens: int, ids: list[int], choose: Choice | None = None) -> Iterator[str]:
        """Write until the end token, in pieces of text; the tokens written are appended to `ids`.

        `choose` picks each token; without it the likeliest is taken.

        However it ends (end token, length, or the caller closing it), the text then ends with the end token, so that
        the next turn reads a complete answer.
        """
        told, end = "", self.backbone.end_token_id
        self.chances.clear()
        try:
            for _ in range(max_new_tokens):
                assert self._logits is not None, "feed something before writing"
                token = int(self._logits.argmax()) if choose is None else choose(self._logits, ids)
                if token == end:
                    break
                ids.append(token)
                self.chances.append(float(self._logits.float().softmax(-1)[token]))
                text = self.backbone.decode(ids)
                self.feed_ids([token])
                if len(text) > len(told) and not text.endswith("\ufffd"):
                    piece, told = text[len(told) :], text
                    yield piece
        finally:
            self.feed_ids([end])
