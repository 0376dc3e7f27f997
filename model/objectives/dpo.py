"""Direct preference optimization (Rafailov et al., arXiv 2305.18290, equation 7).

    L = -log sigmoid( beta * [ (log pi(y_w|x) - log ref(y_w|x)) - (log pi(y_l|x) - log ref(y_l|x)) ] )

SpeechAlign (arXiv 2404.05600, section 3.3) uses it with golden codec tokens as ``y_w`` and synthetic ones as ``y_l``.
Later work added options that speech needs. Label smoothing (conservative DPO) is the chance that a label is wrong.
Length normalization is :meth:`PairLogprobs.per_token`. The trainer adds the chosen side's negative log-likelihood,
without which the chosen side's probability may fall too.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from model.objectives.pair_logprobs import PairLogprobs


def dpo_loss(logprobs: PairLogprobs, *, beta: float, label_smoothing: float = 0.0) -> torch.Tensor:
    """Return each pair's loss ``(batch,)``; ``ln 2`` wherever policy and reference agree.

    Args:
        beta: strength of the pull towards the reference, above 0.
        label_smoothing: chance in [0, 0.5) that chosen and rejected are swapped.
    """
    scaled = beta * logprobs.margin
    return -(1 - label_smoothing) * F.logsigmoid(scaled) - label_smoothing * F.logsigmoid(-scaled)
