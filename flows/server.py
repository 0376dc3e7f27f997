"""The Prefect API that a run of the command line talks to: the one that is configured, or a temporary one.

Prefect's own temporary server shares the terminal with the flow. So Ctrl-C would end it first, and the flow would ask
it again for minutes; ``kill -9`` would leave it behind. This one leads a session of its own, is watched like a stage,
and is started again on its port if it dies.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path

from flows import process, waiting
from model.errors import SpeechAlignError
from tasks.common import secrets

SECONDS_TO_ANSWER = 5.0
LONGEST_ANSWER = 10_000  # bytes that are read of a server's word that it is well
LOOPBACK = "127.0.0.1"
AWAY_SECONDS = 600.0  # for which the end of a run waits for a server, which has to record it
PAUSE_SECONDS = 2.0
APP = "prefect.server.api.server:create_app"


class ServerError(SpeechAlignError):
    """No Prefect server answers."""


@contextlib.contextmanager
def api() -> Iterator[str]:
    """Yield the address of a Prefect API that answers; the block's flows use it.

    Raises:
        ServerError: nothing answers at the address that is configured, or a temporary server does not start.
    """
    from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL, temporary_settings

    if configured := PREFECT_API_URL.value():
        _check(configured)
        with _one_line_for_an_outage(configured):
            yield configured
        return
    with _temporary() as address, temporary_settings({PREFECT_API_URL: address, PREFECT_UI_URL: ""}):
        yield address
        _deliver()


def wait_until_back(show: Callable[[str], None]) -> None:
    """Wait for a server that has gone away since the run began: it has to record how the run ended.

    Raises:
        process.StoppedError: the flow is ending.
    """
    from prefect.settings import PREFECT_API_URL

    deadline = time.monotonic() + AWAY_SECONDS
    said = False
    while (address := PREFECT_API_URL.value()) and time.monotonic() < deadline:
        try:
            _check(address)
            return
        except ServerError:
            if not said:
                show(
                    f"the stages have ended; waiting for Prefect's server at {secrets.address(address)} to record it, "
                    f"{AWAY_SECONDS / 60:g} minutes at most"
                )
                said = True
        process.wait(PAUSE_SECONDS)


@contextlib.contextmanager
def _one_line_for_an_outage(address: str) -> Iterator[None]:
    """Say once a minute that the server is away, where Prefect would print each event that it could not deliver."""
    said = float("-inf")

    def known(record: logging.LogRecord) -> bool:
        nonlocal said
        if not str(record.msg).startswith(("Unable to connect to %r", "Service %r failed to process item")):
            return True
        if time.monotonic() - said > waiting.AGAIN:
            said = time.monotonic()
            waiting.say(
                f"Prefect's server at {secrets.address(address)} does not answer; the run goes on, and the server's "
                "pages will lack what happens meanwhile"
            )
        return False

    loggers = [logging.getLogger(name) for name in ("prefect.events.clients", "prefect._internal.concurrency")]
    errors, logging.raiseExceptions = logging.raiseExceptions, False  # or each batch of log lines would print its own
    for one in loggers:
        one.addFilter(known)
    try:
        yield
    finally:
        logging.raiseExceptions = errors
        for one in loggers:
            one.removeFilter(known)


def _deliver() -> None:
    """Let Prefect send its last log lines and events, or it would find no server and say so on the screen."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=SECONDS_TO_ANSWER)


def _check(address: str) -> None:
    health = f"{secrets.address(address).rstrip('/')}/health"
    if not health.lower().startswith(("http://", "https://")):
        raise ServerError(_unreachable(address, "no address that begins with http:// or https://"))
    try:
        with urllib.request.urlopen(health, timeout=SECONDS_TO_ANSWER) as answer:
            said = answer.read(LONGEST_ANSWER)
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):  # Prefect has the credentials
            return
        raise ServerError(_unreachable(address, f"HTTP {error.code}")) from error
    except (OSError, ValueError, HTTPException) as error:
        found = str(getattr(error, "reason", error)) or type(error).__name__
        raise ServerError(_unreachable(address, found)) from error
    try:
        json.loads(said)
    except ValueError as error:
        raise ServerError(_unreachable(address, "an answer that is not Prefect's, such as a web page")) from error


def _unreachable(address: str, found: str) -> str:
    return (
        f"expected a Prefect server at PREFECT_API_URL={secrets.address(address)}, found: {found}. Start it "
        "(`prefect server start`), correct the address, or unset PREFECT_API_URL "
        "for a temporary server"
    )


@contextlib.contextmanager
def _temporary() -> Iterator[str]:
    from prefect.settings import PREFECT_HOME, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, get_current_settings

    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    _past_proxies()
    uvicorn = ["uvicorn", "--factory", APP, "--host", LOOPBACK, "--port", str(port), "--log-level", "error"]
    environment = {
        **os.environ,
        **get_current_settings().to_environment_variables(exclude_unset=True),
        "PREFECT_UI_ENABLED": "0",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
    }
    home = Path(PREFECT_HOME.value())
    home.mkdir(parents=True, exist_ok=True)
    log = home / "server.log"
    address, ended = f"http://{LOOPBACK}:{port}/api", threading.Event()
    with contextlib.ExitStack() as started:

        def start() -> process.Service:
            return started.enter_context(process.service([sys.executable, "-m", *uvicorn], environment, log))

        def keep(server: process.Service) -> None:
            while not ended.is_set():
                if server.poll() is not None and not ended.wait(1.0):
                    server = start()
                ended.wait(0.5)

        server = start()
        seconds = PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
        deadline = time.monotonic() + seconds
        while not _answers(address):
            if server.poll() is not None:
                raise ServerError(f"Prefect's temporary server ended with status {server.poll()}; {log} says why")
            if time.monotonic() > deadline:
                raise ServerError(
                    f"Prefect's temporary server did not answer within {seconds} s. On a busy machine give it longer: "
                    f"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS={5 * max(seconds, 60)}; else see {log}"
                )
            time.sleep(0.1)
        keeper = threading.Thread(target=keep, args=(server,), daemon=True)
        keeper.start()
        try:
            yield address
        finally:
            ended.set()
            keeper.join()


def _past_proxies() -> None:
    """Reach the temporary server directly where ``http_proxy`` is set: a proxy cannot."""
    known = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(",")
    hosts = dict.fromkeys(host.strip() for host in (*known, LOOPBACK) if host.strip())
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(hosts)


def _answers(address: str) -> bool:
    with contextlib.suppress(OSError, HTTPException):
        urllib.request.urlopen(f"{address}/health", timeout=SECONDS_TO_ANSWER).close()
        return True
    return False
