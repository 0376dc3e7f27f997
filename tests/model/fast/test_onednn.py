"""oneDNN's products against PyTorch's own."""

import copy

import pytest
import torch

from model import policy
from model.fast import onednn
from model.tokens import Vocabulary


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1, 8), (3, 8), (2, 5, 8)])
def test_linear_equals_torchs_in_value_and_gradients(shape, bias, dtype):
    torch.manual_seed(0)
    theirs = torch.nn.Linear(8, 6, bias=bias).to(dtype)
    ours = onednn.adopt(copy.deepcopy(theirs))
    x, y = (torch.ones(shape, dtype=dtype).cumsum(-1).requires_grad_() for _ in range(2))
    weight = torch.randn(*shape[:-1], 6, dtype=dtype)
    (ours(x).sin() * weight).sum().backward()
    (theirs(y).sin() * weight).sum().backward()
    torch.testing.assert_close(ours(x), theirs(y))
    torch.testing.assert_close(x.grad, y.grad)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_what_needs_no_gradient_gets_none():
    layer = onednn.adopt(torch.nn.Linear(8, 6, bias=False)).requires_grad_(False)
    x = torch.randn(3, 8, requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad is None and x.grad is not None


@pytest.mark.parametrize("shape", [(1, 8), (3, 8), (2, 5, 8)])
def test_a_packed_weight_gives_the_same_product(shape):
    weight, x = torch.randn(6, 8, requires_grad=True), torch.randn(shape)
    torch.testing.assert_close(onednn.packed(weight)(x), x @ weight.detach().T)


def test_autocast_still_narrows():
    layer = onednn.adopt(torch.nn.Linear(8, 6))
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(2, 8)).dtype == torch.bfloat16


def test_a_policy_is_saved_copied_and_loaded_as_before(tmp_path):
    ar = policy.build(policy.ArShape(layers=1, width=16, heads=2, max_positions=64), Vocabulary(8)).eval()
    ids = torch.randint(0, Vocabulary(8).size, (2, 9))
    expected = ar(ids).logits
    copied = copy.deepcopy(onednn.adopt(ar))
    assert isinstance(copied.lm_head, onednn.Linear)
    policy.save(copied, tmp_path)
    for model in (ar, copied, policy.load(tmp_path)):
        torch.testing.assert_close(model(ids).logits, expected, atol=1e-6, rtol=1e-5)
