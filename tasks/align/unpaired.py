"""KTO: both sides of a pair as two samples of their own, one desirable and one not."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from model.objectives.kto import kl_estimate, kto_loss
from model.objectives.logprobs import IGNORE, collate, sequence_logprobs
from model.pairs.sequences import sequences_of
from model.training import LossFunction
from tasks.align.job import Job, Plan, Row
from tasks.align.pairwise import names
from tasks.align.schedule import schedule_of, split
from tasks.common.params.aligning import Align


@dataclass
class Batch:
    """Chosen rows, then rejected rows; ``z0`` belongs to the whole step. ``weight`` is the number of pairs."""

    ids: list[str]
    tokens: torch.Tensor
    labels: torch.Tensor
    reference: torch.Tensor
    z0: torch.Tensor
    weight: float


def objective(p: Align, beta: float) -> LossFunction:
    """KTO's loss of both sides plus the weighted negative log-likelihood of the desirable one, summed over pairs."""

    def loss_of(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        device = next(model.parameters()).device
        labels = batch.labels.to(device)
        scored = sequence_logprobs(model(input_ids=batch.tokens.to(device), use_cache=False).logits.float(), labels)
        logratio = scored - batch.reference.to(device)
        half = len(scored) // 2
        desirable = torch.arange(len(scored), device=device) < half
        weights = (p.kto.desirable_weight, p.kto.undesirable_weight)
        # The mean over samples, as in the paper: a pair is two of them.
        losses = kto_loss(logratio, desirable, batch.z0, beta, *weights) / 2
        nll = -scored[:half] / (labels[:half] != IGNORE).sum(dim=1)
        chosen, rejected = logratio.chunk(2)
        metrics = {
            "preference_loss": losses.sum().item(),
            "nll": nll.sum().item(),
            "accuracy": (chosen > rejected).sum().item(),
            "margin": (chosen - rejected).sum().item(),
            "chosen_shift": chosen.sum().item(),
            "rejected_shift": rejected.sum().item(),
            "z0": float(batch.z0) * batch.weight,
        }
        return losses.sum() + p.nll_weight * nll.sum(), metrics

    return loss_of


def plan(job: Job) -> Plan:
    """Steps over the pairs. Each step's ``z0`` comes from its texts with one another's speech."""
    p, pairs, vocabulary = job.settings, job.pairs, job.vocabulary
    lengths = [len(x["chosen"]) + len(x["rejected"]) for x in pairs]
    schedule = schedule_of(lengths, p.epochs, p.batch_pairs, job.params.seed)
    reference = job.reference()

    @torch.no_grad()
    def z0_of(members: list[Row]) -> torch.Tensor:
        """From every text with the next one's speech, over the whole step: how it is split makes no difference."""
        if len(members) < 2:
            return torch.zeros(())  # nothing to mismatch
        contexts, targets = sequences_of(members, vocabulary)
        n = len(members)
        order = [(i + 1) % n for i in range(n)] + [n + (i + 1) % n for i in range(n)]
        tokens, labels = (t.to(job.device) for t in collate(contexts, [targets[i] for i in order]))
        ours, theirs = (
            sequence_logprobs(m(input_ids=tokens, use_cache=False).logits.float(), labels) for m in (job.ar, reference)
        )
        return kl_estimate(ours, theirs).cpu()

    def batches(step: int) -> list[Batch]:
        members = [pairs[i] for i in schedule[step]]
        z0 = z0_of(members)
        made = []
        for part in split(members, p.micro_pairs):
            tokens, labels = collate(*sequences_of(part, vocabulary))
            logprobs = [x["chosen_logprob"] for x in part] + [x["rejected_logprob"] for x in part]
            known = torch.tensor(logprobs, dtype=torch.float32)
            made.append(Batch(names(part), tokens, labels, known, z0, float(len(part))))
        return made

    return Plan(job.ar, len(schedule), batches, objective(p, job.beta))
