"""KTO: both sides of a pair as two samples of their own, one desirable and one not."""

from __future__ import annotations

import torch

from model.batch import Batch
from model.objectives.kto import kto_loss, reference_point
from model.objectives.logprobs import IGNORE, collate, next_token_logits, sequence_logprobs
from model.pairs.sequences import sequences_of
from model.training import Metrics
from tasks.align.method import Job, Method, Row, pair_ids
from tasks.align.schedule import chunks


class Kto(Method):
    """Steps over the pairs. Each step's ``z0`` comes from its texts with one another's speech."""

    def __init__(self, job: Job):
        super().__init__(job)
        self.schedule = job.pair_schedule(self.align.epochs)
        self.steps = len(self.schedule)
        self.reference = job.load_reference()

    def batches(self, step: int) -> list[Batch]:
        """Return micro-batches of chosen rows, then rejected rows; the weight is the number of pairs."""
        pairs, batches = self.schedule[step], []
        z0 = self.z0(pairs)
        for part in chunks(pairs, self.align.micro_pairs):
            tokens, labels = collate(*sequences_of(part, self.job.vocabulary))
            logprobs = [pair["chosen_logprob"] for pair in part] + [pair["rejected_logprob"] for pair in part]
            reference = torch.tensor(logprobs, dtype=torch.float32)
            weight = float(len(part))
            batches.append(
                Batch(ids=pair_ids(part), weight=weight, tokens=tokens, labels=labels, reference=reference, z0=z0)
            )
        return batches

    @torch.no_grad()
    def z0(self, pairs: list[Row]) -> torch.Tensor:
        """Return KTO's reference point from every text with the next one's speech, over the whole step.

        So splitting the step into micro-batches makes no difference.
        """
        if len(pairs) < 2:
            return torch.zeros(())  # nothing to mismatch
        contexts, targets = sequences_of(pairs, self.job.vocabulary)
        n = len(pairs)
        order = [(i + 1) % n for i in range(n)] + [n + (i + 1) % n for i in range(n)]
        tokens, labels = (t.to(self.job.device) for t in collate(contexts, [targets[i] for i in order]))
        logprobs, reference = (
            sequence_logprobs(next_token_logits(model, tokens), labels) for model in (self.job.ar, self.reference)
        )
        return reference_point(logprobs=logprobs, reference=reference).cpu()

    def loss(self, model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, Metrics]:
        """Return the losses of both sides plus the weighted negative log-likelihood of the desirable one."""
        labels, z0 = batch["labels"], batch["z0"]
        scored = sequence_logprobs(next_token_logits(model, batch["tokens"]), labels)
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
        nll = -scored[:half] / (labels[:half] != IGNORE).sum(dim=1)
        chosen, rejected = logratio.chunk(2)
        metrics = {
            "preference_loss": losses.sum().item(),
            "nll": nll.sum().item(),
            "accuracy": (chosen > rejected).sum().item(),
            "margin": (chosen - rejected).sum().item(),
            "chosen_shift": chosen.sum().item(),
            "rejected_shift": rejected.sum().item(),
            "z0": float(z0) * batch.weight,
        }
        return losses.sum() + self.align.nll_weight * nll.sum(), metrics
