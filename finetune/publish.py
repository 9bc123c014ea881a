"""An adapter for others: a PEFT folder that `PeftModel.from_pretrained` opens, with a model card; perhaps on the Hub.

OUT/adapter_config.json  adapter_model.safetensors     the LoRA of the language model
OUT/README.md                                          the card: data, numbers before and after, verdict, lineage
OUT/workbench/                                         the whole adapter, as `--adapter` of the workbench reads it
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from finetune.errors import TrainingError
from finetune.registry import Registry
from workbench.adapters import AdapterInfo
from workbench.hub_upload import known, no_network, refuse_public

TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def export_peft(registry: Registry, name: str, out: Path) -> Path:
    """Write an adapter of the registry as a PEFT folder; an adapter without a LoRA keeps only `workbench/` and card.

    Raises:
        TrainingError: there is no such adapter, its files were changed, or `out` holds something already.
    """
    info = registry.get(name)
    if wrong := registry.verify(name):
        raise TrainingError(f"The adapter '{name}' is not what was trained: {wrong[0]} Train it again.")
    if out.exists() and any(out.iterdir()):
        raise TrainingError(f"{out} is not empty; name a new folder for the export.")
    shutil.copytree(info.folder, out / "workbench")
    lora = info.path("lora")
    if lora is not None:
        for path in sorted(lora.iterdir()):
            shutil.copyfile(path, out / path.name)
    (out / "README.md").write_text(model_card(info, list(registry.lineage(name))), encoding="utf-8")
    return out


def model_card(info: AdapterInfo, lineage: Iterable[AdapterInfo] = ()) -> str:
    """The card in Markdown, with the front matter of the Hub."""
    gate = info.lineage.get("gate") or {}
    data = info.lineage.get("dataset") or {}
    learned = ", ".join(info.lineage.get("components") or info.parts)
    lines = [
        "---", "library_name: peft", "tags:", "- video-anomaly-detection", "- anomaly-workbench", "---",
        f"# {info.name}", "",
        f"An adapter of the Anomaly Workbench for the profile `{info.profile}`; it brings {', '.join(info.parts)}.", "",
        f"Trained: {learned}. Made {info.made_at}. Code `{info.lineage.get('code', 'unknown')}`.", "",
        "## Use", "", "```", "python -m workbench analyze CLIP --adapter workbench", "```", "",
    ]  # fmt: skip
    if "lora" in info.parts:
        lines += ["```python", "model = PeftModel.from_pretrained(base_model, FOLDER)", "```", ""]
    lines += ["## Data", "", f"Frozen data set `{str(data.get('digest', 'unknown'))[:16]}`.", "", *_counts(data), ""]
    lines += ["## Before and after", ""]
    for title, key in (("Held-out new clips", "new"), ("Bundled hold-out", "known")):
        lines += [*_table(title, gate.get(key) or []), ""]
    refused = f"{gate.get('answer', 'not better')}: refused"
    verdict = "not measured" if not gate else "better: may be adopted" if gate.get("adopt") else refused
    lines += [f"The gate: {verdict}.", "", *(f"- {reason}" for reason in gate.get("reasons", ())), ""]
    names = [one.name for one in lineage]
    return "\n".join([*lines, "## Lineage", "", " ← ".join(names or [info.name]), ""])


def push(
    folder: Path, repository: str, environment: Mapping[str, str] = os.environ, *, endpoint: str | None = None
) -> str:
    """Upload an exported folder into a private repository of the Hub. → its address.

    The token comes from the environment alone and is neither kept nor told.

    Raises:
        TrainingError: there is no token, the Hub cannot be reached or refuses.
        HubError: the repository is there and is public.
    """
    token = next((environment[name] for name in TOKENS if environment.get(name)), None)
    if token is None:
        raise TrainingError(
            f"Pushing to the Hub needs a token that may write: set {TOKENS[0]} in the environment and try again; "
            f"the export lies in {folder}."
        )
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    hub = HfApi(token=token, endpoint=endpoint)
    failures: tuple[type[Exception], ...] = (HfHubHTTPError, HFValidationError, *no_network())
    try:
        way_out = f"make it private, or name another one; the export lies in {folder}"
        refuse_public(known(hub, repository, "model"), repository, way_out)
        hub.create_repo(repository, private=True, exist_ok=True)
        hub.upload_folder(repo_id=repository, folder_path=folder)
    except failures as error:
        said = str(error).strip().splitlines()
        raise TrainingError(
            f"The Hub did not take {repository}: {said[0] if said else type(error).__name__}"
        ) from error
    return f"{hub.endpoint}/{repository}"


def _counts(data: Mapping[str, Any]) -> list[str]:
    counts = data.get("counts") or {}
    sides = (("train", "learned from"), ("valid", "for stopping in time"), ("hold_out", "held out"))
    found = [(words, counts[side]) for side, words in sides if side in counts]
    return [f"- {words}: {row.get('clips', 0)} clips, {row.get('abnormal', 0)} abnormal" for words, row in found]


def _table(title: str, changes: Iterable[Mapping[str, Any]]) -> list[str]:
    rows = [f"| {one['metric']} | {one['before']:.3f} | {one['after']:.3f} | {one['n_clips']} |" for one in changes]
    return [f"{title}:", "", "| metric | before | after | clips |", "|---|---|---|---|", *rows] if rows else []
