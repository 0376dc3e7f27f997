"""Every pairwise loss by its name in ``align.method``. A new one is a function in its own file and an entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from model.objectives.dpo import dpo_loss
from model.objectives.ipo import ipo_loss
from model.objectives.pair_logprobs import PairLogprobs
from model.objectives.rpo import rpo_loss
from model.objectives.simpo import simpo_loss


@dataclass(frozen=True, kw_only=True)
class PairwiseOptions:
    """Settings of all pairwise losses; each reads its own."""

    beta: float
    label_smoothing: float = 0.0  # dpo, simpo
    length_normalized: bool = False  # dpo
    eta: float = 1.0  # rpo
    gamma: float = 0.0  # simpo


def _dpo(pairs: PairLogprobs, options: PairwiseOptions) -> torch.Tensor:
    pairs = pairs.per_token() if options.length_normalized else pairs
    return dpo_loss(pairs, beta=options.beta, label_smoothing=options.label_smoothing)


def _simpo(pairs: PairLogprobs, options: PairwiseOptions) -> torch.Tensor:
    return simpo_loss(pairs, beta=options.beta, gamma=options.gamma, label_smoothing=options.label_smoothing)


# Each returns the loss of every pair (batch,).
PAIRWISE_LOSSES: dict[str, Callable[[PairLogprobs, PairwiseOptions], torch.Tensor]] = {
    "dpo": _dpo,
    "ipo": lambda pairs, options: ipo_loss(pairs, beta=options.beta),
    "rpo": lambda pairs, options: rpo_loss(pairs, beta=options.beta, eta=options.eta),
    "simpo": _simpo,
}
