"""Which model stacks a visitor can choose, and those that are loaded. No Gradio here.

A choice is a profile, with an adapter of the folder that `python -m finetune` writes to or without. Choosing never
fetches: a profile whose weights are not on this machine says how to get them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.adapters import ADAPTER_FILE, AdapterInfo, read_adapter
from workbench.errors import StackError, WorkbenchError
from workbench.profiles import PROFILES, StackProfile, get_profile

if TYPE_CHECKING:
    from workbench.stack.loading import ModelStack

KEPT = 2  # loaded at once: the one everybody starts with and the one somebody tries


@dataclass(frozen=True)
class Choice:
    """A profile by name, and the name of an adapter or None."""

    profile: str
    adapter: str | None = None


@dataclass(frozen=True)
class Option:
    """One line to choose from: `lacking` says what to do where the weights are not on this machine."""

    choice: Choice
    title: str
    note: str
    lacking: str = ""


def lacking(profile: StackProfile) -> str:
    """What to do before a profile can be used; empty if its weights are on this machine. Looks at the disk only."""
    from workbench.stack.sources import absent

    if not absent(profile):
        return ""
    return f"not on this machine, {profile.download_gb:g} GB: python -m workbench fetch {profile.name}"


class Stacks:
    """The stacks that are loaded, each once for all visitors; the ones longest unused go.

    Args:
        first: what everybody starts with; loaded at once, in the background.
        load: makes the stack of a choice, given the folder of its adapter or None; by default as its profile says.
        folder: of the adapters, where training puts them.
        wait: load the first in the thread that builds this, instead of in the background.
    """

    def __init__(
        self,
        first: Choice,
        *,
        folder: Path,
        device: str | None = None,
        load: Callable[[StackProfile, Path | None], ModelStack] | None = None,
        wait: bool = False,
    ) -> None:
        self.first = first
        self.folder = folder
        self._device = device
        self._load = load or self._as_profile_says
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, "load")
        self._loaded: OrderedDict[Choice, Future[ModelStack]] = OrderedDict()
        if wait:
            self._loaded[first] = self._loaded_here(first)
        self._begun(first)

    def get(self, choice: Choice | None = None) -> ModelStack:
        """The stack of a choice (None: the first); waits while it loads. Raises `StackError` when it cannot be."""
        choice = choice or self.first
        future = self._begun(choice)
        try:
            return future.result()
        except WorkbenchError:
            with self._lock:  # the next try looks again, unless nothing but this one is there to be tried
                if choice != self.first and self._loaded.get(choice) is future:
                    del self._loaded[choice]
            raise

    def begin_with(self, first: Choice) -> None:
        """From now on everybody starts with this choice; it is loaded in the background."""
        self.first = first
        self._begun(first)

    def parts_of(self, choice: Choice) -> tuple[StackProfile, Path | None]:
        """The profile of a choice and the folder of its adapter. Raises `StackError` when that is gone."""
        row = get_profile(choice.profile)
        return row, self._adapter(row, choice.adapter) if choice.adapter else None

    def is_loaded(self, choice: Choice) -> bool:
        """Whether a stack is there at once."""
        with self._lock:
            future = self._loaded.get(choice)
        return future is not None and future.done()

    def check(self, profile: object, adapter: object = None) -> Choice:
        """The choice that a page means.

        Raises:
            ProfileError: no such profile. StackError: its weights are not on this machine, or no such adapter fits.
        """
        row = get_profile(str(profile))
        if missing := lacking(row):
            raise StackError(f"{row.title} is {missing}. Nothing is fetched unless you ask for it that way.")
        if adapter is None or adapter == "":
            return Choice(row.name)
        self._adapter(row, str(adapter))
        return Choice(row.name, str(adapter))

    def renew(self, first: Choice) -> None:
        """Everybody starts with another choice from now on, loaded anew even if it was: its files may have changed."""
        with self._lock:
            self.first = first
            self._loaded.pop(first, None)
        self._begun(first)

    def options(self) -> list[Option]:
        """Every profile, each followed by the adapters that fit it."""
        adapters, broken = self._adapters()
        found = []
        for row in PROFILES.values():
            missing = lacking(row)
            found.append(Option(Choice(row.name), row.title, row.note, missing))
            for info in adapters:
                if info.profile == row.name:
                    parts = f"{row.title} with what was learned from corrections: {', '.join(info.parts)}"
                    found.append(Option(Choice(row.name, info.name), f"adapter {info.name}", parts, missing))
        return found + [Option(Choice("", name), f"adapter {name}", "", why) for name, why in broken.items()]

    def close(self) -> None:
        """End loading."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _begun(self, choice: Choice) -> Future[ModelStack]:
        with self._lock:
            if choice not in self._loaded:
                self._loaded[choice] = self._worker.submit(self._load, *self.parts_of(choice))
            self._loaded.move_to_end(choice)
            while len(self._loaded) > KEPT:
                self._loaded.popitem(last=False)
            return self._loaded[choice]

    def _loaded_here(self, choice: Choice) -> Future[ModelStack]:
        future: Future[ModelStack] = Future()
        try:
            future.set_result(self._load(*self.parts_of(choice)))
        except WorkbenchError as error:  # told when somebody asks for the stack, as if it had come in the background
            future.set_exception(error)
        return future

    def _as_profile_says(self, row: StackProfile, adapter: Path | None) -> ModelStack:
        from workbench.stack.loading import ModelStack

        return ModelStack.load(row, device=self._device, adapter=adapter)

    def _adapter(self, row: StackProfile, name: str) -> Path:
        for info in self._adapters()[0]:
            if info.name == name:
                info.check_profile(row.name)
                return info.folder
        raise StackError(f"There is no adapter '{name}' in {self.folder.name} any more; choose another one.")

    def _adapters(self) -> tuple[list[AdapterInfo], dict[str, str]]:
        """Those that can be read, oldest first, and why others cannot, by folder."""
        found, broken = [], {}
        for path in sorted(self.folder.glob(f"[!.]*/{ADAPTER_FILE}")):
            try:
                found.append(read_adapter(path.parent))
            except WorkbenchError as error:
                broken[path.parent.name] = str(error)
        return sorted(found, key=lambda info: (info.made_at, info.name)), broken
