"""Optimizers by name: AdamW, and Muon for the matrices inside a network's blocks.

Muon (Jordan et al., kellerjordan.github.io/posts/muon; torch's own implementation) replaces a matrix's update by the
nearest orthogonal one, so that all its directions learn at the same pace. It is made for hidden matrices: embeddings,
output heads, biases and gains stay with AdamW. Its update is scaled to AdamW's size (Liu et al., arXiv 2502.16982,
equation 4), so one learning rate serves both.
"""

from __future__ import annotations

import torch
from torch import nn


def build(name: str, model: nn.Module, *, lr: float, weight_decay: float) -> list[torch.optim.Optimizer]:
    """Return optimizers that together train every trainable parameter once; ``name`` is ``adamw`` or ``muon``."""
    matrices = hidden_matrices(model) if name == "muon" else []
    taken = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in taken]
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
