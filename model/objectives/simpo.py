"""Simple preference optimization (Meng et al., arXiv 2405.14734, equation 6).

    L = -log sigmoid( beta * [ mean log pi(y_w|x) - mean log pi(y_l|x) ] - gamma )

It needs no reference, averages over tokens, and asks the chosen side to win by a margin.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from model.objectives.pair_logprobs import PairLogprobs


def simpo_loss(logprobs: PairLogprobs, *, beta: float, gamma: float, label_smoothing: float = 0.0) -> torch.Tensor:
    """Return each pair's loss ``(batch,)``; ``ln(1 + e^gamma)`` where both sides are equally likely per token.

    Args:
        beta: scale of the difference of mean log-probabilities, above 0. The paper takes 2 to 10 for text, and
            per-token differences of codec tokens are as small.
        gamma: the target margin, 0 or more.
        label_smoothing: chance in [0, 0.5) that chosen and rejected are swapped.
    """
    mean = logprobs.per_token()
    scaled = beta * (mean.chosen - mean.rejected) - gamma
    return -(1 - label_smoothing) * F.logsigmoid(scaled) - label_smoothing * F.logsigmoid(-scaled)
