"""A server on loopback that answers every question with JSON's ``true``."""

from __future__ import annotations

import contextlib
import http.server
from collections.abc import Iterator

from tests.loopback import running


class _Well(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"true")

    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def serving(port: int = 0) -> Iterator[str]:
    """Answer while the block lasts; yield the address."""
    with running(http.server.HTTPServer(("127.0.0.1", port), _Well)) as address:
        yield address
