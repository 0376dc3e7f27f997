"""``prefect.yaml`` on a real server with a real worker: runs complete, cancel cleanly, and outlive a restart."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient

from flows.pools.job import FLOW
from tests.flows.conftest import PROJECT, gone, wait_for

PREFECT = [sys.executable, "-m", "prefect"]
POOL = "speechalign"
POOLS = ("process", "docker", "kubernetes")  # of single stages; each is called after its type


class Server:
    """A Prefect server on a free port of this machine, set up as docs/flows.md says."""

    def __init__(self, home: Path):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.environment = {
            **os.environ,
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        }
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process = subprocess.Popen(
            [*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(self.port), "--no-ui"],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(lambda: _healthy(self.environment["PREFECT_API_URL"]), 180)

    def kill(self) -> None:
        """``kill -9`` of it and what it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def server(finished, tmp_path) -> Iterator[Server]:
    """A server for a project that holds the flows."""
    shutil.copytree(PROJECT / "flows", "flows", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("tasks", "model"):
        Path(folder).symlink_to(PROJECT / folder)
    shutil.copy(PROJECT / "prefect.yaml", "prefect.yaml")
    server = Server(tmp_path / "home")
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.mark.slow
def test_a_deployment_runs_on_a_worker_cancels_cleanly_and_outlives_a_restart_of_the_server(finished, server):
    environment = server.environment
    # Prefect's own client, which asks again while the server is busy.
    with SyncPrefectClient(environment["PREFECT_API_URL"]) as api, Path("worker.log").open("w") as log:
        for name in (POOL, *POOLS):
            api.request("POST", "/work_pools/", json={"name": name, "type": "process" if name == POOL else name})
        subprocess.run(
            [*PREFECT, "--no-prompt", "deploy", "--all"], env=environment, check=True, capture_output=True, timeout=300
        )
        loop = api.request("GET", "/deployments/name/speechalign-loop/loop").json()
        evaluate = api.request("GET", "/deployments/name/speechalign-evaluate/evaluate").json()
        assert api.request("GET", "/deployments/name/speechalign-study/study").json()["entrypoint"]
        assert evaluate["work_pool_name"] == POOL
        for pool in POOLS:
            stage = api.request("GET", f"/deployments/name/{FLOW}/{pool}").json()
            assert stage["work_pool_name"] == pool and not stage["pull_steps"]  # a worker need not have this folder
        assert loop["global_concurrency_limit"] is None  # its lease would end a run whose server is away for minutes

        finished.set(iterations={"1": {"prev": "0", "rise": 0.001}, "2": {"prev": "1", "rise": 0.0}})
        worker = subprocess.Popen(
            [*PREFECT, "worker", "start", "--pool", POOL], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            run = _start(api, loop["id"])
            wait_for(lambda: _state(api, run) in {"COMPLETED", "FAILED", "CRASHED"}, 180)
            assert _state(api, run) == "COMPLETED", Path("worker.log").read_text()
            assert finished.calls() == ["policy@1"]

            finished.set(
                iterations={"1": {"prev": "0", "rise": 0.002}, "2": {"prev": "1", "rise": 0.0}},
                trouble={"policy@1": {"sleep": True}},
            )
            run = _start(api, loop["id"])
            pids = finished.pids(timeout=180)
            Path("pids").unlink()
            others = [_start(api, loop["id"]) for _ in range(2)]  # of these one waits, and works for both
            wait_for(lambda: "Needless" in {_state(api, other, "name") for other in others}, 180)
            cancel = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
            api.request("POST", f"/flow_runs/{run}/set_state", json=cancel)
            gone(pids, timeout=120)
            wait_for(lambda: _state(api, run) == "CANCELLED", 120)

            [run] = [other for other in others if _state(api, other, "name") != "Needless"]
            pids = finished.pids(timeout=180)
            server.kill()
            server.start()
            os.kill(pids[0], signal.SIGKILL)  # the stage fails, and its run ends
            wait_for(lambda: _state(api, run) in {"FAILED", "CRASHED"}, 120)
            finished.set(trouble={})
            run = _start(api, loop["id"])
            wait_for(lambda: _state(api, run) == "COMPLETED", 180)
        finally:
            _stop(worker)


def _start(api: SyncPrefectClient, deployment: str) -> str:
    parameters = {"parameters": {"targets": ["align@1"], "retries": 0}}
    return api.request("POST", f"/deployments/{deployment}/create_flow_run", json=parameters).json()["id"]


def _state(api: SyncPrefectClient, run: str, key: str = "type") -> str:
    return api.request("GET", f"/flow_runs/{run}").json()["state"][key]


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
