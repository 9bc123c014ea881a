"""What a score means on one camera and from where it is an alert, as `python -m finetune calibrate` has found it.

    calibration.json   {"profile", "alerts_per_day", "pattern", "cameras": {CAMERA: {"fusion": {…}, …}}}

The camera is found in a clip's name by the regular expression `pattern`; without one all clips are of one camera.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import DataError, StackError
from workbench.stack.fusion import Fusion
from workbench.stack.loading import ModelStack

ALL = "all"
"""The camera of clips that name none."""


@dataclass(frozen=True, slots=True)
class CameraFusions:
    """The fusions of a profile's cameras."""

    profile: str
    pattern: str | None
    fusions: dict[str, Fusion]

    def apply(self, stack: ModelStack, name: str) -> str:
        """Score with the calibration of the camera that a clip's name speaks of. → the camera.

        Raises:
            StackError: it was made for another profile, or for this one without its adapter. DataError: the camera
                was never calibrated.
        """
        if stack.profile.name != self.profile or stack.adapter is not None:
            found = stack.profile.name + (f" with the adapter {stack.adapter}" if stack.adapter else "")
            raise StackError(
                f"The calibration was made for the profile '{self.profile}' as it is, not for {found}, whose scores "
                "are on another scale; leave it out."
            )
        camera = camera_of(name, re.compile(self.pattern) if self.pattern else None)
        if camera not in self.fusions:
            known = ", ".join(sorted(self.fusions))
            raise DataError(f"The camera '{camera}' of {name} was never calibrated; calibrated are: {known}.")
        stack.fusion = self.fusions[camera]
        return camera


def read_fusions(path: Path) -> CameraFusions:
    """The calibrations in a file.

    Raises:
        DataError: it holds none.
    """
    document = read_document(path)
    try:
        fusions = {camera: Fusion(**row["fusion"]) for camera, row in document["cameras"].items()}
        pattern = document["pattern"]
        re.compile(pattern or "")
        return CameraFusions(document["profile"], pattern, fusions)
    except (KeyError, TypeError, AttributeError, StackError, re.error) as error:
        raise _no_calibration(path, error) from error


def read_document(path: Path) -> dict[str, Any]:
    """The JSON of a file. Raises `DataError` when it is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _no_calibration(path, error) from error
    return document if isinstance(document, dict) else {}


def camera_of(name: str, pattern: re.Pattern[str] | None) -> str:
    """The camera a clip's name speaks of (the expression's first group, else all of its match); `all` without one."""
    match = pattern.search(name) if pattern else None
    return (match.group(1) if match.re.groups else match.group(0)) or ALL if match else ALL


def _no_calibration(path: Path, error: Exception) -> DataError:
    reason = error.strerror if isinstance(error, OSError) else f"{error!r:.60}"
    return DataError(f"{path} holds no calibration ({reason}); name one that python -m finetune calibrate wrote.")
