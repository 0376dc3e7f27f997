"""How much better an action was than expected: within a group (GRPO), or against a value function (PPO)."""

from __future__ import annotations

import torch


def group_advantages(rewards: torch.Tensor, ranked: torch.Tensor, eps: float = 1e-8) -> torch.Tensor:
    """Return ``(r - mean of its group) / (s + eps)``, 0 in groups that are not ranked.

    DeepSeekMath (arXiv 2402.03300, section 4.1.2) divides by each group's own standard deviation. That makes as much of
    a group in which only noise differs as of one in which words do (Liu et al., arXiv 2503.20783, section 3.1). Here
    ``s`` is the root mean square of the centered rewards of all ranked groups.

    Args:
        rewards: ``(groups, size)``, one prompt's samples per row.
        ranked: booleans ``(groups,)``: whether a group's rewards tell more than noise.
    """
    centered = torch.where(ranked[:, None], rewards - rewards.mean(dim=1, keepdim=True), 0.0)
    scale = (centered.square().sum() / (ranked.sum().clamp(min=1) * rewards.shape[1])).sqrt()
    return centered / (scale + eps)


def generalized_advantages(
    *, rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, gae_lambda: float, gamma: float = 1.0
) -> torch.Tensor:
    """Return generalized advantage estimates ``(batch, length)`` (arXiv 1506.02438, equation 16); 0 if masked.

        delta_t = r_t + gamma * V(s_t+1) - V(s_t)
        A_t     = delta_t + gamma * lambda * A_t+1          where V and A are 0 after the last token

    Args:
        rewards, values: ``(batch, length)``; ``values`` belong to the states in which the tokens were drawn.
        mask: booleans ``(batch, length)``, true at the sampled tokens: one unbroken stretch per row.
        gae_lambda: 0 trusts the value of the next state, 1 the rewards that followed.
        gamma: 1 for episodes as short as an utterance.
    """
    advantages = torch.zeros_like(values)
    following = torch.zeros_like(values[:, 0])  # A_t+1 and V(s_t+1)
    value = torch.zeros_like(values[:, 0])
    for t in range(values.shape[1] - 1, -1, -1):
        here = mask[:, t]
        delta = rewards[:, t] + gamma * value - values[:, t]
        following = torch.where(here, delta + gamma * gae_lambda * following, 0.0)
        value = torch.where(here, values[:, t], 0.0)
        advantages[:, t] = following
    return advantages


def whiten(values: torch.Tensor, eps: float = 1e-8) -> torch.Tensor:
    """Return ``values (n,)`` scaled to mean 0 and standard deviation 1; all 0 where they are equal."""
    centered = values - values.mean()
    return centered / (centered.square().mean().sqrt() + eps)
