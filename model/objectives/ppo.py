"""Proximal policy optimization (Schulman et al., arXiv 1707.06347, equation 7), for tokens rewarded at their end.

    ratio_t = pi(a_t|s_t) / pi_old(a_t|s_t)
    L_t     = -min( ratio_t * A_t, clip(ratio_t, 1 - clip, 1 + clip) * A_t )  +  value_weight * L_V

The reward of a token is the KL penalty of RLHF (Ziegler et al., arXiv 1909.08593, equation 2); the last token adds
the reward model's score. SpeechAlign (arXiv 2404.05600, section 3.3) uses it with codec tokens as actions.
"""

from __future__ import annotations

import torch


def clipped_surrogate(
    *, logprobs: torch.Tensor, old_logprobs: torch.Tensor, advantages: torch.Tensor, clip: float
) -> torch.Tensor:
    """Return each token's loss, in the shape of ``logprobs``; ``-A`` where the policy is still the one that sampled."""
    ratio = torch.exp(logprobs - old_logprobs)
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)


def clipped_value_loss(
    *, values: torch.Tensor, old_values: torch.Tensor, returns: torch.Tensor, clip: float
) -> torch.Tensor:
    """Return half the squared error of each token's value, without a reward for moving over ``clip`` from the old one.

    The larger of the two errors counts, as in the policy's loss (Schulman's code; arXiv 2005.12729, section 2).
    """
    near = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns).square(), (near - returns).square())


def token_rewards(
    *, scores: torch.Tensor, logprobs: torch.Tensor, reference: torch.Tensor, mask: torch.Tensor, kl_weight: float
) -> torch.Tensor:
    """Return ``-kl_weight * (log pi - log ref)`` per sampled token, plus the score at the last one; 0 if masked.

    Args:
        scores: the reward model's ``(batch,)``.
        logprobs, reference: log-probabilities of the sampled tokens ``(batch, length)``.
        mask: booleans ``(batch, length)``, true at the sampled tokens; at least one per row.
    """
    rewards = torch.where(mask, -kl_weight * (logprobs - reference), 0.0)
    positions = torch.arange(mask.shape[1], device=mask.device)
    last = torch.where(mask, positions, -1).amax(dim=1)
    rewards[torch.arange(len(rewards), device=mask.device), last] += scores
    return rewards
