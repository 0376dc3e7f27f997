"""A small policy, its reference and pairs of all lengths; log-probabilities as trained and by a loop of one token.

Everything is in float64, so that a slightly different equation fails. Llama's RMSNorm still rounds to float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from transformers import LlamaForCausalLM

from model import policy
from model.objectives.logprobs import IGNORE, collate, sequence_logprobs
from model.objectives.pair_logprobs import PairLogprobs
from tests.sequences import Own

OWN = Own(16)


@dataclass(frozen=True)
class Pair:
    """Vocabulary ids of one preference, and by how much the chosen side was judged better."""

    context: list[int]
    chosen: list[int]
    rejected: list[int]
    gap: float


def ar(seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    model = (
        policy.build(policy.ArShape(layers=1, width=16, heads=2, max_positions=64), OWN.codebook_size)
        .model.double()
        .eval()
    )
    with torch.no_grad():  # far enough from uniform that every term of an equation counts
        model.lm_head.weight.mul_(8)
    return model


def some_pairs(n: int = 3, seed: int = 0) -> list[Pair]:
    """Sides of 1 to 8 tokens; some rejected ones were cut off, so have no end mark."""
    rng = np.random.default_rng(seed)

    def side(finished: bool = True) -> list[int]:
        return OWN.target(rng.integers(0, 16, rng.integers(1, 8)).tolist(), finished or bool(rng.integers(2)))

    contexts = [OWN.context("one two"[: rng.integers(1, 7)], rng.integers(0, 16, 3).tolist()) for _ in range(n)]
    return [Pair(c, side(), side(False), float(rng.uniform(-0.5, 1.5))) for c in contexts]


def batched(model: LlamaForCausalLM, contexts: list[list[int]], targets: list[list[int]]) -> tuple[torch.Tensor, ...]:
    """Return sums ``(batch,)`` and their numbers of tokens from one padded forward pass, as the stages do it."""
    ids, labels = collate(contexts, targets)
    return sequence_logprobs(model(ids, use_cache=False).logits, labels), (labels != IGNORE).sum(dim=1)


def batched_pairs(policy: LlamaForCausalLM, reference: LlamaForCausalLM, pairs: list[Pair]) -> PairLogprobs:
    """Return what the pairwise losses are given."""
    contexts = [p.context for p in pairs]
    chosen, n_chosen = batched(policy, contexts, [p.chosen for p in pairs])
    rejected, n_rejected = batched(policy, contexts, [p.rejected for p in pairs])
    with torch.no_grad():
        reference_chosen, _ = batched(reference, contexts, [p.chosen for p in pairs])
        reference_rejected, _ = batched(reference, contexts, [p.rejected for p in pairs])
    gaps = torch.tensor([p.gap for p in pairs], dtype=torch.float64)
    return PairLogprobs(
        chosen=chosen,
        rejected=rejected,
        reference_chosen=reference_chosen,
        reference_rejected=reference_rejected,
        chosen_tokens=n_chosen,
        rejected_tokens=n_rejected,
        reward_gap=gaps,
    )


def looped(model: LlamaForCausalLM, context: list[int], target: list[int]) -> torch.Tensor:
    """Return ``log p(target | context)``, unpadded and one token at a time."""
    total = torch.zeros((), dtype=torch.float64)
    for position, token in enumerate(target):
        logits = model(torch.tensor([[*context, *target[:position]]]), use_cache=False).logits[0, -1]
        total = total + logits[token] - logits.exp().sum().log()
    return total


def looped_ratio(
    policy: LlamaForCausalLM, reference: LlamaForCausalLM, context: list[int], target: list[int]
) -> torch.Tensor:
    """Return ``log pi(target | context) - log ref(target | context)``, one token at a time."""
    with torch.no_grad():
        anchor = looped(reference, context, target)
    return looped(policy, context, target) - anchor


def sigmoid(x: torch.Tensor) -> torch.Tensor:
    return 1 / (1 + (-x).exp())


def agreeing(logprobs: float, n: int = 3, tokens: tuple[int, int] = (4, 6)) -> PairLogprobs:
    """Return ``n`` pairs whose sides have the same log-probability under policy and reference."""
    both = torch.full((n,), logprobs, dtype=torch.float64)
    return PairLogprobs(
        chosen=both,
        rejected=both,
        reference_chosen=both,
        reference_rejected=both,
        chosen_tokens=torch.full((n,), tokens[0]),
        rejected_tokens=torch.full((n,), tokens[1]),
        reward_gap=torch.linspace(-1, 1, n),
    )


def with_margin(margin: torch.Tensor, **others: torch.Tensor) -> PairLogprobs:
    """Return pairs of one-token sides whose only difference is that the policy prefers the chosen one by ``margin``."""
    zero, one = torch.zeros_like(margin), torch.ones_like(margin)
    return PairLogprobs(
        chosen=margin,
        rejected=zero,
        reference_chosen=zero,
        reference_rejected=zero,
        chosen_tokens=one,
        rejected_tokens=one,
        **others,
    )


def assert_same(ours: torch.Tensor, theirs: torch.Tensor, model: LlamaForCausalLM) -> None:
    """Equal values, and equal gradients of every weight of ``model``, none of them all zero."""
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
    weights = list(model.parameters())
    gradients = torch.autograd.grad(ours.sum(), weights), torch.autograd.grad(theirs.sum(), weights)
    for a, b in zip(*gradients, strict=True):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b, atol=1e-5 * b.abs().max().item(), rtol=1e-4)
