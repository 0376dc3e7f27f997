"""Refusals, in the form that clients of OpenAI's interface read."""

from __future__ import annotations

import math

from starlette.responses import JSONResponse

SHOWN = 300  # characters of a message: it may quote what was sent


class RefusedError(Exception):
    """A request that gets no audio: an HTTP status, a message, and when to try again."""

    def __init__(self, status: int, message: str, *, retry_after: float | None = None, close: bool = False):
        super().__init__(message)
        self.status, self.message, self.retry_after, self.close = status, message, retry_after, close

    def response(self) -> JSONResponse:
        """Return the answer, with ``Retry-After`` in whole seconds."""
        kind = (
            "invalid_request_error"
            if self.status < 429
            else "rate_limit_error"
            if self.status == 429
            else "server_error"
        )
        text = self.message if len(self.message) <= SHOWN else f"{self.message[: SHOWN - 3]}..."
        headers = {"Connection": "close"} if self.close else {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after)))
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        error = {"message": text, "type": kind, "param": None, "code": None}
        return JSONResponse({"error": error}, self.status, headers)
