"""Matrix products in float32 on a CPU by oneDNN instead of MKL. Same precision, sums in another order.

The choice, made once for all machines, because nothing that is computed may depend on the processor:

* AMD with AVX-512: MKL uses half of the vector width and oneDNN all of it. Products of a policy take less than half of
  MKL's time.
* Intel: no gain. Inference runs at 0.7 to 1.06 times MKL's speed, forward and backward together at 0.6 to 1.25 times.

So AMD machines gain a factor of two and Intel machines lose little. A stage calls :func:`use_onednn` once it has loaded
a model for inference or alignment; loading alone never does. SFT does not use it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any, TypeVar

import torch
import torch.nn.functional as F

Module = TypeVar("Module", bound=torch.nn.Module)


def use_onednn(model: Module) -> Module:
    """Let every ``torch.nn.Linear`` of ``model`` compute by :func:`linear`, in place, and return the model.

    Layers keep their class and their weights, so the model is trained, copied and saved as before. Without gradients, a
    GELU that follows a layer in a ``Sequential`` is computed while its product is in the processor's cache.
    """
    for layer in model.modules():
        if type(layer) is torch.nn.Linear:
            layer.forward = MethodType(_forward, layer)  # type: ignore[method-assign]
        if type(layer) is torch.nn.Sequential and any(map(_fits, layer, list(layer)[1:])):
            layer.forward = MethodType(_in_turn, layer)  # type: ignore[method-assign]
    return model


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return ``torch.nn.functional.linear(x, weight, bias)``, by oneDNN where it can be had."""
    if not _can_use(x, weight):
        return F.linear(x, weight, bias)
    if not torch.is_grad_enabled():
        return _product(x, weight, bias)
    product = _Product.apply(x, weight)
    return product if bias is None else product + bias


def packed(weight: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function of ``x`` for ``x @ weight.T`` without gradients; the weight is laid out for oneDNN once."""
    weight = weight.detach()
    if not _can_use(weight):
        return partial(F.linear, weight=weight)
    return partial(_product, weight=torch.ops.mkldnn._reorder_linear_weight(weight, None))


def _forward(layer: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
    return linear(x, layer.weight, layer.bias)


def _in_turn(layers: torch.nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    """``Sequential.forward``, with each GELU in the product before it."""
    left: list[Any] = list(layers)
    while left:
        layer = left.pop(0)
        if left and _fits(layer, left[0]) and not torch.is_grad_enabled() and _can_use(x, layer.weight):
            left.pop(0)
            x = _product(x, layer.weight, layer.bias, "gelu", "none")
        else:
            x = layer(x)
    return x


def _fits(layer: torch.nn.Module, following: torch.nn.Module) -> bool:
    """Say whether these are a linear layer and an exact GELU."""
    return type(layer) is torch.nn.Linear and type(following) is torch.nn.GELU and following.approximate == "none"


def _can_use(*tensors: torch.Tensor) -> bool:
    """Say whether oneDNN takes these: float32 on a CPU, and no autocast to a narrower type."""
    return (
        torch.backends.mkldnn.is_available()
        and not torch.is_autocast_enabled("cpu")
        and all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)
    )


def _product(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, after: str = "none", algorithm: str = ""
) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, after, [], algorithm)


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
