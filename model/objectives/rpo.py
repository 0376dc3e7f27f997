"""Reward-aware preference optimization (Nemotron-4, arXiv 2406.11704, section 3.3.2).

    L = KL( sigmoid(eta * gap) || sigmoid(beta * margin) )        of two Bernoulli variables

``gap`` is how much better the judge scored the chosen side. DPO widens the margin of every pair without end. RPO asks
for a small margin where the judge found a small difference, so a near tie pulls less than a clear win.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from model.errors import InputError
from model.objectives.pair_logprobs import PairLogprobs


def rpo_loss(logprobs: PairLogprobs, *, beta: float, eta: float) -> torch.Tensor:
    """Return each pair's loss ``(batch,)``, at least 0; ``ln 2 - H(sigmoid(eta gap))`` if policy and reference agree.

    Args:
        beta: strength of the pull towards the reference, above 0.
        eta: scale of the reward gap, above 0.

    Raises:
        InputError: no reward gaps, or one that is not finite.
    """
    if logprobs.reward_gap is None or not torch.isfinite(logprobs.reward_gap).all():
        raise InputError("RPO needs a finite reward gap for every pair: use pairs whose sides were both judged")
    wanted, scaled = eta * logprobs.reward_gap, beta * logprobs.margin
    target = torch.sigmoid(wanted)
    return target * (F.logsigmoid(wanted) - F.logsigmoid(scaled)) + (1 - target) * (
        F.logsigmoid(-wanted) - F.logsigmoid(-scaled)
    )
