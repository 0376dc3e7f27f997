"""The ways in which a campaign ends a run: which process is killed, and when."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from benchmarks.reliability.workspace import DVC, FLOW, Run, Workspace

CTRL_C, SIGTERM, OUTRIGHT = "Ctrl-C", "SIGTERM", "kill -9"
STAGES = ("benchmarks.tiny_loop", "tasks.")
SECONDS_TO_APPEAR = 60.0  # for a victim


@dataclass(frozen=True)
class Kind:
    """One way to end a run.

    Attributes:
        command: what is run. how: what its victims get. victim: which part of the run that is.
        weight: how often, compared with other kinds.
        goes_on: whether the run goes on without the victim.
    """

    command: str
    how: str
    victim: str
    weight: int = 1
    goes_on: bool = False

    def __str__(self) -> str:
        return f"{self.how} of {self.victim} ({self.command})"

    @property
    def on_server(self) -> bool:
        """Whether the run logs to an MLflow server."""
        return self.victim == "the MLflow server"


GROUP, RUN, STAGE, ITS_DVC, PREFECT, MLFLOW = (
    "the process group",
    "the run",
    "a stage",
    "DVC",
    "the Prefect server",
    "the MLflow server",
)
KINDS = (
    Kind(FLOW, CTRL_C, GROUP),
    Kind(FLOW, SIGTERM, RUN),
    Kind(FLOW, OUTRIGHT, RUN),
    Kind(FLOW, OUTRIGHT, STAGE),
    Kind(FLOW, OUTRIGHT, ITS_DVC),
    Kind(FLOW, OUTRIGHT, PREFECT, goes_on=True),
    # More often: Prefect takes most of the time of a flow.
    Kind(DVC, CTRL_C, GROUP, 5),
    Kind(DVC, OUTRIGHT, GROUP, 5),
    Kind(DVC, OUTRIGHT, ITS_DVC, 5),
    Kind(DVC, OUTRIGHT, STAGE, 5),
    Kind(DVC, OUTRIGHT, MLFLOW, goes_on=True),
)
_MODULES = {STAGE: STAGES, ITS_DVC: ("dvc",), PREFECT: ("uvicorn",)}


def strike(kind: Kind, run: Run, workspace: Workspace, wait: float, begun: bool) -> bool:
    """Wait, then kill; return False where the run has ended before that.

    Args:
        wait: seconds from the moment when the victim is there. begun: and a stage, too.
    """
    # `dvc repro` is DVC itself; below it may be a daemon of its own.
    modules = () if (kind.victim, kind.command) == (ITS_DVC, DVC) else _MODULES.get(kind.victim, ())
    deadline = time.monotonic() + SECONDS_TO_APPEAR
    for awaited in (modules, STAGES if begun else ()):
        while awaited and not run.of_module(*awaited) and run.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
    until = time.monotonic() + wait
    while time.monotonic() < until and run.process.poll() is None:
        time.sleep(0.02)
    if run.process.poll() is not None:
        return False
    if kind.victim == MLFLOW:
        workspace.server.kill()
    elif kind.victim == GROUP:
        os.killpg(run.process.pid, signal.SIGINT if kind.how == CTRL_C else signal.SIGKILL)
    elif kind.victim == RUN or (kind.victim == ITS_DVC and kind.command == DVC):
        run.process.send_signal(signal.SIGTERM if kind.how == SIGTERM else signal.SIGKILL)
    else:
        return _kill_first(lambda: run.of_module(*modules), run)
    return True


def _kill_first(victims: Callable[[], list[psutil.Process]], run: Run) -> bool:
    """Kill a victim; one stage may have ended just now, and the next one begins soon."""
    while run.process.poll() is None:
        for victim in victims():
            try:
                victim.kill()
            except psutil.NoSuchProcess:
                continue
            return True
        time.sleep(0.05)
    return False
