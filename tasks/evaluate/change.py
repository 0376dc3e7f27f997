"""How far the policy moved from the start, measured along the policy's own samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from model import divergence
from model.policy import Policy
from model.sampling import Sampled
from tasks.common.evaluation import EvaluationSet

if TYPE_CHECKING:
    pass

POSITIONS = 20_000  # tokens that are compared; more change no digit that is shown
NUMBERS = 1 << 26  # log-probabilities of all drawable tokens at all positions: a quarter of a GiB


def change(
    policy: Policy, start: Policy | None, texts: EvaluationSet, sampled: Sequence[Sampled], seed: int
) -> dict[str, Any]:
    """Return the policy's entropy and, against ``start``, kl, temperature and share of :mod:`model.divergence`.

    Args:
        start: None for the start policy itself.
        sampled: the policy's samples, one per text; a random part of them, if they have more tokens than are compared.
    """
    drawable = policy.layout.drawable
    chosen, positions, most = [], 0, min(POSITIONS, NUMBERS // len(drawable.codes))
    for i in np.random.default_rng(seed).permutation(len(sampled)).tolist():
        if positions < most:
            chosen.append(i)
            positions += len(sampled[i].logprobs)

    def logprobs(of: Policy) -> torch.Tensor:
        # Its own layout: Chain of Hindsight puts words before the text.
        contexts = [of.layout.context(texts.rows[i]["text"], texts.prompts[i]) for i in chosen]
        return divergence.code_logprobs(of.model, contexts, [sampled[i].target for i in chosen], drawable)

    own = logprobs(policy)
    found: dict[str, Any] = {"entropy": divergence.entropy(own)}
    if start is not None:
        found |= asdict(divergence.change(own, logprobs(start)))
    return found
