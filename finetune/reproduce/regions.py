"""RAE on and off (T-VAU 3.2.2): in the stack as it is, and in dialogues trained with and without it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from finetune.reproduce.bench import Bench, Cell, Table
from finetune.reproduce.levels import ALL_LEVELS, Variant, variant_cells
from finetune.reproduce.talk import whole_video, word_row, words_of_cell
from workbench.stack.loading import ModelStack


class StillPrompts(nn.Module):
    """The prompts of a scene in which the heatmap never changes: as many, and they say nothing."""

    def __init__(self, regions: nn.Module) -> None:
        super().__init__()
        self.regions = regions

    def forward(self, class_maps: Tensor) -> Tensor:
        """As `RegionEncoder`, `[B, T', 2, H', W']` → `[B, T'−1, n, D]`."""
        out: Tensor = self.regions(class_maps.mean(1, keepdim=True).expand_as(class_maps))
        return out


def regions_table(bench: Bench) -> Table:
    """The stack with its prompts, with empty ones and with none; then two dialogue models trained for it."""
    stack = bench.stack
    assert stack.regions is not None
    stacks: dict[str, ModelStack] = {
        "on": stack,
        "prompts of a still scene": replace(stack, regions=StillPrompts(stack.regions)),  # type: ignore[arg-type]
        "no prompts": replace(stack, regions=None),
    }
    clips = bench.short_clips()
    found: dict[str, list[Cell]] = {name: [] for name in stacks}
    for clip, analysis in bench.analyses(stack, clips, "stack"):
        for name, variant in stacks.items():
            key = f"{name.replace(' ', '-')}-{clip.name}"
            found[name].append(bench.cell("regions", key, partial(whole_video, variant, analysis)))
    rows: list[Cell] = []
    for name, cells in found.items():
        rows.append(_row(bench, f"{name}, stack as it is", clips, cells))
    for name, regions in (("on", True), ("off", False)):
        cells = variant_cells(bench, Variant(ALL_LEVELS, regions))
        rows.append(_row(bench, f"{name}, trained so", clips, cells))
    gains = [
        rows[0]["fact_precision"] > rows[2]["fact_precision"],
        rows[3]["fact_precision"] > rows[4]["fact_precision"],
    ]
    names = list(stacks)
    moved = sum(one["answers"] != still["answers"] for one, still in zip(found[names[0]], found[names[1]], strict=True))
    word = {2: "holds", 1: "holds in one of the two comparisons only", 0: "does **not** hold"}[sum(gains)]
    return Table(
        "regions",
        "Region-aware anomaly prompts on and off (T-VAU, 3.2.2)",
        "Prompts made from the heatmap make what is said more truthful.",
        f"{len(clips)} short scenes. *As it is*: prompts are taken away from a model that was trained with them, which "
        "also measures its surprise; *trained so*: two models of the granularity table, trained with and without.",
        rows,
        ("fact_precision", "fact_recall", "bleu", "cider"),
        f"The claim {word} here, by fact precision. The prompts of a still scene, as many and without a word of what "
        f"the heatmap shows, change an answer in {moved} of {len(clips)} scenes.",
    )


def _row(bench: Bench, name: str, clips: list, cells: list[Cell]) -> Cell:
    words = [words_of_cell(clip, cell) for clip, cell in zip(clips, cells, strict=True)]
    return {"RAE": name, **word_row(words, bench.sizes.replicates)}
