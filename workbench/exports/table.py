"""Events as CSV: a row an event, for spreadsheets and scripts.

What it cannot hold: captioned clips, instances and masks, the dialogue, questions, texts about the whole video, and
clips without events (they have no row). Times are seconds with all their digits; an unknown one is an empty cell. A
text that a spreadsheet would take for a formula has an apostrophe before it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from workbench.exports.drafts import full_summary
from workbench.files import replacing
from workbench.records import ReviewedClip

COLUMNS = (
    *("clip", "path", "sha256", "state", "label", "event", "start_s", "end_s", "peak_s", "peak_score", "category"),
    *("judgement", "description", "analysis", "summary", "made_by", "adapter", "edited_by"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what OWASP names under CSV injection
Cell = str | float | None


def write_csv(clips: Iterable[ReviewedClip], out: Path) -> int:
    """Write all events of all clips as UTF-8 CSV (RFC 4180). → how many clips were looked at."""
    count = 0
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for count, reviewed in enumerate(clips, start=1):  # noqa: B007 - counts
            writer.writerows(map(_harmless, row) for row in rows_of(reviewed))
    return count


def _harmless(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def rows_of(reviewed: ReviewedClip) -> Iterator[list[Cell]]:
    """The rows of one clip, in the order of `COLUMNS`."""
    clip = reviewed.clip
    for event in reviewed.events:
        texts, source = event.texts, event.provenance
        yield [
            *(clip.name, clip.path, clip.sha256, reviewed.state, "; ".join(reviewed.label or ())),
            *(event.id, event.start_s, event.end_s, event.peak_s, event.peak_score, event.category),
            *(texts.judgement, texts.description, texts.analysis, full_summary(texts) or None),
            *(f"{source.kind} {source.name}", source.adapter, "; ".join(source.edited_by)),
        ]
