"""Every loss of :data:`model.objectives.pairwise.PAIRWISE_LOSSES`: chosen against rejected in one forward pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from model.batch import Batch
from model.fast.shared_context import collate_pairs, pair_logprobs, scored_tokens
from model.objectives.pair_logprobs import PairLogprobs
from model.objectives.pairwise import PAIRWISE_LOSSES, PairwiseOptions
from model.training import Metrics
from tasks.align.method import Job, PairMethod, pair_ids, preference_metrics
from tasks.common.rows import Row


def reward_gap(pair: Row) -> float:
    """Return how much better the judges scored the chosen side: WER saved plus similarity gained; NaN if unjudged."""
    return (pair["rejected_wer"] - pair["chosen_wer"]) + (pair["chosen_similarity"] - pair["rejected_similarity"])


class Pairwise(PairMethod):
    """Steps over the pairs, with both sides' reference log-probabilities as ``prefer`` cached them."""

    def __init__(self, job: Job):
        super().__init__(job)
        self.pairwise_loss = PAIRWISE_LOSSES[self.align.method]
        self.options = PairwiseOptions(
            beta=job.beta,
            label_smoothing=self.align.label_smoothing,
            length_normalized=self.align.length_normalized,
            eta=self.align.rpo.eta,
            gamma=self.align.simpo.gamma,
        )

    def batch(self, pairs: Sequence[Row]) -> Batch:
        return Batch(
            ids=pair_ids(pairs),
            weight=float(len(pairs)),
            **collate_pairs(pairs),
            reference_chosen=torch.tensor([pair["chosen_logprob"] for pair in pairs], dtype=torch.float32),
            reference_rejected=torch.tensor([pair["rejected_logprob"] for pair in pairs], dtype=torch.float32),
            reward_gap=torch.tensor([reward_gap(pair) for pair in pairs], dtype=torch.float32),
        )

    def loss(self, model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, Metrics]:
        """Return the preference loss plus the weighted negative log-likelihood (nats per token) of the chosen side."""
        labels, side = batch["labels"], batch["side"]
        chosen, rejected = pair_logprobs(model, batch["tokens"], labels, batch["positions"], side)
        chosen_tokens, rejected_tokens = scored_tokens(model, labels, side)
        logprobs = PairLogprobs(
            chosen=chosen,
            rejected=rejected,
            reference_chosen=batch["reference_chosen"],
            reference_rejected=batch["reference_rejected"],
            chosen_tokens=chosen_tokens,
            rejected_tokens=rejected_tokens,
            reward_gap=batch["reward_gap"],
        )
        preference = self.pairwise_loss(logprobs, self.options)
        nll = -chosen / chosen_tokens
        metrics = preference_metrics(
            losses=preference,
            nll=nll,
            chosen_shift=chosen - logprobs.reference_chosen,
            rejected_shift=rejected - logprobs.reference_rejected,
        )
        return (preference + self.job.nll_weight * nll).sum(), metrics
