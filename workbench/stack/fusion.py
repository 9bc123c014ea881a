"""How the scorer's and the motion score become one: a logistic model of both logits, fitted on held-out clips.

Fitting is what calibrates the result, so that 0.5 means "as likely as not" on clips like those it was fitted on.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from workbench.errors import StackError


def logit(p: np.ndarray) -> np.ndarray:
    """Log odds of probabilities, clipped so that 0 and 1 stay finite."""
    p = np.clip(np.asarray(p, np.float64), 1e-4, 1 - 1e-4)
    return np.log(p / (1 - p))


@dataclass(frozen=True, slots=True)
class Fusion:
    """`fused = σ(scorer·logit(s) + motion·logit(m) + bias)`; no weight is negative: each part argues for itself.

    Attributes:
        threshold: fused score from which a moment counts as abnormal.
    """

    scorer: float = 1.0
    motion: float = 0.5
    bias: float = 0.0
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.scorer < 0 or self.motion < 0:
            raise StackError(f"Fusion weights must not be negative: scorer {self.scorer}, motion {self.motion}.")
        if not 0 < self.threshold < 1:
            raise StackError(f"The threshold must lie between 0 and 1, not {self.threshold}.")

    def __call__(self, scorer: np.ndarray, motion: np.ndarray) -> np.ndarray:
        """Two scores `[T]` in [0, 1] → the fused score `[T]` in (0, 1), float32."""
        z = self.scorer * logit(scorer) + self.motion * logit(motion) + self.bias
        return (1 / (1 + np.exp(-z))).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> Fusion:
        """Read from JSON; the defaults where there is no file (a stack nobody has calibrated)."""
        return cls(**json.loads(path.read_text())) if path.exists() else cls()
