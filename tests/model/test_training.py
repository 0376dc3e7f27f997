"""The loop's promises: resuming, accumulation, non-finite losses, buckets."""

import numpy as np
import pytest
import torch

from model.batch import Batch
from model.errors import TrainingError
from model.training import Optimization, fit, length_buckets
from tests.model.causal_models import causal


def batch_of(step, rows):
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))[rows]
    return Batch(ids=[str(r) for r in rows], weight=float(len(rows)), x=x)


def loss_of(model, batch):
    error = (model(batch["x"])[:, 0] - batch["x"].sum(1)) ** 2
    return error.sum(), {"error": error.sum().item()}


def train(split=8, total=12, state=None, fingerprint="a", stop=None, seen=None, optimizer="adamw"):
    torch.manual_seed(0)
    block = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.1), torch.nn.Linear(8, 1))
    model = torch.nn.Sequential()
    model.stack = torch.nn.ModuleList([block])
    model.forward = block.forward

    def on_step(step, metrics):
        if seen is not None:
            seen.append((step, metrics["loss"]))
        if step == stop:
            raise KeyboardInterrupt

    fit(
        model,
        lambda s: [batch_of(s, list(range(i, i + split))) for i in range(0, 8, split)],
        loss_of,
        Optimization(lr=1e-2, steps=total, optimizer=optimizer),
        seed=3,
        state_file=state,
        fingerprint=fingerprint,
        save_every_seconds=0.0,
        cpu=True,
        on_step=on_step,
    )
    return model


def parameters(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_one_process_may_train_twice_in_two_precisions():
    for precision in ("bf16", "no"):
        model = torch.nn.Linear(4, 1)
        fit(
            model,
            lambda s: [batch_of(s, [0, 1])],
            loss_of,
            Optimization(lr=1e-2, steps=2),
            seed=1,
            precision=precision,
            cpu=True,
        )


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_resumed_training_equals_uninterrupted(tmp_path, optimizer):
    whole, pieces = [], []
    expected = train(seen=whole, optimizer=optimizer)
    with pytest.raises(KeyboardInterrupt):
        train(state=tmp_path / "s.pt", stop=7, seen=pieces, optimizer=optimizer)
    resumed = train(state=tmp_path / "s.pt", seen=pieces, optimizer=optimizer)
    assert torch.equal(parameters(expected), parameters(resumed))
    assert pieces[-5:] == whole[-5:]


def test_what_was_trained_is_kept_until_the_caller_has_written_it(tmp_path):
    trained = train(state=tmp_path / "s.pt")
    seen = []
    again = train(state=tmp_path / "s.pt", seen=seen)
    assert torch.equal(parameters(trained), parameters(again))
    assert seen == []


def test_processes_that_another_launcher_has_numbered_are_refused(monkeypatch):
    monkeypatch.setattr("accelerate.Accelerator.num_processes", 2)
    with pytest.raises(TrainingError, match="expected 1 training processes, found 2"):
        train()


def test_a_state_of_other_settings_is_not_resumed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(state=tmp_path / "s.pt", stop=7)
    seen = []
    train(state=tmp_path / "s.pt", fingerprint="b", seen=seen)
    assert seen[0][0] == 1


def test_a_torn_state_file_is_an_error_that_says_what_to_do(tmp_path):
    (tmp_path / "s.pt").write_bytes(b"PK torn")
    with pytest.raises(TrainingError, match="delete it to train from the start"):
        train(state=tmp_path / "s.pt")


def test_one_batch_of_eight_equals_eight_of_one():
    torch.manual_seed(0)
    models = []
    for split in (8, 1):
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 1)
        fit(
            model,
            lambda s, split=split: [batch_of(s, list(range(i, i + split))) for i in range(0, 8, split)],
            loss_of,
            Optimization(lr=1e-2, steps=5),
            seed=3,
            cpu=True,
        )
        models.append(parameters(model))
    torch.testing.assert_close(models[0], models[1], atol=1e-6, rtol=1e-6)


def test_a_loss_that_is_not_finite_stops_with_the_ids():
    def broken(model, batch):
        return (model(batch["x"]) * float("nan")).sum(), {}

    with pytest.raises(TrainingError, match=r"loss is nan at step 1, in the batch of \['0'"):
        fit(
            torch.nn.Linear(4, 1),
            lambda s: [batch_of(s, list(range(8)))],
            broken,
            Optimization(lr=1e-2, steps=2),
            seed=0,
            cpu=True,
        )


def test_a_gradient_that_is_not_finite_stops_before_the_step():
    model, optimization = torch.nn.Linear(4, 1, bias=False), Optimization(lr=1.0, steps=2)
    torch.nn.init.zeros_(model.weight)

    def broken(model, batch):
        return model(batch["x"]).abs().sqrt().sum(), {}  # 0, with an infinite slope

    with pytest.raises(TrainingError, match=r"gradient's norm is (nan|inf) at step 1, which learns from \['0', '1'"):
        fit(model, lambda s: [batch_of(s, [0]), batch_of(s, [1])], broken, optimization, seed=0, cpu=True)
    assert not model.weight.any()


@pytest.mark.parametrize("steps", [1, 3])
def test_weights_that_are_not_finite_are_neither_returned_nor_saved(tmp_path, steps):
    model, done = torch.nn.Linear(4, 1), []

    def overflow():
        done.append(1)
        if len(done) == steps:
            with torch.no_grad():
                model.weight[0, 1] = float("inf")

    with pytest.raises(TrainingError, match=rf"after step {steps}, 1 of 4 values of weight .* lower the learning rate"):
        fit(
            model,
            lambda s: [batch_of(s, [0, 1])],
            loss_of,
            Optimization(lr=1e-2, steps=steps),
            seed=0,
            cpu=True,
            state_file=tmp_path / "s.pt",
            save_every_seconds=1e9,
            after_step=overflow,
        )
    assert not (tmp_path / "s.pt").exists()


def test_a_constraint_holds_after_every_step(tmp_path):
    model, norms = torch.nn.Linear(4, 1), []

    def unit():
        with torch.no_grad():
            model.weight.div_(model.weight.norm())

    fit(
        model,
        lambda s: [batch_of(s, [0, 1])],
        loss_of,
        Optimization(lr=1e-1, steps=3),
        seed=0,
        cpu=True,
        after_step=unit,
        on_step=lambda step, metrics: norms.append(model.weight.norm().item()),
    )
    assert norms == pytest.approx([1.0] * 3)


def test_buckets_hold_every_item_once_within_the_capacity():
    lengths = np.random.default_rng(0).integers(1, 90, 3000).tolist()
    batches = length_buckets(lengths, 400, np.random.default_rng(1))
    assert sorted(i for b in batches for i in b) == list(range(3000))
    assert all(max(lengths[i] for i in b) * len(b) <= 400 for b in batches)


def test_an_item_longer_than_the_capacity_gets_its_own_batch():
    assert length_buckets([1000], 400, np.random.default_rng(0)) == [[0]]


def test_blocks_that_are_computed_again_learn_the_same_and_only_during_training():
    def trained(checkpointing):
        model = causal("qwen2, tied")
        tokens = torch.randint(3, 97, (2, 9), generator=torch.Generator().manual_seed(0))
        computed = []
        model.model.layers[0].mlp.register_forward_pre_hook(lambda *_: computed.append(1))

        def loss(model, batch):
            logits = model(batch["tokens"]).logits
            return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), batch["tokens"][:, 1:].flatten()), {}

        batch = Batch(ids=["a"], weight=1.0, tokens=tokens)
        fit(
            model, lambda step: [batch], loss, Optimization(lr=1e-2, steps=2), seed=0, cpu=True,
            checkpointing=checkpointing,
        )  # fmt: skip
        assert not model.is_activation_checkpointing
        return model, len(computed)

    (plain, once), (recomputed, twice) = trained(False), trained(True)
    assert (once, twice) == (2, 4)
    for a, b in zip(plain.parameters(), recomputed.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)
