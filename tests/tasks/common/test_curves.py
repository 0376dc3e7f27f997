"""Training curves: every row is written once, even if the training was interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.batch import Batch
from model.training import Optimization, fit
from tasks.common import curves
from tasks.common.curves import Curve


def train(curve: Curve, state: Path | None = None, stop: int | None = None) -> None:
    torch.manual_seed(0)

    def on_step(step, metrics):
        curve.add(step, metrics)
        if step == stop:
            raise KeyboardInterrupt

    fit(
        torch.nn.Linear(4, 1),
        lambda step: [Batch(ids=["a"], weight=1.0, x=torch.full((1, 4), step / 10))],
        lambda model, batch: (model(batch["x"]).square().sum(), {"x": batch["x"][0, 0].item()}),
        Optimization(lr=1e-2, steps=12),
        seed=1,
        state_file=state,
        save_every_seconds=0.0,
        cpu=True,
        on_step=on_step,
        curve=curve,
    )


def test_a_resumed_run_has_all_of_its_curve(tmp_path):
    whole, torn, resumed = (Curve(every=5) for _ in range(3))
    train(whole)
    with pytest.raises(KeyboardInterrupt):  # between two rows
        train(torn, tmp_path / "s.pt", stop=8)
    assert [row["step"] for row in torn.fresh()] == [5]
    train(resumed, tmp_path / "s.pt")
    assert resumed.rows == whole.rows
    assert [row["step"] for row in resumed.fresh()] == [5, 10]  # the interrupted run's MLflow run ended with it
    assert resumed.fresh() == []


def test_a_run_that_was_stopped_after_its_last_step_has_its_curve(tmp_path):
    first, again = Curve(every=5), Curve(every=5)
    train(first, tmp_path / "s.pt")
    train(again, tmp_path / "s.pt")
    assert again.rows == first.rows and len(again.rows) == 2


def test_what_is_written_is_read_again(tmp_path):
    curve = Curve(every=1)
    for step in (1, 2):
        curve.add(step, {"loss": 1.0 / step})
    curve.write(tmp_path / "curve.csv")
    assert curves.read(tmp_path / "curve.csv") == curve.rows
