"""EnCodec's decoder as matrix products over (samples, channels), for inference on a CPU.

Its layers have few channels and many samples. With the channels last, every layer is one product of a tall matrix: no
layout is converted between layers, no shape is compiled, and an utterance needs no padding. Sums have another order
than the package's, so samples differ by rounding. Each utterance is decoded alone: its samples depend on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from encodec.modules import SConv1d, SConvTranspose1d
from encodec.modules.seanet import SEANetResnetBlock
from torch import nn

Layer = Callable[[torch.Tensor], torch.Tensor]  # (samples, channels) to the same


def as_products(stack: nn.Sequential) -> Layer | None:
    """Return a function that computes ``stack`` on one utterance ``(samples, channels)``; None where it cannot.

    It computes convolutions of stride 1, transposed ones whose kernel is two strides long, ELU and residual blocks,
    causal or not, after weight norm was removed (:func:`model.fast.codec.speed_up`). An LSTM is none of these.
    """
    layers = [_layer(module) for module in stack]
    if not all(layers):
        return None

    def run(x: torch.Tensor) -> torch.Tensor:
        for layer in layers:
            x = layer(x)  # type: ignore[misc]  # none is None
        return x

    return run


def elu(x: torch.Tensor) -> torch.Tensor:
    """Return ELU (alpha 1): an exponential less 1 is four times as fast as ``expm1``, and as exact beside 1."""
    return torch.maximum(x, x.clamp_max(0.0).exp_().sub_(1.0))


def _layer(module: nn.Module) -> Layer | None:
    if isinstance(module, nn.ELU) and module.alpha == 1.0:
        return elu
    if isinstance(module, SConv1d):
        return _convolution(module)
    if isinstance(module, SConvTranspose1d):
        return _transposed(module)
    if isinstance(module, SEANetResnetBlock):
        block = as_products(module.block)
        shortcut = _identity if isinstance(module.shortcut, nn.Identity) else _layer(module.shortcut)
        if block and shortcut:
            return lambda x: block(x).add_(shortcut(x))
    return None


def _identity(x: torch.Tensor) -> torch.Tensor:
    return x


def _convolution(layer: SConv1d) -> Layer | None:
    convolution: Any = layer.conv.conv
    kernel, dilation = convolution.kernel_size[0], convolution.dilation[0]
    plain = convolution.stride[0] == 1 and convolution.groups == 1 and isinstance(layer.conv.norm, nn.Identity)
    if not plain or layer.pad_mode != "reflect" or hasattr(convolution, "weight_g"):
        return None
    total = (kernel - 1) * dilation
    right = 0 if layer.causal else total // 2
    weight = convolution.weight.detach()  # (out, in, kernel)
    out, channels = weight.shape[:2]
    bias = torch.zeros(out) if convolution.bias is None else convolution.bias.detach()
    if out > channels:  # the inputs of a window side by side are smaller than the products of its taps
        side_by_side = weight.permute(2, 1, 0).reshape(kernel * channels, out)

        def gathered(x: torch.Tensor) -> torch.Tensor:
            x = _mirrored(x, total - right, right)
            n = len(x) - total
            return torch.addmm(bias, torch.cat([x[i * dilation :][:n] for i in range(kernel)], dim=1), side_by_side)

        return gathered
    taps = weight.permute(1, 2, 0).reshape(channels, kernel * out)

    def summed(x: torch.Tensor) -> torch.Tensor:
        x = _mirrored(x, total - right, right)
        n, products = len(x) - total, x @ taps
        y = products[:n, :out] + bias
        for i in range(1, kernel):  # in place: fresh memory costs more than the sums
            y += products[i * dilation :][:n, i * out : (i + 1) * out]
        return y

    return summed


def _transposed(layer: SConvTranspose1d) -> Layer | None:
    convolution: Any = layer.convtr.convtr
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    plain = kernel == 2 * stride and convolution.groups == 1 and isinstance(layer.convtr.norm, nn.Identity)
    if not plain or hasattr(convolution, "weight_g"):
        return None
    right = round(stride * layer.trim_right_ratio) if layer.causal else stride // 2
    weight = convolution.weight.detach()  # (in, out, kernel)
    channels, out = weight.shape[:2]
    # A sample of the output meets the first half of one tap and the second half of the tap before.
    both = weight.reshape(channels, out, 2, stride).permute(2, 0, 3, 1).reshape(2 * channels, stride * out)
    bias = torch.zeros(out) if convolution.bias is None else convolution.bias.detach()
    biases = bias.repeat(stride)

    def upsampled(x: torch.Tensor) -> torch.Tensor:
        pairs = x.new_empty(len(x) + 1, 2 * channels)
        pairs[:-1, :channels], pairs[1:, channels:] = x, x
        pairs[-1, :channels], pairs[0, channels:] = 0.0, 0.0
        y = torch.addmm(biases, pairs, both).view(-1, out)
        return y[stride - right : len(y) - right]

    return upsampled


def _mirrored(x: torch.Tensor, left: int, right: int) -> torch.Tensor:
    """Return ``x`` with its ends mirrored, as ``encodec.modules.conv.pad1d`` pads: short signals with zeros first."""
    if not left and not right:
        return x
    short = max(0, max(left, right) - len(x) + 1)
    if short:
        x = torch.cat([x, x.new_zeros(short, x.shape[1])])
    parts = [x[1 : left + 1].flip(0), x, x[len(x) - right - 1 : len(x) - 1].flip(0)]
    y = torch.cat(parts)
    return y[: len(y) - short]
