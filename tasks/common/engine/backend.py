"""What workers of every kind have in common: the order of results, and what a worker keeps loaded."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from model.errors import SpeechAlignError
from tasks.common.runtime import use_deterministic_algorithms

Done = Callable[[int], None]
Places = Callable[[str], str]
AHEAD = 2  # shards per worker that are computed, or done and waiting, at a time
ATTEMPTS = 3  # of shards that end their workers, before the stage gives up


class WorkerError(SpeechAlignError):
    """Workers ended again and again, or can't be started."""


class Backend(ABC):
    """Workers outside this process."""

    count: int  # workers

    def map(self, work: Callable[..., Any], shards: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Yield the size and the result of each shard, in order."""
        waiting: deque[tuple[int, Any]] = deque()
        try:
            for shard in shards:
                waiting.append((len(shard), self.submit(work, shard)))
                if len(waiting) >= AHEAD * self.count:
                    n, handle = waiting.popleft()
                    yield n, self.result(handle)
            while waiting:
                n, handle = waiting.popleft()
                yield n, self.result(handle)
        finally:
            for _, handle in waiting:
                self.forget(handle)

    @abstractmethod
    def submit(self, work: Callable[..., Any], shard: Any) -> Any:
        """Start a shard, and return what :meth:`result` takes."""

    @abstractmethod
    def result(self, handle: Any) -> Any:
        """Wait for a shard."""

    @abstractmethod
    def forget(self, handle: Any) -> None:
        """Cancel a shard whose result nobody wants any more."""

    @abstractmethod
    def close(self) -> None:
        """End the workers."""


_loaded: dict[str, Any] = {}  # of the workers' token: a process that serves a second stage forgets the first


def compute(token: str, load: Callable[[], Any], work: Callable[..., Any], shard: Any) -> Any:
    """Return ``work`` of a shard, in a worker; ``load()`` is called for the first shard of a token."""
    if token not in _loaded:
        _loaded.clear()
        _loaded[token] = load()
    return work(_loaded[token], shard, _nothing)


def prepare(seed: int) -> None:
    """Set up a worker as :func:`tasks.common.runtime.start` does a stage, with one thread."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    use_deterministic_algorithms()


def _nothing(_n: int) -> None:
    """Progress is told by shards."""
