"""An S3 server behind a proxy that fails in a chosen way."""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from tests.loopback import running

Fault = Literal["none", "500", "reset", "corrupt"]
DATA = "/files/md5/"  # in the address of what DVC keeps


class Proxy(ThreadingHTTPServer):
    """Passes requests on; those that read or write data suffer the fault."""

    daemon_threads = True

    def __init__(self, target: str):
        super().__init__(("127.0.0.1", 0), _Handler)
        host, port = target.removeprefix("http://").split(":")
        self.target = (host, int(port))
        self.fault: Fault = "none"
        self.left = 10**9  # how many requests suffer it
        self.suffered = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def suffers(self) -> bool:
        if self.fault == "none" or self.suffered >= self.left:
            return False
        self.suffered += 1
        return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _pass(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        fault = self.server.fault if DATA in self.path and self.command != "HEAD" and self.server.suffers() else "none"
        if fault == "reset":
            # A connection that is closed with time to linger of 0 is reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        if fault == "500":
            self._answer(500, {}, b"<Error><Code>InternalError</Code><Message>We broke</Message></Error>")
            return
        backend = http.client.HTTPConnection(*self.server.target, timeout=60)
        backend.request(self.command, self.path, body, dict(self.headers))
        answer = backend.getresponse()
        content = answer.read()
        headers = dict(answer.getheaders())
        if fault == "corrupt" and self.command == "GET" and content and ".dir" not in self.path:
            content = bytes([content[0] ^ 1]) + content[1:]
            # What was damaged at rest has the checksum of the damage, or none.
            headers = {name: value for name, value in headers.items() if "checksum" not in name.lower()}
        self._answer(answer.status, headers, content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection") or self.command == "HEAD":
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def proxy(target: str) -> Iterator[Proxy]:
    """Run the proxy in the background while the block lasts."""
    server = Proxy(target)
    with running(server):
        yield server
