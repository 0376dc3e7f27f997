"""The audio of one request: it waits for a worker, and collects the sentences whether or not the client reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from serving.errors import RefusedError
from serving.metrics import Metrics
from serving.pool import Pool
from serving.process import Piece, Sentence, Worker, WorkerError
from serving.voices import Voice

HARD = 2.0  # times the limit of a text: then its worker is ended in the middle of a sentence


@dataclass(frozen=True)
class Job:
    """A text in sentences, the voice, the first sentence's seed, the temperature, and what to warn of."""

    sentences: tuple[str, ...]
    voice: Voice
    seed: int
    temperature: float | None
    warning: str | None = None


class Answer:
    """The pieces of a job, in order. A slow client holds memory, but no worker."""

    def __init__(self, pool: Pool, job: Job, metrics: Metrics):
        self.version = ""  # of the worker, once there is one
        self.count = len(job.sentences)
        self._pool, self._job, self._metrics = pool, job, metrics
        self._pieces: asyncio.Queue[Piece | Exception | None] = asyncio.Queue()
        self._left = False
        self._has_worker = False
        self._task = asyncio.create_task(self._produce())
        pool.keep(self._task)

    def leave(self) -> None:
        """Say that the client has gone: what waits leaves the queue, what computes ends after its sentence."""
        self._left = True
        if not self._has_worker:
            self._task.cancel()

    async def pieces(self) -> AsyncIterator[Piece]:
        """Yield the pieces.

        Raises:
            RefusedError: there is no audio, or no more of it.
        """
        while (piece := await self._pieces.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def _produce(self) -> None:
        try:
            began = time.monotonic()
            worker = await self._pool.take()
            self._has_worker, self.version = True, worker.version
            self._metrics.waited.observe(time.monotonic() - began)
            await self._ask(worker)
        except Exception as error:
            self._pieces.put_nowait(error)
        else:
            self._pieces.put_nowait(None)

    async def _ask(self, worker: Worker) -> None:
        began, seconds = time.monotonic(), self._pool.limits.synthesis_seconds
        try:
            async with asyncio.timeout(HARD * seconds):
                voice = self._job.voice
                for number, text in enumerate(self._job.sentences):
                    if self._left:
                        break
                    if time.monotonic() - began > seconds:
                        raise RefusedError(504, f"the text took longer than {seconds:g} s; shorten it")
                    seed, temperature = self._job.seed + number, self._job.temperature
                    about = (number, self.count, voice.text, voice.speaker)
                    piece = await worker.ask(Sentence(text, seed, temperature, *about), voice.audio)
                    self._metrics.audio.inc(len(piece.samples) / piece.rate)
                    self._pieces.put_nowait(piece)
        except RefusedError:
            self._pool.give(worker)
            raise
        except WorkerError as error:
            self._pool.give_up(worker)
            raise RefusedError(500, f"{error}; try again") from error
        except TimeoutError as error:
            self._pool.give_up(worker)
            raise RefusedError(504, f"the text took longer than {seconds:g} s; shorten it") from error
        except BaseException:
            self._pool.give_up(worker)  # it may be in the middle of a sentence
            raise
        self._pool.give(worker, time.monotonic() - began)
