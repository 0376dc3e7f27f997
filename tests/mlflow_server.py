"""A real ``mlflow server`` on loopback for tests, and a gate in front of it that can be shut."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def free_port() -> int:
    """A port on which no server is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serve(
    folder: Path,
    seconds: float = 120,
    artifacts: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Run a server on ``folder``; yields its address and leaves no process behind.

    Args:
        folder: holds its database, its log and, by default, its artifacts.
        artifacts: options of ``mlflow server`` that say where artifacts go instead.
        environment: the server's, instead of this process's.
    """
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db"]
    command += artifacts or ["--artifacts-destination", str(folder / "files")]
    environment = {**(os.environ if environment is None else environment), **QUIET}
    with (folder / "server.log").open("w") as log:
        # A session of its own, so that its workers end with it.
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + seconds
            while not _healthy(address):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"mlflow server did not start:\n{(folder / 'server.log').read_text()[-3000:]}")
                time.sleep(0.2)
            yield address
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


class Forwarder:
    """Passes connections on to a server until :meth:`shut`: a server that goes away, without stopping it."""

    def __init__(self, target: str):
        host, port = target.removeprefix("http://").split(":")
        self._target = (host, int(port))
        self._open: list[socket.socket] = []
        self._listen(0)
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def open(self) -> None:
        """Let connections through again, at the same address."""
        self._listen(int(self.address.rpartition(":")[2]))

    def _listen(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """Refuse new connections and cut the open ones."""
        for side in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self._target)
                self._open += [client, server]
                threading.Thread(target=self._pass, args=(client, server), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                for side in select.select([client, server], [], [])[0]:
                    data = side.recv(65536)
                    if not data:
                        return
                    (server if side is client else client).sendall(data)
