"""EnCodec's layers made faster for inference, with the same values.

Half of the package's time on a CPU goes to three things: ``reflection_pad1d``, which visits every element even where
nothing is padded; weight norms, computed again in every call; and activations that leave the processor's cache.

Then there are the lengths. oneDNN compiles every layer for every shape, which takes as long as a second of speech takes
to encode. Waveforms of several lengths therefore share a shape, padded, and each one's own end is kept as it would be
alone (:func:`real_lengths`). On a GPU a pass of one utterance would leave most of it idle. On a CPU
:mod:`model.fast.seanet` decodes, and needs none of this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from types import MethodType
from typing import Any

import torch
from encodec import EncodecModel
from encodec.modules import SConv1d, SConvTranspose1d
from encodec.modules.conv import get_extra_padding_for_conv1d, pad1d
from encodec.modules.seanet import SEANetResnetBlock
from torch import nn
from torch.nn.utils import remove_weight_norm


def speed_up(model: EncodecModel) -> EncodecModel:
    """Make a model faster, in place, and return it. It can no longer be trained or saved."""
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, SConv1d):
                layer.forward = MethodType(_convolve, layer)  # type: ignore[method-assign]
            if isinstance(layer, SConvTranspose1d):
                layer.forward = MethodType(_transposed, layer)  # type: ignore[method-assign]
            if isinstance(layer, SConv1d | SConvTranspose1d):
                inner = layer.conv.conv if isinstance(layer, SConv1d) else layer.convtr.convtr
                if hasattr(inner, "weight_g"):
                    remove_weight_norm(inner)
    for stack in (model.encoder.model, model.decoder.model):
        for layer in stack:
            # A block's input also feeds its shortcut, so its first activation may not overwrite it.
            own = list(layer.block)[1:] if isinstance(layer, SEANetResnetBlock) else [layer]
            for activation in own:
                if isinstance(activation, nn.ELU):
                    activation.inplace = True
    return model


def mixes_lengths(model: EncodecModel) -> bool:
    """Say whether a model that was made faster can take rows of several lengths, by :func:`real_lengths`.

    It can if nothing but its layers' ends depends on the length: no norm over time, no loudness. An LSTM that reads
    forward meets the padding last.
    """
    layers = list(model.modules())
    plain = all(isinstance(layer.conv.norm, nn.Identity) for layer in layers if isinstance(layer, SConv1d))
    mirrored = all(layer.pad_mode == "reflect" for layer in layers if isinstance(layer, SConv1d))
    forward = not any(layer.bidirectional for layer in layers if isinstance(layer, nn.LSTM))
    return plain and mirrored and forward and not model.normalize


_REAL: ContextVar[tuple[int, tuple[int, ...]] | None] = ContextVar("_REAL", default=None)


@contextmanager
def real_lengths(frames: Sequence[int], longest: int) -> Iterator[None]:
    """Compute rows of ``frames`` frames, padded to ``longest``, as if each were alone; nothing after an end counts.

    Each needs more frames than any layer mirrors (three, here).
    """
    token = _REAL.set((longest, tuple(frames)))
    try:
        yield
    finally:
        _REAL.reset(token)


def _ends(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return rows ``(n, 1)`` that end before a layer's input ``x (batch, channels, samples)``, and their lengths."""
    longest, frames = _REAL.get() or (1, ())
    early = [(row, n * x.shape[-1] // longest) for row, n in enumerate(frames) if n < longest]
    if not early:
        return None
    rows, ends = torch.tensor(early, device=x.device).unbind(1)
    return rows[:, None], ends[:, None]


def _transposed(layer: SConvTranspose1d, x: torch.Tensor) -> torch.Tensor:
    """``SConvTranspose1d.forward`` as if each row had nothing after its end; it overwrites ``x``."""
    if found := _ends(x):
        rows, ends = found
        kernel: Any = layer.convtr.convtr  # reaches back by so many of its inputs
        reach = torch.arange(-(-kernel.kernel_size[0] // kernel.stride[0]), device=x.device)
        x[rows, :, (ends + reach).clamp(max=x.shape[-1] - 1)] = 0.0
    return SConvTranspose1d.forward(layer, x)


def _convolve(layer: SConv1d, x: torch.Tensor) -> torch.Tensor:
    """``SConv1d.forward`` with :func:`reflect`: ``(batch, channels, samples)`` in and out."""
    convolution: Any = layer.conv.conv
    kernel, stride, dilation = convolution.kernel_size[0], convolution.stride[0], convolution.dilation[0]
    total = (kernel - 1) * dilation - (stride - 1)
    extra = get_extra_padding_for_conv1d(x, kernel, stride, total)
    right = 0 if layer.causal else total // 2
    pad = reflect if layer.pad_mode == "reflect" else partial(pad1d, mode=layer.pad_mode)
    left, right = total - right, right + extra
    padded = pad(x, (left, right))
    if right and (found := _ends(x)):
        rows, ends = found
        beyond = torch.arange(right, device=x.device)
        padded[rows, :, left + ends + beyond] = x[rows, :, ends - 2 - beyond]
    return layer.conv(padded)


def reflect(x: torch.Tensor, paddings: tuple[int, int]) -> torch.Tensor:
    """Return the package's ``pad1d`` in reflect mode of ``x (..., samples)``, by copying slices."""
    samples, (left, right) = x.shape[-1], paddings
    if not left and not right:
        return x
    if samples <= max(left, right):
        return pad1d(x, paddings, "reflect")
    out = x.new_empty(*x.shape[:-1], left + samples + right)
    out[..., left : left + samples] = x
    out[..., :left] = x[..., 1 : left + 1].flip(-1)
    out[..., left + samples :] = x[..., samples - right - 1 : samples - 1].flip(-1)
    return out
