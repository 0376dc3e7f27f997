"""PPO's terms against loops over single tokens, in float64; and a bandit whose best arm is known."""

import pytest
import torch

from model.objectives.advantages import generalized_advantages, whiten
from model.objectives.ppo import clipped_surrogate, clipped_value_loss, token_rewards


def randn(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def clip_of(x, low, high):
    return min(max(x, low), high)


def test_the_clipped_surrogate_equals_a_loop():
    old, advantages = randn(40, seed=1), randn(40, seed=2)
    logprobs = old + randn(40, seed=3, scale=0.4)
    expected = []
    for new, before, advantage in zip(logprobs.tolist(), old.tolist(), advantages.tolist(), strict=True):
        ratio = 2.718281828459045 ** (new - before)
        expected.append(-min(ratio * advantage, clip_of(ratio, 0.8, 1.2) * advantage))
    torch.testing.assert_close(
        clipped_surrogate(logprobs=logprobs, old_logprobs=old, advantages=advantages, clip=0.2),
        torch.tensor(expected).double(),
    )


def test_its_gradient_at_the_old_policy_is_the_policy_gradient():
    logprobs, advantages = randn(6).requires_grad_(), randn(6, seed=1)
    [gradient] = torch.autograd.grad(
        clipped_surrogate(logprobs=logprobs, old_logprobs=logprobs.detach(), advantages=advantages, clip=0.2).sum(),
        logprobs,
    )
    torch.testing.assert_close(gradient, -advantages)


@pytest.mark.parametrize(
    ("shift", "advantage", "pulls"), [(0.5, 1.0, False), (0.5, -1.0, True), (-0.5, 1.0, True), (-0.5, -1.0, False)]
)
def test_a_ratio_outside_the_clip_pulls_only_back(shift, advantage, pulls):
    logprobs = torch.tensor([shift], requires_grad=True)
    clipped_surrogate(
        logprobs=logprobs, old_logprobs=torch.zeros(1), advantages=torch.tensor([advantage]), clip=0.2
    ).sum().backward()
    assert bool(logprobs.grad != 0) is pulls


def test_the_clipped_value_loss_equals_a_loop():
    old, returns = randn(40, seed=1), randn(40, seed=2)
    values = old + randn(40, seed=3, scale=0.5)
    expected = []
    for value, before, wanted in zip(values.tolist(), old.tolist(), returns.tolist(), strict=True):
        near = clip_of(value, before - 0.2, before + 0.2)
        expected.append(0.5 * max((value - wanted) ** 2, (near - wanted) ** 2))
    torch.testing.assert_close(
        clipped_value_loss(values=values, old_values=old, returns=returns, clip=0.2), torch.tensor(expected).double()
    )


def test_token_rewards_are_the_kl_penalty_and_the_score_at_the_last_token():
    mask = torch.tensor([[False, True, True, False], [True, True, True, True]])
    scores = torch.tensor([2.0, -1.0], dtype=torch.float64)
    logprobs, reference = randn(2, 4, seed=1), randn(2, 4, seed=2)
    rewards = token_rewards(scores=scores, logprobs=logprobs, reference=reference, mask=mask, kl_weight=0.1)
    expected = -0.1 * (logprobs - reference) * mask
    expected[0, 2] += 2.0
    expected[1, 3] -= 1.0
    torch.testing.assert_close(rewards, expected)
    # Where the policy is the reference nothing but the score is left.
    same = token_rewards(scores=scores, logprobs=logprobs, reference=logprobs, mask=mask, kl_weight=0.1)
    assert torch.equal(same.sum(dim=1), scores)


def test_a_bandit_ends_at_its_best_arm_by_ppo():
    """Five arms, a softmax policy and a value: everything PPO learns with, on one-token episodes."""
    torch.manual_seed(0)
    pay = torch.tensor([0.0, 0.2, 1.0, 0.4, 0.1])
    logits, value = torch.zeros(5, requires_grad=True), torch.zeros(1, requires_grad=True)
    reference = torch.full((5,), 0.2).log()
    optimizer = torch.optim.Adam([logits, value], lr=0.05)
    one = torch.ones(64, 1, dtype=torch.bool)
    for _ in range(40):
        arms = torch.multinomial(logits.softmax(0), 64, replacement=True)
        old, old_values = logits.log_softmax(0)[arms].detach()[:, None], value.detach().expand(64, 1)
        rewards = token_rewards(
            scores=pay[arms], logprobs=old, reference=reference[arms][:, None], mask=one, kl_weight=0.05
        )
        advantages = generalized_advantages(rewards=rewards, values=old_values, mask=one, gae_lambda=0.95)
        returns, advantages = advantages + old_values, whiten(advantages)
        for _ in range(4):
            new = logits.log_softmax(0)[arms][:, None]
            loss = clipped_surrogate(logprobs=new, old_logprobs=old, advantages=advantages, clip=0.2).mean()
            loss = (
                loss
                + 0.5
                * clipped_value_loss(
                    values=value.expand(64, 1), old_values=old_values, returns=returns, clip=0.2
                ).mean()
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert logits.softmax(0)[2] > 0.95
    assert value.item() == pytest.approx(1.0 - 0.05 * 1.609, abs=0.1)  # the best arm's pay less its KL of ln 5


def test_with_a_heavy_kl_the_bandit_ends_at_the_known_compromise():
    """max E[pay] - w KL(pi, ref) is reached by ref * exp(pay / w): exact gradients through our reward and loss."""
    pay = torch.tensor([0.0, 0.2, 1.0, 0.4, 0.1], dtype=torch.float64)
    reference = torch.tensor([0.1, 0.4, 0.1, 0.3, 0.1], dtype=torch.float64).log()
    logits = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.02)
    one = torch.ones(5, 1, dtype=torch.bool)
    for _ in range(1500):
        logprobs = logits.log_softmax(0)
        old = logprobs.detach()
        rewards = token_rewards(
            scores=pay, logprobs=old[:, None], reference=reference[:, None], mask=one, kl_weight=0.5
        )[:, 0]
        expected = (old.exp() * rewards).sum()  # a perfect value function
        loss = (
            old.exp() * clipped_surrogate(logprobs=logprobs, old_logprobs=old, advantages=rewards - expected, clip=0.2)
        ).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(logits.softmax(0).detach(), (reference + pay / 0.5).softmax(0), atol=1e-3, rtol=1e-2)
