"""One run of the loop while a server goes away: how it starts, what it did, and what must hold of it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowFilterName

from benchmarks.outage.project import STAGES, lay_out
from benchmarks.outage.servers import Servers
from benchmarks.reliability.checks import contents
from benchmarks.services import Service
from benchmarks.tiny_loop import CALLS, POINTS
from flows.pools.job import FLOW
from tasks.common import paths

SECONDS = 600.0  # for a step, on a machine that does much else


class Mode(StrEnum):
    """Where stages run, and where the flow."""

    LOCAL = "local"
    POOL = "pool"
    DEPLOYED = "deployed"


@dataclass(frozen=True)
class Setup:
    """What a mode needs: its pool, the deployment to it, and how many workers."""

    mode: Mode
    pool: str | None = None
    deployment: str = ""
    workers: int = 0


MODES = {
    Mode.LOCAL: Setup(Mode.LOCAL),
    Mode.POOL: Setup(Mode.POOL, "process", "process", 2),
    Mode.DEPLOYED: Setup(Mode.DEPLOYED, "speechalign", "loop", 1),
}


class Run:
    """A run under way, in a project and with workers of its own."""

    def __init__(self, setup: Setup, servers: Servers, place: Path):
        self.setup, self._servers = setup, servers
        self.folder, self._calls = place / setup.mode, place / f"{setup.mode}.calls"
        self._environment = {**servers.environment, CALLS: str(self._calls), "SPEECHALIGN_WORK": str(place)}
        self._log = place / f"{setup.mode}.log"
        self._workers: list[Service] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._flow_run: UUID | None = None
        self._status: int | None = None
        self._told = False
        lay_out(self.folder, setup.pool if setup.mode == Mode.POOL else None, self._environment)
        if setup.pool:
            self._deploy(setup.pool, place)

    def start(self) -> None:
        """Start it as a person does."""
        self._status = None
        if self.setup.mode == Mode.DEPLOYED:
            with self._api() as api:
                loop = api.read_deployment_by_name("speechalign-loop/loop").id
                self._flow_run = api.create_flow_run_from_deployment(loop, parameters={"retries": 0}).id
            return
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "flows", "run"]
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def reaches(self, stage: str) -> None:
        """Wait until a stage has begun."""
        _wait(lambda: stage in self.calls() or self._ended() is not None, f"{self.setup.mode} has not begun {stage}")
        if self._status is not None:
            raise RuntimeError(f"{self.setup.mode} ended before {stage}: {self._said()}")

    def look(self, since: float) -> bool:
        """Return whether it has ended, and say so once."""
        if self._status is None and self._ended() is None:
            return False
        if not self._told:
            print(
                f"{self.setup.mode}: ended with status {self._status}, {time.monotonic() - since:.0f} s after the kill"
            )
            print(*(f"    {line}" for line in self._said().splitlines()), sep="\n", flush=True)
            self._told = True
        return True

    def judge(self, expected: dict[str, str]) -> list[str]:
        """Let the next run go on where this one failed; print and return what does not hold."""
        faults = self._faults(expected)
        mode, restarts = self.setup.mode, sum(worker.restarts for worker in self._workers)
        print(f"{mode}: stages {' '.join(self.calls())}" + (f"; workers started again: {restarts}" if restarts else ""))
        print(*([f"{mode}: FAULT: {fault}" for fault in faults] or [f"{mode}: all holds"]), sep="\n", flush=True)
        return faults

    def _faults(self, expected: dict[str, str]) -> list[str]:
        if self._status is None:
            return ["it hangs"]
        if self._status:
            self.start()
            try:
                _wait(lambda: self._ended() is not None, "the next run does not end")
            except RuntimeError as error:
                return [str(error)]
            print(f"{self.setup.mode}: the next run ended with status {self._status}", flush=True)
            if self._status:
                return [f"the next run failed: {self._said()}"]
        subprocess.run(
            [sys.executable, "-m", "dvc", "pull", "--quiet"], cwd=self.folder, env=self._environment
        )  # what the run had no use for
        twice = [name for name, times in Counter(self.calls()).items() if times > 1]
        now = contents(self.folder)
        differs = [name for name in expected | now if now.get(name) != expected.get(name)]
        return [
            *(f"{name} was done again" for name in twice),
            *(f"{name} was not done" for name in STAGES.keys() - set(self.calls())),
            *(f"{name} differs from a run in one folder" for name in differs),
            *self._points(),
            *self._open(),
        ]

    def _points(self) -> list[str]:
        """Return what MLflow lacks, or has twice."""
        from mlflow import MlflowClient

        client = MlflowClient(self._servers.mlflow)
        ids = json.loads((self.folder / paths.tracking("0")).read_text(encoding="utf-8"))
        found = []
        for name, steps in {"value": list(range(POINTS)), "total": [0]}.items():
            has = sorted(point.step for point in client.get_metric_history(ids["run_id"], name))
            if has != steps:
                found.append(f"MLflow has {len(has)} points of {name}, {len(set(has))} of {len(steps)} steps")
        for name in ("run_id", "parent_run_id"):
            if (status := client.get_run(ids[name]).info.status) != "FINISHED":
                found.append(f"MLflow says of {name}: {status}")
        return found

    def _open(self) -> list[str]:
        """Return flow runs of which Prefect's server does not know the end."""
        flow = FLOW if self.setup.mode == Mode.POOL else "speechalign-loop"
        query = FlowFilter(name=FlowFilterName(any_=[flow]))

        def open_ones() -> list[str]:
            with self._api() as api:
                states = [found.state for found in api.read_flow_runs(flow_filter=query)]
            return [state.name or "" for state in states if state and not state.is_final()]

        with contextlib.suppress(RuntimeError):
            _wait(lambda: not open_ones(), "", 60)
        return [f"Prefect says of a run of {flow}: {state}" for state in open_ones()]

    def calls(self) -> list[str]:
        """Return the stages that really ran, wherever."""
        return self._calls.read_text(encoding="utf-8").split() if self._calls.exists() else []

    def end(self) -> None:
        """End what still runs."""
        for worker in self._workers:
            worker.kill()
        if self._process and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    def _ended(self) -> int | None:
        if self._process:
            self._status = self._process.poll()
        else:
            with contextlib.suppress(Exception), self._api() as api:  # the server may be away
                state = api.read_flow_run(self._flow_run).state if self._flow_run else None
                if state and state.is_final():
                    self._status = int(not state.is_completed())
                    self._log.write_text(f"{state.name}: {state.message or 'no message'}\n", encoding="utf-8")
        return self._status

    def _said(self) -> str:
        return "\n".join(self._log.read_text(encoding="utf-8").splitlines()[-12:])

    def _api(self) -> SyncPrefectClient:
        return SyncPrefectClient(self._environment["PREFECT_API_URL"])

    def _deploy(self, pool: str, place: Path) -> None:
        prefect = [sys.executable, "-m", "prefect"]
        for command in (
            ["work-pool", "create", "--type", "process", pool],
            ["--no-prompt", "deploy", "--name", self.setup.deployment],
        ):
            subprocess.run(
                [*prefect, *command], cwd=self.folder, env=self._environment, check=True, capture_output=True
            )
        for number in range(self.setup.workers):
            home: dict[str, Any] = {"PREFECT_HOME": str(place / f"{pool}-{number}")}
            log = place / f"{pool}-{number}.log"
            command = [*prefect, "worker", "start", "--pool", pool]
            self._workers.append(Service(command, {**self._environment, **home}, log, keep=True))
            self._workers[-1].start()


def _wait(condition: Callable[[], object], otherwise: str, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{otherwise} within {seconds:.0f} s")
        time.sleep(0.5)
