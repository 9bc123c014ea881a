"""What is known of a clip as it stands: the analysis with the events that people corrected in place of the model's."""

from __future__ import annotations

from dataclasses import replace

from workbench.records import Analysis, Event
from workbench.ui.session import Review


def as_corrected(review: Review) -> Analysis:
    """The analysis of a clip with its events after all corrections; evidence and tracking go by these."""
    analysis, reviewed = review.analysis, review.require_reviewed()
    assert analysis is not None
    events = [
        Event(e.start_s, e.end_s, e.start_s if e.peak_s is None else e.peak_s, e.peak_score or 0.0, e.category)
        for e in reviewed.events
        if e.start_s is not None and e.end_s is not None
    ]
    return replace(analysis, events=sorted(events, key=lambda event: event.start_s))
