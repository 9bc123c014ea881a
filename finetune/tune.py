"""From corrections to an adapter with a verdict: freeze, train, assemble, measure before and after, register.

    RUN/job.json        what was asked for            RUN/snapshot.json   the frozen data set
    RUN/progress.jsonl  how it goes, line by line     RUN/samples.jsonl   the exact frames of every sample
    RUN/adapter/        what was learned              RUN/gate.json       before and after, and the verdict

Killed at any moment, the same command goes on where it was. Under a launcher the processes share the training; the
first one prepares, writes and measures.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune import replay as replays
from finetune.agreement import agreements
from finetune.assemble import assemble, code_version
from finetune.before_after import What, held_out, measure, names_in
from finetune.components import COMPONENTS, Learned, Tuning, Workshop
from finetune.dense import Eye
from finetune.errors import TrainingError
from finetune.gate import MARGIN, Verdict, compare, judge
from finetune.guard import Progress, told_in_words
from finetune.launch import is_first, meet, own_device, patient_join
from finetune.registry import Registry, check_fits
from finetune.snapshot import HOLD_OUT_SHARE, Side, Snapshot, check_files, freeze, load_snapshot
from finetune.sources import Found
from finetune.teaching import teachable
from workbench.adapters import AdapterInfo, apply
from workbench.files import replacing
from workbench.stack.loading import ModelStack


@dataclass(frozen=True, slots=True)
class Job:
    """What a run is asked to do.

    Attributes:
        components: which of `COMPONENTS`. profile: of the stack.
        parent: name of the adapter to go on from; None for the profile as it is.
        replay: "street", "none", or a folder of clips. replay_share: of each batch.
        hold_out: share of the new clips kept for the gate. bundled: scenes of the bundled hold-out.
        margin: of forgetting. seed: of everything random. steps: of each recipe, None for its own number.
    """

    components: tuple[str, ...]
    profile: str = "bundled"
    parent: str | None = None
    replay: str = "street"
    replay_share: float = 0.5
    hold_out: float = HOLD_OUT_SHARE
    bundled: int = 24
    margin: float = MARGIN
    seed: int = 0
    steps: int | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.components if name not in COMPONENTS]
        if unknown or not self.components:
            known = ", ".join(COMPONENTS)
            raise TrainingError(f"Nothing called {', '.join(unknown) or '(nothing)'} can be trained; name {known}.")
        if self.bundled < 0 or self.seed < 0:
            raise TrainingError(f"Bundled scenes ({self.bundled}) and seed ({self.seed}) must not be negative.")
        if not 0 <= self.margin <= 1:
            raise TrainingError(f"The margin of forgetting is {self.margin}; it lies between 0 and 1.")


class Run:
    """One run in its folder.

    Args:
        collect: finds the new clips, the first time; later the snapshot speaks.
        load: loads the stack of the job's profile, without adapters.
        tuning: numbers of the recipes. cache: of features; the usual one if None.
    """

    def __init__(
        self,
        folder: Path,
        job: Job,
        collect: Callable[[], Found],
        registry: Registry,
        *,
        tuning: Tuning | None = None,
        load: Callable[[], ModelStack] | None = None,
        cache: Path | None = None,
    ) -> None:
        self.folder, self.job, self.collect, self.registry, self.cache = folder, job, collect, registry, cache
        self.load = load or (lambda: ModelStack.load(job.profile, device=own_device(None)))
        self.tuning = (tuning or Tuning()).seeded(job.seed)
        self.progress = Progress(folder / "progress.jsonl")
        self.taught: tuple[str, ...] = job.components
        """Those of the components that the clips can teach."""

    def run(self) -> tuple[AdapterInfo, Verdict] | None:
        """Everything; None in processes that only helped.

        Raises:
            WorkbenchError: the data, the parent or the machine do not allow it; nothing else is overwritten.
        """
        patient_join()
        with told_in_words(self.folder):
            self._same_job()
            try:
                return self._run()
            except BaseException as error:
                self.progress.tell("failed", error=str(error) or type(error).__name__)
                raise

    def _run(self) -> tuple[AdapterInfo, Verdict] | None:
        parent = self._parent()
        snapshot = self._snapshot()
        self.taught, left_out = teachable(self.job.components, snapshot.of("train"))
        self.progress.tell("start", components=list(self.taught), **snapshot.summary())
        stack = self.load()
        if parent is not None:
            apply(stack, parent)
        shop = Workshop(
            *(stack, lambda: self.load().backbone, parent, snapshot, self.tuning, self.folder, self.progress),
            seed=self.job.seed,
            cache=self.cache,
        )
        learned = shop.train(self.taught)
        if not is_first():
            meet()
            return None
        _write_lines(self.folder / "samples.jsonl", shop.samples)
        info = self._assemble(learned, stack, snapshot, parent)
        verdict = self._measure(stack, info, snapshot, left_out)
        lineage = {**info.lineage, "gate": verdict.to_document()}
        info = self.registry.add(info.folder, dataclasses.replace(info, lineage=lineage))
        self.progress.tell("done", adapter=info.name, adopt=verdict.adopt, reasons=list(verdict.reasons))
        meet()
        return info, verdict

    # -- data -------------------------------------------------------------------------------------------------------

    def _same_job(self) -> None:
        """Refuse to go on with another job in a folder that holds one, or to repeat one that is done."""
        path, wanted = self.folder / "job.json", json.loads(json.dumps(dataclasses.asdict(self.job)))
        if path.exists() and (found := json.loads(path.read_text())) != wanted:
            differs = ", ".join(sorted(key for key in wanted if found.get(key) != wanted[key]))
            raise TrainingError(f"{self.folder} holds another run (it differs in {differs}); choose another folder.")
        if is_first():
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(wanted, indent=2) + "\n")
        if (done := _adapter_of(self.folder)) is not None:
            raise TrainingError(f"The run in {self.folder} is done, its adapter is {done}; choose another folder.")

    def _parent(self) -> AdapterInfo | None:
        if self.job.parent is None:
            return None
        info = self.registry.get(self.job.parent)
        check_fits(info, self.job.profile)
        return info

    def _snapshot(self) -> Snapshot:
        """The frozen data of this run: the first process freezes them, the others read."""
        path = self.folder / "snapshot.json"
        if is_first() and not path.exists():
            found = self.collect()
            extra = self._replay(len(found.clips))
            freeze(
                found.clips,
                replay=extra.clips,
                replay_share=self.job.replay_share,
                hold_out=self.job.hold_out,
                earlier={**self._earlier_sides(), **dict(extra.sides)},
                left_out=found.left_out,
            ).save(path)
        meet()
        snapshot = load_snapshot(path)
        check_files(snapshot)
        return snapshot

    def _replay(self, n_new: int) -> replays.Replay:
        """What is replayed, and whatever that is, the bundled hold-out: what was forgotten shows there."""
        share = self.job.replay_share if self.job.replay == "street" else 0.0
        street = replays.street(n_new, share, self.job.bundled, tell=self.progress.count)
        if self.job.replay in ("street", "none"):
            return street
        given = replays.from_clips(Path(self.job.replay))
        return replays.Replay((*given.clips, *street.clips), (*given.sides, *street.sides))

    def _earlier_sides(self) -> dict[str, Side]:
        """Sides that clips had in the runs of the registry: what was tested on once is never trained on."""
        sides: dict[str, Side] = {}
        for info in self.registry.all():
            sides |= info.lineage.get("dataset", {}).get("sides", {})
        return sides

    # -- results ----------------------------------------------------------------------------------------------------

    def _assemble(
        self, learned: Learned, stack: ModelStack, snapshot: Snapshot, parent: AdapterInfo | None
    ) -> AdapterInfo:
        new = {clip.sha256: snapshot.sides[clip.sha256] for clip in snapshot.clips}
        lineage: dict[str, Any] = {
            "dataset": {"digest": snapshot.digest, "counts": snapshot.summary(), "sides": new},
            "code": code_version(),
            "job": dataclasses.asdict(self.job),
            "parameters": dataclasses.asdict(self.tuning),
            "components": list(self.taught),
        }
        return assemble(
            *(self.folder / "adapter", learned, stack, parent),
            components=self.taught,
            digest=snapshot.digest,
            lineage=json.loads(json.dumps(lineage)),
        )

    def _measure(self, before: ModelStack, info: AdapterInfo, snapshot: Snapshot, left_out: tuple[str, ...]) -> Verdict:
        """Before and after on the held-out new clips and on the bundled ones, and what the gate says to it.

        It also asks whether the new clips agree with the stack as it was, all of them, for a wrong hold-out hides that.
        """
        after = self.load()
        apply(after, info)
        what = What("chat" in self.taught, "segmenter" in self.taught)
        changes = []
        for clips in (snapshot.of("hold_out"), snapshot.replay_of("hold_out")):
            wanted = [held_out(clip, self.folder / "truth") for clip in clips]
            names = names_in(clips, before)
            cache = self.cache or self.folder / "features"
            old, new = (measure(stack, wanted, names, what, cache, self.progress.count) for stack in (before, after))
            changes.append(compare(old, new))
        said = agreements(Eye(before, self.cache), snapshot.clips, self.progress.count)
        verdict = judge(self.taught, *changes, margin=self.job.margin, agreement=said)
        verdict = dataclasses.replace(verdict, reasons=(*verdict.reasons, *left_out))
        with replacing(self.folder / "gate.json") as temporary:
            temporary.write_text(json.dumps(verdict.to_document(), indent=2) + "\n")
        return verdict


def resumed_parent(folder: Path) -> tuple[str | None] | None:
    """The parent of the run in a folder, None without a run; the active adapter may have changed meanwhile."""
    path = folder / "job.json"
    return (json.loads(path.read_text())["parent"],) if path.exists() else None


def _adapter_of(folder: Path) -> str | None:
    """The adapter that the run in a folder has told of, None before it is done."""
    path = folder / "progress.jsonl"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    done = [line for line in lines if '"stage": "done"' in line and line.endswith("}")]
    return str(json.loads(done[-1])["adapter"]) if done else None


def describe(verdict: Verdict) -> str:
    """The before/after table and the verdict, for a terminal."""
    lines = []
    for title, changes in (("held-out new clips", verdict.new), ("bundled hold-out", verdict.known)):
        lines.append(f"{title}:" if changes else f"{title}: nothing to measure")
        for one in changes:
            interval = "" if one.ci95 is None else "  [{:+.3f}, {:+.3f}]".format(*one.ci95)
            lines.append(
                f"  {one.metric:20} {one.before:.3f} → {one.after:.3f}  {one.gain:+.3f}{interval}  ({one.n_clips})"
            )
    lines.append("Better: it may be adopted." if verdict.adopt else f"Not adopted: {verdict.answer}.")
    return "\n".join([*lines, *(f"  {reason}." for reason in verdict.reasons)])


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
