"""An MLflow server that a campaign kills and starts again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.services import Service, free_port

SECONDS_TO_START = 180


class Server:
    """``mlflow server`` on loopback, with its database and artifacts in a folder."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._port = free_port()  # one port, however often it is started again
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/server.db"]
        command += ["--artifacts-destination", str(folder / "files")]
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self._service = Service(command, {**os.environ, **quiet}, folder / "log.txt")
        self._runs = False

    def address(self) -> str:
        """Return its address; it is started where it does not run.

        Raises:
            RuntimeError: it does not start.
        """
        address = f"http://127.0.0.1:{self._port}"
        if not self._runs:
            self._folder.mkdir(exist_ok=True)
            self._runs = True
            self._service.start(f"{address}/health", SECONDS_TO_START)
        return address

    def kill(self) -> None:
        """``kill -9`` of it and its workers."""
        if self._runs:
            self._service.kill()
        self._runs = False
