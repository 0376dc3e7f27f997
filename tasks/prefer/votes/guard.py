"""Who may use the server of a listening test: this machine, or who has the whole link; never another site."""

from __future__ import annotations

import hmac
import os
import re
import secrets
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from tasks.common.files import atomic_path
from tasks.prefer.votes.key import TOKEN

LOOPBACK = ("127.0.0.1", "localhost", "::1")
WHOLE = re.compile(rb"[A-Za-z0-9_-]{20,200}")  # a token that nobody guesses
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Refuses other sites, other names of this server, and who lacks the token; adds headers to every answer."""

    def __init__(self, app: Any, token: str, hosts: tuple[str, ...]) -> None:
        self._app, self._token, self._hosts = app, token, hosts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *((name.lower().encode(), value.encode()) for name, value in HEADERS.items()),
                ]
            await send(message)

        problem = self._problem(Request(scope))
        answer = JSONResponse({"error": problem[1]}, problem[0]) if problem else self._app
        await answer(scope, receive, send_with_headers)

    def _problem(self, request: Request) -> tuple[int, str] | None:
        host = request.headers.get("host", "")
        if (self._hosts or not self._token) and _name(host) not in self._hosts:
            return 403, "this server has another name"  # a foreign name that was made to point here
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return 403, "another site may not use this server"
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and request.url.path != "/":
            return 403, "another site may not use this server"
        if self._token and request.url.path != "/":
            given = request.headers.get("x-votes-token", "")
            if not hmac.compare_digest(given.encode(), self._token.encode()):
                return 401, "this link is not complete; open the whole link that you were sent"
        return None


def _name(host: str) -> str:
    """Return a Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def token_of(folder: Path) -> str:
    """Return the token of a test's links; it is made once, so that links stay valid after a restart.

    A file that is empty, cut off or something else is replaced: it would let in anybody, or nobody.
    """
    file = folder / TOKEN
    found = file.read_bytes().strip() if file.is_file() else b""
    if WHOLE.fullmatch(found):
        return found.decode("ascii")
    token = secrets.token_urlsafe(16)
    with atomic_path(file) as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "w", encoding="ascii") as opened:
            opened.write(token)
    return token
