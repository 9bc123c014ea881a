"""What the page asks of a video file itself: can a browser play it, and is the truth known of it."""

from __future__ import annotations

import json
from pathlib import Path

from workbench.errors import StackError

PLAYABLE = {"mov,mp4,m4a,3gp,3g2,mj2": {"h264", "av1"}, "matroska,webm": {"vp8", "vp9", "av1"}}


def plays_in_browser(path: Path) -> bool:
    """Whether every browser decodes this container and codec."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = next(iter(container.streams.video), None)
            codec = stream.codec_context.name if stream else ""
            pixels = stream.codec_context.pix_fmt if stream else ""
            return codec in PLAYABLE.get(container.format.name, set()) and pixels in {"yuv420p", "yuvj420p"}
    except av.FFmpegError as error:
        raise StackError(f"{path.name} was moved while it was on the page; upload it again.") from error


def truth_of(path: Path) -> list[tuple[float, float, str]]:
    """Ground-truth events `(start_s, end_s, category)` written beside a sample clip; empty when there are none."""
    beside = [path.with_suffix(".json"), path.parent.parent / "truth" / f"{path.stem}.json"]
    document = next((json.loads(p.read_text("utf-8")) for p in beside if p.is_file()), None)
    if not document:
        return []
    fps = float(document["fps"])
    return [(e["start_frame"] / fps, e["end_frame"] / fps, str(e["category"])) for e in document.get("events", [])]
