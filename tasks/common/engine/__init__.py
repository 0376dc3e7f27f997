"""Where a stage's shards are computed: in this process, in several, or on a Ray cluster (``compute.engine``).

A stage says what a worker loads (:class:`Parts`), what it does with a shard, and how items make shards. Shards, and the
batches within them, are the same everywhere, and every worker computes with one thread. So the results are the same
bytes, whichever engine and however many workers there are. A shard whose worker is killed is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from functools import cached_property
from itertools import chain, pairwise
from typing import Any, Generic, Protocol, TypeVar

import torch

from tasks.common.engine.backend import Backend, Done, Places, WorkerError
from tasks.common.params import Params

__all__ = ["Parts", "WorkerError", "Workers", "cut"]

S = TypeVar("S", bound=Sized)
A = TypeVar("A")
R = TypeVar("R")
State = TypeVar("State")
Loaded = TypeVar("Loaded", covariant=True)
PARTS_PER_THREAD = 8  # of a shard, so that threads which share one are idle at its end only
Work = Callable[[State, S, Done], R]


class Parts(Protocol[Loaded]):
    """What a worker loads before its first shard; it must be picklable, and small."""

    @property
    def folders(self) -> Sequence[str]:
        """Names of checkpoints; those that are folders here are sent to workers that have another disk."""

    def load(self, at: Places, device: torch.device) -> Loaded:
        """Load, each checkpoint from ``at(name)``."""


def cut(items: Sequence[A], size: int) -> list[list[A]]:
    """Return the fewest parts of at most ``size`` items, of lengths that differ by one at most."""
    count = -(-len(items) // size)
    bounds = [0]
    for number in range(count):
        bounds.append(bounds[-1] + len(items) // count + (number < len(items) % count))
    return [list(items[first:end]) for first, end in pairwise(bounds)]


class _Nothing:
    """Parts of a process that has loaded them already."""

    folders: Sequence[str] = ()

    def load(self, at: Places, device: torch.device) -> Any:
        raise RuntimeError("these workers have their state")


class Workers(Generic[State]):
    """The workers of one stage. Nothing is loaded or started before it is needed.

    Args:
        parts: what each loads.
        device: where they compute.
        state: the same as ``parts`` load, if this process has it already.
    """

    def __init__(self, params: Params, parts: Parts[State], device: torch.device, state: State | None = None):
        self.parts, self.device = parts, device
        if state is not None:
            self.state = state
        self._params = params
        self._backend: Backend | None = None

    @classmethod
    def here(cls, params: Params, state: State, device: torch.device) -> Workers[State]:
        """Return this process as the only worker, with what is loaded already."""
        compute = params.compute.model_copy(update={"engine": "local"})
        only: Workers[Any] = cls(params.model_copy(update={"compute": compute}), _Nothing(), device, state)
        return only

    @cached_property
    def state(self) -> State:
        """What :attr:`parts` loads, in this process."""
        return self.parts.load(lambda name: name, self.device)

    def map(self, work: Work[State, S, R], shards: Iterable[S], on_done: Done) -> Iterator[R]:
        """Yield ``work(state, shard, done)`` of every shard, in order; few shards are in memory at a time.

        Args:
            work: a function of a module, or a partial of one. It may call ``done(n)`` after each part of a shard.
            on_done: is told how many items of shards are done.

        Raises:
            WorkerError: shards that end their worker again and again, or an engine that isn't there.
        """
        if self._params.compute.engine == "local":
            for shard in shards:
                found = work(self.state, shard, on_done)
                del shard  # or it would stay in memory, with its audio, while the next one is read
                yield found
            return
        for n, result in self._remote().map(work, shards):
            on_done(n)
            yield result

    def spread(
        self, work: Work[State, list[A], list[R]], items: Sequence[A], key: Callable[[A], Any], size: int, on_done: Done
    ) -> list[R]:
        """Return ``work``'s result of each item, in the items' order; similar items share a shard.

        Args:
            work: takes items and returns as many results. It sorts by ``key`` itself, if it is given many.
            items: those of a few shards are in memory at a time, if they are on disk.
            key: items are sorted by it.
            size: items per shard, as many as ``work`` batches together at most. It cuts by :func:`cut`, too.
        """
        order = sorted(range(len(items)), key=lambda i: key(items[i]))
        parts, threads = cut(order, size), torch.get_num_threads()
        if self._params.compute.engine == "local":
            if len(items) <= size:
                torch.set_num_threads(1)  # as a worker, and as each of several threads
            # Work's own threads share a shard, and cut it into the same parts: several, or one part had all threads.
            parts = [list(chain.from_iterable(group)) for group in cut(parts, PARTS_PER_THREAD * threads)]
        shards = ([items[i] for i in part] for part in parts)
        try:
            results = [result for part in self.map(work, shards, on_done) for result in part]
        finally:
            torch.set_num_threads(threads)
        place = dict(zip(order, results, strict=True))
        return [place[i] for i in range(len(items))]

    def close(self) -> None:
        """End the workers."""
        if self._backend is not None:
            self._backend.close()
            self._backend = None

    def __enter__(self) -> Workers[State]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _remote(self) -> Backend:
        if self._backend is None:
            if self._params.compute.engine == "ray":
                from tasks.common.engine.cluster import Cluster

                self._backend = Cluster(self._params, self.parts, self.device)
            else:
                from tasks.common.engine.processes import Processes

                self._backend = Processes(self._params, self.parts, self.device)
        return self._backend
