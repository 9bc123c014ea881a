"""Fine-tuning the dialogue: region encoder and LoRA of the language model together, by next-token cross-entropy.

Vision tower, projector, heatmap decoder and embedding table are frozen (T-VAU 3.2.2), so the visual tokens of the
dense pass are all that is read. `peft` owns the LoRA, the `transformers` Trainer the loop: accumulation, precision,
checkpoints, resuming, several processes (`accelerate launch -m finetune …`).
"""

from __future__ import annotations

import copy
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from finetune.chat import IGNORE
from finetune.chat_samples import ChatSample
from finetune.errors import TrainingError
from finetune.guard import Progress, with_less_memory
from finetune.launch import is_first, meet
from workbench.files import replacing
from workbench.prompts import PromptLayout
from workbench.stack.backbone import InternVLBackbone
from workbench.stack.regions import RegionEncoder

logger = logging.getLogger(__name__)
TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
"""All projections of the language model, none of the vision tower's."""
ENDED = "ended.safetensors"
"""What a run has come to, beside its checkpoints."""


@dataclass(frozen=True, slots=True)
class ChatTuning:
    """Numbers of the recipe; the defaults are those of Holmes-VAU at full size.

    Attributes:
        rank, alpha, dropout: of LoRA. lr: peak rate, cosine decay after a warm-up of 3 %.
        batch: samples a step, reached by accumulating `micro` at a time in each process.
        checkpointing: compute activations twice to keep less of them.
        steps: optimiser steps; None: as many as `epochs` need.
        looks: how often the validation side is looked at; the run ends after `patience` looks without improvement.
    """

    rank: int = 64
    alpha: int = 128
    dropout: float = 0.05
    lr: float = 4e-5
    epochs: float = 1.0
    batch: int = 512
    micro: int = 4
    checkpointing: bool = True
    looks: int = 8
    patience: int = 3
    seed: int = 0
    steps: int | None = None

    @classmethod
    def fitting(cls, backbone: InternVLBackbone) -> ChatTuning:
        """The full-size numbers, or small ones for a language model as small as the bundled one."""
        if backbone.text_dim >= 1024:
            return cls()
        return cls(rank=16, alpha=32, lr=5e-4, epochs=6.0, batch=8, micro=8, checkpointing=False)


@dataclass(frozen=True, slots=True, eq=False)
class Frozen:
    """What a tuner works with but does not train; held in one place that is not part of its state."""

    peft: PeftModel
    backbone: InternVLBackbone
    layout: PromptLayout
    samples: Sequence[ChatSample]


class ChatTuner(nn.Module):
    """What learns: the region encoder and the LoRA matrices."""

    def __init__(self, frozen: Frozen, regions: RegionEncoder) -> None:
        super().__init__()
        self.frozen = frozen
        self.regions = regions
        trained = {name: p for name, p in frozen.peft.named_parameters() if p.requires_grad}
        self.lora = nn.ParameterDict({name.replace(".", "|"): p for name, p in trained.items()})

    def train(self, mode: bool = True) -> ChatTuner:
        """Dropout of the LoRA on or off; what is frozen stays as at inference."""
        super().train(mode)
        for name, module in self.frozen.peft.named_modules():
            if "lora_dropout" in name:
                module.train(mode)
        return self

    def forward(self, index: Tensor, return_loss: bool = True) -> dict[str, Tensor]:
        """Mean cross-entropy of the answers' tokens in the samples `index [B]`.

        The Trainer asks for a loss of samples without labels only where `return_loss` is a parameter.
        """
        del return_loss
        backbone = self.frozen.backbone
        with backbone.precision():
            rows = [self._sequence(self.frozen.samples[i]) for i in index.tolist()]
            length = max(len(ids) for _, ids in rows)
            embeds = torch.stack([F.pad(e, (0, 0, 0, length - len(e))) for e, _ in rows])
            labels = torch.stack([F.pad(ids, (0, length - len(ids)), value=IGNORE) for _, ids in rows])
            hidden = backbone.model.model.language_model(inputs_embeds=embeds, use_cache=False).last_hidden_state
            target = labels[:, 1:]
            known = target != IGNORE
            logits = backbone.model.lm_head(hidden[:, :-1][known]).float()
        return {"loss": F.cross_entropy(logits, target[known])}

    def _sequence(self, sample: ChatSample) -> tuple[Tensor, Tensor]:
        """One sample → embeddings `[L, D]` and labels `[L]`, `IGNORE` wherever the model need not speak."""
        backbone, layout = self.frozen.backbone, self.frozen.layout
        device, maps, anomaly = backbone.device, sample.class_maps(), None
        if maps is not None:
            anomaly = self.regions(maps.to(device)[None])[0].flatten(0, 1)
        embeds = [backbone.embed(sample.prefix, sample.tokens().to(device), anomaly)]
        labels = [torch.full((len(embeds[0]),), IGNORE, device=device)]
        for number, (question, answer) in enumerate(sample.said.turns):
            asked = layout.first_turn(question) if number == 0 else layout.next_turn(question)
            question_ids = torch.tensor(backbone.text_ids(asked), device=device)
            answer_ids = torch.tensor([*backbone.text_ids(answer), backbone.end_token_id], device=device)
            embeds.append(backbone.embed_ids(torch.cat([question_ids, answer_ids])))
            labels += [torch.full((len(question_ids),), IGNORE, device=device), answer_ids]
        return torch.cat(embeds), torch.cat(labels)


def tune_chat(
    backbone: InternVLBackbone,
    start: RegionEncoder,
    layout: PromptLayout,
    train: Sequence[ChatSample],
    valid: Sequence[ChatSample],
    tuning: ChatTuning,
    out_dir: Path,
    *,
    parent: Path | None = None,
    progress: Progress | None = None,
) -> RegionEncoder:
    """Train on dialogues; writes the LoRA into `out_dir/lora` as a PEFT folder and returns the tuned region encoder.

    The backbone is given back as it was.

    Args:
        parent: PEFT folder of an earlier LoRA of the same backbone to go on from.

    Raises:
        TrainingError: there is no dialogue to learn from.
    """
    if not train:
        raise TrainingError("The clips hold no dialogue to learn from; write texts or answers first.")

    def run(micro: int) -> RegionEncoder:
        torch.manual_seed(tuning.seed)
        backbone.model.requires_grad_(False)
        peft = _with_lora(backbone, tuning, parent)
        try:
            frozen = Frozen(peft, backbone, layout, [*train, *valid])
            tuner = ChatTuner(frozen, copy.deepcopy(start).float().requires_grad_(True))
            if tuning.checkpointing:
                backbone.model.model.language_model.gradient_checkpointing_enable()
            _fit(tuner, len(train), tuning, micro, out_dir / "chat", progress)
            if is_first():
                _save_lora(peft, out_dir / "lora")
            meet()
            return tuner.regions.eval().requires_grad_(False)
        finally:
            if tuning.checkpointing:
                backbone.model.model.language_model.gradient_checkpointing_disable()
            peft.unload()

    return with_less_memory(run, tuning.micro)


def _with_lora(backbone: InternVLBackbone, tuning: ChatTuning, parent: Path | None) -> PeftModel:
    if parent is not None:
        return PeftModel.from_pretrained(backbone.model, str(parent), is_trainable=True)
    config = LoraConfig(
        r=tuning.rank, lora_alpha=tuning.alpha, lora_dropout=tuning.dropout, target_modules=TARGETS, bias="none"
    )
    made = get_peft_model(backbone.model, config)
    assert isinstance(made, PeftModel)
    return made


def _save_lora(peft: PeftModel, folder: Path) -> None:
    """A folder that `PeftModel.from_pretrained` opens, without the place on this machine the backbone came from."""
    for config in peft.peft_config.values():
        config.base_model_name_or_path = None
    peft.save_pretrained(str(folder), safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty form; the adapter's own card says it all


def _fit(
    tuner: ChatTuner, n_train: int, tuning: ChatTuning, micro: int, out_dir: Path, progress: Progress | None
) -> None:
    """The Trainer's run, from its last checkpoint where there is one; a run that has ended is only read again."""
    learned = {name: weight for name, weight in tuner.named_parameters() if weight.requires_grad}
    ended = out_dir / ENDED
    if ended.exists():
        for name, found in load_file(str(ended)).items():
            learned[name].data.copy_(found)
        return
    world = int(os.environ.get("WORLD_SIZE", "1"))
    total = len(tuner.frozen.samples)
    micro = min(micro, tuning.batch)
    steps = tuning.steps or max(1, round(tuning.epochs * -(-n_train // tuning.batch)))
    every = max(1, steps // tuning.looks)
    has_valid = total > n_train
    on_cpu = tuner.frozen.backbone.device.type == "cpu"
    arguments = TrainingArguments(
        output_dir=str(out_dir),
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=micro,
        gradient_accumulation_steps=max(1, tuning.batch // (micro * world)),
        max_steps=steps,
        learning_rate=tuning.lr,
        lr_scheduler_type="cosine",
        warmup_steps=0.03,
        logging_steps=every,
        eval_strategy="steps" if has_valid else "no",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=has_valid,
        metric_for_best_model="eval_loss" if has_valid else None,
        greater_is_better=False if has_valid else None,
        prediction_loss_only=True,
        remove_unused_columns=False,
        label_names=[],
        use_cpu=on_cpu,
        bf16=not on_cpu,
        seed=tuning.seed,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=not on_cpu,
        restore_callback_states_from_checkpoint=True,  # how many looks ago the best one was
    )
    callbacks: list[TrainerCallback] = [_Tell(progress)]
    callbacks += [EarlyStoppingCallback(tuning.patience)] if has_valid else []
    trainer = Trainer(
        model=tuner,
        args=arguments,
        train_dataset=_Numbers(range(n_train)),
        eval_dataset=_Numbers(range(n_train, total)) if has_valid else None,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=last_checkpoint(out_dir))
    if trainer.is_world_process_zero():
        with replacing(ended) as temporary:
            save_file({name: weight.detach().cpu().contiguous() for name, weight in learned.items()}, str(temporary))


def last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint; the state is written last, so one without it was killed half way."""
    whole = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json") if _reads(path)]
    return str(max(whole, key=lambda path: int(path.name.rpartition("-")[2]))) if whole else None


def _reads(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")))
    except ValueError:
        return False


class _Numbers(Dataset[dict[str, int]]):
    """The samples by number; the model looks them up, so that no worker has to carry pictures."""

    def __init__(self, numbers: range) -> None:
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, i: int) -> dict[str, int]:
        return {"index": self.numbers[i]}


class _Tell(TrainerCallback):
    """The Trainer's log as lines of the run's progress."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Losses of training and validation."""
        del args, control
        told = {name: round(float(logs[name]), 5) for name in ("loss", "eval_loss") if logs and name in logs}
        if self.progress and told:
            self.progress.tell("chat", step=state.global_step, steps=state.max_steps, **told)
