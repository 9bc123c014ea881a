"""Kernel ridge classification of few samples with many numbers each, by kinds of evidence; nothing left to set by hand.

Each kind (a matrix `[N, D]`) becomes a Gaussian kernel of its standardised numbers, as wide as its samples are apart,
and the kinds count the same, however many numbers they have. Leaving one out is exact for a ridge and costs nothing
(Rasmussen & Williams 2006, 5.4.2), so each ridge is chosen by it, on the training samples alone. Kernels of several
widths and choices of kinds decide together by their mean, which errs less than the one that looks best on so few.
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

    mean: np.ndarray
    spread: np.ndarray
    samples: np.ndarray
    apart: float

    @classmethod
    def of(cls, samples: np.ndarray) -> _Kind:
        mean, spread = samples.mean(0), samples.std(0) + 1e-6
        scaled = (samples - mean) / spread
        return cls(mean, spread, scaled, float(np.median(_squared_distances(scaled, scaled))) + 1e-9)

    def kernel(self, samples: np.ndarray, width: float) -> np.ndarray:
        """`[M, N]` likeness of new samples to the training samples."""
        return np.exp(-_squared_distances((samples - self.mean) / self.spread, self.samples) / (self.apart * width))


@dataclass(frozen=True, slots=True, eq=False)
class _Ridge:
    """One member: a width, kinds by number, and what was fitted."""

    width: float
    used: tuple[int, ...]
    weight: np.ndarray

    @classmethod
    def fit(cls, kernels: Sequence[np.ndarray], width: float, used: tuple[int, ...], target: np.ndarray) -> _Ridge:
        values, vectors = np.linalg.eigh(np.mean([kernels[i] for i in used], axis=0))
        tried = []
        for ridge in RIDGES:
            inverse = (vectors / (values + ridge)) @ vectors.T
            weight = inverse @ target
            error = float(np.mean((weight / np.diag(inverse)) ** 2))  # of each sample by all the others
            tried.append((error, weight))
        return cls(width, used, min(tried, key=lambda one: one[0])[1])


@dataclass(frozen=True, slots=True, eq=False)
class KernelRidge:
    """A fitted classifier of two labels."""

    kinds: tuple[_Kind, ...]
    members: tuple[_Ridge, ...]
    offset: float

    @classmethod
    def fit(cls, evidence: Sequence[np.ndarray], labels: np.ndarray, choices: Sequence[tuple[int, ...]]) -> KernelRidge:
        """Fit to labels `[N]` in {0, 1}.

        Args:
            evidence: of each kind a matrix `[N, D]`. choices: which kinds look together, by number.
        """
        kinds = tuple(_Kind.of(samples) for samples in evidence)
        sign = 2.0 * labels - 1
        members = []
        for width in WIDTHS:
            kernels = [kind.kernel(samples, width) for kind, samples in zip(kinds, evidence, strict=True)]
            members += [_Ridge.fit(kernels, width, used, sign - sign.mean()) for used in choices]
        return cls(kinds, tuple(members), float(sign.mean()))

    def __call__(self, evidence: Sequence[np.ndarray]) -> np.ndarray:
        """How sure it is of label 1, `[M]` in [0, 1]; 0.5 is where it decides."""
        said = []
        for one in self.members:
            kernels = [self.kinds[i].kernel(evidence[i], one.width) for i in one.used]
            said.append(np.mean(kernels, axis=0) @ one.weight)
        return np.clip((np.mean(said, axis=0) + self.offset + 1) / 2, 0, 1)


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`[M, N]` between rows."""
    return np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T, 0)
