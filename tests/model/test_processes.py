"""Two and four processes train as one does: the same curve and weights, however a step is split."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from accelerate import PartialState

from model import processes
from model.batch import Batch
from model.errors import TrainingError
from model.training import Optimization, fit
from tests.processes import run, weights

STEPS = 6
SPLITS = [8, 3, 1]  # items in a micro-batch


def rows_of(step):
    """Eleven rows; in every third step three, fewer than the processes."""
    count = 3 if step % 3 == 2 else 11
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(step))


def batch_of(rows):
    return Batch(ids=["a"] * len(rows), weight=float(len(rows)), x=torch.stack(list(rows)))


def loss_of(model, batch):
    error = (model(batch["x"])[:, 0] - batch["x"].sum(1)) ** 2
    return error.sum(), {"error": error.sum().item()}


def network():
    """Linear layers in a stack, which Muon takes, and one that no step uses."""
    torch.manual_seed(0)
    model = torch.nn.Module()
    model.stack = torch.nn.ModuleList(
        [torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))]
    )
    model.unused = torch.nn.Linear(3, 3)
    model.forward = model.stack[0].forward
    return model


def train(size, optimizer="adamw", **options):
    model, curve = network(), []
    fit(
        model,
        lambda step: processes.micro_batches(list(rows_of(step)), size, batch_of),
        loss_of,
        Optimization(lr=1e-2, steps=STEPS, weight_decay=0.1, optimizer=optimizer),
        seed=3,
        cpu=True,
        **{"on_step": lambda step, metrics: curve.append([metrics["loss"], metrics["error"], metrics["grad_norm"]])}
        | options,
    )
    return np.array(curve), weights(model)


def close(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("count", [2, 4])
def test_several_processes_give_the_curve_and_weights_of_one_whatever_the_accumulation(count):
    cases = [(size, "adamw") for size in SPLITS] + [(8, "muon")]
    expected = [train(*case) for case in cases]
    for of_one_process in run(count, lambda: [train(*case) for case in cases]):
        for found, wanted in zip(of_one_process, expected, strict=True):
            close(found, wanted)


def train_until(stop, state, shard=False):
    """Train up to a step, whose weights the state does not have any more: the last one saved is of the step before."""

    def on_step(step, metrics):
        if step == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(3, state_file=state, save_every_seconds=0.0, on_step=on_step, shard=shard)


def test_a_resumed_training_may_have_another_number_of_processes(tmp_path):
    state, steps = tmp_path / "s.pt", []
    run(2, lambda: train_until(3, state))
    run(4, lambda: train_until(5, state))
    resumed = train(3, state_file=state, on_step=lambda step, metrics: steps.append(step))[1]
    assert steps == [5, 6]
    np.testing.assert_allclose(resumed, train(3)[1], rtol=1e-5, atol=1e-5)


def test_processes_that_resume_from_different_steps_are_refused(tmp_path):
    train_until(3, tmp_path / "0.pt")

    def apart():
        with pytest.raises(TrainingError, match=r"resume from steps \[0, 2\]"):
            train(3, state_file=tmp_path / f"{processes.rank()}.pt")

    run(2, apart)


def test_a_gradient_that_is_not_finite_names_the_items_of_every_process():
    def broken(model, batch):
        return model(batch["x"]).abs().sqrt().sum() * 0.0, {}

    def one():
        model = torch.nn.Linear(4, 1, bias=False)
        torch.nn.init.zeros_(model.weight)  # 0, with an infinite slope
        named = [Batch(ids=[name], weight=1.0, x=torch.ones(1, 4)) for name in "ab"]
        with pytest.raises(TrainingError, match=r"which learns from \['a', 'b'\]"):
            fit(model, lambda s: processes.share(named), broken, Optimization(lr=1.0, steps=1), seed=0, cpu=True)
        return weights(model)

    for found in run(2, one):
        assert not found.any()


def test_results_come_in_the_order_of_the_items_and_each_process_does_its_share():
    def work():
        PartialState(cpu=True)
        done = []
        squares = processes.each(lambda own: [done.append(i) or i * i for i in own], list(range(7)))
        return squares, done

    found = run(3, work)
    assert [squares for squares, _ in found] == [[i * i for i in range(7)]] * 3
    assert [done for _, done in found] == [[0, 3, 6], [1, 4], [2, 5]]


def test_one_process_takes_everything():
    assert (processes.rank(), processes.count()) == (0, 1)
    assert processes.share("abc") == ["a", "b", "c"]
    assert processes.each(lambda own: [x * 2 for x in own], [1, 2]) == [2, 4]
