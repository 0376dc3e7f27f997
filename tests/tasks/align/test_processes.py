"""Every method, trained by several processes, follows the curve of one process and ends at its weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.judges.panel import Judgement
from model.training import Optimization, fit
from tasks.align.grpo import Grpo
from tasks.align.methods import METHODS
from tests.processes import run, weights
from tests.tasks.align import files

SMALL = {"batch_pairs": 5, "micro_pairs": 2, "epochs": 1}
ON_POLICY = {
    "ppo": {"ppo": {"rollouts": 2, "prompts": 6, "inner_epochs": 1}, "reward_model": {"lr": 1e-2, "epochs": 1}},
    "grpo": {"grpo": {"rollouts": 2, "prompts": 6, "draws": 3, "inner_epochs": 1}},
}


class ByFirstCode:
    """Judges by a rule, instead of models."""

    def judge(self, samples):
        codes = [int(sample["tokens"][0]) for sample in samples]
        return [Judgement("x", code % 4, 10, 0, 0, code / 100, 0, 0, 1, code % 4, 10) for code in codes]


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    files.write_workspace(tmp_path, monkeypatch)
    monkeypatch.setattr(Grpo, "judge", ByFirstCode())


def train(name, shard=False):
    job, losses = files.job(method=name, **SMALL, **ON_POLICY.get(name, {})), []
    compute = job.params.compute.model_copy(update={"shard": shard})  # of PPO's reward model, too
    method = METHODS[name](replace(job, params=job.params.model_copy(update={"compute": compute})))
    fit(
        method.model,
        method.batches,
        method.loss,
        Optimization(lr=1e-2, steps=method.steps),
        seed=1,
        cpu=True,
        shard=shard,
        on_step=lambda step, metrics: losses.append(metrics["loss"]),
    )
    return np.array(losses), weights(method.model)


@pytest.mark.parametrize(("count", "shard"), [(2, False), (4, False), (2, True)])
def test_several_processes_give_the_curve_and_weights_of_one(count, shard, tmp_path):
    expected = {name: train(name) for name in METHODS}
    for file in tmp_path.rglob("*.pt"):
        file.unlink()  # PPO's reward model must be trained again
    for of_one_process in run(count, lambda: {name: train(name, shard) for name in METHODS}):
        for name, (losses, trained) in of_one_process.items():
            np.testing.assert_allclose(losses, expected[name][0], rtol=1e-5, atol=1e-5, err_msg=name)
            np.testing.assert_allclose(trained, expected[name][1], rtol=1e-5, atol=1e-5, err_msg=name)
