"""Low-rank adapters of a policy (LoRA: Hu et al., arXiv 2106.09685), by ``peft``.

Each linear layer of the blocks learns a product of two thin matrices, which is added to its weight. Training keeps
gradients and optimizer state of these alone. A trained policy is merged before it is saved, so that what is written is
an ordinary checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear as LoraLinear

from model.errors import InputError
from model.frames.adapter import adapter_of
from model.optimizers import hidden_matrices


def adapt(model: torch.nn.Module, *, rank: int, alpha: int, seed: int) -> None:
    """Give every linear layer inside the blocks an adapter that changes nothing yet, and freeze all else, in place.

    Of a frame-parallel model only the part that is the policy gets adapters.

    Args:
        rank: inner width of the two matrices.
        alpha: their product is scaled by ``alpha / rank``.
        seed: of the first matrix's initial weights; the second one starts at zero.

    Raises:
        InputError: a model without linear layers in its blocks.
    """
    model.requires_grad_()  # hidden_matrices lists those that learn
    frames = adapter_of(model)
    ours = {id(weight) for weight in hidden_matrices(model if frames is None else frames.policy_part())}
    names = [
        name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear) and id(layer.weight) in ours
    ]
    if not names:
        raise InputError(f"{type(model).__name__} has no linear layers in its blocks; set align.parameters: all")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha, target_modules=names), model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)


@torch.no_grad()
def merge(model: torch.nn.Module) -> None:
    """Add the adapters to the weights and remove them, in place; without adapters nothing happens.

    Raises:
        ValueError: a merged weight would not be finite.
    """
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LoraLinear):
                layer.merge(safe_merge=True)
                setattr(parent, name, layer.get_base_layer())


@contextmanager
def merged(model: torch.nn.Module) -> Iterator[None]:
    """Let the weights hold the adapters for a while, for what reads them directly (:mod:`model.fast.decoder`).

    Subtracting the adapters again would round, so the weights are put back from a copy.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, LoraLinear)]
    weights = [layer.get_base_layer().get_parameter("weight") for layer in layers]
    before = [weight.detach().clone() for weight in weights]
    for layer in layers:
        layer.merge(safe_merge=True)
    try:
        yield
    finally:
        with torch.no_grad():
            for layer, weight, old in zip(layers, weights, before, strict=True):
                layer.unmerge()
                weight.copy_(old)


@contextmanager
def switched_off(model: torch.nn.Module) -> Iterator[None]:
    """Let the model compute for a while what it did before it was adapted: the reference without a second copy."""
    layers = [layer for layer in model.modules() if isinstance(layer, LoraLinear)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


class Unadapted(torch.nn.Module):
    """A model as it was before it was adapted, with the weights of the adapted one. It is not trained."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.module = model

    @torch.no_grad()
    def forward(self, *args: Any, **given: Any) -> Any:
        with switched_off(self.module):
            return self.module(*args, **given)
