"""Matrix products in float32 on a CPU by oneDNN.

PyTorch takes MKL for them, which uses half of the vector width of an AMD processor with AVX-512; oneDNN, which comes
with PyTorch as well, uses all of it: the products of a policy take less than half the time there, and as long as
before on an Intel processor. Same precision, sums in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
import torch.nn.functional as F

Module = TypeVar("Module", bound=torch.nn.Module)


def _takes(*tensors: torch.Tensor) -> bool:
    """Whether oneDNN can have these: float32 on a CPU, and no autocast that wants them narrower."""
    return (
        torch.backends.mkldnn.is_available()
        and not torch.is_autocast_enabled("cpu")
        and all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)
    )


def _product(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")


class _Product(torch.autograd.Function):
    """``x @ weight.T`` and its gradients."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        x, weight = ctx.saved_tensors
        to_x = _product(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return to_x, None
        return to_x, _product(gradient.flatten(0, -2).t(), x.flatten(0, -2).t())


class Linear(torch.nn.Linear):
    """``torch.nn.Linear``, by oneDNN wherever that can be had; the same parameters under the same names."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not _takes(input, self.weight):
            return super().forward(input)
        product = _Product.apply(input, self.weight)
        return product if self.bias is None else product + self.bias


def adopt(model: Module) -> Module:
    """Let every plain ``torch.nn.Linear`` of ``model`` be a :class:`Linear`, in place: its weights stay as they are."""
    for module in model.modules():
        if type(module) is torch.nn.Linear:
            module.__class__ = Linear
    return model


def packed(weight: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """``x @ weight.T`` for a weight that won't change, laid out once as oneDNN likes it; without gradients."""
    weight = weight.detach()
    if not _takes(weight):
        return partial(F.linear, weight=weight)
    return partial(_product, weight=torch.ops.mkldnn._reorder_linear_weight(weight, None))
