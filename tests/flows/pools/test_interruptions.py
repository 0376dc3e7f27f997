"""A stage on a pool outlives the run that gave it away, and Prefect's server: it is resumed, not repeated."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient

from flows.pools.job import FLOW
from tests.flows.conftest import wait_for
from tests.flows.pools.conftest import Project, Worker, deploy
from tests.flows.test_deployment import Server

SECONDS = 400  # for a step, on a machine that does much else


@pytest.fixture
def server(project: Project, tmp_path: Path) -> Iterator[Server]:
    """A server of its own, which the test may kill, with the deployments of stages."""
    server = Server(tmp_path / "prefect")
    try:
        server.start()
        deploy(server.environment["PREFECT_API_URL"])
        yield server
    finally:
        server.kill()


class Run:
    """``speechalign run --targets prepare`` in a process of its own, in the current folder."""

    def __init__(self, server: Server, log: Path):
        self.log = log
        with log.open("w") as out:
            command = [sys.executable, "-m", "flows", "run", "--targets", "prepare"]
            self.process = subprocess.Popen(command, env=server.environment, stdout=out, stderr=out)

    def says(self, text: str) -> None:
        """Wait for a line."""

        def said() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return text in self.log.read_text()

        wait_for(said, SECONDS)


@pytest.mark.slow
def test_a_run_that_was_killed_and_a_server_that_went_away_repeat_nothing(project, server, tmp_path):
    address = server.environment["PREFECT_API_URL"]
    project.commit(trouble={"prepare": {"until": str(tmp_path / "on")}})
    # By Prefect's default a worker asks every 10 s, and gives up after a quarter of an hour without an answer.
    worker = Worker("cpu", tmp_path / "worker", address, query_seconds="5")
    runs = [Run(server, tmp_path / "first.log")]
    try:
        wait_for(project.pids, SECONDS)
        [(_, stage)] = project.pids()
        runs[0].process.kill()
        runs.append(Run(server, tmp_path / "second.log"))
        runs[1].says("pool cpu is at it already")
        server.kill()
        runs[1].says("waiting for Prefect's server")
        os.kill(stage, 0)  # it goes on
        server.start()
        (tmp_path / "on").write_text("")
        assert runs[1].process.wait(SECONDS) == 0, runs[1].log.read_text() + worker.log()
        assert project.calls() == ["prepare"]
        assert "data" in Path("dvc.lock").read_text()
        with SyncPrefectClient(address) as api:
            stages = api.request("POST", "/flow_runs/filter", json={"flows": {"name": {"any_": [FLOW]}}}).json()
        assert [one["state"]["type"] for one in stages] == ["COMPLETED"]
    finally:
        for run in runs:
            run.process.send_signal(signal.SIGKILL)
            run.process.wait()
        worker.kill()
