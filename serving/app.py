"""The server's addresses: speech, voices, models, health and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import psutil
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from serving import formats, voices
from serving.answer import Answer, Job
from serving.errors import RefusedError
from serving.limits import Limits
from serving.metrics import Metrics
from serving.pool import Pool
from serving.process import Piece
from serving.request import LONGEST_NAME, Recording, Speech, parse, read_body
from serving.voices import Voice
from tasks.common.rejected import Rejected
from tasks.register.speech import sentences

T = TypeVar("T")
OWN_VOICE = "default"  # for clients that must send some voice
GONE = 499  # nginx's number for a client that left


@dataclass
class Service:
    """What the addresses share."""

    pool: Pool
    metrics: Metrics
    limits: Limits
    voices: dict[str, Voice] = field(default_factory=dict)
    token: str | None = None

    def app(self) -> Starlette:
        """Return the application."""
        routes = [
            Route("/v1/audio/speech", self.speech, methods=["POST"]),
            Route("/v1/audio/voices", self._guarded(self.list_voices), methods=["GET"]),
            Route("/v1/models", self._guarded(self.list_models), methods=["GET"]),
            Route("/metrics", self._guarded(self.show_metrics), methods=["GET"]),
            Route("/health", self.health, methods=["GET"]),
        ]
        return Starlette(routes=routes)

    async def speech(self, request: Request) -> Response:
        """Answer with audio, or with why there is none."""
        began = time.monotonic()
        try:
            self._check_token(request)
            asked = parse(await read_body(request, self.limits))
            began = time.monotonic()
            job = await self._job(asked)
            answer = Answer(self.pool, job, self.metrics)
            try:
                response = await self._whole_or_first(request, answer, asked, began)
                if job.warning:
                    response.headers["X-Warning"] = job.warning
            except BaseException:
                answer.leave()
                raise
        except RefusedError as error:
            response = error.response()
        except ClientDisconnect:
            response = Response(status_code=GONE)
        self.metrics.requests.labels(str(response.status_code)).inc()
        if not isinstance(response, StreamingResponse):
            self.metrics.seconds.observe(time.monotonic() - began)
        return response

    async def _job(self, asked: Speech) -> Job:
        """Check what can be checked before a worker is free."""
        if asked.model not in (None, self.pool.name):
            raise RefusedError(404, f"there is no model {asked.model[:80]!r}; this server has {self.pool.name!r}")
        if len(asked.input) > self.limits.characters:
            found = f"{len(asked.input)} characters, at most {self.limits.characters} are allowed"
            raise RefusedError(413, f"input: {found}; send it in parts")
        if not asked.input.strip():
            raise RefusedError(400, "input: empty; expected words to say")
        voice, said = await self._voice(asked.voice)
        warning = f"the voice prompt {said}" if said else None
        return Job(tuple(sentences(asked.input)), voice, asked.seed, asked.temperature, warning)

    async def _voice(self, asked: str | Recording | None) -> tuple[Voice, str | None]:
        """Return the voice as the present version takes it, and what to warn of."""
        if self.pool.voice == "none":
            if asked in (None, OWN_VOICE):
                return Voice(), None
            raise RefusedError(400, f"voice: this policy has one voice, its own; leave voice out, or set {OWN_VOICE!r}")
        if self.pool.voice == "speaker":
            if isinstance(asked, str) and asked.strip() and len(asked) <= LONGEST_NAME:
                return Voice(speaker=asked), None
            raise RefusedError(400, "voice: this policy takes the name of a speaker that it was trained with")
        if asked is None:
            raise RefusedError(400, "voice: missing; expected a registered voice's name, or a recording")
        if isinstance(asked, str):
            if asked not in self.voices:
                known = ", ".join(sorted(self.voices)) or "none"
                raise RefusedError(404, f"there is no voice {asked[:80]!r}; registered are: {known}")
            return self.voices[asked], None
        if len(asked.text) > self.limits.characters:
            found = f"{len(asked.text)} characters, at most {self.limits.characters} are allowed"
            raise RefusedError(413, f"voice.text: {found}; a few seconds of the recording suffice")
        prompt = asked.decoded(self.limits)
        try:
            said = await asyncio.to_thread(voices.check, prompt)
        except Rejected as error:
            raise RefusedError(400, f"voice.audio: {error}") from error
        return Voice(prompt, asked.text, asked.speaker), said

    async def _whole_or_first(self, request: Request, answer: Answer, asked: Speech, began: float) -> Response:
        """Return the whole answer, or one that begins with the first sentence: errors before it still have a status."""
        pieces = answer.pieces()
        first = await _unless_gone(request, _first(pieces))
        if first is None:
            raise RefusedError(500, "no sentence was synthesized")
        headers = {"X-Model-Version": answer.version, "X-Seed": str(asked.seed)}
        kind = formats.TYPES[asked.response_format]
        if asked.response_format == "pcm":
            kind += f";rate={first.rate};channels=1;bits=16"
        if asked.stream and answer.count > 1:
            body = self._streamed(answer, first, pieces, formats.Stream(asked.response_format), began)
            return StreamingResponse(body, media_type=kind, headers=headers)
        parts = [first, *await _unless_gone(request, _rest(pieces))]
        if all(part.empty for part in parts):
            raise RefusedError(422, "the policy sampled no audio; try another seed")
        headers["X-Finished"] = str(all(part.finished for part in parts)).lower()
        samples = np.concatenate([part.samples for part in parts])
        content = await asyncio.to_thread(formats.encode, samples, first.rate, asked.response_format)
        return Response(content, media_type=kind, headers=headers)

    async def _streamed(
        self, answer: Answer, first: Piece, rest: AsyncIterator[Piece], file: formats.Stream, began: float
    ) -> AsyncIterator[bytes]:
        whole = False
        try:
            yield file.write(first.samples, first.rate)
            async for piece in rest:
                yield file.write(piece.samples, piece.rate)
            yield file.close()
            whole = True
        finally:
            answer.leave()
            if not whole:
                self.metrics.broken.inc()
            self.metrics.seconds.observe(time.monotonic() - began)

    async def list_voices(self, request: Request) -> Response:
        """Answer with the registered voices' names."""
        return JSONResponse({"voices": sorted(self.voices)})

    async def list_models(self, request: Request) -> Response:
        """Answer with the one model, in OpenAI's form."""
        model = {"id": self.pool.name, "object": "model", "owned_by": "speechalign", "version": self.pool.version}
        return JSONResponse({"object": "list", "data": [model]})

    async def health(self, request: Request) -> Response:
        """Answer 200 while a worker of the present version runs, else 503."""
        well = self.pool.alive > 0
        state = {
            "status": "ok" if well else "no worker runs",
            "version": self.pool.version,
            "waiting": self.pool.waiting,
        }
        return JSONResponse(state, 200 if well else 503, {} if well else {"Retry-After": "5"})

    async def show_metrics(self, request: Request) -> Response:
        """Answer in Prometheus' text format."""
        self.metrics.waiting.set(self.pool.waiting)
        self.metrics.workers.set(self.pool.alive)
        self.metrics.memory.set(sum(map(_resident, self.pool.pids())))
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    def _check_token(self, request: Request) -> None:
        if self.token is not None:
            scheme, _, given = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self.token.encode()):
                raise RefusedError(
                    401, "expected the header Authorization: Bearer TOKEN with this server's token", close=True
                )

    def _guarded(self, address: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                self._check_token(request)
            except RefusedError as error:
                return error.response()
            return await address(request)

        return guarded


async def _first(pieces: AsyncIterator[Piece]) -> Piece | None:
    return await anext(pieces, None)


async def _rest(pieces: AsyncIterator[Piece]) -> list[Piece]:
    return [piece async for piece in pieces]


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what ``work`` returns.

    Raises:
        ClientDisconnect: the client left first; ``work`` is cancelled.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _resident(pid: int) -> int:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).memory_info().rss
    return 0
