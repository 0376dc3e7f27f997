"""Training the reward model on the pairs: Best-of-N's whole work, and PPO's first half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from model import policy
from model import reward as reward_lib
from model.batch import Batch
from model.errors import TrainingError
from model.objectives.reward_model import reward_loss
from model.pairs.sequences import sequences_of
from model.reward import RewardModel
from model.training import Metrics, Optimization
from tasks.align.method import Job, PairMethod, pair_ids
from tasks.common import paths, runtime
from tasks.common.digests import md5
from tasks.common.rows import Mapped, Row
from tasks.common.training import train

SIDES = ("chosen", "rejected")


class RewardTraining(PairMethod):
    """The reward model, from a copy of the AR's body, trained on the pairs ``align.reward_model.epochs`` times.

    Those of a share ``align.reward_model.held_out`` of the texts are kept out, to tell how well it ranks.
    """

    model: RewardModel

    def __init__(self, job: Job):
        ids = sorted({pair["id"] for pair in job.pairs})
        rng = np.random.default_rng([job.params.seed, 13, *job.iteration.encode()])
        out = {ids[i] for i in rng.permutation(len(ids))[: int(job.align.reward_model.held_out * len(ids))]}
        places: tuple[list[int], list[int]] = [], []
        for place, pair in enumerate(job.pairs):
            places[pair["id"] in out].append(place)
        trained_on, self.held_out = (Mapped(own, job.pairs.__getitem__) for own in places)
        super().__init__(replace(job, pairs=trained_on), job.align.reward_model.epochs)
        self.model = RewardModel.from_policy(job.ar)
        self.lr = self.align.reward_model.lr

    def batch(self, pairs: Sequence[Row]) -> Batch:
        tokens, last = reward_lib.pad(list(zip(*sequences_of(pairs), strict=True)))
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

    @torch.no_grad()
    def results(self) -> Metrics:
        """Return how often the chosen side of a pair that was kept out has the higher reward.

        ``free_accuracy`` is how often it has the higher mean log-probability under the reference, which needs no reward
        model.
        """
        if not self.held_out:
            return {}
        rewards = rewards_of(self.held_out, self.model, self.job.params.decoding.batch_size)
        means = torch.tensor(
            [
                [pair[f"{side}_logprob"] / (len(pair[side]) - pair[f"{side}_from"]) for pair in self.held_out]
                for side in SIDES
            ]
        )
        accuracies = [(chosen > rejected).float().mean().item() for chosen, rejected in (rewards, means)]
        return {
            "held_out_accuracy": accuracies[0],
            "free_accuracy": accuracies[1],
            "held_out_pairs": len(self.held_out),
        }


def rewards_of(pairs: Sequence[Row], reward: RewardModel, batch_size: int) -> torch.Tensor:
    """Return the rewards of all chosen sides and of all rejected ones, float32 ``(2, pairs)``."""

    def sequence(number: int) -> tuple[list[int], list[int]]:
        side, place = divmod(number, len(pairs))
        contexts, targets = sequences_of([pairs[place]])
        return contexts[side], targets[side]

    sides = Mapped(range(2 * len(pairs)), sequence)
    return reward_lib.score(reward, sides, pair_ids(pairs) * 2, batch_size).view(2, -1)


def train_reward(job: Job) -> tuple[RewardModel, Metrics]:
    """Return the trained reward model, frozen, and its results. It depends on pairs and settings only.

    Its training resumes by itself.
    """
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
        precision=runtime.precision_of(job.params.compute.precision, job.device),
    )
    return training.model.requires_grad_(False), training.results()
