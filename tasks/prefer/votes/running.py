"""Run the server of a listening test until it is stopped."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from pathlib import Path

import uvicorn

from tasks.common.files import DataError
from tasks.prefer.votes.guard import LOOPBACK, token_of
from tasks.prefer.votes.key import Key
from tasks.prefer.votes.server import Test, app


def run(folder: Path, key: Key, host: str, port: int, per_rater: int | None, stop: bool) -> None:
    """Serve until Ctrl-C or a polite kill; votes so far are read again at the next start.

    Raises:
        DataError: the address cannot be used, or another server has the votes open.
    """
    listening = _listen(host, port)
    with contextlib.closing(listening):
        test = Test(folder, key, per_rater, stop, lambda line: print(line, flush=True))
        if test.store.torn:
            print(f"{folder}: a vote that was cut off was never acknowledged, and is removed", flush=True)
        local = ipaddress.ip_address(listening.getsockname()[0]).is_loopback  # not what the name promises
        token = "" if local else token_of(folder)
        shown = f"[{host}]" if ":" in host else socket.gethostname() if host in ("0.0.0.0", "") else host
        print(f"{folder}: http://{shown}:{port}/{'#' + token if token else ''} (Ctrl-C stops it)", flush=True)
        served = app(test, token, (*LOOPBACK, host) if local else ())
        config = uvicorn.Config(
            served, log_level="warning", access_log=False, server_header=False, limit_concurrency=1000, ws="none",
            timeout_graceful_shutdown=5,
        )  # fmt: skip
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
    print(f"stopped; `speechalign votes result {folder}` says what the votes show", flush=True)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(1024)  # before the link is printed: who is quick waits
    except (OSError, OverflowError) as error:
        listening.close()
        raise DataError(f"cannot serve on {host} port {port}: {error}; choose others with --host and --port") from error
    return listening
