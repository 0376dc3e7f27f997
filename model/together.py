"""Model and loss as one module, which several processes compute together: by DDP, or by :mod:`model.sharding`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from model import sharding
from model.batch import Batch

if TYPE_CHECKING:
    from accelerate import Accelerator

Metrics = dict[str, float]  # sums over a batch's items; the loop divides them by the step's weight
LossFunction = Callable[[torch.nn.Module, Batch], tuple[torch.Tensor, Metrics]]


class Together(torch.nn.Module):
    """``loss(model, batch)`` as a forward pass: processes share all of it, whatever part of the model it calls."""

    def __init__(self, model: torch.nn.Module, loss: LossFunction):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Batch) -> tuple[torch.Tensor, Metrics]:
        """Return the loss and the metrics of a batch."""
        return self.loss(self.model, batch)


def prepare(
    model: torch.nn.Module, loss: LossFunction, accelerator: Accelerator, shard: bool
) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Return the module to call with a batch, and the model within it, whose parameters are to be trained."""
    if not shard:
        return accelerator.prepare(Together(model, loss)), model
    twin = sharding.twin_of(model.to(accelerator.device))
    return sharding.shard(Together(twin, loss), model, accelerator.device), twin


@contextlib.contextmanager
def gradients_apart(together: Any, accelerator: Accelerator, apart: bool) -> Iterator[None]:
    """Let each process keep its gradients for itself within the block, if ``apart``."""
    if sharding.is_sharded(together):
        together.set_requires_gradient_sync(not apart)
        yield
        return
    with accelerator.no_sync(together) if apart else contextlib.nullcontext():
        yield
