"""Which items train in which step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def schedule_of(lengths: Sequence[int], epochs: int, batch: int, seed: int) -> list[list[int]]:
    """Steps of ``batch`` items of like length, in random order; every epoch anew, each item once an epoch."""
    steps: list[list[int]] = []
    for epoch in range(epochs):
        rng = np.random.default_rng([seed, 5, epoch])
        order = rng.permutation(len(lengths)).tolist()
        # Sorting within random chunks leaves little padding, and the batches still random.
        ordered = [
            i
            for start in range(0, len(order), 512)
            for i in sorted(order[start : start + 512], key=lambda i: lengths[i])
        ]
        groups = [ordered[i : i + batch] for i in range(0, len(ordered), batch)]
        steps += [groups[i] for i in rng.permutation(len(groups))]
    return steps


def passes(items: int, needed: int, rng: np.random.Generator) -> list[int]:
    """``needed`` of ``items`` items in random order, pass after pass: none comes again before all have come."""
    return np.concatenate([rng.permutation(items) for _ in range(-(-needed // items))])[:needed].tolist()


def split(items: Sequence, size: int) -> list:
    """Consecutive pieces of ``size`` items: a step's micro-batches."""
    return [items[first : first + size] for first in range(0, len(items), size)]
