"""Group relative policy optimization (DeepSeekMath, arXiv 2402.03300, equations 3 and 4).

    L = mean_t { -min( ratio_t * A, clip(ratio_t, 1 - clip, 1 + clip) * A ) + kl_weight * KL_t }     of a sample
    KL_t = ref_t / pi_t - log(ref_t / pi_t) - 1                          at each token: never below 0, unbiased

PPO's clipped objective without a value function. The other samples of the same prompt are the baseline
(:func:`model.objectives.advantages.group_advantages`). The pull to the reference is in the loss, not in the reward.
"""

from __future__ import annotations

import torch

from model.objectives.ppo import clipped_surrogate


def kl_estimate(*, logprobs: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Return equation 4 at each token, in the shape of ``logprobs``: 0 where policy and reference agree."""
    gap = reference - logprobs
    return torch.exp(gap) - gap - 1


def grpo_loss(
    *,
    logprobs: torch.Tensor,
    old_logprobs: torch.Tensor,
    reference: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    clip: float,
    kl_weight: float,
) -> torch.Tensor:
    """Return each sample's loss ``(batch,)``, the mean over its own tokens.

    Args:
        logprobs, old_logprobs, reference: log-probabilities of the sampled tokens ``(batch, length)`` under the policy,
            the policy that sampled them, and the reference.
        advantages: one per sample ``(batch,)``.
        mask: booleans ``(batch, length)``, true at the sampled tokens. Values elsewhere make no difference.
    """
    losses = clipped_surrogate(logprobs=logprobs, old_logprobs=old_logprobs, advantages=advantages[:, None], clip=clip)
    losses = losses + kl_weight * kl_estimate(logprobs=logprobs, reference=reference)
    return torch.where(mask, losses, 0.0).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
