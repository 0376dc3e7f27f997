"""Every method in bfloat16 follows its curve in float32: products are rounded, losses and sums are not."""

from __future__ import annotations

import numpy as np
import pytest

from model.training import Optimization, fit
from tasks.align.grpo import Grpo
from tasks.align.methods import METHODS
from tests.processes import weights
from tests.tasks.align import files
from tests.tasks.align.test_processes import ON_POLICY, SMALL, ByFirstCode


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    files.write_workspace(tmp_path, monkeypatch)
    monkeypatch.setattr(Grpo, "judge", ByFirstCode())


@pytest.mark.parametrize("name", METHODS)
def test_bf16_follows_the_curve_of_float32(name):
    def train(precision):
        method, losses = METHODS[name](files.job(method=name, **SMALL, **ON_POLICY.get(name, {}))), []
        before = weights(method.model)
        fit(
            method.model,
            method.batches,
            method.loss,
            Optimization(lr=1e-3, steps=method.steps),
            seed=1,
            precision=precision,
            cpu=True,
            on_step=lambda step, metrics: losses.append(metrics["loss"]),
        )
        return np.array(losses), weights(method.model) - before

    (expected, moved), (losses, moved_too) = train("no"), train("bf16")
    np.testing.assert_allclose(losses, expected, rtol=0.02, atol=0.02)
    assert 0 < np.linalg.norm(moved_too - moved) < 0.3 * np.linalg.norm(moved)
