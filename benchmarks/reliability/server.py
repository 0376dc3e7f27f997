"""An MLflow server that a campaign kills and starts again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

SECONDS_TO_START = 180


class Server:
    """``mlflow server`` on loopback, with its database and artifacts in a folder."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:  # one port, however often it is started again
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]

    def address(self) -> str:
        """Return its address; it is started where it does not run.

        Raises:
            RuntimeError: it does not start.
        """
        address = f"http://127.0.0.1:{self._port}"
        if self._process is None:
            self._start()
            deadline = time.monotonic() + SECONDS_TO_START
            while not _answers(address):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"mlflow server did not start; see {self._folder}/log.txt")
                time.sleep(0.2)
        return address

    def kill(self) -> None:
        """``kill -9`` of it and its workers."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def _start(self) -> None:
        self._folder.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self._folder}/server.db"]
        command += ["--artifacts-destination", str(self._folder / "files")]
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self._folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env={**os.environ, **quiet}, stdout=log, stderr=log, start_new_session=True
            )


def _answers(address: str) -> bool:
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"{address}/health", timeout=5).close()
        return True
    return False
