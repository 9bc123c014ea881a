"""Calibration from corrections, on a CPU in seconds: per camera, what a score means and from where it is an alert.

No net is run: the parts of the score were kept with every analysis. Per camera a logistic model of the fused log odds
(Platt) makes 0.5 mean "as likely as not" on that camera; being linear in the log odds it is again a `Fusion`. The
threshold then follows from an alert budget: the lowest that raises at most N false alerts a day on the reviewed
footage. How much footage was reviewed bounds what can be promised, and the result says so.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from finetune.metrics import expected_calibration_error, temporal_iou
from finetune.records import TrainingClip
from finetune.sources import from_store
from workbench.calibration import camera_of, read_document
from workbench.corrections.clips import find_clip, list_analyses, load_analysis
from workbench.corrections.store import Store
from workbench.errors import DataError, InputError
from workbench.events import find_events, smooth
from workbench.files import replacing
from workbench.profiles import get_profile
from workbench.records import Analysis, Event
from workbench.stack.fusion import PARTS, Fusion, logit
from workbench.stack.sources import locate

DAY_S = 86_400.0
SLOPE_PULL = 1.0
"""How strongly the slope is held near 1, in clips: with few corrections the profile's own calibration stands."""
SLACK_S = 2.0
"""Calm footage in an alert that is never held against it: nobody loses time over so little."""
THRESHOLDS = np.round(np.arange(0.02, 0.985, 0.01), 2)


@dataclass(frozen=True, slots=True)
class Scored:
    """A reviewed clip with the parts of its score: `parts` `[T]` by name, at `time_s [T]`."""

    camera: str
    clip: TrainingClip
    time_s: np.ndarray
    parts: dict[str, np.ndarray]
    duration_s: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was found for one camera.

    Attributes:
        fusion: with the camera's calibration and threshold in it.
        false_alerts_per_day: at that threshold, on the reviewed footage. hits: share of true events it finds.
        normal_s: reviewed time outside events; nothing rarer than one alert in it can be told.
        is_extrapolated: the budget is finer than that: the threshold lies just above the highest false alert.
        ece_before, ece_after: calibration error over dense frames.
    """

    camera: str
    fusion: Fusion
    false_alerts_per_day: float
    hits: float
    clips: int
    normal_s: float
    is_extrapolated: bool
    ece_before: float
    ece_after: float


@dataclass(frozen=True, slots=True)
class Calibrations:
    """The calibrations of all cameras of a profile, for a budget of false alerts a day."""

    profile: str
    alerts_per_day: float
    cameras: tuple[Calibration, ...]
    pattern: str | None = None

    def fusion_for(self, camera: str) -> Fusion | None:
        """The fusion of a camera; None for one that was never calibrated."""
        return next((one.fusion for one in self.cameras if one.camera == camera), None)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        document: dict[str, Any] = {"profile": self.profile, "alerts_per_day": self.alerts_per_day}
        document["pattern"] = self.pattern
        document["cameras"] = {one.camera: asdict(one) for one in self.cameras}
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def load_calibrations(path: Path) -> Calibrations:
    """Read what `save` wrote.

    Raises:
        DataError: it is not that.
    """
    document = read_document(path)
    try:
        rows = [{**row, "fusion": Fusion(**row["fusion"])} for row in document["cameras"].values()]
        made = tuple(Calibration(**row) for row in rows)
        return Calibrations(document["profile"], document["alerts_per_day"], made, document["pattern"])
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} holds no calibration ({error!r:.60}); calibrate again.") from error


def calibrate_store(store: Store, *, profile: str, alerts_per_day: float, camera: str | None = None) -> Calibrations:
    """Calibrate from the approved corrections of a store and the latest analyses of their clips.

    Args:
        profile: whose analyses count. camera: regular expression that finds the camera in a clip's name (its first
            group, else all of the match).

    Raises:
        DataError: no reviewed clip has an analysis of this profile with event times, or only one kind of moment.
        InputError: the budget or the expression makes no sense.
    """
    pattern = _compiled(camera)
    row = get_profile(profile)
    scored = []
    for clip in from_store(store).clips:
        analysis = _latest(store, clip, profile)
        if analysis is not None and clip.spans_s is not None:
            scored.append(scored_clip(camera_of(clip.name, pattern), clip, analysis))
    if not scored:
        raise DataError(
            f"No approved clip of {store.path} has an analysis of the profile '{profile}'; analyse them first."
        )
    base = Fusion.load(locate(row, fetch=False).fusion)
    made = calibrate(scored, base, profile=profile, alerts_per_day=alerts_per_day)
    return replace(made, pattern=camera)


def scored_clip(camera: str, clip: TrainingClip, analysis: Analysis) -> Scored:
    """A reviewed clip with what an analysis scored."""
    dense = analysis.dense
    return Scored(camera, clip, np.asarray(dense.time_s), dict(dense.parts), analysis.clip.duration_s)


def calibrate(
    scored: Sequence[Scored], base: Fusion, *, profile: str = "", alerts_per_day: float = 5.0
) -> Calibrations:
    """Calibrate each camera; one whose moments are all of one kind keeps its scores and gets a threshold only.

    Raises:
        InputError: the budget is not a positive number.
    """
    if not (math.isfinite(alerts_per_day) and alerts_per_day > 0):
        raise InputError(f"The alert budget is {alerts_per_day} a day; give a number above 0.")
    cameras = sorted({one.camera for one in scored})
    made = [_camera(name, [s for s in scored if s.camera == name], base, alerts_per_day) for name in cameras]
    return Calibrations(profile, alerts_per_day, tuple(made))


def platt(scored: Sequence[Scored], base: Fusion) -> Fusion:
    """The base with slope and offset fitted to the camera's frames: σ(a·z + b), z the fused log odds.

    Clips weigh the same, however long. The slope is pulled towards 1 and never negative; the offset is free.
    """
    z = [logit(base(one.parts)) for one in scored]
    y = [labels_of(one) for one in scored]
    weight = np.concatenate([np.full(len(row), 1 / len(row)) for row in z])
    zs, ys = np.concatenate(z), np.concatenate(y)
    if ys.min() == ys.max():
        return base

    def loss(p: np.ndarray) -> float:
        q = p[0] * zs + p[1]
        return float((weight * (np.logaddexp(0, q) - ys * q)).sum() + SLOPE_PULL * (p[0] - 1) ** 2)

    slope, offset = minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B", bounds=[(0.05, 5.0), (-8.0, 8.0)]).x
    weights = {name: getattr(base, name) * slope for name in (*PARTS, "alone")}
    return replace(base, **weights, bias=base.bias * slope + offset, alone_bias=base.alone_bias * slope + offset)


def labels_of(one: Scored) -> np.ndarray:
    """`float64 [T]`, 1 inside an event."""
    labels = one.clip.labels_at(one.time_s)
    assert labels is not None
    return labels.astype(np.float64)


def _camera(name: str, scored: Sequence[Scored], base: Fusion, budget: float) -> Calibration:
    fusion = platt(scored, base)
    curves = [smooth(fusion(one.parts), one.time_s) for one in scored]
    normal_s = sum(one.duration_s - _inside_s(one) for one in scored)
    allowed = budget * normal_s / DAY_S
    table = [(float(t), *_alerts(scored, curves, float(t))) for t in THRESHOLDS]
    within = [row for row in table if row[1] <= allowed]
    # With less reviewed time than one alert of the budget takes, "none seen" is all that can be asked for.
    threshold, false, hits = within[0] if within else table[-1]
    labels = np.concatenate([labels_of(one) for one in scored])
    raw = np.concatenate([smooth(base(one.parts), one.time_s) for one in scored])
    return Calibration(
        camera=name,
        fusion=replace(fusion, threshold=threshold),
        false_alerts_per_day=false / normal_s * DAY_S if normal_s > 0 else 0.0,
        hits=hits,
        clips=len(scored),
        normal_s=normal_s,
        is_extrapolated=allowed < 1,
        ece_before=expected_calibration_error(labels, raw),
        ece_after=expected_calibration_error(labels, np.concatenate(curves)),
    )


def _alerts(scored: Sequence[Scored], curves: Iterable[np.ndarray], threshold: float) -> tuple[int, float]:
    """False alerts over all clips, and the share of true events that some alert meets (1 where there are none)."""
    false = met = events = 0
    for one, curve in zip(scored, curves, strict=True):
        alerts = find_events(curve, one.time_s, threshold=threshold, end_s=one.duration_s)
        spans = one.clip.spans_s or ()
        false += sum(_is_false(alert, spans) for alert in alerts)
        met += sum(any(_meet(alert, span) for alert in alerts) for span in spans)
        events += len(spans)
    return false, met / events if events else 1.0


def _is_false(alert: Event, spans: Sequence[tuple[float, float]]) -> bool:
    """Whether an alert meets no event, or is about calm footage for the most part: who looks there looks in vain."""
    inside = sum(max(0.0, min(alert.end_s, end) - max(alert.start_s, start)) for start, end in spans)
    outside = alert.end_s - alert.start_s - inside
    return inside <= 0 or (outside > inside and outside > SLACK_S)


def _meet(alert: Event, span: tuple[float, float]) -> bool:
    return temporal_iou([(alert.start_s, alert.end_s)], [span]) > 0


def _inside_s(one: Scored) -> float:
    covered = np.zeros(1000, bool)
    moments = (np.arange(1000) + 0.5) / 1000 * one.duration_s
    for start, end in one.clip.spans_s or ():
        covered |= (moments >= start) & (moments < end)
    return float(covered.mean() * one.duration_s)


def describe(calibrations: Calibrations) -> str:
    """A line a camera, for a terminal."""
    lines = []
    for one in calibrations.cameras:
        seen = f"{one.normal_s / 60:.1f} min of calm footage"
        note = f"; {seen} cannot tell {calibrations.alerts_per_day:g} a day from none" if one.is_extrapolated else ""
        lines.append(
            f"{one.camera}: threshold {one.fusion.threshold:.2f}, {one.false_alerts_per_day:.1f} false alerts a day, "
            f"finds {one.hits:.0%} of the events, calibration error {one.ece_before:.3f} → {one.ece_after:.3f} "
            f"({one.clips} clips{note})"
        )
    return "\n".join(lines)


def _compiled(camera: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(camera) if camera else None
    except re.error as error:
        raise InputError(f"{camera!r} is not a regular expression ({error}); try '^cam[0-9]+'.") from error


def _latest(store: Store, clip: TrainingClip, profile: str) -> Analysis | None:
    """The latest analysis of a clip by the bare profile; an adapter's scores are on another scale."""
    with store.reading() as db:
        clip_id = find_clip(db, clip.sha256).id
    numbers = [n for n, made_by, adapter in list_analyses(store, clip_id) if made_by == profile and adapter is None]
    return load_analysis(store, clip_id, numbers[-1]) if numbers else None
