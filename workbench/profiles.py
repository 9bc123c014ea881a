"""Model stacks to choose from. A profile is one row: sizes, where each weight comes from, what it may say of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.errors import ProfileError
from workbench.prompts import PromptLayout

ASSETS = Path(__file__).resolve().parent.parent / "assets"

# How the published Holmes-VAU code writes a dialogue (its template `internlm2-chat`); the anomaly prompts of T-VAU
# stand between the last frame and the question. The system message is the one the model was trained with.
HOLMES_LAYOUT = PromptLayout(
    system=(
        "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
    ),
    frame="Frame{i}: ",
    begin="<s>",
    turn_gap="",
    question_lead="\n",
)


@dataclass(frozen=True, slots=True)
class StackProfile:
    """One model stack.

    Attributes:
        name: what `--profile` takes.
        title, note: shown to the analyst; the note says honestly what the stack is.
        family: which backbone class loads it.
        source: a folder holding `backbone/`, `scorer/`, `heatmap/`, `regions/`, `segmenter/` and `fusion.json`.
        layout: how prompts are written for its language model.
        n_frames: sampled frames shown to the language model (Holmes-VAU: 16; 8, 12, 32 offered).
        batch: dense frames per forward pass.
        max_new_tokens: length limit of one answer.
        categories: names of anomalies its language model knows.
        memory_gb: what it needs at most, weights and work together.
        licence: of the weights.
    """

    name: str
    title: str
    note: str
    family: Literal["internvl"]
    source: Path
    layout: PromptLayout
    categories: tuple[str, ...]
    n_frames: int = 16
    batch: int = 16
    max_new_tokens: int = 160
    memory_gb: float = 2.0
    licence: str = "Apache-2.0"


BUNDLED = StackProfile(
    name="bundled",
    title="Bundled (small, CPU)",
    note=(
        "A small stack trained only on a drawn street world. It is quick and honest about motion, "
        "but its words are a sketch on real footage: check every one."
    ),
    family="internvl",
    source=ASSETS / "bundled",
    layout=PromptLayout(system="", frame="{time} s: "),
    categories=(
        "running",
        "cycling",
        "driving",
        "fighting",
        "assault",
        "robbery",
        "falling",
        "collision",
        "explosion",
        "fire",
        "abandoned object",
    ),
)

PROFILES: dict[str, StackProfile] = {profile.name: profile for profile in (BUNDLED,)}


def get_profile(name: str) -> StackProfile:
    """The profile called `name`.

    Raises:
        ProfileError: there is none; the message lists those there are.
    """
    if name not in PROFILES:
        raise ProfileError(f"There is no profile '{name}'. Choose one of: {', '.join(PROFILES)}.")
    return PROFILES[name]
