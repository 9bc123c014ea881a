"""Who looks at what: plain state of one visitor, and the bounded table of all visitors.

Gradio's own state keeps only the session id, an unguessable token; decoders, analyses and the cached video
prefix of a conversation stay here, so two visitors cannot mix and a forgotten tab cannot hold memory for ever.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import InputError
from workbench.records import Analysis, Instance, ReviewedClip

if TYPE_CHECKING:
    from workbench.conversation import Conversation
    from workbench.ui.annotating import AnnotationJob
    from workbench.ui.chat import Pending
    from workbench.ui.outgoing import Outgoing
    from workbench.ui.runs import Run
    from workbench.ui.stacks import Choice
    from workbench.video import Clip

MAX_SESSIONS = 32
MAX_VISITORS = 1024
"""Browsers of which is known what they opened."""


@dataclass(frozen=True)
class Annotator:
    """Whose name the history bears, and the layer their corrections go to."""

    name: str
    layer: str = "main"


@dataclass
class Review:
    """One clip under review and everything known of it. `player` is a file the browser can play, once there is one."""

    clip: Clip
    name: str
    player: Path | None
    file: Path | None = None
    """Where the clip lies for good; the upload it came from goes away."""
    key: str = field(default_factory=lambda: secrets.token_hex(6))
    truth: list[tuple[float, float, str]] = field(default_factory=list)
    choice: Choice | None = None
    """The stack that looks at it; None: the one everybody starts with."""
    analysis: Analysis | None = None
    conversation: Conversation | None = None
    pending: Pending | None = None
    """The answer that is being written; all others are in the store."""
    live_turn: str | None = None
    """The id of the last answer that `conversation` gave."""
    stopped: set[str] = field(default_factory=set)
    """Answers that were stopped."""
    writing: threading.RLock = field(default_factory=threading.RLock)
    """Held from a write into the store until `reviewed` shows it: the next one builds on that."""
    reviewed: ReviewedClip | None = None
    """The clip as it stands in the store, with all corrections; None before it is analysed."""

    @property
    def instances(self) -> list[Instance]:
        """The instances found so far; none before the clip is analysed."""
        return self.analysis.instances if self.analysis else []

    def require_reviewed(self) -> ReviewedClip:
        """The clip as it stands in the store. Raises `InputError` before it is analysed."""
        if self.reviewed is None:
            raise InputError("This clip is not analysed yet; wait for the progress bar or analyse it again.")
        return self.reviewed

    def close(self) -> None:
        """Release the decoder."""
        self.clip.close()


@dataclass
class Session:
    """One visitor's tab."""

    id: str
    annotator: Annotator = Annotator("analyst")
    review: Review | None = None
    """The clip on the page."""
    serial: int = 0
    """Counts what the page was told of events, so that telling it the same again is seen as something new."""
    choice: Choice | None = None
    """The stack for clips that are opened from now on; None: the one everybody starts with."""
    opened: set[str] = field(default_factory=set)
    """Content hashes of the clips opened here: all that a visitor among strangers may see of the library."""
    settled: Review | None = None
    """The clip analysed last: where the page returns to when a newer one fails or is cancelled."""
    run: Run[Any] | None = None
    annotation: AnnotationJob | None = None
    """On a page that strangers share: the texts being written for this visitor."""
    outgoing: Outgoing | None = None
    """On a page that strangers share: what is being exported for this visitor."""
    media: Run[Any] | None = None
    """Making a copy for the player, beside other work."""
    stop: threading.Event = field(default_factory=threading.Event)
    answering: threading.Lock = field(default_factory=threading.Lock)
    key: str = ""
    """Among strangers: what this visitor's browser knows and nobody else, so that a reload finds their own layer."""
    last_used_s: float = field(default_factory=time.monotonic)

    def require_review(self) -> Review:
        """The clip under review. Raises `InputError` when there is none."""
        if self.review is None:
            raise InputError("No clip is open; upload one or pick a sample first.")
        return self.review

    def showing(self, request: Mapping[str, Any]) -> Review:
        """The clip under review. Raises `InputError` when it is not the one that a request of the page is about.

        Args:
            request: with the `key` of the clip that the page shows.
        """
        review = self.require_review()
        if request.get("key") != review.key:
            raise InputError("Another clip has come to the page meanwhile.")
        return review

    def require_analysis(self) -> Analysis:
        """The analysis under review. Raises `InputError` when there is none yet."""
        analysis = self.require_review().analysis
        if analysis is None:
            raise InputError("This clip is not analysed yet; wait for the progress bar or analyse it again.")
        return analysis

    def settle(self, review: Review) -> None:
        """End the opening of `review`: analysed, it stays; otherwise the page returns to the clip before.

        A newer clip that came to the page meanwhile is left alone.
        """
        if review.analysis is not None:
            surplus, self.settled = self.settled, review
        else:
            surplus = review
            if self.review is review:
                self.review = self.settled
        if surplus is not None and surplus is not self.review:
            surplus.close()

    def cancel(self) -> None:
        """Ask everything that runs on the clip to end."""
        self.stop.set()
        for run in (self.run, self.media):
            if run is not None:
                run.cancel()

    def close(self) -> None:
        """Cancel what runs and release what is open."""
        self.cancel()
        if self.outgoing is not None:
            self.outgoing.stop()
        for review in (self.review, self.settled):
            if review is not None:
                review.close()
        self.review = self.settled = None


class SessionTable:
    """At most `limit` sessions; the one unused longest goes first."""

    def __init__(self, limit: int = MAX_SESSIONS) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._opened: OrderedDict[str, set[str]] = OrderedDict()

    def create(self) -> Session:
        """A new, empty session under a fresh unguessable id."""
        session = Session(secrets.token_urlsafe(18))
        with self._lock:
            self._sessions[session.id] = session
            surplus = [self._sessions.popitem(last=False)[1] for _ in range(len(self._sessions) - self._limit)]
        for old in surplus:
            old.close()
        return session

    def get(self, session_id: str | None) -> Session:
        """The session of that id. Raises `InputError` when it has been released or never was."""
        with self._lock:
            session = self._sessions.get(session_id or "")
            if session is None:
                raise InputError("This tab was idle for long and its session was released; reload the page.")
            self._sessions.move_to_end(session.id)
        session.last_used_s = time.monotonic()
        return session

    def opened_with(self, key: str) -> set[str]:
        """Hashes of the clips opened under a browser's key, shared by its sessions; a page loaded anew knows them."""
        with self._lock:
            known = self._opened.setdefault(key, set())
            self._opened.move_to_end(key)
            while len(self._opened) > MAX_VISITORS:
                self._opened.popitem(last=False)
        return known

    def drop(self, session_id: str | None) -> None:
        """Close and forget a session; unknown ids are ignored, tabs may be closed twice."""
        with self._lock:
            session = self._sessions.pop(session_id or "", None)
        if session is not None:
            session.close()

    def close(self) -> None:
        """Close every session."""
        with self._lock:
            sessions, self._sessions = list(self._sessions.values()), OrderedDict()
        for session in sessions:
            session.close()

    def __len__(self) -> int:
        return len(self._sessions)
