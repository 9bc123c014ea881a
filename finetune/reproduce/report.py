"""The tables as a page: `reproduce.md` and the picture in it, `reproduce.svg`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from finetune.reproduce.bench import Bench, Cell, Table
from workbench.files import replacing

# Of the Okabe-Ito palette, as on the page: told apart by everybody.
COLOURS, INK, MUTED, GRID = ("#0072b2", "#e69f00", "#009e73"), "#1b2430", "#5d6877", "#e6eaef"
PAGE, PICTURE = "reproduce.md", "reproduce.svg"
TITLES = {"fact_precision": "fact precision", "fact_recall": "fact recall", "bleu": "BLEU", "cider": "CIDEr"}
PLOTTED: dict[str, tuple[str, tuple[str, ...]]] = {
    "taps": ("layers", ("patch AP", "patch IoU")),
    "supervision": ("supervision", ("frame AUC", "frame AP")),
    "regions": ("RAE", ("fact_precision", "fact_recall")),
}
"""Of the other tables: the column that names a row, and the columns whose bars are drawn."""


def write_report(out: Path, bench: Bench, tables: Sequence[Table], command: str, *, quick: bool) -> Path:
    """Write the page and its picture into `out`; returns the path of the page."""
    out.mkdir(parents=True, exist_ok=True)
    drawn = [table for table in tables if table.name == "sampler" or table.name in PLOTTED]
    parts = [
        "# The papers' tables in small",
        "The questions of Holmes-VAU's and T-VAU's ablations, asked again on the drawn street world with the "
        f"`{bench.stack.profile.name}` stack. The numbers are not comparable with the papers' own: other videos, a "
        "far smaller model. What can be compared is who wins. The interval is a 95 % bootstrap over clips; the best of "
        "a column is bold.",
        f"```\n{command}\n```",
        f"Seed {bench.seed}. BLEU is the sum of BLEU-1 … 4; facts are counted by `finetune/facts.py`.",
    ]
    if quick:
        parts.append("**A quick run: it shows that every table works. Its numbers mean nothing.**")
    if drawn:
        _picture(out / PICTURE, drawn)
        parts.append(f"![The tables drawn]({PICTURE})")
    for table in tables:
        parts += [
            f"## {table.title}",
            f"*Claim:* {table.claim}",
            table.about,
            markdown(table),
            f"*Here:* {table.finding}",
        ]
    with replacing(out / PAGE) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return out / PAGE


def markdown(table: Table) -> str:
    """The rows of a table; the best of its `best` columns bold, intervals beside their values."""
    names = [name for row in table.rows for name in row if not name.endswith("_ci95")]
    columns = list(dict.fromkeys(names))
    lines = ["| " + " | ".join(TITLES.get(name, name) for name in columns) + " |", "|" + "---|" * len(columns)]
    highest = {
        name: max((row[name] for row in table.rows if _known(row.get(name))), default=None) for name in table.best
    }
    for row in table.rows:
        cells = [_cell(row, name, best=name in table.best and row.get(name) == highest[name]) for name in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _known(value: Any) -> bool:
    return isinstance(value, (int, float)) and not math.isnan(value)


def _cell(row: Cell, name: str, *, best: bool) -> str:
    value = row.get(name)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    interval = row.get(f"{name}_ci95")
    return (f"**{text}**" if best else text) + (" [{:.2f}, {:.2f}]".format(*interval) if interval else "")


# --- picture ---------------------------------------------------------------------------------------------------


def _picture(path: Path, tables: Sequence[Table]) -> None:
    figure = Figure(figsize=(4.4 * len(tables), 3.6), layout="constrained", facecolor="white")
    for axes, table in zip(figure.subplots(1, len(tables), squeeze=False)[0], tables, strict=True):
        axes.set_title(table.title.split(" (")[0], fontsize=9.5, loc="left", color=INK, wrap=True)
        axes.set_prop_cycle(color=COLOURS)
        axes.tick_params(labelsize=8, length=0, labelcolor=MUTED)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(GRID)
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        if table.name == "sampler":
            _lines(axes, table)
        else:
            _bars(axes, table, *PLOTTED[table.name])
        axes.legend(fontsize=8, frameon=False, labelcolor=INK)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def _lines(axes: Axes, table: Table) -> None:
    """Fact recall over N, a line for each sampler, with its interval."""
    for number, name in enumerate(dict.fromkeys(row["sampler"] for row in table.rows)):
        rows = [row for row in table.rows if row["sampler"] == name]
        x = [row["frames"] * (1 + 0.02 * number) for row in rows]
        y = [row["fact_recall"] for row in rows]
        (line,) = axes.plot(x, y, marker="o", markersize=5, linewidth=1.8, label=name)
        for at, row in zip(x, rows, strict=True):
            if row["fact_recall_ci95"]:
                axes.plot([at, at], row["fact_recall_ci95"], color=line.get_color(), alpha=0.35)
    axes.set_xscale("log", base=2)
    ticks = sorted({row["frames"] for row in table.rows})
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("frames", fontsize=8, color=MUTED)
    axes.set_ylabel("fact recall", fontsize=8, color=MUTED)


def _bars(axes: Axes, table: Table, naming: str, columns: Sequence[str]) -> None:
    width = 0.8 / len(columns)
    for number, column in enumerate(columns):
        at = [row + (number - (len(columns) - 1) / 2) * width for row in range(len(table.rows))]
        axes.bar(at, [row[column] for row in table.rows], width, label=TITLES.get(column, column))
    axes.set_xticks(range(len(table.rows)), [row[naming] for row in table.rows], rotation=30, ha="right", fontsize=7)
    axes.set_ylim(0, 1.2)  # room for the legend
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
