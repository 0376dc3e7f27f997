"""PPO's view of a rollout: every sampled token gets a value, an advantage and a return."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from model.actor_critic import ActorCritic
from model.objectives.advantages import generalized_advantages, whiten
from model.objectives.logprobs import IGNORE, collate
from model.objectives.ppo import token_rewards
from model.reward import RewardModel, score
from tasks.align.grid import off_grid, on_grid, target_logprobs
from tasks.align.method import Job
from tasks.align.on_policy import Episode
from tasks.align.reward import rewards_of
from tasks.align.schedule import chunks
from tasks.common.params.aligning import Ppo


@dataclass(frozen=True, kw_only=True)
class Valued(Episode):
    """A sample with its score; the tensors hold one number per token of the target."""

    old_values: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor
    score: float  # the reward model's, normalized
    kl: float  # log-ratio to the reference, summed over the tokens, in nats


def scores_of(episodes: list[Episode], job: Job, reward: RewardModel, mean: float, std: float) -> torch.Tensor:
    """Return normalized scores ``(episodes,)``: the reward, less the penalty of a sample that was cut off."""
    sequences = [(episode.context, episode.target) for episode in episodes]
    rewards = score(reward, sequences, [episode.id for episode in episodes], job.params.decoding.batch_size)
    unfinished = torch.tensor([not episode.finished for episode in episodes])
    return (rewards - mean) / std - job.align.ppo.unfinished_penalty * unfinished


@torch.no_grad()
def with_advantages(
    episodes: list[Episode],
    scores: torch.Tensor,
    *,
    model: ActorCritic,
    reference: torch.nn.Module,
    ppo: Ppo,
    batch_size: int,
) -> list[Valued]:
    """Return the episodes with values, returns, and advantages normalized over all their tokens."""
    anchors = target_logprobs(
        reference, contexts=[e.context for e in episodes], targets=[e.target for e in episodes], batch_size=batch_size
    )
    device = next(model.parameters()).device
    done: list[Valued] = []
    for part in chunks(list(zip(episodes, anchors, scores.tolist(), strict=True)), batch_size):
        members, part_anchors, part_scores = zip(*part, strict=True)
        tokens, labels = collate([e.context for e in members], [e.target for e in members])
        old, anchor = on_grid([e.old for e in members], labels), on_grid(part_anchors, labels)
        mask = labels != IGNORE
        values = model(tokens.to(device), labels)[1].cpu()
        rewards = token_rewards(
            scores=torch.tensor(part_scores), logprobs=old, reference=anchor, mask=mask, kl_weight=ppo.kl_weight
        )
        advantages = generalized_advantages(rewards=rewards, values=values, mask=mask, gae_lambda=ppo.gae_lambda)
        rows = [off_grid(grid, labels) for grid in (values, advantages, advantages + values)]
        done += [
            Valued(**vars(e), old_values=v, advantages=a, returns=r, score=points, kl=float((e.old - anchor).sum()))
            for (e, anchor, points), v, a, r in zip(part, *rows, strict=True)
        ]
    whitened = whiten(torch.cat([e.advantages for e in done])).split([len(e.target) for e in done])
    return [replace(e, advantages=a) for e, a in zip(done, whitened, strict=True)]


def reward_mean_and_std(reward: RewardModel, job: Job) -> tuple[float, float]:
    """Return the mean and standard deviation of both sides' rewards, because a reward's zero and scale are free."""
    rewards = rewards_of(job.pairs, reward, job.params.decoding.batch_size)
    return float(rewards.mean()), max(float(rewards.std()), 1e-6)
