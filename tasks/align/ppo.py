"""PPO: the policy samples train texts, the reward model scores the samples, and some steps learn from that.

Each rollout is drawn from the policy of that moment, so training can be resumed between rollouts only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from model.actor_critic import ActorCritic
from model.batch import Batch
from model.objectives.logprobs import IGNORE, collate, token_logprobs
from model.objectives.ppo import clipped_surrogate, clipped_value_loss
from model.training import Metrics, TrainingError
from tasks.align.grid import on_grid
from tasks.align.method import Job, Method
from tasks.align.reward import train_reward
from tasks.align.rollout import Episode, Rollouts
from tasks.align.schedule import chunks, schedule_of

PER_TOKEN = ("old", "old_values", "advantages", "returns")  # of an episode


class Ppo(Method):
    """``align.ppo.rollouts`` rollouts, each with ``inner_epochs`` passes in steps of ``batch_pairs`` utterances."""

    model: ActorCritic

    def __init__(self, job: Job):
        super().__init__(job)
        self.model = ActorCritic(job.ar)
        self.rollouts = Rollouts(job, self.model, train_reward(job))
        ppo = self.align.ppo
        # Lengths of 0: steps are random, not of like length, because their gradients should not differ by length.
        self.schedules = [
            schedule_of(
                [0] * ppo.prompts,
                epochs=ppo.inner_epochs,
                batch_size=self.align.batch_pairs,
                seed=job.params.seed + number,
            )
            for number in range(ppo.rollouts)
        ]
        self.steps_per_rollout = len(self.schedules[0])
        self.steps = self.steps_per_rollout * ppo.rollouts
        self.current: tuple[int, list[Episode]] | None = None  # the rollout that steps learn from, with its number

    def may_save(self, step: int) -> bool:
        return step % self.steps_per_rollout == 0

    def batches(self, step: int) -> list[Batch]:
        """Return a step's micro-batches; the first step of a rollout samples it.

        Raises:
            TrainingError: a step within a rollout that was not sampled by this process.
        """
        number, within = divmod(step, self.steps_per_rollout)
        if within == 0:
            self.current = (number, self.rollouts.sample(number))
        if self.current is None or self.current[0] != number:
            raise TrainingError(
                f"step {step + 1} belongs to rollout {number + 1}, whose policy is gone; train from the start"
            )
        episodes = self.current[1]
        means = {name: torch.tensor(np.mean([getattr(e, name) for e in episodes])) for name in ("score", "kl")}
        parts = chunks(self.schedules[number][within], self.align.micro_pairs)
        return [self.batch([episodes[i] for i in part], means) for part in parts]

    def batch(self, episodes: Sequence[Episode], means: dict[str, torch.Tensor]) -> Batch:
        """Return episodes padded together; the weight is the number of their tokens.

        Args:
            means: over the whole rollout, to be reported: the score and KL of an utterance.
        """
        tokens, labels = collate([e.context for e in episodes], [e.target for e in episodes])
        return Batch(
            ids=[e.id for e in episodes],
            weight=float((labels != IGNORE).sum()),
            tokens=tokens,
            labels=labels,
            **{name: on_grid([getattr(e, name) for e in episodes], labels) for name in PER_TOKEN},
            **means,
        )

    def loss(self, model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, Metrics]:
        """Return each token's clipped policy loss plus its weighted value loss, summed over tokens."""
        ppo, old, mask = self.align.ppo, batch["old"], batch["labels"] != IGNORE
        logits, values = model(batch["tokens"])
        logprobs = token_logprobs(logits, batch["labels"])
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
