"""Several people on one clip: a layer each, how far they agree, and taking over what another has found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from workbench.corrections import clips, history, log
from workbench.corrections.log import MAIN, Change
from workbench.corrections.store import Store
from workbench.errors import InputError, StoreError
from workbench.masks import decode_rle
from workbench.records import Instance, ReviewedClip, SubjectKind

Span = tuple[float, float]
NORMAL = "normal"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two layers agree, each in [0, 1] (kappa in [-1, 1]); None where there is nothing to compare.

    event_iou: temporal IoU of all events together. mask_iou: mean over the frames in which either has a mask.
    kappa: Cohen's kappa of the category at each of 100 moments spread over the clip.
    """

    event_iou: float | None
    mask_iou: float | None
    kappa: float | None


def list_layers(store: Store, clip: int) -> list[str]:
    """Layers that somebody has begun, the main one first."""
    with store.reading() as db:
        rows = db.conn.execute("SELECT DISTINCT layer FROM history WHERE clip_id = ?", [clip]).fetchall()
    return sorted((layer for (layer,) in rows), key=lambda name: (name != MAIN, name))


def check_layer(store: Store, layer: str) -> None:
    """Refuse a layer that nobody has begun on any clip: a mistyped name would look like the main one.

    Raises:
        StoreError: nobody has; the sentence names those there are.
    """
    with store.reading() as db:
        known = [MAIN, *(name for (name,) in db.conn.execute("SELECT DISTINCT layer FROM history") if name != MAIN)]
    if layer not in known:
        raise StoreError(f"Nobody has begun a layer {layer!r:.80} in {store.path}; name one of: {', '.join(known)}.")


def adopt(
    store: Store,
    clip: int,
    subject: SubjectKind,
    subject_id: str,
    *,
    source: str,
    target: str = MAIN,
    annotator: str,
    seen: int | None = None,
    reason: str | None = None,
) -> int:
    """Take over a subject as it stands in another layer (its captioned clips too), as one step. → new revision.

    Raises:
        StoreError: the layer has no such subject; or as `history.save`.
    """
    with store.reading() as db:
        found = {(kind, i): document for kind, i, document in log.load_documents(db, clip, source)}
        base = target if clips.has_layer(db, clip, target) else MAIN
        own = {(kind, i): document for kind, i, document in log.load_documents(db, clip, base)}
    if (subject, subject_id) not in found:
        raise StoreError(f"The layer {source!r} has no {subject} {subject_id} to adopt; choose one that it has.")
    wanted = {(subject, subject_id)}
    wanted |= {key for key, document in found.items() if key[0] == "caption" and document["event"] == subject_id}
    changes: list[Change] = []
    for kind, item in sorted(wanted, key=lambda key: key[0] != "event"):
        document, old = found[(kind, item)], own.get((kind, item))
        if old is None:
            changes.append(Change(kind, item, "", document))
            continue
        fields = [name for name in document if name not in ("editors", "position", "provenance")]
        changes += [Change(kind, item, name, document[name]) for name in fields if document[name] != old.get(name)]
    why = reason or f"adopted from {source}"
    return history.save(store, clip, changes, annotator=annotator, seen=seen, layer=target, reason=why, action="adopt")


def agreement(a: ReviewedClip, b: ReviewedClip) -> Agreement:
    """How far two views of the same clip agree."""
    duration = a.clip.duration_s or max([*(end for _, end in [*_spans(a), *_spans(b)]), 0.0])
    moments = (np.arange(100) + 0.5) / 100 * duration
    kappa = cohens_kappa([category_at(a, t) for t in moments], [category_at(b, t) for t in moments])
    return Agreement(temporal_iou(_spans(a), _spans(b)), _all_masks_iou(a, b), kappa)


def temporal_iou(a: Sequence[Span], b: Sequence[Span]) -> float | None:
    """Time that both sets of spans cover over the time that either does; overlaps within a set count once.

    None when neither covers any time.
    """
    edges = sorted({edge for span in [*a, *b] for edge in span})
    both = either = 0.0
    for start, end in pairwise(edges):
        middle = (start + end) / 2
        in_a = any(s <= middle <= e for s, e in a)
        in_b = any(s <= middle <= e for s, e in b)
        both += (end - start) * (in_a and in_b)
        either += (end - start) * (in_a or in_b)
    return both / either if either else None


def mask_iou(a: Instance, b: Instance) -> float | None:
    """Mean IoU over the frames in which either instance has a mask (one that has none there counts 0).

    Raises:
        InputError: the masks are of different sizes.
    """
    values = []
    for frame in sorted({*a.masks_rle, *b.masks_rle}):
        if frame not in a.masks_rle or frame not in b.masks_rle:
            values.append(0.0)
            continue
        first, second = decode_rle(a.masks_rle[frame]), decode_rle(b.masks_rle[frame])
        if first.shape != second.shape:
            raise InputError(f"Masks of frame {frame} differ in size: {first.shape} and {second.shape}.")
        either = np.count_nonzero(first | second)
        values.append(np.count_nonzero(first & second) / either if either else 1.0)
    return float(np.mean(values)) if values else None


def cohens_kappa(a: Sequence[str], b: Sequence[str]) -> float | None:
    """Cohen's kappa (1960): (p_o - p_e) / (1 - p_e), agreement beyond what chance gives.

    1 when both always say the same one word (there is nothing that chance could spoil); None for no judgements.

    Raises:
        InputError: the two have not judged the same number of things.
    """
    if len(a) != len(b):
        raise InputError(f"Kappa needs as many judgements of one as of the other, not {len(a)} and {len(b)}.")
    if not a:
        return None
    n = len(a)
    observed = sum(x == y for x, y in zip(a, b, strict=True)) / n
    count_a, count_b = Counter(a), Counter(b)
    expected = sum(count_a[name] * count_b[name] for name in count_a) / n**2
    return 1.0 if expected == 1 else (observed - expected) / (1 - expected)


def category_at(reviewed: ReviewedClip, time_s: float) -> str:
    """Category of the event at a moment, `abnormal` if it has none, `normal` where there is no event."""
    for event in reviewed.events:
        if event.start_s is not None and event.end_s is not None and event.start_s <= time_s <= event.end_s:
            return event.category or "abnormal"
    return NORMAL


def _spans(reviewed: ReviewedClip) -> list[Span]:
    events = reviewed.events
    return [(e.start_s, e.end_s) for e in events if e.start_s is not None and e.end_s is not None]


def _all_masks_iou(a: ReviewedClip, b: ReviewedClip) -> float | None:
    first = {item.id: item.instance for item in a.instances}
    second = {item.id: item.instance for item in b.instances}
    values = [mask_iou(first[i], second[i]) for i in sorted(first.keys() & second.keys())]
    known = [value for value in values if value is not None]
    known += [0.0] * len(first.keys() ^ second.keys())
    return float(np.mean(known)) if known else None
