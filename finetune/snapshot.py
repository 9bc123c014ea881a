"""The frozen data set of a run: which clips, on which side of the split, and a hash that names it.

A clip's side follows from the hash of its content alone, so it stays there however the data grow: what a parent
adapter was tested on is never trained on later by chance, and two people with the same clips test on the same ones.
Clips go to a side whole, never frame by frame.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from finetune.records import TrainingClip, clip_from, clip_to, counts
from workbench.errors import DataError
from workbench.files import replacing

SCHEMA = 1
Side = Literal["train", "valid", "hold_out"]
HOLD_OUT_SHARE = 0.25
VALID_SHARE = 0.12
HELD_OF_A_KIND = 3
"""So many clips of each kind are held out at least, where there are three times as many: fewer tell nothing."""
_LAST = 16**12


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A frozen data set.

    Attributes:
        clips: what is to be learned. replay: clips of what the stack already knows, against forgetting.
        sides: of every clip of both, by content hash. replay_share: how much of each batch is replay, in [0, 1).
        left_out: why other clips are not in it.
    """

    clips: tuple[TrainingClip, ...]
    replay: tuple[TrainingClip, ...]
    sides: Mapping[str, Side]
    replay_share: float
    left_out: tuple[str, ...] = ()

    def of(self, side: Side) -> list[TrainingClip]:
        """The new clips of a side."""
        return [clip for clip in self.clips if self.sides[clip.sha256] == side]

    def replay_of(self, side: Side) -> list[TrainingClip]:
        """The replayed clips of a side."""
        return [clip for clip in self.replay if self.sides[clip.sha256] == side]

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides what is learned; where the files lie does not."""
        rows = [[_content(clip), self.sides[clip.sha256]] for clip in (*self.clips, *self.replay)]
        text = json.dumps([SCHEMA, len(self.clips), self.replay_share, rows], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def summary(self) -> dict[str, Any]:
        """Counts of both sides, for a person and for the lineage of an adapter."""
        sides: tuple[Side, ...] = ("train", "valid", "hold_out")
        return {
            **{side: counts(self.of(side)) for side in sides},
            "replay": {side: len(self.replay_of(side)) for side in sides},
            "replay_share": self.replay_share,
            "left_out": len(self.left_out),
        }

    def save(self, path: Path) -> None:
        """Write as JSON with its own digest."""
        document = {
            "schema": SCHEMA,
            "digest": self.digest,
            "replay_share": self.replay_share,
            "left_out": list(self.left_out),
            "sides": dict(self.sides),
            "clips": [clip_to(clip) for clip in self.clips],
            "replay": [clip_to(clip) for clip in self.replay],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(document), encoding="utf-8")


def freeze(
    clips: Sequence[TrainingClip],
    *,
    replay: Sequence[TrainingClip] = (),
    replay_share: float = 0.5,
    hold_out: float = HOLD_OUT_SHARE,
    earlier: Mapping[str, Side] | None = None,
    left_out: Iterable[str] = (),
) -> Snapshot:
    """Freeze clips into a snapshot.

    Args:
        hold_out: share of the clips kept for the comparison before and after.
        earlier: sides that clips had in earlier runs, by content hash; they keep them.

    Raises:
        DataError: the shares are out of range, or a side would hold only one kind of clip.
    """
    if not 0 <= replay_share < 1:
        raise DataError(f"The share of replayed clips is {replay_share}; it must be in [0, 1).")
    if not 0 < hold_out <= 0.5:
        raise DataError(f"The share of held-out clips is {hold_out}; it must be above 0 and at most 0.5.")
    clips = _without_doubles(clips)
    known = {clip.sha256 for clip in clips}
    replay = _without_doubles([clip for clip in replay if clip.sha256 not in known])
    sides = {clip.sha256: side_of(clip.sha256, hold_out) for clip in (*clips, *replay)}
    sides |= {sha256: side for sha256, side in (earlier or {}).items() if sha256 in sides}
    fixed = set(earlier or ())
    for label in (0, 1):
        for part in (clips, replay):
            _fill(sides, [c.sha256 for c in part if c.label == label], fixed)
    snapshot = Snapshot(tuple(clips), tuple(replay), sides, replay_share if replay else 0.0, tuple(left_out))
    _refuse_one_class(snapshot)
    return snapshot


def side_of(sha256: str, hold_out: float = HOLD_OUT_SHARE, valid: float = VALID_SHARE) -> Side:
    """The side a content hash puts a clip on."""
    place = _place(sha256)
    if place < hold_out:
        return "hold_out"
    return "valid" if place < hold_out + valid else "train"


def load_snapshot(path: Path) -> Snapshot:
    """Read a snapshot and check it against its own digest.

    Raises:
        DataError: it cannot be read, is of another schema, or was changed.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise DataError(f"{path} is of schema {document['schema']}, this program reads {SCHEMA}; freeze it again.")
        snapshot = Snapshot(
            tuple(clip_from(row) for row in document["clips"]),
            tuple(clip_from(row) for row in document["replay"]),
            document["sides"],
            document["replay_share"],
            tuple(document["left_out"]),
        )
        digest = document["digest"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not a snapshot ({error!r:.80}); start the run again in another folder.") from error
    if digest != snapshot.digest:
        raise DataError(f"{path} was changed after it was frozen; start the run again in another folder.")
    return snapshot


def check_files(snapshot: Snapshot) -> None:
    """Refuse a snapshot whose clips have gone since.

    Raises:
        DataError: some are gone; the sentence counts them and names the first.
    """
    gone = [clip for clip in (*snapshot.clips, *snapshot.replay) if not Path(clip.path).is_file()]
    if gone:
        raise DataError(
            f"{len(gone)} of {len(snapshot.clips) + len(snapshot.replay)} clips of the snapshot are gone, the first is "
            f"{gone[0].path}; bring them back, or start a new run without them."
        )


def _content(clip: TrainingClip) -> dict[str, Any]:
    return clip_to(replace(clip, path="", name=""))


def _place(sha256: str) -> float:
    """Where in [0, 1) a content hash falls. Salted, since other programs may split by the same hash."""
    return int(hashlib.sha256(f"side:{sha256}".encode()).hexdigest()[:12], 16) / _LAST


def _fill(sides: dict[str, Side], kind: list[str], fixed: Set[str]) -> None:
    """Few clips may all fall on one side: then the outermost of the kind cross over, so that both can be measured.

    Those of `fixed` stay where they are.
    """
    order = sorted((sha for sha in kind if sha not in fixed), key=_place)
    if len(order) == 1:
        sides[order[0]] = "train"
    if len(order) < 2:
        return
    wanted = max(1, min(HELD_OF_A_KIND, len(kind) // 3))
    held = sum(sides[sha] == "hold_out" for sha in kind)
    for sha in [sha for sha in order if sides[sha] != "hold_out"][: max(0, wanted - held)]:
        sides[sha] = "hold_out"
    if all(sides[sha] != "train" for sha in order):
        sides[order[-1]] = "train"


def _without_doubles(clips: Sequence[TrainingClip]) -> list[TrainingClip]:
    """One clip for each content, by hash; of several with the same content the last one said counts."""
    unique = {clip.sha256: clip for clip in clips}
    return [unique[sha256] for sha256 in sorted(unique)]


def _refuse_one_class(snapshot: Snapshot) -> None:
    """Refuse data that cannot teach a difference. Replay may bring the missing class for training."""
    if not snapshot.clips:
        raise DataError("There are no clips to learn from; approve corrections, or name a folder with --data.")
    trained = {clip.label for clip in (*snapshot.of("train"), *snapshot.replay_of("train"))}
    if len(trained) < 2:
        kind, other = ("abnormal", "normal") if trained == {1} else ("normal", "abnormal")
        raise DataError(
            f"All {len(snapshot.of('train'))} clips to train on are {kind}, so nothing can be told apart; approve some "
            f"{other} ones too, or replay the street world."
        )
    if not snapshot.of("train"):
        raise DataError(f"All {len(snapshot.clips)} clips fall into the hold-out; approve a few more.")
