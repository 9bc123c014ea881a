"""UR-DMU: one anomaly score per dense frame from a video's class tokens (Holmes-VAU 4.2, after AAAI 2023).

    features [B, T, C] → embedding → 2 global-and-local attention blocks → two memory banks → scores [B, T]

Parameter names are those of the published checkpoints, so `load_state_dict(strict=True)` takes them as they are.

Two things differ from the published code, neither in its numbers:
- The local half of the attention, D·t with D_ij = exp(-|i-j|/e) / r_j, is applied as a band of ±64 frames
  (exp(-64/e) = 6e-11, below float32), so it costs O(T) memory and never builds a T×T matrix.
- A batch is any mix of normal and abnormal videos, told apart by a boolean label per video, of any lengths,
  told apart by a `valid` mask; the published code wants two halves of equal size and length.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.errors import StackError

LOCAL_RADIUS = 64  # frames on each side that the local half can see
QUERY_CHUNK = 2048  # queries attended at once: bounds memory at 2048·T even where no fused kernel exists


@dataclass(frozen=True)
class UrdmuConfig:
    """Sizes of a scorer. The defaults are the published ones; `input_dim` is the width of the class token."""

    input_dim: int
    hidden: int = 512
    heads: int = 4
    head_dim: int = 128
    ffn: int = 512
    depth: int = 2
    memory: int = 60
    dropout: float = 0.5
    classifier: int = 128

    def __post_init__(self) -> None:
        for name in ("input_dim", "hidden", "heads", "head_dim", "ffn", "depth", "memory", "classifier"):
            if getattr(self, name) < 1:
                raise StackError(f"UrdmuConfig.{name} is {getattr(self, name)}; it must be 1 or more.")
        if not 0.0 <= self.dropout < 1.0:
            raise StackError(f"UrdmuConfig.dropout is {self.dropout}; it must be in [0, 1).")

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor], *, heads: int = 4) -> "UrdmuConfig":
        """Read the sizes off a checkpoint. The number of heads leaves no trace in the shapes, so it is given."""
        try:
            hidden, input_dim, _ = state["embedding.conv_1.0.weight"].shape
            inner = state["self_attn.layers.0.0.fn.to_qkv.weight"].shape[0] // 4
            return cls(
                input_dim=input_dim,
                hidden=hidden,
                heads=heads,
                head_dim=inner // heads,
                ffn=state["self_attn.layers.0.1.fn.net.0.weight"].shape[0],
                depth=len({key.split(".")[2] for key in state if key.startswith("self_attn.layers.")}),
                memory=state["Amemory.memory_block"].shape[0],
                classifier=state["cls_head.mlp.0.weight"].shape[0],
            )
        except KeyError as missing:
            raise StackError(f"The scorer checkpoint has no {missing}; it is not a UR-DMU checkpoint.") from missing


class MemoryTerms(NamedTuple):
    """What the UR-DMU loss needs beside the scores; D is `hidden`. All videos pass both banks."""

    is_abnormal: Tensor  # bool [B]
    valid: Tensor  # bool [B, T]; False on padding
    features: Tensor  # [B, T, D] after attention
    abnormal_attention: Tensor  # [B, T] in (0, 1): how much the frame resembles the abnormal bank
    normal_attention: Tensor  # [B, T] in (0, 1): the same for the normal bank
    abnormal_code: Tensor  # [B, T, D] mean code of the abnormal bank's answer
    normal_code: Tensor  # [B, T, D] code of the normal bank's answer, sampled for normal videos in training mode
    normal_mu: Tensor  # [B, T, D]
    normal_logvar: Tensor  # [B, T, D]


class ScorerOutput(NamedTuple):
    """`scores` and `logits` are [B, T], scores = sigmoid(logits); `terms` only when labels were given."""

    scores: Tensor
    logits: Tensor
    terms: MemoryTerms | None


class _Embedding(nn.Module):
    def __init__(self, config: UrdmuConfig) -> None:
        super().__init__()
        self.conv_1 = nn.Sequential(nn.Conv1d(config.input_dim, config.hidden, 3, padding=1), nn.ReLU())

    def forward(self, features: Tensor) -> Tensor:
        return self.conv_1(features.transpose(1, 2)).transpose(1, 2)


class _GlobalLocalAttention(nn.Module):
    def __init__(self, config: UrdmuConfig) -> None:
        super().__init__()
        self.heads, inner = config.heads, config.heads * config.head_dim
        self.to_qkv = nn.Linear(config.hidden, inner * 4, bias=False)
        self.to_out = nn.Sequential(nn.Linear(2 * inner, config.hidden), nn.Dropout(config.dropout))

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        query, key, value, near = self.to_qkv(x).chunk(4, dim=-1)
        split = (self.heads, -1)
        query, key, value = (part.unflatten(-1, split).transpose(1, 2) for part in (query, key, value))
        mask = None if valid is None else valid[:, None, None, :]
        far = torch.cat(
            [
                functional.scaled_dot_product_attention(chunk, key, value, attn_mask=mask)
                for chunk in query.split(QUERY_CHUNK, dim=2)
            ],
            dim=2,
        ).transpose(1, 2)  # [B, T, heads, head_dim]
        near = local_average(near, valid).unflatten(-1, split)
        return self.to_out(torch.cat([far, near], dim=-1).flatten(2))


class _FeedForward(nn.Module):
    def __init__(self, config: UrdmuConfig) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(config.hidden, config.ffn),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.ffn, config.hidden),
            nn.Dropout(config.dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class _PreNorm(nn.Module):
    def __init__(self, width: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(width), fn

    def forward(self, x: Tensor, *more: Tensor | None) -> Tensor:
        return self.fn(self.norm(x), *more)


class _Blocks(nn.Module):
    def __init__(self, config: UrdmuConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    _PreNorm(config.hidden, _GlobalLocalAttention(config)),
                    _PreNorm(config.hidden, _FeedForward(config)),
                ]
            )
            for _ in range(config.depth)
        )

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        for block in self.layers:
            attention, feed_forward = block.children()
            x = x + attention(x, valid)
            x = x + feed_forward(x)
        return x


class _MemoryBank(nn.Module):
    def __init__(self, config: UrdmuConfig) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(config.hidden)
        self.memory_block = nn.Parameter(torch.empty(config.memory, config.hidden).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, D] → temporal attention [B, T] in (0, 1), the mean of the best 1/16 of the slots; answer [B, T, D]."""
        slots, width = self.memory_block.shape
        attention = torch.sigmoid(x @ self.memory_block.T / math.sqrt(width))
        return attention.topk(slots // 16 + 1, dim=-1).values.mean(-1), attention @ self.memory_block


class _ClassifierHead(nn.Module):
    def __init__(self, config: UrdmuConfig) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(2 * config.hidden, config.classifier), nn.ReLU(), nn.Linear(config.classifier, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x).squeeze(-1)


class AnomalyScorer(nn.Module):
    """UR-DMU. `AnomalyScorer(UrdmuConfig(input_dim=1024))` is the published net, 6 492 929 parameters."""

    def __init__(self, config: UrdmuConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = _Embedding(config)
        self.self_attn = _Blocks(config)
        self.cls_head = _ClassifierHead(config)
        self.Amemory = _MemoryBank(config)
        self.Nmemory = _MemoryBank(config)
        self.encoder_mu = nn.Sequential(nn.Linear(config.hidden, config.hidden))
        self.encoder_var = nn.Sequential(nn.Linear(config.hidden, config.hidden))

    def forward(
        self, features: Tensor, *, is_abnormal: Tensor | None = None, valid: Tensor | None = None
    ) -> ScorerOutput:
        """Score every dense frame.

        features: [B, T, C], T ≥ 1, any float type (computed in the type of the weights).
        is_abnormal: bool [B]; with it `terms` is filled, and in training mode the normal code of *normal* videos
            is sampled (mu + eps·sigma) as UR-DMU does. Without it the pass is the inference pass, plus dropout if
            the net is in training mode.
        valid: bool [B, T], True on real frames, at least one per video. A padded video scores as it would alone;
            scores on padding mean nothing.
        Raises StackError on wrong shapes.
        """
        self._check(features, is_abnormal, valid)
        features = features.to(self.Amemory.memory_block.dtype)
        if valid is not None:
            # Zeros past the end are what the convolution would have padded with.
            features = features.masked_fill(~valid.unsqueeze(-1), 0.0)
        x = self.embedding(features)
        x = self.self_attn(x, valid)
        abnormal_attention, abnormal_answer = self.Amemory(x)
        normal_attention, normal_answer = self.Nmemory(x)
        abnormal_code, normal_mu = self.encoder_mu(abnormal_answer), self.encoder_mu(normal_answer)
        normal_code, terms = normal_mu, None
        if is_abnormal is not None:
            normal_logvar = self.encoder_var(normal_answer)
            if self.training:
                noise = torch.randn_like(normal_mu) * torch.exp(0.5 * normal_logvar)
                normal_code = normal_mu + noise * ~is_abnormal[:, None, None]
            terms = MemoryTerms(
                is_abnormal,
                torch.ones_like(abnormal_attention, dtype=torch.bool) if valid is None else valid,
                x,
                abnormal_attention,
                normal_attention,
                abnormal_code,
                normal_code,
                normal_mu,
                normal_logvar,
            )
        logits = self.cls_head(torch.cat([x, abnormal_code + normal_code], dim=-1))
        return ScorerOutput(torch.sigmoid(logits), logits, terms)

    def _check(self, features: Tensor, is_abnormal: Tensor | None, valid: Tensor | None) -> None:
        shape = tuple(features.shape)
        if len(shape) != 3 or shape[1] < 1 or shape[2] != self.config.input_dim:
            raise StackError(
                f"The scorer got features of shape {shape}; it wants [videos, frames ≥ 1, {self.config.input_dim}]. "
                "Use the scorer that was trained on this backbone."
            )
        if is_abnormal is not None and (is_abnormal.shape != shape[:1] or is_abnormal.dtype != torch.bool):
            raise StackError(
                f"The scorer got is_abnormal of shape {tuple(is_abnormal.shape)} and type {is_abnormal.dtype}; "
                f"it wants one boolean per video, [{shape[0]}]."
            )
        if valid is not None and (valid.shape != shape[:2] or valid.dtype != torch.bool):
            raise StackError(
                f"The scorer got a valid mask of shape {tuple(valid.shape)} and type {valid.dtype}; "
                f"it wants one boolean per frame, [{shape[0]}, {shape[1]}]."
            )


def local_average(x: Tensor, valid: Tensor | None = None) -> Tensor:
    """D·x along time for x [B, T, C], D_ij = exp(-|i-j|/e) / r_j, r_j = Σ_k exp(-|k-j|/e) over real frames.

    Column j is divided by the sum of *row* j, as published, so rows near the ends do not sum to one.
    Memory O(T·C). D is Toeplitz up to r: blocks of 64 frames share one [64, 192] matrix over their neighbourhood.
    """
    real = x.new_ones(1, x.shape[1], 1) if valid is None else valid.unsqueeze(-1).to(x.dtype)
    row_sums = _banded_product(real).clamp_min(1.0)  # at least exp(0) on a real frame
    return _banded_product(x * real / row_sums)


def _banded_product(x: Tensor) -> Tensor:
    """Σ_j exp(-|i-j|/e)·x_j for |i-j| ≤ LOCAL_RADIUS; x [B, T, C] → [B, T, C]."""
    size, frames = LOCAL_RADIUS, x.shape[1]
    rows = torch.arange(size, device=x.device)[:, None] + size
    distance = (rows - torch.arange(3 * size, device=x.device)[None, :]).abs()
    decay = torch.exp(-distance.to(torch.promote_types(x.dtype, torch.float32)) / math.e)
    weights = torch.where(distance <= size, decay, 0.0).to(x.dtype)
    padded = functional.pad(x, (0, 0, size, size + (-frames) % size))
    neighbourhoods = padded.unfold(1, 3 * size, size)  # view [B, blocks, C, 192]
    return torch.einsum("ij,bncj->bnic", weights, neighbourhoods).flatten(1, 2)[:, :frames]
