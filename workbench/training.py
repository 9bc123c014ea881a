"""What the page asks of training: the request, what there is to learn from, the command line, the adapter in use.

`python -m finetune …` does the work, in a process of its own; nothing of it is imported here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from workbench.adapters import AdapterInfo, read_adapter
from workbench.corrections.attach import HOW, has_file
from workbench.corrections.authorship import words_of_people
from workbench.corrections.clips import reviewed_clips
from workbench.corrections.log import MAIN
from workbench.corrections.store import Store
from workbench.errors import InputError, StackError, WorkbenchError
from workbench.job_queue import ROOT
from workbench.records import ReviewedClip

COMPONENTS = {
    "scorer": "Scorer",
    "heatmap": "Heatmap",
    "chat": "Dialogue",
    "segmenter": "Segmenter",
}
"""What can be trained, and what people call it."""
ACTIVE = "active.json"
DECISION_LIMIT_S = 120


@dataclass(frozen=True, slots=True)
class Request:
    """What a person wants to be trained.

    Attributes:
        components: of `COMPONENTS`. profile: the stack to tune.
        replay: what is mixed in against forgetting: "street" or "none". replay_share: its part of each batch.
        hold_out: share of the clips kept for the comparison. bundled: scenes of the bundled hold-out.
        margin: the loss on it that the gate tolerates. steps: of each recipe; None: as many as it wants. seed.

    Raises:
        InputError: a value is out of its range.
    """

    components: tuple[str, ...]
    profile: str = "bundled"
    replay: str = "street"
    replay_share: float = 0.5
    hold_out: float = 0.25
    bundled: int = 24
    margin: float = 0.02
    steps: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [name for name in self.components if name not in COMPONENTS]
        if unknown or not self.components:
            raise InputError(f"Choose what to train: one or more of {', '.join(COMPONENTS)}.")
        if self.replay not in ("street", "none"):
            raise InputError(f"The replay is {self.replay!r}; it is 'street' or 'none'.")
        _within("share of replay", self.replay_share, 0.0, 0.9)
        _within("share held out", self.hold_out, 0.05, 0.5)
        _within("number of bundled scenes", self.bundled, 0, 200)
        _within("margin", self.margin, 0.0, 0.5)
        _within("seed", self.seed, 0, 2**31 - 1)
        if self.steps is not None:
            _within("number of steps", self.steps, 1, 100_000)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Request:
        """From JSON values, of the page or of a job; unknown names are ignored, absent ones have their default.

        Raises:
            InputError: a value is of the wrong kind, or out of its range.
        """
        values = {item.name: document[item.name] for item in fields(cls) if document.get(item.name) is not None}
        try:
            for name in ("bundled", "seed", "steps"):
                if name in values:
                    values[name] = int(values[name])
            for name in ("replay_share", "hold_out", "margin"):
                if name in values:
                    values[name] = float(values[name])
            wanted = values.get("components", ())
            values["components"] = tuple(name for name in COMPONENTS if name in [str(one) for one in wanted])
        except (TypeError, ValueError) as error:
            raise InputError(f"A number of the training run cannot be read ({error}); correct it.") from error
        return cls(**values)

    def to_document(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "components": list(self.components)}

    def command(self, *, store: Path, run: Path, registry: Path) -> list[str]:
        """The command line that carries it out."""
        numbers = {
            "profile": self.profile, "replay": self.replay, "replay-share": self.replay_share,
            "hold-out": self.hold_out, "bundled": self.bundled, "margin": self.margin, "seed": self.seed,
            "store": store, "out": run, "registry": registry,
        }  # fmt: skip
        line = [sys.executable, "-m", "finetune", "all", "--only", ",".join(self.components)]
        line += [part for name, value in numbers.items() for part in (f"--{name}", str(value))]
        return line if self.steps is None else [*line, "--steps", str(self.steps)]


def _within(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"The {what} is {value:g}; it lies between {low:g} and {high:g}.")


@dataclass(frozen=True, slots=True)
class Counts:
    """What a store has to learn from: reviewed clips that are done, and of those what each component reads.

    `waiting` clips are in the store but not done; `gone` are done but their file is not there any more, `lost` is the
    name of the first of them.
    """

    clips: int = 0
    abnormal: int = 0
    events: int = 0
    masked_clips: int = 0
    masks: int = 0
    texts: int = 0
    waiting: int = 0
    gone: int = 0
    lost: str = ""

    def missing(self, component: str) -> str | None:
        """Why a component cannot learn from these, a sentence; None where it can."""
        if not self.clips and self.gone:
            return f"The file of {self.lost} is not where it was, nor any other approved one: {HOW}."
        if not self.clips:
            return "No clip is approved yet: review one and press “Done”."
        if component == "scorer" and self.clips < 2:
            return "One clip cannot be split into learning and testing; approve another."
        if component == "heatmap" and not self.masks:
            return "No approved clip has a mask; mark who takes part on a picture."
        if component == "segmenter" and not self.masked_clips:
            return "No approved clip has masks on two frames; follow an instance."
        return None


def count_data(store: Store, layer: str = MAIN) -> Counts:
    """What the store has to learn from now."""
    seen = dict.fromkeys((item.name for item in fields(Counts) if item.name != "lost"), 0)
    lost = ""
    for reviewed in reviewed_clips(store, layer):
        if reviewed.state != "done":
            seen["waiting"] += 1
            continue
        if not has_file(reviewed.clip):
            seen["gone"] += 1
            lost = lost or reviewed.clip.name
            continue
        masked = [instance.instance.masks_rle for instance in reviewed.instances]
        seen["clips"] += 1
        seen["abnormal"] += bool(reviewed.events) or bool(reviewed.label)
        seen["events"] += len(reviewed.events)
        seen["masks"] += sum(map(len, masked))
        seen["masked_clips"] += any(len(masks) > 1 for masks in masked)
        seen["texts"] += _texts(words_of_people(store, reviewed))
    return Counts(**seen, lost=lost)


def _texts(reviewed: ReviewedClip) -> int:
    """How many texts, captions and answers there are."""
    about = [reviewed.texts, *(event.texts for event in reviewed.events)]
    written = sum(bool(text) for one in about for text in (one.judgement, one.description, one.analysis))
    captions = sum(bool(part.caption) for event in reviewed.events for part in event.clips)
    return written + captions + len(reviewed.dialogue)


# --- the adapter in use ------------------------------------------------------------------------------------------


def active_name(registry: Path) -> str | None:
    """The adapter that a registry says is in use; None: the profile as it is.

    Raises:
        StackError: the registry's pointer cannot be read.
    """
    path = registry / ACTIVE
    try:
        name = json.loads(path.read_text("utf-8"))["active"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StackError(f"{path} cannot be read ({error!r:.60}); adopt an adapter again.") from error
    return None if name is None else str(name)


def active_adapter(registry: Path, profile: str) -> AdapterInfo | None:
    """The adapter in use, checked against the profile.

    Raises:
        StackError: it is not there any more, or was made for another profile.
    """
    name = active_name(registry)
    if name is None:
        return None
    info = read_adapter(registry / name)
    info.check_profile(profile)
    return info


def adopt(registry: Path, name: str, *, by: str, override: str | None = None) -> None:
    """Use an adapter from now on; `override` is the reason for using one that the gate refused.

    Raises:
        InputError: the registry refuses; its own sentence says why.
    """
    line = ["adopt", name, "--by", by]
    _decided(registry, line if override is None else [*line, "--override", override])


def roll_back(registry: Path, *, by: str) -> None:
    """Go back to what was in use before. Raises `InputError` when nothing was."""
    _decided(registry, ["rollback", "--by", by])


def _decided(registry: Path, line: list[str]) -> None:
    """The registry keeps its own rules; it is asked through its command line."""
    command = [sys.executable, "-m", "finetune", "adapters", *line, "--registry", str(registry)]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=DECISION_LIMIT_S, check=False
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise WorkbenchError(f"The registry did not answer within {DECISION_LIMIT_S} s; try again.") from error
    if done.returncode:
        said = [text for text in done.stderr.strip().splitlines() if text]
        raise InputError(said[-1] if said else f"The registry ended with status {done.returncode}; try again.")
