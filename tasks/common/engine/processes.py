"""Workers that are processes of this machine (``compute.engine: processes``)."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import spawn
from typing import Any

import torch

from tasks.common import ranks
from tasks.common.engine.backend import ATTEMPTS, Backend, WorkerError, compute, prepare
from tasks.common.params import Params


@dataclass
class _Shard:
    work: Callable[..., Any]
    shard: Any
    future: Future[Any]


class Processes(Backend):
    """A pool of processes, which is replaced when one of them is killed: its unfinished shards are done again."""

    def __init__(self, params: Params, parts: Any, device: torch.device):
        self.count = number_of(params, device)
        self._token, self._parts, self._device, self._seed = uuid.uuid4().hex, parts, device, params.seed
        self._unfinished: list[_Shard] = []
        self._failures = 0  # pools that broke since a shard was done
        self._pool, self._children = self._start()

    def submit(self, work: Callable[..., Any], shard: Any) -> _Shard:
        handle = _Shard(work, shard, Future())
        self._give(handle)
        self._unfinished.append(handle)
        return handle

    def result(self, handle: _Shard) -> Any:
        while True:
            try:
                found = handle.future.result()
            except BrokenProcessPool:
                self._replace()
            else:
                self._failures = 0
                self._unfinished.remove(handle)
                return found

    def forget(self, handle: _Shard) -> None:
        handle.future.cancel()

    def close(self) -> None:
        children = self._children()
        for child in children:
            child.kill()  # what it computes is wanted no more
        self._pool.shutdown(cancel_futures=True)
        for child in children:
            child.join()

    def _start(self) -> tuple[ProcessPoolExecutor, Callable[[], list[Any]]]:
        before = set(multiprocessing.active_children())
        # A fork of this process would copy PyTorch's locks. The server has imported PyTorch, and computed nothing.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        gpus = torch.cuda.device_count() if self._device.type == "cuda" else 0
        first = (self._seed, context.Value("i", 0), gpus, _own_main())
        pool = ProcessPoolExecutor(self.count, mp_context=context, initializer=_begin, initargs=first)
        return pool, lambda: [child for child in multiprocessing.active_children() if child not in before]

    def _give(self, handle: _Shard) -> None:
        try:
            handle.future = self._pool.submit(
                _run, self._token, self._parts, self._device.type, handle.work, handle.shard
            )
        except BrokenProcessPool:  # noticed here first; result() replaces the pool
            handle.future = Future()
            handle.future.set_exception(BrokenProcessPool())

    def _replace(self) -> None:
        self._failures += 1
        if self._failures >= ATTEMPTS:
            raise WorkerError(
                f"a worker was killed, or ended, {ATTEMPTS} times before any shard was done (was there enough "
                "memory?); lower compute.workers, or set compute.engine to local to see the error"
            )
        self._pool.shutdown()
        self._pool, self._children = self._start()
        for handle in self._unfinished:
            done = handle.future.done() and not handle.future.cancelled()
            if not done or isinstance(handle.future.exception(), BrokenProcessPool):
                self._give(handle)


def number_of(params: Params, device: torch.device) -> int:
    """Return the number of workers: ``auto`` is one per GPU, or one per thread on a CPU."""
    if params.compute.workers != "auto":
        return int(params.compute.workers)
    return max(1, torch.cuda.device_count()) if device.type == "cuda" else torch.get_num_threads()


def _own_main() -> str | None:
    """Return the file of the stage's module, where this process was started as ``python -m tasks.NAME``."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    return main.__file__ if spec is not None and spec.name.startswith("tasks.") else None


def _begin(seed: int, started: Any, gpus: int, main: str | None) -> None:
    """Set up a worker process. It ends with the stage, even if that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the stage's, which ends its workers
    threading.Thread(target=ranks.end_with_parent, args=[os.getppid()], daemon=True).start()
    with started.get_lock():
        number, started.value = started.value, started.value + 1
    if gpus:
        torch.cuda.set_device(number % gpus)
    prepare(seed)
    if main is not None:  # a pool leaves out a package's __main__.py, since many run their program unasked
        spawn.import_main_path(main)


def _run(token: str, parts: Any, device: str, work: Callable[..., Any], shard: Any) -> Any:
    return compute(token, lambda: parts.load(lambda name: name, torch.device(device)), work, shard)
