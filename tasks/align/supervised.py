"""Training by likelihood: Chain of Hindsight, and the controls rejection sampling and continued SFT."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from model.batch import Batch
from model.layouts.layout import Layout
from model.objectives.coh import BAD, GOOD
from model.objectives.logprobs import collate, decided, label_logprobs
from model.pairs.sequences import sequences_of
from model.processes import micro_batches
from model.training import Metrics
from tasks.align.method import Job, Method, PairMethod, pair_ids
from tasks.align.schedule import passes
from tasks.common.rows import Row


class Supervised(Method):
    """The loss of all three."""

    def loss(self, model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, Metrics]:
        """Return each sequence's mean negative log-likelihood (nats per token), summed over sequences."""
        scored = label_logprobs(model, batch["tokens"], batch["labels"]).sum(dim=1)
        nll = -scored / decided(model, batch["labels"]).sum(dim=1)
        return nll.sum(), {"nll": nll.sum().item()}


class ChainOfHindsight(Supervised, PairMethod):
    """Both sides of every pair, each with its verdict before the text. Later every text gets the good verdict."""

    def __init__(self, job: Job):
        super().__init__(job)
        self.good, self.bad = (job.layout.with_prefix(prefix) for prefix in (GOOD, BAD))

    def learned(self) -> Layout:
        return self.good

    def batch(self, pairs: Sequence[Row]) -> Batch:
        voices = self.job.train_set.voices
        prompts = [voices.prompt_of(pair["prompt_id"]) for pair in pairs]
        good, bad = (
            [layout.context(pair["text"], prompt) for pair, prompt in zip(pairs, prompts, strict=True)]
            for layout in (self.good, self.bad)
        )
        good, _ = sequences_of(pairs, good)
        bad, targets = sequences_of(pairs, bad)
        tokens, labels = collate(good[: len(pairs)] + bad[len(pairs) :], targets)
        return Batch(ids=pair_ids(pairs) * 2, weight=2.0 * len(pairs), tokens=tokens, labels=labels)


class RejectionSampling(Supervised, PairMethod):
    """The chosen side of every pair, the best of its text's draws, in the steps of a pairwise method.

    As in Dong et al. (RAFT, arXiv 2304.06767). The rejected sides take no part: what a pairwise method gains over
    this control, it gains by them.
    """

    def batch(self, pairs: Sequence[Row]) -> Batch:
        contexts, targets = sequences_of(pairs)
        tokens, labels = collate(contexts[: len(pairs)], targets[: len(pairs)])
        return Batch(ids=pair_ids(pairs), weight=float(len(pairs)), tokens=tokens, labels=labels)


class ContinuedSft(Supervised):
    """Golden utterances of the whole train split: as many steps, and sequences per step, as a pairwise method takes."""

    def __init__(self, job: Job):
        super().__init__(job)
        self.steps = len(job.pair_schedule(self.align.epochs))
        self.sequences = 2 * self.align.batch_pairs  # per step
        rng = np.random.default_rng([job.params.seed, 6, *job.iteration.encode()])
        self.drawn = passes(items=len(job.train_set.golden), needed=self.steps * self.sequences, rng=rng)

    def batches(self, step: int) -> list[Batch]:
        train, members = self.job.train_set, self.drawn[step * self.sequences : (step + 1) * self.sequences]
        rng = np.random.default_rng([self.job.params.seed, 7, step])
        drawn = [(i, train.in_random_voice(i, rng)) for i in members]
        return micro_batches(drawn, 2 * self.align.micro_pairs, self.batch)

    def batch(self, drawn: Sequence[tuple[int, list[int]]]) -> Batch:
        """Return utterances, each after its context, padded together."""
        train = self.job.train_set
        tokens, labels = collate([context for _, context in drawn], [train.target(i) for i, _ in drawn])
        ids = [train.golden.ids[i] for i, _ in drawn]
        return Batch(ids=ids, weight=float(len(drawn)), tokens=tokens, labels=labels)
