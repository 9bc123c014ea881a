"""Records with every field filled, for tests of what is done with an analysis rather than of the analysis itself."""

from __future__ import annotations

import numpy as np

from workbench.records import Analysis, ClipInfo, DenseScores, Event, Evidence, Instance, MaskRLE, Turn


def drawn_analysis(*, n_frames: int = 1200, fps: float = 24.0, path: str = "street.mp4") -> Analysis:
    """An analysis of a clip in which something happens at 40 % and something smaller at 80 % of the time."""
    stride = 16
    index = np.arange(0, n_frames, stride, dtype=np.int64)
    time_s = index / fps
    duration_s = n_frames / fps
    where = time_s / duration_s
    wave = np.random.default_rng(7).random(len(index)).astype(np.float32) * 0.06
    scorer = 0.06 + 0.86 * np.exp(-(((where - 0.42) / 0.06) ** 2)) + 0.5 * np.exp(-(((where - 0.8) / 0.03) ** 2))
    motion = 0.1 + 0.6 * np.exp(-(((where - 0.44) / 0.1) ** 2))
    parts = {
        "scorer": np.clip(scorer + wave, 0, 1).astype(np.float32),
        "motion": np.clip(motion + wave[::-1], 0, 1).astype(np.float32),
    }
    score = (0.7 * parts["scorer"] + 0.3 * parts["motion"]).astype(np.float32)
    picks = np.unique(np.searchsorted(np.cumsum(score + 0.1), np.linspace(0, float(np.sum(score + 0.1)), 18)[1:-1]))
    return Analysis(
        clip=ClipInfo(path, "0" * 64, n_frames, fps, duration_s, 640, 480, warnings=("An odd but harmless thing.",)),
        profile="bundled",
        adapter=None,
        dense=DenseScores(stride, index, time_s, score, parts),
        frame_score=np.repeat(score, stride)[:n_frames],
        sampled_frames=[int(index[min(pick, len(index) - 1)]) for pick in picks],
        sampler="ats",
        threshold=0.5,
        events=[
            Event(0.36 * duration_s, 0.49 * duration_s, 0.42 * duration_s, 0.9, "robbery"),
            Event(0.78 * duration_s, 0.82 * duration_s, 0.8 * duration_s, 0.55),
        ],
        instances=[drawn_instance()],
        dialogue=[
            Turn(
                "judgement",
                "Is anything abnormal happening?",
                "Yes. A person takes a bag from another person and runs away.",
                (Evidence(0.36 * duration_s, 0.49 * duration_s), Evidence(0.0, 1.5, 1)),
            ),
            Turn("free", "Is it <b>raining</b>?", "No & it is not."),
        ],
        timings_s={"features": 1.25, "scores": 0.1},
        peak_rss_mb=812.5,
        warnings=["The file ends early: 1200 of 1300 frames could be decoded."],
    )


def drawn_instance() -> Instance:
    """A perpetrator seen in two frames."""
    return Instance(
        id=1,
        role="perpetrator",
        category="person",
        appearance="a person in a red coat",
        motion="runs to the right",
        first_frame=432,
        last_frame=448,
        boxes_xyxy={432: (10.0, 20.0, 60.5, 140.0), 448: (30.0, 20.0, 80.5, 140.0)},
        masks_rle={432: MaskRLE(size=[480, 640], counts="PPYo0"), 448: MaskRLE(size=[480, 640], counts="PPYo1")},
    )
