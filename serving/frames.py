"""Messages between the server and a worker process: a JSON object and raw bytes. Nothing is pickled."""

from __future__ import annotations

import asyncio
import json
from typing import Any, BinaryIO

LENGTH = 4  # bytes of the JSON's length, big-endian
SIZE = "bytes"  # the JSON's key for how many raw bytes follow


class EndedError(EOFError):
    """The other side has closed, between two messages or within one."""


def pack(message: dict[str, Any], raw: bytes = b"") -> bytes:
    """Return one message as bytes."""
    head = json.dumps({**message, SIZE: len(raw)}).encode()
    return len(head).to_bytes(LENGTH, "big") + head + raw


def read(stream: BinaryIO) -> tuple[dict[str, Any], bytes]:
    """Read one message from a pipe, blocking.

    Raises:
        EndedError: there is none.
    """
    message = json.loads(_exactly(stream, int.from_bytes(_exactly(stream, LENGTH), "big")))
    return message, _exactly(stream, message.pop(SIZE))


def _exactly(stream: BinaryIO, n: int) -> bytes:
    data = stream.read(n)
    if len(data) < n:
        raise EndedError
    return data


async def receive(stream: asyncio.StreamReader) -> tuple[dict[str, Any], bytes]:
    """Read one message, as :func:`read` does.

    Raises:
        EndedError: there is none.
    """
    try:
        head = await stream.readexactly(int.from_bytes(await stream.readexactly(LENGTH), "big"))
        message = json.loads(head)
        return message, await stream.readexactly(message.pop(SIZE))
    except asyncio.IncompleteReadError as error:
        raise EndedError from error
