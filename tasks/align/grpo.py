"""GRPO on the iteration's own samples: several renderings of one text in one voice, rewarded by the judges' scores."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch

from model.batch import Batch
from model.objectives.grpo import grpo_loss, kl_estimate
from model.objectives.logprobs import IGNORE, collate, next_token_logits, token_logprobs
from model.training import Metrics
from tasks.align.grid import on_grid, target_logprobs
from tasks.align.judged import groups_of
from tasks.align.method import Job, Method
from tasks.align.schedule import chunks, schedule_of


class Grpo(Method):
    """Passes over the samples in steps of whole groups, with about as many sequences as a pairwise method's.

    Whole groups, because advantages add up to 0 only within a group: steps of long samples would push against length.
    """

    def __init__(self, job: Job):
        super().__init__(job)
        groups = groups_of(job)
        self.episodes = [episode for group in groups for episode in group]
        self.reference = target_logprobs(
            job.load_reference(),
            contexts=[episode.context for episode in self.episodes],
            targets=[episode.target for episode in self.episodes],
            batch_size=job.params.decoding.batch_size,
            title=f"align@{job.iteration} reference",
        )
        ends = list(accumulate(len(group) for group in groups))
        self.members = [list(range(end - len(group), end)) for group, end in zip(groups, ends, strict=True)]
        self.schedule = schedule_of(
            [max(len(episode.target) for episode in group) for group in groups],
            epochs=self.align.epochs,
            batch_size=max(1, 2 * self.align.batch_pairs // max(map(len, groups))),
            seed=job.params.seed,
        )
        self.steps = len(self.schedule)

    def batches(self, step: int) -> list[Batch]:
        samples = [i for group in self.schedule[step] for i in self.members[group]]
        return [self.batch(part) for part in chunks(samples, 2 * self.align.micro_pairs)]

    def batch(self, samples: Sequence[int]) -> Batch:
        """Return samples padded together; the weight is their number, grids are 0 where nothing was sampled."""
        episodes = [self.episodes[i] for i in samples]
        tokens, labels = collate([e.context for e in episodes], [e.target for e in episodes])
        return Batch(
            ids=[e.id for e in episodes],
            weight=float(len(episodes)),
            tokens=tokens,
            labels=labels,
            old=on_grid([e.old for e in episodes], labels),
            reference=on_grid([self.reference[i] for i in samples], labels),
            advantages=torch.tensor([e.advantage for e in episodes]),
            rewards=torch.tensor([e.reward for e in episodes]),
        )

    def loss(self, model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, Metrics]:
        """Return each sample's loss, summed over samples, so that splitting a step changes nothing."""
        old, reference, clip = batch["old"], batch["reference"], self.align.grpo.clip
        mask = batch["labels"] != IGNORE
        logprobs = token_logprobs(next_token_logits(model, batch["tokens"]), batch["labels"])
        losses = grpo_loss(
            logprobs=logprobs,
            old_logprobs=old,
            reference=reference,
            advantages=batch["advantages"],
            mask=mask,
            clip=clip,
            kl_weight=self.align.grpo.kl_weight,
        )
        with torch.no_grad():
            tokens = mask.sum(dim=1)
            kl = kl_estimate(logprobs=logprobs, reference=reference)
            outside = ((logprobs - old).exp() - 1).abs() > clip
            metrics = {
                "reward": batch["rewards"].sum().item(),
                "kl": (kl.sum(dim=1) / tokens).sum().item(),
                "clipped": ((outside & mask).sum(dim=1) / tokens).sum().item(),
            }
        return losses.sum(), metrics
