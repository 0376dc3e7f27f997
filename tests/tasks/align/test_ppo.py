"""PPO through its own rollouts: resuming, accumulation, and a bandit with a known best arm."""

import math

import pytest
import torch

from model.errors import TrainingError
from model.reward import RewardError
from model.training import Optimization, fit
from tasks.align import ppo, rollout
from tasks.align.methods import METHODS
from tests.tasks.align import files

SMALL = {"rollouts": 3, "prompts": 8, "inner_epochs": 2, "clip": 0.2, "kl_weight": 0.05, "unfinished_penalty": 0.0}


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    files.write_workspace(tmp_path, monkeypatch)


def method_of(**changes):
    options = {"method": "ppo", "ppo": SMALL, "reward_model": {"lr": 1e-2, "epochs": 2}, **changes}
    return METHODS["ppo"](files.job(**options))


def train(method, lr=1e-2, **options):
    fit(method.model, method.batches, method.loss, Optimization(lr=lr, steps=method.steps), seed=1, cpu=True, **options)


def judged_by(monkeypatch, points_of):
    """Score by ``points_of(target)`` instead of a trained reward model."""
    monkeypatch.setattr(ppo, "train_reward", lambda job: (None, {}))
    monkeypatch.setattr(ppo, "reward_mean_and_std", lambda reward, job: (0.0, 1.0))
    monkeypatch.setattr(
        rollout, "score", lambda model, sequences, ids, size: torch.tensor([points_of(t) for _, t in sequences])
    )


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole, pieces = [], []

    def until(seen, stop=None):
        def on_step(step, metrics):
            seen.append((step, metrics))
            if step == stop:
                raise KeyboardInterrupt

        return on_step

    expected = method_of()
    train(expected, on_step=until(whole))
    state = {"state_file": tmp_path / "s.pt", "save_every_seconds": 0.0}
    first = method_of()
    with pytest.raises(KeyboardInterrupt):  # in the middle of the second rollout
        train(first, on_step=until(pieces, stop=6), may_save=first.may_save, **state)
    resumed = method_of()
    train(resumed, on_step=until(pieces), may_save=resumed.may_save, **state)
    for a, b in zip(expected.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert pieces[-8:] == whole[-8:]  # from the second rollout's first step on


def test_only_between_rollouts_may_the_state_be_saved_and_a_step_within_one_cannot_be_the_first():
    method = method_of()
    each = method.steps // SMALL["rollouts"]
    assert [step for step in range(method.steps + 1) if method.may_save(step)] == [0, each, 2 * each, 3 * each]
    with pytest.raises(TrainingError, match="whose policy is gone"):
        method.batches(each + 1)


def test_a_step_is_the_same_at_every_call():
    method = method_of()
    for step in (0, 1, 0):
        first, again = method.batches(step), method.batches(step)
        for a, b in zip(first, again, strict=True):
            assert (
                a.ids == b.ids
                and torch.equal(a["tokens"], b["tokens"])
                and torch.equal(a["advantages"], b["advantages"])
            )


def test_one_batch_of_four_equals_four_accumulated_batches_of_one():
    found = []
    for micro in (4, 1):
        method = method_of(micro_pairs=micro)
        method.batches(0)
        with torch.no_grad():  # away from the policy that sampled, and expecting something
            method.model.ar.lm_head.weight.mul_(1.3)
            method.model.value.weight.add_(0.1)
        found.append(files.gradients(method, step=1))
    for together, accumulated in zip(*found, strict=True):
        torch.testing.assert_close(together, accumulated, atol=1e-6, rtol=1e-4)


def test_at_the_first_step_no_ratio_is_clipped_and_the_kl_to_the_reference_is_0():
    method = method_of(micro_pairs=4)
    [batch] = method.batches(0)
    _, metrics = method.loss(method.model, batch)
    assert metrics["clipped"] == 0
    assert metrics["kl"] / batch.weight == pytest.approx(0.0, abs=1e-4)


def test_the_advantages_of_a_rollout_are_normalized_over_it():
    method = method_of()
    steps = method.steps // SMALL["rollouts"] // SMALL["inner_epochs"]
    batches = [b for step in range(steps) for b in method.batches(step)]  # one pass over the rollout
    advantages = torch.cat([b["advantages"][b["labels"] != -100] for b in batches])
    assert advantages.mean().item() == pytest.approx(0.0, abs=1e-5)
    assert advantages.square().mean().item() == pytest.approx(1.0, abs=1e-3)


def test_a_bandit_ends_at_its_best_arm(monkeypatch):
    """One code per utterance, one of sixteen rewarded: sampled, scored and learned from as the stage does it."""
    best = files.OWN.codes([7])[0]
    judged_by(monkeypatch, lambda target: float(target[0] == best))
    settings = {**SMALL, "rollouts": 20, "prompts": 32, "inner_epochs": 4, "kl_weight": 0.01}
    method = method_of(ppo=settings, frames_per_character=1.0, batch_pairs=16, micro_pairs=16)
    assert files.probability_of(method.model.ar, 7) < 0.1
    train(method, lr=1e-2)
    assert files.probability_of(method.model.ar, 7) > 0.9


def test_a_heavy_kl_keeps_the_policy_at_its_reference(monkeypatch):
    best = files.OWN.codes([7])[0]
    judged_by(monkeypatch, lambda target: float(target[0] == best))
    settings = {**SMALL, "rollouts": 20, "prompts": 32, "inner_epochs": 4, "kl_weight": 20.0}
    method = method_of(ppo=settings, frames_per_character=1.0, batch_pairs=16, micro_pairs=16)
    train(method, lr=1e-2)
    assert files.probability_of(method.model.ar, 7) < 0.2


def test_a_reward_that_is_not_finite_stops_with_the_texts_ids(monkeypatch):
    method = method_of(reward_model={"lr": 1e-2, "epochs": 1})
    monkeypatch.setattr("model.reward.RewardModel.forward", lambda self, ids, last: torch.full((len(ids),), math.nan))
    with pytest.raises(RewardError, match=r"\['p\d+#0"):
        method.batches(0)


def test_a_sample_that_is_cut_off_is_scored_lower_by_the_penalty(monkeypatch):
    judged_by(monkeypatch, lambda target: 0.5)
    method = method_of(ppo={**SMALL, "unfinished_penalty": 2.0}, frames_per_character=8.0)
    episodes = [e for group in method.judged(method.sample(0), 0) for e in group]
    assert {e.finished: e.score for e in episodes} == {True: 0.5, False: -1.5}


def test_with_the_defaults_the_reward_reaches_the_first_token_whole(monkeypatch):
    """An untrained critic gives values of 0, so every token's return is the score less the KL."""
    judged_by(monkeypatch, lambda target: float(len(target)))
    method = method_of(frames_per_character=8.0)
    for [episode] in method.judged(method.sample(0), 0):
        assert episode.returns[0].item() == pytest.approx(episode.score, abs=1e-3)


def test_the_value_head_learns_at_a_rate_of_its_own():
    method = method_of(ppo={**SMALL, "value_lr": 0.5})
    assert [n for n, _ in method.model.named_parameters() if n.startswith(tuple(method.rates))] == [
        "value.weight",
        "value.bias",
    ]
    assert method.rates["value."] == 0.5
