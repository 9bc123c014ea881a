"""From what a run has learned to an adapter folder, with everything of its parent that was not trained again."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from finetune.components import Learned
from finetune.registry import now
from workbench.adapters import AdapterInfo, write_adapter
from workbench.stack.loading import ModelStack
from workbench.stack.modules import save_module

SOURCES = ("finetune", "workbench")


def assemble(
    folder: Path,
    learned: Learned,
    stack: ModelStack,
    parent: AdapterInfo | None,
    *,
    components: Sequence[str],
    digest: str,
    lineage: dict[str, Any],
) -> AdapterInfo:
    """Write the adapter of a run into `folder` (emptied before).

    Args:
        stack: the one it was trained on; its profile is the only one the adapter fits. digest: of the data set.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("scorer", "heatmap", "regions", "familiarity"):
        module = getattr(learned, name)
        if module is not None:
            # Familiarity tells a centre it has from a new one by more digits than half precision keeps.
            dtype = torch.float32 if name == "familiarity" else torch.float16
            save_module(module, module.config, folder / name, dtype=dtype)
    if learned.lora is not None:
        shutil.copytree(learned.lora, folder / "lora")
    if learned.segmenter is not None:
        (folder / "segmenter").mkdir()
        for name in ("config.json", "model.safetensors"):
            shutil.copyfile(learned.segmenter / name, folder / "segmenter" / name)
    parts = [path.name for path in folder.iterdir()]
    if parent is not None:
        for part in parent.parts:
            source = parent.path(part)
            if part in parts or source is None:
                continue
            shutil.copytree(source, folder / part) if source.is_dir() else shutil.copyfile(source, folder / source.name)
            parts.append(part)
    made_at = now()
    stamp = made_at[:19].translate(str.maketrans("", "", "-:")).replace("T", "-")
    info = AdapterInfo(
        folder=folder,
        name=f"{'-'.join(components)}-{stamp}-{digest[:8]}",
        profile=stack.profile.name,
        parts=tuple(sorted(parts)),
        made_at=made_at,
        parent=None if parent is None else parent.name,
        lineage=lineage,
    )
    write_adapter(info)
    return info


def code_version() -> str:
    """Hash of the programs that train and run models; it changes with any line of them."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for package in SOURCES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
