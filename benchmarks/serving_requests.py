"""Requests for ``benchmarks.serving``: a client, and what no server should be impressed by."""

from __future__ import annotations

import base64
import io
import json
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile

GONE = 0  # the status of a connection that ended without an answer


@dataclass(frozen=True)
class Reply:
    """Status, body, and the version that answered."""

    status: int
    body: bytes
    version: str


def ask(address: str, body: dict[str, Any] | bytes) -> Reply:
    """Ask for speech, on a connection of its own."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/v1/audio/speech", data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=900) as answer:
            return Reply(answer.status, answer.read(), answer.headers["X-Model-Version"])
    except urllib.error.HTTPError as error:
        return Reply(error.code, error.read(), "")
    except OSError:
        return Reply(GONE, b"", "")


def slow_body(client: socket.socket) -> None:
    """Announce a body and send its first byte."""
    head = b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    client.sendall(head)


def _recording(samples: np.ndarray) -> dict[str, str]:
    file = io.BytesIO()
    soundfile.write(file, samples, 16000, format="WAV", subtype="FLOAT")
    return {"audio": base64.b64encode(file.getvalue()).decode()}


HOSTILE: dict[str, dict[str, Any] | bytes] = {
    "text of 10 MB": {"input": "one " * 2_500_000, "voice": "alice"},
    "text of 2,000 characters": {"input": "one " * 500, "voice": "alice"},
    "prompt of 50 MB": {"input": "one", "voice": {"audio": "A" * 50_000_000}},
    "prompt of NaN": {"input": "one", "voice": _recording(np.full(16000, np.nan, np.float32))},
    "silent prompt": {"input": "one", "voice": _recording(np.zeros(16000, np.float32))},
    "prompt that is no audio": {"input": "one", "voice": {"audio": base64.b64encode(b"no" * 9999).decode()}},
    "prompt that is a path": {"input": "one", "voice": {"path": "/etc/passwd"}},
    "temperature NaN": {"input": "one", "voice": "alice", "temperature": float("nan")},
    "seed -5": {"input": "one", "voice": "alice", "seed": -5},
    "100,000 brackets": b'{"input": ' + b"[" * 100_000,
    "broken JSON": b'{"input": "one',
    "wrong types": {"input": ["one"], "voice": 1},
}
