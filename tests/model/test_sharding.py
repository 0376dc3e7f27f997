"""Two processes that split a model train as one does, and leave nothing split behind."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from model import lora, processes, sharding
from model.batch import Batch
from model.errors import TrainingError
from model.fast import chunked
from model.frames.backbone import train_backbone
from model.frames.families import books_in
from model.objectives.logprobs import collate, label_logprobs
from model.training import Optimization, fit
from tests.model.causal_models import causal
from tests.model.frames import tiny
from tests.model.test_processes import close, train, train_until
from tests.processes import run, weights

SPLITS = [8, 1]  # items in a micro-batch: the processes then have unequal numbers of them


def test_curve_and_weights_are_those_of_one_whatever_the_accumulation():
    expected = [train(size) for size in SPLITS]
    for of_one_process in run(2, lambda: [train(size, shard=True) for size in SPLITS]):
        for found, wanted in zip(of_one_process, expected, strict=True):
            close(found, wanted)


def test_a_saved_state_is_whole_and_goes_on_sharded_or_not_in_any_number(tmp_path):
    state, steps = tmp_path / "s.pt", []
    run(2, lambda: train_until(2, state, shard=True))
    kept = torch.load(state, weights_only=True)["parts"]
    run(3, lambda: train_until(3, state, shard=True))
    run(2, lambda: train_until(5, state))
    resumed = train(3, state_file=state, on_step=lambda step, metrics: steps.append(step))[1]

    assert steps == [5, 6]
    np.testing.assert_allclose(resumed, train(3)[1], rtol=1e-5, atol=1e-5)
    assert kept["model"]["stack.0.0.weight"].shape == (8, 4) and kept["optimizer 0"]["state"][0]["exp_avg"].shape == (
        8,
        4,
    )


class Scored:
    """Log-likelihood of rows of tokens under one kind of policy."""

    def __init__(self, kind: str):
        self.model = tiny.csm() if kind == "csm" else causal("qwen2, tied")
        self.books = books_in(self.model)
        if self.books:
            train_backbone(self.model)
        if kind == "lora":
            lora.adapt(self.model, rank=2, alpha=4, seed=0)
        self.checkpointing = kind == "recomputed"

    def batch(self, rows):
        tokens, labels = collate([[1]] * len(rows), rows)
        return Batch(ids=["a"] * len(rows), weight=float(len(rows)), tokens=tokens, labels=labels)

    def batches(self, step):
        rng = np.random.default_rng(step)
        frames = [rng.integers(3, 16, (2 + i, 4)) for i in range(3)]
        rows = [self.books.ids(frame) if self.books else frame.flatten().tolist() for frame in frames]
        return processes.micro_batches(rows, 2, self.batch)

    @staticmethod
    def loss(model, batch):
        return -label_logprobs(model, batch["tokens"], batch["labels"]).sum(), {}

    def train(self, **options):
        plan = Optimization(lr=1e-2, steps=3)
        options |= {"seed": 1, "cpu": True, "checkpointing": self.checkpointing}
        return weights(fit(self.model, self.batches, self.loss, plan, **options))


@pytest.mark.parametrize("shard", [False, True])
def test_policies_of_every_kind_train_as_in_one_process(shard, monkeypatch):
    monkeypatch.setattr(chunked, "LARGE", 64)  # the scores of the vocabulary are computed in parts
    kinds = ["all", "lora", "recomputed", "csm"]
    expected = [Scored(kind).train() for kind in kinds]
    for found in run(2, lambda: [Scored(kind).train(shard=shard) for kind in kinds]):
        for kind, a, b in zip(kinds, found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5, err_msg=kind)


def test_each_process_holds_its_part_and_the_model_all_of_it_when_asked():
    def parts():
        scored = Scored("all")
        model, own = scored.model, []
        whole = weights(model)
        before = [type(module) for module in model.modules()]

        def batches(step):
            assert all(p.numel() == 0 for p in model.parameters())
            with sharding.whole(model):
                if step == 0:
                    assert np.array_equal(weights(model), whole)
            return scored.batches(step)

        def loss(twin, batch):
            layers = twin.model.layers
            own.append(sum(p.to_local().numel() if sharding.is_split(p) else 0 for p in layers[1].parameters()))
            return scored.loss(twin, batch)

        fit(model, batches, loss, Optimization(lr=1e-2, steps=2), seed=1, cpu=True, shard=True)
        assert [type(module) for module in model.modules()] == before
        assert all(type(p) is torch.nn.Parameter for p in model.parameters()) and not model.training
        copy.deepcopy(model)(torch.tensor([[1, 2]]))
        return own[0], sum(p.numel() for p in model.model.layers[1].parameters())

    for own, total in run(2, parts):
        assert own == pytest.approx(total / 2, rel=0.05)


def test_a_constraint_on_the_weights_holds_after_every_step():
    def norms():
        model, found = torch.nn.Linear(4, 1), []

        def unit():
            with torch.no_grad():
                model.weight.div_(model.weight.norm())

        def loss(model, batch):
            return model(batch["x"]).square().sum(), {}

        def batches(step):
            if step:
                with sharding.whole(model):
                    found.append(model.weight.norm().item())
            return [Batch(ids=["a"], weight=1.0, x=torch.ones(1, 4))]

        fit(model, batches, loss, Optimization(lr=0.1, steps=3), seed=0, cpu=True, shard=True, after_step=unit)
        return [*found, model.weight.norm().item()]

    for found in run(2, norms):
        assert found == pytest.approx([1.0] * 3)


def test_muon_is_refused():
    def refused():
        with pytest.raises(TrainingError, match="muon needs whole ones; set the optimizer to adamw"):
            train(8, "muon", shard=True)

    run(2, refused)
