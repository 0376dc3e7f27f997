"""Kahneman-Tversky optimization (Ethayarajh et al., arXiv 2402.01306, equations 7 and 8).

    r  = log pi(y|x) - log ref(y|x)
    z0 = max(0, mean r over mismatched pairs of text and speech): an estimate of KL(pi || ref), without gradient
    L  = w_D * (1 - sigmoid(beta * (r - z0)))   of a desirable sample
         w_U * (1 - sigmoid(beta * (z0 - r)))   of an undesirable one

Each sample teaches by itself: it needs a verdict, but no second sample to compare with.
"""

from __future__ import annotations

import torch


def kto_loss(
    *,
    logratio: torch.Tensor,
    desirable: torch.Tensor,
    z0: torch.Tensor | float,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> torch.Tensor:
    """Return each sample's loss ``(batch,)``; half its weight wherever policy and reference agree.

    Args:
        logratio: ``r (batch,)``, in nats. desirable: booleans ``(batch,)``.
        z0: scalar, 0 or more; no gradient flows into it.
    """
    z0 = torch.as_tensor(z0, dtype=logratio.dtype, device=logratio.device).detach()
    wins = desirable_weight * (1 - torch.sigmoid(beta * (logratio - z0)))
    losses = undesirable_weight * (1 - torch.sigmoid(beta * (z0 - logratio)))
    return torch.where(desirable, wins, losses)


def reference_point(*, logprobs: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Return ``z0`` from the log-probabilities ``(batch,)`` of mismatched texts and speech; never below 0."""
    return (logprobs - reference).mean().clamp(min=0).detach()
