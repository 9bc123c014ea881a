"""The anomaly scorer with frame labels and with video labels only (Holmes-VAU 4.2: full against weak supervision)."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from finetune.encoded import EncodedWorld
from finetune.loop import LoopConfig, fit, step_generator
from finetune.losses import urdmu_loss
from finetune.metrics import Ranking, ap_of, auc_of
from finetune.reproduce.bench import Bench, Cell, Table
from finetune.reproduce.trained import encoded_world, labels_of
from finetune.scorer import ScorerBatches
from workbench.stack.scorer import AnomalyScorer, UrdmuConfig

BATCH = 32
SUPERVISION = (("full", True), ("weak", False))


def supervision_table(bench: Bench) -> Table:
    """Both scorers, trained alike from several seeds on the same class tokens."""
    encoded, train, test = encoded_world(bench)
    rows = []
    for name, full in SUPERVISION:
        cells = [
            bench.cell("supervision", f"{name}-{seed}", partial(_cell, bench, encoded, train, test, full, seed))
            for seed in range(bench.seed, bench.seed + bench.sizes.seeds)
        ]
        row: Cell = {"supervision": name}
        for measure in ("frame AUC", "frame AP"):
            values = [cell[measure] for cell in cells]
            row[measure] = float(np.mean(values))
            row[f"{measure} of each seed"] = ", ".join(f"{value:.3f}" for value in values)
        rows.append(row)
    better = rows[0]["frame AP"] > rows[1]["frame AP"]
    return Table(
        "supervision",
        "Scorer with full and with weak supervision (Holmes-VAU, 4.2)",
        "Event boundaries teach the scorer more than video labels do.",
        f"UR-DMU on the frozen tower, {bench.sizes.scorer_steps} steps on {len(train)} scenes, measured on the dense "
        f"frames of {len(test)} others, {bench.sizes.seeds} seed(s). Weak: L_AS in its MIL form, other terms alike.",
        rows,
        ("frame AUC", "frame AP"),
        f"The claim {'holds' if better else 'does **not** hold'} here, by the mean of frame AP.",
    )


def _cell(bench: Bench, encoded: EncodedWorld, train: range, test: range, full: bool, seed: int) -> Cell:
    torch.manual_seed(seed)
    config = UrdmuConfig(input_dim=bench.stack.backbone.feature_dim, hidden=256, heads=4, head_dim=64, ffn=256)
    scorer = AnomalyScorer(config).train()
    batches = ScorerBatches(encoded, train)

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        features, labels, valid, abnormal = batches.draw(step_generator(seed, step), BATCH)
        output = scorer(features, is_abnormal=abnormal, valid=valid)
        return urdmu_loss(output, frame_labels=labels if full else None).total, {}

    loop = LoopConfig(steps=bench.sizes.scorer_steps, lr=3e-4, weight_decay=1e-4, seed=seed)
    name = f"{'full' if full else 'weak'}-{seed}"
    fit({"scorer": scorer}, loss, loop, bench.work / "supervision", name=name, optimiser=torch.optim.Adam)
    scorer.eval()
    with torch.inference_mode():
        tokens = [torch.from_numpy(encoded.cls(i).astype(np.float32))[None] for i in test]
        scores = [scorer(row).scores[0].numpy() for row in tokens]
    counts = Ranking(np.concatenate(labels_of(encoded, test)), np.concatenate(scores)).counts()
    return {"frame AUC": auc_of(counts), "frame AP": ap_of(counts)}
