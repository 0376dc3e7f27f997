"""How far the policy moved from the start, measured along the policy's own samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from transformers import LlamaForCausalLM

from model import divergence, policy
from model.sampling import Sampled
from tasks.common.evaluation import EvaluationSet

POSITIONS = 20_000  # tokens that are compared; more change no digit that is shown


def change(
    ar: LlamaForCausalLM, start: LlamaForCausalLM | None, texts: EvaluationSet, sampled: Sequence[Sampled], seed: int
) -> dict[str, Any]:
    """Return the policy's entropy and, against ``start``, kl, temperature and share of :mod:`model.divergence`.

    Args:
        start: None for the start policy itself.
        sampled: the policy's samples, one per text; a random part of them, if they have more than POSITIONS tokens.
    """
    chosen, positions = [], 0
    for i in np.random.default_rng(seed).permutation(len(sampled)).tolist():
        if positions < POSITIONS:
            chosen.append(i)
            positions += len(sampled[i].logprobs)

    def logprobs(model: LlamaForCausalLM) -> torch.Tensor:
        vocabulary = policy.vocabulary_of(model)  # its own: Chain of Hindsight puts words before the text
        contexts = [vocabulary.context(texts.rows[i]["text"], texts.prompts[i][0].tolist()) for i in chosen]
        targets = [sampled[i].target for i in chosen]
        return divergence.code_logprobs(model, contexts, targets)

    own = logprobs(ar)
    found: dict[str, Any] = {"entropy": divergence.entropy(own)}
    if start is not None:
        found |= asdict(divergence.change(own, logprobs(start)))
    return found
