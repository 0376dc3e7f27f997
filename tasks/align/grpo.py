"""GRPO on the iteration's own samples: several readings of one text in one voice, rewarded by what the judges heard."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch

from model.objectives.grpo import grpo_loss, kl_estimate
from model.objectives.logprobs import IGNORE, collate, token_logprobs
from model.training import LossFunction
from tasks.align.grid import on_grid, target_logprobs
from tasks.align.job import Job, Plan
from tasks.align.judged import Episode, groups_of
from tasks.align.schedule import schedule_of, split
from tasks.common.params.aligning import Grpo


@dataclass
class Batch:
    """Samples padded together; ``weight`` is their number. Grids are ``(batch, length)``, 0 where not scored."""

    ids: list[str]
    tokens: torch.Tensor
    labels: torch.Tensor
    old: torch.Tensor
    reference: torch.Tensor
    advantages: torch.Tensor  # (batch,)
    rewards: torch.Tensor  # (batch,)
    weight: float


def batch_of(episodes: list[Episode], reference: list[torch.Tensor]) -> Batch:
    """One padded batch of samples with their tokens' log-probabilities under the reference policy."""
    tokens, labels = collate([e.context for e in episodes], [e.target for e in episodes])
    return Batch(
        [e.id for e in episodes],
        tokens,
        labels,
        on_grid([e.old for e in episodes], labels),
        on_grid(reference, labels),
        torch.tensor([e.advantage for e in episodes]),
        torch.tensor([e.reward for e in episodes]),
        float(len(episodes)),
    )


def objective(p: Grpo) -> LossFunction:
    """GRPO's loss of each sample, summed over samples: how a step is split changes nothing."""

    def loss_of(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        device = next(model.parameters()).device
        labels, old, reference = (t.to(device) for t in (batch.labels, batch.old, batch.reference))
        logprobs = token_logprobs(model(input_ids=batch.tokens.to(device), use_cache=False).logits.float(), labels)
        mask = labels != IGNORE
        losses = grpo_loss(logprobs, old, reference, batch.advantages.to(device), mask, p.clip, p.kl_weight)
        with torch.no_grad():
            tokens = mask.sum(dim=1)
            outside = ((logprobs - old).exp() - 1).abs() > p.clip
            metrics = {
                "reward": batch.rewards.sum().item(),
                "kl": (kl_estimate(logprobs, reference).sum(dim=1) / tokens).sum().item(),
                "clipped": ((outside & mask).sum(dim=1) / tokens).sum().item(),
            }
        return losses.sum(), metrics

    return loss_of


def plan(job: Job) -> Plan:
    """Passes over the samples in steps of whole groups, with about as many sequences as a pairwise method's.

    Whole, because advantages add up to 0 in a group only: steps of long samples alone would push against length.
    """
    p, groups = job.settings, groups_of(job)
    episodes = [e for group in groups for e in group]
    contexts, targets = [e.context for e in episodes], [e.target for e in episodes]
    title, batch_size = f"align@{job.iteration} reference", job.params.decoding.batch_size
    reference = target_logprobs(job.reference(), contexts, targets, batch_size, title)
    ends = list(accumulate(len(group) for group in groups))
    members = [list(range(end - len(group), end)) for group, end in zip(groups, ends, strict=True)]
    groups_a_step = max(1, 2 * p.batch_pairs // max(map(len, groups)))
    lengths = [max(len(e.target) for e in group) for group in groups]
    schedule = schedule_of(lengths, p.epochs, groups_a_step, job.params.seed)

    def batches(step: int) -> list[Batch]:
        parts = split([i for group in schedule[step] for i in members[group]], 2 * p.micro_pairs)
        return [batch_of([episodes[i] for i in part], [reference[i] for i in part]) for part in parts]

    return Plan(job.ar, len(schedule), batches, objective(p.grpo))
