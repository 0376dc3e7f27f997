"""Programs on loopback that a benchmark starts, kills and starts again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """A program in a session of its own. ``keep``: it is started again when it ends, as systemd and compose do."""

    def __init__(
        self,
        command: list[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        keep: bool = False,
        user: str | None = None,
    ):
        self._command, self._environment, self._log, self._user = command, dict(environment), log, user
        self._process: subprocess.Popen[bytes]
        self.restarts, self._ended = 0, threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True) if keep else None

    def start(self, health: str | None = None, seconds: float = 600.0) -> None:
        """Start it; with an address, wait up to ``seconds`` until it answers there.

        Raises:
            RuntimeError: it ends, or does not answer.
        """
        self._begin()
        if self._keeper:
            self._keeper.start()
        deadline = time.monotonic() + seconds
        while health and not answers(health):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(self._command[:4])} does not answer at {health}; see {self._log}")
            time.sleep(0.2)

    def kill(self) -> None:
        """``kill -9`` of it and of what it has started."""
        self._ended.set()
        if self._keeper:
            self._keeper.join()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _begin(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._log.parent,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self._user,
            )

    def _keep(self) -> None:
        while not self._ended.wait(1.0):
            if self._process.poll() is not None:
                self.restarts += 1
                self._begin()


def answers(address: str) -> bool:
    """Return whether a server answers there; what it says does not matter."""
    with contextlib.suppress(OSError):
        urllib.request.urlopen(address, timeout=5).close()
        return True
    return False
