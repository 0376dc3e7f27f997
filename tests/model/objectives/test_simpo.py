"""SimPO: no reference, means over tokens, and a margin to win by."""

import math

import pytest
import torch

from model.objectives.simpo import simpo_loss
from tests.model.objectives import small


@pytest.mark.parametrize(("beta", "gamma", "smoothing"), [(2.0, 0.5, 0.0), (0.7, 0.0, 0.2)])
def test_values_and_gradients_equal_a_loop_over_pairs_and_tokens(beta, gamma, smoothing):
    policy, pairs = small.ar(0), small.some_pairs()
    expected = []
    for p in pairs:
        won = small.looped(policy, p.context, p.chosen) / len(p.chosen)
        lost = small.looped(policy, p.context, p.rejected) / len(p.rejected)
        scaled = beta * (won - lost) - gamma
        right, swapped = -small.sigmoid(scaled).log(), -small.sigmoid(-scaled).log()
        expected.append((1 - smoothing) * right + smoothing * swapped)
    ours = simpo_loss(
        small.batched_pairs(policy, small.ar(1), pairs), beta=beta, gamma=gamma, label_smoothing=smoothing
    )
    small.assert_same(ours, torch.stack(expected), policy)


def test_the_reference_plays_no_part():
    policy, pairs = small.ar(0), small.some_pairs()
    one, other = (simpo_loss(small.batched_pairs(policy, small.ar(s), pairs), beta=2.0, gamma=0.5) for s in (1, 2))
    assert torch.equal(one, other)


def test_loss_is_analytic_where_both_sides_are_equally_likely_a_token():
    loss = simpo_loss(small.agreeing(-20.0, tokens=(5, 5)), beta=3.0, gamma=0.8)
    torch.testing.assert_close(loss, torch.full((3,), math.log1p(math.exp(0.8)), dtype=torch.float64))


def test_loss_falls_as_the_margin_grows_and_its_gradient_is_the_papers():
    margins = torch.tensor([-2.0, 0.0, 0.25, 2.0], dtype=torch.float64, requires_grad=True)
    loss = simpo_loss(small.with_margin(margins), beta=2.0, gamma=0.5)
    assert (loss.diff() < 0).all()
    assert loss[2].item() == pytest.approx(math.log(2))  # the chosen side leads by exactly gamma / beta
    [gradient] = torch.autograd.grad(loss.sum(), margins)
    torch.testing.assert_close(gradient, -2.0 * torch.sigmoid(0.5 - 2.0 * margins.detach()))
