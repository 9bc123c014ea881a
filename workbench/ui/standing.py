"""What is known of a clip as it stands: the analysis with the events that people corrected in place of the model's."""

from __future__ import annotations

from dataclasses import replace

from workbench.records import Analysis, Event
from workbench.ui.editing import peak_in
from workbench.ui.session import Review


def as_corrected(review: Review) -> Analysis:
    """The analysis of a clip with its events after all corrections; evidence and tracking go by these.

    The peak of an event that a person made is where the score is highest within it.
    """
    analysis, reviewed = review.analysis, review.require_reviewed()
    assert analysis is not None
    events = []
    for event in reviewed.events:
        if event.start_s is None or event.end_s is None:
            continue
        if event.peak_s is None or event.peak_score is None:
            peak = peak_in(analysis, event.start_s, event.end_s)
        else:
            peak = event.peak_s, event.peak_score
        events.append(Event(event.start_s, event.end_s, *peak, event.category))
    return replace(analysis, events=sorted(events, key=lambda event: event.start_s))
