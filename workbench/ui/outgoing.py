"""What leaves the page and takes its time: a push to the Hub, and exports for which videos are cut.

Each is a job with progress that can be cancelled. A cancelled one leaves nothing: no file to download, no commit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from workbench.errors import InputError, WorkbenchError
from workbench.ui.runs import Cancelled, Report, Run

if TYPE_CHECKING:
    from workbench.ui.services import Services
    from workbench.ui.session import Session

logger = logging.getLogger(__name__)


class Outgoing:
    """One job: it begins at once, `state` says where it is.

    Args:
        what: what a person calls it. work: gives what the page is told of the result.
        nothing: what has not happened when it was cancelled.
    """

    def __init__(
        self, what: str, work: Callable[[Report], dict[str, Any]], worker: ThreadPoolExecutor, *, nothing: str
    ) -> None:
        self.what, self._nothing = what, nothing
        self._stopping = False
        self._run: Run[dict[str, Any]] = Run(work, worker)

    @property
    def active(self) -> bool:
        """Whether it has not ended yet."""
        return self._run.active

    def stop(self) -> None:
        """End it, unless it is past the point where it can be."""
        self._stopping = True
        self._run.cancel()

    def state(self) -> dict[str, Any]:
        """What the page shows of it: `stage` and `fraction` while it is `active`, then `done`, `told` or `error`."""
        if self.active:
            latest = self._run.latest
            stage = "ending" if self._stopping else latest.stage
            return {"active": True, "what": self.what, "stage": stage, "fraction": latest.fraction}
        ended: dict[str, Any] = {"active": False, "what": self.what}
        try:
            return ended | {"done": self._run.result()}
        except Cancelled:
            return ended | {"told": f"cancelled; {self._nothing}"}
        except WorkbenchError as error:
            return ended | {"error": str(error)}
        except Exception as error:
            logger.exception("%s ended by a fault", self.what)
            return ended | {"error": f"It ended by a fault ({error!r:.120}); {self._nothing}. Try it again."}


def begin(
    services: Services, session: Session, what: str, work: Callable[[Report], dict[str, Any]], *, nothing: str
) -> None:
    """Begin a job. Raises `InputError` while another one runs."""
    running = job_of(services, session)
    if running is not None and running.active:
        raise InputError(f"One thing at a time: {running.what} is under way; cancel that, or wait until it has ended.")
    made = Outgoing(what, work, services.sender, nothing=nothing)
    if services.desk.public:
        session.outgoing = made
    else:
        services.outgoing = made


def job_of(services: Services, session: Session) -> Outgoing | None:
    """The job that a visitor sees: that of everybody, or among strangers their own."""
    return session.outgoing if services.desk.public else services.outgoing


def outgoing_reply(
    services: Services, request: Mapping[str, Any], starts: Mapping[str, Callable[[Session, Mapping[str, Any]], None]]
) -> dict[str, Any]:
    """Carry out `{do: "" | "stop" | a name of starts, …}` for a session. → where its job stands, `{}` without one.

    Raises:
        WorkbenchError: as the starts.
    """
    session = services.sessions.get(str(request.get("sid")))
    start = starts.get(str(request.get("do")))
    if start is not None:
        start(session, request)
    job = job_of(services, session)
    if job is None:
        return {}
    if request.get("do") == "stop":
        job.stop()
    return job.state()
