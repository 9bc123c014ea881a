"""Recipe of the dialogue: region encoder, projector and language model together, by next-token cross-entropy.

The vision tower, the heatmap decoder and the embedding table stay frozen (T-VAU 3.2.2; the embedding table holds the
heatmap decoder's text prototypes). A published language model is tuned through LoRA; the bundled one has no
pre-training worth keeping, so all of it learns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from finetune.dialogues import Dialogue, draw_dialogue
from finetune.encoded import EncodedClip, EncodedWorld
from finetune.loop import Ahead, LoopConfig, fit, step_generator, steps_done
from finetune.parallel import spread
from finetune.starting import new_module
from workbench.prompts import PromptLayout, Segment
from workbench.stack.backbone import InternVLBackbone
from workbench.stack.regions import RegionConfig, RegionEncoder
from workbench.stack.sampler import SamplerName, sample_frames

IGNORE = -100
FEATURE_NOISE = 0.15
"""Gaussian noise on patch features, in units of their spread."""
VERDICT_WEIGHT = 4.0
"""Weight of the tokens of an answer that says yes or no: the verdict is few among a hundred."""
GROUP = 4
"""Sequences that are padded to one length; a batch is sorted by length first."""


@dataclass(slots=True)
class Sample:
    """One training sequence: prompt pieces, what is asked and answered, and the evidence behind it."""

    prefix: list[Segment]
    turns: list[tuple[str, str]]
    patches: np.ndarray
    class_maps: np.ndarray | None


class ChatBatches:
    """Draws dialogues with the frames a sampler would have chosen for them."""

    def __init__(
        self,
        encoded: EncodedWorld,
        scores: Sequence[np.ndarray],
        clips: Sequence[int],
        layout: PromptLayout,
        n_frames: int,
    ) -> None:
        self.encoded, self.scores, self.clips, self.layout, self.n_frames = encoded, scores, clips, layout, n_frames

    def draw(self, rng: np.random.Generator) -> Sample:
        """One sample; the frame count is mostly the profile's, sometimes half, so that fewer frames work as well."""
        at = int(rng.integers(len(self.clips)))
        clip, encoded = self.encoded.clip(self.clips[at]), self.encoded.read(self.clips[at])
        dialogue = draw_dialogue(clip.truth, clip.frame_index, set(encoded.views), rng)
        if dialogue.level == "instance":
            return self._instance(dialogue, encoded, rng)
        first, stop = dialogue.span
        wanted = self.n_frames if rng.random() < 0.75 else self.n_frames // 2
        score = self.scores[at][first:stop]
        method: SamplerName = "ats" if rng.random() < 0.85 else "uniform"
        picked = first + sample_frames(score, wanted, method)
        picked = np.unique(np.clip(picked + rng.integers(-1, 2, len(picked)), first, stop - 1))
        return Sample(
            prefix=self.layout.prefix(clip.time_s[picked].tolist(), with_anomaly=True),
            turns=dialogue.turns,
            patches=_noisy(encoded.patches[picked], rng),
            class_maps=encoded.class_maps[picked],
        )

    def _instance(self, dialogue: Dialogue, encoded: EncodedClip, rng: np.random.Generator) -> Sample:
        assert dialogue.entity is not None
        patches = _noisy(encoded.views[dialogue.entity], rng)
        return Sample(instance_prefix(self.layout, len(patches)), dialogue.turns, patches, None)


def _noisy(patches: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Features with a little noise, so that a clip is not told by heart."""
    noise = rng.standard_normal(patches.shape, dtype=np.float32)
    noisy: np.ndarray = patches + FEATURE_NOISE * float(patches[0].std(dtype=np.float32)) * noise
    return noisy


def instance_prefix(layout: PromptLayout, views: int) -> list[Segment]:
    """The prompt of an instance question: views in place of frames, no anomaly prompts."""
    return layout.prefix([float(i) for i in range(views)], with_anomaly=False)


class ChatModel(nn.Module):
    """The trainable parts: projector, language model (without its embedding table), head and region encoder."""

    def __init__(self, backbone: InternVLBackbone, regions: RegionEncoder, layout: PromptLayout) -> None:
        super().__init__()
        self.backbone, self.layout = backbone, layout
        model = backbone.model
        model.requires_grad_(False)
        self.projector = model.model.multi_modal_projector.requires_grad_(True)
        self.language = model.model.language_model.requires_grad_(True)
        self.head = model.lm_head.requires_grad_(True)
        model.get_input_embeddings().requires_grad_(False)
        self.regions = regions

    def loss(self, samples: Sequence[Sample]) -> tuple[Tensor, float]:
        """Mean cross-entropy of the answers' tokens, and the share of them that is predicted right."""
        rows = sorted((self._sequence(sample) for sample in samples), key=lambda row: len(row[1]))
        parts = [self._logits(rows[i : i + GROUP]) for i in range(0, len(rows), GROUP)]
        logits, target, weight = (torch.cat(column) for column in zip(*parts, strict=True))
        right = (logits.argmax(-1) == target).float().mean().item()
        return (F.cross_entropy(logits, target, reduction="none") * weight).sum() / weight.sum(), right

    def _logits(self, rows: Sequence[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits `[K, V]` at the tokens the model has to say, those tokens `[K]`, and their weights `[K]`."""
        length = max(len(row[1]) for row in rows)
        embeds = torch.stack([F.pad(e, (0, 0, 0, length - len(e))) for e, _, _ in rows])
        labels = torch.stack([F.pad(ids, (0, length - len(ids)), value=IGNORE) for _, ids, _ in rows])
        weights = torch.stack([F.pad(w, (0, length - len(w))) for _, _, w in rows])
        hidden = self.language(inputs_embeds=embeds).last_hidden_state[:, :-1]
        target = labels[:, 1:]
        known = target != IGNORE
        return self.head(hidden[known]).float(), target[known], weights[:, 1:][known]

    def _sequence(self, sample: Sample) -> tuple[Tensor, Tensor, Tensor]:
        """One sample → embeddings `[L, D]`, labels `[L]` (`IGNORE` where the model need not speak), weights `[L]`."""
        tokens = self.backbone.project(torch.from_numpy(sample.patches).float())
        anomaly = None
        if sample.class_maps is not None:
            anomaly = self.regions(torch.from_numpy(sample.class_maps).float()[None])[0].flatten(0, 1)
        embeds = [self.backbone.embed(sample.prefix, tokens, anomaly).float()]
        labels = [torch.full((len(embeds[0]),), IGNORE)]
        weights = [torch.zeros(len(embeds[0]))]
        end = self.backbone.end_token_id
        for number, (question, answer) in enumerate(sample.turns):
            asked = self.layout.first_turn(question) if number == 0 else self.layout.next_turn(question)
            question_ids = torch.tensor(self.backbone.text_ids(asked))
            answer_ids = torch.tensor([*self.backbone.text_ids(answer), end])
            embeds.append(self.backbone.embed_ids(torch.cat([question_ids, answer_ids])))
            labels += [torch.full((len(question_ids),), IGNORE), answer_ids]
            weight = VERDICT_WEIGHT if answer.startswith(("Yes", "No")) else 1.0
            weights.append(torch.full((len(question_ids) + len(answer_ids),), weight))
        return torch.cat(embeds), torch.cat(labels), torch.cat(weights)


def train_language(
    backbone: InternVLBackbone, texts: Sequence[str], loop: LoopConfig, out_dir: Path, *, batch: int = 24
) -> None:
    """Teach the language model and its embedding table the world's language before it sees a picture."""
    model = backbone.model
    model.requires_grad_(False)
    model.model.language_model.requires_grad_(True)
    model.lm_head.requires_grad_(True)
    encoded = [torch.tensor(backbone.text_ids(text)) for text in texts]

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        rng = step_generator(loop.seed, step)
        rows = [encoded[i][:256] for i in rng.integers(0, len(encoded), batch)]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        labels = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=IGNORE)
        with backbone.precision():
            hidden = model.model.language_model(input_ids=ids).last_hidden_state
            logits = model.lm_head(hidden[:, :-1]).float()
        return F.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORE), {}

    model.train()
    fit({"language": model.model.language_model, "head": model.lm_head}, loss, loop, out_dir, name="language")
    model.eval()


@dataclass(frozen=True, slots=True)
class ChatJob:
    """All that a training process has to know: the backbone's folder, what to draw, how long, where states lie.

    `start` is the folder of a region encoder of the same sizes to go on from; None: from random weights.
    """

    backbone: Path
    batches: ChatBatches
    config: RegionConfig
    loop: LoopConfig
    work: Path
    batch: int = 12
    start: Path | None = None


def train_chat(backbone: InternVLBackbone, job: ChatJob, *, processes: int = 1) -> RegionEncoder:
    """Train region encoder, projector and language model on drawn dialogues; the latter two are those of `backbone`."""
    model = _new_model(backbone, job)
    if processes > 1 and steps_done(job.work, "chat") < job.loop.steps:
        spread(_train_member, processes, job)
    _train(model, job)  # after other processes: nothing is left but to load what they made
    backbone.model.eval()
    return model.regions.eval()


def _new_model(backbone: InternVLBackbone, job: ChatJob) -> ChatModel:
    torch.manual_seed(job.loop.seed)
    return ChatModel(backbone, new_module(job.config, RegionEncoder, job.start), job.batches.layout)


def _train_member(job: ChatJob) -> None:
    backbone = InternVLBackbone.load(job.backbone, device=torch.device("cpu"), dtype=torch.float32)
    _train(_new_model(backbone, job), job)


def _train(model: ChatModel, job: ChatJob) -> None:
    def draw(number: int) -> list[Sample]:
        rng = step_generator(job.loop.seed, number)
        return [job.batches.draw(rng) for _ in range(job.batch)]

    drawn = Ahead(draw)

    def loss(number: int) -> tuple[Tensor, dict[str, float]]:
        with model.backbone.precision():
            value, right = model.loss(drawn(number))
        return value, {"token_accuracy": right}

    model.backbone.model.train()
    parts = {"projector": model.projector, "language": model.language, "head": model.head, "regions": model.regions}
    fit(parts, loss, job.loop, job.work, name="chat")
