"""How several processes share a training step (``compute.processes``).

Every process computes the same schedule and takes its share of each step's items. A launcher numbers the processes in
``RANK`` and ``WORLD_SIZE``; without one there is a single process, and its share is everything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import distributed

from model.batch import Batch

T = TypeVar("T")
R = TypeVar("R")


def rank() -> int:
    """Return this process's number, from 0."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def count() -> int:
    """Return how many processes train together.

    ``TORCHELASTIC_RUN_ID`` tells torch's launcher from others, which set ``WORLD_SIZE`` for purposes of their own.
    """
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def share(items: Sequence[T]) -> list[T]:
    """Return the items of this process: of neighbors, which are of like length, each process takes one."""
    return list(items[rank() :: count()])


def micro_batches(items: Sequence[T], size: int, build: Callable[[Sequence[T]], Batch]) -> list[Batch]:
    """Return this process's micro-batches of a step, of up to ``size`` items each.

    A process without an item of its own goes along with the step's first one, which then counts nothing: all must take
    part in the sum of the gradients.
    """
    own = share(items)
    if not own:
        return [build(items[:1]).uncounted()]
    return [build(own[first : first + size]) for first in range(0, len(own), size)]


def each(work: Callable[[list[T]], Sequence[R]], items: Sequence[T]) -> list[R]:
    """Return ``work(items)``, one result per item, where every process does its share of it.

    The results travel between these processes only.
    """
    own = list(work(share(items)))
    if count() == 1:
        return own
    parts: list[list[R]] = [[]] * count()
    distributed.all_gather_object(parts, own)
    return [parts[i % count()][i // count()] for i in range(len(items))]


def summed(values: Sequence[float], device: torch.device) -> list[float]:
    """Return the sums of each value over the processes, in float64."""
    if count() == 1:
        return list(values)
    total = torch.tensor(values, dtype=torch.float64, device=device)
    distributed.all_reduce(total)
    return total.tolist()


def most(number: int, device: torch.device) -> int:
    """Return the largest of the processes' numbers."""
    if count() == 1:
        return number
    largest = torch.tensor(number, device=device)
    distributed.all_reduce(largest, distributed.ReduceOp.MAX)
    return int(largest)


def gathered(value: T) -> list[T]:
    """Return the value of each process, in their order."""
    if count() == 1:
        return [value]
    values: list[T] = [value] * count()
    distributed.all_gather_object(values, value)
    return values
