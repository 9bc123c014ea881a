"""How the parts of the score become one: a logistic model of their logits, fitted on clips kept for it.

Fitting is what calibrates the result, so that 0.5 means "as likely as not" on clips like those it was fitted on.
Where footage looks unfamiliar, the trained parts know little of it, and the motion score, which was never trained,
takes over:

    fused = σ( f · (Σ weight·logit(part) + bias)  +  (1 - f) · (alone·logit(motion) + alone_bias) )

with f the familiarity of the clip (`workbench.stack.familiarity`), 1 where a stack cannot tell.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from workbench.errors import StackError

PARTS = ("scorer", "motion", "heatmap")
ZERO_SHOT = "zero-shot"
"""The part that stands in for the scorer, with the scorer's weight, where none was trained."""
FAMILIARITY = "familiarity"
"""Beside the parts: how far the trained ones can be relied upon, in [0, 1]."""
PEAK_SHARE = 1 / 64
"""Share of a heatmap's cells that make its peak: an event rarely fills more of the picture."""


def logit(p: np.ndarray) -> np.ndarray:
    """Log odds of probabilities, clipped so that 0 and 1 stay finite."""
    p = np.clip(np.asarray(p, np.float64), 1e-4, 1 - 1e-4)
    return np.log(p / (1 - p))


def heat_peaks(heatmap: np.ndarray) -> np.ndarray:
    """Heatmaps `[T, gh, gw]` → the mean of the hottest `PEAK_SHARE` of each, `float32 [T]` in [0, 1]."""
    cells = np.asarray(heatmap, np.float32).reshape(len(heatmap), -1)
    count = max(1, round(cells.shape[1] * PEAK_SHARE))
    return np.partition(cells, -count, axis=1)[:, -count:].mean(1)


@dataclass(frozen=True, slots=True)
class Fusion:
    """The formula above; no weight is negative: each part argues for itself alone.

    Attributes:
        scorer: weight of UR-DMU. motion: of the motion score. heatmap: of the heatmap's peak.
        threshold: fused score from which a moment counts as abnormal.
        alone, alone_bias: of the motion score where the footage is unfamiliar.
    """

    scorer: float = 1.0
    motion: float = 0.5
    heatmap: float = 0.5
    bias: float = 0.0
    threshold: float = 0.5
    alone: float = 1.0
    alone_bias: float = 0.0

    def __post_init__(self) -> None:
        for name in (*PARTS, "alone"):
            if getattr(self, name) < 0:
                raise StackError(f"The fusion weight of {name} is {getattr(self, name)}; it must not be negative.")
        if not 0 < self.threshold < 1:
            raise StackError(f"The threshold must lie between 0 and 1, not {self.threshold}.")

    def __call__(self, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """Parts `[T]` in [0, 1], by name → the fused score `[T]` in (0, 1), float32. A part may be absent."""
        weights = {"scorer": self.scorer, ZERO_SHOT: self.scorer, "motion": self.motion, "heatmap": self.heatmap}
        z = sum(weight * logit(parts[name]) for name, weight in weights.items() if name in parts) + self.bias
        if FAMILIARITY in parts and "motion" in parts:
            known = np.asarray(parts[FAMILIARITY], np.float64)
            z = known * z + (1 - known) * (self.alone * logit(parts["motion"]) + self.alone_bias)
        return (1 / (1 + np.exp(-z))).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> Fusion:
        """Read from JSON; the defaults where there is no file (a stack nobody has calibrated).

        Raises:
            StackError: the file is damaged, or holds what is no fusion.
        """
        if not path.exists():
            return cls()
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if not all(isinstance(value, int | float) and math.isfinite(value) for value in document.values()):
                raise ValueError("a value is no number")
            return cls(**document)
        except (OSError, ValueError, TypeError, AttributeError, OverflowError) as error:
            raise StackError(f"{path} holds no fusion of scores ({error}); copy or calibrate it again.") from error
