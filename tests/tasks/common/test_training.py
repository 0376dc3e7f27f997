"""A training resumes from its own state only."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from model.batch import Batch
from model.training import Optimization
from tasks.common import params, progress, training
from tests.conftest import REPOSITORY


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """Train as the command ``tasks.say`` of the sources below ``tmp_path``; return the steps that were taken."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "SOURCES", tmp_path)
    edit("RATE = 1")

    def run(depends_on: str = "data", die_at: int | None = None) -> int:
        taken: list[int] = []

        def batches(step: int) -> list[Batch]:
            if step == die_at:
                raise KeyboardInterrupt
            taken.append(step)
            return [Batch(ids=["a"], weight=1.0, x=torch.ones(2, 3))]

        training.train(
            torch.nn.Linear(3, 1),
            batches,
            lambda model, batch: (model(batch["x"]).square().sum(), {}),
            Optimization(lr=0.1, steps=4, warmup=0.0),
            name="say",
            command="tasks.say",
            depends_on=[depends_on],
            params=params.load(REPOSITORY / "params.yaml"),
            device=torch.device("cpu"),
        )
        return len(taken)

    return run


def edit(source: str) -> None:
    command = Path("tasks/say.py")
    command.parent.mkdir(exist_ok=True)
    command.write_text(source)


def test_the_same_code_and_data_resume(steps):
    assert [steps(), steps()] == [4, 0]
    edit("RATE = 1  # Hz")
    assert steps() == 0
    assert training.state_of("say").is_file()


def test_a_state_of_other_code_is_not_resumed(steps):
    steps()
    edit("RATE = 2")
    assert steps() == 4


def test_a_state_of_other_data_is_not_resumed(steps):
    steps()
    assert steps("other data") == 4


def test_a_resumed_run_says_so_and_counts_on(steps, monkeypatch, capsys):
    monkeypatch.setattr(training, "fit", partial(training.fit, save_every_seconds=0.0))
    monkeypatch.setattr(progress, "LOG_EVERY_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        steps(die_at=3)
    assert steps() == 1
    printed = capsys.readouterr().out
    assert "say: resumed after 3/4" in printed
    assert "say: 4/4, 0 s left" in printed


def test_every_training_command_has_a_digest():
    for command in ("tasks.policy", "tasks.nar", "tasks.nar.synthetic", "tasks.align"):
        assert "model.training" in training.Project(training.SOURCES).closure(command)
