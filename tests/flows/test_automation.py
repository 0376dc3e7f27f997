"""The whole way on real servers: a champion moves in MLflow, its webhook becomes an event, the alias goes back."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
import torch
import yaml
from prefect.client.orchestration import SyncPrefectClient

from flows import webhook
from tasks.common import paths, tracking
from tasks.common.files import read_json, write_json
from tasks.common.params import Params, load
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
def test_a_champion_that_fails_on_fresh_draws_loses_the_alias_without_anybodys_help(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = write_project(tmp_path)
    server, port = Server(tmp_path / "home"), mlflow_server.free_port()
    (tmp_path / "mlflow").mkdir()
    running: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> None:
        log = (tmp_path / f"{len(running)}.log").open("w")
        running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))

    def wait(condition: Callable[[], object]) -> None:
        try:
            wait_for(condition, 600)
        except AssertionError:
            raise AssertionError([log.read_text()[-3000:] for log in tmp_path.glob("[0-9].log")]) from None

    with ThreadPoolExecutor(1) as beside, contextlib.ExitStack() as ending:
        ending.callback(server.kill)
        started = beside.submit(server.start)  # Prefect's server, while MLflow's starts
        tracked = ending.enter_context(
            mlflow_server.serve(tmp_path / "mlflow", environment={**os.environ, **LOOPBACK}, seconds=300)
        )
        started.result()
        for name, value in {"MLFLOW_TRACKING_URI": tracked, webhook.SECRET: SECRET, "OMP_NUM_THREADS": "1"}.items():
            monkeypatch.setenv(name, value)
        environment = {**os.environ, **server.environment, "MLFLOW_TRACKING_URI": tracked, webhook.SECRET: SECRET}
        ending.callback(end, running)
        with SyncPrefectClient(server.environment["PREFECT_API_URL"]) as api:
            api.request("POST", "/work_pools/", json={"name": POOL, "type": "process"})
        start(sys.executable, "-m", "flows.webhook", "--port", str(port))
        deploy = [*PREFECT, "--no-prompt", "deploy", "--name", "champion"]
        subprocess.run(deploy, env=environment, check=True, capture_output=True, timeout=300)
        start(*PREFECT, "worker", "start", "--pool", POOL)
        tiny.write_loop(tmp_path, params, [tiny.judged()])
        tiny.write_recognizer(tmp_path)
        tiny.write_split(tmp_path, "dev", n=40, long=16)  # enough for intervals
        assert register.register(params, CPU)["champion"] == 1
        wait(lambda: healthy(port))
        webhook.register(f"http://127.0.0.1:{port}/mlflow", SECRET)

        # The gate believes the table of the second iteration; what its untrained policy says is another matter.
        ids = tracking.start_iteration("1", read_json(paths.tracking("0")), params)
        write_json(paths.tracking("1"), ids)
        tiny.write_policy(tmp_path, "1", seed=1)
        tiny.write_evaluation(tmp_path, "1", tiny.judged(wer=0.1, seed=1), params)
        assert register.register(params, CPU)["champion"] == 2

        client = connect()
        wait(lambda: "confirmed" in client.get_model_version(NAME, "2").tags)
        wait(lambda: str(client.get_registered_model(NAME).aliases["champion"]) == "1")
        decision = json.loads(client.get_model_version(NAME, "2").tags["gate"])
        assert decision["reason"].startswith("on fresh draws: ") and not decision["promoted"]


def write_project(folder: Path) -> Params:
    """Write what a worker needs of the project, with one draw per text of dev; return the settings."""
    shutil.copytree(PROJECT / "flows", folder / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tasks", "model"):
        (folder / name).symlink_to(PROJECT / name)
    shutil.copy(PROJECT / "prefect.yaml", folder)
    tiny.params(folder, iterations=1)
    content = yaml.safe_load((folder / "params.yaml").read_text())
    content["evaluate"]["dev_draws"] = 1
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    return load(folder / "params.yaml")


def healthy(port: int) -> bool:
    """Return whether the receiver of the webhook answers."""
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    return False


def end(running: list[subprocess.Popen[bytes]]) -> None:
    """End processes and what they have started. The alias that went back is news too, so a worker has work again."""
    everyone = [psutil.Process(one.pid) for one in running if one.poll() is None]
    for process in [*everyone, *(child for one in everyone for child in one.children(recursive=True))]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    for one in running:
        one.wait()
