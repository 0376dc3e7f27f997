"""The folder that a campaign works in: how a run of its loop starts, and which processes belong to one."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks import workspace as copies
from benchmarks.reliability.server import Server
from benchmarks.tiny_loop import PIPELINE
from profiles import __main__ as profiles
from tasks.common import yaml12

REPOSITORY = Path.cwd()
MARK = "SPEECHALIGN_CAMPAIGN"  # in the environment of a run's processes, by which they are found wherever they went
FLOW, DVC = "flows run", "dvc repro"
COMMANDS = {FLOW: ["flows", "run"], DVC: ["dvc", "repro"]}


@dataclass
class Run:
    """A run under way. ``mark`` is in the environment of everything that it starts."""

    command: str
    process: subprocess.Popen[bytes]
    mark: str

    def members(self) -> list[psutil.Process]:
        """Return the run's processes that still run, its own first process among them."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == self.mark:
                    found.append(process)
        return found

    def of_module(self, *beginnings: str) -> list[psutil.Process]:
        """Return its processes that are ``python -m MODULE``, MODULE beginning so."""
        found: list[psutil.Process] = []
        try:
            below = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return found
        for process in below:
            with contextlib.suppress(psutil.Error, IndexError):
                line = process.cmdline()
                if "-m" in line and line[line.index("-m") + 1].startswith(beginnings):
                    found.append(process)
        return found


@dataclass
class Workspace:
    """A copy of the loop under DVC, and an MLflow server that some of its runs log to."""

    folder: Path
    smoke: bool
    server: Server = field(init=False)

    def __post_init__(self) -> None:
        self.server = Server(self.folder / "server")

    @classmethod
    def lay_out(cls, folder: Path, smoke: bool) -> Workspace:
        """Make the folder."""
        if smoke:
            copies.lay_out(folder, "smoke", 1)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "params.yaml").write_text(profiles.merged("smoke")[0], encoding="utf-8")
            (folder / "dvc.yaml").write_text(yaml12.dumps(PIPELINE), encoding="utf-8")
            shutil.copy(".dvcignore", folder)
            subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=folder, check=True)
        return cls(folder, smoke)

    @property
    def log(self) -> Path:
        """What all runs print."""
        return self.folder / "log.txt"

    def start(self, command: str, *, on_server: bool = False) -> Run:
        """Start a run as a shell does, as the leader of a process group."""
        mark = uuid.uuid4().hex
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "PYTHONPATH": str(self.folder if self.smoke else REPOSITORY),
            "PREFECT_API_URL": "",
            "PREFECT_HOME": str(self.folder / ".prefect"),
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "900",  # a campaign may run on a busy machine
            MARK: mark,
        }
        environment.pop("MLFLOW_TRACKING_URI", None)
        if on_server:
            environment["MLFLOW_TRACKING_URI"] = self.server.address()
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *COMMANDS[command]],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: (os.setsid(), signal.signal(signal.SIGINT, signal.SIG_DFL)),
            )
        return Run(command, process, mark)

    def end(self) -> None:
        """End the MLflow server."""
        self.server.kill()
