"""RPO: a KL divergence of two Bernoulli variables, least where the margin says what the judge said."""

import math
from dataclasses import replace

import pytest
import torch

from model.objectives.dpo import dpo_loss
from model.objectives.rpo import rpo_loss
from tests.model.objectives import small


@pytest.mark.parametrize(("beta", "eta"), [(0.1, 5.0), (0.7, 1.0)])
def test_values_and_gradients_equal_a_loop_over_pairs_and_tokens(beta, eta):
    policy, reference, pairs = small.ar(0), small.ar(1), small.some_pairs()
    expected = []
    for p in pairs:
        margin = small.looped_ratio(policy, reference, p.context, p.chosen)
        margin = margin - small.looped_ratio(policy, reference, p.context, p.rejected)
        wanted, found = 1 / (1 + math.exp(-eta * p.gap)), small.sigmoid(beta * margin)
        expected.append(wanted * (wanted / found).log() + (1 - wanted) * ((1 - wanted) / (1 - found)).log())
    ours = rpo_loss(small.batched_pairs(policy, reference, pairs), beta=beta, eta=eta)
    small.assert_same(ours, torch.stack(expected), policy)


def test_loss_is_analytic_where_policy_and_reference_agree():
    loss = rpo_loss(small.agreeing(-20.0), beta=0.3, eta=2.0)  # gaps of -1, 0 and 1
    share = 1 / (1 + math.exp(-2.0))
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    expected = [math.log(2) - entropy, 0.0, math.log(2) - entropy]
    torch.testing.assert_close(loss, torch.tensor(expected, dtype=torch.float64), atol=1e-7, rtol=1e-7)


def test_a_gap_without_end_is_dpo():
    policy, reference, pairs = small.ar(0), small.ar(1), small.some_pairs()
    logprobs = small.batched_pairs(policy, reference, pairs)
    dpo = dpo_loss(logprobs, beta=0.3)
    distances = [
        (rpo_loss(replace(logprobs, reward_gap=torch.full_like(dpo, gap)), beta=0.3, eta=1.0) - dpo).abs().max().item()
        for gap in (1.0, 4.0, 16.0, 64.0)
    ]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 0.05 and distances[-1] < 1e-12


def test_the_least_loss_is_zero_where_the_margin_says_what_the_judge_said():
    margins = torch.linspace(-10, 30, 401, dtype=torch.float64)
    gap = torch.full_like(margins, 0.5)
    loss = rpo_loss(small.with_margin(margins, reward_gap=gap), beta=0.2, eta=4.0)
    best = int(loss.argmin())
    assert margins[best].item() == pytest.approx(4.0 * 0.5 / 0.2)
    assert loss.min().item() == pytest.approx(0.0, abs=1e-12)
    assert (loss[: best + 1].diff() < 0).all() and (loss[best:].diff() > 0).all()


def test_gradient_is_beta_times_what_is_too_much():
    margins = torch.tensor([-3.0, 0.0, 20.0], dtype=torch.float64, requires_grad=True)
    gap = torch.tensor([0.4, 0.4, 0.4], dtype=torch.float64)
    [gradient] = torch.autograd.grad(
        rpo_loss(small.with_margin(margins, reward_gap=gap), beta=0.2, eta=4.0).sum(), margins
    )
    expected = 0.2 * (torch.sigmoid(0.2 * margins.detach()) - torch.sigmoid(4.0 * gap))
    torch.testing.assert_close(gradient, expected)
    assert gradient[0] < 0 < gradient[2]  # widen what is too narrow, narrow what is too wide


@pytest.mark.parametrize("gap", [None, torch.tensor([0.1, math.nan]), torch.tensor([0.1, math.inf])])
def test_pairs_that_no_judge_gave_numbers_are_refused(gap):
    with pytest.raises(ValueError, match="both judged"):
        rpo_loss(replace(small.with_margin(torch.zeros(2)), reward_gap=gap), beta=0.1, eta=1.0)
