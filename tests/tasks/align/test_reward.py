"""Training the reward model, and Best-of-N, which trains nothing else."""

import math

import pytest
import torch

from model import policy, reward
from model.errors import TrainingError
from model.training import Optimization, fit
from tasks.align.method import pair_ids
from tasks.align.methods import METHODS
from tasks.align.reward import RewardTraining, train_reward
from tasks.common import paths
from tests.tasks.align import files


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    files.write_workspace(tmp_path, monkeypatch)


def run(method, **options):
    rows = []
    keep = {"on_step": lambda step, metrics: rows.append(metrics)}
    fit(
        method.model,
        method.batches,
        method.loss,
        Optimization(lr=method.lr, steps=method.steps),
        seed=1,
        cpu=True,
        **keep,
        **options,
    )
    return rows


def test_the_loss_is_ln_2_at_step_0_and_falls_until_every_pair_is_ranked_right():
    method = RewardTraining(files.job(reward_model={"lr": 1e-2, "epochs": 10}))
    rows = run(method)
    assert rows[0]["loss"] == pytest.approx(math.log(2))
    assert rows[-1]["accuracy"] == 1.0 and rows[-1]["loss"] < 0.2


def test_one_batch_of_four_equals_four_accumulated_batches_of_one():
    found = []
    for micro in (4, 1):
        method = RewardTraining(files.job(micro_pairs=micro))
        torch.manual_seed(0)
        torch.nn.init.normal_(method.model.head.weight)
        found.append(files.gradients(method))
    for together, accumulated in zip(*found, strict=True):
        torch.testing.assert_close(together, accumulated, atol=1e-6, rtol=1e-4)


def test_a_reward_that_is_not_finite_stops_with_the_pairs_names_even_where_the_loss_is_finite():
    method = RewardTraining(files.job(micro_pairs=1))
    [batch, *_] = method.batches(0)

    class Model(torch.nn.Linear):
        def forward(self, tokens, last):
            return torch.tensor([math.inf, 0.0])  # the chosen side's loss would be 0

    with pytest.raises(TrainingError, match=batch.ids[0]):
        method.loss(Model(1, 1), batch)


def test_best_of_n_leaves_the_policys_weights_and_adds_what_choosing_needs(tmp_path):
    job = files.job(method="best_of_n", best_of_n={"n": 3}, reward_model={"lr": 1e-2, "epochs": 2})
    before = [p.clone() for p in job.ar.parameters()]
    method = METHODS["best_of_n"](job)
    run(method)
    policy.save(job.policy, tmp_path / "new")
    method.finish(tmp_path / "new")
    assert all(torch.equal(a, b) for a, b in zip(job.ar.parameters(), before, strict=True))
    assert policy.best_of_n(policy.load(tmp_path / "new").model) == 3
    context = files.OWN.context("a", files.PROMPT)
    given = [(context, files.OWN.target([1, 2])), (context, files.OWN.target([9, 10, 11]))]
    saved = reward.score(reward.load(tmp_path / "new/reward"), given, ["x", "y"])
    assert torch.equal(saved, reward.score(method.model, given, ["x", "y"]))
    assert saved[0] != saved[1]


def test_the_reward_model_of_ppo_is_frozen_and_the_same_for_the_same_pairs():
    def trained():
        return train_reward(files.job(reward_model={"lr": 1e-3, "epochs": 2}))[0]

    first, kept = trained(), trained()  # the second is the first's, which waits until PPO has written its policy
    (paths.STATE / "reward@1.pt").unlink()
    again = trained()
    assert not any(p.requires_grad for p in first.parameters())
    for a, b, c in zip(first.parameters(), kept.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b) and torch.equal(a, c)


def test_its_accuracy_is_on_pairs_that_it_did_not_learn_from():
    method = RewardTraining(files.job(reward_model={"lr": 1e-2, "epochs": 10, "held_out": 0.25}))
    run(method)
    learned = {name for step in range(method.steps) for b in method.batches(step) for name in b.ids}
    assert len(method.held_out) == 3 and len(learned) == 9
    assert not learned & set(pair_ids(method.held_out))
    results = method.results()
    assert results["held_out_pairs"] == 3 and results["held_out_accuracy"] == 1.0
    turned = [
        {**pair, "chosen_logprob": -1.0 * len(pair["chosen"]), "rejected_logprob": -2.0 * len(pair["rejected"])}
        for pair in method.held_out
    ]
    method.held_out = turned
    assert method.results()["free_accuracy"] == 1.0
    assert RewardTraining(files.job(reward_model={"held_out": 0.0})).results() == {}
