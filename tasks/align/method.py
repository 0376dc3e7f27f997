"""Interface of the methods: what each is given (:class:`Job`) and what it offers to be trained (:class:`Method`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from model import lora, policy
from model.batch import Batch
from model.fast.onednn import use_onednn
from model.layouts.layout import Layout
from model.pairs.sequences import codes_in
from model.policy import Policy
from model.processes import micro_batches
from model.training import Metrics
from tasks.align.schedule import chunks, passes, schedule_of
from tasks.align.train_set import TrainSet
from tasks.common import paths
from tasks.common.params import Params, own
from tasks.common.params.aligning import Align
from tasks.common.rows import Row
from tasks.common.utterances import Utterances
from tasks.common.voices import Voices


@dataclass(frozen=True, kw_only=True)
class Job:
    """One iteration to align: the policy to train (in place), its pairs, and the settings."""

    policy: Policy
    pairs: Sequence[Row]  # of schemas.PAIRS, checked
    params: Params
    iteration: str
    device: torch.device

    @property
    def align(self) -> Align:
        return self.params.align

    @property
    def beta(self) -> float:
        beta = own.beta_of(self.params, self.iteration)
        assert beta is not None, f"align.method {self.align.method} has no beta"
        return beta

    @property
    def nll_weight(self) -> float:
        return own.nll_weight_of(self.params)

    @property
    def ar(self) -> PreTrainedModel:
        """The model to train."""
        return self.policy.model

    @property
    def layout(self) -> Layout:
        return self.policy.layout

    @cached_property
    def train_set(self) -> TrainSet:
        golden = Utterances.read("train", sum(self.layout.code_tokens.per_frame))
        return TrainSet(Voices.of(golden, self.params), self.layout)

    def load_reference(self) -> torch.nn.Module:
        """Return the reference policy, frozen: the previous one, or the start policy (``prefer.reference``).

        Where adapters are trained on it, it is the policy itself with its adapters switched off.
        """
        previous = self.params.iteration(self.iteration).prev
        anchor = previous if self.params.prefer.reference == "previous" else "0"
        if self.align.parameters == "lora" and anchor == previous:
            return lora.Unadapted(self.ar)
        return use_onednn(policy.load(paths.ar(anchor), self.device).model).requires_grad_(False)

    def pair_schedule(self, epochs: int) -> list[list[int]]:
        """Return positions of the pairs of each step, ``align.batch_pairs`` of them.

        This iteration's pairs come once per epoch, those of like length together.

        A share ``prefer.replay`` of each step are pairs of earlier iterations, where there are any. So the number of
        steps follows that of the fresh pairs: an iteration that found few of them moves the policy little.
        """
        fresh, earlier, lengths = [], [], []
        for place, pair in enumerate(self.pairs):
            if pair["iteration"] == self.iteration:
                fresh.append(place)
                lengths.append(codes_in(pair))
            else:
                earlier.append(place)
        size, seed = self.align.batch_pairs, self.params.seed
        replayed = min(round(self.params.prefer.replay * size), size - 1) if earlier else 0
        steps = [
            [fresh[i] for i in step]
            for step in schedule_of(lengths, epochs=epochs, batch_size=size - replayed, seed=seed)
        ]
        if replayed:
            rng = np.random.default_rng([seed, 12, *self.iteration.encode()])
            again = passes(items=len(earlier), needed=replayed * len(steps), rng=rng)
            for step, drawn in zip(steps, chunks(again, replayed), strict=True):
                step += [earlier[i] for i in drawn]
        return steps


class Method(ABC):
    """Model, batches, loss and number of steps of one method: arguments of :func:`model.training.fit`.

    A method sets ``steps`` when it is made, and ``model`` and ``lr`` where they are not the policy and ``align.lr``.
    ``rates`` are learning rates of parameters by how their names start.
    """

    steps: int

    def __init__(self, job: Job):
        self.job = job
        self.align = job.align
        self.model: torch.nn.Module = job.ar
        self.lr = job.align.lr
        self.rates: dict[str, float] = {}

    @abstractmethod
    def batches(self, step: int) -> list[Batch]:
        """Return this process's micro-batches of a step (from 0), the same at every call."""

    @abstractmethod
    def loss(self, model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, Metrics]:
        """Return the loss and the metrics to report, both summed over the batch's items."""

    def may_save(self, step: int) -> bool:
        """Whether a run can resume after this many steps."""
        return True

    def results(self) -> Metrics:
        """Return what to report once, after training: by default nothing."""
        return {}

    def learned(self) -> Layout:
        """Return the layout of the new policy: by default that of the previous one."""
        return self.job.layout

    def finish(self, folder: Path) -> None:  # noqa: B027
        """Add to the new policy's folder what else it needs: by default nothing."""


class PairMethod(Method):
    """The steps of :meth:`Job.pair_schedule`.

    Args:
        epochs: ``align.epochs`` if None.
    """

    def __init__(self, job: Job, epochs: int | None = None):
        super().__init__(job)
        self.schedule = job.pair_schedule(epochs or self.align.epochs)
        self.steps = len(self.schedule)

    def batches(self, step: int) -> list[Batch]:
        return micro_batches(self.schedule[step], self.align.micro_pairs, lambda places: self.batch(self.pairs(places)))

    def pairs(self, places: Sequence[int]) -> list[Row]:
        """Return the pairs at these positions."""
        return [self.job.pairs[place] for place in places]

    @abstractmethod
    def batch(self, pairs: Sequence[Row]) -> Batch:
        """Return pairs padded together: chosen rows, then rejected rows; the weight counts what the loss sums."""


def preference_metrics(
    *, losses: torch.Tensor, nll: torch.Tensor, chosen_shift: torch.Tensor, rejected_shift: torch.Tensor
) -> Metrics:
    """Return what every preference loss reports; the shifts are log-ratios to the reference ``(batch,)``."""
    return {
        "preference_loss": losses.sum().item(),
        "nll": nll.sum().item(),
        "accuracy": (chosen_shift > rejected_shift).sum().item(),
        "margin": (chosen_shift - rejected_shift).sum().item(),
        "chosen_shift": chosen_shift.sum().item(),
        "rejected_shift": rejected_shift.sum().item(),
    }


def pair_ids(pairs: Sequence[Row]) -> list[str]:
    """Return what an error calls each pair."""
    return [f"{pair['id']}@{pair['iteration']}" for pair in pairs]
