"""Layers computed again by groups of rows give the gradients of layers that keep everything."""

import pytest
import torch

from model import recompute
from model.fast.shared_context import collate_pairs, pair_logprobs
from tests.model.causal_models import causal

PAIRS = [
    {"context": [3, 4, 5, 6], "chosen": [7] * n, "rejected": [8, 9, 10], "chosen_from": 0, "rejected_from": 0}
    for n in (1, 5, 9, 3, 4, 6, 2)
]


def gradients(model, batch):
    model.zero_grad()
    chosen, rejected = pair_logprobs(model, **batch)
    (chosen - rejected).square().sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("family", ["qwen2, tied", "llama, grouped heads, llama3 rotary", "phi3"])
@pytest.mark.parametrize("positions", [1, 60, 10_000])
def test_the_gradients_are_the_same_and_layers_are_computed_by_groups(family, positions, monkeypatch):
    model, batch = causal(family).train(), collate_pairs(PAIRS)
    expected, sizes = gradients(model, batch), []
    monkeypatch.setitem(recompute.POSITIONS, "cpu", positions)
    recompute.enable(model)
    layer = next(m for m in model.modules() if hasattr(m, "_gradient_checkpointing_func") and m is not model.base_model)
    hook = layer.register_forward_pre_hook(lambda _layer, args: sizes.append(len(args[0])))
    real = recompute.checkpoint
    calls = []

    def counted(function, hidden, *args, **options):
        calls.append(len(hidden))
        return real(function, hidden, *args, **options)

    monkeypatch.setattr(recompute, "checkpoint", counted)
    found = gradients(model, batch)
    hook.remove()
    recompute.disable(model)
    assert not model.is_activation_checkpointing
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-5, rtol=1e-5)
    length = batch["tokens"].shape[1]
    layers = model.config.num_hidden_layers
    groups = max(1, len(PAIRS) // max(1, positions // length))
    assert sizes == [len(PAIRS)]  # the layer is entered once, its checkpoints are smaller
    assert len(calls) == layers * groups and sum(calls) == layers * len(PAIRS)


def test_two_rows_of_two_positions_are_not_cut_since_a_mask_of_positions_would_look_alike(monkeypatch):
    monkeypatch.setitem(recompute.POSITIONS, "cpu", 1)
    model = causal("qwen3").train()
    tokens = torch.randint(3, 97, (4, 4), generator=torch.Generator().manual_seed(0))
    expected = model(tokens).logits
    recompute.enable(model)
    calls = []
    monkeypatch.setattr(recompute, "checkpoint", lambda f, x, *a, **_: calls.append(len(x)) or f(x, *a))
    torch.testing.assert_close(model(tokens).logits, expected)
    assert set(calls) == {4}
