"""IPO: the paper's equation on per-token means, and the margin that it asks for."""

import pytest
import torch

from model.objectives.ipo import ipo_loss
from tests.model.objectives import small


@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_values_and_gradients_equal_a_loop_over_pairs_and_tokens(beta):
    policy, reference, pairs = small.ar(0), small.ar(1), small.some_pairs()
    expected = []
    for p in pairs:
        won = small.looped_ratio(policy, reference, p.context, p.chosen) / len(p.chosen)
        lost = small.looped_ratio(policy, reference, p.context, p.rejected) / len(p.rejected)
        expected.append((won - lost - 1 / (2 * beta)) ** 2)
    ours = ipo_loss(small.batched_pairs(policy, reference, pairs), beta=beta)
    small.assert_same(ours, torch.stack(expected), policy)


def test_loss_is_analytic_where_policy_and_reference_agree():
    loss = ipo_loss(small.agreeing(-20.0), beta=0.25)
    torch.testing.assert_close(loss, torch.full((3,), 4.0, dtype=torch.float64))


def test_the_least_loss_is_zero_at_a_margin_of_one_over_two_beta():
    margins = torch.linspace(-6, 10, 161, dtype=torch.float64)
    loss = ipo_loss(small.with_margin(margins), beta=0.25)
    assert margins[loss.argmin()].item() == pytest.approx(2.0)
    assert loss.min().item() == pytest.approx(0.0, abs=1e-20)
    below, above = loss[margins <= 2.0], loss[margins >= 2.0]
    assert (below.diff() < 0).all() and (above.diff() > 0).all()


def test_gradient_widens_a_margin_below_the_target_and_narrows_one_above_it():
    margins = torch.tensor([-1.0, 1.9, 2.1, 5.0], dtype=torch.float64, requires_grad=True)
    [gradient] = torch.autograd.grad(ipo_loss(small.with_margin(margins), beta=0.25).sum(), margins)
    torch.testing.assert_close(gradient, 2 * (margins.detach() - 2.0))


def test_the_same_margin_a_token_costs_the_same_at_any_length():
    tokens = torch.tensor([1.0, 7.0, 40.0], dtype=torch.float64)
    zero = torch.zeros(3, dtype=torch.float64)
    loss = ipo_loss(
        small.PairLogprobs(
            chosen=0.3 * tokens,
            rejected=zero,
            reference_chosen=zero,
            reference_rejected=zero,
            chosen_tokens=tokens,
            rejected_tokens=tokens,
        ),
        beta=0.1,
    )
    torch.testing.assert_close(loss, loss[:1].expand(3))
