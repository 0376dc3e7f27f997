"""The two trainers of ``benchmarks.gpu``: DPO on one batch of random pairs, by ``model.training.fit`` and by TRL."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from model.batch import Batch
from model.fast.shared_context import collate_pairs, pair_logprobs
from model.objectives.dpo import dpo_loss
from model.objectives.pair_logprobs import PairLogprobs
from model.policy import Policy
from model.training import Optimization, fit

BETA, LR = 0.1, 1e-5


@dataclass(frozen=True)
class Side:
    """Pairs per second after the first step, and each step's loss."""

    pairs_per_second: float
    losses: list[float]


def pairs_of(policy: Policy, size: Any) -> list[dict[str, list[int]]]:
    """Return random pairs as TRL's collator takes them, of the policy's codes."""
    rng = np.random.default_rng(1)
    lengths = {"prompt_ids": size.context, "chosen_ids": size.tokens, "rejected_ids": size.tokens}
    codes = list(policy.layout.drawable.codes)
    return [{name: rng.choice(codes, n).tolist() for name, n in lengths.items()} for _ in range(size.pairs)]


def ours(policy: Policy, size: Any, device: torch.device) -> Side:
    """Train as ``align`` does: the context of a pair once, reference log-probabilities computed before."""
    pairs, model = pairs_of(policy, size), policy.model
    rows = [
        {"context": p["prompt_ids"], "chosen": p["chosen_ids"], "rejected": p["rejected_ids"]}
        | {"chosen_from": 0, "rejected_from": 0}
        for p in pairs
    ]
    tensors = collate_pairs(rows)
    names = ("tokens", "labels", "positions", "side")
    bf16 = device.type == "cuda"
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        anchors = [x.float().cpu() for x in pair_logprobs(model.eval(), *(tensors[n].to(device) for n in names))]
    reference = dict(zip(("reference_chosen", "reference_rejected"), anchors, strict=True))
    batch = Batch(ids=[str(i) for i in range(len(pairs))], weight=float(len(pairs)), **tensors, **reference)

    def loss(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        chosen, rejected = pair_logprobs(model, *(batch[name] for name in names))
        given = {name: batch[name] for name in reference}
        return dpo_loss(PairLogprobs(chosen=chosen, rejected=rejected, **given), beta=BETA).sum(), {}

    times, losses = [], []

    def note(step: int, metrics: dict[str, float]) -> None:
        losses.append(metrics["loss"])  # a number: the step has been computed
        times.append(time.perf_counter())

    plan = Optimization(lr=LR, steps=size.steps)
    precision = "bf16" if bf16 else "no"
    fit(model, lambda step: [batch], loss, plan, seed=0, precision=precision, cpu=not bf16, on_step=note)
    return Side(size.pairs * (len(times) - 1) / (times[-1] - times[0]), losses)


def trl(policy: Policy, size: Any, device: torch.device) -> Side:
    """Train by TRL at its best: reference log-probabilities computed before, activations kept."""
    from transformers import TrainerCallback

    from benchmarks.trl_dpo import dpo_trainer

    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter())

    rows, plan = pairs_of(policy, size), Optimization(lr=LR, steps=size.steps)
    given = {"cached": True, "recomputed": False, "bf16": device.type == "cuda", "callbacks": [Clock()]}
    with dpo_trainer(policy.model, rows, plan, beta=BETA, batch_pairs=size.pairs, **given) as trainer:
        trainer.train()
    return Side(size.pairs * (len(times) - 1) / (times[-1] - times[0]), trainer.losses)
