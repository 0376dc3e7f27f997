"""A toy project under DVC for the flows to run, and a Prefect API for the whole session."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

# Read by Prefect on import: nothing of a test lands in the project's own database.
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="prefect-home-")

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent
PARAMS: dict[str, Any] = {
    "compute": {"threads": 2},
    "prepare": {"words": 3},
    "iterations": {"1": {"prev": "0", "rise": 0.005}, "2": {"prev": "1", "rise": 0.0}},
    "trouble": {},
}
BOOTSTRAP = {"stages": {"train": {"cmd": "exit 1", "outs": ["never.txt"]}}}


class Toy:
    """The project in the current folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def set(self, **changes: Any) -> None:
        """Replace blocks of ``params.yaml``."""
        path = self.folder / "params.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}, default_style=None))

    def calls(self) -> list[str]:
        """Stages that really ran since the last call."""
        log = self.folder / "calls.log"
        names = [line.split()[0] for line in log.read_text().splitlines()] if log.is_file() else []
        log.unlink(missing_ok=True)
        return names

    def pids(self, timeout: float = 60) -> list[int]:
        """Processes of a stage that sleeps, once it does."""
        path = self.folder / "pids"
        wait_for(lambda: path.is_file() and len(path.read_text().split()) == 3, timeout)
        return [int(pid) for pid in path.read_text().split()]


def alive(pids: list[int]) -> list[int]:
    """Those that still run; a zombie that nobody reaped does not."""
    running = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                running.append(pid)
        except psutil.NoSuchProcess:
            pass
    return running


def wait_for(condition: Callable[[], object], timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.1)


def gone(pids: list[int], timeout: float = 30) -> None:
    """Assert that none of the processes runs any longer (a killed one needs a moment to end)."""
    wait_for(lambda: not alive(pids), timeout)


@pytest.fixture(scope="session")
def _toy_origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "project"
    (folder / "bootstrap").mkdir(parents=True)
    shutil.copy(HERE / "toy.py", folder / "toy.py")
    shutil.copy(HERE / "toy.dvc.yaml", folder / "dvc.yaml")
    (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    (folder / "bootstrap" / "dvc.yaml").write_text(yaml.safe_dump(BOOTSTRAP))
    (folder / ".gitignore").write_text("/data/\n/runs/\n/reports/\n")
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=folder, check=True)
    return folder


@pytest.fixture
def toy(_toy_origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """A project in which nothing has run."""
    return _enter(_toy_origin, tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def _finished_origin(_toy_origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "project"
    shutil.copytree(_toy_origin, folder)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SPEECHALIGN_THREADS": "1",
    }
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=folder, env=environment, check=True)
    (folder / "calls.log").unlink()
    return folder


@pytest.fixture
def finished(_finished_origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """A project in which ``dvc repro`` has run everything."""
    return _enter(_finished_origin, tmp_path, monkeypatch)


def _enter(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    folder = tmp_path / "project"
    shutil.copytree(origin, folder)
    monkeypatch.chdir(folder)
    return Toy(folder)


@pytest.fixture(scope="session")
def prefect_api() -> Iterator[str]:
    """A Prefect API with an empty database; its address."""
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield str(PREFECT_API_URL.value())
