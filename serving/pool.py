"""The queue in front of the workers: first come first served, bounded, and kept while the version changes."""

from __future__ import annotations

import asyncio
import sys
from collections import deque

from serving.errors import RefusedError
from serving.limits import Limits
from serving.metrics import Metrics
from serving.process import PROGRAM, Worker, WorkerError

RESTART_SECONDS = 5.0  # before a worker that did not start is tried again
WEIGHT = 0.1  # of the latest request in the mean time of one


class Pool:
    """Workers of one version; a request holds one from its first sentence to its last."""

    def __init__(self, name: str, workers: int, limits: Limits, metrics: Metrics, program: str = PROGRAM):
        self.program = program
        self.name, self.size, self.limits, self.metrics = name, workers, limits, metrics
        self.version: str | None = None
        self.voice = "audio"  # what the version takes; see Worker
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._waiting: deque[asyncio.Future[Worker]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._mean = 1.0  # seconds per request
        self._closed = False

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    @property
    def alive(self) -> int:
        """Workers of the present version that run."""
        return sum(worker.alive and worker.version == self.version for worker in self._all)

    def pids(self) -> list[int]:
        """Return the processes of all workers."""
        return [worker.process.pid for worker in self._all if worker.alive]

    def retry_after(self) -> float:
        """Return the seconds after which the queue should have room."""
        return min(60.0, (len(self._waiting) + 1) * self._mean / self.size)

    async def take(self) -> Worker:
        """Return a worker of the present version, after waiting for one in the queue.

        Raises:
            RefusedError: the queue is full (429), the wait too long or the server about to stop (503).
        """
        if self.version is None or self._closed:
            raise RefusedError(503, "the server is starting or stopping; try again", retry_after=5)
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            self._replace(worker)
        if len(self._waiting) >= self.limits.waiting:
            message = f"{len(self._waiting)} requests are waiting already; try again later"
            raise RefusedError(429, message, retry_after=self.retry_after())
        future: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            async with asyncio.timeout(self.limits.queue_seconds):
                return await future
        except BaseException as error:
            if future.done() and not future.cancelled() and not future.exception():
                self.give(future.result())  # it came at the moment when the wait ended
            if future in self._waiting:
                self._waiting.remove(future)
            if isinstance(error, TimeoutError):
                message = f"no worker was free within {self.limits.queue_seconds:g} s; try again later"
                raise RefusedError(503, message, retry_after=self.retry_after()) from None
            raise

    def give(self, worker: Worker, seconds: float | None = None) -> None:
        """Take back a worker, to hand it to the first in the queue or to end it if its version was replaced."""
        if seconds is not None:
            self._mean += WEIGHT * (seconds - self._mean)
        if not worker.alive:
            self._replace(worker)
        elif worker.version != self.version or self._closed:
            self._start(self._retire(worker))
        else:
            while self._waiting:
                future = self._waiting.popleft()
                if not future.done():
                    future.set_result(worker)
                    return
            self._idle.append(worker)

    def give_up(self, worker: Worker) -> None:
        """End a worker that took too long or was left in the middle of a sentence, and start another."""

        async def kill() -> None:
            await worker.kill()
            self._replace(worker)

        self._start(kill())

    async def move_to(self, version: str) -> None:
        """Load a version and serve it from then on. Requests that have a worker of the last one keep it.

        Raises:
            WorkerError: it does not load; the last version goes on.
        """
        started = await asyncio.gather(*(self._load(version) for _ in range(self.size)), return_exceptions=True)
        workers = [worker for worker in started if isinstance(worker, Worker)]
        errors = [error for error in started if isinstance(error, BaseException)]
        if errors:
            await asyncio.gather(*(worker.kill() for worker in workers))
            raise errors[0]
        before, self._idle, self.version, self.voice = self._idle, [], version, workers[0].voice
        self._all.update(workers)
        for worker in before:
            self._start(self._retire(worker))
        for worker in workers:
            self.give(worker)

    async def close(self) -> None:
        """Refuse what waits, and end all workers."""
        self._closed = True
        for future in self._waiting:
            if not future.done():
                future.set_exception(RefusedError(503, "the server is stopping", retry_after=5))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.kill() for worker in self._all))

    async def _load(self, version: str) -> Worker:
        return await Worker.start(self.name, version, self.limits.load_seconds, self.program)

    def _replace(self, worker: Worker) -> None:
        """Start another worker in the place of one that has ended."""
        self._all.discard(worker)
        worker.clean()
        if worker.version == self.version and not self._closed:
            self.metrics.restarts.inc()
            self._start(self._restart(worker.version))

    async def _restart(self, version: str) -> None:
        while version == self.version and not self._closed:
            try:
                worker = await self._load(version)
            except (WorkerError, OSError) as error:
                print(f"serve: {error}; trying again", file=sys.stderr, flush=True)
                await asyncio.sleep(RESTART_SECONDS)
                continue
            self._all.add(worker)
            self.give(worker)
            return

    async def _retire(self, worker: Worker) -> None:
        await worker.stop()
        self._all.discard(worker)

    def _start(self, work: asyncio._CoroutineLike[None]) -> None:
        self.keep(asyncio.get_running_loop().create_task(work))

    def keep(self, task: asyncio.Task[None]) -> None:
        """Hold a task until it ends; the loop alone would not."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
