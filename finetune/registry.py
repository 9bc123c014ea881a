"""The registry of adapters: a folder of them, a pointer to the active one, and how to get back.

    REGISTRY/NAME/               an adapter as `workbench.adapters` reads it; its lineage holds the hashes of its files
    REGISTRY/active.json         {"active": NAME or null, "previous": [NAME or null, …], "decisions": […]}

Adopting and rolling back replace one small file at once, so a reader sees the old adapter or the new one, never half
of each. Only safetensors and JSON enter: a registry can be shared without running anybody's code.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from finetune.errors import TrainingError
from workbench.adapters import AdapterInfo, read_adapter, write_adapter
from workbench.errors import StackError
from workbench.files import replacing

ACTIVE = "active.json"
_ALLOWED = (".safetensors", ".json", ".md")
_NAME = re.compile(r"[\w][\w.\-]{0,80}")


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which adapter is in use (None: the profile as it is), those before it, and who decided so."""

    active: str | None = None
    previous: tuple[str | None, ...] = ()
    decisions: tuple[dict[str, Any], ...] = field(default_factory=tuple)


class Registry:
    """Adapters below a folder. The folder is made when the first one comes."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def add(self, built: Path, info: AdapterInfo) -> AdapterInfo:
        """Take in the parts that lie in `built`, under `info.name`, with the hashes of their files in the lineage.

        Whole or not at all: it is copied beside and moved into place.

        Raises:
            TrainingError: the name is taken or no name, or a file is neither safetensors nor text.
        """
        refuse_code(built)
        if not _NAME.fullmatch(info.name):
            raise TrainingError(f"'{info.name}' is no name for an adapter; use letters, digits, dots and dashes.")
        target = self.folder / info.name
        if target.exists():
            raise TrainingError(f"There is already an adapter '{info.name}' in {self.folder}; choose another name.")
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=self.folder))
        try:
            shutil.copytree(built, partial, dirs_exist_ok=True)
            (partial / "adapter.json").unlink(missing_ok=True)
            lineage = {**info.lineage, "files": file_hashes(partial)}
            write_adapter(_moved(info, partial, lineage))
            partial.chmod(0o755)
            os.replace(partial, target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return read_adapter(target)

    def get(self, name: str) -> AdapterInfo:
        """An adapter of the registry.

        Raises:
            TrainingError: there is none of that name; the sentence lists those there are.
        """
        if not (self.folder / name / "adapter.json").is_file():
            known = ", ".join(info.name for info in self.all()) or "none yet"
            raise TrainingError(f"The registry {self.folder} has no adapter '{name}'; it has: {known}.")
        return read_adapter(self.folder / name)

    def all(self) -> list[AdapterInfo]:
        """All adapters, oldest first."""
        found = [read_adapter(path.parent) for path in self.folder.glob("[!.]*/adapter.json")]
        return sorted(found, key=lambda info: (info.made_at, info.name))

    def lineage(self, name: str) -> Iterator[AdapterInfo]:
        """An adapter, its parent, and so on, as far as the registry knows them."""
        seen: set[str] = set()
        wanted: str | None = name
        while wanted is not None and wanted not in seen:
            seen.add(wanted)
            if not (self.folder / wanted).is_dir():
                return
            info = self.get(wanted)
            yield info
            wanted = info.parent

    def verify(self, name: str) -> list[str]:
        """Files of an adapter that are not what was taken in, a sentence each; empty when all are."""
        info = self.get(name)
        wanted, found = info.lineage.get("files", {}), file_hashes(info.folder)
        found.pop("adapter.json", None)
        changed = [f"{path} was changed." for path in sorted(wanted.keys() & found) if wanted[path] != found[path]]
        missing = [f"{path} is missing." for path in sorted(wanted.keys() - found)]
        return changed + missing + [f"{path} was added." for path in sorted(found.keys() - wanted)]

    # -- the pointer ------------------------------------------------------------------------------------------------

    def pointer(self) -> Pointer:
        """Which adapter is in use."""
        path = self.folder / ACTIVE
        if not path.exists():
            return Pointer()
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            return Pointer(document["active"], tuple(document["previous"]), tuple(document["decisions"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{path} cannot be read ({error!r:.60}); adopt an adapter again.") from error

    def active(self) -> AdapterInfo | None:
        """The adapter in use, None for the profile as it is."""
        name = self.pointer().active
        return None if name is None else self.get(name)

    def activate(self, name: str | None, *, by: str = "", reason: str = "", override: bool = False) -> Pointer:
        """Use an adapter from now on (None: the profile as it is). One step: the pointer file is replaced.

        Raises:
            TrainingError: there is no such adapter, its files were changed, or the gate refused it and nobody
                overrides that with a reason.
        """
        if name is not None:
            wrong = self.verify(name)
            if wrong:
                raise TrainingError(f"The adapter '{name}' is not what was trained: {wrong[0]} Train it again.")
            self._ask_gate(name, override=override, by=by, reason=reason)
        old = self.pointer()
        if name == old.active:
            return old
        return self._point(old, name, (*old.previous, old.active), _decision("adopt", name, by, reason, override))

    def roll_back(self, *, by: str = "", reason: str = "") -> Pointer:
        """Go back to what was in use before the active adapter.

        Raises:
            TrainingError: nothing was in use before.
        """
        old = self.pointer()
        if not old.previous:
            raise TrainingError(f"Nothing was in use before in {self.folder}; there is nothing to go back to.")
        target = old.previous[-1]
        if target is not None:
            self.get(target)
        return self._point(old, target, old.previous[:-1], _decision("roll back", target, by, reason, False))

    def _ask_gate(self, name: str, *, override: bool, by: str, reason: str) -> None:
        verdict = self.get(name).lineage.get("gate")
        if isinstance(verdict, Mapping) and verdict.get("adopt"):
            return
        why = "; ".join(verdict["reasons"]) if isinstance(verdict, Mapping) else "it was never measured"
        if not override:
            raise TrainingError(
                f"The adapter '{name}' is not adopted: {why}. To use it all the same, override with your name and a "
                "reason, which are recorded."
            )
        if not by.strip() or not reason.strip():
            raise TrainingError("Overriding the gate needs your name and a reason; both are recorded.")

    def _point(
        self, old: Pointer, active: str | None, previous: tuple[str | None, ...], decision: dict[str, Any]
    ) -> Pointer:
        new = Pointer(active, previous, (*old.decisions, decision))
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.folder / ACTIVE) as temporary:
            document = {"active": active, "previous": list(previous), "decisions": list(new.decisions)}
            temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        return new


def refuse_code(folder: Path) -> None:
    """Refuse files that could run something when opened.

    Raises:
        TrainingError: a file is neither safetensors nor text.
    """
    odd = sorted(p.name for p in folder.rglob("*") if p.is_file() and p.suffix not in _ALLOWED)
    if odd:
        raise TrainingError(
            f"The adapter in {folder} holds {odd[0]}; only {', '.join(_ALLOWED)} belong there. Save its weights as "
            "safetensors."
        )


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path there."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def check_fits(info: AdapterInfo, profile: str) -> None:
    """Refuse an adapter of another profile as a parent.

    Raises:
        TrainingError: it was made for another one.
    """
    try:
        info.check_profile(profile)
    except StackError as error:
        raise TrainingError(str(error)) from error


def now() -> str:
    """The time as adapters and decisions carry it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _decision(action: str, name: str | None, by: str, reason: str, override: bool) -> dict[str, Any]:
    return {"at": now(), "action": action, "adapter": name, "by": by, "reason": reason, "override": override}


def _moved(info: AdapterInfo, folder: Path, lineage: dict[str, Any]) -> AdapterInfo:
    return AdapterInfo(folder, info.name, info.profile, info.parts, info.made_at, info.parent, lineage)
