"""Kernel ridge classification of few samples with many numbers each, by kinds of evidence; nothing left to set by hand.

Each kind (a matrix `[N, D]`) becomes a Gaussian kernel of its standardised numbers, as wide as its samples are apart,
and the kinds count the same, however many numbers they have. Leaving one out is exact for a ridge and costs nothing
(Rasmussen & Williams 2006, 5.4.2), so width, ridge and which kinds are used are chosen by it on the training samples
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WIDTHS = (1.0, 3.0, 10.0)
"""Of the kernels, in median squared distances of the training samples."""
RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Kind:
    """One kind of evidence: its standardised training samples and the median squared distance between them."""

    which: int
    mean: np.ndarray
    spread: np.ndarray
    samples: np.ndarray
    apart: float

    @classmethod
    def of(cls, which: int, samples: np.ndarray) -> _Kind:
        mean, spread = samples.mean(0), samples.std(0) + 1e-6
        scaled = (samples - mean) / spread
        return cls(which, mean, spread, scaled, float(np.median(_squared_distances(scaled, scaled))) + 1e-9)

    def kernel(self, samples: np.ndarray, width: float) -> np.ndarray:
        """`[M, N]` likeness of new samples to the training samples."""
        return np.exp(-_squared_distances((samples - self.mean) / self.spread, self.samples) / (self.apart * width))


@dataclass(frozen=True, slots=True, eq=False)
class KernelRidge:
    """A fitted classifier; `width`, `ridge` and `used` are what leaving one out has chosen."""

    kinds: tuple[_Kind, ...]
    width: float
    ridge: float
    used: tuple[int, ...]
    weight: np.ndarray
    offset: float

    @classmethod
    def fit(cls, evidence: Sequence[np.ndarray], labels: np.ndarray, choices: Sequence[tuple[int, ...]]) -> KernelRidge:
        """Fit to labels `[N]` in {0, 1}.

        Args:
            evidence: of each kind a matrix `[N, D]`. choices: which kinds may be used together, by number.
        """
        kinds = [_Kind.of(i, samples) for i, samples in enumerate(evidence)]
        sign = 2.0 * labels - 1
        offset = float(sign.mean())
        best: tuple[float, KernelRidge] | None = None
        for width in WIDTHS:
            kernels = [kind.kernel(samples, width) for kind, samples in zip(kinds, evidence, strict=True)]
            for used in choices:
                values, vectors = np.linalg.eigh(np.mean([kernels[i] for i in used], axis=0))
                for ridge in RIDGES:
                    inverse = (vectors / (values + ridge)) @ vectors.T
                    weight = inverse @ (sign - offset)
                    error = float(np.mean((weight / np.diag(inverse)) ** 2))  # of each sample by all the others
                    if best is None or error < best[0]:
                        made = cls(tuple(kinds[i] for i in used), width, ridge, tuple(used), weight, offset)
                        best = error, made
        assert best is not None
        return best[1]

    def __call__(self, evidence: Sequence[np.ndarray]) -> np.ndarray:
        """How sure it is of label 1, `[M]` in [0, 1]; 0.5 is where it decides."""
        kernel = np.mean([kind.kernel(evidence[kind.which], self.width) for kind in self.kinds], axis=0)
        return np.clip((kernel @ self.weight + self.offset + 1) / 2, 0, 1)


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`[M, N]` between rows."""
    return np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T, 0)
