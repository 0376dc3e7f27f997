"""A project with stages for two pools, its git remote and DVC remote on loopback, and workers in empty folders."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient

from flows.pools.job import FLOW
from tests.flows.conftest import PROJECT, wait_for
from tests.s3 import S3Server

HERE = Path(__file__).parent
POOLS = ("cpu", "gpu")
BUCKET = "speechalign"


class Project:
    """A clone with a commit, pushed to its origin; nothing has run in it."""

    def __init__(self, folder: Path, calls: Path):
        self.folder, self._calls = folder, calls

    def commit(self, **changes: object) -> None:
        """Change blocks of params.yaml, commit and push."""
        path = self.folder / "params.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "settings")
        self.git("push", "--quiet", "origin", "HEAD:refs/heads/main")

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True
        ).stdout.strip()

    def calls(self) -> list[str]:
        """Stages that really ran, wherever, since the last call."""
        lines = self.pids()
        self._calls.unlink(missing_ok=True)
        return [stage for stage, _ in lines]

    def pids(self) -> list[tuple[str, int]]:
        """Stages that really ran, with their processes."""
        lines = self._calls.read_text().splitlines() if self._calls.is_file() else []
        return [(line.split()[0], int(line.split()[1])) for line in lines]

    def made(self) -> dict[str, bytes]:
        """Every file that stages made, by its path."""
        files = [file for top in ("data", "runs", "reports") for file in (self.folder / top).rglob("*")]
        return {str(f.relative_to(self.folder)): f.read_bytes() for f in files if f.is_file() and f.name[0] != "."}


@pytest.fixture
def remote(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """An S3 with an empty bucket, for this process and all that it starts."""
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):  # DVC reads a file that is named
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    settings = {
        "HOME": home,
        "DVC_GLOBAL_CONFIG_DIR": home / "dvc",
        "DVC_SYSTEM_CONFIG_DIR": home / "dvc-system",
        "DVC_SITE_CACHE_DIR": home / "dvc-site",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "AWS_MAX_ATTEMPTS": "1",
        "PYTHONPATH": PROJECT,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        **{f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    s3_server.client().create_bucket(Bucket=BUCKET)
    return s3_server


@pytest.fixture
def project(remote: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project in the current folder, committed and pushed."""
    folder, origin = tmp_path / "project", tmp_path / "origin.git"
    folder.mkdir()
    shutil.copy(HERE / "stages.py", folder)
    shutil.copy(HERE / "pools.dvc.yaml", folder / "dvc.yaml")
    params = {"seed": 1, "compute": {"threads": 1, "pools": {"policy": "gpu"}}, "trouble": {}}
    (folder / "params.yaml").write_text(yaml.safe_dump({**params, "calls": str(tmp_path / "calls.log")}))
    (folder / ".gitignore").write_text("/data/\n/runs/\n/reports/\n")
    made = Project(folder, tmp_path / "calls.log")
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(origin)], check=True)
    made.git("init", "--quiet", "--initial-branch=main")
    made.git("remote", "add", "origin", str(origin))
    (folder / ".dvc").mkdir()
    remote_of_dvc = f"['remote \"storage\"']\n    url = s3://{BUCKET}/dvc\n"
    (folder / ".dvc" / "config").write_text(f"[core]\n    remote = storage\n    analytics = false\n{remote_of_dvc}")
    (folder / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    made.commit()
    monkeypatch.chdir(folder)
    return made


class Worker:
    """A Prefect process worker that began in an empty folder."""

    def __init__(self, pool: str, folder: Path, api: str, query_seconds: str = "0.5"):
        self.pool, self.folder = pool, folder
        (folder / "work").mkdir(parents=True)
        environment = {
            **os.environ,
            "PREFECT_API_URL": api,
            "PREFECT_HOME": str(folder / "home"),
            "PREFECT_WORKER_QUERY_SECONDS": query_seconds,
            "PREFECT_WORKER_PREFETCH_SECONDS": "0",
            "SPEECHALIGN_WORK": str(folder / "work"),
        }
        (folder / "empty").mkdir()
        self._log = (folder / "log").open("w")
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool]
        self._process = subprocess.Popen(
            command, cwd=folder / "empty", env=environment, stdout=self._log, stderr=subprocess.STDOUT
        )

    def left(self) -> list[str]:
        """What lies in its folders."""
        return [str(path) for top in ("empty", "work") for path in (self.folder / top).iterdir()]

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def kill(self) -> None:
        """End it and all below it at once, as a machine that loses power."""
        everyone = [self._process, *psutil.Process(self._process.pid).children(recursive=True)]
        for one in everyone:
            with_id = one.pid
            try:
                os.kill(with_id, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()

    def stop(self) -> None:
        """End it politely."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
        self._log.close()


@pytest.fixture(scope="session")
def deployed(prefect_api: str) -> str:
    """A Prefect API with two pools of processes and the deployments of stages to them."""
    deploy(prefect_api)
    return prefect_api


def deploy(
    address: str, pools: Sequence[str] = POOLS, entrypoint: str = "flows.pools.worker.speechalign_stage"
) -> None:
    """Make the pools and the deployments of stages to them."""
    with SyncPrefectClient(address) as api:
        flow = api.request("POST", "/flows/", json={"name": FLOW}).json()["id"]
        for pool in pools:
            api.request("POST", "/work_pools/", json={"name": pool, "type": "process"})
            content = {"flow_id": flow, "name": pool, "entrypoint": entrypoint, "work_pool_name": pool}
            api.request("POST", "/deployments/", json=content)


@pytest.fixture
def start(deployed: str, project: Project, tmp_path: Path) -> Iterator[Callable[[str], Worker]]:
    """A function that starts a worker of a pool in folders of its own; all end with the test."""
    workers: list[Worker] = []

    def start(pool: str) -> Worker:
        workers.append(Worker(pool, tmp_path / f"worker{len(workers)}", deployed))
        return workers[-1]

    yield start
    for worker in workers:
        worker.stop()


def idle(worker: Worker) -> None:
    """Wait until a worker has begun."""
    wait_for(lambda: "started!" in worker.log(), 60)
