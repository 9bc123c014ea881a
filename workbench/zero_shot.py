"""Zero-shot anomaly scores: how much more likely the language model answers yes than no about a window of time.

Stands in for UR-DMU where none was trained for a backbone. Windows of `WINDOW_S` seconds (longer ones in a long clip)
are shown as `FRAMES` frames each; the question before them is read once and shared. The visual tokens are those of
the dense pass. The probability is the model's own, and nobody has calibrated it: it ranks moments of a clip better
than it says how likely an anomaly is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from workbench.stack.backbone import Backbone
from workbench.stack.loading import ModelStack
from workbench.stack.memory import enough_memory

WINDOW_S = 2.0
FRAMES = 4
MAX_WINDOWS = 64
ROWS_AT_ONCE = {"cuda": 16384, "cpu": 1024}
"""About how many positions are read in one forward pass."""
ANSWERS = {"yes": ("Yes", "yes", "YES"), "no": ("No", "no", "NO")}


def windows_of(time_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dense frames at `time_s [T]` → centres of windows in seconds `[W]` and their frames `int [W, FRAMES]`."""
    begin, end = float(time_s[0]), float(time_s[-1])
    count = int(np.clip(round((end - begin) / WINDOW_S), 1, MAX_WINDOWS))
    edges = np.linspace(begin, end, count + 1)
    inside = (np.arange(FRAMES) + 0.5) / FRAMES
    wanted = edges[:-1, None] + inside * np.diff(edges)[:, None]
    right = np.searchsorted(time_s, wanted).clip(1, max(1, len(time_s) - 1))
    left = right - 1
    right = right.clip(0, len(time_s) - 1)
    nearer_left = wanted - time_s[left] <= time_s[right] - wanted
    return (edges[:-1] + edges[1:]) / 2, np.where(nearer_left, left, right)


def zero_shot_scores(
    stack: ModelStack, tokens: np.ndarray, time_s: np.ndarray, tell: Callable[[float], None] | None = None
) -> np.ndarray:
    """Visual tokens `[T, n, E]` of dense frames at `time_s [T]` → scores `float32 [T]` in (0, 1).

    Between the centres of two windows the score runs straight from one to the other.

    Args:
        tell: hears how much is done, 0 to 1.

    Raises:
        StackError: memory runs out.
    """
    centres, frames = windows_of(time_s)
    with enough_memory(stack.profile), torch.inference_mode():
        said = _window_scores(stack, tokens, frames, tell)
    return np.interp(time_s, centres, said).astype(np.float32)


def _window_scores(
    stack: ModelStack, tokens: np.ndarray, frames: np.ndarray, tell: Callable[[float], None] | None
) -> np.ndarray:
    backbone = stack.backbone
    shared, rest = stack.profile.layout.yes_no(FRAMES)
    nothing = torch.zeros(0, backbone.tokens_per_frame, backbone.token_dim, device=backbone.device)
    cache = backbone.new_cache()
    backbone.step(backbone.embed(shared, nothing, None), cache)
    yes, no = answer_ids(backbone)
    length = FRAMES * backbone.tokens_per_frame
    batch = max(1, ROWS_AT_ONCE.get(backbone.device.type, 1024) // length)
    said: list[np.ndarray] = []
    for first in range(0, len(frames), batch):
        rows = torch.stack(
            [backbone.embed(rest, _on(backbone, tokens[window]), None) for window in frames[first : first + batch]]
        )
        logits = backbone.next_logits(rows, backbone.fork(cache, len(rows)))
        said.append(yes_probability(logits, yes, no).cpu().numpy())
        if tell:
            tell(min(1.0, (first + batch) / len(frames)))
    return np.concatenate(said)


def yes_probability(logits: Tensor, yes: list[int], no: list[int]) -> Tensor:
    """Logits `[B, V]` → probability of any of the tokens `yes` among those of `yes` and `no`, `[B]`."""
    for_yes, for_no = (torch.logsumexp(logits[:, ids], dim=-1) for ids in (yes, no))
    return torch.sigmoid(for_yes - for_no)


def answer_ids(backbone: Backbone) -> tuple[list[int], list[int]]:
    """Tokens that begin a yes, and those that begin a no; none begins both."""
    yes, no = ({backbone.text_ids(word)[0] for word in ANSWERS[answer]} for answer in ("yes", "no"))
    return sorted(yes - no), sorted(no - yes)


def _on(backbone: Backbone, tokens: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(tokens, np.float32)).to(backbone.device)
