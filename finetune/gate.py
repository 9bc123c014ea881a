"""Is the adapter better, and what did it forget? The same clips before and after, and the interval of the difference.

Clips are drawn with replacement, the same draw for both, so that what is hard about a clip cancels (a paired
bootstrap). An adapter passes when what it was trained for rises on the held-out new clips (of several components one
at least, and none falls), and nothing falls by more than a margin on what the stack knew before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from finetune.evaluate import statistics_of
from finetune.measure import ClipResult
from finetune.metrics import Span, bootstrap_ci95

Statistic = Callable[[np.ndarray], float]
MARGIN = 0.02
"""How much of a metric may be lost on the bundled hold-out."""
MIN_GAIN = 0.001
"""A rise below this is none."""
PRIMARY: dict[str, tuple[str, ...]] = {
    "scorer": ("frame_auc", "clip_auc"),
    "heatmap": ("pixel_ap",),
    "chat": ("judgement_accuracy",),
    "segmenter": ("mask_iou_box", "track_iou"),
}
"""By which metric a component is judged: the first of them that can be computed on the held-out clips."""
WATCHED = ("frame_auc", "clip_auc", "pixel_ap", "judgement_accuracy", "mask_iou_box")
"""Metrics that must not fall on what was known before."""


@dataclass(frozen=True, slots=True)
class Change:
    """One metric before and after on the same clips, and the 95 % interval of `after - before`."""

    metric: str
    before: float
    after: float
    ci95: Span | None
    n_clips: int

    @property
    def gain(self) -> float:
        """after - before."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says. `reasons` are sentences; those that speak against adopting come first."""

    adopt: bool
    reasons: tuple[str, ...]
    new: tuple[Change, ...]
    known: tuple[Change, ...]
    margin: float = MARGIN
    failed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """Plain JSON for `gate.json` and the lineage."""
        return {**asdict(self), "reasons": list(self.reasons), "settings": dict(self.settings)}


def compare(before: Sequence[ClipResult], after: Sequence[ClipResult], *, replicates: int = 1000) -> list[Change]:
    """All metrics that can be computed on both; clips that could not be measured either time are left out."""
    failed = {one.name for one in (*before, *after) if one.error}
    paired = [
        [one for one in sorted(results, key=lambda r: r.name) if one.name not in failed] for results in (before, after)
    ]
    if not paired[0]:
        return []
    tables = [{name: (n, statistic) for name, n, statistic in statistics_of(results)} for results in paired]
    changes = []
    for name, (n_clips, old) in tables[0].items():
        n_after, new = tables[1].get(name, (0, None))
        if new is None or n_after != n_clips:
            continue
        ones = np.ones(n_clips, dtype=np.int64)
        values = old(ones), new(ones)
        if not any(map(math.isnan, values)):
            interval = bootstrap_ci95(_difference(old, new), n_clips, replicates=replicates)
            changes.append(Change(name, *values, interval, n_clips))
    return changes


def judge(
    components: Sequence[str], new: Sequence[Change], known: Sequence[Change], *, margin: float = MARGIN
) -> Verdict:
    """Whether to adopt.

    Args:
        components: what was trained. new: changes on held-out new clips. known: on the bundled hold-out.
        margin: the loss that is tolerated on `known`.
    """
    against: list[str] = []
    told: list[str] = []
    is_better = False
    by_name = {change.metric: change for change in new}
    for component in components:
        change = next((by_name[name] for name in PRIMARY[component] if name in by_name), None)
        if change is None:
            wanted = " or ".join(PRIMARY[component])
            against.append(
                f"the held-out clips do not tell {wanted}, so whether the {component} is better is not known"
            )
        elif change.gain < -MIN_GAIN:
            against.append(_moved(change, "fell"))
        elif change.gain < MIN_GAIN:
            told.append(_moved(change, "stayed"))
        else:
            is_better = True
            told.append(_moved(change, "rose"))
    if not is_better:
        against.append("nothing that was trained is better on the held-out clips")
    against += [
        f"{change.metric} on the bundled clips fell from {change.before:.3f} to {change.after:.3f}, more than the "
        f"margin of {margin:g}"
        for change in known
        if change.metric in WATCHED and change.gain < -margin
    ]
    if not known:
        told.append("nothing was measured on bundled clips, so forgetting is not known")
    return Verdict(not against, (*against, *told), tuple(new), tuple(known), margin)


def _difference(old: Statistic, new: Statistic) -> Statistic:
    return lambda draws: new(draws) - old(draws)


def _moved(change: Change, how: str) -> str:
    """A change in words, with a warning where the interval does not exclude that it is chance."""
    said = f"{change.metric} on the held-out clips {how}: {change.before:.3f} before, {change.after:.3f} after"
    if how == "rose" and (change.ci95 is None or change.ci95[0] <= 0):
        said += f" (with {change.n_clips} clips that may be chance)"
    return said
