"""HTTP/1.1 of uvicorn, with limits for clients that send or read too slowly, or go on sending what was refused."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

LINGER_SECONDS, LINGER_BYTES = 5.0, 1_000_000_000  # of a body that is thrown away, unparsed


def with_limits(receive_seconds: float, send_seconds: float) -> type[H11Protocol]:
    """Return a protocol that closes a connection whose client is too slow.

    A request may be answered before its body has come. Closing then would reset the connection, and the client, which
    still sends, would read no answer. So only the server's side is closed, and what comes is thrown away for a while.

    Args:
        receive_seconds: for the headers of each request; uvicorn stops looking at their first byte.
        send_seconds: for a client to take what lies in the send buffer above its low-water mark.
    """

    class Limited(H11Protocol):
        _headers_due: asyncio.TimerHandle | None = None
        _send_due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self._lingering = _Lingering(transport, self)
            super().connection_made(self._lingering)  # type: ignore[arg-type]
            self._await_request()

        def data_received(self, data: bytes) -> None:
            if self._lingering.closing:
                self._lingering.throw_away(len(data))
            else:
                super().data_received(data)

        def on_response_complete(self) -> None:
            ended = self.cycle
            super().on_response_complete()
            if self.cycle is ended:  # otherwise the next request came with this one
                self._await_request()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._send_due = self.loop.call_later(send_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            _cancel(self._send_due)

        def connection_lost(self, exc: Exception | None) -> None:
            for timer in (self._headers_due, self._send_due, self._lingering.due):
                _cancel(timer)
            super().connection_lost(exc)

        def _await_request(self) -> None:
            _cancel(self._headers_due)
            self._headers_due = self.loop.call_later(receive_seconds, self._too_slow, self.cycle)

        def _too_slow(self, before: Any) -> None:
            if self.cycle is before and not self._lingering.closing:  # no request has begun since
                self.transport.abort()

    return Limited


class _Lingering:
    """A transport that closes its own side first while a body still comes; all else is the real transport's."""

    def __init__(self, transport: asyncio.Transport, protocol: H11Protocol):
        self._transport, self._protocol = transport, protocol
        self.closing, self._thrown = False, 0
        self.due: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self.closing or self._transport.is_closing()

    def close(self) -> None:
        """Close, at once unless a body still comes."""
        if self._protocol.conn.their_state is not h11.SEND_BODY or not self._transport.can_write_eof():
            self._transport.close()
        elif not self.is_closing():
            self.closing = True
            self._transport.write_eof()
            self._transport.resume_reading()
            self.due = self._protocol.loop.call_later(LINGER_SECONDS, self._transport.close)

    def throw_away(self, size: int) -> None:
        """Count bytes that came too late, and close after too many."""
        self._thrown += size
        if self._thrown > LINGER_BYTES:
            self._transport.close()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
