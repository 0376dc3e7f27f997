"""Conversion between the padded grids of a batch and one row of numbers, one per token, for each sequence."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from model.objectives.logprobs import IGNORE, collate, label_logprobs
from tasks.align.schedule import chunks
from tasks.common.progress import track


def on_grid(rows: Sequence[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    """Return each row's numbers where ``labels (batch, length)`` scores its tokens; 0 elsewhere."""
    grid = torch.zeros(labels.shape)
    grid[labels != IGNORE] = torch.cat(list(rows))
    return grid


def off_grid(grid: torch.Tensor, labels: torch.Tensor) -> list[torch.Tensor]:
    """Return the opposite: from each row of ``grid (batch, length)`` the numbers at its target tokens."""
    return [row[scored].clone() for row, scored in zip(grid, labels != IGNORE, strict=True)]


@torch.no_grad()
def target_logprobs(
    model: torch.nn.Module,
    *,
    contexts: list[list[int]],
    targets: list[list[int]],
    batch_size: int,
    title: str = "",
) -> list[torch.Tensor]:
    """Return ``log p`` of each token of each target, on the CPU; show a bar if it has a title."""
    rows = [torch.empty(0)] * len(targets)
    parts = chunks(sorted(range(len(targets)), key=lambda i: len(contexts[i]) + len(targets[i])), batch_size)
    for part in track(parts, title, len(parts)) if title else parts:
        tokens, labels = collate([contexts[i] for i in part], [targets[i] for i in part])
        logprobs = label_logprobs(model, tokens, labels).cpu()
        for i, row in zip(part, off_grid(logprobs, labels), strict=True):
            rows[i] = row
    return rows
