"""The annotation engine as a job of the page: one clip or the whole library, with progress, and ended when asked.

Each clip waits its turn in the worker of the stack, so that whoever opens a clip meanwhile is served between two.
Every finished event is in the store; a job that was cancelled, or ended with the program, goes on when begun again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from workbench.annotation import Annotated, Options, clip_numbers
from workbench.errors import InputError, WorkbenchError
from workbench.ui import panels
from workbench.ui.runs import Cancelled, Run
from workbench.ui.toasts import told_without_folder

if TYPE_CHECKING:
    from workbench.ui.services import Services
    from workbench.ui.session import Session

STRANGERS = "On a page that strangers share, texts are written for the open clip only."
STAGES = panels.STAGES | {"captions": "captions of clips", "events": "texts of events", "video": "texts of the video"}
_HERE = Path(__file__).parent


class AnnotationJob:
    """One job: it begins at once, and `state` says where it is."""

    def __init__(self, numbers: Sequence[int], what: str, begin: Callable[[int], Run[Annotated]]) -> None:
        """`begin` starts the work on the clip of a number."""
        self.what = what
        self._numbers, self._begin = list(numbers), begin
        self._done = Annotated()
        self._ended: str | None = None
        self._stop = threading.Event()
        self._run: Run[Annotated] | None = None
        self._place = 0
        self._stage, self._fraction = "waiting", 0.0
        self._thread = threading.Thread(target=self._work, name="annotation", daemon=True)
        self._thread.start()

    @property
    def active(self) -> bool:
        """Whether it has not ended yet."""
        return self._ended is None

    def stop(self) -> None:
        """End it; what is finished stays."""
        self._stop.set()
        if self._run is not None:
            self._run.cancel()

    def state(self) -> dict[str, Any]:
        """What the page shows of it."""
        count = len(self._numbers)
        which = f"clip {min(self._place + 1, count)} of {count}: " if count > 1 else ""
        stage = self._stage.rpartition(": ")[2]
        return {
            "active": self.active, "what": self.what, "stage": which + STAGES.get(stage, stage),
            "fraction": (self._place + min(1.0, self._fraction)) / max(1, count), "place": self._place,
            "told": self._ended, "notes": self._done.notes[:20],
        }  # fmt: skip

    def _work(self) -> None:
        try:
            for place, number in enumerate(self._numbers):
                self._place, self._fraction = place, 0.0
                self._one(number)
            self._end("")
        except Cancelled:
            self._end("cancelled; ")
        except WorkbenchError as error:
            self._end(f"ended early: {error} So far: ")
        except Exception as error:
            self._end(f"ended early by a fault ({error!r:.120}); begin it again to go on. So far: ")
            raise

    def _one(self, number: int) -> None:
        if self._stop.is_set():
            raise Cancelled
        self._run = self._begin(number)
        if self._stop.is_set():  # pressed between the two lines above
            self._run.cancel()
        for step in self._run.updates():
            self._stage, self._fraction = step.stage, step.fraction
        made = self._run.result()
        self._done.clips += made.clips
        self._done.events += made.events
        self._done.texts += made.texts
        self._done.notes += made.notes

    def _end(self, how: str) -> None:
        self._fraction = 1.0
        self._ended = f"{how}{_counted(self._done.texts, 'text')} written on {_counted(self._done.clips, 'clip')}"


def _counted(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'s' * (number != 1)}"


def begin(services: Services, session: Session, request: Mapping[str, Any]) -> None:
    """Begin a job for `{all, again}`.

    Raises:
        InputError: one is running already, no clip is open, or strangers ask for the whole store.
    """
    running = job_of(services, session)
    if running is not None and running.active:
        raise InputError(f"Texts are being written already ({running.what}); cancel that, or wait until it has ended.")
    desk, layer = services.desk, session.annotator.layer
    if request.get("all"):
        if desk.public:
            raise InputError(STRANGERS)
        numbers, what = clip_numbers(desk.store), "all clips"
        if not numbers:
            raise InputError("There is no clip in the store yet; open one first.")
    else:
        review = session.require_review()
        numbers, what = [review.require_reviewed().clip.id], review.name
    options = Options(again=bool(request.get("again")), layer=layer)
    choice = session.choice

    def one(number: int) -> Run[Annotated]:
        return services.run(services.works.annotate(choice, desk.store.path, options, [number]))

    made = AnnotationJob(numbers, what, one)
    if desk.public:
        session.annotation = made
    else:
        services.annotation = made


def job_of(services: Services, session: Session) -> AnnotationJob | None:
    """The job that a visitor sees: that of everybody, or among strangers their own."""
    return session.annotation if services.desk.public else services.annotation


def annotation_reply(services: Services, request: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out `{do: "" | "begin" | "stop", all, again}` for a session. → where its job stands.

    Raises:
        InputError: as `begin`.
    """
    session = services.sessions.get(str(request.get("sid")))
    if request.get("do") == "begin":
        begin(services, session, request)
    job = job_of(services, session)
    if request.get("do") == "stop" and job is not None:
        job.stop()
    return {} if job is None else job.state()


def build_annotation(services: Services, *, whole_library: bool = False) -> gr.HTML:
    """The menu that begins a job and shows it; its value is the session's id. It triggers `written`.

    Args:
        whole_library: begin with “all clips” chosen, as in the library.
    """

    def annotation(request: dict) -> dict[str, Any]:
        try:
            return annotation_reply(services, request)
        except WorkbenchError as error:
            return {"error": told_without_folder(error)}

    template = (_HERE / "annotating.html").read_text("utf-8")
    name = "aw-annotate-all" if whole_library else "aw-annotate"
    library, clip = (" checked", "") if whole_library and not services.desk.public else ("", " checked")
    every = f'<label><input type="radio" name="NAME-of" value="all"{library}>all clips</label>'
    template = template.replace("EVERY", "" if services.desk.public else every).replace("CLIP", clip)
    return gr.HTML(
        value="", html_template=template.replace("NAME", name),
        js_on_load=(_HERE / "annotating.js").read_text("utf-8"), apply_default_css=False,
        server_functions=[annotation], elem_id=name,
    )  # fmt: skip
