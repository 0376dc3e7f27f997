"""A real server on loopback, in a thread, whose workers are quick stand-ins; and a client."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import soundfile

from serving.app import Service
from serving.limits import Limits
from serving.metrics import Metrics
from serving.pool import Pool
from serving.run import server_of
from serving.voices import Voice
from tests.conftest import tone


def wav(seconds: float = 1.0) -> bytes:
    """A recording to take the voice from."""
    file = io.BytesIO()
    soundfile.write(file, tone(seconds), 16000, format="WAV")
    return file.getvalue()


@dataclass
class Reply:
    """What a request got."""

    status: int
    body: bytes
    headers: Any

    @property
    def message(self) -> str:
        """The message of a refusal."""
        return json.loads(self.body)["error"]["message"]


def send(request: urllib.request.Request | str) -> Reply:
    """Send one request, on a connection of its own."""
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Reply(answer.status, answer.read(), answer.headers)
    except urllib.error.HTTPError as error:
        return Reply(error.code, error.read(), error.headers)


def post(address: str, body: Any, headers: dict[str, str] | None = None) -> Reply:
    """Ask for speech; ``body`` is JSON to be, or bytes as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} if headers is None else headers
    return send(urllib.request.Request(f"{address}/v1/audio/speech", data, headers))


class Running:
    """A service in a thread with an event loop of its own."""

    def __init__(self, limits: Limits, workers: int, token: str | None):
        self.voices = {"alice": Voice(wav(), "one two", "alice"), "bob": Voice(wav(1.5), "", "bob")}
        self.metrics = Metrics()
        self.pool = Pool("speechalign-policy", workers, limits, self.metrics, program="tests.serving.quick_worker")
        self.server = server_of(Service(self.pool, self.metrics, limits, self.voices, token))
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        self.wait(lambda: self.server.started)

    def _run(self) -> None:
        async def live() -> None:
            await self.pool.move_to("1")
            await self.server.serve(sockets=[self.listener])
            await self.pool.close()

        self.loop.run_until_complete(live())
        self.loop.close()

    def call(self, work: Any) -> Any:
        """Run a coroutine in the server's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def wait(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline and self.thread.is_alive()
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop as a signal does: after the requests that have begun."""
        self.server.should_exit = True
        self.thread.join(60)
