"""What the page asks of a video file itself: can a browser play it, and is the truth known of it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from workbench.errors import StackError

logger = logging.getLogger(__name__)
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
    """Ground-truth events `(start_s, end_s, category)` written beside a sample clip; empty when there are none.

    A camera may write other files of that name beside its clips: what is no truth says nothing.
    """
    beside = [path.with_suffix(".json"), path.parent.parent / "truth" / f"{path.stem}.json"]
    for file in beside:
        try:
            document = json.loads(file.read_text("utf-8"))
            fps = float(document["fps"])
            return [(e["start_frame"] / fps, e["end_frame"] / fps, str(e["category"])) for e in document["events"]]
        except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
            logger.debug("%s tells nothing of %s: %r", file, path.name, error)
    return []
