"""Is the adapter better, and what did it forget? The same clips before and after, and the interval of the difference.

Clips are drawn with replacement, the same draw for both, so that what is hard about a clip cancels (a paired
bootstrap). An adapter is adopted when all of this holds:

1. **Better for sure.** The metric of what was trained (of several components one at least) rises on the held-out new
   clips, and the 95 % interval of the rise lies above 0. No trained component falls by more than the margin, or for
   sure (its interval below 0).
2. **On enough clips.** That rise is measured on at least `MIN_CLIPS` held-out clips, and no single clip carries all
   of one kind. With fewer even "every clip got better" happens by chance more often than once in twenty, and a
   bootstrap of so few says too little about others: the answer is "too few to tell".
3. **Nothing forgotten.** No watched metric falls by more than the margin on the bundled hold-out; of those that
   waver with every word (`WAVERING`) none does so for sure. The same holds for them on the new clips.
4. **No contradiction.** The corrections, as a whole, are not surely turned round by what moves or by what the stack
   said before with neither surely speaking for them (`finetune.agreement`): where labels are turned round everywhere
   the hold-out is too, and 1 proves nothing.

Otherwise a person may override, with name and reason, which the registry keeps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from finetune.agreement import Agreements
from finetune.evaluate import statistics_of
from finetune.measure import ClipResult
from finetune.metrics import Span, bootstrap_ci95

Statistic = Callable[[np.ndarray], float]
Answer = Literal["better", "not better", "too few to tell", "contradicted"]
MARGIN = 0.02
"""How much of a metric may be lost on the bundled hold-out."""
MIN_GAIN = 0.001
"""A rise below this is none."""
MIN_CLIPS = 5
"""Held-out clips below which nothing can be told: 2^-5 is the first power of a half below 1 in 20 (a sign test)."""
PRIMARY: dict[str, tuple[str, ...]] = {
    "scorer": ("frame_auc", "clip_auc"),
    "heatmap": ("pixel_ap",),
    "chat": ("judgement_accuracy",),
    "segmenter": ("mask_iou_box", "track_iou"),
}
"""By which metric a component is judged: the first of them that can be computed on the held-out clips."""
WATCHED = ("frame_auc", "clip_auc", "pixel_ap", "judgement_accuracy", "mask_iou_box")
"""Metrics that must not fall on what was known before."""
WAVERING = ("track_iou", "category_accuracy", "fact_precision", "fact_recall")
"""Metrics that move by a few hundredths with every training: a fall counts where its whole interval lies below 0."""


@dataclass(frozen=True, slots=True)
class Change:
    """One metric before and after on the same clips, and the 95 % interval of `after - before`.

    `hangs_on_one`: without one certain clip the metric could not be computed (it holds all of one kind).
    """

    metric: str
    before: float
    after: float
    ci95: Span | None
    n_clips: int
    hangs_on_one: bool = False

    @property
    def gain(self) -> float:
        """after - before."""
        return self.after - self.before

    @property
    def is_told(self) -> bool:
        """Whether there are clips enough to tell a change from chance at all."""
        return self.n_clips >= MIN_CLIPS and not self.hangs_on_one and self.ci95 is not None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says. `reasons` are sentences; those that speak against adopting come first.

    `answer` says in a word why: "contradicted" before "not better" before "too few to tell".
    """

    adopt: bool
    reasons: tuple[str, ...]
    new: tuple[Change, ...]
    known: tuple[Change, ...]
    margin: float = MARGIN
    answer: Answer = "not better"
    agreement: Agreements = field(default_factory=Agreements)

    def to_document(self) -> dict[str, Any]:
        """Plain JSON for `gate.json` and the lineage."""
        return {**asdict(self), "reasons": list(self.reasons)}


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
            changes.append(Change(name, *values, interval, n_clips, _hangs_on_one(old, n_clips)))
    return changes


def judge(
    components: Sequence[str],
    new: Sequence[Change],
    known: Sequence[Change],
    *,
    margin: float = MARGIN,
    agreement: Agreements | None = None,
) -> Verdict:
    """Whether to adopt; the rule is that of this module.

    Args:
        components: what was trained. new: changes on held-out new clips. known: on the bundled hold-out.
        margin: the loss that is tolerated on `known`, and of one of several trained components on `new`.
        agreement: of the corrections with what nobody corrected.
    """
    worse: list[str] = []
    unknown: list[str] = []
    unclear: list[str] = []
    told: list[str] = []
    better: list[str] = []
    by_name = {change.metric: change for change in new}
    for component in components:
        change = _change_of(component, by_name)
        if change is None:
            wanted = " or ".join(PRIMARY[component])
            unknown.append(
                f"the held-out clips do not tell {wanted}, so whether the {component} is better is not known"
            )
        elif _falls(change, margin):
            worse.append(_moved(change, "fell"))
        elif change.gain < MIN_GAIN:
            told.append(_moved(change, "stayed" if change.gain > -MIN_GAIN else "fell a little"))
        elif not change.is_told:
            unclear.append(f"{_moved(change, 'rose')}, but {_too_few(change)}")
        elif change.ci95 is None or change.ci95[0] <= 0:
            unclear.append(
                f"{_moved(change, 'rose')}, which {change.n_clips} clips do not tell from chance{_span(change)}"
            )
        else:
            better.append(_moved(change, "rose") + _span(change))
    if not better and not unclear and not unknown:
        worse.append("nothing that was trained is better on the held-out clips")
    judged = {change.metric for component in components if (change := _change_of(component, by_name)) is not None}
    worse += [
        _moved(change, "fell")
        for change in new
        if change.metric in WAVERING and change.metric not in judged and _surely_lost(change, margin)
    ]
    worse += [
        f"{change.metric} on the bundled clips fell from {change.before:.3f} to {change.after:.3f}, more than the "
        f"margin of {margin:g}"
        for change in known
        if (change.metric in WATCHED and change.gain < -margin)
        or (change.metric in WAVERING and _surely_lost(change, margin))
    ]
    if not known:
        told.append("nothing was measured on bundled clips, so forgetting is not known")
    agreement = agreement or Agreements()
    against = agreement.in_words()
    adopt = bool(better) and not (worse or unknown or against)
    refusal: Answer = "contradicted" if against else "not better" if worse else "too few to tell"
    # Of several components one that is better is enough; what the clips leave open of the others is told after it.
    findings = (*better, *unclear) if adopt else (*unknown, *unclear, *better)
    reasons = (*([against] if against else ()), *worse, *findings, *told)
    return Verdict(adopt, reasons, tuple(new), tuple(known), margin, "better" if adopt else refusal, agreement)


def _change_of(component: str, by_name: Mapping[str, Change]) -> Change | None:
    """The change by which a component is judged; None where the clips do not tell it."""
    return next((by_name[name] for name in PRIMARY[component] if name in by_name), None)


def _surely_lost(change: Change, margin: float) -> bool:
    return change.gain < -margin and change.is_told and change.ci95 is not None and change.ci95[1] < 0


def _difference(old: Statistic, new: Statistic) -> Statistic:
    return lambda draws: new(draws) - old(draws)


def _hangs_on_one(statistic: Statistic, n_clips: int) -> bool:
    """Whether leaving out one certain clip leaves the metric undefined."""
    without = np.ones((n_clips, n_clips), dtype=np.int64) - np.eye(n_clips, dtype=np.int64)
    return any(math.isnan(statistic(draws)) for draws in without)


def _falls(change: Change, margin: float) -> bool:
    """By more than the margin, or surely."""
    surely = change.is_told and change.ci95 is not None and change.ci95[1] < 0
    return change.gain < -margin or (surely and change.gain < -MIN_GAIN)


def _too_few(change: Change) -> str:
    if change.n_clips < MIN_CLIPS:
        return f"{change.n_clips} held-out clips are too few to tell ({MIN_CLIPS} at least): approve more"
    return "one held-out clip alone shows one of the kinds: approve more of both"


def _span(change: Change) -> str:
    return "" if change.ci95 is None else " ({:+.3f} to {:+.3f})".format(*change.ci95)


def _moved(change: Change, how: str) -> str:
    """A change in words."""
    return f"{change.metric} on the held-out clips {how}: {change.before:.3f} before, {change.after:.3f} after"
