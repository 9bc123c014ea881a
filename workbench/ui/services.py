"""What the page asks of the library: open a clip, analyse it, find instances, hold a dialogue, keep what was found.

Built once in `app.py`. The model stack is loaded in the background, so that the page is there at once.
"""

from __future__ import annotations

import getpass
import json
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from workbench import training
from workbench.corrections.place import adapters_dir
from workbench.errors import StackError, WorkbenchError
from workbench.job_queue import JobQueue
from workbench.jobs import Job
from workbench.profiles import ASSETS, StackProfile, get_profile
from workbench.records import Analysis, Instance
from workbench.ui.desk import Desk
from workbench.ui.runs import Report, Run
from workbench.ui.session import Review, Session, SessionTable
from workbench.ui.stacks import Choice, Stacks

if TYPE_CHECKING:
    from workbench.conversation import Conversation
    from workbench.stack.loading import ModelStack
    from workbench.ui.annotating import AnnotationJob

REMEMBERED = 8  # analyses kept in memory, so that a reload or a second look costs nothing
T = TypeVar("T")
PLAYABLE = {"mov,mp4,m4a,3gp,3g2,mj2": {"h264", "av1"}, "matroska,webm": {"vp8", "vp9", "av1"}}


class Services:
    """Everything behind the page: the stack of `profile`, the sessions, the worker, the store, a folder for caches."""

    def __init__(
        self,
        profile: str = "bundled",
        *,
        work_dir: Path | None = None,
        samples_dir: Path | None = None,
        device: str | None = None,
        load: Callable[[str | None], ModelStack] | None = None,
        store: Path | None = None,
        annotator: str | None = None,
        public: bool = False,
    ) -> None:
        """`load` makes the stack for a device; by default that of `profile`.

        Args:
            store: the SQLite file of corrections; one in the work folder if None.
            annotator: whose name the history bears until they give another; the system's user if None.
            public: strangers share the page: each has a layer of their own and sees only clips they opened.

        Raises:
            StoreError: the store cannot be opened. ProfileError: there is no such profile.
        """
        row = get_profile(profile)
        self._owns_work_dir = work_dir is None
        self._features_dir = None if work_dir is None else work_dir / "features"  # None: the user's own cache
        self.work_dir = work_dir or Path(tempfile.mkdtemp(prefix="workbench-"))
        self.samples_dir = samples_dir or ASSETS / "samples"
        self.desk = Desk(store or self.work_dir / "corrections.db", public=public)
        self.adapters_dir = adapters_dir(self.desk.store.path)
        self.adapter_note = ""
        self.training = JobQueue(self.desk.store, self.desk.store.path.with_suffix(".training"), self._training_command)
        self.annotation: AnnotationJob | None = None
        self._counted: tuple[int | None, training.Counts] | None = None
        self._annotator = annotator or _user_name()
        self._known: OrderedDict[tuple[str, str, str], Analysis] = OrderedDict()
        self._known_lock = threading.Lock()
        self.sessions = SessionTable()
        self._worker = ThreadPoolExecutor(1, "stack")
        self._media = ThreadPoolExecutor(1, "media")
        given = None if load is None else (lambda _row, _adapter: load(device))
        self.stacks = Stacks(self._in_use(row.name), device=device, load=given, folder=self.adapters_dir)

    def stack(self, choice: Choice | None = None) -> ModelStack:
        """The model stack of a choice, or the first; waits while it loads. Raises `StackError` when it cannot be."""
        return self.stacks.get(choice)

    def profile_of(self, choice: Choice | None) -> StackProfile:
        """The profile of a choice, or the first."""
        return get_profile((choice or self.stacks.first).profile)

    def reload(self) -> None:
        """Begin with the adapter that is in use now; work that comes later waits until it is loaded."""
        self.stacks.begin_with(self._in_use(self.stacks.first.profile))

    def _in_use(self, profile: str) -> Choice:
        """The profile with the adapter in use; as it is, with a note, where that adapter cannot be used."""
        try:
            info = training.active_adapter(self.adapters_dir, profile)
        except StackError as error:
            self.adapter_note = str(error)
            return Choice(profile)
        self.adapter_note = ""
        return Choice(profile, None if info is None else info.name)

    def _training_command(self, job: Job, run: Path) -> list[str]:
        request = training.Request.of(job.request)
        return request.command(
            store=self.desk.store.path.resolve(), run=run.resolve(), registry=self.adapters_dir.resolve()
        )

    def active_adapter(self) -> str | None:
        """The adapter that the registry says is in use; None where there is none, or it cannot be told."""
        try:
            return training.active_name(self.adapters_dir)
        except StackError:
            return None

    def counts(self) -> training.Counts:
        """What the store has to learn from; counted again only after a change."""
        with self.desk.store.reading() as db:
            head = db.conn.execute("SELECT max(seq) FROM history").fetchone()[0]
        if self._counted is None or self._counted[0] != head:
            self._counted = head, training.count_data(self.desk.store)
        return self._counted[1]

    def lacks(self, part: str) -> bool:
        """Whether the first stack has no trained part of that name; False while it loads, or where it cannot be."""
        if not self.stacks.is_loaded(self.stacks.first):
            return False
        try:
            return getattr(self.stack(), part) is None
        except WorkbenchError:
            return False

    def stack_line(self, choice: Choice | None = None) -> str:
        """What the page says of a stack: title, adapter, device. Waits while it loads."""
        try:
            stack = self.stack(choice)
        except WorkbenchError as error:
            return f"{self.profile_of(choice).title} is not usable: {error}"
        adapter = f"adapter {stack.adapter}" if stack.adapter else ""
        if self.adapter_note and (choice or self.stacks.first) == self.stacks.first:
            adapter = "its adapter cannot be used"
        untrained = ", ".join(f"{part}: {text}" for part, text in stack.stand_ins.items())
        stand_ins = f"not trained for it, instead {untrained}" if untrained else ""
        return " · ".join(filter(None, [stack.profile.title, adapter, device_name(stack), stand_ins]))

    def new_session(self) -> Session:
        """A session for a visitor who has just come; strangers get a name nobody else has."""
        session = self.sessions.create()
        session.annotator = self.desk.annotator(f"guest {session.id[:8]}" if self.desk.public else self._annotator)
        return session

    def open_review(self, path: str | Path, name: str | None = None) -> Review:
        """Open a clip, with the ground truth beside it when there is one; an upload is kept beside the store.

        Raises:
            ClipError: it cannot be read. StoreError: it cannot be kept.
        """
        from workbench.video import Clip

        path = Path(path)
        clip = Clip.open(path)
        try:
            kept = self.desk.keep(path, clip.info.sha256, self.samples_dir)
            player = kept if plays_in_browser(kept) else None
        except WorkbenchError:
            clip.close()
            raise
        return Review(clip, name or path.name, player, kept, truth=truth_of(path))

    def analyse(self, review: Review, choice: Choice | None = None) -> Run[Analysis]:
        """Start the analysis of a clip, with another stack than its own if one is named.

        The stage and the curve so far come as progress.
        """
        from workbench.analysis import analyse
        from workbench.conversation import name_events

        choice = choice or review.choice

        def work(report: Report) -> Analysis:
            report("loading the model stack", 0.0)
            stack = self.stack(choice)
            known = self._recall(review.clip.info.sha256, stack)
            if known is not None:
                return known
            analysis = analyse(review.clip, stack, progress=report, cache_dir=self._features_dir)
            report("naming the events", 0.0)
            name_events(stack, analysis)
            self._remember(analysis, stack)
            return analysis

        return Run(work, self._worker)

    def _recall(self, sha256: str, stack: ModelStack) -> Analysis | None:
        """A copy for one review of what was analysed before; instances and dialogue are the store's business."""
        with self._known_lock:
            known = self._known.get((sha256, stack.profile.name, stack.adapter or ""))
        return None if known is None else replace(known, events=list(known.events), instances=[], dialogue=[])

    def _remember(self, analysis: Analysis, stack: ModelStack) -> None:
        kept = replace(analysis, events=list(analysis.events), instances=[], dialogue=[])
        with self._known_lock:
            self._known[(analysis.clip.sha256, stack.profile.name, stack.adapter or "")] = kept
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    def start(self, work: Callable[[Report], T]) -> Run[T]:
        """Start other work of the stack; it waits its turn in the worker."""
        return Run(work, self._worker)

    def find_instances(self, review: Review, analysis: Analysis) -> Run[list[Instance]]:
        """Start looking for who takes part in the events of an analysed clip."""
        from workbench.instances import find_instances

        return Run(
            lambda report: find_instances(review.clip, self.stack(review.choice), analysis, report), self._worker
        )

    def conversation(self, session: Session) -> Conversation:
        """The dialogue about the session's clip, begun when it is first needed."""
        from workbench.conversation import Conversation

        analysis, review = session.require_analysis(), session.require_review()
        if review.conversation is None:
            review.conversation = Conversation(self.stack(review.choice), analysis)
        return review.conversation

    def make_player_file(self, review: Review) -> Run[Path]:
        """Start making the h264 copy that stands in for a clip the browser cannot play; made once per content."""

        def work(report: Report) -> Path:
            from workbench.render import transcode_proxy

            proxy = self.proxies_dir / f"{review.clip.info.sha256}.mp4"
            if not proxy.exists():
                proxy.parent.mkdir(parents=True, exist_ok=True)
                transcode_proxy(review.clip, proxy, lambda done: report("making a copy the browser can play", done))
            return proxy

        return Run(work, self._media)

    @property
    def features_dir(self) -> Path | None:
        """Where features of clips are kept; None: in the user's own cache."""
        return self._features_dir

    @property
    def runs_dir(self) -> Path:
        """Where training runs that the page starts have their folders: beside the store."""
        return self.desk.store.path.with_suffix(".training")

    @property
    def exports_dir(self) -> Path:
        """Where exports that were asked for by programs are written."""
        return self.work_dir / "exports"

    @property
    def proxies_dir(self) -> Path:
        """Where browser-playable copies are kept."""
        return self.work_dir / "proxies"

    def close(self) -> None:
        """End all work and remove the work folder if it was made here."""
        if self.annotation is not None:
            self.annotation.stop()
        self.sessions.close()
        self.training.close(end_runs=self._owns_work_dir and self.desk.store.path.is_relative_to(self.work_dir))
        self.desk.close()
        self.stacks.close()
        for pool in (self._worker, self._media):
            pool.shutdown(wait=False, cancel_futures=True)
        if self._owns_work_dir:
            shutil.rmtree(self.work_dir, ignore_errors=True)


def device_name(stack: ModelStack) -> str:
    """The device in a person's words."""
    return "CPU" if stack.device.type == "cpu" else f"GPU ({stack.device})"


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "analyst"


def plays_in_browser(path: Path) -> bool:
    """Whether every browser decodes this container and codec."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = next(iter(container.streams.video), None)
            codec = stream.codec_context.name if stream else ""
            pixels = stream.codec_context.pix_fmt if stream else ""
            return codec in PLAYABLE.get(container.format.name, set()) and pixels in {"yuv420p", "yuvj420p"}
    except av.FFmpegError as error:
        raise StackError(f"{path.name} was moved while it was on the page; upload it again.") from error


def truth_of(path: Path) -> list[tuple[float, float, str]]:
    """Ground-truth events `(start_s, end_s, category)` written beside a sample clip; empty when there are none."""
    beside = [path.with_suffix(".json"), path.parent.parent / "truth" / f"{path.stem}.json"]
    document = next((json.loads(p.read_text("utf-8")) for p in beside if p.is_file()), None)
    if not document:
        return []
    fps = float(document["fps"])
    return [(e["start_frame"] / fps, e["end_frame"] / fps, str(e["category"])) for e in document.get("events", [])]
