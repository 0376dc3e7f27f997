"""PPO: the policy reads train texts, the reward model scores what it wrote, and some steps learn from that.

Each rollout is drawn from the policy as it then is, so training can be resumed between rollouts only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from model.actor_critic import ActorCritic
from model.objectives.logprobs import IGNORE, collate, token_logprobs
from model.objectives.ppo import clipped_surrogate, clipped_value_loss
from model.training import LossFunction, TrainingError
from tasks.align.grid import on_grid
from tasks.align.job import Job, Plan
from tasks.align.reward import train_reward
from tasks.align.rollout import Episode, roller
from tasks.align.schedule import schedule_of, split
from tasks.common.params.aligning import Ppo


@dataclass
class Batch:
    """Episodes padded together; ``weight`` is the number of their tokens. Grids are ``(batch, length)``."""

    ids: list[str]
    tokens: torch.Tensor
    labels: torch.Tensor
    old: torch.Tensor
    old_values: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor
    weight: float
    rollout: dict[str, float]  # means over the whole rollout: score and kl of an utterance


def batch_of(episodes: list[Episode], rollout: dict[str, float]) -> Batch:
    """One padded batch."""
    tokens, labels = collate([e.context for e in episodes], [e.target for e in episodes])
    return Batch(
        [e.id for e in episodes],
        tokens,
        labels,
        on_grid([e.old for e in episodes], labels),
        on_grid([e.old_values for e in episodes], labels),
        on_grid([e.advantages for e in episodes], labels),
        on_grid([e.returns for e in episodes], labels),
        float((labels != IGNORE).sum()),
        rollout,
    )


def objective(p: Ppo) -> LossFunction:
    """Clipped policy loss plus weighted value loss of each token, summed over tokens."""

    def loss_of(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        device = next(model.parameters()).device
        labels, old = batch.labels.to(device), batch.old.to(device)
        mask = labels != IGNORE
        logits, values = model(batch.tokens.to(device))
        logprobs = token_logprobs(logits, labels)
        surrogate = clipped_surrogate(logprobs, old, batch.advantages.to(device), p.clip)[mask].sum()
        value = clipped_value_loss(values, batch.old_values.to(device), batch.returns.to(device), p.clip)[mask].sum()
        outside = ((logprobs.detach() - old).exp() - 1).abs() > p.clip
        metrics = {
            "reward": batch.rollout["score"] * batch.weight,
            "kl": batch.rollout["kl"] * batch.weight,
            "value_loss": value.item(),
            "clipped": (outside & mask).sum().item(),
        }
        return surrogate + p.value_weight * value, metrics

    return loss_of


def plan(job: Job) -> Plan:
    """``align.ppo.rollouts`` rollouts, each with ``inner_epochs`` passes in steps of ``batch_pairs`` utterances."""
    p, seed = job.settings, job.params.seed
    model = ActorCritic(job.ar)
    roll = roller(job, model, train_reward(job))
    # Lengths of 0: the steps of a rollout are random, not of like length, for their gradients should not differ by it.
    schedules = [
        schedule_of([0] * p.ppo.prompts, p.ppo.inner_epochs, p.batch_pairs, seed + number)
        for number in range(p.ppo.rollouts)
    ]
    each = len(schedules[0])
    drawn: dict[int, list[Episode]] = {}  # the current rollout

    def batches(step: int) -> list[Batch]:
        number, within = divmod(step, each)
        if within == 0:
            drawn.clear()
            drawn[number] = roll(number)
        if number not in drawn:
            raise TrainingError(f"step {step + 1} belongs to rollout {number + 1}, whose policy is gone; train anew")
        episodes = drawn[number]
        means = {name: float(np.mean([getattr(e, name) for e in episodes])) for name in ("score", "kl")}
        parts = split(schedules[number][within], p.micro_pairs)
        return [batch_of([episodes[i] for i in part], means) for part in parts]

    return Plan(model, each * p.ppo.rollouts, batches, objective(p.ppo), may_save=lambda step: step % each == 0)
