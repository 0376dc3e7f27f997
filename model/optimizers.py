"""Optimizers by name: AdamW, and Muon for the matrices inside a network's blocks.

Muon (Jordan et al., kellerjordan.github.io/posts/muon; torch's own implementation) replaces a matrix's update by the
nearest orthogonal one, so that all its directions learn at the same pace. It is made for hidden matrices: embeddings,
output heads, biases and gains stay with AdamW. Its update is scaled to AdamW's size (Liu et al., arXiv 2502.16982,
equation 4), so one learning rate serves both.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


def build(
    name: str, model: nn.Module, *, lr: float, weight_decay: float, rates: Mapping[str, float] | None = None
) -> list[torch.optim.Optimizer]:
    """Return optimizers that together train every trainable parameter once; ``name`` is ``adamw`` or ``muon``.

    Args:
        rates: learning rates of parameters by how their names start; the others have ``lr``.
    """
    matrices = hidden_matrices(model) if name == "muon" else []
    taken = {id(p) for p in matrices}
    groups: dict[float, list[torch.Tensor]] = {}
    for title, parameter in model.named_parameters():
        if parameter.requires_grad and id(parameter) not in taken:
            own = next((rate for start, rate in (rates or {}).items() if title.startswith(start)), lr)
            groups.setdefault(own, []).append(parameter)
    rest = [{"params": members, "lr": rate} for rate, members in groups.items()]
    optimizers: list[torch.optim.Optimizer] = []
    if rest:
        optimizers.append(torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.98), weight_decay=weight_decay))
    if matrices:
        optimizers.append(torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"))
    return optimizers


def hidden_matrices(model: nn.Module) -> list[torch.Tensor]:
    """Return the weights of linear layers inside a stack's blocks; a linear layer directly in a list is a head."""
    blocks = [block for stack in model.modules() if isinstance(stack, nn.ModuleList) for block in stack]
    return [
        layer.weight
        for block in blocks
        if not isinstance(block, nn.Linear)
        for layer in block.modules()
        if isinstance(layer, nn.Linear) and layer.weight.requires_grad
    ]
