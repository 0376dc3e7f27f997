"""KTO: both sides of a pair as two samples of their own, one desirable and one not."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from model import sharding
from model.batch import Batch
from model.objectives.kto import kto_loss, reference_point
from model.objectives.logprobs import collate, decided, label_logprobs
from model.pairs.sequences import sequences_of
from model.training import Metrics
from tasks.align.method import Job, PairMethod, pair_ids, preference_metrics
from tasks.common.rows import Row


class Kto(PairMethod):
    """Steps over the pairs. Each step's ``z0`` comes from its texts with one another's speech."""

    def __init__(self, job: Job):
        super().__init__(job)
        self.reference = job.load_reference()

    def batches(self, step: int) -> list[Batch]:
        with sharding.whole(self.model):
            z0 = self.z0(self.pairs(self.schedule[step]))
        batches = super().batches(step)
        for batch in batches:
            batch.tensors["z0"] = z0
        return batches

    def batch(self, pairs: Sequence[Row]) -> Batch:
        tokens, labels = collate(*sequences_of(pairs))
        logprobs = [pair[f"{side}_logprob"] for side in ("chosen", "rejected") for pair in pairs]
        reference = torch.tensor(logprobs, dtype=torch.float32)
        return Batch(ids=pair_ids(pairs), weight=float(len(pairs)), tokens=tokens, labels=labels, reference=reference)

    @torch.no_grad()
    def z0(self, pairs: list[Row]) -> torch.Tensor:
        """Return KTO's reference point from every text with the next one's speech, over the whole step.

        So splitting the step into micro-batches makes no difference.
        """
        if len(pairs) < 2:
            return torch.zeros(())  # nothing to mismatch
        contexts, targets = sequences_of(pairs)
        n = len(pairs)
        order = [(i + 1) % n for i in range(n)] + [n + (i + 1) % n for i in range(n)]
        tokens, labels = (t.to(self.job.device) for t in collate(contexts, [targets[i] for i in order]))
        logprobs, reference = (
            label_logprobs(model, tokens, labels).sum(dim=1) for model in (self.job.ar, self.reference)
        )
        return reference_point(logprobs=logprobs, reference=reference).cpu()

    def loss(self, model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, Metrics]:
        """Return the losses of both sides plus the weighted negative log-likelihood of the desirable one."""
        labels, z0 = batch["labels"], batch["z0"]
        scored = label_logprobs(model, batch["tokens"], labels).sum(dim=1)
        logratio = scored - batch["reference"]
        half = len(scored) // 2
        losses = kto_loss(
            logratio=logratio,
            desirable=torch.arange(len(scored), device=scored.device) < half,
            z0=z0,
            beta=self.job.beta,
            desirable_weight=self.align.kto.desirable_weight,
            undesirable_weight=self.align.kto.undesirable_weight,
        )
        losses = losses / 2  # the mean over samples, as in the paper: a pair is two of them
        nll = -scored[:half] / decided(model, labels[:half]).sum(dim=1)
        chosen, rejected = logratio.chunk(2)
        metrics = preference_metrics(losses=losses, nll=nll, chosen_shift=chosen, rejected_shift=rejected)
        metrics["z0"] = float(z0) * batch.weight
        return losses.sum() + self.job.nll_weight * nll.sum(), metrics
