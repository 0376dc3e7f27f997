"""Training the reward model on the pairs: Best-of-N's whole work, and PPO's first half."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from model import policy
from model import reward as reward_lib
from model.batch import Batch
from model.objectives.reward_model import reward_loss
from model.pairs.sequences import sequences_of
from model.reward import RewardModel
from model.training import Metrics, Optimization, TrainingError
from tasks.align.method import Job, PairMethod, Row, pair_ids
from tasks.common import paths
from tasks.common.digests import md5
from tasks.common.training import train


class RewardTraining(PairMethod):
    """The reward model, from a copy of the AR's body, trained on every pair ``align.reward_model.epochs`` times."""

    model: RewardModel

    def __init__(self, job: Job):
        super().__init__(job, job.align.reward_model.epochs)
        self.model = RewardModel.from_policy(job.ar)
        self.lr = self.align.reward_model.lr

    def batch(self, pairs: Sequence[Row]) -> Batch:
        tokens, last = reward_lib.pad(list(zip(*sequences_of(pairs, self.job.vocabulary), strict=True)))
        return Batch(ids=pair_ids(pairs), weight=float(len(pairs)), tokens=tokens, last=last)

    def loss(self, model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, Metrics]:
        """Return the pairs' losses, summed.

        Raises:
            TrainingError: a reward that is not finite, even if the loss of its pair still is.
        """
        rewards = model(batch["tokens"], batch["last"])
        if not torch.isfinite(rewards).all():
            raise TrainingError(
                f"rewards of the batch of {batch.ids} are not finite; lower align.reward_model.lr, or look at them"
            )
        chosen, rejected = rewards.chunk(2)
        losses = reward_loss(chosen=chosen, rejected=rejected)
        margin = chosen - rejected
        return losses.sum(), {"accuracy": (margin > 0).sum().item(), "margin": margin.sum().item()}


def train_reward(job: Job) -> RewardModel:
    """Return the trained reward model, frozen. It depends on pairs and settings only, and resumes by itself."""
    align, training, previous = job.align, RewardTraining(job), job.params.iteration(job.iteration).prev
    train(
        training.model,
        training.batches,
        training.loss,
        Optimization(lr=training.lr, steps=training.steps, warmup=align.warmup, max_grad_norm=align.max_grad_norm),
        name=f"reward@{job.iteration}",
        command="tasks.align",
        depends_on=[align, md5(paths.pairs(job.iteration)), policy.digest(paths.ar(previous))],
        params=job.params,
        device=job.device,
    )
    return training.model.requires_grad_(False)
