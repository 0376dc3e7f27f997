"""oneDNN's products against ``torch.nn.functional.linear``."""

import copy

import pytest
import torch

from model import policy
from model.fast.onednn import packed, use_onednn
from tests.sequences import Own


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1, 8), (3, 8), (2, 5, 8)])
def test_a_layer_equals_torchs_in_value_and_gradients(shape, bias, dtype):
    torch.manual_seed(0)
    theirs = torch.nn.Linear(8, 6, bias=bias).to(dtype)
    ours = use_onednn(copy.deepcopy(theirs))
    x, y = (torch.ones(shape, dtype=dtype).cumsum(-1).requires_grad_() for _ in range(2))
    weight = torch.randn(*shape[:-1], 6, dtype=dtype)
    (ours(x).sin() * weight).sum().backward()
    (theirs(y).sin() * weight).sum().backward()
    torch.testing.assert_close(ours(x), theirs(y))
    torch.testing.assert_close(x.grad, y.grad)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_frozen_weights_get_no_gradient():
    layer = use_onednn(torch.nn.Linear(8, 6, bias=False)).requires_grad_(False)
    x = torch.randn(3, 8, requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad is None and x.grad is not None


@pytest.mark.parametrize("shape", [(1, 8), (3, 8), (2, 5, 8)])
def test_a_packed_weight_gives_the_same_product(shape):
    weight, x = torch.randn(6, 8, requires_grad=True), torch.randn(shape)
    torch.testing.assert_close(packed(weight)(x), x @ weight.detach().T)


def test_autocast_still_narrows():
    layer = use_onednn(torch.nn.Linear(8, 6))
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(2, 8)).dtype == torch.bfloat16


def test_a_policy_keeps_its_classes_and_is_saved_copied_and_loaded_as_before(tmp_path):
    ar = policy.build(policy.ArShape(layers=1, width=16, heads=2, max_positions=64), 8).model.eval()
    ids = torch.randint(0, Own(8).size, (2, 9))
    expected = ar(ids).logits
    copied = copy.deepcopy(use_onednn(ar))
    assert type(ar.lm_head) is torch.nn.Linear
    policy.save(policy.Policy(copied, Own(8).layout), tmp_path)
    loaded = policy.load(tmp_path).model
    assert "forward" in vars(copied.lm_head) and "forward" not in vars(loaded.lm_head)  # loading alone never asks
    for model in (ar, copied, loaded):
        torch.testing.assert_close(model(ids).logits, expected, atol=1e-6, rtol=1e-5)


def test_a_copy_computes_with_its_own_weights():
    ours = use_onednn(torch.nn.Linear(8, 6))
    copied = copy.deepcopy(ours)
    torch.nn.init.zeros_(copied.weight)
    x = torch.randn(2, 8)
    torch.testing.assert_close(copied(x), copied.bias.expand(2, 6))
    assert not torch.allclose(ours(x), copied(x))


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("grad", [False, True])
def test_a_gelu_after_a_layer_is_torchs(grad, approximate):
    torch.manual_seed(0)
    gelu = torch.nn.GELU(approximate)
    theirs = torch.nn.Sequential(torch.nn.Linear(8, 24), gelu, torch.nn.Linear(24, 8, bias=False), gelu, gelu)
    ours = use_onednn(copy.deepcopy(theirs))
    x = 3 * torch.randn(2, 5, 8)
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(ours(x), theirs(x))
        torch.testing.assert_close(ours.double()(x.double()), theirs.double()(x.double()))


def test_a_layer_without_gradients_equals_torchs():
    theirs = torch.nn.Linear(8, 6)
    with torch.inference_mode():
        x = torch.randn(2, 5, 8)
        torch.testing.assert_close(use_onednn(copy.deepcopy(theirs))(x), theirs(x))
