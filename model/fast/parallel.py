"""Independent pieces of work side by side on the CPU's cores.

A small model's operators are too short to share among threads: two threads inside each operator bring nothing here,
two workers with one thread each nearly double the speed. PyTorch lets go of Python's lock inside its operators.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import local
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def spread(work: Callable[[int, T], R], pieces: Sequence[T], device: str = "cpu") -> list[R]:
    """``work(worker, piece)`` for every piece, results in the order of the pieces.

    There are as many workers as PyTorch has threads (``torch.set_num_threads``), each with one thread of its own;
    ``worker`` counts them from 0, for work that needs an object no other worker touches. With one thread, one
    piece, or another ``device`` type than the CPU (which is kept busy by one), nothing is started.
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
        torch.set_num_threads(threads)  # a worker's number is what threads that begin later would start with
