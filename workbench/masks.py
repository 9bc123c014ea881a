"""Binary masks and COCO run lengths (pycocotools), so that masks travel as short text."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco

from workbench.errors import InputError
from workbench.records import Box, MaskRLE

MOST_SIDE = 1 << 15
MOST_PIXELS = 1 << 27
"""The longest side and the most pixels of a picture: more than any camera has, and little enough to be in memory."""


def check_size(height: int, width: int) -> None:
    """Refuse what is no size of a picture, before anything of that size is made. Raises InputError."""
    if not (0 < height <= MOST_SIDE and 0 < width <= MOST_SIDE and height * width <= MOST_PIXELS):
        raise InputError(
            f"A picture or mask of {width!r:.20} x {height!r:.20} pixels is none of a video; the longest side is "
            f"{MOST_SIDE}, the most pixels are {MOST_PIXELS / 1e6:.0f} million."
        )


def encode_rle(mask: np.ndarray) -> MaskRLE:
    """A mask `[H, W]` (bool, or anything where non-zero is inside) as COCO compressed run lengths.

    Raises:
        InputError: the mask is not two-dimensional.
    """
    if mask.ndim != 2:
        raise InputError(f"A mask must be a picture [height, width], not of shape {list(mask.shape)}.")
    rle = coco.encode(np.asfortranarray(mask != 0, dtype=np.uint8))
    return MaskRLE(size=[int(side) for side in rle["size"]], counts=rle["counts"].decode("ascii"))


def decode_rle(rle: MaskRLE) -> np.ndarray:
    """COCO compressed run lengths as a bool mask `[H, W]`.

    Raises:
        InputError: size or counts do not describe a mask.
    """
    height, width, _ = _checked(rle)
    picture: np.ndarray = coco.decode({"size": [height, width], "counts": rle["counts"].encode("ascii")})
    return picture.view(bool)  # all 0 or 1


def mask_area(rle: MaskRLE) -> int:
    """How many pixels are inside, without making the picture. Raises InputError as `decode_rle`."""
    return sum(_checked(rle)[2][1::2])


def _checked(rle: MaskRLE) -> tuple[int, int, list[int]]:
    """Height, width and run lengths, outside and inside in turn. Raises InputError when they are no mask."""
    try:
        height, width = (int(side) for side in rle["size"])
        runs = _run_lengths(rle["counts"].encode("ascii"))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(
            f"A mask needs size [height, width] and compressed counts as text; this one has {dict(rle)!r:.80}."
        ) from error
    check_size(height, width)
    # pycocotools trusts its input and reads past the buffer when the runs do not fill the picture.
    covered = sum(runs)
    if covered != height * width:
        raise InputError(f"Mask counts cover {covered} pixels, but its size {height} x {width} has {height * width}.")
    return height, width, runs


def mask_box(mask: np.ndarray) -> Box | None:
    """The tight box `(x0, y0, x1, y1)` of a mask `[H, W]`, `x1`/`y1` exclusive; None when nothing is inside."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _run_lengths(counts: bytes) -> list[int]:
    """Unpack COCO's run lengths: 5 bits a character from 48 up, low first; from the third run on, differences."""
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = character - 48
        if not 0 <= bits < 64:
            raise ValueError(f"character {character} is not part of a run length")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        if runs[-1] < 0:
            raise ValueError("a run length is negative")
        value = shift = 0
    if shift:
        raise ValueError("the last run length is cut off")
    return runs
