"""The whole way on real servers: a champion moves in MLflow, its webhook becomes an event, the alias goes back.

It takes minutes and both cores, so it runs where it is asked for: ``SPEECHALIGN_TEST_SERVERS=1``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from prefect.client.orchestration import SyncPrefectClient

from flows import webhook
from tasks.common import paths, tracking
from tasks.common.files import read_json, write_json
from tasks.common.tracking.client import connect
from tasks.register import __main__ as register
from tests import mlflow_server
from tests.flows.conftest import PROJECT, wait_for
from tests.flows.test_deployment import POOL, PREFECT, Server
from tests.tasks.register import tiny

CPU, NAME = torch.device("cpu"), "speechalign-policy"
SECRET = "a secret of the tests"
LOOPBACK = {
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_CACHE_TTL": "0",  # otherwise a new webhook is known after a minute
}


@pytest.mark.slow
@pytest.mark.skipif("SPEECHALIGN_TEST_SERVERS" not in os.environ, reason="four servers: set SPEECHALIGN_TEST_SERVERS")
def test_a_champion_that_fails_on_fresh_draws_loses_the_alias_without_anybodys_help(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(PROJECT / "flows", "flows", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("tasks", "model"):
        Path(folder).symlink_to(PROJECT / folder)
    shutil.copy(PROJECT / "prefect.yaml", "prefect.yaml")
    params = tiny.params(tmp_path, iterations=1)
    server, port = Server(tmp_path / "home"), mlflow_server.free_port()
    (tmp_path / "mlflow").mkdir()
    running: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> None:
        log = (tmp_path / f"{len(running)}.log").open("w")
        running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))

    with mlflow_server.serve(tmp_path / "mlflow", environment={**os.environ, **LOOPBACK}) as tracked:
        for name, value in {"MLFLOW_TRACKING_URI": tracked, webhook.SECRET: SECRET, "OMP_NUM_THREADS": "1"}.items():
            monkeypatch.setenv(name, value)
        environment = {**os.environ, **server.environment, "MLFLOW_TRACKING_URI": tracked, webhook.SECRET: SECRET}
        try:
            server.start()
            with SyncPrefectClient(server.environment["PREFECT_API_URL"]) as api:
                api.request("POST", "/work_pools/", json={"name": POOL, "type": "process"})
            deploy = [*PREFECT, "--no-prompt", "deploy", "--name", "champion"]
            subprocess.run(deploy, env=environment, check=True, capture_output=True, timeout=300)
            start(sys.executable, "-m", "flows.webhook", "--port", str(port))
            start(*PREFECT, "worker", "start", "--pool", POOL)
            tiny.write_loop(tmp_path, params, [tiny.judged()])
            tiny.write_recognizer(tmp_path)
            tiny.write_split(tmp_path, "dev", n=40, long=16)  # enough for intervals
            assert register.register(params, CPU)["champion"] == 1
            webhook.register(f"http://127.0.0.1:{port}/mlflow", SECRET)

            # The gate believes the table of the second iteration; what its untrained policy says is another matter.
            ids = tracking.start_iteration("1", read_json(paths.tracking("0")), params)
            write_json(paths.tracking("1"), ids)
            tiny.write_policy(tmp_path, "1", seed=1)
            tiny.write_evaluation(tmp_path, "1", tiny.judged(wer=0.1, seed=1), params)
            assert register.register(params, CPU)["champion"] == 2

            logs = sorted(tmp_path.glob("[0-9].log"))
            client = connect()
            wait_for(lambda: "confirmed" in client.get_model_version(NAME, "2").tags, 600)
            wait_for(lambda: str(client.get_registered_model(NAME).aliases["champion"]) == "1", 60)
            decision = json.loads(client.get_model_version(NAME, "2").tags["gate"])
            assert decision["reason"].startswith("on fresh draws: "), [log.read_text()[-2000:] for log in logs]
        finally:
            for one in running:
                one.terminate()
            for one in running:
                one.wait(60)
            server.kill()
