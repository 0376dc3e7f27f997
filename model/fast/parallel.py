"""Independent pieces of work in parallel on the CPU's cores.

A small model's operators are too short to share among threads. Two threads inside each operator bring nothing here;
two workers with one thread each nearly double the speed. PyTorch releases Python's lock inside its operators.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import local
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")
M = TypeVar("M", bound=torch.nn.Module)


def with_shared_weights(model: M) -> M:
    """Return a copy for another thread: what the model keeps while it computes is its own, its weights are shared."""
    shared = {id(parameter): parameter for parameter in model.parameters()}
    return copy.deepcopy(model, dict(shared))


def parallel_map(work: Callable[[int, T], R], pieces: Sequence[T], device: str = "cpu") -> list[R]:
    """Return ``work(worker, piece)`` of every piece, in the order of the pieces.

    There are as many workers as PyTorch has threads (``torch.set_num_threads``), each with one thread of its own.
    With one thread, one piece or a ``device`` type other than the CPU, this is a plain loop.

    Args:
        work: takes its worker's number, from 0, for objects that no two workers may share.
    """
    workers = min(torch.get_num_threads(), len(pieces)) if device == "cpu" else 1
    if workers <= 1:
        return [work(0, piece) for piece in pieces]
    numbers, own = count(), local()

    def start() -> None:
        own.number = next(numbers)
        torch.set_num_threads(1)

    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=start) as pool:
            return list(pool.map(lambda piece: work(own.number, piece), pieces))
    finally:
        torch.set_num_threads(threads)  # threads that begin later would start with a worker's number
