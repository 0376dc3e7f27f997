"""Identity preference optimization (Azar et al., arXiv 2310.12036, equation 17).

    L = ( h - 1 / (2 tau) )²,   h = the margin of log-ratios, here averaged over each side's tokens

A squared loss doesn't reward an ever larger margin, so a pair that is always won stops teaching. The sums are averaged
over tokens, as the paper's authors confirmed to TRL: otherwise the target depends on the length.
"""

from __future__ import annotations

import torch

from model.objectives.pair_logprobs import PairLogprobs


def ipo_loss(logprobs: PairLogprobs, *, beta: float) -> torch.Tensor:
    """Return each pair's loss ``(batch,)``; ``1 / (4 beta²)`` wherever policy and reference agree.

    Args:
        beta: the paper's tau, above 0; smaller asks for a larger margin.
    """
    return (logprobs.per_token().margin - 1 / (2 * beta)).square()
