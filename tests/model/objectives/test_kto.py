"""KTO: each sample by itself, held against an estimate of how far the policy has moved."""

import pytest
import torch

from model.objectives.kto import kto_loss, reference_point
from tests.model.objectives import small


def mismatched(pairs):
    """Every text with the next one's speech."""
    return [(p.context, q.chosen) for p, q in zip(pairs, [*pairs[1:], pairs[0]], strict=True)]


@pytest.mark.parametrize(("beta", "weights"), [(0.1, (1.0, 1.0)), (0.5, (1.0, 1.33))])
def test_values_and_gradients_equal_a_loop_over_samples_and_tokens(beta, weights):
    policy, reference, pairs = small.ar(0), small.ar(1), small.some_pairs()
    z0 = sum(small.looped_ratio(policy, reference, c, t).item() for c, t in mismatched(pairs)) / len(pairs)
    z0 = max(0.0, z0)
    wins = [
        weights[0] * (1 - small.sigmoid(beta * (small.looped_ratio(policy, reference, p.context, p.chosen) - z0)))
        for p in pairs
    ]
    losses = [
        weights[1] * (1 - small.sigmoid(beta * (z0 - small.looped_ratio(policy, reference, p.context, p.rejected))))
        for p in pairs
    ]

    contexts = [p.context for p in pairs]
    logprobs, _ = small.batched(policy, contexts * 2, [p.chosen for p in pairs] + [p.rejected for p in pairs])
    with torch.no_grad():
        anchor, _ = small.batched(reference, contexts * 2, [p.chosen for p in pairs] + [p.rejected for p in pairs])
    elsewhere = [list(x) for x in zip(*mismatched(pairs), strict=True)]
    estimate = reference_point(
        logprobs=small.batched(policy, *elsewhere)[0], reference=small.batched(reference, *elsewhere)[0]
    )
    assert estimate.item() == pytest.approx(z0, abs=1e-6) and not estimate.requires_grad
    ours = kto_loss(
        logratio=logprobs - anchor,
        desirable=torch.arange(2 * len(pairs)) < len(pairs),
        z0=estimate,
        beta=beta,
        desirable_weight=weights[0],
        undesirable_weight=weights[1],
    )
    small.assert_same(ours, torch.stack(wins + losses), policy)


def test_loss_is_half_its_weight_where_policy_and_reference_agree():
    loss = kto_loss(
        logratio=torch.zeros(2),
        desirable=torch.tensor([True, False]),
        z0=0.0,
        beta=0.1,
        desirable_weight=1.0,
        undesirable_weight=1.4,
    )
    torch.testing.assert_close(loss, torch.tensor([0.5, 0.7]))


def test_a_desirable_sample_gains_by_a_higher_ratio_and_an_undesirable_one_by_a_lower():
    ratio = torch.linspace(-30, 30, 61, dtype=torch.float64, requires_grad=True)
    for desirable, sign in ((True, -1), (False, 1)):
        loss = kto_loss(logratio=ratio, desirable=torch.full((61,), desirable), z0=3.0, beta=0.2)
        assert (sign * loss.diff() > 0).all()
        assert loss.min() > 0 and loss.max() < 1
        [gradient] = torch.autograd.grad(loss.sum(), ratio)
        share = torch.sigmoid(0.2 * (ratio.detach() - 3.0))
        torch.testing.assert_close(gradient, sign * 0.2 * share * (1 - share))
        assert ratio[gradient.abs().argmax()].item() == 3.0  # far from z0 on either side, a sample teaches little


def test_no_gradient_flows_into_the_estimate():
    z0 = torch.tensor(0.3, requires_grad=True)
    ratio = torch.zeros(2, requires_grad=True)
    kto_loss(logratio=ratio, desirable=torch.tensor([True, False]), z0=z0, beta=0.1).sum().backward()
    assert z0.grad is None and ratio.grad is not None


def test_the_estimate_is_never_below_zero():
    assert reference_point(logprobs=torch.tensor([-3.0, 1.0]), reference=torch.zeros(2)).item() == 0.0
    assert reference_point(logprobs=torch.tensor([-1.0, 3.0]), reference=torch.zeros(2)).item() == 1.0
