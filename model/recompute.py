"""Gradient checkpointing by groups of rows: a layer is computed again for a few sequences of a batch at a time.

Checkpointing keeps the input of each layer only and computes the layer again for its gradient. All that this layer
computes inside is then held at once, for the whole batch: at 24 layers as much as the inputs of all of them (Chen et
al. 2016, arXiv 1604.06174, weigh the two). Rows do not depend on one another inside a layer, so here each group of rows
is a checkpoint of its own. Nothing is computed more often than before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

# Positions of a group: enough for full speed.
POSITIONS = {"cpu": 1024, "cuda": 8192}


def enable(model: torch.nn.Module) -> None:
    """Let every layer of ``transformers``' models in ``model`` be computed again for its gradient."""
    for part in _parts(model):
        part.activation_checkpointing_enable({"use_reentrant": False})
    layers: list[Any] = list(model.modules())
    for layer in layers:
        if getattr(layer, "gradient_checkpointing", False) and hasattr(layer, "_gradient_checkpointing_func"):
            layer._gradient_checkpointing_func = by_rows


def disable(model: torch.nn.Module) -> None:
    """Undo :func:`enable`."""
    for part in _parts(model):
        part.activation_checkpointing_disable()


def _parts(model: torch.nn.Module) -> list[Any]:
    return [part for part in model.modules() if hasattr(part, "activation_checkpointing_enable")]


def by_rows(layer: Callable[..., Any], hidden: torch.Tensor, *args: Any) -> Any:
    """Return ``layer(hidden, *args)``, with a checkpoint for each group of rows.

    Args:
        layer: as ``transformers`` gives it: a ``functools.partial`` with all arguments that have names.
        hidden: ``(rows, length, width)``. Of the other arguments, also inside tuples, tensors of as many rows are cut
            likewise; others belong to all rows.
    """
    rows, length = hidden.shape[:2]
    groups = rows // max(1, POSITIONS.get(hidden.device.type, POSITIONS["cuda"]) // length)
    # A tensor without rows could be taken for one with rows if the numbers were the same.
    if not isinstance(layer, partial) or groups < 2 or rows == length:
        return checkpoint(layer, hidden, *args, use_reentrant=False)

    def cut(value: Any, group: slice) -> Any:
        if isinstance(value, torch.Tensor) and value.dim() > 1 and len(value) == rows:
            return value[group]
        return tuple(cut(part, group) for part in value) if isinstance(value, tuple) else value

    found = []
    bounds = [rows * i // groups for i in range(groups + 1)]
    for first, last in pairwise(bounds):
        group = slice(first, last)
        named = {name: cut(value, group) for name, value in layer.keywords.items()}
        of_group = partial(layer.func, *layer.args, **named)
        found.append(checkpoint(of_group, hidden[group], *(cut(value, group) for value in args), use_reentrant=False))
    if isinstance(found[0], torch.Tensor):
        return torch.cat(found)
    by_output = zip(*found, strict=True)
    return tuple(torch.cat(parts) if isinstance(parts[0], torch.Tensor) else parts[0] for parts in by_output)
