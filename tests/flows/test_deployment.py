"""``prefect.yaml`` on a real server with a real worker: a deployment completes, and cancelling leaves no process."""

from __future__ import annotations

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

from tests.flows.conftest import PROJECT, gone, wait_for

PREFECT = [sys.executable, "-m", "prefect"]
POOL = "speechalign"


@pytest.fixture
def environment(finished, tmp_path) -> Iterator[dict[str, str]]:
    """A server on a free port of this machine, for a project that holds the flows."""
    shutil.copytree(PROJECT / "flows", "flows", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("tasks", "model"):
        Path(folder).symlink_to(PROJECT / folder)
    shutil.copy(PROJECT / "prefect.yaml", "prefect.yaml")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "PREFECT_HOME": str(tmp_path / "home"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    server = subprocess.Popen(
        [*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: _healthy(environment["PREFECT_API_URL"]), 180)
        yield environment
    finally:
        _stop(server)


@pytest.mark.slow
def test_a_deployment_runs_on_a_worker_and_cancels_cleanly(finished, environment):
    # Prefect's own client, which asks again while the server is busy.
    with SyncPrefectClient(environment["PREFECT_API_URL"]) as api, Path("worker.log").open("w") as log:
        api.request("POST", "/work_pools/", json={"name": POOL, "type": "process"})
        subprocess.run(
            [*PREFECT, "--no-prompt", "deploy", "--all"], env=environment, check=True, capture_output=True, timeout=300
        )
        loop = api.request("GET", "/deployments/name/speechalign-loop/loop").json()
        evaluate = api.request("GET", "/deployments/name/speechalign-evaluate/evaluate").json()
        assert api.request("GET", "/deployments/name/speechalign-study/study").json()["entrypoint"]
        assert evaluate["work_pool_name"] == POOL
        assert loop["global_concurrency_limit"]["limit"] == 1
        assert loop["concurrency_options"]["collision_strategy"] == "ENQUEUE"

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
            cancel = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
            api.request("POST", f"/flow_runs/{run}/set_state", json=cancel)
            gone(pids, timeout=120)
            wait_for(lambda: _state(api, run) == "CANCELLED", 120)
        finally:
            _stop(worker)


def _start(api: SyncPrefectClient, deployment: str) -> str:
    parameters = {"parameters": {"targets": ["align@1"]}}
    return api.request("POST", f"/deployments/{deployment}/create_flow_run", json=parameters).json()["id"]


def _state(api: SyncPrefectClient, run: str) -> str:
    return api.request("GET", f"/flow_runs/{run}").json()["state"]["type"]


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
