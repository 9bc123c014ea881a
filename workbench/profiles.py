"""Model stacks to choose from. A profile is one row: sizes, where each weight comes from, what it may say of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.errors import ProfileError
from workbench.prompts import INSTANCE_QUESTION, INSTANCE_QUESTION_SPELLED_OUT, PromptLayout

ASSETS = Path(__file__).resolve().parent.parent / "assets"
TrainedPart = Literal["scorer", "heatmap", "regions"]

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
INTERNVL3_LAYOUT = PromptLayout(system="", frame="Frame{i}: ")
# Qwen3-VL writes the seconds before each frame; Qwen2.5-VL reads them as words.
QWEN_LAYOUT = PromptLayout(
    system="You are a helpful assistant.",
    frame="<{time} seconds>",
    image_open="<|vision_start|>",
    image_close="<|vision_end|>",
)
# Classes of UCF-Crime and XD-Violence, which HIVAU-70k is made of.
CRIME_CATEGORIES = (
    *("abuse", "arrest", "arson", "assault", "burglary", "explosion", "fighting", "riot", "road accident"),
    *("robbery", "shooting", "shoplifting", "stealing", "vandalism"),
)


@dataclass(frozen=True, slots=True)
class StackProfile:
    """One model stack.

    Attributes:
        name: what `--profile` takes.
        title, note: shown to the analyst; the note says honestly what the stack is.
        family: which backbone class loads it.
        source: a Hub repository, or a folder with the backbone at its root or in `backbone/`, and beside it any of
            `scorer/`, `heatmap/`, `regions/`, `segmenter/` and `fusion.json`.
        layout: how prompts are written for its language model.
        categories: names of anomalies its language model knows.
        trained: the parts that come trained for it; something stands in for the others (see `ModelStack.stand_ins`).
        scorer_url: where the published scorer lies, if not in `source`.
        segmenter: published size of SAM 2.1; None where `source` brings its own.
        dtype: of the backbone's weights on a GPU; a CPU computes in float32.
        image_size: side of a frame in pixels, for towers that take any.
        n_frames: sampled frames shown to the language model (Holmes-VAU: 16; 8, 12, 32 offered).
        batch: dense frames per forward pass. max_new_tokens: length limit of one answer.
        instance_question: how it is asked about an instance.
        measured_words: whether colours and times in its answers are those that were measured (`workbench.wording`).
        least_sure: how probable the name of an event has to be for its language model, in [0, 1], to be taken.
        memory_gb: what it needs on a GPU, weights and work together; an estimate from the number of parameters.
        download_gb: what `fetch` brings. licence: of the weights.
    """

    name: str
    title: str
    note: str
    family: Literal["internvl", "qwen"]
    source: Path | str
    layout: PromptLayout
    categories: tuple[str, ...]
    trained: tuple[TrainedPart, ...] = ("scorer", "heatmap", "regions")
    scorer_url: str | None = None
    segmenter: Literal["tiny", "small", "base-plus", "large"] | None = None
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    image_size: int = 448
    n_frames: int = 16
    batch: int = 16
    max_new_tokens: int = 160
    instance_question: str = INSTANCE_QUESTION
    measured_words: bool = False
    least_sure: float = 0.0
    memory_gb: float = 2.0
    download_gb: float = 0.0
    licence: str = "Apache-2.0"

    @property
    def asks_plainly(self) -> bool:
        """Whether its language model knows the standard questions alone: a small one that comes with its own weights.

        Others are told more with a question, such as the captions of an event that they shall sum up.
        """
        return isinstance(self.source, Path)


BUNDLED = StackProfile(
    name="bundled",
    title="Bundled (small, CPU)",
    note=(
        "A small stack trained only on a drawn street world. It is quick and honest about motion, "
        "but its words are a sketch on real footage: check every one."
    ),
    family="internvl",
    source=ASSETS / "bundled",
    measured_words=True,
    least_sure=0.7,
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
HOLMESVAU_2B = StackProfile(
    name="holmesvau-2b",
    title="Holmes-VAU 2B",
    note=(
        "The published Holmes-VAU: InternVL2-2B tuned on HIVAU-70k, with its own anomaly scorer. "
        "It has seen real crime footage; heatmaps are motion saliency."
    ),
    family="internvl",
    source="ppxin321/HolmesVAU-2B",
    layout=HOLMES_LAYOUT,
    categories=CRIME_CATEGORIES,
    trained=("scorer",),
    scorer_url="https://github.com/pipixin321/HolmesVAU/raw/main/holmesvau/ATS/anomaly_scorer.pth",
    segmenter="small",
    max_new_tokens=256,
    instance_question=INSTANCE_QUESTION_SPELLED_OUT,
    memory_gb=7.5,
    download_gb=4.7,
    licence="see its model card (InternVL2: MIT, InternLM2: Apache-2.0)",
)


def _general(
    name: str,
    title: str,
    family: Literal["internvl", "qwen"],
    source: str,
    *,
    segmenter: Literal["tiny", "small", "base-plus", "large"],
    memory_gb: float,
    download_gb: float,
    licence: str,
) -> StackProfile:
    """A general model that nobody has trained on anomalies: everything beside it is a stand-in."""
    return StackProfile(
        name=name,
        title=title,
        note=(
            "A general vision-language model, not trained on anomalies: the score is its own yes or no and motion, "
            "heatmaps are motion saliency. Train an adapter on your corrections to change that."
        ),
        family=family,
        source=source,
        layout=QWEN_LAYOUT if family == "qwen" else INTERNVL3_LAYOUT,
        categories=CRIME_CATEGORIES,
        trained=(),
        segmenter=segmenter,
        batch=8,
        max_new_tokens=256,
        instance_question=INSTANCE_QUESTION_SPELLED_OUT,
        memory_gb=memory_gb,
        download_gb=download_gb,
        licence=licence,
    )


_INTERNVL3 = "qwen, see its model card (InternVL3: MIT, Qwen2.5: Apache-2.0)"
_ROWS = (
    BUNDLED,
    HOLMESVAU_2B,
    _general(
        "internvl3-1b",
        "InternVL3 1B",
        "internvl",
        "OpenGVLab/InternVL3-1B-hf",
        segmenter="tiny",
        memory_gb=4.5,
        download_gb=2.1,
        licence=_INTERNVL3,
    ),
    _general(
        "internvl3-2b",
        "InternVL3 2B",
        "internvl",
        "OpenGVLab/InternVL3-2B-hf",
        segmenter="small",
        memory_gb=7.0,
        download_gb=4.4,
        licence=_INTERNVL3,
    ),
    _general(
        "internvl3-8b",
        "InternVL3 8B",
        "internvl",
        "OpenGVLab/InternVL3-8B-hf",
        segmenter="base-plus",
        memory_gb=20.0,
        download_gb=16.3,
        licence=_INTERNVL3,
    ),
    _general(
        "qwen2.5-vl-3b",
        "Qwen2.5-VL 3B",
        "qwen",
        "Qwen/Qwen2.5-VL-3B-Instruct",
        segmenter="small",
        memory_gb=10.5,
        download_gb=7.7,
        licence="Qwen Research (no commercial use)",
    ),
    _general(
        "qwen2.5-vl-7b",
        "Qwen2.5-VL 7B",
        "qwen",
        "Qwen/Qwen2.5-VL-7B-Instruct",
        segmenter="base-plus",
        memory_gb=21.0,
        download_gb=17.0,
        licence="Apache-2.0",
    ),
    _general(
        "qwen3-vl-2b",
        "Qwen3-VL 2B",
        "qwen",
        "Qwen/Qwen3-VL-2B-Instruct",
        segmenter="small",
        memory_gb=7.0,
        download_gb=4.5,
        licence="Apache-2.0",
    ),
    _general(
        "qwen3-vl-4b",
        "Qwen3-VL 4B",
        "qwen",
        "Qwen/Qwen3-VL-4B-Instruct",
        segmenter="small",
        memory_gb=12.0,
        download_gb=9.1,
        licence="Apache-2.0",
    ),
    _general(
        "qwen3-vl-8b",
        "Qwen3-VL 8B",
        "qwen",
        "Qwen/Qwen3-VL-8B-Instruct",
        segmenter="base-plus",
        memory_gb=22.0,
        download_gb=17.9,
        licence="Apache-2.0",
    ),
)
PROFILES: dict[str, StackProfile] = {profile.name: profile for profile in _ROWS}


def get_profile(name: str) -> StackProfile:
    """The profile called `name`.

    Raises:
        ProfileError: there is none; the message lists those there are.
    """
    if name not in PROFILES:
        raise ProfileError(f"There is no profile '{name}'. Choose one of: {', '.join(PROFILES)}.")
    return PROFILES[name]


def smaller_than(profile: StackProfile) -> StackProfile | None:
    """The largest profile that needs less memory than this one; None if none does."""
    smaller = [row for row in PROFILES.values() if row.memory_gb < profile.memory_gb]
    return max(smaller, key=lambda row: row.memory_gb, default=None)
