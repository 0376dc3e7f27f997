import math
from types import SimpleNamespace

import torch

from model.objectives.reward_model import reward_loss


def test_equal_rewards_cost_ln_2_at_any_level():
    rewards = torch.tensor([-300.0, 0.0, 5.0])
    torch.testing.assert_close(reward_loss(chosen=rewards, rejected=rewards), torch.full((3,), math.log(2)))


def test_only_the_difference_counts_and_its_gradient_is_the_papers():
    chosen = torch.tensor([-2.0, 0.0, 2.0], dtype=torch.float64, requires_grad=True)
    rejected = torch.tensor([0.5, -1.0, 0.0], dtype=torch.float64)
    loss = reward_loss(chosen=chosen, rejected=rejected)
    torch.testing.assert_close(loss, reward_loss(chosen=chosen + 7, rejected=rejected + 7))
    [gradient] = torch.autograd.grad(loss.sum(), chosen)
    torch.testing.assert_close(gradient, -torch.sigmoid(rejected - chosen.detach()))


def test_it_is_trls():
    """TRL's RewardTrainer on our rewards: chosen rows, then rejected rows."""
    from trl import RewardTrainer  # late, because TRL takes seconds to import

    rewards = torch.randn(8, 1, generator=torch.Generator().manual_seed(0))
    stub = SimpleNamespace(
        model=torch.nn.Identity().eval(),
        args=SimpleNamespace(center_rewards_coefficient=None),
        accelerator=SimpleNamespace(gather=lambda x: x, gather_for_metrics=lambda x: x),
        _metrics={
            "eval": dict.fromkeys(("min_reward", "mean_reward", "max_reward", "accuracy", "margin", "num_tokens"))
        },
        _total_train_tokens=0,
    )
    for name in stub._metrics["eval"]:
        stub._metrics["eval"][name] = []
    theirs = RewardTrainer.compute_loss(stub, lambda **inputs: SimpleNamespace(logits=rewards), {})
    chosen, rejected = rewards[:, 0].chunk(2)
    torch.testing.assert_close(reward_loss(chosen=chosen, rejected=rejected).mean(), theirs)
