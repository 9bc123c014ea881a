"""Instances on the page: what a sample is known to show, what the store keeps of it, and how a person points at it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

import numpy as np
from playwright.sync_api import Locator

from tests.browser_support import PIXELS_JS, SAMPLES, Analyst, RunningApp
from workbench.corrections import history
from workbench.corrections.clips import current
from workbench.corrections.store import Store
from workbench.masks import decode_rle, mask_box
from workbench.records import ReviewedClip
from workbench.video import Clip


class Truth:
    """What a sample is known to show."""

    def __init__(self, title: str) -> None:
        path = next((SAMPLES / "truth").glob(f"{title}_*.json"))
        self.document: dict[str, Any] = json.loads(path.read_text("utf-8"))

    def tracks(self, kinds: tuple[str, ...], only: Collection[int] | None = None) -> list[dict[int, np.ndarray]]:
        """The masks by frame of every thing of these kinds."""
        found = [entity["id"] for entity in self.document["entities"] if entity["kind"] in kinds]
        ids = [str(i) for i in found if only is None or i in only]
        return [{int(i): decode_rle(rle) for i, rle in self.document["masks"].get(name, {}).items()} for name in ids]

    def clearest(
        self, kinds: tuple[str, ...], frames: range | None = None, only: Collection[int] | None = None
    ) -> tuple[int, dict[int, np.ndarray]]:
        """The frame on which such a thing is largest, and all masks of that thing; of the entities `only` if given."""
        sizes = {
            (int(mask.sum()), frame, number): track
            for number, track in enumerate(self.tracks(kinds, only))
            for frame, mask in track.items()
            if frames is None or frame in frames
        }
        best = max(sizes)
        return best[1], sizes[best]


class Kept:
    """What the app's store says of a sample."""

    def __init__(self, app: RunningApp, title: str) -> None:
        self.store = Store(app.log.parent / "corrections.db", read_only=True)
        with Clip.open(next((SAMPLES / "clips").glob(f"{title}_*.mp4"))) as clip:
            self.sha256 = clip.info.sha256

    def clip(self) -> ReviewedClip:
        return current(self.store, self.sha256)

    def rows(self, subject: str) -> list:
        """Rows about a kind of thing that a person wrote, newest first."""
        page = history.page(self.store, clip=self.clip().clip.id, limit=200)
        return [row for row in page if row.subject == subject and row.annotator != "workbench"]


def go_to(analyst: Analyst, frame: int) -> None:
    """Step to a frame with the keys."""
    analyst.viewer.focus()
    analyst.page.keyboard.press("Home")
    analyst.expect_frame(0)
    for _ in range(frame):
        analyst.page.keyboard.press("ArrowRight")
    analyst.expect_frame(frame)


def at(analyst: Analyst, x: float, y: float) -> tuple[float, float]:
    """A place of the picture (640 x 480) on the screen."""
    box = analyst.viewer.locator(".aw-sheet").bounding_box()
    assert box is not None
    return box["x"] + x / 640 * box["width"], box["y"] + y / 480 * box["height"]


def draw_box(analyst: Analyst, mask: np.ndarray, margin: float = 2) -> None:
    """Drag a box around a mask with the box tool."""
    box = mask_box(mask)
    assert box is not None
    analyst.viewer.get_by_role("button", name="Box around the object").click()
    mouse = analyst.page.mouse
    mouse.move(*at(analyst, box[0] - margin, box[1] - margin))
    mouse.down()
    mouse.move(*at(analyst, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
    mouse.move(*at(analyst, box[2] + margin, box[3] + margin))
    mouse.up()


def click_on(analyst: Analyst, tool: str, place: tuple[float, float]) -> None:
    """Click on the picture with a tool."""
    analyst.viewer.get_by_role("button", name=tool, exact=True).click()
    analyst.page.mouse.click(*at(analyst, *place))


def middle_of(mask: np.ndarray) -> tuple[float, float]:
    """A place well inside a mask."""
    import cv2

    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(column) + 0.5, float(row) + 0.5


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def card(analyst: Analyst, number: int) -> Locator:
    return analyst.page.get_by_role("article", name=re.compile(f"Instance {number},"))


def bar(analyst: Analyst) -> Locator:
    return analyst.viewer.get_by_role("group", name="Prompted mask")


def undo(analyst: Analyst) -> None:
    analyst.viewer.focus()
    analyst.page.keyboard.press("Control+z")


def draft(analyst: Analyst) -> np.ndarray:
    """The mask on show that is not kept yet, `bool [480, 640]`, read off the picture as a person sees it."""
    import base64

    import cv2

    uri = analyst.viewer.locator("img.aw-draft").evaluate(PIXELS_JS)
    raw = np.frombuffer(base64.b64decode(uri.split(",", 1)[1]), np.uint8)
    alpha = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED)[..., 3]
    shown = cv2.erode((alpha > 0).astype(np.uint8), np.ones((3, 3), np.uint8))  # the rim lies one pixel outside
    return cv2.resize(shown, (640, 480), interpolation=cv2.INTER_NEAREST) > 0


def worst_part(missed: np.ndarray) -> np.ndarray:
    """The largest connected part of a mask."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(missed.astype(np.uint8))
    return labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
