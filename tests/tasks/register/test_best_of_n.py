"""A registered Best-of-N policy: the pyfunc takes the reward model from the policy's folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from mlflow.pyfunc import PythonModelContext

from model import policy, reward
from model.reward import RewardModel
from tasks.register.policy_model import PolicyModel
from tasks.register.versions import model_config
from tests.tasks.register import tiny


def loaded(folder: Path, iteration: str) -> PolicyModel:
    config = {**model_config(tiny.params(folder), tiny.DECODING), "codec": "unused", "device": "cpu"}
    artifacts = {
        "policy": str(folder / f"runs/{iteration}/policy"),
        "nar": str(folder / "runs/0/nar"),
        "codec": str(folder / "checkpoints/codec"),
    }
    model = PolicyModel()
    model.load_context(PythonModelContext(artifacts, config))
    return model


def test_it_speaks_the_best_of_n_and_says_the_same_each_time(tmp_path: Path):
    tiny.write_models(tmp_path)
    tiny.write_policy(tmp_path, "0", seed=0)
    ar = policy.load(tmp_path / "runs/0/policy")
    torch.manual_seed(3)
    judge = RewardModel.from_policy(ar.model)
    torch.nn.init.normal_(judge.head.weight)
    ar.model.config.best_of_n = 5
    policy.save(ar, tmp_path / "runs/1/policy")
    reward.save(judge, tmp_path / "runs/1/policy/reward")
    voice = tiny.write_prompt(tmp_path / "voice.wav")
    texts = ["one two", "three four five", "six", "seven nine"]
    rows = pd.DataFrame([{"text": text, "prompt_audio": voice.read_bytes()} for text in texts])
    plain, best, again = (loaded(tmp_path, k).predict(None, rows, {"seed": 1}) for k in "011")
    different = 0
    for a, b, c in zip(plain["samples"], best["samples"], again["samples"], strict=True):
        np.testing.assert_array_equal(b, c)
        different += a.shape != b.shape or not np.array_equal(a, b)
    assert different >= 2  # the first of five draws is rarely the best
