"""`Analysis` ⇄ `analysis.json` and `heatmaps.npz`: the files other programs build on.

The document is plain JSON without NaN or infinity, and says its schema version. Numbers keep their value exactly:
times and scores are written with as many digits as their type holds, so that a time read back still finds its frame.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np

from workbench.errors import DataError
from workbench.files import replacing
from workbench.records import (
    Analysis,
    ClipInfo,
    DenseScores,
    Event,
    Evidence,
    Heatmaps,
    Instance,
    MaskRLE,
    Turn,
)

SCHEMA_VERSION = "1"
T = TypeVar("T")


def to_document(analysis: Analysis) -> dict[str, Any]:
    """Everything but the heatmaps, as JSON values (see `heatmaps.npz` for those)."""
    return {
        "schema_version": SCHEMA_VERSION,
        "clip": _clip_to(analysis.clip),
        "profile": analysis.profile,
        "adapter": analysis.adapter,
        "dense": _dense_to(analysis.dense),
        "frame_score": _floats(analysis.frame_score),
        "sampler": analysis.sampler,
        "sampled_frames": [int(frame) for frame in analysis.sampled_frames],
        "threshold": float(analysis.threshold),
        "events": [_event_to(event) for event in analysis.events],
        "instances": [_instance_to(instance) for instance in analysis.instances],
        "dialogue": [_turn_to(turn) for turn in analysis.dialogue],
        "timings_s": {stage: float(seconds) for stage, seconds in analysis.timings_s.items()},
        "peak_rss_mb": float(analysis.peak_rss_mb),
        "warnings": list(analysis.warnings),
        "stand_ins": dict(analysis.stand_ins),
    }


def to_json(analysis: Analysis) -> str:
    """The text of `analysis.json`. Raises DataError if a number in it is NaN or infinite."""
    try:
        return json.dumps(to_document(analysis), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except ValueError as error:
        raise DataError(
            f"The analysis of {analysis.clip.path} holds a number that is not finite ({error}); "
            "analyse the clip again, and report it with the clip if it happens twice."
        ) from error


def from_json(text: str, source: str = "analysis.json") -> Analysis:
    """Read back what `to_json` wrote; `heatmaps` is None. `source` names the file in errors.

    Raises DataError when the text is not JSON, is of another schema version, or lacks a field.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{source} is not JSON ({error}); write it again with: python -m workbench analyze.") from error
    if not isinstance(document, dict) or "schema_version" not in document:
        raise DataError(f"{source} has no schema_version, so it is not an analysis of the workbench; choose another.")
    if document["schema_version"] != SCHEMA_VERSION:
        raise DataError(
            f"{source} is of schema version {document['schema_version']!r}, this program reads {SCHEMA_VERSION!r}; "
            "analyse the clip again."
        )
    return _read(_analysis_from, document, source)


def save_analysis(analysis: Analysis, path: str | Path) -> None:
    """Write `analysis.json` whole or not at all."""
    text = to_json(analysis)
    with replacing(path) as temporary:
        # Half a character (a file name that is not UTF-8) becomes its escape, which JSON reads back as it was.
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def load_analysis(path: str | Path) -> Analysis:
    """Read an `analysis.json`, with the heatmaps of a `heatmaps.npz` beside it if there is one."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); name an analysis.json that analyze has written.") from error
    analysis = from_json(text, str(path))
    heatmap_path = path.with_name("heatmaps.npz")
    if heatmap_path.exists():
        analysis.heatmaps = load_heatmaps(heatmap_path)
    return analysis


def save_heatmaps(heatmaps: Heatmaps, path: str | Path) -> None:
    """Write `heatmaps.npz`: `frame_index int64 [T]`, `heatmap float16 [T, h, w]` in [0, 1]."""
    with replacing(path) as temporary:
        np.savez_compressed(
            temporary,
            frame_index=np.asarray(heatmaps.frame_index, dtype=np.int64),
            heatmap=np.asarray(heatmaps.heatmap, dtype=np.float16),
        )


def load_heatmaps(path: str | Path) -> Heatmaps:
    """Read `heatmaps.npz`. Raises DataError when it is not one."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Heatmaps(frame_index=arrays["frame_index"], heatmap=arrays["heatmap"])
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise DataError(f"{path} is not a heatmap file ({error}); write it again with analyze --heatmaps.") from error


def _read(build: Callable[[Any], T], value: Any, source: str) -> T:
    try:
        return build(value)
    except KeyError as error:
        raise DataError(f"{source} lacks the field {error}; analyse the clip again.") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{source} holds a value of the wrong kind ({error}); analyse the clip again.") from error


def _floats(values: np.ndarray) -> list[float]:
    """Shortest decimal that gives the same number back in the array's own type: 0.1, not 0.10000000149."""
    array = np.asarray(values)
    if array.dtype == np.float64:
        return array.tolist()
    return [float(str(value)) for value in array]


def _clip_to(clip: ClipInfo) -> dict[str, Any]:
    return {
        "path": clip.path,
        "sha256": clip.sha256,
        "n_frames": int(clip.n_frames),
        "fps": float(clip.fps),
        "duration_s": float(clip.duration_s),
        "width": int(clip.width),
        "height": int(clip.height),
        "variable_rate": bool(clip.variable_rate),
        "rotation": int(clip.rotation),
        "warnings": list(clip.warnings),
    }


def _dense_to(dense: DenseScores) -> dict[str, Any]:
    return {
        "stride": int(dense.stride),
        "frame_index": np.asarray(dense.frame_index).tolist(),
        "time_s": _floats(dense.time_s),
        "score": _floats(dense.score),
        "parts": {name: _floats(part) for name, part in dense.parts.items()},
    }


def _event_to(event: Event) -> dict[str, Any]:
    document: dict[str, Any] = {
        "start_s": float(event.start_s),
        "end_s": float(event.end_s),
        "peak_s": float(event.peak_s),
        "peak_score": float(event.peak_score),
    }
    if event.category is not None:
        document["category"] = event.category
    return document


def _instance_to(instance: Instance) -> dict[str, Any]:
    return {
        "id": int(instance.id),
        "role": instance.role,
        "category": instance.category,
        "appearance": instance.appearance,
        "motion": instance.motion,
        "first_frame": int(instance.first_frame),
        "last_frame": int(instance.last_frame),
        "boxes_xyxy": {str(frame): [float(side) for side in box] for frame, box in instance.boxes_xyxy.items()},
        "masks_rle": {
            str(frame): {"size": [int(side) for side in mask["size"]], "counts": mask["counts"]}
            for frame, mask in instance.masks_rle.items()
        },
    }


def _turn_to(turn: Turn) -> dict[str, Any]:
    evidence = []
    for item in turn.evidence:
        span: dict[str, Any] = {"start_s": float(item.start_s), "end_s": float(item.end_s)}
        if item.instance_id is not None:
            span["instance_id"] = int(item.instance_id)
        evidence.append(span)
    return {"kind": turn.kind, "question": turn.question, "answer": turn.answer, "evidence": evidence}


def _analysis_from(document: dict[str, Any]) -> Analysis:
    clip = dict(document["clip"])
    clip["warnings"] = tuple(clip.get("warnings", ()))
    return Analysis(
        clip=ClipInfo(**clip),
        profile=document["profile"],
        adapter=document["adapter"],
        dense=_dense_from(document["dense"]),
        frame_score=np.asarray(document["frame_score"], dtype=np.float32),
        sampled_frames=[int(frame) for frame in document["sampled_frames"]],
        sampler=document["sampler"],
        threshold=float(document["threshold"]),
        events=[Event(**event) for event in document["events"]],
        instances=[_instance_from(instance) for instance in document["instances"]],
        dialogue=[_turn_from(turn) for turn in document["dialogue"]],
        timings_s=dict(document["timings_s"]),
        peak_rss_mb=float(document["peak_rss_mb"]),
        warnings=list(document["warnings"]),
        stand_ins=dict(document.get("stand_ins", {})),  # absent in older files
    )


def _dense_from(document: dict[str, Any]) -> DenseScores:
    return DenseScores(
        stride=int(document["stride"]),
        frame_index=np.asarray(document["frame_index"], dtype=np.int64),
        time_s=np.asarray(document["time_s"], dtype=np.float64),
        score=np.asarray(document["score"], dtype=np.float32),
        parts={name: np.asarray(part, dtype=np.float32) for name, part in document["parts"].items()},
    )


def _instance_from(document: dict[str, Any]) -> Instance:
    values = dict(document)
    values["boxes_xyxy"] = {
        int(frame): (box[0], box[1], box[2], box[3]) for frame, box in document["boxes_xyxy"].items()
    }
    values["masks_rle"] = {
        int(frame): MaskRLE(size=list(mask["size"]), counts=mask["counts"])
        for frame, mask in document["masks_rle"].items()
    }
    return Instance(**values)


def _turn_from(document: dict[str, Any]) -> Turn:
    return Turn(
        kind=document["kind"],
        question=document["question"],
        answer=document["answer"],
        evidence=tuple(Evidence(**span) for span in document["evidence"]),
    )
