"""Invariants that catch the loss bugs found in other projects."""

import math

import numpy as np
import pytest
import torch

from model import policy
from model.objectives.dpo import dpo_loss
from model.objectives.logprobs import collate, sequence_logprobs
from model.objectives.pair_logprobs import PairLogprobs
from tests.sequences import Own

OWN = Own(16)


@pytest.fixture(scope="module")
def ar():
    torch.manual_seed(0)
    return (
        policy.build(policy.ArShape(layers=2, width=32, heads=2, max_positions=128), OWN.codebook_size)
        .model.double()
        .eval()
    )


def pairs(n, seed=0):
    rng = np.random.default_rng(seed)
    contexts, chosen, rejected = [], [], []
    for _ in range(n):
        contexts.append(OWN.context("one two"[: rng.integers(1, 7)], rng.integers(0, 16, 5).tolist()))
        chosen.append(OWN.target(rng.integers(0, 16, rng.integers(2, 20)).tolist()))
        rejected.append(OWN.target(rng.integers(0, 16, rng.integers(2, 20)).tolist(), bool(rng.integers(2))))
    return contexts, chosen, rejected


def batched(model, contexts, targets):
    ids, labels = collate(contexts, targets)
    return sequence_logprobs(model(ids).logits, labels)


def naive(model, context, target):
    """One sequence, one token at a time."""
    total = torch.zeros((), dtype=torch.float64)
    for position, token in enumerate(target):
        logits = model(torch.tensor([[*context, *target[:position]]])).logits[0, -1]
        total = total + logits.log_softmax(-1)[token]
    return total


def test_sequence_logprobs_equal_a_naive_loop_in_value_and_gradient(ar):
    contexts, chosen, _ = pairs(3)
    ours = batched(ar, contexts, chosen)
    theirs = torch.stack([naive(ar, c, t) for c, t in zip(contexts, chosen, strict=True)])
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-9)
    parameters = list(ar.parameters())
    for a, b in zip(
        torch.autograd.grad(ours.sum(), parameters), torch.autograd.grad(theirs.sum(), parameters), strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)  # Llama's RMSNorm rounds to float32 on the way


def test_loss_is_ln_2_where_policy_and_reference_agree():
    chosen, rejected = torch.randn(5), torch.randn(5)
    for smoothing in (0.0, 0.2):
        loss = dpo_loss(
            PairLogprobs(chosen=chosen, rejected=rejected, reference_chosen=chosen, reference_rejected=rejected),
            beta=0.3,
            label_smoothing=smoothing,
        )
        torch.testing.assert_close(loss, torch.full((5,), math.log(2)))


def test_loss_falls_as_the_margin_grows_and_its_gradient_is_the_papers():
    margin = torch.tensor([-2.0, 0.0, 2.0], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(3, dtype=torch.float64)
    loss = dpo_loss(
        PairLogprobs(chosen=margin, rejected=zero, reference_chosen=zero, reference_rejected=zero), beta=0.5
    )
    assert (loss.diff() < 0).all()
    [gradient] = torch.autograd.grad(loss.sum(), margin)
    torch.testing.assert_close(gradient, -0.5 * torch.sigmoid(-0.5 * margin.detach()))


def test_padding_composition_and_order_change_nothing(ar):
    contexts, chosen, _ = pairs(6)
    together = batched(ar, contexts, chosen)
    alone = torch.cat([batched(ar, [c], [t]) for c, t in zip(contexts, chosen, strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-10, rtol=1e-10)
    order = [3, 1, 5, 0, 4, 2]
    shuffled = batched(ar, [contexts[i] for i in order], [chosen[i] for i in order])
    torch.testing.assert_close(shuffled, together[order], atol=1e-10, rtol=1e-10)


def test_masked_positions_get_no_gradient(ar):
    contexts, chosen, _ = pairs(4)
    ids, labels = collate(contexts, chosen)
    logits = ar(ids).logits.detach().requires_grad_()
    sequence_logprobs(logits, labels).sum().backward()
    scored = labels != -100
    assert (logits.grad[~scored] == 0).all()
    assert (logits.grad[scored].abs().sum(-1) > 0).all()


def test_scored_positions_are_exactly_the_targets(ar):
    contexts, chosen, _ = pairs(4)
    _, labels = collate(contexts, chosen)
    for row, target in zip(labels, chosen, strict=True):
        assert row[row != -100].tolist() == target
