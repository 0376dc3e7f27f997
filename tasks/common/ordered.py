"""Results of parallel work in order, with a bounded number in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def ordered(
    pool: Executor, work: Callable[[S], T], items: Iterable[S], ahead: int
) -> Iterator[tuple[S, Callable[[], T]]]:
    """Yield each item, in order, with a function that waits for ``work(item)`` and returns or raises its result.

    Args:
        ahead: how many items are worked on, or done and waiting, behind the one that is yielded.
    """
    waiting: deque[tuple[S, Future[T]]] = deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) > ahead:
                first, future = waiting.popleft()
                yield first, future.result
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result
    finally:
        for _, future in waiting:
            future.cancel()
