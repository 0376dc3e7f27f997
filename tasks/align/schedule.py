"""Which items train in which step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def schedule_of(lengths: Sequence[int], *, epochs: int, batch_size: int, seed: int) -> list[list[int]]:
    """Return steps of ``batch_size`` items of like length in random order: each item once per epoch."""
    steps: list[list[int]] = []
    for epoch in range(epochs):
        rng = np.random.default_rng([seed, 5, epoch])
        order = rng.permutation(len(lengths)).tolist()
        # Sorting within random chunks leaves little padding and keeps the batches random.
        ordered = [i for chunk in chunks(order, 512) for i in sorted(chunk, key=lambda i: lengths[i])]
        groups = chunks(ordered, batch_size)
        steps += [groups[i] for i in rng.permutation(len(groups))]
    return steps


def passes(*, items: int, needed: int, rng: np.random.Generator) -> list[int]:
    """Return ``needed`` indices of ``items`` items, pass after pass, each pass in a random order of its own."""
    return np.concatenate([rng.permutation(items) for _ in range(-(-needed // items))])[:needed].tolist()


def chunks(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Return consecutive pieces of ``size`` items, the last one shorter."""
    return [items[first : first + size] for first in range(0, len(items), size)]
