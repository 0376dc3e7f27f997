"""HTTP/1.1 of uvicorn, with time limits for clients that send or read too slowly."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


def with_limits(receive_seconds: float, send_seconds: float) -> type[H11Protocol]:
    """Return a protocol that closes a connection whose client is too slow.

    Args:
        receive_seconds: for the headers of each request; uvicorn stops looking at their first byte.
        send_seconds: for a client to take what lies in the send buffer above its low-water mark.
    """

    class Limited(H11Protocol):
        _headers_due: asyncio.TimerHandle | None = None
        _send_due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._await_request()

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
            _cancel(self._headers_due)
            _cancel(self._send_due)
            super().connection_lost(exc)

        def _await_request(self) -> None:
            _cancel(self._headers_due)
            self._headers_due = self.loop.call_later(receive_seconds, self._too_slow, self.cycle)

        def _too_slow(self, before: Any) -> None:
            if self.cycle is before:  # no request has begun since
                self.transport.abort()

    return Limited


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
