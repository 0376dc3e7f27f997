"""Weights, gradients and optimizer state split among the processes that train together (``compute.shard``): FSDP2.

torch's ``fully_shard`` does it. accelerate's plugin for FSDP2 would call the same function, but accelerate 1.15 heeds
that plugin on accelerators only, so nothing of it could be tested on a CPU (its state: ``MULTI_GPU`` and the like).

``fully_shard`` changes a module's class, hooks and parameters for good. So a twin is sharded: a copy of the modules,
but not of their weights. The model itself keeps no weights while it is trained, except within :func:`whole`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeGuard
from weakref import WeakKeyDictionary

import torch
from torch import nn

from model import processes

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

_TWINS: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()  # of the models that are being trained


def twin_of(model: nn.Module) -> nn.Module:
    """Return a copy of the modules that has the same parameters, to be sharded by :func:`shard`."""
    twin = copy.deepcopy(model, {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())})
    _TWINS[model] = twin
    return twin


def shard(module: nn.Module, model: nn.Module, device: torch.device) -> nn.Module:
    """Split the weights of ``module``, which holds the twin of ``model``; ``model`` keeps none.

    Layers that transformers does not split (``_no_split_modules``) are gathered one at a time, and all other weights
    for as long as ``module`` computes.
    """
    from torch.distributed.device_mesh import init_device_mesh  # half a second, of use to a sharded training only
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (processes.count(),))
    for layer in _layers(module):
        fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh)
    _empty(model)
    return module


def is_sharded(module: nn.Module) -> bool:
    """Return whether :func:`shard` has split this module."""
    return hasattr(module, "set_requires_gradient_sync")


@contextmanager
def whole(model: nn.Module, *, write: bool = False) -> Iterator[None]:
    """Let ``model`` have all of its weights within the block; every process must enter it. Of others nothing happens.

    Args:
        write: whether the weights that are trained may change within the block.
    """
    twin = _TWINS.get(model)
    if twin is None or not _is_empty(model):
        yield
        return
    _fill(model, twin)
    try:
        yield
        if write:
            _write_back(model, twin)
    finally:
        _empty(model)


def join(model: nn.Module) -> None:
    """Give the model all of its weights for good, and forget its twin."""
    twin = _TWINS.pop(model, None)
    if twin is not None:
        _fill(model, twin)


def gathered_state(state: Any, *, keep: bool) -> Any:
    """Return a ``state_dict`` with whole tensors on the CPU instead of shards. Every process must call it.

    Args:
        keep: False returns nothing of them, for a process that only takes part.
    """
    if is_split(state):
        tensor = state.full_tensor()
        return tensor.cpu() if keep else None
    if isinstance(state, dict):
        return {name: gathered_state(value, keep=keep) for name, value in state.items()}
    if isinstance(state, list):
        return [gathered_state(value, keep=keep) for value in state]
    return state


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load the state of one process's optimizer, and split what belongs to split parameters."""
    optimizer.load_state_dict(state)
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if is_split(parameter) and torch.is_tensor(value) and value.shape == parameter.shape:
                values[name] = _split(value, parameter)


def full(value: torch.Tensor) -> torch.Tensor:
    """Return a tensor that may be split as a whole one."""
    return value.full_tensor() if is_split(value) else value


def is_split(value: Any) -> TypeGuard[DTensor]:
    """Return whether each process has a part of this tensor."""
    return hasattr(value, "full_tensor")


def _layers(module: nn.Module) -> list[nn.Module]:
    names = {name for part in module.modules() for name in getattr(part, "_no_split_modules", None) or ()}
    return [part for part in module.modules() if type(part).__name__ in names]


def _pairs(model: nn.Module, twin: nn.Module) -> Iterator[tuple[nn.Parameter, DTensor]]:
    for parameter, part in zip(model.parameters(), twin.parameters(), strict=True):
        assert is_split(part), "a layer is still gathered"
        yield parameter, part


@torch.no_grad()
def _fill(model: nn.Module, twin: nn.Module) -> None:
    for parameter, part in _pairs(model, twin):
        parameter.data = part.full_tensor()


@torch.no_grad()
def _write_back(model: nn.Module, twin: nn.Module) -> None:
    for parameter, part in _pairs(model, twin):
        if part.requires_grad:
            part.copy_(_split(parameter.data, part))


def _split(value: torch.Tensor, like: DTensor) -> DTensor:
    """Return this process's part; all have the value, so none is sent."""
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)


def _empty(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.data = parameter.data.new_empty(0)


def _is_empty(model: nn.Module) -> bool:
    return all(parameter.numel() == 0 for parameter in model.parameters())
