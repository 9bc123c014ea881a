"""What the page asks of the library: open a clip, analyse it, find instances, hold a dialogue, keep what was found.

Built once in `app.py`. The model stack is loaded in the background, so that the page is there at once.
"""

from __future__ import annotations

import getpass
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from workbench import training
from workbench.corrections.place import adapters_dir
from workbench.errors import StackError, WorkbenchError
from workbench.job_queue import JobQueue
from workbench.jobs import Job
from workbench.processes import give_way
from workbench.profiles import ASSETS, StackProfile, get_profile
from workbench.records import Analysis, Instance
from workbench.ui import gpu
from workbench.ui.desk import Desk
from workbench.ui.media import plays_in_browser, truth_of
from workbench.ui.runs import Report, Run
from workbench.ui.session import Review, Session, SessionTable
from workbench.ui.stacks import Choice, Stacks
from workbench.ui.works import Works, with_features

if TYPE_CHECKING:
    from workbench.conversation import Conversation
    from workbench.stack.loading import ModelStack
    from workbench.ui.annotating import AnnotationJob
    from workbench.ui.outgoing import Outgoing
    from workbench.video import Clip

LENT_AT_ONCE = 16  # pieces of work that may each have a GPU lent to it
SENT_AT_ONCE = 4  # pushes and exports with videos
REMEMBERED = 8  # analyses kept in memory, so that a reload or a second look costs nothing
T = TypeVar("T")


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
        # Where GPUs are lent, the work itself is elsewhere and every visitor may have one.
        self._worker = ThreadPoolExecutor(LENT_AT_ONCE if gpu.LENT else 1, "stack")
        self._media = ThreadPoolExecutor(1, "media", initializer=give_way)
        self._sights = ThreadPoolExecutor(1, "sights")
        self.sender = ThreadPoolExecutor(SENT_AT_ONCE, "outgoing")
        self.outgoing: Outgoing | None = None
        given = None if load is None else (lambda _row, _adapter: load(device))
        lending = gpu.load_here if gpu.LENT else None
        self.stacks = Stacks(
            self._in_use(row.name), device=device, load=given or lending, folder=self.adapters_dir, wait=gpu.LENT
        )
        self.works = Works(self.stacks, self._features_dir)
        if gpu.LENT and given is not None:
            gpu.keep_ready(self.stacks.first, self.stack())

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
        self.name(session, f"guest {session.id[:8]}" if self.desk.public else self._annotator)
        return session

    def recognise(self, session: Session, key: str) -> None:
        """Take the visitor for the one whose browser knows this key: their layer, and the clips they have opened."""
        session.key = key
        session.opened = self.sessions.opened_with(key)
        self.name(session, session.annotator.name)

    def name(self, session: Session, name: str) -> None:
        """Let the history bear a name for what this visitor does. Raises `InputError` as `Desk.annotator`."""
        session.annotator = self.desk.annotator(name, session.key or session.id)

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
            clip.close()
            clip = clip.at(kept)  # the upload is cleared away after a day
            player = kept if plays_in_browser(kept) else None
        except WorkbenchError:
            clip.close()
            raise
        return Review(clip, name or path.name, player, kept, truth=truth_of(path))

    def analyse(self, review: Review, choice: Choice | None = None) -> Run[Analysis]:
        """Start the analysis of a clip, with another stack than its own if one is named.

        The stage and the curve so far come as progress.
        """

        def work(report: Report) -> Analysis:
            report("loading the model stack", 0.0)
            job = self.works.analyse(choice or review.choice, review.clip)
            stack = self.stack(job.choice)
            known = self._recall(review.clip, stack)
            if known is not None:
                return known
            analysis = gpu.carry_out(job, self.stack, report)
            analysis = with_features(analysis, review.clip, stack, self._features_dir)
            self._remember(analysis, stack)
            return analysis

        return Run(work, self._worker)

    def _recall(self, clip: Clip, stack: ModelStack) -> Analysis | None:
        """A copy for one review of what was analysed before, of the file as it lies now.

        Instances and dialogue are the store's business.
        """
        with self._known_lock:
            known = self._known.get((clip.info.sha256, stack.profile.name, stack.adapter or ""))
        if known is None:
            return None
        return replace(known, clip=clip.info, events=list(known.events), instances=[], dialogue=[])

    def _remember(self, analysis: Analysis, stack: ModelStack) -> None:
        kept = replace(analysis, events=list(analysis.events), instances=[], dialogue=[])
        with self._known_lock:
            self._known[(analysis.clip.sha256, stack.profile.name, stack.adapter or "")] = kept
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    def run(self, job: gpu.Job) -> Run[Any]:
        """Start a job of the stack; it waits its turn in the worker."""
        return self.start(lambda report: gpu.carry_out(job, self.stack, report))

    def at_once(self, job: gpu.Job) -> Any:
        """Do a short job now, beside whatever the worker does, and wait for it. Raises as `gpu.carry_out`."""
        return gpu.carry_out(job, self.stack, lambda *_: None)

    def start(self, work: Callable[[Report], T]) -> Run[T]:
        """Start other work of the stack; it waits its turn in the worker."""
        return Run(work, self._worker)

    def find_instances(self, review: Review, analysis: Analysis) -> Run[list[Instance]]:
        """Start looking for who takes part in the events of an analysed clip."""
        return self.run(self.works.find_instances(review.choice, review.clip, analysis))

    def conversation(self, session: Session) -> Conversation:
        """The dialogue about the session's clip, begun when it is first needed."""
        analysis, review = session.require_analysis(), session.require_review()
        if review.conversation is None:
            review.conversation = self.new_conversation(review, analysis)
        return review.conversation

    def new_conversation(self, review: Review, analysis: Analysis) -> Conversation:
        """A dialogue about an analysed clip in which nothing was said yet."""
        from workbench.conversation import Conversation
        from workbench.ui.dialogues import LentConversation

        stack = self.stack(review.choice)
        if not gpu.LENT:
            return Conversation(stack, analysis)
        return LentConversation(
            stack, analysis,
            lambda turns, asked: self.run(self.works.answer(review.choice, review.clip, analysis, turns, asked)),
        )  # fmt: skip

    def look_ahead(self, conversation: Conversation) -> None:
        """Have what the next answers may speak of measured while a person reads the first one.

        Where it fails, the answer that needs it measures again and says why. A lent GPU is not taken for this.
        """
        if not gpu.LENT:
            self._sights.submit(conversation.look_ahead)

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
        for job in (self.annotation, self.outgoing):
            if job is not None:
                job.stop()
        self.sessions.close()
        self.training.close(end_runs=self._owns_work_dir and self.desk.store.path.is_relative_to(self.work_dir))
        self.desk.close()
        self.stacks.close()
        for pool in (self._worker, self._media, self._sights, self.sender):
            pool.shutdown(wait=False, cancel_futures=True)
        if self._owns_work_dir:
            shutil.rmtree(self.work_dir, ignore_errors=True)


def device_name(stack: ModelStack) -> str:
    """The device in a person's words."""
    if gpu.LENT:
        return "a GPU lent for each piece of work"
    return "CPU" if stack.device.type == "cpu" else f"GPU ({stack.device})"


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "analyst"
