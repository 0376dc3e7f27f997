"""The reward model: what a reward may depend on, and its folder."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from model import policy, reward
from model.errors import CheckpointError
from model.reward import RewardError, RewardModel
from tests.sequences import Own

OWN = Own(16)


def sequences(n=6, seed=0):
    """Contexts and targets of all lengths, every other one cut off."""
    rng = np.random.default_rng(seed)
    return [
        (
            OWN.context("one two"[: rng.integers(1, 7)], rng.integers(0, 16, 5).tolist()),
            OWN.target(rng.integers(0, 16, rng.integers(1, 20)).tolist(), bool(i % 2)),
        )
        for i in range(n)
    ]


@pytest.fixture
def ar():
    torch.manual_seed(0)
    return policy.build(policy.ArShape(layers=2, width=32, heads=2, max_positions=64), OWN.codebook_size).model.eval()


@pytest.fixture
def model(ar):
    made = RewardModel.from_policy(ar).eval()
    torch.nn.init.normal_(made.head.weight)
    return made


def names(n):
    return [f"u{i}" for i in range(n)]


def test_it_starts_without_a_preference_and_leaves_the_policy_alone(ar):
    fresh = RewardModel.from_policy(ar)
    assert (reward.score(fresh, sequences(), names(6)) == 0).all()
    before = [p.clone() for p in ar.parameters()]
    for parameter in fresh.parameters():
        torch.nn.init.ones_(parameter)
    assert all(torch.equal(p, old) for p, old in zip(ar.parameters(), before, strict=True))


def test_padding_composition_and_order_change_nothing(model):
    given = sequences()
    together = reward.score(model, given, names(6))
    alone = torch.cat([reward.score(model, [s], ["u"]) for s in given])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    order = [3, 1, 5, 0, 4, 2]
    shuffled = reward.score(model, [given[i] for i in order], names(6), batch_size=2)
    torch.testing.assert_close(shuffled, together[order], atol=1e-5, rtol=1e-5)


def test_the_reward_is_read_after_the_last_token_and_sees_every_token(model):
    [(context, target)] = sequences(1)
    first = reward.score(model, [(context, target)], ["u"])
    for position in range(len(target)):
        other = list(target)
        other[position] = OWN.codes([15 if target[position] != OWN.codes([15])[0] else 3])[0]
        assert reward.score(model, [(context, other)], ["u"]) != first
    hidden = model.body(torch.tensor([context + target])).last_hidden_state[0, -1]
    torch.testing.assert_close(first[0], (hidden @ model.head.weight[0]).detach())


def test_a_reward_that_is_not_finite_is_an_error_with_the_ids_and_never_a_number(model):
    with torch.no_grad():
        model.body.embed_tokens.weight[OWN.codes([7])[0]] = float("nan")
    context = OWN.context("one", [1, 2])
    given = [(context, OWN.target([1, 2])), (context, OWN.target([1, 7]))]
    with pytest.raises(RewardError, match=r"\['bad'\]"):
        reward.score(model, given, ["good", "bad"])


def test_a_saved_model_gives_the_same_rewards_and_holds_no_pickle(model, tmp_path):
    reward.save(model, tmp_path / "reward")
    assert {p.name for p in (tmp_path / "reward").iterdir()} == {"config.json", "model.safetensors"}
    again = reward.load(tmp_path / "reward")
    assert torch.equal(reward.score(model, sequences(), names(6)), reward.score(again, sequences(), names(6)))


def test_a_folder_that_does_not_fit_says_so(model, ar, tmp_path):
    with pytest.raises(CheckpointError, match=r"expected config\.json and model\.safetensors"):
        reward.load(tmp_path)
    policy.save(policy.Policy(ar, OWN.layout), tmp_path / "ar")
    with pytest.raises(CheckpointError, match="no reward model's"):
        reward.load(tmp_path / "ar")
    reward.save(model, tmp_path / "reward")
    weights = load_file(tmp_path / "reward/model.safetensors")
    save_file({**weights, "head.weight": torch.zeros(1, 5)}, tmp_path / "reward/model.safetensors")
    with pytest.raises(CheckpointError, match=r"do not fit its config\.json"):
        reward.load(tmp_path / "reward")
