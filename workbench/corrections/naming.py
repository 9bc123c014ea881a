"""Ids for what a file gives none: made from what it says, never from where in the file it stands.

A file that is read twice gives the same ids both times, whatever was added to it or taken out meanwhile; a thing of
another file, or one that was drawn since, has an id of its own. A position (`the second track`) would say neither.
"""

from __future__ import annotations

import hashlib
from itertools import count

from workbench.corrections.log import canonical
from workbench.masks import decode_rle, mask_box
from workbench.records import Instance

_DIGITS = 2  # of a pixel or a second; tools differ in those behind
_LENGTH = 10  # of a digest: two of a clip's things do not share one by chance


def of_instance(instance: Instance) -> str:
    """An id from the category, and from frame and box where the thing is first seen; one never seen has its words."""
    frames = {*instance.boxes_xyxy, *instance.masks_rle}
    if not frames:
        words = [instance.role, instance.appearance, instance.motion]
        return _digest("T", [instance.category, instance.id, instance.first_frame, instance.last_frame, *words])
    frame = min(frames)
    box = instance.boxes_xyxy.get(frame)
    if box is None:
        box = mask_box(decode_rle(instance.masks_rle[frame]))
    place = None if box is None else [round(float(side), _DIGITS) for side in box]
    return _digest("T", [instance.category, frame, place])


def of_span(letter: str, start_s: float | None, end_s: float | None, words: list[str | None]) -> str:
    """An id from two times in seconds; from the words where one of them is not known."""
    if start_s is None or end_s is None:
        return _digest(letter, [start_s, end_s, words])
    return _digest(letter, [round(float(start_s), _DIGITS), round(float(end_s), _DIGITS)])


def untaken(wanted: str, taken: set[str]) -> str:
    """The id, with a number behind it where it is taken; it is taken from now on."""
    name = wanted if wanted not in taken else next(n for k in count(2) if (n := f"{wanted}-{k}") not in taken)
    taken.add(name)
    return name


def _digest(letter: str, said: object) -> str:
    return f"{letter}-{hashlib.sha256(canonical(said).encode()).hexdigest()[:_LENGTH]}"
