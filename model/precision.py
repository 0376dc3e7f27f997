"""A model whose weights take less memory, and less time to read."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch

Module = TypeVar("Module", bound=torch.nn.Module)


def with_weights_in(model: Module, dtype: torch.dtype) -> Module:
    """Return a copy with its parameters in ``dtype``, such as bfloat16.

    ``Module.to`` would narrow everything else as well: a rotary embedding's frequencies, which nobody saves, need
    float32. In bfloat16 a position past 256 would be turned by the angle of another.
    """
    copied = copy.deepcopy(model).requires_grad_(False)
    for parameter in copied.parameters():
        parameter.data = parameter.data.to(dtype)
    return copied
