"""Reward model of pairwise preferences (Bradley-Terry; SpeechAlign, arXiv 2404.05600, section 3.3).

    L = -log sigmoid( r(x, y_w) - r(x, y_l) )

Only differences of rewards of the same text have a meaning: the zero and the scale of ``r`` are free.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def reward_loss(*, chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
    """Return each pair's loss ``(batch,)`` from both sides' rewards ``(batch,)``; ``ln 2`` where they are equal."""
    return -F.logsigmoid(chosen - rejected)
