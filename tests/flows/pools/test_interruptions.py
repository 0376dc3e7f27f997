"""A stage on a pool outlives the run that gave it away, and Prefect's server: it is resumed, not repeated."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient

from flows.pools.job import FLOW
from tests.flows.conftest import wait_for
from tests.flows.pools.conftest import Project, Worker, deploy
from tests.flows.test_deployment import Server

SECONDS = 400  # for a step, on a machine that does much else
LOOP = """
import sys
from flows.loop import speechalign_loop
sys.exit(not speechalign_loop(targets=["prepare"], return_state=True).is_completed())
"""


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
    """The loop up to ``prepare`` in a process of its own, in the current folder."""

    def __init__(self, server: Server, log: Path):
        self.log = log
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LOOP], env=server.environment, stdout=out, stderr=out
            )

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for something while the run goes on."""

        def met() -> object:
            assert self.process.poll() is None, self.log.read_text()
            return condition()

        wait_for(met, SECONDS)

    def says(self, text: str) -> None:
        """Wait for a line."""
        self.until(lambda: text in self.log.read_text())


@pytest.mark.slow
def test_a_run_that_was_killed_and_a_server_that_went_away_repeat_nothing(project, server, tmp_path):
    address = server.environment["PREFECT_API_URL"]
    project.commit(trouble={"prepare": {"until": str(tmp_path / "on")}})
    # By Prefect's default a worker asks every 10 s, and gives up after a quarter of an hour without an answer.
    worker = Worker("cpu", tmp_path / "worker", address, query_seconds="5")
    runs = [Run(server, tmp_path / "first.log")]
    try:
        runs[0].until(project.pids)
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
