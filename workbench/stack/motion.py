"""Motion score and saliency without training: the motion that smooth flow cannot explain.

A person walking or a car driving is moved along, almost rigidly, by a smooth flow field; limbs that strike, bodies
that wrestle and things that burst are not. So each small grey picture is predicted from one about 1/12 s earlier by
dense optical flow, and what the prediction misses is measured:

    activity(cell) = mean over pixels of  min(1, (|now - predicted| + 1/4 |now - unmoved|  beyond noise) / contrast)

with `contrast` the local standard deviation, so that dim and washed-out corners count like bright ones and a far,
small scene like a near one. Taken out before: the global gain and offset between the pictures (flicker, automatic
exposure), the picture's median shift (a swaying camera), robustly estimated noise, activity shared by most of the
picture (a shake), scene cuts, and what a cell always does (leaves, water, a clock drawn into the picture).

Pictures further apart differ more, at first in proportion and then less and less, as what moved has left its place
altogether: like g / (g + 0.27 s) over gaps g of 1/12 to 1/2 s, on 50 of the clips below. Where a clip has too few
pictures for a pair 1/12 s apart, activity is divided by that growth. It is an average, and what tells a blow from a
step is lost: taking pairs 1/4 and 1/2 s apart, the ROC-AUC of the clip maximum falls by 0.10 and 0.13 on those 50.

On 150 real surveillance clips of 2 s (fights against normal; Aktı et al., IPTA 2019) the clip maximum gives ROC-AUC
0.81, 95 % interval 0.73 to 0.88 (resampling runs of five neighbouring clips, as several come from one recording); mean
frame difference gives 0.72. The design was chosen on these same clips among 134 variants, which flatters it: choosing
on half of them and measuring on the other half gives 0.77. Read 0.77 as what to expect of new footage of this kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np

from workbench.errors import InputError
from workbench.video import MOTION_GAP_S

# Its pictures are so small that OpenCV's own threads would mostly wait for each other, on cores that the tower needs.
cv2.setNumThreads(1)

LONGEST_GAP_S = 1.0
"""Two pictures further apart than this, as at a gap in the recording, say nothing of motion."""


@dataclass(frozen=True, slots=True)
class MotionConfig:
    """Settings of the motion score. Pixels are those of the small pictures (96 high)."""

    grid_hw: tuple[int, int] = (16, 16)  # saliency cells
    cell_px: int = 12  # scoring cells: about a head and shoulders in a typical surveillance view
    top_cells: int = 3  # a score is the mean of so many strongest cells: one is noise, many would reward nearness
    unmoved_weight: float = 0.25  # how much smooth motion counts beside unexplained motion
    contrast_window_px: int = 25  # two cells: local, yet wide enough to hold a figure and what is behind it
    contrast_floor: float = 16.0  # grey levels; keeps compression blocks in flat areas from looking like motion
    noise_floor: float = 1.0  # grey levels; 8-bit rounding alone gives about this
    noise_multiple: float = 3.0  # standard deviations of noise that are ignored
    half_score_at: float = 0.42  # activity that scores 0.5: between the medians of fights (0.47) and normal (0.28)
    half_saliency_at: float = 0.25  # saliency says what moves at all, so it rises earlier
    clutter_rise: float = 0.01  # share of a cell's excess learned as its habit per picture: about 100 pictures
    clutter_fall: float = 0.2  # and forgotten faster, so that a pause restores sensitivity
    growth_s: float = 0.27  # how soon pictures ever further apart stop differing more
    common_gap_s: float = 0.08  # from which growth counts: that of clips with 25 pictures a second
    # Calibrations and published metrics rest on scores as they are for clips of 10 pictures a second and more. Up to
    # this multiple of 1/12 s nothing is changed: at 18 a second the nearest partner is 1/9 s away, 1.33 of it.
    usual_gaps: float = 1.35

    def __post_init__(self) -> None:
        if min(self.grid_hw) < 1 or self.cell_px < 1 or self.top_cells < 1:
            raise InputError(
                f"Motion grid {self.grid_hw}, cell_px {self.cell_px} and top_cells {self.top_cells} must be at least 1."
            )
        if min(self.half_score_at, self.half_saliency_at, self.contrast_floor, self.noise_floor) <= 0:
            raise InputError("Motion half_score_at, half_saliency_at, contrast_floor and noise_floor must be above 0.")
        if min(self.growth_s, self.common_gap_s) <= 0:
            raise InputError("Motion growth_s and common_gap_s must be above 0.")


class MotionBatch(NamedTuple):
    """`score` float32 `[B]` and `saliency` float32 `[B, gh, gw]` (whole picture), both in [0, 1]."""

    score: np.ndarray
    saliency: np.ndarray


class MotionScorer:
    """Scores pairs of small grey pictures as they stream by; one scorer per clip.

    The scale is fixed, not fitted to the clip: 0 is stillness, 0.5 is where a fight becomes more likely than not on
    real surveillance footage. State is one number per cell, learned only from the past.
    """

    def __init__(self, config: MotionConfig | None = None) -> None:
        self.config = config or MotionConfig()
        # The medium preset follows smooth motion closely, so that less of it is left unexplained, for
        # about 1 ms a picture.
        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._clutter: np.ndarray | None = None

    def update(self, pair: np.ndarray, gap_s: np.ndarray | None = None) -> MotionBatch:
        """Score the next pictures.

        Args:
            pair: uint8 `[B, 2, h, w]`: an earlier picture and the one to score, of one size throughout the clip.
            gap_s: seconds between the two `[B]`; all about 1/12 s if None.

        Raises:
            InputError: another shape or type.
        """
        if pair.ndim != 4 or pair.shape[1] != 2 or pair.dtype != np.uint8:
            raise InputError(f"Motion needs uint8 pictures [B, 2, h, w], not {pair.dtype} {list(pair.shape)}.")
        gaps = np.full(len(pair), MOTION_GAP_S) if gap_s is None else gap_s
        if gaps.shape != (len(pair),):
            raise InputError(f"{len(pair)} pairs of pictures need as many gaps, not an array {list(gaps.shape)}.")
        config = self.config
        score = np.zeros(len(pair), np.float32)
        saliency = np.zeros((len(pair), *config.grid_hw), np.float32)
        for i, (before, now) in enumerate(pair):
            # Two scenes, or two recordings: nothing is known of motion between them, and an alert needs a reason.
            if gaps[i] > LONGEST_GAP_S or is_cut(before, now):
                continue
            unexplained, unmoved = self._residuals(np.ascontiguousarray(before), np.ascontiguousarray(now))
            if gaps[i] > config.usual_gaps * MOTION_GAP_S:
                shorter = self._growth(config.common_gap_s) / self._growth(float(gaps[i]))
                unexplained, unmoved = unexplained * np.float32(shorter), unmoved * np.float32(shorter)
            activity = np.minimum(unexplained + config.unmoved_weight * unmoved, 1)
            score[i] = self._score(_pool(activity, self._cells(now.shape)))
            saliency[i] = squash(_pool(np.minimum(unexplained + unmoved, 1), config.grid_hw), config.half_saliency_at)
        return MotionBatch(score, saliency)

    def _growth(self, gap_s: float) -> float:
        """How much two pictures this far apart differ, as a share of the most they can."""
        return gap_s / (gap_s + self.config.growth_s)

    def _cells(self, shape: tuple[int, ...]) -> tuple[int, int]:
        return max(1, round(shape[0] / self.config.cell_px)), max(1, round(shape[1] / self.config.cell_px))

    def _residuals(self, before: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Contrast-normalised `[h, w]` differences: to the flow's prediction, and to the merely stabilised picture."""
        if min(now.shape) < 16 or np.array_equal(before, now):  # DIS needs a patch; equal pictures have no motion
            return np.zeros(now.shape, np.float32), np.zeros(now.shape, np.float32)
        flow = self._flow.calc(now, before, None)  # from now back to before: an exact backward warp
        sway = np.array([median(flow[..., 0]), median(flow[..., 1])])
        before, now = before.astype(np.float32), now.astype(np.float32)
        level, contrast = median(now), self._contrast(now)
        unexplained = self._beyond_noise(before, flow, now, level) / contrast
        unmoved = self._beyond_noise(before, np.broadcast_to(sway, flow.shape), now, level) / contrast
        return unexplained, unmoved

    def _beyond_noise(self, before: np.ndarray, flow: np.ndarray, now: np.ndarray, level: np.float32) -> np.ndarray:
        """Difference to the prediction beyond global gain, offset and noise, `[h, w]` in grey levels >= 0.

        All arrays are float32; `level` is the median of `now`.
        """
        predicted, inside = _warp(before, flow)
        # Medians ignore what moves; the 8 levels tame the ratio in the dark.
        predicted *= np.clip((level + 8) / (median(predicted) + 8), 0.5, 2.0)
        predicted += median(now - predicted)
        # Where the camera clips, a brighter picture cannot get brighter; what came from outside cannot be predicted.
        size = np.abs(now - np.clip(predicted, 0, 255)) * inside
        noise = max(self.config.noise_floor, 1.4826 * float(median(size)))
        return np.maximum(size - self.config.noise_multiple * noise, 0)

    def _contrast(self, seen: np.ndarray) -> np.ndarray:
        """Local standard deviation of a float32 picture plus its floor, grey levels `[h, w]`."""
        window = (self.config.contrast_window_px,) * 2
        mean = cv2.blur(seen, window)
        return np.sqrt(np.maximum(cv2.blur(seen * seen, window) - mean * mean, 0)) + self.config.contrast_floor

    def _score(self, cells: np.ndarray) -> float:
        """One score from the cells' activity `[rows, columns]`."""
        config = self.config
        if self._clutter is None or self._clutter.shape != cells.shape:
            self._clutter = np.zeros_like(cells)
        unusual = np.maximum(cells - np.maximum(self._clutter, np.median(cells)), 0)
        excess = cells - self._clutter
        self._clutter = self._clutter + np.where(excess > 0, config.clutter_rise, config.clutter_fall) * excess
        strongest = np.sort(unusual, axis=None)[-config.top_cells :]
        return float(squash(np.asarray(strongest.mean()), config.half_score_at))


def is_cut(before: np.ndarray, now: np.ndarray) -> bool:
    """Whether two grey pictures `[h, w]` show different scenes: most of the picture changed and its layout is gone.

    Seen as 16 x 9 blocks, real pairs 1/12 s apart correlate above 0.69 (150 surveillance clips), pictures of
    different clips below 0.42 in 95 of 100 cases.
    """
    blocks = [cv2.resize(x, (16, 9), interpolation=cv2.INTER_AREA).astype(np.float32).ravel() for x in (before, now)]
    changed = np.mean(np.abs(blocks[1] - blocks[0]) > 8)
    spread = float(blocks[0].std() * blocks[1].std())
    if changed < 0.5 or spread < 1:
        return False
    return float(np.mean((blocks[0] - blocks[0].mean()) * (blocks[1] - blocks[1].mean()))) / spread < 0.5


def squash(activity: np.ndarray, half_at: float) -> np.ndarray:
    """Activity >= 0 to [0, 1), a half at `half_at`. Quadratic near 0, so that faint motion stays faint."""
    squared = activity * activity
    return squared / (squared + half_at * half_at)


def motion_curve(score: np.ndarray, time_s: np.ndarray, window_s: float = 0.25) -> np.ndarray:
    """Raw scores `[T]` averaged over a centred time window; a jerk of one frame weighs less than a lasting one.

    `time_s [T]` ascends. Where dense frames are further apart than the window the scores stay as they are.
    """
    if len(score) == 0:
        return np.zeros(0, np.float32)
    total = np.concatenate([[0.0], np.cumsum(score, dtype=np.float64)])
    # A hair over half the window, so that frames exactly on its edge fall in on both sides.
    first = np.searchsorted(time_s, time_s - window_s / 2 - 1e-6)
    last = np.searchsorted(time_s, time_s + window_s / 2 + 1e-6, side="right")
    return ((total[last] - total[first]) / (last - first)).astype(np.float32)


def median(values: np.ndarray) -> np.float32:
    """`np.median` of a float32 array without NaN, to the bit: one partition instead of three."""
    half = values.size // 2
    parted = np.partition(values, half, axis=None)
    upper = parted[half]
    return upper if values.size % 2 else (parted[:half].max() + upper) / np.float32(2)


@lru_cache(maxsize=4)
def _places(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Column and row of every pixel of a picture `[h, w]`, float32."""
    rows, columns = np.indices(shape, dtype=np.float32)
    return columns, rows


def _warp(picture: np.ndarray, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The float32 picture seen through a backward flow `[h, w, 2]`, and where its source lies inside the picture."""
    height, width = picture.shape
    columns, rows = _places((height, width))
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), inside


def _pool(values: np.ndarray, grid_hw: tuple[int, int]) -> np.ndarray:
    """Area mean of `[h, w]` over a grid that covers it all."""
    return cv2.resize(values, grid_hw[::-1], interpolation=cv2.INTER_AREA)
