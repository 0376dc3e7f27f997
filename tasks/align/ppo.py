"""PPO: the policy samples texts of the pool, the reward model scores the samples, and some steps learn from that."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from model.actor_critic import ActorCritic
from model.batch import Batch
from model.objectives.logprobs import IGNORE, collate
from model.objectives.ppo import clipped_surrogate, clipped_value_loss
from model.training import Metrics
from tasks.align.grid import on_grid
from tasks.align.method import Job
from tasks.align.on_policy import Episode, OnPolicy
from tasks.align.reward import train_reward
from tasks.align.rollout import Valued, reward_mean_and_std, scores_of, with_advantages

PER_TOKEN = ("old", "old_values", "advantages", "returns")  # of an episode


class Ppo(OnPolicy):
    """``align.ppo.rollouts`` rollouts, each with ``inner_epochs`` passes in steps of ``batch_pairs`` utterances."""

    model: ActorCritic

    def __init__(self, job: Job):
        ppo = job.align.ppo
        super().__init__(
            job,
            rollouts=ppo.rollouts,
            prompts=ppo.prompts,
            draws=1,
            inner_epochs=ppo.inner_epochs,
            texts_per_step=job.align.batch_pairs,
        )
        self.reward, self.reward_results = train_reward(job)
        self.mean, self.std = reward_mean_and_std(self.reward, job)
        self.reference = job.load_reference()
        self.model = ActorCritic(job.ar)
        self.rates = {"value.": ppo.value_lr}

    def judged(self, groups: list[list[Episode]], number: int) -> list[list[Episode]]:
        episodes = [episode for group in groups for episode in group]
        valued = with_advantages(
            episodes,
            scores_of(episodes, self.job, self.reward, self.mean, self.std),
            model=self.model,
            reference=self.reference,
            ppo=self.align.ppo,
            batch_size=self.job.params.decoding.batch_size,
        )
        return [[episode] for episode in valued]

    def results(self) -> Metrics:
        return self.reward_results

    def batch(self, episodes: Sequence[Valued]) -> Batch:  # type: ignore[override]
        """Return episodes padded together; the weight is the number of their tokens."""
        tokens, labels = collate([e.context for e in episodes], [e.target for e in episodes])
        return Batch(
            ids=[e.id for e in episodes],
            weight=float((labels != IGNORE).sum()),
            tokens=tokens,
            labels=labels,
            **{name: on_grid([getattr(e, name) for e in episodes], labels) for name in PER_TOKEN},
            **{name: torch.tensor([getattr(e, name) for e in episodes]).mean() for name in ("score", "kl")},
        )

    def loss(self, model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, Metrics]:
        """Return each token's clipped policy loss plus its weighted value loss, summed over tokens."""
        ppo, old, mask = self.align.ppo, batch["old"], batch["labels"] != IGNORE
        logprobs, values = model(batch["tokens"], batch["labels"])
        policy_losses = clipped_surrogate(
            logprobs=logprobs, old_logprobs=old, advantages=batch["advantages"], clip=ppo.clip
        )
        value_losses = clipped_value_loss(
            values=values, old_values=batch["old_values"], returns=batch["returns"], clip=ppo.clip
        )
        policy_loss, value_loss = policy_losses[mask].sum(), value_losses[mask].sum()
        outside = ((logprobs.detach() - old).exp() - 1).abs() > ppo.clip
        metrics = {
            "reward": batch["score"].item() * batch.weight,
            "kl": batch["kl"].item() * batch.weight,
            "value_loss": value_loss.item(),
            "clipped": (outside & mask).sum().item(),
        }
        return policy_loss + ppo.value_weight * value_loss, metrics
