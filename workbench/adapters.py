"""Adapters: what was learned from corrections, as a folder that changes the stack of one profile.

    ADAPTER/adapter.json    format, name, profile, made_at, parent, parts, lineage
    ADAPTER/lora/           PEFT LoRA of the backbone: adapter_config.json, adapter_model.safetensors
    ADAPTER/scorer/  ADAPTER/heatmap/  ADAPTER/regions/      config.json, model.safetensors (`save_module`)
    ADAPTER/segmenter/      config.json, model.safetensors (`SegmenterSpec.bundled`)
    ADAPTER/familiarity/    config.json, model.safetensors: the footage it learned from, beside the profile's
    ADAPTER/fusion.json     weights of the parts and the threshold, calibrated again

Any of the parts may be absent; what is there takes the place of the profile's own, or of its stand-in. An adapter is
bound to its profile: features and embeddings of another model mean nothing to it.

    write_adapter(AdapterInfo(folder, "night shift", "bundled", ("scorer", "fusion"), made_at, None, {…}))
    info = read_adapter(folder)               # DataError / StackError in one sentence
    stack = ModelStack.load("bundled", adapter=folder)
    apply(stack, info)                        # the same on a loaded stack, in place
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import StackError
from workbench.files import replacing

if TYPE_CHECKING:
    from workbench.stack.loading import ModelStack

ADAPTER_FILE = "adapter.json"
FORMAT = "anomaly-workbench-adapter-1"
PARTS = ("lora", "scorer", "heatmap", "regions", "segmenter", "familiarity", "fusion")
_FILES = {
    "lora": ("lora/adapter_config.json", "lora/adapter_model.safetensors"),
    "fusion": ("fusion.json",),
} | {part: (f"{part}/config.json", f"{part}/model.safetensors") for part in PARTS[1:6]}


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """What `adapter.json` says of an adapter.

    Attributes:
        folder: where it lies. name: what people call it; results carry it. profile: the only one it fits.
        parts: which of `PARTS` it brings. made_at: ISO 8601 time.
        parent: name of the adapter it was trained on top of.
        lineage: whatever its recipe wants to be remembered (data, seeds, numbers); JSON values.
    """

    folder: Path
    name: str
    profile: str
    parts: tuple[str, ...]
    made_at: str = ""
    parent: str | None = None
    lineage: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [part for part in self.parts if part not in PARTS]
        if unknown or not self.parts:
            raise StackError(
                f"The adapter '{self.name}' lists the parts {list(self.parts)}; "
                f"one or more of {list(PARTS)} belong there."
            )

    def path(self, part: str) -> Path | None:
        """Folder (or file, for `fusion`) of a part; None if the adapter does not bring it."""
        if part not in self.parts:
            return None
        return self.folder / ("fusion.json" if part == "fusion" else part)

    def check_profile(self, profile: str) -> None:
        """Raise StackError unless the adapter was made for `profile`."""
        if profile != self.profile:
            raise StackError(
                f"The adapter '{self.name}' was trained on the profile '{self.profile}' and does not fit '{profile}'; "
                f"choose --profile {self.profile}, or another adapter."
            )


def write_adapter(info: AdapterInfo) -> Path:
    """Write `adapter.json`, after the files of the parts are there. → its path.

    Raises:
        StackError: a part that is listed has no files.
    """
    _check_files(info)
    document = {
        "format": FORMAT,
        "name": info.name,
        "profile": info.profile,
        "parts": list(info.parts),
        "made_at": info.made_at,
        "parent": info.parent,
        "lineage": info.lineage,
    }
    path = info.folder / ADAPTER_FILE
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def read_adapter(folder: str | Path) -> AdapterInfo:
    """What lies in an adapter folder; no weights are read.

    Raises:
        StackError: the folder is no adapter, is of another format, or lacks files of a part it lists.
    """
    folder = Path(folder)
    path = folder / ADAPTER_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StackError(
            f"{folder} is not an adapter: it has no {ADAPTER_FILE}. Give the folder that training has written."
        ) from error
    except (OSError, ValueError) as error:
        raise StackError(f"{path} cannot be read ({error}); copy the adapter again.") from error
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT:
        raise StackError(f"{path} is of format {found!r}, this program reads {FORMAT!r}; train the adapter again.")
    try:
        info = AdapterInfo(
            folder=folder,
            name=str(document["name"]),
            profile=str(document["profile"]),
            parts=tuple(document["parts"]),
            made_at=str(document.get("made_at", "")),
            parent=document.get("parent"),
            lineage=dict(document.get("lineage") or {}),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StackError(f"{path} lacks or garbles {error}; copy the adapter again.") from error
    _check_files(info)
    return info


def apply(stack: ModelStack, info: AdapterInfo) -> None:
    """Put an adapter onto a loaded stack, in place.

    LoRA is merged into the language model's weights, which costs nothing at every later step; a quantised model
    keeps it beside them. To take an adapter off, load the stack again.

    Raises:
        StackError: it is for another profile, the stack has an adapter already, or weights do not fit.
    """
    from workbench.stack.lora import merge_lora
    from workbench.stack.parts import load_familiarity, load_heatmap, load_regions, load_scorer
    from workbench.stack.segmenter import Segmenter, SegmenterSpec

    info.check_profile(stack.profile.name)
    if stack.adapter is not None:
        raise StackError(
            f"The stack already carries the adapter '{stack.adapter}'; load the profile again to use '{info.name}'."
        )
    # Everything is read and checked before anything of the stack is touched.
    scorer, heatmap, regions = (info.path(part) for part in ("scorer", "heatmap", "regions"))
    new_scorer = load_scorer(scorer, stack.backbone) if scorer else stack.scorer
    new_heatmap = load_heatmap(heatmap, stack.backbone) if heatmap else stack.heatmap
    new_regions = load_regions(regions, stack.backbone) if regions else stack.regions
    familiarity = info.path("familiarity")
    new_familiarity = load_familiarity(familiarity, stack.backbone) if familiarity else stack.familiarity
    segmenter = info.path("segmenter")
    new_segmenter = Segmenter.load(SegmenterSpec.bundled(segmenter), stack.device) if segmenter else stack.segmenter
    if new_regions is not None and new_heatmap is None:
        raise StackError(
            f"The adapter '{info.name}' brings a region encoder, which reads heatmaps, but neither it nor the profile "
            f"'{stack.profile.name}' has a heatmap decoder; train that first."
        )
    if (lora := info.path("lora")) is not None:
        merge_lora(stack.backbone, lora)
    if (fusion := info.path("fusion")) is not None:
        stack.fusion = type(stack.fusion).load(fusion)
    stack.scorer, stack.heatmap, stack.regions = new_scorer, new_heatmap, new_regions
    stack.segmenter, stack.familiarity, stack.adapter = new_segmenter, new_familiarity, info.name
    stack.files = (*stack.files, *(path for path in (heatmap, lora) if path is not None))


def _check_files(info: AdapterInfo) -> None:
    absent = [name for part in info.parts for name in _FILES[part] if not (info.folder / name).is_file()]
    if absent:
        raise StackError(f"The adapter '{info.name}' in {info.folder} lacks {', '.join(absent)}; copy it again.")
