"""Advantages against loops over single numbers, in float64."""

import pytest
import torch

from model.objectives.advantages import generalized_advantages, group_advantages, whiten


def episodes(n=5, length=9, seed=0):
    """Rewards, values and masks of which each row is true from somewhere to somewhere."""
    generator = torch.Generator().manual_seed(seed)
    rewards, values = (torch.randn(n, length, generator=generator, dtype=torch.float64) for _ in range(2))
    mask = torch.zeros(n, length, dtype=torch.bool)
    for row in range(n):
        mask[row, row % 3 : length - row] = True
    return rewards, values, mask


def looped(rewards, values, gae_lambda, gamma):
    """One episode as its definition has it: the discounted sum of all later errors of the value function."""
    n = len(rewards)
    values = [*values, 0.0]
    errors = [rewards[t] + gamma * values[t + 1] - values[t] for t in range(n)]
    return [sum((gamma * gae_lambda) ** (k - t) * errors[k] for k in range(t, n)) for t in range(n)]


@pytest.mark.parametrize(("gae_lambda", "gamma"), [(0.95, 1.0), (0.0, 1.0), (1.0, 1.0), (0.9, 0.8)])
def test_generalized_advantages_equal_a_loop(gae_lambda, gamma):
    rewards, values, mask = episodes()
    ours = generalized_advantages(rewards=rewards, values=values, mask=mask, gae_lambda=gae_lambda, gamma=gamma)
    for row in range(len(mask)):
        scored = mask[row]
        expected = looped(rewards[row][scored].tolist(), values[row][scored].tolist(), gae_lambda, gamma)
        torch.testing.assert_close(ours[row][scored], torch.tensor(expected, dtype=torch.float64))
        assert (ours[row][~scored] == 0).all()


def test_what_lies_under_the_mask_changes_no_advantage():
    rewards, values, mask = episodes()
    ours = generalized_advantages(rewards=rewards, values=values, mask=mask, gae_lambda=0.95)
    garbage = torch.where(mask, 0.0, 1e9)
    assert torch.equal(
        ours, generalized_advantages(rewards=rewards + garbage, values=values + garbage, mask=mask, gae_lambda=0.95)
    )


def test_with_lambda_1_the_return_of_every_token_is_the_reward_still_to_come():
    rewards, values, mask = episodes()
    returns = generalized_advantages(rewards=rewards, values=values, mask=mask, gae_lambda=1.0) + values
    for row, scored in enumerate(mask):
        to_come = rewards[row][scored].flip(0).cumsum(0).flip(0)
        torch.testing.assert_close(returns[row][scored], to_come)


def test_group_advantages_are_differences_to_the_groups_mean_in_units_that_all_groups_share():
    rewards = torch.tensor([[-1.0, 0.0, 0.25, 0.75], [0.1, 0.2, 0.2, 0.3]], dtype=torch.float64)
    advantages = group_advantages(rewards, torch.tensor([True, True]), eps=0.0)
    torch.testing.assert_close(advantages.mean(dim=1), torch.zeros(2, dtype=torch.float64))
    assert advantages.square().mean().item() == pytest.approx(1.0)
    ratio = (rewards[0, 3] - rewards[0, 0]) / (rewards[1, 3] - rewards[1, 0])
    assert ((advantages[0, 3] - advantages[0, 0]) / (advantages[1, 3] - advantages[1, 0])).item() == pytest.approx(
        ratio
    )
    torch.testing.assert_close(advantages, group_advantages(10 * rewards + 3, torch.tensor([True, True]), eps=0.0))


def test_a_group_that_is_not_ranked_has_no_advantages_and_no_part_in_the_scale():
    rewards = torch.tensor([[-1.0, 0.0, 1.0], [0.0, 100.0, 200.0]])
    alone = group_advantages(rewards[:1], torch.tensor([True]))
    both = group_advantages(rewards, torch.tensor([True, False]))
    assert torch.equal(both[:1], alone) and not both[1].any()
    assert not group_advantages(rewards, torch.tensor([False, False])).any()


def test_whitening_leaves_mean_0_and_deviation_1_and_nothing_where_nothing_differs():
    whitened = whiten(torch.tensor([1.0, 5.0, -2.0, 8.0], dtype=torch.float64))
    assert whitened.mean().item() == pytest.approx(0.0, abs=1e-12)
    assert whitened.square().mean().item() == pytest.approx(1.0)
    assert (whiten(torch.full((4,), 3.0)) == 0).all()
