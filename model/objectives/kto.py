"""Kahneman-Tversky optimisation (Ethayarajh et al., arXiv 2402.01306, equations 7 and 8).

    r  = log pi(y|x) - log ref(y|x)
    z0 = max(0, mean r over mismatched pairs of text and speech): an estimate of KL(pi || ref), without gradient
    L  = w_D * (1 - sigmoid(beta * (r - z0)))   of a desirable sample
         w_U * (1 - sigmoid(beta * (z0 - r)))   of an undesirable one

Unpaired: each sample teaches by itself, so it needs a verdict on a sample and no second sample to hold it against.
"""

from __future__ import annotations

import torch


def kto_loss(
    logratio: torch.Tensor,
    desirable: torch.Tensor,
    z0: torch.Tensor | float,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> torch.Tensor:
    """Loss of each sample ``(batch,)``; half its weight wherever policy and reference agree.

    Args:
        logratio: ``r (batch,)``, in nats. desirable: booleans ``(batch,)``.
        z0: scalar, 0 or more; no gradient flows into it.
    """
    z0 = torch.as_tensor(z0, dtype=logratio.dtype, device=logratio.device).detach()
    wins = desirable_weight * (1 - torch.sigmoid(beta * (logratio - z0)))
    losses = undesirable_weight * (1 - torch.sigmoid(beta * (z0 - logratio)))
    return torch.where(desirable, wins, losses)


def kl_estimate(logprobs: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """``z0``: mean log-ratio of mismatched texts and speech ``(batch,)``, never below 0."""
    return (logprobs - reference).mean().clamp(min=0).detach()
