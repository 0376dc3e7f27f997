"""DPO, IPO, RPO and SimPO: chosen against rejected in one forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from model.objectives.dpo import dpo_loss
from model.objectives.ipo import ipo_loss
from model.objectives.logprobs import IGNORE, collate, sequence_logprobs
from model.objectives.pairwise import PairLogprobs
from model.objectives.rpo import rpo_loss
from model.objectives.simpo import simpo_loss
from model.pairs.sequences import sequences_of
from model.tokens import Vocabulary
from model.training import LossFunction
from tasks.align.job import Job, Plan, Row
from tasks.align.schedule import schedule_of, split
from tasks.common.params.aligning import Align


@dataclass
class Batch:
    """Chosen rows, then rejected rows, padded together; ``weight`` is the number of pairs."""

    ids: list[str]
    tokens: torch.Tensor
    labels: torch.Tensor
    reference_chosen: torch.Tensor
    reference_rejected: torch.Tensor
    reward_gap: torch.Tensor
    weight: float


def batch_of(pairs: list[Row], vocabulary: Vocabulary) -> Batch:
    """One padded batch of pairs."""
    tokens, labels = collate(*sequences_of(pairs, vocabulary))
    return Batch(
        names(pairs),
        tokens,
        labels,
        torch.tensor([p["chosen_logprob"] for p in pairs], dtype=torch.float32),
        torch.tensor([p["rejected_logprob"] for p in pairs], dtype=torch.float32),
        torch.tensor([reward_gap(p) for p in pairs], dtype=torch.float32),
        float(len(pairs)),
    )


def names(pairs: list[Row]) -> list[str]:
    """What an error calls each pair."""
    return [f"{p['id']}@{p['iteration']}" for p in pairs]


def reward_gap(pair: Row) -> float:
    """By how much the judges found the chosen side better: WER saved plus similarity gained; NaN if unjudged."""
    return (pair["rejected_wer"] - pair["chosen_wer"]) + (pair["chosen_similarity"] - pair["rejected_similarity"])


def preference_loss(logprobs: PairLogprobs, p: Align, beta: float) -> torch.Tensor:
    """Loss of each pair ``(batch,)`` by the method's own equation."""
    if p.method == "ipo":
        return ipo_loss(logprobs, beta)
    if p.method == "rpo":
        return rpo_loss(logprobs, beta, p.rpo.eta)
    if p.method == "simpo":
        return simpo_loss(logprobs, beta, p.simpo.gamma, p.label_smoothing)
    return dpo_loss(logprobs.per_token() if p.length_normalized else logprobs, beta, p.label_smoothing)


def objective(p: Align, beta: float) -> LossFunction:
    """The preference loss plus the weighted negative log-likelihood (nats a token) of the chosen side, summed."""

    def loss_of(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        device = next(model.parameters()).device
        labels = batch.labels.to(device)
        scored = sequence_logprobs(model(input_ids=batch.tokens.to(device), use_cache=False).logits.float(), labels)
        chosen, rejected = scored.chunk(2)
        n_chosen, n_rejected = (labels != IGNORE).sum(dim=1).chunk(2)
        logprobs = PairLogprobs(
            chosen,
            rejected,
            batch.reference_chosen.to(device),
            batch.reference_rejected.to(device),
            n_chosen,
            n_rejected,
            batch.reward_gap.to(device),
        )
        preference = preference_loss(logprobs, p, beta)
        nll = -chosen / n_chosen
        metrics = {
            "preference_loss": preference.sum().item(),
            "nll": nll.sum().item(),
            "accuracy": (logprobs.margin > 0).sum().item(),
            "margin": logprobs.margin.sum().item(),
            "chosen_shift": (chosen - logprobs.reference_chosen).sum().item(),
            "rejected_shift": (rejected - logprobs.reference_rejected).sum().item(),
        }
        return (preference + p.nll_weight * nll).sum(), metrics

    return loss_of


def plan(job: Job) -> Plan:
    """Steps over the pairs, with both sides' reference log-probabilities as ``prefer`` cached them."""
    p, pairs = job.settings, job.pairs
    lengths = [len(x["chosen"]) + len(x["rejected"]) for x in pairs]
    schedule = schedule_of(lengths, p.epochs, p.batch_pairs, job.params.seed)

    def batches(step: int) -> list[Batch]:
        return [batch_of([pairs[i] for i in part], job.vocabulary) for part in split(schedule[step], p.micro_pairs)]

    return Plan(job.ar, len(schedule), batches, objective(p, job.beta))
